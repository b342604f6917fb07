//! What the page of settings shows of a document, or of what was typed.

use model::environment::Environment;
use model::settings::fields::{Concerns, FIELDS, Field, Input, Section};
use model::{DatabaseType, Settings};

use super::form::{Problems, Typed};

/// Empty rows for more variables.
const BLANK_ROWS: usize = 1;

/// One part of the form.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    pub(super) fields: Vec<Shown>,
    pub(super) variables: Vec<Variables>,
    pub(super) wrong: bool,
}

/// One setting, as its field shows it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) key: &'static str,
    pub(super) id: String,
    pub(super) label: &'static str,
    pub(super) help: &'static str,
    pub(super) default: &'static str,
    pub(super) value: String,
    pub(super) wrong: String,
    pub(super) look: Look,
}

/// How it is entered.
#[derive(Debug)]
pub(super) enum Look {
    Line {
        example: &'static str,
        code: bool,
    },
    Lines {
        example: &'static str,
        rows: usize,
    },
    Number {
        unit: &'static str,
        limits: String,
    },
    Choice(Vec<(&'static str, &'static str, bool)>),
    Switch {
        on: bool,
    },
    /// It can't be changed; the value is in words.
    Fixed,
}

impl Shown {
    /// What it is described by.
    pub(super) fn described(&self) -> String {
        let id = &self.id;
        if self.wrong.is_empty() { format!("{id}-help") } else { format!("{id}-help {id}-wrong") }
    }
}

/// A set of variables.
#[derive(Debug)]
pub(super) struct Variables {
    pub(super) kind: &'static str,
    /// The word that the API has for it.
    pub(super) word: &'static str,
    pub(super) label: &'static str,
    pub(super) help: &'static str,
    pub(super) rows: Vec<RowShown>,
    pub(super) pasted: String,
    pub(super) paste_wrong: String,
    pub(super) hidden: bool,
}

/// A variable.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question that the template asks")]
pub(super) struct RowShown {
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) was: String,
    /// Whether the value is the variable's, and not only what replaces it.
    pub(super) shown: bool,
    /// Whether it may be read on the page.
    pub(super) plain: bool,
    pub(super) long: bool,
    pub(super) remove: bool,
    pub(super) wrong: String,
}

/// What the form is made from.
pub(super) struct Source<'a> {
    /// The document, as stored.
    pub(super) stored: &'a Settings,
    /// What was typed, where it is shown again.
    pub(super) typed: Option<&'a Typed>,
    pub(super) problems: &'a Problems,
    /// The template that the live revision was built with.
    pub(super) template: Option<&'a str>,
    /// Whether values of variables may be seen.
    pub(super) reveal: bool,
    /// Rows to add.
    pub(super) more: Option<&'a str>,
}

impl Source<'_> {
    /// The parts of the form.
    pub(super) fn parts(&self) -> Vec<Part> {
        Section::ALL
            .into_iter()
            .filter(|section| *section != Section::Domains)
            .map(|section| {
                let of_section = FIELDS.iter().filter(|field| field.section == section && self.is_shown(field));
                let fields: Vec<_> = of_section
                    .clone()
                    .filter(|field| !matches!(field.input, Input::Variables))
                    .map(|field| self.field(field))
                    .collect();
                let variables: Vec<_> = of_section
                    .filter(|field| matches!(field.input, Input::Variables))
                    .map(|field| self.variables(field))
                    .collect();
                let wrong = fields.iter().any(|field| !field.wrong.is_empty())
                    || variables
                        .iter()
                        .any(|set| !set.paste_wrong.is_empty() || set.rows.iter().any(|row| !row.wrong.is_empty()));
                Part { id: section.id(), title: section.title(), note: note(section), fields, variables, wrong }
            })
            .collect()
    }

    fn is_shown(&self, field: &Field) -> bool {
        let database = self.stored.database_type;
        let fits = match field.key {
            "database.extensions" | "database.pointInTime" => database == DatabaseType::Postgres,
            key if key.starts_with("database.") => database != DatabaseType::None,
            _ => field.concerns.includes(self.stored.template.as_deref().or(self.template)),
        };
        // What is set is shown, whatever it is for; and what is wrong, so that it can be mended.
        let set = field.concerns != Concerns::Nobody && self.stored.text(field.key) != Settings::default().text(field.key);
        fits || set || self.problems.contains_key(field.key)
    }

    fn field(&self, field: &Field) -> Shown {
        let stored = self.stored.text(field.key).unwrap_or_default();
        let value = self.typed.and_then(|typed| typed.setting(field.key)).map_or(stored, str::to_owned);
        let (mut look, mut shown) = (look(field, &value), value);
        if field.key == "databaseType" && self.stored.database_type != DatabaseType::None {
            look = Look::Fixed;
            database_name(self.stored.database_type).clone_into(&mut shown);
        }
        Shown {
            key: field.key,
            id: format!("f-{}", field.key.replace('.', "-")),
            label: field.label,
            help: field.help,
            default: field.default,
            value: shown,
            wrong: self.problems.get(field.key).cloned().unwrap_or_default(),
            look,
        }
    }

    fn variables(&self, field: &Field) -> Variables {
        let kind = field.key;
        let stored = if kind == "environment" { &self.stored.environment } else { &self.stored.build_environment };
        let mut rows = match self.typed.filter(|typed| typed.has("rows", kind)) {
            Some(typed) => self.typed_rows(typed, kind, stored),
            None => self.stored_rows(stored),
        };
        let blank = if self.more == Some(kind) { BLANK_ROWS + 3 } else { BLANK_ROWS };
        for _ in 0..blank {
            rows.push(RowShown {
                index: rows.len(),
                name: String::new(),
                value: String::new(),
                was: String::new(),
                shown: true,
                plain: true,
                long: false,
                remove: false,
                wrong: String::new(),
            });
        }
        Variables {
            kind,
            word: if kind == "environment" { "run" } else { "build" },
            label: field.label,
            help: field.help,
            hidden: rows.iter().any(|row| !row.shown),
            rows,
            pasted: self.typed.and_then(|typed| typed.get(&format!("{kind}.paste"))).unwrap_or_default().to_owned(),
            paste_wrong: self.problems.get(&format!("{kind}.paste")).cloned().unwrap_or_default(),
        }
    }

    fn stored_rows(&self, stored: &Environment) -> Vec<RowShown> {
        let rows = stored.iter().enumerate().map(|(index, (name, value))| RowShown {
            index,
            name: name.as_str().to_owned(),
            value: if self.reveal { value.clone() } else { String::new() },
            was: name.as_str().to_owned(),
            shown: self.reveal,
            plain: self.reveal,
            long: self.reveal && value.contains(['\n', '\r']),
            remove: false,
            wrong: String::new(),
        });
        rows.collect()
    }

    fn typed_rows(&self, typed: &Typed, kind: &str, stored: &Environment) -> Vec<RowShown> {
        let rows = typed.rows(kind).into_iter().enumerate().filter(|(_, row)| !row.is_blank());
        let rows = rows.enumerate().map(|(index, (before, row))| {
            let hidden = row.was.is_some() && !row.shown && row.value.is_empty();
            let revealed = row.was.as_deref().filter(|_| hidden && self.reveal).and_then(|was| stored.get(was)).cloned();
            let shown = row.shown || revealed.is_some();
            let value = revealed.unwrap_or(row.value);
            RowShown {
                index,
                name: row.name,
                long: value.contains('\n'),
                value,
                was: row.was.unwrap_or_default(),
                shown,
                plain: shown || self.reveal,
                remove: row.remove,
                wrong: self.problems.get(&format!("{kind}.{before}")).cloned().unwrap_or_default(),
            }
        });
        rows.collect()
    }
}

/// A database's kind in words.
pub(crate) fn database_name(kind: DatabaseType) -> &'static str {
    match kind {
        DatabaseType::None => "No database",
        DatabaseType::Postgres => "PostgreSQL",
        DatabaseType::Mongodb => "MongoDB",
        DatabaseType::Mssql => "Microsoft SQL Server",
    }
}

fn note(section: Section) -> &'static str {
    match section {
        Section::Build => "What is changed here takes effect with the next build.",
        Section::Environment => {
            "Names and values that the app finds. Values are kept encrypted and are hidden until you ask for them."
        }
        Section::Database => "What of the database can be set. How it is reached is told under Resources.",
        Section::Scaling => "What one instance gets, and how many of them the load may call for.",
        Section::Serving => "How requests reach the app. The defaults fit most.",
        Section::Domains => "",
    }
}

fn look(field: &Field, value: &str) -> Look {
    let long = value.contains(['\n', '\r']);
    match field.input {
        Input::Text { example, .. } | Input::Command { example } if long => Look::Lines { example, rows: 4 },
        Input::Text { example, .. } | Input::Command { example } => Look::Line { example, code: true },
        Input::Lines { example, .. } => Look::Lines { example, rows: value.lines().count().clamp(2, 10) },
        Input::Choice(choices) => {
            let mut options: Vec<_> = choices.iter().map(|(word, text)| (*word, *text, *word == value)).collect();
            if field.key == "template" {
                options.insert(0, ("", "Recognised from the source", value.is_empty()));
            }
            Look::Choice(options)
        }
        Input::Switch => Look::Switch { on: !value.is_empty() },
        Input::Whole { least, most, step, unit } => Look::Number {
            unit,
            limits: match (most, step) {
                // Nobody has so much.
                (4_000_000_000.., 1) => String::new(),
                (4_000_000_000.., step) => format!("A multiple of {step}."),
                _ => format!("From {least} to {most}."),
            },
        },
        Input::Fraction { least, most, unit } => Look::Number { unit, limits: format!("From {least} to {most}.") },
        Input::Variables | Input::Domains => Look::Fixed,
    }
}
