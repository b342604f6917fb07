//! Help pages: the documentation itself, compiled in, and the table of settings.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use api::{ErrorBody, ErrorCode};
use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use model::settings::fields::{FIELDS, Field, Input, Section, find};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::answer::{Answer, Problem};
use crate::pages::layout::{Shell, page};
use crate::routes::{Needs, Table};

/// The documents, by the word in their address.
const DOCUMENTS: [(&str, &str); 3] = [
    ("checks", include_str!("../../../../docs/checks.md")),
    ("failures", include_str!("../../../../docs/failures.md")),
    ("requirements", include_str!("../../../../docs/requirements.md")),
];

/// Adds the help pages. Anybody may read them.
pub(crate) fn routes(table: Table) -> Table {
    table
        .get("/help", Needs::Nothing, index)
        .get("/help/settings", Needs::Nothing, settings)
        .get("/help/settings/{key}", Needs::Nothing, setting)
        .get("/help/{document}", Needs::Nothing, document)
        .get("/help/{document}/{section}", Needs::Nothing, section)
}

/// A document, made into pages once.
#[derive(Debug)]
struct Document {
    title: String,
    /// Each section by the text of its heading: a title for people, and its body.
    sections: Vec<(String, String)>,
    /// All of it.
    whole: String,
}

static PAGES: LazyLock<BTreeMap<&'static str, Document>> =
    LazyLock::new(|| DOCUMENTS.into_iter().map(|(word, text)| (word, Document::read(word, text))).collect());

impl Document {
    fn read(word: &str, text: &str) -> Self {
        let mut title = String::new();
        let mut parts: Vec<(String, String)> = vec![(String::new(), String::new())];
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                parts.push((heading.trim().to_owned(), String::new()));
                continue;
            }
            match line.strip_prefix("# ") {
                Some(heading) if title.is_empty() => heading.trim().clone_into(&mut title),
                _ => {
                    let body = &mut parts.last_mut().expect("one was pushed first").1;
                    body.push_str(line);
                    body.push('\n');
                }
            }
        }
        let mut parts = parts.into_iter().map(|(heading, body)| (heading, html(&body)));
        let (_, mut whole) = parts.next().unwrap_or_default();
        let sections: Vec<_> = parts.collect();
        for (heading, body) in &sections {
            let _never = write!(whole, "<h2 id=\"{}\">{}</h2>{body}", slug(heading), escaped(&name_of(word, heading)));
        }
        Self { title, sections, whole }
    }
}

/// What people call a section whose heading is an id.
fn name_of(document: &str, heading: &str) -> String {
    if document == "checks"
        && let Some((_, title)) = control::CHECKS.iter().find(|(id, _)| *id == heading)
    {
        return (*title).to_owned();
    }
    let text = heading.replace('-', " ");
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn slug(heading: &str) -> String {
    heading.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Markdown as HTML. Raw HTML in it is text; links lead to other help pages, or are no links.
fn html(text: &str) -> String {
    let mut unlinked = 0_usize;
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let to = link(&dest_url);
            unlinked += usize::from(to.is_none());
            to.map(|to| Event::Start(Tag::Link { link_type, dest_url: CowStr::from(to), title, id }))
        }
        Event::End(TagEnd::Link) if unlinked > 0 => {
            unlinked -= 1;
            None
        }
        // The page has its own first heading.
        Event::Start(Tag::Heading { level: HeadingLevel::H1, id, classes, attrs }) => {
            Some(Event::Start(Tag::Heading { level: HeadingLevel::H2, id, classes, attrs }))
        }
        Event::End(TagEnd::Heading(HeadingLevel::H1)) => Some(Event::End(TagEnd::Heading(HeadingLevel::H2))),
        event => Some(event),
    });
    let mut out = String::new();
    pulldown_cmark::html::push_html(&mut out, events);
    out
}

/// Where a link of the documentation leads among the help pages.
fn link(to: &str) -> Option<String> {
    if to.starts_with("https://") || to.starts_with("/help") || to.starts_with("/operator") {
        return Some(to.to_owned());
    }
    let (file, anchor) = to.split_once('#').unwrap_or((to, ""));
    let word = file.strip_suffix(".md")?;
    DOCUMENTS.iter().find(|(known, _)| *known == word)?;
    Some(if anchor.is_empty() { format!("/help/{word}") } else { format!("/help/{word}/{anchor}") })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// HTML that was made here, of what is compiled in: nothing of it came from outside.
#[derive(Debug)]
struct Prose(String);

impl fmt::Display for Prose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Prose {}

#[derive(Debug, Template)]
#[template(path = "help.html")]
struct Help {
    shell: Shell,
    crumbs: Vec<(String, String)>,
    heading: String,
    /// Made here, of what is compiled in.
    body: Prose,
    contents: Vec<(String, String, bool)>,
}

fn not_found() -> Problem {
    Problem(ErrorBody::new(ErrorCode::NotFound, "there is no such help page").help("all of them are listed at /help"))
}

async fn index(shell: Shell) -> Response {
    let mut body = String::from("<ul>");
    for (word, about) in [
        ("requirements", "What an app needs to run here, and what it finds in its environment"),
        ("checks", "What is checked before an app is deployed, and why"),
        ("settings", "Every setting, with its default and what is allowed"),
        ("failures", "Why deployments fail, and what to change"),
    ] {
        let title = PAGES.get(word).map_or("Settings", |document| &document.title);
        let _never = write!(body, "<li><a href=\"/help/{word}\">{}</a><br>{}</li>", escaped(title), escaped(about));
    }
    body.push_str("</ul>");
    page(&Help {
        shell: shell.titled("Help"),
        crumbs: Vec::new(),
        heading: "Help".to_owned(),
        body: Prose(body),
        contents: Vec::new(),
    })
}

async fn document(shell: Shell, Path(word): Path<String>) -> Answer<Response> {
    let document = PAGES.get(word.as_str()).ok_or_else(not_found)?;
    let contents =
        document.sections.iter().map(|(heading, _)| (format!("#{}", slug(heading)), name_of(&word, heading), false)).collect();
    Ok(page(&Help {
        shell: shell.titled(document.title.clone()),
        crumbs: Vec::new(),
        heading: document.title.clone(),
        body: Prose(document.whole.clone()),
        contents,
    }))
}

async fn section(shell: Shell, Path((word, section)): Path<(String, String)>) -> Answer<Response> {
    let document = PAGES.get(word.as_str()).ok_or_else(not_found)?;
    let found = document.sections.iter().find(|(heading, _)| slug(heading) == section);
    let (heading, body) = found.ok_or_else(not_found)?;
    let name = name_of(&word, heading);
    let contents = document
        .sections
        .iter()
        .map(|(other, _)| (format!("/help/{word}/{}", slug(other)), name_of(&word, other), other == heading))
        .collect();
    Ok(page(&Help {
        shell: shell.titled(name.clone()),
        crumbs: vec![(format!("/help/{word}"), document.title.clone())],
        heading: name,
        body: Prose(body.clone()),
        contents,
    }))
}

async fn settings(shell: Shell) -> Response {
    let mut body = String::from(
        "<p>All settings of an app are one document, which the page Settings shows as a form and as YAML. Changed settings take effect with the next deployment.</p>",
    );
    let mut contents = Vec::new();
    for section in Section::ALL {
        let fields: Vec<&Field> = FIELDS.iter().filter(|field| field.section == section).collect();
        if fields.is_empty() {
            continue;
        }
        let _never = write!(body, "<h2 id=\"{}\">{}</h2>", section.id(), escaped(section.title()));
        contents.push((format!("#{}", section.id()), section.title().to_owned(), false));
        for field in fields {
            let _never = write!(
                body,
                "<h3 id=\"{key}\"><a href=\"/help/settings/{key}\">{}</a> <code>{key}</code></h3><p>{}</p>",
                escaped(field.label),
                escaped(field.help),
                key = field.key
            );
        }
    }
    page(&Help {
        shell: shell.titled("Settings"),
        crumbs: Vec::new(),
        heading: "Settings".to_owned(),
        body: Prose(body),
        contents,
    })
}

async fn setting(shell: Shell, Path(key): Path<String>) -> Answer<Response> {
    let Some(field) = find(&key) else {
        // An address that was shortened to its group.
        let group = FIELDS.iter().any(|field| field.key.split('.').next() == Some(key.as_str()));
        return if group { Ok(Redirect::to("/help/settings").into_response()) } else { Err(not_found()) };
    };
    let mut body = format!("<p>{}</p><dl class=\"kv lined\">", escaped(field.help));
    let mut line = |name: &str, value: &str| {
        let _never = write!(body, "<dt>{name}</dt><dd>{}</dd>", escaped(value));
    };
    line("Key in the document", field.key);
    if !field.default.is_empty() {
        line("Where it is not set", field.default);
    }
    match field.input {
        Input::Text { example, .. } | Input::Command { example } | Input::Lines { example, .. } if !example.is_empty() => {
            line("Example", example);
        }
        Input::Choice(words) => {
            let words: Vec<String> = words.iter().map(|(word, what)| format!("{word}: {what}")).collect();
            line("One of", &words.join("; "));
        }
        Input::Whole { least, most, step, unit } => {
            let step = if step > 1 { format!(", a multiple of {step}") } else { String::new() };
            line("Allowed", &format!("{least} to {most} {unit}{step}"));
        }
        Input::Fraction { least, most, unit } => line("Allowed", &format!("{least} to {most} {unit}")),
        _ => {}
    }
    body.push_str("</dl>");
    if field.key == "startCommand" {
        body.push_str(&section_body("requirements", "install-a-wsgi-server"));
    }
    let contents = FIELDS
        .iter()
        .filter(|other| other.section == field.section)
        .map(|other| (format!("/help/settings/{}", other.key), other.label.to_owned(), other.key == field.key))
        .collect();
    Ok(page(&Help {
        shell: shell.titled(field.label),
        crumbs: vec![("/help/settings".to_owned(), "Settings".to_owned())],
        heading: field.label.to_owned(),
        body: Prose(body),
        contents,
    }))
}

/// The body of a section of a document.
fn section_body(word: &str, section: &str) -> String {
    let document = PAGES.get(word);
    document
        .and_then(|it| it.sections.iter().find(|(heading, _)| slug(heading) == section))
        .map(|it| it.1.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_document_is_text() {
        let made = html(
            "a <script>alert(1)</script> **b**\n\n<div onclick=x>\n\n[x](javascript:alert(1)) [y](checks.md#disk) [z](python.md)",
        );
        assert!(!made.contains("<script") && !made.contains("<div") && !made.contains("javascript:"), "{made}");
        assert!(made.contains("<strong>b</strong>") && made.contains("href=\"/help/checks/disk\""), "{made}");
        assert!(made.contains(" z") && !made.contains("python.md"), "{made}");
    }

    #[test]
    fn every_check_and_every_kind_of_failure_has_its_page() {
        for (id, _) in control::CHECKS.iter() {
            let found = PAGES["checks"].sections.iter().any(|(heading, body)| slug(heading) == *id && body.len() > 40);
            assert!(found, "docs/checks.md has a section {id}");
        }
        assert!(PAGES["failures"].sections.len() > 30);
        assert!(!section_body("requirements", "install-a-wsgi-server").is_empty());
        assert!(PAGES.values().all(|document| !document.title.is_empty()));
        assert!(PAGES["checks"].whole.contains("<p>"));
    }
}
