//! The schema of the settings document says what the platform does: no more is allowed by one than by the other.

use api::settings_schema;
use jsonschema::Validator;
use model::Settings;
use model::settings::fields::FIELDS;
use serde_json::{Value, json};

fn validator() -> Validator {
    jsonschema::draft202012::new(&settings_schema()).expect("a schema")
}

/// What the platform makes of a document.
fn is_taken(document: &Value) -> bool {
    serde_json::from_value::<Settings>(document.clone()).is_ok_and(|settings| settings.violations().is_empty())
}

/// A document in which only this key is set.
fn with(key: &str, value: &Value) -> Value {
    match key.split_once('.') {
        None => json!({ key: value }),
        // What the others of a group need, so that this one decides.
        Some(("static", inner)) if inner != "root" => json!({ "static": { "root": "dist", inner: value } }),
        Some(("resourceConfig", "minInstances")) => json!({ "resourceConfig": { "minInstances": value, "maxInstances": 1000 } }),
        Some(("database", inner)) => json!({ "databaseType": "postgres", "database": { inner: value } }),
        Some((outer, inner)) => json!({ outer: { inner: value } }),
    }
}

fn candidates() -> Vec<Value> {
    let mut all = vec![Value::Null, json!(true), json!(false), json!([]), json!({}), json!([1]), json!(["citext", "hstore"])];
    all.push(json!(["citext", "nope"]));
    for number in [-1, 0, 1, 2, 15, 16, 17, 255, 256, 300, 512, 999, 1000, 1001, 3600, 3601, 3_600_000, 3_600_001, 16_777_216] {
        all.push(json!(number));
    }
    all.extend([
        json!(16_777_217),
        json!(4_294_967_040_u64),
        json!(4_294_967_295_u64),
        json!(4_294_967_296_u64),
        json!(u64::MAX),
    ]);
    for number in [0.04, 0.05, 0.5, 63.5, 64.5, -0.5, 1e300] {
        all.push(json!(number));
    }
    let texts = [
        "", " ", "\n", "x", "a b", "/a", "a/..", "../a", "a/../b", "..", "a..b/..c", "a\\b", "a\0b", "3", "22", "3.11", "3.1.1",
        "3.", "1234", "3.1234", "٣.1", "flask", "django", "express", "cobol", "postgres", "mssql", "oracle", "none", "http1",
        "h2c", "h3", "paketo", "/healthz", "/a?b=c", "/a#b", "/a b", "healthz", "/", "on",
    ];
    all.extend(texts.into_iter().map(Value::from));
    all.extend([8192, 8193, 1024, 1025].map(|length| json!("x".repeat(length))));
    all.push(json!(format!("/{}", "x".repeat(1023))));
    all.push(json!(format!("/{}", "x".repeat(1024))));
    for name in ["A", "_a9", "9a", "A-B", "", "Ä", "A B"] {
        all.push(json!({ name: "x" }));
    }
    all.extend([
        json!({ "A": 1 }),
        json!({ "A": "a\0b" }),
        json!({ "A": "" }),
        json!({ "A".repeat(256): "" }),
        json!({ "A".repeat(257): "" }),
    ]);
    for port in ["0", "1", "80", "+80", " 8080 ", "65535", "65536", "99999", "080", "-1", "x", "", "8 0"] {
        all.push(json!({ "PORT": port }));
    }
    for name in [
        "a.example",
        "a",
        "A.example",
        "a..example",
        "-a.example",
        "a-.example",
        "a.example.",
        "xn--a.example",
        ".example",
        "a_b.example",
    ] {
        all.push(json!([{ "domainName": name }]));
    }
    all.extend([
        json!([{ "domainName": "a.example", "name": "x", "endpoint": null }]),
        json!([{ "domainName": "a.example", "more": 1 }]),
        json!([{ "name": "x" }]),
        json!([{ "domainName": format!("{}.example", "a".repeat(64)) }]),
        json!([{ "domainName": format!("{}.example", "a".repeat(63)) }]),
    ]);
    all
}

#[test]
fn the_schema_and_the_platform_agree_on_every_value_of_every_key() {
    let validator = validator();
    let (mut taken, mut refused) = (0, 0);
    for field in FIELDS {
        let (mut of_field, mut against) = (0, 0);
        for value in candidates() {
            // Whether a text is an address is more than a schema says.
            if field.key == "database.allow" && value.as_array().is_some_and(|list| list.iter().any(Value::is_string)) {
                continue;
            }
            let document = with(field.key, &value);
            let said = validator.iter_errors(&document).map(|error| error.to_string()).collect::<Vec<_>>();
            assert_eq!(said.is_empty(), is_taken(&document), "{:.200} {said:.200?}", document.to_string());
            of_field += usize::from(said.is_empty());
            against += usize::from(!said.is_empty());
        }
        assert!(of_field > 0 && against > 0, "{}: {of_field} taken, {against} refused", field.key);
        (taken, refused) = (taken + of_field, refused + against);
    }
    assert!(taken > 100 && refused > 1000, "{taken} {refused}");
}

#[test]
fn unknown_keys_are_refused_wherever_they_are() {
    let validator = validator();
    for document in [
        json!({ "startcommand": "x" }),
        json!({ "serving": { "Freeze": true } }),
        json!({ "database": { "size": 1 } }),
        json!({ "databaseType": "mongodb", "database": { "pointInTime": true } }),
        json!({ "database": { "pointInTime": true } }),
    ] {
        assert!(!validator.is_valid(&document) && !is_taken(&document), "{document}");
    }
    let document = json!({ "databaseType": "postgres", "database": { "pointInTime": true } });
    assert!(validator.is_valid(&document) && is_taken(&document));
}

#[test]
fn every_key_has_a_title_a_text_and_a_default_that_is_allowed() {
    let schema = settings_schema();
    let mut defaults = 0;
    for field in FIELDS {
        let pointer = format!("/properties/{}", field.key.replace('.', "/properties/"));
        let own = schema.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}"));
        assert_eq!(own["title"], field.label);
        assert!(own["description"].as_str().is_some_and(|text| text.starts_with(field.help)));
        if let Some(default) = own.get("default") {
            assert!(validator().is_valid(&with(field.key, default)), "{}: {default}", field.key);
            defaults += 1;
        }
    }
    assert!(defaults == 18, "{defaults}");
}
