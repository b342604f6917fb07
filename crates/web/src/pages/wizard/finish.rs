//! The last steps: the app's name, the pre-flight checks, and "Deploy App".

use api::{PreflightCheck, PreflightState};
use askama::Template;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use control::{Control, DraftSource, DraftView, Who};
use http::StatusCode;
use model::AppName;
use serde::{Deserialize, Serialize};

use super::{Frame, Shown, Step, at, titled, to};
use crate::access::Asker;
use crate::answer::{Answer, Problem};
use crate::pages::layout::{Shell, page_with};
use crate::pages::visitor::Posted;
use crate::routes::Detail;

#[derive(Debug, Template)]
#[template(path = "wizard_name.html")]
struct NamePage {
    shell: Shell,
    frame: Frame,
    name: String,
    suffix: String,
}

/// Asks for the name, with one suggested.
pub(super) async fn name(shell: Shell, asker: Asker, State(control): State<Control>, Path(id): Path<String>) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Name).await?;
    let name = view.draft.name.as_ref().map(ToString::to_string);
    let name = name.or_else(|| suggestion(&control, &view)).unwrap_or_default();
    Ok(name_page(shell, &control, &view, name, None))
}

/// A name made of the repository's, or of the archive's.
fn suggestion(control: &Control, view: &DraftView) -> Option<String> {
    let source = view.draft.source.as_ref()?;
    let label = match source {
        DraftSource::GitHub { full_name, .. } => full_name.as_str(),
        DraftSource::Upload { name, .. } => {
            // An archive of one directory has the app's name inside.
            let inside = view.draft.settings.repo_subdir.as_deref();
            inside.unwrap_or_else(|| stem(name))
        }
    };
    control.suggest_name(label).map(|name| name.to_string())
}

/// An archive's name without what says how it is packed.
fn stem(name: &str) -> &str {
    let packed = [".tar.gz", ".tar.zst", ".tgz", ".tar", ".zip"].into_iter().find_map(|end| {
        let at = name.len().checked_sub(end.len())?;
        name.get(at..)?.eq_ignore_ascii_case(end).then(|| &name[..at])
    });
    packed.unwrap_or(name)
}

fn name_page(shell: Shell, control: &Control, view: &DraftView, name: String, problem: Option<Problem>) -> Response {
    let app_url = control.platform().app_url;
    let suffix = app_url.split_once("NAME.").map(|(_, suffix)| suffix.to_owned()).unwrap_or_default();
    let status = problem.as_ref().map_or(StatusCode::OK, |_| StatusCode::UNPROCESSABLE_ENTITY);
    page_with(
        status,
        &NamePage {
            shell: titled(shell, Step::Name),
            frame: Frame::new(view, Step::Name, "This name will be used to create a URL for your project.", problem),
            name,
            suffix,
        },
    )
}

#[derive(Debug, Deserialize)]
pub(super) struct ChosenName {
    #[serde(default)]
    name: String,
}

/// Takes the name.
pub(super) async fn choose_name(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
    Posted(form): Posted<ChosenName>,
) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Name).await?;
    match checked(&control, &asker.who, &form.name) {
        Ok(name) => {
            control
                .change_draft(&asker.who, &id, move |draft| {
                    draft.name = Some(name);
                    Ok(())
                })
                .await?;
            Ok(to(&id, Step::Checks))
        }
        Err(problem) => {
            let typed = form.name.chars().take(100).collect();
            Ok(name_page(shell, &control, &view, typed, Some(problem)))
        }
    }
}

fn checked(control: &Control, who: &Who, text: &str) -> Answer<AppName> {
    let name = AppName::parse(text.trim()).map_err(|error| Problem::bad_request(error.to_string()))?;
    control.name_is_free(who, &name)?;
    Ok(name)
}

/// Whether a name can be had, for the page's script.
#[derive(Debug, Serialize)]
pub(super) struct Free {
    free: bool,
    message: String,
}

/// Says whether a name can be had, while it is typed.
pub(super) async fn is_free(
    asker: Asker,
    State(control): State<Control>,
    query: Result<Query<ChosenName>, QueryRejection>,
) -> Json<Free> {
    let text = query.map(|Query(query)| query.name).unwrap_or_default();
    Json(match checked(&control, &asker.who, &text) {
        Ok(name) => Free { free: true, message: format!("{name} is free") },
        Err(problem) => Free { free: false, message: problem.0.message },
    })
}

#[derive(Debug)]
struct Row {
    state: &'static str,
    icon: &'static str,
    word: &'static str,
    title: String,
    reason: String,
    help: String,
    place: String,
    page: String,
    fix: Option<(String, &'static str)>,
}

#[derive(Debug, Template)]
#[template(path = "wizard_checks.html")]
struct ChecksPage {
    shell: Shell,
    frame: Frame,
    tone: &'static str,
    summary: String,
    checks: Vec<Row>,
    listens: bool,
    box_wrong: bool,
    failed: bool,
}

/// Runs the checks and shows them.
pub(super) async fn checks(shell: Shell, asker: Asker, State(control): State<Control>, Path(id): Path<String>) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Checks).await?;
    checks_page(shell, &asker, &control, &view, false, None).await
}

async fn checks_page(
    shell: Shell,
    asker: &Asker,
    control: &Control,
    view: &DraftView,
    box_wrong: bool,
    problem: Option<Problem>,
) -> Shown {
    let report = control.check_draft(&asker.who, &view.id).await?;
    let (failed, warned) = (report.count(PreflightState::Failed), report.count(PreflightState::Warning));
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (tone, summary) = match (failed, warned) {
        (0, 0) => ("live", "All checks have passed.".to_owned()),
        (0, warned) => ("building", format!("The checks have passed, with {warned} warning{}.", plural(warned))),
        (failed, _) => ("failed", format!("{failed} check{} failed.", plural(failed))),
    };
    let status = if box_wrong || problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(page_with(
        status,
        &ChecksPage {
            shell: titled(shell, Step::Checks),
            frame: Frame::new(
                view,
                Step::Checks,
                "Adaptable has looked over your source. It was read, nothing of it was run.",
                problem,
            ),
            tone,
            summary,
            checks: report.checks.into_iter().map(|check| row(check, &view.id)).collect(),
            listens: view.draft.listens,
            box_wrong,
            failed: failed > 0,
        },
    ))
}

fn row(check: PreflightCheck, id: &str) -> Row {
    let (icon, word) = match check.state {
        PreflightState::Ok => ("done", "Passed"),
        PreflightState::Warning => ("warning", "Warning"),
        PreflightState::Failed => ("failed", "Failed"),
        PreflightState::Skipped => ("minus", "Skipped"),
    };
    let fix = matches!(check.state, PreflightState::Failed | PreflightState::Warning).then(|| fix(&check.id, id)).flatten();
    let place = match (check.file, check.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        (Some(file), None) => file,
        _ => String::new(),
    };
    Row {
        state: check.state.as_str(),
        icon,
        word,
        title: check.title,
        reason: check.reason,
        help: check.help,
        place,
        page: check.page,
        fix,
    }
}

/// The step in which a check's matter is decided.
fn fix(check: &str, id: &str) -> Option<(String, &'static str)> {
    let setting = |key: &str| (format!("/new/{id}/settings?change={key}#setting-{key}"), "Change");
    Some(match check {
        "base-directory" => setting("repoSubdir"),
        "runtime" => setting("pythonVersion"),
        "start-command" | "start-target" | "server" | "listens" => setting("startCommand"),
        "variables" => setting("environment"),
        "template" => (format!("/new/{id}/template"), "Change"),
        "database" | "database-server" | "disk" => (format!("/new/{id}/database"), "Change"),
        "name" => (format!("/new/{id}/name"), "Change"),
        _ => return None,
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct Confirmed {
    #[serde(default)]
    listens: String,
}

/// Deploys the app. A second click finds what the first one began.
pub(super) async fn deploy(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
    Posted(form): Posted<Confirmed>,
) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Checks).await?;
    let listens = form.listens == "on";
    if view.draft.listens != listens {
        let changed = control
            .change_draft(&asker.who, &id, move |draft| {
                draft.listens = listens;
                Ok(())
            })
            .await;
        // The other tab was faster: what it began is found below.
        if let Err(error) = changed
            && error.code != api::ErrorCode::Conflict
        {
            return Err(error.into());
        }
    }
    let view = control.draft(&asker.who, &id).await?;
    if !listens && view.draft.deployed.is_none() {
        return checks_page(shell, &asker, &control, &view, true, None).await;
    }
    match control.deploy_draft(&asker.who, &id).await {
        Ok(accepted) => {
            let address = format!("/apps/{}/deployments/{}", accepted.app, accepted.deployment);
            Ok(Detail(format!("{}, deployment {}", accepted.app, accepted.deployment)).by(Redirect::to(&address)))
        }
        Err(error) if error.code == api::ErrorCode::Internal => Err(error.into()),
        Err(error) => checks_page(shell, &asker, &control, &view, false, Some(Problem(error))).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_named_without_its_packing() {
        for (name, stem_of_it) in [
            ("shop.tar.gz", "shop"),
            ("my.text.tar", "my.text"),
            ("Shop-main.ZIP", "Shop-main"),
            ("shop", "shop"),
            (".zip", ""),
            ("ä.tgz", "ä"),
        ] {
            assert_eq!(stem(name), stem_of_it);
        }
    }
}
