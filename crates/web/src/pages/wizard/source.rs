//! The steps of GitHub: the repository, and its branch.

use std::ops::ControlFlow::{Break, Continue};

use api::GitHubInstallation;
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use control::{Control, DraftSource, DraftView};
use http::StatusCode;
use serde::Deserialize;

use super::{INSTALL, Mark, Step, at, base, marks, titled, to};
use crate::access::Asker;
use crate::answer::{Answer, Problem};
use crate::pages::layout::{Shell, page_with};
use crate::pages::text::When;
use crate::pages::visitor::Posted;

/// Repositories that are listed; the others are found by searching.
const LISTED: usize = 100;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
}

#[derive(Debug)]
struct Repository {
    id: u64,
    full_name: String,
    private: bool,
    archived: bool,
    chosen: bool,
    description: String,
    pushed: String,
}

#[derive(Debug, Template)]
#[template(path = "wizard_repository.html")]
struct RepositoryPage {
    shell: Shell,
    steps: Vec<Mark>,
    heading: &'static str,
    sub: &'static str,
    wrong: String,
    help: String,
    base: String,
    search: String,
    repositories: Vec<Repository>,
    more: usize,
    install: &'static str,
    accounts: Vec<GitHubInstallation>,
}

/// Lists the repositories that they may see.
pub(super) async fn repositories(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
    query: Result<Query<Search>, QueryRejection>,
) -> Answer<Response> {
    let view = match at(&control, &asker.who, &id, Step::Repository).await? {
        Continue(view) => view,
        Break(elsewhere) => return Ok(elsewhere),
    };
    let search: String = query.map(|Query(query)| query.q).unwrap_or_default().chars().take(100).collect();
    repository_page(shell, &asker, &control, &view, search, None).await
}

async fn repository_page(
    shell: Shell,
    asker: &Asker,
    control: &Control,
    view: &DraftView,
    search: String,
    problem: Option<Problem>,
) -> Answer<Response> {
    let chosen = match &view.draft.source {
        Some(DraftSource::GitHub { repository, .. }) => Some(*repository),
        _ => None,
    };
    let found = control.github_repositories(&asker.who, None, Some(&search)).await;
    let (found, problem) = match found {
        Ok(found) => (found, problem),
        Err(error) => (Vec::new(), Some(Problem(error))),
    };
    let accounts = control.github_installations(&asker.who).await.unwrap_or_default();
    let more = found.len().saturating_sub(LISTED);
    let repositories = found
        .into_iter()
        .take(LISTED)
        .map(|it| Repository {
            chosen: chosen == Some(it.id),
            id: it.id,
            full_name: it.full_name,
            private: it.private,
            archived: it.archived,
            description: it.description.unwrap_or_default().chars().take(140).collect(),
            pushed: it.pushed_at.map(|at| When::new(at).ago()).unwrap_or_default(),
        })
        .collect();
    let status = status(problem.as_ref());
    let (wrong, help) = problem.map(|problem| (problem.0.message, problem.0.help)).unwrap_or_default();
    Ok(page_with(
        status,
        &RepositoryPage {
            shell: titled(shell, Step::Repository),
            steps: marks(view, Step::Repository),
            heading: "Choose a GitHub repo to deploy",
            sub: "",
            wrong,
            help,
            base: base(&view.id),
            search,
            repositories,
            more,
            install: INSTALL,
            accounts: accounts.into_iter().filter(|it| !it.page.is_empty()).collect(),
        },
    ))
}

fn status(problem: Option<&Problem>) -> StatusCode {
    problem.map_or(StatusCode::OK, |problem| StatusCode::from_u16(problem.0.code.status()).unwrap_or(StatusCode::BAD_GATEWAY))
}

#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    repository: u64,
}

/// Takes a repository. Another one than before begins anew with its branch; settings stay.
pub(super) async fn choose_repository(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
    Posted(chosen): Posted<Chosen>,
) -> Answer<Response> {
    let view = match at(&control, &asker.who, &id, Step::Repository).await? {
        Continue(view) => view,
        Break(elsewhere) => return Ok(elsewhere),
    };
    // Only from what they see: a number that was made up is none of these.
    let list = match control.github_repositories(&asker.who, None, None).await {
        Ok(list) => list,
        Err(error) => return repository_page(shell, &asker, &control, &view, String::new(), Some(Problem(error))).await,
    };
    let Some(found) = list.into_iter().find(|it| it.id == chosen.repository) else {
        let problem = Problem::bad_request("this repository is not among those that are connected");
        return repository_page(shell, &asker, &control, &view, String::new(), Some(problem)).await;
    };
    control
        .change_draft(&asker.who, &id, move |draft| {
            let same = matches!(&draft.source, Some(DraftSource::GitHub { repository, .. }) if *repository == found.id);
            if !same {
                draft.source = Some(DraftSource::GitHub {
                    repository: found.id,
                    installation: found.installation,
                    full_name: found.full_name,
                    branch: None,
                    commit: None,
                    upload: None,
                });
                draft.template_chosen = false;
            }
            Ok(())
        })
        .await?;
    Ok(to(&id, Step::Branch))
}

#[derive(Debug)]
struct Branch {
    name: String,
    commit: String,
    default: bool,
    chosen: bool,
}

#[derive(Debug, Template)]
#[template(path = "wizard_branch.html")]
struct BranchPage {
    shell: Shell,
    steps: Vec<Mark>,
    heading: &'static str,
    sub: String,
    wrong: String,
    help: String,
    base: String,
    branches: Vec<Branch>,
}

/// Lists the branches.
pub(super) async fn branches(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
) -> Answer<Response> {
    let view = match at(&control, &asker.who, &id, Step::Branch).await? {
        Continue(view) => view,
        Break(elsewhere) => return Ok(elsewhere),
    };
    branch_page(shell, &asker, &control, &view, None).await
}

async fn branch_page(
    shell: Shell,
    asker: &Asker,
    control: &Control,
    view: &DraftView,
    problem: Option<Problem>,
) -> Answer<Response> {
    let Some(DraftSource::GitHub { repository, full_name, branch, .. }) = &view.draft.source else {
        return Ok(to(&view.id, Step::Repository));
    };
    let (list, problem) = match control.github_branches(&asker.who, *repository).await {
        Ok(list) => (list, problem),
        Err(error) => (Vec::new(), Some(Problem(error))),
    };
    let branches = list
        .into_iter()
        .map(|it| Branch {
            chosen: branch.as_deref() == Some(it.name.as_str()),
            commit: it.commit.chars().take(7).collect(),
            default: it.default,
            name: it.name,
        })
        .collect();
    let status = status(problem.as_ref());
    let (wrong, help) = problem.map(|problem| (problem.0.message, problem.0.help)).unwrap_or_default();
    Ok(page_with(
        status,
        &BranchPage {
            shell: titled(shell, Step::Branch),
            steps: marks(view, Step::Branch),
            heading: "Choose which branch you'd like to deploy",
            sub: format!("{full_name}. Once connected, Adaptable will deploy your repo each time you push to this branch."),
            wrong,
            help,
            base: base(&view.id),
            branches,
        },
    ))
}

#[derive(Debug, Deserialize)]
pub(super) struct ChosenBranch {
    branch: String,
}

/// Takes a branch, and fetches its newest commit.
pub(super) async fn choose_branch(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    Path(id): Path<String>,
    Posted(chosen): Posted<ChosenBranch>,
) -> Answer<Response> {
    let view = match at(&control, &asker.who, &id, Step::Branch).await? {
        Continue(view) => view,
        Break(elsewhere) => return Ok(elsewhere),
    };
    let Some(DraftSource::GitHub { repository, .. }) = view.draft.source else { return Ok(to(&id, Step::Repository)) };
    let known = match control.github_branches(&asker.who, repository).await {
        Ok(list) => list.into_iter().any(|it| it.name == chosen.branch),
        Err(error) => return branch_page(shell, &asker, &control, &view, Some(Problem(error))).await,
    };
    if !known {
        let problem = Problem::bad_request("the repository has no such branch");
        return branch_page(shell, &asker, &control, &view, Some(problem)).await;
    }
    control
        .change_draft(&asker.who, &id, move |draft| {
            if let Some(DraftSource::GitHub { branch, commit, upload, .. }) = &mut draft.source
                && branch.as_deref() != Some(chosen.branch.as_str())
            {
                (*branch, *commit, *upload) = (Some(chosen.branch), None, None);
            }
            Ok(())
        })
        .await?;
    Ok(to(&id, Step::Template))
}
