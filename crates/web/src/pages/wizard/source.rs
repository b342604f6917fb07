//! The steps of GitHub: the repository, and its branch.

use api::GitHubInstallation;
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use control::{Control, DraftSource, DraftView};
use serde::Deserialize;

use super::{Frame, INSTALL, Shown, Step, at, status, titled, to};
use crate::access::Asker;
use crate::answer::Problem;
use crate::pages::layout::{Shell, page_with};
use crate::pages::text::{When, short_commit};
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
    frame: Frame,
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
) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Repository).await?;
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
) -> Shown {
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
    Ok(page_with(
        status,
        &RepositoryPage {
            shell: titled(shell, Step::Repository),
            frame: Frame::new(view, Step::Repository, "", problem),
            search,
            repositories,
            more,
            install: INSTALL,
            accounts: accounts.into_iter().filter(|it| !it.page.is_empty()).collect(),
        },
    ))
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
) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Repository).await?;
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
    frame: Frame,
    branches: Vec<Branch>,
}

/// Lists the branches.
pub(super) async fn branches(shell: Shell, asker: Asker, State(control): State<Control>, Path(id): Path<String>) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Branch).await?;
    branch_page(shell, &asker, &control, &view, None).await
}

async fn branch_page(shell: Shell, asker: &Asker, control: &Control, view: &DraftView, problem: Option<Problem>) -> Shown {
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
            commit: short_commit(&it.commit),
            default: it.default,
            name: it.name,
        })
        .collect();
    let status = status(problem.as_ref());
    Ok(page_with(
        status,
        &BranchPage {
            shell: titled(shell, Step::Branch),
            frame: Frame::new(
                view,
                Step::Branch,
                format!("{full_name}. Once connected, Adaptable will deploy your repo each time you push to this branch."),
                problem,
            ),
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
) -> Shown {
    let view = at(&control, &asker.who, &id, Step::Branch).await?;
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
