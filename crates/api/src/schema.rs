//! The JSON Schema (draft 2020-12) of the settings document, made from the table of settings.

use model::Settings;
use model::database::DatabaseSettings;
use model::settings::fields::{FIELDS, Field, Input};
use serde_json::{Map, Value, json};

/// A name of a variable.
const ENV_NAME: &str = "^[a-zA-Z_][a-zA-Z0-9_]*$";
/// A value of a variable.
const ENV_VALUE: &str = r"^[^\u0000]*$";
/// A port from 1 to 65535, white space around it allowed.
const PORT: &str = r"^\s*\+?0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])\s*$";
/// A host name in lower case, with at least one dot.
const DOMAIN: &str = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$";

/// The schema of the settings document: every key with a title, what it is for, its default, and what is allowed.
///
/// What a schema can't say is checked beside it: that there are no more instances at least than at most, and that addresses are such.
pub fn settings_schema() -> Value {
    let mut properties = Map::new();
    for field in FIELDS {
        let schema = of(field);
        match field.key.split_once('.') {
            None => {
                properties.insert(field.key.to_owned(), schema);
            }
            Some((outer, inner)) => {
                let group = properties.entry(outer).or_insert_with(|| group(outer));
                group["properties"][inner] = schema;
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of an app",
        "description": "All settings of an app are one document. Changed settings take effect with the next deployment.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        // Only PostgreSQL goes back to a moment.
        "if": {
            "properties": { "database": { "properties": { "pointInTime": { "const": true } }, "required": ["pointInTime"] } },
            "required": ["database"],
        },
        "then": { "properties": { "databaseType": { "const": "postgres" } }, "required": ["databaseType"] },
    })
}

fn group(key: &str) -> Value {
    let mut group = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let (title, description) = match key {
        "database" => ("Database", "What is set of the database beside the app."),
        "resourceConfig" => ("Resources and scaling", "What one instance may use, and how many there may be."),
        "serving" => ("Serving", "How the app is served. None of it needs a build."),
        _ => ("Static site", "How a static site is served."),
    };
    group["title"] = title.into();
    group["description"] = description.into();
    if key == "static" {
        group["required"] = json!(["root"]);
        allow_null(&mut group);
    }
    group
}

fn of(field: &Field) -> Value {
    let mut schema = match field.input {
        Input::Text { example, pattern, longest } => {
            let mut schema = json!({ "type": "string", "examples": [example] });
            if longest < u32::MAX {
                schema["maxLength"] = longest.into();
            }
            if !pattern.is_empty() {
                schema["pattern"] = pattern.into();
            }
            schema
        }
        // Something that is to be seen, and no NUL.
        Input::Command { example } => {
            json!({ "type": "string", "maxLength": 8192, "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$", "examples": [example] })
        }
        Input::Choice(choices) => json!({ "enum": choices.iter().map(|(word, _)| *word).collect::<Vec<_>>() }),
        Input::Switch => json!({ "type": "boolean" }),
        Input::Whole { least, most, step, .. } => {
            let mut schema = json!({ "type": "integer", "minimum": least, "maximum": most });
            if step > 1 {
                schema["multipleOf"] = step.into();
            }
            schema
        }
        Input::Fraction { least, most, .. } => json!({ "type": "number", "minimum": least, "maximum": most }),
        Input::Lines { example, words } => {
            let mut items = json!({ "type": "string", "examples": [example] });
            if !words.is_empty() {
                items["enum"] = words.into();
            }
            json!({ "type": "array", "items": items })
        }
        Input::Variables => {
            let mut schema = json!({
                "type": "object",
                "propertyNames": { "pattern": ENV_NAME, "maxLength": 256 },
                "additionalProperties": { "type": "string", "pattern": ENV_VALUE },
            });
            if field.key == "environment" {
                schema["properties"] = json!({ "PORT": { "type": "string", "pattern": PORT } });
            }
            schema
        }
        Input::Domains => json!({
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "domainName": { "type": "string", "pattern": DOMAIN, "maxLength": 253 },
                    "name": { "type": ["string", "null"], "description": "A label for people." },
                    "endpoint": { "type": ["string", "null"], "description": "The endpoint that serves it." },
                },
                "required": ["domainName"],
                "additionalProperties": false,
            },
        }),
    };
    schema["title"] = field.label.into();
    schema["description"] = format!("{} Default: {}.", field.help, field.default).into();
    match default(field.key) {
        Some(default) => schema["default"] = default,
        // In YAML a key that is written without a value is the same as one that is not there.
        None if field.key != "static.root" => allow_null(&mut schema),
        None => {}
    }
    schema
}

fn allow_null(schema: &mut Value) {
    if let Some(kind) = schema.get("type").cloned() {
        schema["type"] = json!([kind, "null"]);
    }
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
}

/// The value of a key in a document that sets nothing; `None` where it is not set then.
fn default(key: &str) -> Option<Value> {
    let mut document = serde_json::to_value(Settings::default()).ok()?;
    // Parts that are as they were born are not written; their values are defaults all the same.
    document["database"] = serde_json::to_value(DatabaseSettings::default()).ok()?;
    document["serving"] = serde_json::to_value(model::Serving::default()).ok()?;
    let pointer = format!("/{}", key.replace('.', "/"));
    document.pointer(&pointer).cloned().or(match key {
        "database.pointInTime" => Some(Value::Bool(false)),
        "database.extensions" | "database.allow" | "domains" => Some(json!([])),
        "environment" | "buildEnvironment" => Some(json!({})),
        _ => None,
    })
}
