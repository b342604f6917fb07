//! The steps that shape the app: its Deploy Template, and its database.

use std::ops::ControlFlow::{Break, Continue};

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use control::{Control, DraftSource, DraftView};
use http::StatusCode;
use model::DatabaseType;
use model::settings::TEMPLATES;
use serde::Deserialize;

use super::{Mark, Step, at, base, marks, titled, to};
use crate::access::Asker;
use crate::answer::{Answer, Problem};
use crate::pages::layout::{Shell, page_with};
use crate::pages::visitor::Posted;

#[derive(Debug)]
struct Choice {
    word: &'static str,
    name: &'static str,
    why: String,
    recognised: bool,
    chosen: bool,
}

#[derive(Debug, Template)]
#[template(path = "wizard_template.html")]
struct TemplatePage {
    shell: Shell,
    steps: Vec<Mark>,
    heading: &'static str,
    sub: String,
    wrong: String,
    help: String,
    base: String,
    back: String,
    directory: String,
    templates: Vec<Choice>,
    trouble: Option<(String, String, String)>,
    later: &'static str,
}

/// What people call a template.
pub(super) fn template_name(word: &str) -> &'static str {
    match word {
        "flask" => "Flask App",
        "fastapi" => "FastAPI App",
        "django" => "Django App",
        _ => "Python App",
    }
}

/// Shows the templates, the recognised one first.
pub(super) async fn templates(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Answer<Response> {
    match at(&control, &asker.who, &id, Step::Template).await? {
        Continue(_) => template_page(shell, &asker, &control, &id, None).await,
        Break(elsewhere) => Ok(elsewhere),
    }
}

async fn template_page(shell: Shell, asker: &Asker, control: &Control, id: &str, problem: Option<Problem>) -> Answer<Response> {
    let fetched = control.draft_upload(&asker.who, id).await;
    let view = control.draft(&asker.who, id).await?;
    let settings = &view.draft.settings;
    let (look, problem) = match fetched {
        Ok(upload) => (Some(control.look_at_draft(&view, &upload).await?), problem),
        Err(error) => (None, problem.or(Some(Problem(error)))),
    };
    let (found, trouble) = match look.map(|look| look.recognised) {
        Some(Ok(found)) => (Some(found), None),
        Some(Err(trouble)) => (None, Some(trouble)),
        None => (None, None),
    };
    let chosen = settings.template.as_deref().filter(|_| view.draft.template_chosen);
    let mut templates: Vec<Choice> = TEMPLATES
        .iter()
        .filter(|(_, built)| *built)
        .map(|(word, _)| {
            let recognised = found.as_ref().filter(|found| found.template.as_str() == *word);
            let why = recognised.map_or_else(|| what(word).to_owned(), |found| found.why.clone());
            Choice { word, name: template_name(word), why, recognised: recognised.is_some(), chosen: chosen == Some(*word) }
        })
        .collect();
    templates.sort_by_key(|choice| !choice.recognised);
    let status = problem.as_ref().map_or(StatusCode::OK, |problem| {
        StatusCode::from_u16(problem.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    });
    let (wrong, help) = problem.map(|problem| (problem.0.message, problem.0.help)).unwrap_or_default();
    Ok(page_with(
        status,
        &TemplatePage {
            shell: titled(shell, Step::Template),
            steps: marks(&view, Step::Template),
            heading: "Choose a Deploy Template",
            sub: from(&view),
            wrong,
            help,
            base: base(id),
            back: match view.draft.source {
                Some(DraftSource::Upload { .. }) => "/new/upload".to_owned(),
                _ => format!("/new/{id}/branch"),
            },
            directory: settings.repo_subdir.clone().unwrap_or_default(),
            templates,
            trouble,
            later: "Express, Node.js, NestJS, Go, Gin, PHP, Laravel, Dockerfile and static websites",
        },
    ))
}

fn what(word: &str) -> &'static str {
    match word {
        "flask" => "For Flask, and what is built on it",
        "fastapi" => "For FastAPI and Starlette",
        "django" => "For Django",
        _ => "For any other Python program that serves HTTP",
    }
}

/// Where the source comes from, in a few words.
fn from(view: &DraftView) -> String {
    match &view.draft.source {
        Some(DraftSource::GitHub { full_name, branch, commit, .. }) => {
            let commit = commit
                .as_ref()
                .map(|commit| format!(", commit {} {}", commit.id.chars().take(7).collect::<String>(), commit.subject));
            format!("{full_name}, branch {}{}", branch.as_deref().unwrap_or_default(), commit.unwrap_or_default())
        }
        Some(DraftSource::Upload { name, files, bytes, .. }) => {
            format!("{name}: {files} file{}, {} KB", if *files == 1 { "" } else { "s" }, bytes.div_ceil(1000))
        }
        None => String::new(),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ChosenTemplate {
    template: Option<String>,
    directory: Option<String>,
}

/// Takes a template, or another Base Directory to look into.
pub(super) async fn choose_template(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
    Posted(form): Posted<ChosenTemplate>,
) -> Answer<Response> {
    if let Break(elsewhere) = at(&control, &asker.who, &id, Step::Template).await? {
        return Ok(elsewhere);
    }
    let looks = form.directory.is_some();
    let changed = control
        .change_draft(&asker.who, &id, move |draft| {
            if let Some(directory) = form.directory {
                super::review::apply(&mut draft.settings, "repoSubdir", &directory, None)?;
                return Ok(());
            }
            let word = form.template.unwrap_or_default();
            super::review::apply(&mut draft.settings, "template", &word, None)?;
            if word.is_empty() {
                return Err(Problem::bad_request("choose a template").0);
            }
            draft.template_chosen = true;
            Ok(())
        })
        .await;
    match changed {
        Ok(_) if looks => Ok(to(&id, Step::Template)),
        Ok(_) => Ok(to(&id, Step::Database)),
        Err(error) => template_page(shell, &asker, &control, &id, Some(Problem(error))).await,
    }
}

#[derive(Debug)]
struct KindOf {
    word: &'static str,
    name: &'static str,
    what: &'static str,
    lacks: String,
    chosen: bool,
}

#[derive(Debug, Template)]
#[template(path = "wizard_database.html")]
struct DatabasePage {
    shell: Shell,
    steps: Vec<Mark>,
    heading: &'static str,
    sub: &'static str,
    wrong: String,
    help: String,
    base: String,
    kinds: Vec<KindOf>,
}

/// Shows the kinds of databases.
pub(super) async fn databases(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Answer<Response> {
    match at(&control, &asker.who, &id, Step::Database).await? {
        Continue(view) => Ok(database_page(shell, &control, &view, None).await),
        Break(elsewhere) => Ok(elsewhere),
    }
}

async fn database_page(shell: Shell, control: &Control, view: &DraftView, problem: Option<Problem>) -> Response {
    let chosen = view.draft.settings.database_type;
    let kinds = control.database_kinds().await.into_iter().map(|(kind, lacks)| {
        let (name, what) = match kind {
            DatabaseType::None => ("None", "The app keeps nothing, or has a database elsewhere"),
            DatabaseType::Postgres => ("PostgreSQL", "A server of its own, which sleeps when the app does"),
            DatabaseType::Mongodb => ("MongoDB", "Documents"),
            DatabaseType::Mssql => ("SQL Server", "Microsoft SQL Server"),
        };
        KindOf { word: kind.as_str(), name, what, lacks: lacks.unwrap_or_default(), chosen: kind == chosen }
    });
    let kinds = kinds.collect();
    let status = problem.as_ref().map_or(StatusCode::OK, |_| StatusCode::UNPROCESSABLE_ENTITY);
    let (wrong, help) = problem.map(|problem| (problem.0.message, problem.0.help)).unwrap_or_default();
    page_with(
        status,
        &DatabasePage {
            shell: titled(shell, Step::Database),
            steps: marks(view, Step::Database),
            heading: "Choose a database",
            sub: "It is made with your app, and your app finds it in DATABASE_URL.",
            wrong,
            help,
            base: base(&view.id),
            kinds,
        },
    )
}

#[derive(Debug, Deserialize)]
pub(super) struct ChosenDatabase {
    #[serde(default)]
    database: String,
}

/// Takes a kind of database, or none.
pub(super) async fn choose_database(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
    Posted(form): Posted<ChosenDatabase>,
) -> Answer<Response> {
    let view = match at(&control, &asker.who, &id, Step::Database).await? {
        Continue(view) => view,
        Break(elsewhere) => return Ok(elsewhere),
    };
    let Some(kind) = DatabaseType::parse(&form.database) else {
        let problem = Problem::bad_request("choose a database, or None");
        return Ok(database_page(shell, &control, &view, Some(problem)).await);
    };
    let lacks = control.database_kinds().await.into_iter().find(|(known, _)| *known == kind).and_then(|(_, lacks)| lacks);
    if let Some(lacks) = lacks {
        return Ok(database_page(shell, &control, &view, Some(Problem::bad_request(lacks))).await);
    }
    control
        .change_draft(&asker.who, &id, move |draft| {
            draft.settings.database_type = kind;
            draft.settings.database.point_in_time &= kind == DatabaseType::Postgres;
            draft.database_chosen = true;
            Ok(())
        })
        .await?;
    Ok(to(&id, Step::Settings))
}
