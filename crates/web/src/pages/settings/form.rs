//! The form of settings: a document changed by what was posted.
//!
//! Only what a form shows is changed by it; what it does not show stays as it is stored. A value that comes back as it was shown is
//! not touched either, so that nothing is lost that a browser can't give back (line ends, above all).

use std::collections::BTreeMap;

use model::environment::Environment;
use model::settings::fields::{FIELDS, Input, of_violation};
use model::{DatabaseType, EnvName, Settings};

use crate::pages::dotenv;

/// The two sets of variables, by their keys in the document.
pub(super) const VARIABLES: [&str; 2] = ["environment", "buildEnvironment"];

/// What was posted, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Typed(pub(super) Vec<(String, String)>);

impl Typed {
    /// The last value of a field; a browser sends what a later, more visible one of the same name holds last.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a field has this value, among others.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.0.iter().any(|(key, other)| key == name && other == value)
    }

    /// The value of a setting's field: of a switch that is off a form says only that it was shown.
    pub(super) fn setting(&self, key: &str) -> Option<&str> {
        self.get(&format!("f.{key}")).or_else(|| self.has("switch", key).then_some(""))
    }

    /// The rows of variables, as they were typed.
    pub(super) fn rows(&self, kind: &str) -> Vec<Row> {
        let part = |index: usize, part: &str| self.get(&format!("{kind}.{index}.{part}"));
        // Rows are numbered without a gap by us; a script that adds some goes on counting.
        (0..ROWS_MAX)
            .map_while(|index| {
                let name = part(index, "name")?;
                Some(Row {
                    name: name.trim().to_owned(),
                    value: lines(part(index, "value").unwrap_or_default()),
                    was: part(index, "was").filter(|was| !was.is_empty()).map(str::to_owned),
                    shown: part(index, "shown").is_some_and(|shown| shown == "yes"),
                    remove: part(index, "remove").is_some(),
                })
            })
            .collect()
    }
}

/// The most rows of variables that are read.
const ROWS_MAX: usize = 1000;

/// A row of variables, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The name.
    pub(super) name: String,
    /// The value; where it is empty and was not shown, it stays as it is.
    pub(super) value: String,
    /// The stored variable that it was made from.
    pub(super) was: Option<String>,
    /// Whether the value was there to be seen, so that what came back is meant.
    pub(super) shown: bool,
    /// Whether it is to go.
    pub(super) remove: bool,
}

impl Row {
    /// Whether nothing was typed into a new row.
    pub(super) fn is_blank(&self) -> bool {
        self.was.is_none() && self.name.is_empty() && self.value.is_empty()
    }
}

/// What is wrong, by the field that it is shown at: a setting's key, `environment.3` for a row, `environment.paste`.
pub(super) type Problems = BTreeMap<String, String>;

/// The stored document with what was posted. With problems it is as far as it could be read.
pub(super) fn apply(typed: &Typed, stored: &Settings) -> (Settings, Problems) {
    let (mut settings, mut problems) = (stored.clone(), Problems::new());
    for field in FIELDS.iter().filter(|field| !matches!(field.input, Input::Variables | Input::Domains)) {
        let (Some(text), Some(before)) = (typed.setting(field.key), stored.text(field.key)) else { continue };
        if same(text, &before) {
            continue;
        }
        if let Err(wrong) = settings.set_text(field.key, &lines(text)) {
            problems.insert(field.key.to_owned(), wrong);
        }
    }
    for kind in VARIABLES {
        if typed.has("rows", kind) {
            let stored = if kind == "environment" { &stored.environment } else { &stored.build_environment };
            let variables = variables(typed, kind, stored, &mut problems);
            *(if kind == "environment" { &mut settings.environment } else { &mut settings.build_environment }) = variables;
        }
    }
    if settings.database_type != DatabaseType::Postgres && stored.database_type == DatabaseType::None {
        // A database of another kind is being added: what only PostgreSQL has was never shown for it.
        settings.database.point_in_time = stored.database.point_in_time;
    }
    for violation in settings.violations() {
        let place = row_of(typed, &violation.key)
            .or_else(|| of_violation(&violation.key).map(|field| field.key.to_owned()))
            .unwrap_or_else(|| violation.key.clone());
        problems.entry(place).or_insert(violation.message);
    }
    (settings, problems)
}

/// Whether a text comes back as it was shown: browsers send line ends as CR LF, drop them from inputs of one line, and cut nothing else.
fn same(typed: &str, stored: &str) -> bool {
    lines(typed).trim() == lines(stored).trim()
}

/// Line ends as they are stored.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The row in which a variable stands that a violation names.
fn row_of(typed: &Typed, key: &str) -> Option<String> {
    let (kind, name) = key.split_once('.')?;
    let rows = VARIABLES.contains(&kind).then(|| typed.rows(kind))?;
    let index = rows.iter().position(|row| row.name == name && !row.remove)?;
    Some(format!("{kind}.{index}"))
}

fn variables(typed: &Typed, kind: &str, stored: &Environment, problems: &mut Problems) -> Environment {
    let rows = typed.rows(kind);
    // What was added elsewhere since the form was made is not its business.
    let mut variables: Environment = stored.clone();
    for was in rows.iter().filter_map(|row| row.was.as_deref()) {
        variables.remove(was);
    }
    let mut seen = Vec::new();
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| !row.remove && !row.is_blank()) {
        let mut say = |wrong: String| {
            problems.insert(format!("{kind}.{index}"), wrong);
        };
        let name = match EnvName::parse(&row.name) {
            Ok(name) => name,
            Err(_) if row.name.is_empty() => {
                say("write the variable's name, or tick Remove".to_owned());
                continue;
            }
            Err(error) => {
                say(error.to_string());
                continue;
            }
        };
        if seen.contains(&row.name) {
            say(format!("{} is there twice", row.name));
            continue;
        }
        seen.push(row.name.clone());
        let before = row.was.as_deref().and_then(|was| stored.get(was));
        let value = match before {
            _ if !row.shown && row.value.is_empty() && row.was.is_some() => {
                let Some(before) = before else {
                    say("it was removed meanwhile: write its value, or tick Remove".to_owned());
                    continue;
                };
                before.clone()
            }
            Some(before) if lines(before) == row.value => before.clone(),
            _ => row.value.clone(),
        };
        variables.insert(name, value);
    }
    match dotenv::parse(&lines(typed.get(&format!("{kind}.paste")).unwrap_or_default())) {
        Ok(pasted) => variables.extend(pasted),
        Err(wrong) => {
            problems.insert(format!("{kind}.paste"), wrong);
        }
    }
    variables
}

/// The keys in which two documents differ, variables by their names.
pub(super) fn changed(one: &Settings, other: &Settings) -> Vec<String> {
    let mut keys: Vec<String> =
        FIELDS.iter().filter(|field| one.text(field.key) != other.text(field.key)).map(|field| field.key.to_owned()).collect();
    for (kind, before, after) in
        [(VARIABLES[0], &one.environment, &other.environment), (VARIABLES[1], &one.build_environment, &other.build_environment)]
    {
        let mut names: Vec<_> = before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)).collect();
        names.sort();
        names.dedup();
        keys.extend(names.into_iter().map(|name| format!("{kind}.{name}")));
    }
    if one.domains != other.domains {
        keys.push("domains".to_owned());
    }
    keys
}
