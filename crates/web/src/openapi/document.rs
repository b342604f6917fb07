//! The description as a document: `OpenAPI` 3.1, whose schemas are JSON Schema 2020-12.

use std::collections::{BTreeMap, BTreeSet};

use api::{ErrorCode, ProblemDocument};
use model::backup::BackupId;
use model::{AppName, DeploymentNumber, UserName};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::Described;
use super::operation::{Answer, Body, Make, Operation, Tag};

/// Where schemas of what is given lie; those of what is taken join them under another name where they differ.
const GIVEN: &str = "#/components/schemas/";
const TAKEN: &str = "#/components/taken/";

const ABOUT: &str = "\
Everything that the dashboard and the command `adaptable` do. Bodies and answers are JSON; times are RFC 3339 in UTC, durations \
seconds, sizes bytes. Unknown keys in what you send are refused, and what you get may have more keys tomorrow.

**Who asks.** `Authorization: Bearer TOKEN`. A user makes tokens of their own on the page of their account; whoever shows one is that \
user, with the roles that they have then. `adaptable token create NAME` on the platform's machine makes one of the platform's. A browser \
that is signed in may use its session's cookie, and then sends `X-Csrf-Token` with all that changes something.

**Errors** are problems (RFC 9457, `application/problem+json`): `code` is the word for programs, `detail` the line for people, `help` \
what to do.

**Lists** come in pages: `limit` says how many entries, and the header `Link: <…>; rel=\"next\"` where the next ones are.

**Once.** Endpoints that make something take an `Idempotency-Key`: the same request with the same key does nothing again, and \
gets the first answer, for 24 hours.

**Versions.** An answer with an `ETag` can be changed under the condition that nobody else has changed it meanwhile: send the tag as \
`If-Match`.";

/// Both ways of looking at a type: as it is read, and as it is written.
struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

/// What stands in a path: its name, its schema, what it is, and an example.
fn parameter(name: &str, schemas: &mut Schemas) -> Option<(Value, &'static str)> {
    let schema = match name {
        "app" => schemas.taken.subschema_for::<AppName>().to_value(),
        "number" => schemas.taken.subschema_for::<DeploymentNumber>().to_value(),
        "backup" => schemas.taken.subschema_for::<BackupId>().to_value(),
        "user" => schemas.taken.subschema_for::<UserName>().to_value(),
        _ => json!({"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_.-]+$"}),
    };
    let about = match name {
        "app" => "The app's name.",
        "number" => "The deployment's number within its app.",
        "backup" => "The backup's id.",
        "id" => "Its id, as lists show it.",
        "user" => "The user's name.",
        _ => return None,
    };
    Some((schema, about))
}

/// The names of a path's parameters.
pub(super) fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The description of these operations on the platform at `url`.
pub(crate) fn document(operations: &[Described], url: &str) -> Value {
    let settings = |path: &str| {
        let path = path.to_owned();
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = path.trim_start_matches('#').trim_end_matches('/').to_owned().into();
            settings.meta_schema = None;
        })
    };
    let mut schemas = Schemas {
        taken: settings(TAKEN).for_deserialize().into_generator(),
        given: settings(GIVEN).for_serialize().into_generator(),
    };
    let problem = schemas.given.subschema_for::<ProblemDocument>().to_value();
    let mut paths = Map::new();
    for Described { method, path, operation } in operations {
        let item = paths.entry(format!("{}{path}", api::PREFIX)).or_insert_with(|| json!({}));
        item[method.to_ascii_lowercase()] = describe(path, operation, &mut schemas);
    }
    let mut components = schemas.given.take_definitions(true);
    let mut taken = schemas.taken.take_definitions(true);
    // The table of settings knows what the types of Rust can't say.
    taken.entry("Settings").and_modify(|schema| {
        *schema = api::settings_schema();
        schema.as_object_mut().map(|schema| schema.remove("$schema"));
    });
    let renamed = join(&mut components, taken);
    let mut document = json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Adaptable",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A serverless cloud on a machine of your own",
            "description": ABOUT,
            "license": { "name": "Apache 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": url, "description": "this platform" }],
        "security": [{ "token": [] }, { "session": [] }],
        "tags": Tag::ALL.map(|tag| json!({ "name": tag.name(), "description": tag.about() })),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "An access token: of the page of one's account, or by `adaptable token create NAME`." },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "__Host-adaptable",
                    "description": "The session of somebody who is signed in. What changes something needs the header `X-Csrf-Token`, too.",
                },
            },
            "responses": {
                "Problem": { "description": "Anything that went wrong.", "content": { api::PROBLEM: { "schema": problem } } },
            },
            "schemas": components,
        },
    });
    finish(&mut document, &renamed);
    prune(&mut document);
    document
}

/// Puts schemas of what is taken beside those of what is given. Where one of the same name differs, or refers to one that differs,
/// it gets another name; the answer says which.
fn join(given: &mut Map<String, Value>, taken: Map<String, Value>) -> BTreeSet<String> {
    let text = |value: &Value| value.to_string().replace(TAKEN, GIVEN);
    let clash = |(name, value): &(&String, &Value)| given.get(*name).is_some_and(|it| text(it) != text(value));
    let mut renamed: BTreeSet<String> = taken.iter().filter(clash).map(|(name, _)| name.clone()).collect();
    loop {
        let refers = |value: &Value| {
            let text = value.to_string();
            renamed.iter().any(|name| text.contains(&format!("\"{TAKEN}{name}\"")))
        };
        let more: Vec<_> = taken
            .iter()
            .filter(|(name, value)| given.contains_key(*name) && !renamed.contains(*name) && refers(value))
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        renamed.extend(more);
    }
    for (name, value) in taken {
        let name = if renamed.contains(&name) { format!("{name}Input") } else { name };
        given.entry(name).or_insert(value);
    }
    renamed
}

/// Takes away the schemas that nothing refers to.
fn prune(document: &mut Value) {
    loop {
        let text = document.to_string();
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
        let before = schemas.len();
        schemas.retain(|name, _| text.contains(&format!("\"{GIVEN}{name}\"")));
        if schemas.len() == before {
            return;
        }
    }
}

/// Gives every reference its last form, and descriptions without the marks of links that only rustdoc follows.
fn finish(value: &mut Value, renamed: &BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| finish(value, renamed)),
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), &mut *value) {
                    ("$ref", Value::String(text)) => {
                        if let Some(name) = text.strip_prefix(TAKEN) {
                            let other = if renamed.contains(name) { "Input" } else { "" };
                            *text = format!("{GIVEN}{name}{other}");
                        }
                    }
                    ("description", Value::String(text)) => {
                        *text = text.replace("[`", "`").replace("`]", "`").replace("`crate::", "`");
                    }
                    _ => finish(value, renamed),
                }
            }
        }
        _ => {}
    }
}

fn describe(path: &str, operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag.name()],
        "responses": responses(path, operation, schemas),
    });
    if !operation.about.is_empty() {
        described["description"] = operation.about.into();
    }
    if operation.open {
        described["security"] = json!([]);
    }
    let mut all: Vec<Value> = parameters(path)
        .map(|name| {
            let (schema, about) = parameter(name, schemas).unwrap_or_else(|| (json!({"type": "string"}), ""));
            json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
        })
        .collect();
    if let Some(make) = operation.query {
        all.extend(query(make, &mut schemas.taken));
    }
    if operation.listed {
        all.extend(query(crate::paging::PageQuery::json_schema, &mut schemas.taken));
    }
    if operation.once {
        all.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "A text of your choice, new for each thing to be made: a request that comes again with it makes nothing again.",
            "schema": { "type": "string", "pattern": "^[!-~]{1,200}$" },
        }));
    }
    if operation.if_match {
        all.push(json!({
            "name": "If-Match", "in": "header", "required": false,
            "description": "The `ETag` of the version that this is to take the place of (RFC 9110, 13.1.1): where it is another one by now, nothing is changed.",
            "schema": { "type": "string", "pattern": "^\"[!#-~]{1,80}\"$" },
        }));
    }
    if !all.is_empty() {
        described["parameters"] = all.into();
    }
    if let Some(Body { kinds, example }) = &operation.body {
        let example = example.as_ref().map(|(example, _)| example);
        described["requestBody"] = json!({ "required": true, "content": content(kinds, example, &mut schemas.taken) });
    }
    described
}

/// One parameter for each field of a query.
fn query(make: Make, generator: &mut SchemaGenerator) -> Vec<Value> {
    let object = make(generator).to_value();
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = object["properties"].as_object().into_iter().flatten();
    fields
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let about = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_else(|| "".into());
            // A query can't hold null: what is not there is left out.
            if let Some(kinds) = schema.get_mut("type").filter(|kind| kind.is_array()) {
                *kinds = kinds.as_array().into_iter().flatten().find(|kind| *kind != "null").cloned().unwrap_or_default();
            }
            if schema.get("default").is_some_and(Value::is_null)
                && let Some(schema) = schema.as_object_mut()
            {
                schema.remove("default");
            }
            json!({
                "name": name, "in": "query", "required": required.contains(&name.as_str()), "description": about, "schema": schema,
            })
        })
        .collect()
}

fn content(kinds: &[(&'static str, Option<Make>)], example: Option<&Value>, generator: &mut SchemaGenerator) -> Value {
    let mut content = Map::new();
    for (kind, make) in kinds {
        let mut media = match make {
            Some(make) => json!({ "schema": make(generator).to_value() }),
            None => json!({}),
        };
        if let Some(example) = example {
            media["example"] = example.clone();
        }
        content.insert((*kind).to_owned(), media);
    }
    Value::Object(content)
}

fn responses(path: &str, operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    for Answer { status, about, kinds, example } in &operation.answers {
        let mut response = json!({ "description": about });
        if !kinds.is_empty() {
            response["content"] = content(kinds, example.as_ref().map(|(example, _)| example), &mut schemas.given);
        }
        if operation.listed {
            response["headers"]["Link"] = json!({
                "description": "Where the next entries are (`rel=\"next\"`, RFC 8288); not there on the last page.",
                "schema": { "type": "string" },
            });
        }
        if operation.tagged {
            response["headers"]["ETag"] = json!({
                "description": "This version, for `If-Match`.",
                "schema": { "type": "string", "pattern": "^\"[!#-~]*\"$" },
            });
        }
        if operation.once {
            response["headers"]["Idempotent-Replay"] = json!({
                "description": "`true` where this is the answer to an earlier request with the same `Idempotency-Key`.",
                "schema": { "type": "string", "enum": ["true"] },
            });
        }
        responses.insert(status.as_str().to_owned(), response);
    }
    for (status, codes) in failures(path, operation) {
        let words: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
        let mut response = json!({
            "description": words.join("; "),
            "content": { api::PROBLEM: { "schema": { "$ref": format!("{GIVEN}Problem") } } },
        });
        if status == 401 {
            response["headers"]["WWW-Authenticate"] = json!({ "schema": { "type": "string" } });
        }
        responses.insert(status.to_string(), response);
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    Value::Object(responses)
}

/// The codes of an operation's failures, by their status.
fn failures(path: &str, operation: &Operation) -> BTreeMap<u16, Vec<ErrorCode>> {
    let mut codes = Vec::new();
    if !operation.open {
        codes.extend([ErrorCode::Unauthorized, ErrorCode::Forbidden]);
    }
    let takes_text = operation.query.is_some() || operation.body.is_some() || path.contains('{');
    if takes_text || operation.listed || operation.once {
        codes.push(ErrorCode::BadRequest);
    }
    if path.contains("{app}") {
        codes.push(ErrorCode::AppNotFound);
    }
    if operation.once {
        codes.extend([ErrorCode::Conflict, ErrorCode::IdempotencyKeyReused]);
    }
    codes.extend(&operation.fails);
    let mut by_status = BTreeMap::<u16, Vec<ErrorCode>>::new();
    for code in codes {
        let same = by_status.entry(code.status()).or_default();
        if !same.contains(&code) {
            same.push(code);
        }
    }
    by_status
}
