//! GitHub's own description of its API: what the stand-in said, and what the client asked for, are held against it.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use testkit::github::{Delivery, Exchange};

/// Where `scripts/github-descriptions.sh` puts it.
const TOOLS: &str = "/var/cache/adaptable/test";
const NAME: &str = "github-23.0.2-7.6.1/api.json";

/// The description, its schemas as JSON Schema. None, with a line that says so, where it was not fetched.
#[expect(clippy::print_stdout, reason = "whoever reads the tests' output must see that some were left out")]
fn description() -> Option<&'static Value> {
    static DESCRIPTION: OnceLock<Option<Value>> = OnceLock::new();
    let read = || {
        let tools = std::env::var_os("ADAPTABLE_TEST_TOOLS").map_or_else(|| PathBuf::from(TOOLS), PathBuf::from);
        let path = tools.join(NAME);
        let Ok(text) = std::fs::read(&path) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "{} is not there: scripts/github-descriptions.sh fetches it",
                path.display()
            );
            println!("left out: {} is not there; scripts/github-descriptions.sh fetches it, where there is npm", path.display());
            return None;
        };
        let mut document = serde_json::from_slice(&text).expect("a description");
        to_json_schema(&mut document);
        Some(document)
    };
    DESCRIPTION.get_or_init(read).as_ref()
}

/// Schemas of `OpenAPI` 3.0 say `nullable`, which JSON Schema does not know (`OpenAPI` 3.0.3, "Fixed Fields" of the Schema Object).
fn to_json_schema(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(to_json_schema),
        Value::Object(schema) => {
            // Examples are no schemas, whatever they look like.
            schema.remove("example");
            schema.remove("examples");
            schema.values_mut().for_each(to_json_schema);
            // An account is one or the other; where the description of one operation was put together, it became both at once.
            let titles = |one: &Value| one["title"].as_str().map(str::to_owned);
            let both = schema.get("allOf").and_then(Value::as_array).map(|all| all.iter().filter_map(titles).collect::<Vec<_>>());
            if both.is_some_and(|titles| titles == ["Simple User", "Enterprise"])
                && let Some(either) = schema.remove("allOf")
            {
                schema.insert("anyOf".to_owned(), either);
            }
            if schema.get("nullable") == Some(&Value::Bool(true)) {
                schema.remove("nullable");
                let or_null = std::mem::take(schema);
                *schema = Map::from_iter([("anyOf".to_owned(), json!([{ "type": "null" }, Value::Object(or_null)]))]);
            }
        }
        _ => {}
    }
}

fn follow<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(pointer) = value["$ref"].as_str() else { return value };
    document.pointer(pointer.trim_start_matches('#')).unwrap_or_else(|| panic!("{pointer} is not there"))
}

/// Copies what a schema refers to, and what that refers to.
fn copy_components(document: &Value, schema: &Value, copied: &mut Map<String, Value>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| copy_components(document, item, copied)),
        Value::Object(fields) => {
            let pointer = fields.get("$ref").and_then(Value::as_str);
            if let Some(name) = pointer.and_then(|pointer| pointer.strip_prefix("#/components/schemas/"))
                && !copied.contains_key(name)
            {
                let component = &document["components"]["schemas"][name];
                copied.insert(name.to_owned(), component.clone());
                copy_components(document, component, copied);
            }
            fields.values().for_each(|field| copy_components(document, field, copied));
        }
        _ => {}
    }
}

/// What is wrong with a document.
fn wrong(document: &Value, schema: &Value, instance: &Value) -> Vec<String> {
    let mut components = Map::new();
    copy_components(document, schema, &mut components);
    let root = json!({ "allOf": [schema], "components": { "schemas": components } });
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true).build(&root);
    let validator = validator.expect("a schema of GitHub's");
    validator.iter_errors(instance).map(|error| format!("{}: {error:.300}", error.instance_path())).collect()
}

/// Holds calls against the description: requests and answers. At least these operations must be among them.
pub(crate) fn check(exchanges: &[Exchange], operations: &[(&str, &str)]) {
    let Some(document) = description() else { return };
    for operation in operations {
        let is_there = |it: &&Exchange| (it.method.as_str(), it.path.as_str()) == *operation && it.status < 300;
        assert!(exchanges.iter().find(is_there).is_some(), "{operation:?} was not called");
    }
    let mut seen = std::collections::BTreeSet::new();
    for exchange in exchanges {
        // A page of a list is like the others.
        if exchange.status < 300
            && !seen.insert((&exchange.method, &exchange.path, exchange.request.as_ref().map(ToString::to_string)))
        {
            continue;
        }
        check_one(document, exchange);
    }
}

fn check_one(document: &Value, exchange: &Exchange) {
    let basic = json!({ "$ref": "#/components/schemas/basic-error" });
    let answer = exchange.response.as_ref();
    let what = format!("{} {} {}", exchange.method, exchange.path, exchange.status);
    if exchange.path.is_empty() {
        assert!(exchange.status >= 300, "{what} is described nowhere");
        let answer = answer.expect("a document");
        assert_eq!(wrong(document, &basic, answer), Vec::<String>::new(), "{what}: {answer}");
        return;
    }
    let operation = &document["paths"][&exchange.path][&exchange.method];
    assert!(operation.is_object(), "{what} is described nowhere");
    if let Some(request) = exchange.request.as_ref().filter(|_| exchange.status < 300) {
        let schema = &follow(document, &operation["requestBody"])["content"]["application/json"]["schema"];
        assert_eq!(wrong(document, schema, request), Vec::<String>::new(), "the request of {what}: {request}");
    }
    let described = follow(document, &operation["responses"][exchange.status.to_string()]);
    let schema = &described["content"]["application/json"]["schema"];
    // Refusals that are not described for every operation have one form all the same.
    assert!(exchange.status >= 400 || schema.is_object(), "{what} is not described");
    let schema = if schema.is_object() { schema } else { &basic };
    let answer = answer.unwrap_or_else(|| panic!("{what} has no document"));
    assert_eq!(wrong(document, schema, answer), Vec::<String>::new(), "{what}: {answer}");
}

/// Holds a delivery against the description of its event.
pub(crate) fn check_delivery(delivery: &Delivery) {
    let Some(document) = description() else { return };
    let body: Value = serde_json::from_str(&delivery.body).expect("a document");
    let event = delivery.event.replace('_', "-");
    let name = body["action"].as_str().map_or_else(|| event.clone(), |action| format!("{event}-{}", action.replace('_', "-")));
    let request = &document["x-webhooks"][&name]["post"]["requestBody"];
    let schema = &request["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{name} is described nowhere");
    assert_eq!(wrong(document, schema, &body), Vec::<String>::new(), "{name}: {body}");
}
