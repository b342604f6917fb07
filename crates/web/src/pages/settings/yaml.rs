//! The settings document as YAML: written with its values hidden, read with every mistake at its line.

use model::Settings;
use model::environment::Environment;
use model::settings::fields::FIELDS;
use serde_json::{Map, Value};

/// Stands for a value that stays as it is stored.
pub(super) const HIDDEN: &str = "(hidden)";

/// One mistake in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Its line, counted from 1, where that is known.
    pub(super) line: Option<usize>,
    /// The key; empty where it is the document's.
    pub(super) key: String,
    /// What is wrong, and what is allowed.
    pub(super) message: String,
}

/// The document as text; values of variables are there only where they may be seen.
pub(super) fn write(settings: &Settings, reveal: bool) -> String {
    let mut shown = settings.clone();
    if !reveal {
        for variables in [&mut shown.environment, &mut shown.build_environment] {
            for value in variables.values_mut() {
                HIDDEN.clone_into(value);
            }
        }
    }
    serde_saphyr::to_string(&shown).unwrap_or_default()
}

/// The document of a text; what stands for hidden values is taken from the stored one.
pub(super) fn read(text: &str, stored: &Settings) -> Result<Settings, Vec<Mistake>> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let mut settings: Settings = serde_saphyr::from_str(text).map_err(|error| unreadable(text, &error))?;
    let mut mistakes = Vec::new();
    for (kind, variables, before) in [
        ("environment", &mut settings.environment, &stored.environment),
        ("buildEnvironment", &mut settings.build_environment, &stored.build_environment),
    ] {
        for key in unhide(variables, before) {
            let key = format!("{kind}.{key}");
            let message = format!("{HIDDEN} stands for a value that is stored, and there is none: write it");
            mistakes.push(Mistake { line: line_of(text, &key), key, message });
        }
    }
    mistakes.extend(settings.violations().into_iter().map(|violation| Mistake {
        line: line_of(text, &violation.key),
        key: violation.key,
        message: violation.message,
    }));
    if mistakes.is_empty() { Ok(settings) } else { Err(mistakes) }
}

/// Puts stored values in the place of what stands for them; the names that have none.
fn unhide(variables: &mut Environment, stored: &Environment) -> Vec<String> {
    let mut without = Vec::new();
    for (name, value) in variables.iter_mut().filter(|(_, value)| *value == HIDDEN) {
        match stored.get(name) {
            Some(before) => before.clone_into(value),
            None => without.push(name.as_str().to_owned()),
        }
    }
    without
}

/// Every key that is unknown or of the wrong kind, and what is wrong with the others; where the text is no document at all, what the
/// reader says.
fn unreadable(text: &str, error: &serde_saphyr::Error) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    if let Ok(Value::Object(mut map)) = serde_saphyr::from_str::<Value>(text) {
        map.retain(|key, value| match value {
            Value::Object(inner) if !inner.is_empty() => {
                inner.retain(|name, value| {
                    let alone = single(key, Value::Object(single(name, value.clone())));
                    check(text, &format!("{key}.{name}"), &alone, &mut mistakes)
                });
                !inner.is_empty()
            }
            value => check(text, key, &single(key, value.clone()), &mut mistakes),
        });
        let rest = serde_saphyr::to_string(&map).ok().and_then(|rest| serde_saphyr::from_str::<Settings>(&rest).ok());
        let violations = rest.map(|rest| rest.violations()).unwrap_or_default();
        mistakes.extend(violations.into_iter().map(|violation| Mistake {
            line: line_of(text, &violation.key),
            key: violation.key,
            message: violation.message,
        }));
        mistakes.sort_by_key(|mistake| mistake.line);
    }
    if mistakes.is_empty() {
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok()).filter(|line| *line > 0);
        mistakes.push(Mistake { line, key: String::new(), message: first_line(error) });
    }
    mistakes
}

fn single(key: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), value)])
}

/// Reads a document in which only this key stands; whether it can be read.
fn check(text: &str, key: &str, document: &Map<String, Value>, mistakes: &mut Vec<Mistake>) -> bool {
    // Written again, a number is still one: what needs quotes has been read already, or is what is wrong.
    let alone = serde_saphyr::to_string(document).unwrap_or_default();
    let Err(error) = serde_saphyr::from_str::<Settings>(&alone) else { return true };
    let message = first_line(&error);
    // What lacks others beside it is not wrong itself.
    if message.contains("missing field") {
        return true;
    }
    let message = if message.starts_with("unknown field") { unknown(key) } else { message };
    mistakes.push(Mistake { line: line_of(text, key), key: key.to_owned(), message });
    false
}

/// What is said of a key that there is not: the one that was meant, where it differs by case or a few letters.
fn unknown(key: &str) -> String {
    let wanted = key.to_lowercase();
    let near = FIELDS.iter().map(|field| field.key).filter(|known| {
        let known = known.to_lowercase();
        known == wanted || known.starts_with(&wanted) || wanted.starts_with(&known) || known.ends_with(&format!(".{wanted}"))
    });
    match near.min_by_key(|known| known.len().abs_diff(key.len())) {
        Some(near) => format!("is no setting; {near} is one"),
        None => "is no setting".to_owned(),
    }
}

/// What the reader says, without the piece of text that it shows and where it stands in it.
fn first_line(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = match (line.strip_prefix("line "), line.find(": ")) {
        (Some(_), Some(at)) => &line[at + 2..],
        _ => line,
    };
    let end = line.rfind(" at line ").unwrap_or(line.len());
    line[..end].to_owned()
}

/// The line on which a key stands in a document in the usual form, one key a line; of one that is not there, that of the part it belongs to.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let lines: Vec<_> =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#')).collect();
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let mut within = lines.as_slice();
    let mut found = None;
    for part in key.replace('[', ".[").split('.') {
        let at = if let Some(index) = part.strip_prefix('[').and_then(|part| part.strip_suffix(']')) {
            let index: usize = index.parse().ok()?;
            within.iter().enumerate().filter(|(_, (_, line))| line.trim_start().starts_with('-')).map(|(at, _)| at).nth(index)
        } else {
            let Some(least) = within.iter().map(|(_, line)| indent(line)).min() else { break };
            within.iter().position(|(_, line)| {
                let named =
                    line.trim_start_matches([' ', '-']).split(':').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
                indent(line) == least && named == part && line.contains(':')
            })
        };
        let Some(at) = at else { break };
        found = Some(within[at].0 + 1);
        let own = indent(within[at].1);
        let is_item = part.starts_with('[');
        let rest = if is_item { &within[at..] } else { &within[at + 1..] };
        let end = rest.iter().skip(usize::from(is_item)).position(|(_, line)| {
            let item = line.trim_start().starts_with('-');
            if is_item { item || indent(line) < own } else { indent(line) <= own && !item }
        });
        within = &rest[..end.map_or(rest.len(), |end| end + usize::from(is_item))];
    }
    found
}
