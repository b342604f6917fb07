//! Repositories, branches, commits, tokens of installations, and what is said of a deployment.

use github::{
    CommitSha, CommitState, CommitStatus, DeploymentState, DeploymentStatus, GitHubError, NewDeployment, RepositoryId, Whose,
};

use super::{World, description, name, platform};

#[tokio::test]
async fn long_lists_are_read_to_their_end() {
    let world = World::new();
    world.stand_in.repositories("octo-org", "repository", 230);
    world.stand_in.repository("octo-org/public", false);
    world.stand_in.describe("octo-org/public", "Everybody may see it <b>");
    let sha = world.stand_in.commit("octo-org/public", "main", &[("app.py", "print(1)")], "First\n\nand more");
    world.stand_in.branches("octo-org/public", "feature/", 150, &sha);
    let id = world.install("octo-org", None);
    let token = world.sign_in("octocat").await;
    let listing = world.github.repositories(&token, id).await.expect("repositories");
    assert!(listing.is_whole);
    let mut names: Vec<_> = listing.items.iter().map(|it| it.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 231);
    let public = listing.items.iter().find(|it| !it.is_private).expect("a public one");
    assert_eq!((public.name.name(), public.default_branch.as_str()), ("public", "main"));
    assert_eq!(public.description.as_deref(), Some("Everybody may see it <b>"));
    assert!(public.pushed_at.is_some());

    let token = world.github.installation_token(&world.keys, id, None).await.expect("a token");
    let all = world.github.installation_repositories(&token).await.expect("repositories");
    assert_eq!((all.items.len(), all.is_whole), (231, true));
    let branches = world.github.branches(&token, &public.name).await.expect("branches");
    assert_eq!((branches.items.len(), branches.is_whole), (151, true));
    assert!(branches.items.iter().all(|branch| branch.commit.as_str() == sha));
    let empty = world.github.branches(&token, &name("octo-org/repository1")).await.expect("no branches");
    assert_eq!(empty.items, []);
    for branch in ["main", "feature/7"] {
        let head = world.github.head(&token, &public.name, branch).await.expect("a commit");
        assert_eq!(
            (head.id.as_str(), head.message.as_str(), head.author.as_str()),
            (sha.as_str(), "First\n\nand more", "octocat")
        );
        assert!(head.at.is_some());
        assert_eq!(world.github.commit(&token, &public.name, &head.id).await.expect("the same commit"), head);
    }
    let gone = world.github.head(&token, &public.name, "gone").await.expect_err("no such branch");
    assert_eq!(gone, GitHubError::NotFound { doing: "look at the branch gone of octo-org/public".to_owned() });
    let nowhere = CommitSha::parse(&"ab".repeat(20)).expect("an id");
    assert!(matches!(world.github.commit(&token, &public.name, &nowhere).await, Err(GitHubError::NotFound { .. })));
    let in_empty = world.github.commit(&token, &name("octo-org/repository1"), &nowhere).await;
    assert!(matches!(in_empty, Err(GitHubError::Invalid { .. })), "{in_empty:?}");
    let operations = [
        ("get", "/installation/repositories"),
        ("get", "/repos/{owner}/{repo}/branches"),
        ("get", "/repos/{owner}/{repo}/branches/{branch}"),
        ("get", "/repos/{owner}/{repo}/git/commits/{commit_sha}"),
        ("post", "/app/installations/{installation_id}/access_tokens"),
    ];
    description::check(&world.stand_in.exchanges(), &operations);
}

#[tokio::test]
async fn a_renamed_repository_is_found() {
    let world = World::new();
    let number = RepositoryId(world.stand_in.repository("octo-org/before", true));
    let sha = world.stand_in.commit("octo-org/before", "main", &[("a", "b")], "One");
    let id = world.install("octo-org", None);
    let token = world.github.installation_token(&world.keys, id, None).await.expect("a token");
    world.stand_in.rename("octo-org/before", "after");
    let (before, after) = (name("octo-org/before"), name("octo-org/after"));
    assert_eq!(world.github.repository_by_id(&token, number).await.expect("it").name, after);
    assert_eq!(world.github.repository(&token, &before).await.expect("it").id, number);
    assert_eq!(world.github.branches(&token, &before).await.expect("branches").items.len(), 1);
    // What is told goes on, too: the method and the body are kept.
    let status = CommitStatus {
        state: CommitState::Pending,
        context: "adaptable/x".to_owned(),
        description: "It is under way".to_owned(),
        target: None,
    };
    let commit = CommitSha::parse(&sha).expect("an id");
    world.github.set_status(&token, &before, &commit, &status).await.expect("a status");
    assert_eq!(world.stand_in.statuses()[0].repository, "octo-org/after");
    world.stand_in.delete("octo-org/after");
    for gone in [world.github.repository_by_id(&token, number).await, world.github.repository(&token, &before).await] {
        assert!(matches!(gone, Err(GitHubError::NotFound { .. })), "{gone:?}");
    }
    description::check(&world.stand_in.exchanges(), &[("get", "/repos/{owner}/{repo}")]);
}

#[tokio::test]
async fn tokens_are_kept_until_they_are_worth_nothing() {
    let world = World::new();
    let (github, keys, stand_in) = (&world.github, &world.keys, &world.stand_in);
    let one = RepositoryId(stand_in.repository("octo-org/one", true));
    let two = RepositoryId(stand_in.repository("octo-org/two", true));
    let other = RepositoryId(stand_in.repository("octocat/other", true));
    let id = world.install("octo-org", Some(&["one", "two"]));
    let made = || stand_in.exchanges().iter().filter(|it| it.path.ends_with("/access_tokens") && it.status == 201).count();
    let all = github.installation_token(keys, id, None).await.expect("a token");
    let narrow = github.installation_token(keys, id, Some(one)).await.expect("a token");
    assert_eq!(github.clone().installation_token(keys, id, None).await.expect("a token"), all);
    assert_eq!(github.installation_token(keys, id, Some(one)).await.expect("a token"), narrow);
    assert_eq!(made(), 2, "and no more were made");
    assert!(!format!("{all:?}").contains("ghs_"));
    // The narrow one opens one repository, and none opens what is another account's.
    assert!(github.repository_by_id(&narrow, one).await.is_ok() && github.repository_by_id(&all, two).await.is_ok());
    assert!(matches!(github.repository_by_id(&narrow, two).await, Err(GitHubError::NotFound { .. })));
    assert!(matches!(github.repository_by_id(&all, other).await, Err(GitHubError::NotFound { .. })));
    let beyond = github.installation_token(keys, id, Some(other)).await.expect_err("not of this installation");
    assert!(matches!(beyond, GitHubError::Invalid { .. }), "{beyond:?}");
    // One that GitHub takes no more is not offered again.
    stand_in.expire_tokens();
    let ended = github.repository_by_id(&narrow, one).await.expect_err("it has ended");
    assert!(matches!(ended, GitHubError::Unauthorized { whose: Whose::Installation, .. }), "{ended:?}");
    let fresh = github.installation_token(keys, id, Some(one)).await.expect("another one");
    assert!(fresh != narrow && github.repository_by_id(&fresh, one).await.is_ok());
    github.forget_installation(id);
    assert_ne!(github.installation_token(keys, id, Some(one)).await.expect("another one"), fresh);
    // The installation is suspended, then removed.
    stand_in.suspend(id.0, true);
    assert!(matches!(github.repository_by_id(&fresh, one).await, Err(GitHubError::Suspended { .. })));
    github.forget_installation(id);
    let suspended = github.installation_token(keys, id, None).await.expect_err("it is suspended");
    assert!(matches!(suspended, GitHubError::Suspended { .. }), "{suspended:?}");
    assert!(github.app_installation(keys, id).await.expect("it").suspended_at.is_some());
    stand_in.suspend(id.0, false);
    assert!(github.installation_token(keys, id, None).await.is_ok());
    stand_in.uninstall(id.0);
    github.forget_installation(id);
    assert!(matches!(github.installation_token(keys, id, None).await, Err(GitHubError::NotFound { .. })));
    stand_in.delete_app(keys.id);
    let gone = github.installation_token(keys, id, None).await.expect_err("there is no App");
    assert!(matches!(gone, GitHubError::Unauthorized { whose: Whose::App, .. }), "{gone:?}");
    description::check(&stand_in.exchanges(), &[("post", "/app/installations/{installation_id}/access_tokens")]);
}

#[tokio::test]
async fn deployments_are_told() {
    let world = World::new();
    let full_name = name("octo-org/app");
    world.stand_in.repository(full_name.as_str(), true);
    let first = world.stand_in.commit(full_name.as_str(), "main", &[("a", "1")], "One");
    let second = world.stand_in.commit(full_name.as_str(), "main", &[("a", "2")], "Two");
    let id = world.install("octo-org", None);
    let token = world.github.installation_token(&world.keys, id, None).await.expect("a token");
    let long = "ö".repeat(300);
    for sha in [&first, &second] {
        let commit = CommitSha::parse(sha).expect("an id");
        let deployment =
            NewDeployment { commit: commit.clone(), environment: "adaptable/app".to_owned(), description: long.clone() };
        let number = world.github.create_deployment(&token, &full_name, &deployment).await.expect("a deployment");
        for (state, word) in [
            (DeploymentState::Queued, CommitState::Pending),
            (DeploymentState::InProgress, CommitState::Pending),
            (DeploymentState::Success, CommitState::Success),
        ] {
            let status = DeploymentStatus {
                state,
                description: long.clone(),
                log: Some(platform("/apps/app/deployments/1")),
                environment_url: (state == DeploymentState::Success).then(|| platform("/")),
            };
            world.github.deployment_status(&token, &full_name, number, &status).await.expect("a word");
            let status = CommitStatus {
                state: word,
                context: "adaptable/app".to_owned(),
                description: long.clone(),
                target: Some(platform("/apps/app/deployments/1")),
            };
            world.github.set_status(&token, &full_name, &commit, &status).await.expect("a mark");
        }
    }
    let deployments = world.stand_in.deployments();
    assert_eq!(
        deployments.iter().map(|it| (it.sha.as_str(), it.state())).collect::<Vec<_>>(),
        [(first.as_str(), "inactive"), (second.as_str(), "success")]
    );
    let words: Vec<_> = deployments[1].words.iter().map(|word| word.state.as_str()).collect();
    assert_eq!(words, ["queued", "in_progress", "success"]);
    assert_eq!(deployments[1].words[2].environment_url.as_deref(), Some("https://platform.example/"));
    let statuses = world.stand_in.statuses();
    assert_eq!((statuses.len(), statuses[5].state.as_str(), statuses[5].sha.as_str()), (6, "success", second.as_str()));
    assert_eq!(statuses[5].description.as_deref().map(|it| it.chars().count()), Some(140));
    // A commit that was taken away meanwhile.
    let gone = CommitSha::parse(&"ab".repeat(20)).expect("an id");
    let status = CommitStatus { state: CommitState::Error, context: "x".to_owned(), description: String::new(), target: None };
    let refused = world.github.set_status(&token, &full_name, &gone, &status).await.expect_err("no such commit");
    assert!(
        refused.to_string().starts_with("GitHub could not mark the commit abababa of octo-org/app: No commit found"),
        "{refused}"
    );
    let operations = [
        ("post", "/repos/{owner}/{repo}/statuses/{sha}"),
        ("post", "/repos/{owner}/{repo}/deployments"),
        ("post", "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses"),
    ];
    description::check(&world.stand_in.exchanges(), &operations);
}

#[tokio::test]
async fn an_enterprise_server_is_the_same() {
    let world = World::new();
    world.stand_in.repositories("octo-org", "r", 120);
    let id = world.install("octo-org", None);
    // Its pages and its API are one host; addresses of the stand-in's next pages are those of the API that was asked.
    let endpoints = github::Endpoints::new(&world.stand_in.web(), &world.stand_in.enterprise_api()).expect("loopback");
    let github = github::GitHub::new(endpoints, b"").expect("a client");
    let token = github.installation_token(&world.keys, id, None).await.expect("a token");
    assert_eq!(github.repository(&token, &name("octo-org/r7")).await.expect("it").name.name(), "r7");
    let user = world.sign_in("octocat").await;
    assert_eq!(github.repositories(&user, id).await.expect("repositories").items.len(), 120);
}

/// git, as the platform starts it: the token in its environment, the answer's status.
fn fetched(url: &str, token: Option<&str>, sha: &str) -> bool {
    use base64::Engine as _;
    let dir = tempfile::tempdir().expect("a directory");
    let git = || {
        let mut git = std::process::Command::new("git");
        git.current_dir(dir.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0");
        git.stderr(std::process::Stdio::null());
        git
    };
    assert!(git().args(["init", "--quiet", "--bare", "."]).status().expect("git runs").success());
    let mut fetch = git();
    if let Some(token) = token {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
        fetch.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "http.extraHeader");
        fetch.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {basic}"));
    }
    fetch.args(["fetch", "--quiet", "--depth", "1", url, sha]).status().expect("git runs").success()
}

#[tokio::test]
async fn git_opens_what_the_token_opens() {
    let world = World::new();
    let one = RepositoryId(world.stand_in.repository("octo-org/one", true));
    world.stand_in.repository("octo-org/two", true);
    world.stand_in.repository("octo-org/open", false);
    let commit = |full_name: &str| world.stand_in.commit(full_name, "main", &[("a", "b")], "One");
    let (first, second, open) = (commit("octo-org/one"), commit("octo-org/two"), commit("octo-org/open"));
    commit("octo-org/one");
    let id = world.install("octo-org", None);
    let token = world.github.installation_token(&world.keys, id, Some(one)).await.expect("a token");
    let token = token.secret().reveal();
    let url = |full_name: &str| world.github.endpoints().clone_url(&name(full_name)).to_string();
    // A commit that is not the newest any more is given, too.
    assert!(fetched(&url("octo-org/one"), Some(token), &first));
    assert!(!fetched(&url("octo-org/one"), None, &first));
    assert!(!fetched(&url("octo-org/one"), Some("ghs_guessed"), &first));
    assert!(!fetched(&url("octo-org/two"), Some(token), &second));
    assert!(fetched(&url("octo-org/open"), None, &open));
    world.stand_in.rename("octo-org/one", "moved");
    assert!(fetched(&url("octo-org/moved"), Some(token), &first));
    world.stand_in.suspend(id.0, true);
    assert!(!fetched(&url("octo-org/moved"), Some(token), &first));
}
