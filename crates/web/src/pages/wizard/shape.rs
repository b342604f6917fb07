//! The steps that shape the app: its Deploy Template, and its database.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use control::{Control, DraftSource, DraftView};
use http::StatusCode;
use model::DatabaseType;
use model::settings::TEMPLATES;
use serde::Deserialize;

use super::{Frame, Shown, Step, at, status, titled, to};
use crate::access::Asker;
use crate::answer::Problem;
use crate::pages::layout::{Shell, page_with};
use crate::pages::text::short_commit;
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
    frame: Frame,
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
pub(super) async fn templates(shell: Shell, asker: Asker, State(control): State<Control>, Path(id): Path<String>) -> Shown {
    at(&control, &asker.who, &id, Step::Template).await?;
    template_page(shell, &asker, &control, &id, None).await
}

async fn template_page(shell: Shell, asker: &Asker, control: &Control, id: &str, problem: Option<Problem>) -> Shown {
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
    let status = status(problem.as_ref());
    Ok(page_with(
        status,
        &TemplatePage {
            shell: titled(shell, Step::Template),
            frame: Frame::new(&view, Step::Template, from(&view), problem),
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
            let commit = commit.as_ref().map(|commit| format!(", commit {} {}", short_commit(&commit.id), commit.subject));
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
) -> Shown {
    at(&control, &asker.who, &id, Step::Template).await?;
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
    frame: Frame,
    kinds: Vec<KindOf>,
}

/// Shows the kinds of databases.
pub(super) async fn databases(shell: Shell, asker: Asker, State(control): State<Control>, Path(id): Path<String>) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Database).await?;
    Ok(database_page(shell, &control, &view, None).await)
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
        KindOf {
            word: kind.as_str(),
            name,
            what,
            lacks: lacks.map(|lacking| lacking.what).unwrap_or_default(),
            chosen: kind == chosen,
        }
    });
    let kinds = kinds.collect();
    let status = problem.as_ref().map_or(StatusCode::OK, |_| StatusCode::UNPROCESSABLE_ENTITY);
    page_with(
        status,
        &DatabasePage {
            shell: titled(shell, Step::Database),
            frame: Frame::new(view, Step::Database, "It is made with your app, and your app finds it in DATABASE_URL.", problem),
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
) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Database).await?;
    let Some(kind) = DatabaseType::parse(&form.database) else {
        let problem = Problem::bad_request("choose a database, or None");
        return Ok(database_page(shell, &control, &view, Some(problem)).await);
    };
    let lacks = control.database_kinds().await.into_iter().find(|(known, _)| *known == kind).and_then(|(_, lacks)| lacks);
    if let Some(lacks) = lacks {
        return Ok(database_page(shell, &control, &view, Some(Problem::bad_request(lacks.to_string()))).await);
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
