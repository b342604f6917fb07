//! The wizard: seven steps from a source to a live app. Each has an address of its own, and forms that need no script.

mod finish;
mod review;
mod shape;
mod source;
mod start;

use api::ErrorBody;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::{Control, Draft, DraftSource, DraftView, Who};
use http::StatusCode;

use crate::access::Asker;
use crate::answer::{self, Answer, Problem};
use crate::pages::layout::{Nav, Shell};
use crate::routes::{Needs, Table};

/// Where the browser is sent to install the App on an account, or to give it more repositories.
const INSTALL: &str = "/sign-in/github/install";
/// Where it is sent to connect an account of GitHub's to who is signed in.
const CONNECT: &str = "/sign-in/github";

/// The pages of the wizard. What they change is a draft, its user's alone, until the last one makes an app of it.
#[rustfmt::skip]
pub(crate) fn routes(table: Table) -> Table {
    use Needs::NewApp;
    table
        .get("/new", NewApp, start::show)
        .post_quietly("/new", NewApp, start::begin)
        .get("/new/upload", NewApp, start::upload)
        .post_stream("/new/upload", NewApp, "", start::post_upload)
        .get("/new/command-line", NewApp, start::command_line)
        .get("/new/{draft}", NewApp, resume)
        .post_quietly("/new/{draft}/discard", NewApp, start::discard)
        .get("/new/{draft}/repository", NewApp, source::repositories)
        .post_quietly("/new/{draft}/repository", NewApp, source::choose_repository)
        .get("/new/{draft}/branch", NewApp, source::branches)
        .post_quietly("/new/{draft}/branch", NewApp, source::choose_branch)
        .get("/new/{draft}/template", NewApp, shape::templates)
        .post_quietly("/new/{draft}/template", NewApp, shape::choose_template)
        .get("/new/{draft}/database", NewApp, shape::databases)
        .post_quietly("/new/{draft}/database", NewApp, shape::choose_database)
        .get("/new/{draft}/settings", NewApp, review::show)
        .post_quietly("/new/{draft}/settings", NewApp, review::change)
        .get("/new/{draft}/name", NewApp, finish::name)
        .post_quietly("/new/{draft}/name", NewApp, finish::choose_name)
        .get("/new/{draft}/name/free", NewApp, finish::is_free)
        .get("/new/{draft}/checks", NewApp, finish::checks)
        .post("/new/{draft}/checks", NewApp, "app.create", finish::deploy)
}

/// The steps, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Choose a GitHub repo.
    Repository,
    /// Choose its branch.
    Branch,
    /// Choose a Deploy Template.
    Template,
    /// Choose a database.
    Database,
    /// Set Start Command and review settings.
    Settings,
    /// Choose an app name.
    Name,
    /// Pre-flight checks.
    Checks,
}

impl Step {
    const ALL: [Self; 7] =
        [Self::Repository, Self::Branch, Self::Template, Self::Database, Self::Settings, Self::Name, Self::Checks];

    /// The word in the row of steps.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Repository => "Repository",
            Self::Branch => "Branch",
            Self::Template => "Deploy Template",
            Self::Database => "Database",
            Self::Settings => "Settings",
            Self::Name => "App name",
            Self::Checks => "Pre-flight checks",
        }
    }

    /// What its page asks for.
    fn heading(self) -> &'static str {
        match self {
            Self::Repository => "Choose a GitHub repo to deploy",
            Self::Branch => "Choose which branch you'd like to deploy",
            Self::Template => "Choose a Deploy Template",
            Self::Database => "Choose a database",
            Self::Settings => "Set Start Command and review settings",
            Self::Name => "Choose an app name",
            Self::Checks => "Pre-flight checks",
        }
    }

    /// The last part of its address.
    fn path(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Branch => "branch",
            Self::Template => "template",
            Self::Database => "database",
            Self::Settings => "settings",
            Self::Name => "name",
            Self::Checks => "checks",
        }
    }

    /// The first one that is still to be done.
    pub(crate) fn next(draft: &Draft) -> Self {
        match &draft.source {
            None => Self::Repository,
            Some(DraftSource::GitHub { branch: None, .. }) => Self::Branch,
            _ if !draft.template_chosen => Self::Template,
            _ if !draft.database_chosen => Self::Database,
            _ if !draft.reviewed => Self::Settings,
            _ if draft.name.is_none() => Self::Name,
            _ => Self::Checks,
        }
    }
}

/// An app that somebody has begun to make.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) id: String,
    pub(crate) title: String,
    /// The step that is to be done.
    pub(crate) step: &'static str,
}

/// The apps that somebody has begun to make, the one changed last first.
pub(crate) async fn unfinished(control: &Control, who: &Who) -> Answer<Vec<Unfinished>> {
    let drafts = control.drafts(who).await?.into_iter().map(|view| {
        let draft = &view.draft;
        let name = draft.name.as_ref().map(ToString::to_string);
        let title = name.or_else(|| draft.source.as_ref().map(|source| source.label().to_owned()));
        Unfinished { title: title.unwrap_or_else(|| "A new app".to_owned()), step: Step::next(draft).name(), id: view.id }
    });
    Ok(drafts.collect())
}

/// One mark in the row of steps.
#[derive(Debug, Clone)]
struct Mark {
    name: &'static str,
    href: String,
    state: &'static str,
}

/// The row of steps.
fn marks(view: &DraftView, current: Step) -> Vec<Mark> {
    let reached = Step::next(&view.draft);
    let uploaded = matches!(view.draft.source, Some(DraftSource::Upload { .. }));
    let mut marks = Vec::new();
    if uploaded {
        marks.push(Mark { name: "Upload", href: String::new(), state: "done" });
    }
    for step in Step::ALL.into_iter().filter(|step| !uploaded || *step > Step::Branch) {
        let state = match step {
            _ if step == current => "current",
            _ if step < reached => "done",
            _ => "ahead",
        };
        let href = if step <= reached && step != current { address(&view.id, step) } else { String::new() };
        marks.push(Mark { name: step.name(), href, state });
    }
    marks
}

fn address(id: &str, step: Step) -> String {
    format!("/new/{id}/{}", step.path())
}

/// Goes on: after a form, so that a reload sends nothing again.
fn to(id: &str, step: Step) -> Response {
    Redirect::to(&address(id, step)).into_response()
}

/// What the pages of all steps have, beside the shell.
#[derive(Debug)]
struct Frame {
    steps: Vec<Mark>,
    heading: &'static str,
    sub: String,
    wrong: String,
    help: String,
    /// The address that those of the steps begin with.
    base: String,
}

impl Frame {
    fn new(view: &DraftView, step: Step, sub: impl Into<String>, problem: Option<Problem>) -> Self {
        let (wrong, help) = problem.map(|problem| (problem.0.message, problem.0.help)).unwrap_or_default();
        let base = format!("/new/{}", view.id);
        Self { steps: marks(view, step), heading: step.heading(), sub: sub.into(), wrong, help, base }
    }
}

/// Why a step is not shown.
#[derive(Debug)]
enum Stop {
    /// Another page comes first: its address.
    Elsewhere(String),
    /// Something is wrong.
    Problem(Problem),
}

/// What a step answers with.
type Shown = Result<Response, Stop>;

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<ErrorBody> for Stop {
    fn from(error: ErrorBody) -> Self {
        Self::Problem(Problem(error))
    }
}

impl IntoResponse for Stop {
    fn into_response(self) -> Response {
        match self {
            Self::Elsewhere(address) => Redirect::to(&address).into_response(),
            Self::Problem(problem) => problem.into_response(),
        }
    }
}

/// The status of a page with what is wrong, if anything.
fn status(problem: Option<&Problem>) -> StatusCode {
    problem.map_or(StatusCode::OK, |problem| answer::status(&problem.0))
}

/// The draft for one of its steps; a step that is too far ahead leads to the one that is to be done, and what is deployed to its
/// deployment.
async fn at(control: &Control, who: &Who, id: &str, step: Step) -> Result<DraftView, Stop> {
    let view = control.draft(who, id).await?;
    if let Some(elsewhere) = deployed(&view) {
        return Err(Stop::Elsewhere(elsewhere));
    }
    let next = Step::next(&view.draft);
    let uploaded = matches!(view.draft.source, Some(DraftSource::Upload { .. }));
    let hidden = uploaded && step <= Step::Branch;
    if step > next || hidden { Err(Stop::Elsewhere(address(id, next))) } else { Ok(view) }
}

/// Where a draft leads that was deployed.
fn deployed(view: &DraftView) -> Option<String> {
    let it = view.draft.deployed.as_ref()?;
    Some(format!("/apps/{}/deployments/{}", it.app, it.deployment))
}

/// Goes on where somebody left off.
async fn resume(asker: Asker, State(control): State<Control>, Path(id): Path<String>) -> Answer<Response> {
    let view = control.draft(&asker.who, &id).await?;
    let address = deployed(&view).unwrap_or_else(|| address(&view.id, Step::next(&view.draft)));
    Ok(Redirect::to(&address).into_response())
}

fn titled(shell: Shell, step: Step) -> Shell {
    shell.titled(step.name()).at(Nav::Dashboard)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uploaded() -> Draft {
        let source = DraftSource::Upload { upload: "0".repeat(64), name: "x.tar.gz".to_owned(), files: 1, bytes: 1 };
        Draft { source: Some(source), ..Draft::default() }
    }

    #[test]
    fn the_next_step_is_the_first_that_is_to_be_done() {
        let mut draft = Draft::default();
        assert_eq!(Step::next(&draft), Step::Repository);
        draft.source = Some(DraftSource::GitHub {
            repository: 1,
            installation: 1,
            full_name: "a/b".to_owned(),
            branch: None,
            commit: None,
            upload: None,
        });
        assert_eq!(Step::next(&draft), Step::Branch);
        let mut draft = uploaded();
        assert_eq!(Step::next(&draft), Step::Template);
        draft.template_chosen = true;
        assert_eq!(Step::next(&draft), Step::Database);
        draft.database_chosen = true;
        assert_eq!(Step::next(&draft), Step::Settings);
        draft.reviewed = true;
        assert_eq!(Step::next(&draft), Step::Name);
        draft.name = Some("shop".parse().expect("a name"));
        assert_eq!(Step::next(&draft), Step::Checks);
        // Going back to a step undoes nothing behind it.
        draft.template_chosen = false;
        assert_eq!(Step::next(&draft), Step::Template);
    }

    #[test]
    fn only_steps_that_were_reached_are_linked() {
        let view = DraftView { id: "1".repeat(32), draft: Draft { template_chosen: true, ..uploaded() }, updated_at: 0 };
        let marks = marks(&view, Step::Database);
        let states: Vec<_> = marks.iter().map(|mark| (mark.name, mark.state, !mark.href.is_empty())).collect();
        assert_eq!(states[..3], [("Upload", "done", false), ("Deploy Template", "done", true), ("Database", "current", false)]);
        assert!(states[3..].iter().all(|(_, state, linked)| *state == "ahead" && !linked), "{states:?}");
    }
}
