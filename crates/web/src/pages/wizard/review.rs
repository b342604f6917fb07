//! The step "review settings": every setting with what holds, a help text behind it, and "Change" beside it.

use api::{ErrorBody, ErrorCode};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use control::{Control, DraftView, Recognised};
use http::StatusCode;
use model::settings::fields::{FIELDS, Field, Input as Entry, Section as Part, find, of_violation};
use model::{DatabaseType, Settings};
use serde::Deserialize;

use super::{Frame, Shown, Step, at, titled, to};
use crate::access::Asker;
use crate::answer::Problem;
use crate::pages::dotenv;
use crate::pages::layout::{Shell, page_with};
use crate::pages::visitor::Posted;

/// How a value is entered.
#[derive(Debug)]
enum Input {
    Line,
    Lines { rows: u8 },
    Choice { options: Vec<(&'static str, &'static str, bool)> },
    Variables { names: Vec<String> },
}

#[derive(Debug)]
struct Row {
    key: &'static str,
    anchor: String,
    label: &'static str,
    help: &'static str,
    /// What is set, or inferred; empty where neither.
    value: String,
    /// Where an inferred value comes from.
    note: String,
    /// What holds where nothing is set.
    default: &'static str,
    example: &'static str,
    /// What stands in the field.
    typed: String,
    wrong: String,
    open: bool,
    input: Input,
}

#[derive(Debug)]
struct Section {
    id: &'static str,
    title: &'static str,
    folded: bool,
    open: bool,
    rows: Vec<Row>,
}

#[derive(Debug, Template)]
#[template(path = "wizard_settings.html")]
struct SettingsPage {
    shell: Shell,
    frame: Frame,
    sections: Vec<Section>,
}

/// What was typed and could not be taken.
#[derive(Debug)]
struct Refused {
    key: String,
    typed: String,
    wrong: String,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Open {
    #[serde(default)]
    change: String,
}

/// Shows the settings; `?change=KEY` with that one opened.
pub(super) async fn show(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
    query: Result<Query<Open>, QueryRejection>,
) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Settings).await?;
    let open = query.map(|Query(query)| query.change).unwrap_or_default();
    settings_page(shell, &asker, &control, view, &open, None).await
}

async fn settings_page(
    shell: Shell,
    asker: &Asker,
    control: &Control,
    view: DraftView,
    open: &str,
    refused: Option<Refused>,
) -> Shown {
    // Without the source there is nothing inferred to be shown, and all can be set all the same.
    let (view, found) = match control.draft_upload(&asker.who, &view.id).await {
        Ok(upload) => {
            let view = control.draft(&asker.who, &view.id).await?;
            let look = control.look_at_draft(&view, &upload).await?;
            (view, look.recognised.ok())
        }
        Err(_) => (view, None),
    };
    let settings = &view.draft.settings;
    let sections =
        Part::ALL.into_iter().filter_map(|part| section(part, settings, found.as_ref(), open, refused.as_ref())).collect();
    let problem = refused.map(|_| Problem::bad_request("This setting can't be used as it is. Nothing was changed."));
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(page_with(
        status,
        &SettingsPage {
            shell: titled(shell, Step::Settings),
            frame: Frame::new(
                &view,
                Step::Settings,
                "The default settings for the Deploy Template are shown. Click the help icon next to a setting for more information on it, and Change to change it.",
                problem,
            ),
            sections,
        },
    ))
}

fn section(
    part: Part,
    settings: &Settings,
    found: Option<&Recognised>,
    open: &str,
    refused: Option<&Refused>,
) -> Option<Section> {
    if part == Part::Database && settings.database_type == DatabaseType::None {
        return None;
    }
    let shown = |field: &&Field| {
        field.section == part
            && field.concerns.includes(settings.template.as_deref())
            // These two have steps of their own, domains come once the app is there.
            && !matches!(field.key, "template" | "databaseType")
            && !matches!(field.input, Entry::Domains)
    };
    let rows: Vec<Row> = FIELDS.iter().filter(shown).map(|field| row(field, settings, found, open, refused)).collect();
    if rows.is_empty() {
        return None;
    }
    let folded = !matches!(part, Part::Build | Part::Environment);
    Some(Section { id: part.id(), title: part.title(), folded, open: rows.iter().any(|row| row.open), rows })
}

fn row(field: &'static Field, settings: &Settings, found: Option<&Recognised>, open: &str, refused: Option<&Refused>) -> Row {
    let text = settings.text(field.key).unwrap_or_default();
    let inferred = |pair: &(String, String)| (pair.0.clone(), format!("by default: {}", pair.1));
    let (mut value, note) = match (field.key, found) {
        ("startCommand", Some(found)) if text.is_empty() => inferred(&found.start),
        ("pythonVersion", Some(found)) if text.is_empty() => inferred(&found.python),
        _ => (text.clone(), String::new()),
    };
    let names = |names: Vec<String>| Input::Variables { names };
    let input = match field.input {
        Entry::Text { .. } | Entry::Command { .. } | Entry::Whole { .. } | Entry::Fraction { .. } | Entry::Domains => Input::Line,
        Entry::Lines { .. } => Input::Lines { rows: 4 },
        Entry::Choice(words) => {
            Input::Choice { options: words.iter().map(|(word, what)| (*word, *what, *word == text)).collect() }
        }
        Entry::Switch => Input::Choice { options: vec![("on", "On", text == "on"), ("", "Off", text != "on")] },
        Entry::Variables => {
            let map = if field.key == "environment" { &settings.environment } else { &settings.build_environment };
            value = map.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            names(map.keys().map(ToString::to_string).collect())
        }
    };
    match field.input {
        Entry::Switch => value = if text == "on" { "On".to_owned() } else { "Off".to_owned() },
        Entry::Choice(words) => {
            if let Some((_, what)) = words.iter().find(|(word, _)| *word == text) {
                (*what).clone_into(&mut value);
            }
        }
        Entry::Whole { unit, .. } | Entry::Fraction { unit, .. } if !value.is_empty() && !unit.is_empty() => {
            value = format!("{value} {unit}");
        }
        _ => {}
    }
    let example = match field.input {
        Entry::Text { example, .. } | Entry::Command { example } | Entry::Lines { example, .. } => example,
        _ => "",
    };
    let mine = refused.filter(|refused| refused.key == field.key);
    let typed = match (&input, mine) {
        (_, Some(refused)) => refused.typed.clone(),
        (Input::Variables { .. }, None) => String::new(),
        // What is inferred is a good beginning for what is to be set.
        (_, None) if text.is_empty() && field.key == "startCommand" => value.clone(),
        (_, None) => text,
    };
    Row {
        key: field.key,
        anchor: anchor(field.key),
        label: field.label,
        help: field.help,
        value,
        note,
        default: if field.default.is_empty() { "Not set" } else { field.default },
        example,
        typed,
        wrong: mine.map(|refused| refused.wrong.clone()).unwrap_or_default(),
        open: mine.is_some() || field.key == open,
        input,
    }
}

fn anchor(key: &str) -> String {
    format!("setting-{}", key.replace('.', "-"))
}

#[derive(Debug, Deserialize)]
pub(super) struct Change {
    next: Option<String>,
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
    remove: Option<String>,
}

/// Changes one setting, or goes on.
pub(super) async fn change(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
    Posted(form): Posted<Change>,
) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Settings).await?;
    if form.next.is_some() {
        control
            .change_draft(&asker.who, &id, |draft| {
                draft.reviewed = true;
                Ok(())
            })
            .await?;
        return Ok(to(&id, Step::Name));
    }
    let Change { key, value, remove, .. } = form;
    let (of, typed) = (key.clone(), value.clone());
    let changed =
        control.change_draft(&asker.who, &id, move |draft| apply(&mut draft.settings, &key, &value, remove.as_deref())).await;
    match changed {
        Ok(_) => Ok(axum::response::IntoResponse::into_response(axum::response::Redirect::to(&format!(
            "/new/{id}/settings#{}",
            find(&of).map_or_else(String::new, |field| anchor(field.key))
        )))),
        Err(error) if find(&of).is_some() => {
            // A value that is secret is not sent back.
            let secret = matches!(find(&of), Some(Field { input: Entry::Variables, .. }));
            let refused = Refused { key: of, typed: if secret { String::new() } else { typed }, wrong: sentence(&error.message) };
            settings_page(shell, &asker, &control, view, "", Some(refused)).await
        }
        Err(error) => Err(error.into()),
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Changes one setting of a document, unless the document could not be used afterwards.
pub(super) fn apply(settings: &mut Settings, key: &str, value: &str, remove: Option<&str>) -> Result<(), ErrorBody> {
    let bad = |message: String| ErrorBody::new(ErrorCode::BadRequest, message);
    let field = find(key).ok_or_else(|| bad("there is no such setting".to_owned()))?;
    let mut new = settings.clone();
    match (field.input, remove) {
        (Entry::Domains, _) => return Err(bad("domains are added once the app is there".to_owned())),
        (Entry::Variables, remove) => {
            let map = if key == "environment" { &mut new.environment } else { &mut new.build_environment };
            if let Some(name) = remove {
                map.remove(name);
            } else {
                let read = dotenv::parse(value).map_err(bad)?;
                if read.is_empty() {
                    return Err(bad("write a line NAME=VALUE".to_owned()));
                }
                map.extend(read);
            }
        }
        (_, Some(_)) => return Err(bad("only variables can be removed".to_owned())),
        (_, None) => new.set_text(key, value).map_err(bad)?,
    }
    // Only what this setting brings is its fault.
    let wrong = new.violations().into_iter().find(|violation| of_violation(&violation.key).is_some_and(|it| it.key == key));
    if let Some(violation) = wrong {
        return Err(bad(violation.message));
    }
    *settings = new;
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::EnvName;

    use super::*;

    #[test]
    fn a_setting_that_can_not_be_used_changes_nothing() {
        let mut settings = Settings::default();
        let before = settings.clone();
        for (key, value) in [
            ("repoSubdir", "../up"),
            ("pythonVersion", "three"),
            ("resourceConfig.memory", "300"),
            ("resourceConfig.memory", "much"),
            ("environment", "PORT=0"),
            ("environment", "# only this"),
            ("environment", "KEY='not closed"),
            ("startCommand", "a\0b"),
            ("template", "cobol"),
            ("domains", "x.example"),
            ("nothing", "1"),
        ] {
            let error = apply(&mut settings, key, value, None).expect_err(key);
            assert_eq!(error.code, ErrorCode::BadRequest, "{key}");
            assert_eq!(settings, before, "{key}");
        }
        apply(&mut settings, "startCommand", "gunicorn --bind=0.0.0.0:$PORT myapp:start_app()", None).expect("good");
        apply(&mut settings, "environment", "KEY=1\r\nexport OTHER=\"two\r\nlines\"", None).expect("good");
        apply(&mut settings, "environment", "", Some("KEY")).expect("good");
        assert_eq!(settings.environment.keys().map(EnvName::as_str).collect::<Vec<_>>(), ["OTHER"]);
        assert_eq!(settings.environment.values().collect::<Vec<_>>(), ["two\nlines"]);
        assert_eq!(settings.start_command.as_deref(), Some("gunicorn --bind=0.0.0.0:$PORT myapp:start_app()"));
    }

    #[test]
    fn what_is_wrong_elsewhere_does_not_stand_in_the_way() {
        let mut settings = Settings { python_version: Some("bad".to_owned()), ..Settings::default() };
        apply(&mut settings, "startCommand", "python app.py", None).expect("only its own violations count");
    }

    #[test]
    fn every_setting_of_a_flask_app_can_be_changed_here() {
        let settings =
            Settings { template: Some("flask".to_owned()), database_type: DatabaseType::Postgres, ..Settings::default() };
        let rows: Vec<_> = Part::ALL
            .into_iter()
            .filter_map(|part| section(part, &settings, None, "startCommand", None))
            .flat_map(|section| section.rows)
            .collect();
        let open: Vec<_> = rows.iter().filter(|row| row.open).map(|row| row.key).collect();
        assert_eq!(open, ["startCommand"]);
        for key in ["repoSubdir", "startCommand", "pythonVersion", "environment", "buildEnvironment", "resourceConfig.memory"] {
            assert!(rows.iter().any(|row| row.key == key), "{key}");
        }
        assert!(!rows.iter().any(|row| matches!(row.key, "template" | "nodeVersion" | "domains")));
    }
}
