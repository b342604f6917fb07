//! Everything that goes wrong with GitHub, told apart and in one line each; and servers that mean no good.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use github::{Endpoints, GitHub, GitHubError, RepositoryId};
use jiff::{SignedDuration, Timestamp};
use testkit::github::Trouble;

use super::{World, name, platform};

#[tokio::test]
async fn troubles_are_told_apart() {
    let world = World::new();
    let id = world.install("octo-org", None);
    let number = RepositoryId(world.stand_in.repository("octo-org/app", true));
    let user = world.sign_in("octocat").await;
    let token = world.github.installation_token(&world.keys, id, None).await.expect("a token");
    let now = Timestamp::now();
    for trouble in [
        Trouble::Down,
        Trouble::Closed,
        Trouble::Garbage,
        Trouble::RateLimited { seconds: 1800 },
        Trouble::SecondaryLimit { seconds: 42 },
    ] {
        world.stand_in.trouble(trouble.clone());
        let mut errors = vec![
            world.github.user(&user).await.expect_err("trouble"),
            world.github.installations(&user).await.expect_err("trouble"),
            world.github.repository_by_id(&token, number).await.expect_err("trouble"),
            world.github.app(&world.keys).await.expect_err("trouble"),
            world.github.installation_token(&world.keys, id, Some(number)).await.expect_err("trouble"),
        ];
        if !matches!(trouble, Trouble::RateLimited { .. } | Trouble::SecondaryLimit { .. }) {
            errors.push(world.github.refresh(&world.keys, &user).await.expect_err("trouble"));
            errors.push(world.github.exchange(&world.keys, "code", None, &platform("/x")).await.expect_err("trouble"));
        }
        for error in errors {
            let words = error.to_string();
            assert!(!words.contains('\n') && words.len() < 400 && !words.contains("ghs_") && !words.contains("ghu_"), "{words}");
            let is_right = match (&trouble, &error) {
                (Trouble::Down | Trouble::Closed, GitHubError::Unavailable { .. }) => error.is_passing(),
                (Trouble::Garbage, GitHubError::Protocol { .. }) => !error.is_passing(),
                (Trouble::RateLimited { .. }, GitHubError::RateLimited { until, .. }) => {
                    let wait = *until - now;
                    error.is_passing() && wait.get_seconds() >= 1799 && wait.get_seconds() < 1860
                }
                (Trouble::SecondaryLimit { .. }, GitHubError::RateLimited { .. }) => {
                    let until = error.retry_at().expect("a time");
                    until >= now + SignedDuration::from_secs(42) && until < now + SignedDuration::from_secs(102)
                }
                _ => false,
            };
            assert!(is_right, "{trouble:?}: {error:?}");
        }
    }
    // And then it is as it was: nothing is kept of the trouble, and the renewal was not used up by it.
    world.stand_in.trouble(Trouble::None);
    assert_eq!(world.github.repository_by_id(&token, number).await.expect("it").name, name("octo-org/app"));
    assert!(world.github.refresh(&world.keys, &user).await.is_ok());
    // A slow answer is one, too.
    world.stand_in.trouble(Trouble::Silent(Duration::from_millis(200)));
    assert!(world.github.app(&world.keys).await.is_ok());
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let world = World::new();
    world.stand_in.repository("octo-org/open", false);
    let sha = world.stand_in.commit("octo-org/open", "main", &[("a", "b")], "One");
    let id = world.install("octo-org", None);
    let token = world.github.installation_token(&world.keys, id, None).await.expect("a token");
    let status = |target: &str| github::CommitStatus {
        state: github::CommitState::Success,
        context: "x".to_owned(),
        description: "words".to_owned(),
        target: Some(url::Url::parse(target).expect("an address")),
    };
    let commit = github::CommitSha::parse(&sha).expect("an id");
    let refused = world.github.set_status(&token, &name("octo-org/open"), &commit, &status("ftp://elsewhere")).await;
    let refused = refused.expect_err("no such address");
    assert_eq!(
        refused.to_string(),
        format!("GitHub could not mark the commit {} of octo-org/open: Validation Failed: target_url is custom", commit.short())
    );
}

/// A server that gives one answer to whoever asks; its address.
fn server(answer: impl Fn(u16) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let Ok(mut tcp) = tcp else { return };
            let mut request = [0; 16 * 1024];
            let length = tcp.read(&mut request).unwrap_or(0);
            if length > 0 {
                tcp.write_all(&answer(port)).ok();
            }
        }
    });
    format!("http://127.0.0.1:{port}")
}

async fn asked(server: &str) -> GitHubError {
    let github = GitHub::new(Endpoints::new(server, server).expect("loopback"), b"").expect("a client");
    let asked = tokio::time::timeout(Duration::from_mins(1), github.convert_manifest("code")).await;
    asked.expect("an end").expect_err("no GitHub")
}

#[tokio::test]
async fn credentials_follow_no_redirect_to_elsewhere() {
    let elsewhere = server(|_| panic!("nobody was to come here"));
    let redirect = move |_| {
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {elsewhere}/x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .into_bytes()
    };
    let error = asked(&server(redirect)).await;
    assert!(error.to_string().ends_with("does not answer as GitHub does: it sends us to another host"), "{error}");
    let round = |port| {
        format!("HTTP/1.1 301 Moved Permanently\r\nlocation: http://127.0.0.1:{port}/again\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .into_bytes()
    };
    let error = asked(&server(round)).await;
    assert!(error.to_string().ends_with("it redirects without end"), "{error}");
    let nowhere =
        |_| b"HTTP/1.1 302 Found\r\nlocation: http://user:pw@[::1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec();
    assert!(matches!(asked(&server(nowhere)).await, GitHubError::Protocol { .. }));
}

#[tokio::test]
async fn answers_have_an_end() {
    let large = |_| {
        let mut answer = b"HTTP/1.1 201 Created\r\nconnection: close\r\n\r\n\"".to_vec();
        answer.resize(9 * 1024 * 1024, b'x');
        answer
    };
    let error = asked(&server(large)).await;
    assert!(matches!(&error, GitHubError::Unavailable { why, .. } if why.contains("length limit")), "{error:?}");
    for (answer, expected) in [
        (&b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]"[..], "Protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{", "Unavailable"),
        (b"HTTP/1.1 599 Odd\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "Unavailable"),
        (b"HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n", "Protocol"),
        (b"SSH-2.0-OpenSSH_9\r\n", "Unavailable"),
    ] {
        let error = asked(&server(move |_| answer.to_vec())).await;
        assert!(format!("{error:?}").starts_with(expected), "{error:?}: {expected}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let nobody = asked("http://127.0.0.1:9").await;
    assert!(nobody.to_string().starts_with("GitHub (127.0.0.1:9) can't be reached: "), "{nobody}");
}
