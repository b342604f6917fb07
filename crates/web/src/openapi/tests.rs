//! The description holds together: ids, references, parameters, examples.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::{document, parameters};
use super::operations;
use crate::routes::Table;

fn walk(value: &Value, see: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| walk(value, see)),
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            see(key, value);
            walk(value, see);
        }),
        _ => {}
    }
}

#[test]
fn every_route_of_the_api_has_its_operation_and_every_operation_its_route() {
    let routes: BTreeSet<(&str, String)> = crate::table(Table::listing())
        .finish()
        .1
        .into_iter()
        .filter_map(|route| Some((route.method, route.path.strip_prefix(api::PREFIX)?.to_owned())))
        .collect();
    let described: BTreeSet<_> = operations().iter().map(|described| (described.method, described.path.to_owned())).collect();
    let missing: Vec<_> = routes.difference(&described).collect();
    assert!(
        missing.is_empty(),
        "routes that the API's description has not: {missing:?}. Describe each in `operations` of its handler's file (see apps.rs; \
         Operation::new(Tag, \"anId\", \"What it does\").answers::<T>(..)), and call that in openapi.rs where it is new"
    );
    let gone: Vec<_> = described.difference(&routes).collect();
    assert!(gone.is_empty(), "described (`operations` of some handler's file), and there are no such routes: {gone:?}");
    assert!(routes.len() > 30, "{routes:?}");
}

#[test]
fn every_operation_is_described_whole() {
    let operations = operations();
    let mut ids = BTreeSet::new();
    for described in &operations {
        let (operation, path) = (&described.operation, described.path);
        let place = format!("{} {path}", described.method);
        assert!(ids.insert(operation.id), "{place}: another operation has the id {}, too; give it one of its own", operation.id);
        assert!(
            !operation.summary.is_empty() && !operation.summary.ends_with('.'),
            "{place}: a summary is a few words, no sentence"
        );
        assert!(!operation.answers.is_empty(), "{place}: say what it answers (answers, streams, gives, nothing)");
        for name in parameters(path) {
            assert!(
                ["app", "number", "backup", "id", "user"].contains(&name),
                "{place}: say in openapi/document.rs (parameter) what {{{name}}} is, and add it here"
            );
        }
        let body = operation.body.as_ref().and_then(|body| body.example.as_ref());
        for (example, check) in body.into_iter().chain(operation.answers.iter().filter_map(|answer| answer.example.as_ref())) {
            check(example).unwrap_or_else(|error| panic!("{place}: its example is none: {error}"));
        }
    }
}

#[test]
fn the_document_refers_to_what_is_in_it() {
    let document = document(&operations(), "https://localhost:8443");
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = 0;
    walk(&document, &mut |key, value| {
        if let ("$ref", Some(target)) = (key, value.as_str()) {
            references += 1;
            let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads out of the document"));
            assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
        }
        if let ("description", Some(text)) = (key, value.as_str()) {
            assert!(!text.contains("[`"), "a link that only rustdoc follows: {text}");
        }
    });
    assert!(references > 100, "{references}");
    let schema = |name: &str| document["components"]["schemas"][name].clone();
    assert_eq!(schema("AppName")["pattern"], "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$");
    assert_eq!(schema("DeploymentNumber")["minimum"], 1);
    // What is read may leave out what has a default; what is written never does.
    assert_eq!(schema("Resources")["required"].as_array().map(Vec::len), Some(5), "{}", schema("Resources"));
    assert_eq!(schema("SettingsInput")["properties"]["resourceConfig"]["required"], Value::Null);
    assert_eq!(schema("ScalePatch")["required"], Value::Null);
}
