//! The API's description for people, made from the document that programs get: an index, a page for each group of operations, and one
//! for the documents that they take and give.

use std::sync::OnceLock;

use api::ErrorCode;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use control::Control;
use serde_json::Value;

use crate::answer::{Answer, not_found};
use crate::pages::layout::{Shell, page};
use crate::pages::text::{Span, spans};

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

/// One way in which an operation is answered well.
#[derive(Debug)]
pub(crate) struct Outcome {
    status: String,
    about: Vec<Span>,
    kind: String,
    link: Option<String>,
    example: String,
}

/// One way in which it fails: the status, and the word for programs.
#[derive(Debug)]
pub(crate) struct Failure {
    status: String,
    code: &'static str,
    title: &'static str,
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
    failures: Vec<Failure>,
    curl: String,
}

/// Operations of one kind.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its name in addresses.
    word: String,
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

/// The page of the documents, in addresses.
const DOCUMENTS: &str = "documents";

/// The pages: address, name, and whether it is this one.
type Contents = Vec<(String, &'static str, bool)>;

impl Docs {
    /// What this platform's API is. Made once: neither the program nor its address changes while it runs.
    fn of(control: &Control) -> &'static Self {
        static DOCS: OnceLock<Docs> = OnceLock::new();
        DOCS.get_or_init(|| read(&crate::description(&control.platform().url)))
    }

    fn contents(&'static self, here: &str) -> Contents {
        let groups = self.groups.iter().map(|group| (group.word.as_str(), group.name.as_str()));
        groups.chain([(DOCUMENTS, "Documents")]).map(|(word, name)| (format!("/api/docs/{word}"), name, word == here)).collect()
    }
}

#[derive(Debug, Template)]
#[template(path = "api_docs.html")]
struct IndexPage {
    shell: Shell,
    docs: &'static Docs,
    contents: Contents,
}

#[derive(Debug, Template)]
#[template(path = "api_group.html")]
struct GroupPage {
    shell: Shell,
    group: &'static Group,
    contents: Contents,
}

#[derive(Debug, Template)]
#[template(path = "api_documents.html")]
struct DocumentsPage {
    shell: Shell,
    docs: &'static Docs,
    contents: Contents,
}

impl IndexPage {
    fn new(shell: Shell, docs: &'static Docs) -> Self {
        Self { shell: shell.titled("API"), docs, contents: docs.contents("") }
    }
}

impl GroupPage {
    fn new(shell: Shell, docs: &'static Docs, group: &'static Group) -> Self {
        Self { shell: shell.titled(format!("{} · API", group.name)), group, contents: docs.contents(&group.word) }
    }
}

impl DocumentsPage {
    fn new(shell: Shell, docs: &'static Docs) -> Self {
        Self { shell: shell.titled("Documents · API"), docs, contents: docs.contents(DOCUMENTS) }
    }
}

/// `GET /api/docs`.
pub(crate) async fn index(shell: Shell, State(control): State<Control>) -> Response {
    page(&IndexPage::new(shell, Docs::of(&control)))
}

/// `GET /api/docs/{part}`: a group of operations, or the documents.
pub(crate) async fn part(shell: Shell, State(control): State<Control>, Path(part): Path<String>) -> Answer<Response> {
    let docs = Docs::of(&control);
    if part == DOCUMENTS {
        return Ok(page(&DocumentsPage::new(shell, docs)));
    }
    let Some(group) = docs.groups.iter().find(|group| group.word == part) else { return Err(not_found().await) };
    Ok(page(&GroupPage::new(shell, docs, group)))
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

/// The description as the page shows it.
pub(crate) fn read(document: &Value) -> Docs {
    let about = text(&document["info"]["description"]).split("\n\n").map(spans).collect();
    let url = text(&document["servers"][0]["url"]);
    let mut groups: Vec<Group> = document["tags"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tag| {
            let name = text(&tag["name"]);
            let word = name.to_lowercase().replace(' ', "-");
            Group { word, name, about: spans(&text(&tag["description"])), endpoints: Vec::new() }
        })
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
    let mut outcomes = Vec::new();
    let mut failures = Vec::new();
    for (status, response) in operation["responses"].as_object().into_iter().flatten().filter(|(it, _)| *it != "default") {
        let about = spans(&text(&response["description"]));
        let content = response["content"].as_object().and_then(|content| content.iter().next());
        if content.is_some_and(|(kind, _)| kind == api::PROBLEM) {
            // Its words are the codes, each with its title.
            let codes =
                about.iter().filter_map(|span| if let Span::Code(code) = span { Some(ErrorCode::parse(code)) } else { None });
            failures.extend(codes.map(|code| Failure { status: status.clone(), code: code.as_str(), title: code.title() }));
            continue;
        }
        let (kind, link) = match content {
            Some((_, media)) if media.get("schema").is_some() => kind(&media["schema"]),
            Some((kind, _)) => (kind.clone(), None),
            None => (String::new(), None),
        };
        let example = content.and_then(|(_, media)| media.get("example"));
        let example = example.and_then(|example| serde_json::to_string_pretty(example).ok()).unwrap_or_default();
        outcomes.push(Outcome { status: status.clone(), about, kind, link, example });
    }
    Endpoint {
        id: text(&operation["operationId"]),
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        about: spans(&text(&operation["description"])),
        parameters: parameters.collect(),
        body: fields(resolve(body, document), document),
        outcomes,
        failures,
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
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_operation_is_on_the_page() {
        let document = crate::description("https://cloud.example");
        let docs = read(&document);
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
        assert!(create.failures.iter().any(|failure| failure.code == "unauthorized" && failure.status == "401"), "{create:?}");
        assert!(create.outcomes.iter().all(|outcome| outcome.status.starts_with('2')), "{create:?}");
    }

    #[test]
    fn every_page_is_light_and_its_links_lead_somewhere() {
        let docs: &'static Docs = Box::leak(Box::new(read(&crate::description("https://cloud.example"))));
        let shell = || Shell::bare("API");
        let mut pages = vec![
            ("/api/docs".to_owned(), IndexPage::new(shell(), docs).render()),
            (format!("/api/docs/{DOCUMENTS}"), DocumentsPage::new(shell(), docs).render()),
        ];
        let groups = docs.groups.iter().map(|group| (group, GroupPage::new(shell(), docs, group).render()));
        pages.extend(groups.map(|(group, page)| (format!("/api/docs/{}", group.word), page)));
        let pages: BTreeMap<String, String> =
            pages.into_iter().map(|(address, page)| (address, page.expect("it renders"))).collect();
        for (address, page) in &pages {
            assert!(page.len() < 100 * 1024, "{address}: {} bytes", page.len());
            let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            for link in links.filter(|link| link.starts_with("/api/docs") || link.starts_with('#')) {
                let (to, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = pages.get(if to.is_empty() { address.as_str() } else { to });
                let target = target.unwrap_or_else(|| panic!("{address}: {link} leads nowhere"));
                assert!(anchor.is_empty() || target.contains(&format!("id=\"{anchor}\"")), "{address}: {link} leads nowhere");
            }
        }
        let tokens = &pages["/api/docs/access"];
        assert!(tokens.contains("id=\"createToken\"") && pages["/api/docs/documents"].contains("id=\"AppStatus\""));
    }
}
