//! The API's description for people, made from the document that programs get.

use std::sync::OnceLock;

use api::ErrorCode;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use control::Control;
use serde_json::Value;

use crate::answer::{Answer, not_found};
use crate::pages::layout::{Shell, page};

/// A piece of a text that knows backticks and pairs of asterisks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Span {
    Text(String),
    Code(String),
    Strong(String),
}

/// One field of a body, an answer, or a query.
#[derive(Debug)]
pub(crate) struct Field {
    name: String,
    kind: String,
    /// The schema's name, where its type has one of its own.
    link: Option<String>,
    required: bool,
    about: Vec<Span>,
}

/// One way in which an operation is answered.
#[derive(Debug)]
pub(crate) struct Outcome {
    status: String,
    about: Vec<Span>,
    kind: String,
    link: Option<String>,
    example: String,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Endpoint {
    id: String,
    method: String,
    path: String,
    summary: String,
    about: Vec<Span>,
    parameters: Vec<Field>,
    body: Vec<Field>,
    outcomes: Vec<Outcome>,
    curl: String,
}

/// Operations of one kind.
#[derive(Debug)]
pub(crate) struct Group {
    name: String,
    about: Vec<Span>,
    endpoints: Vec<Endpoint>,
}

/// A document that has a name.
#[derive(Debug)]
pub(crate) struct Kind {
    name: String,
    about: Vec<Span>,
    fields: Vec<Field>,
    words: Vec<String>,
}

/// The whole description.
#[derive(Debug)]
pub(crate) struct Docs {
    about: Vec<Vec<Span>>,
    groups: Vec<Group>,
    kinds: Vec<Kind>,
}

#[derive(Debug, Template)]
#[template(path = "api_docs.html")]
struct DocsPage {
    shell: Shell,
    docs: &'static Docs,
}

/// `GET /api/docs`.
pub(crate) async fn docs(shell: Shell, State(control): State<Control>) -> Response {
    /// Made once: neither the program nor its address changes while it runs.
    static DOCS: OnceLock<Docs> = OnceLock::new();
    let docs = DOCS.get_or_init(|| read(&crate::description(&control.platform().url)));
    page(&DocsPage { shell: shell.titled("API"), docs })
}

#[derive(Debug, Template)]
#[template(path = "api_error.html")]
struct ErrorPage {
    shell: Shell,
    code: &'static str,
    title: &'static str,
    status: u16,
    exit: u8,
}

/// `GET /help/errors/{code}`: where the `type` of a problem leads.
pub(crate) async fn error(shell: Shell, Path(code): Path<String>) -> Answer<Response> {
    let code = ErrorCode::parse(&code);
    if code == ErrorCode::Unknown {
        return Err(not_found().await);
    }
    let (title, status, exit) = (code.title(), code.status(), code.exit_code());
    Ok(page(&ErrorPage { shell: shell.titled(title), code: code.as_str(), title, status, exit }))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Cuts a text at its backticks and pairs of asterisks.
pub(crate) fn spans(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*']) {
        let mark = if rest[at..].starts_with("**") { "**" } else { &rest[at..=at] };
        let inner = &rest[at + mark.len()..];
        let Some(end) = inner.find(mark).filter(|_| mark != "*") else {
            spans.push(Span::Text(rest[..at + mark.len()].to_owned()));
            rest = inner;
            continue;
        };
        spans.push(Span::Text(rest[..at].to_owned()));
        let marked = inner[..end].to_owned();
        spans.push(if mark == "`" { Span::Code(marked) } else { Span::Strong(marked) });
        rest = &inner[end + mark.len()..];
    }
    spans.push(Span::Text(rest.to_owned()));
    spans.retain(|span| *span != Span::Text(String::new()));
    spans
}

/// The description as the page shows it.
pub(crate) fn read(document: &Value) -> Docs {
    let about = text(&document["info"]["description"]).split("\n\n").map(spans).collect();
    let url = text(&document["servers"][0]["url"]);
    let mut groups: Vec<Group> = document["tags"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tag| Group { name: text(&tag["name"]), about: spans(&text(&tag["description"])), endpoints: Vec::new() })
        .collect();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let endpoint = endpoint(&url, method, path, operation, document);
            if let Some(group) = groups.iter_mut().find(|group| operation["tags"][0] == *group.name) {
                group.endpoints.push(endpoint);
            }
        }
    }
    groups.retain(|group| !group.endpoints.is_empty());
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
    let kinds = schemas.map(|(name, schema)| Kind {
        name: name.clone(),
        about: spans(&text(&schema["description"])),
        fields: fields(schema, document),
        words: words(schema),
    });
    Docs { about, groups, kinds: kinds.collect() }
}

/// The words of a schema that allows only some.
fn words(schema: &Value) -> Vec<String> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let single = schema["oneOf"].as_array().into_iter().flatten().map(|one| &one["const"]);
    let inner = schema["oneOf"].as_array().into_iter().flatten().flat_map(|one| one["enum"].as_array().into_iter().flatten());
    listed.chain(single).chain(inner).filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// The fields of an object, those of what it is put together from among them.
fn fields(schema: &Value, document: &Value) -> Vec<Field> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut all: Vec<Field> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, field)| {
            let (kind, link) = kind(field);
            Field {
                name: name.clone(),
                kind,
                link,
                required: required.contains(&name.as_str()),
                about: spans(&text(&field["description"])),
            }
        })
        .collect();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        all.extend(fields(resolve(part, document), document));
    }
    all
}

fn resolve<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|target| document.pointer(target.strip_prefix('#')?));
    target.unwrap_or(schema)
}

/// A type in a word or two, and the name of its schema where it has one.
fn kind(schema: &Value) -> (String, Option<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        return (name.to_owned(), Some(name.to_owned()));
    }
    if let Some(inner) = schema["anyOf"].as_array().and_then(|any| any.iter().find(|one| one["type"] != "null")) {
        return kind(inner);
    }
    let word = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str).unwrap_or("any"),
        other => other.as_str().unwrap_or("any"),
    };
    match word {
        "array" => {
            let (inner, link) = kind(&schema["items"]);
            (format!("list of {inner}"), link)
        }
        "string" if schema["format"] == "date-time" => ("time".to_owned(), None),
        "object" => ("map".to_owned(), None),
        word => (word.to_owned(), None),
    }
}

fn endpoint(url: &str, method: &str, path: &str, operation: &Value, document: &Value) -> Endpoint {
    let parameters = operation["parameters"].as_array().into_iter().flatten().map(|parameter| {
        let (kind, link) = kind(&parameter["schema"]);
        let place = text(&parameter["in"]);
        Field {
            name: text(&parameter["name"]),
            kind: format!("{kind}, in the {place}"),
            link,
            required: parameter["required"] == true,
            about: spans(&text(&parameter["description"])),
        }
    });
    let body = &operation["requestBody"]["content"][api::JSON]["schema"];
    let outcomes = operation["responses"].as_object().into_iter().flatten().filter(|(status, _)| *status != "default");
    let outcomes = outcomes.map(|(status, response)| {
        let content = response["content"].as_object().and_then(|content| content.iter().next());
        let (kind, link) = match content {
            Some((_, media)) if media.get("schema").is_some() => kind(&media["schema"]),
            Some((kind, _)) => (kind.clone(), None),
            None => (String::new(), None),
        };
        let example = content.and_then(|(_, media)| media.get("example"));
        Outcome {
            status: status.clone(),
            about: spans(&text(&response["description"])),
            kind,
            link,
            example: example.and_then(|example| serde_json::to_string_pretty(example).ok()).unwrap_or_default(),
        }
    });
    Endpoint {
        id: text(&operation["operationId"]),
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        about: spans(&text(&operation["description"])),
        parameters: parameters.collect(),
        body: fields(resolve(body, document), document),
        outcomes: outcomes.collect(),
        curl: curl(url, method, path, operation),
    }
}

/// The command line that does it.
fn curl(url: &str, method: &str, path: &str, operation: &Value) -> String {
    let path = path.replace("{app}", "my-shop").replace("{number}", "3").replace("{backup}", "20261124T031500Z-ab12");
    let path = path.replace("{id}", "7").replace("{user}", "ada");
    let needed =
        operation["parameters"].as_array().into_iter().flatten().filter(|it| it["in"] == "query" && it["required"] == true);
    let query: Vec<_> = needed.map(|it| format!("{}=2026-11-24T09:00:00Z", text(&it["name"]))).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let mut lines = vec!["curl --cacert ca.pem".to_owned()];
    if !operation["security"].as_array().is_some_and(Vec::is_empty) {
        lines.push("-H \"Authorization: Bearer $ADAPTABLE_TOKEN\"".to_owned());
    }
    let content = operation["requestBody"]["content"].as_object();
    if method != "get" && !(method == "post" && content.is_some()) {
        lines.push(format!("-X {}", method.to_ascii_uppercase()));
    }
    match content.and_then(|content| content.iter().next()) {
        Some((_, media)) if media.get("example").is_some() => {
            lines.push(format!("--json '{}'", media["example"].to_string().replace('\'', "'\\''")));
        }
        Some((kind, _)) => lines.push(format!("-H 'Content-Type: {kind}' --data-binary @-")),
        None => {}
    }
    lines.push(format!("'{url}{path}{query}'"));
    lines.join(" \\\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_spans() {
        let said = spans("**Lists** take `limit`, 2 * 3 and `open");
        let expected = [
            Span::Strong("Lists".into()),
            Span::Text(" take ".into()),
            Span::Code("limit".into()),
            Span::Text(", 2 *".into()),
            Span::Text(" 3 and `".into()),
            Span::Text("open".into()),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn every_operation_is_on_the_page() {
        let document = crate::description("https://cloud.example");
        let docs = Box::leak(Box::new(read(&document)));
        let count: usize = docs.groups.iter().map(|group| group.endpoints.len()).sum();
        let paths = document["paths"].as_object().expect("paths");
        assert_eq!(count, paths.values().filter_map(Value::as_object).map(serde_json::Map::len).sum::<usize>());
        let create =
            docs.groups.iter().flat_map(|group| &group.endpoints).find(|it| it.id == "createToken").expect("it is there");
        assert_eq!(
            create.curl,
            "curl --cacert ca.pem \\\n  -H \"Authorization: Bearer $ADAPTABLE_TOKEN\" \\\n  --json '{\"name\":\"laptop\"}' \\\n  \
             'https://cloud.example/api/v1/tokens'"
        );
        assert!(create.body.iter().any(|field| field.name == "app" && field.link.as_deref() == Some("AppName")), "{create:?}");
        let page = DocsPage { shell: Shell::bare("API"), docs }.render().expect("it renders");
        assert!(page.contains("id=\"createToken\"") && page.contains("id=\"AppStatus\""));
        for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(page.contains(&format!("id=\"{link}\"")), "#{link} leads nowhere");
        }
    }
}
