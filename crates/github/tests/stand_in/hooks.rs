//! What the stand-in delivers: signed so that it verifies, described as GitHub describes it, and read.

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use github::{Event, InstallationAction, InstallationId, RepositoryAction, Secret, SignatureError, parse, verify};
use testkit::github::{App, GitHub as StandIn};

use super::{description, platform};

/// A delivery as it came in.
struct Heard {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Heard {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Hears deliveries, and answers each with 202.
fn listen() -> (String, Receiver<Heard>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hooks/github", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let mut reader = BufReader::new(tcp);
            let mut headers = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                if line.trim().is_empty() {
                    break;
                }
                if let Some((name, value)) = line.trim().split_once(": ") {
                    headers.push((name.to_ascii_lowercase(), value.to_owned()));
                }
            }
            let mut heard = Heard { headers, body: Vec::new() };
            heard.body.resize(heard.header("content-length").and_then(|it| it.parse().ok()).expect("a length"), 0);
            reader.read_exact(&mut heard.body).expect("the body");
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(answer).expect("it waits for the answer");
            if sender.send(heard).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

/// The next delivery, checked in every way.
fn next(receiver: &Receiver<Heard>, app: &App) -> (String, Event) {
    let heard = receiver.recv_timeout(std::time::Duration::from_mins(1)).expect("a delivery");
    let secret = Secret::new(app.webhook_secret.clone());
    let signature = heard.header("x-hub-signature-256");
    assert_eq!(verify(&secret, signature, &heard.body), Ok(()));
    assert_eq!(
        verify(&secret, heard.header("x-hub-signature"), &heard.body),
        Err(SignatureError::Malformed),
        "SHA-1 counts for nothing"
    );
    assert_eq!(verify(&Secret::new("guessed"), signature, &heard.body), Err(SignatureError::Wrong));
    let mut other = heard.body.clone();
    other[10] ^= 1;
    assert_eq!(verify(&secret, signature, &other), Err(SignatureError::Wrong));
    let event = parse(heard.header("x-github-event").expect("an event"), &heard.body).expect("a delivery that can be read");
    (heard.header("x-github-delivery").expect("an id").to_owned(), event)
}

#[test]
fn deliveries_are_signed_and_read() {
    let stand_in = StandIn::start();
    stand_in.user("octocat");
    stand_in.organization("octo-org", &["octocat"]);
    stand_in.user("hubot");
    let (url, receiver) = listen();
    let app = stand_in.app("octocat", "Adaptable", platform("/x").as_str(), &url);
    let number = stand_in.repository("octo-org/app", true);
    stand_in.repository("octo-org/more", true);

    let id = InstallationId(stand_in.install(app.id, "octo-org", Some(&["app"])));
    let (_, event) = next(&receiver, &app);
    let Event::Installation(told) = event else { panic!("{event:?}") };
    assert_eq!((told.action, told.installation, told.account.login.as_str()), (InstallationAction::Created, id, "octo-org"));
    assert_eq!(told.repositories[0].id.0, number);

    // A branch is made, goes on, is forced back, and goes.
    let first = stand_in.push("octo-org/app", "feature/x", &[("app.py", "1")], "First\n\nin two lines");
    let (_, event) = next(&receiver, &app);
    let Event::Push(push) = event else { panic!("{event:?}") };
    assert_eq!((push.repository.id.0, push.branch(), push.installation), (number, Some("feature/x"), Some(id)));
    assert!(push.is_created && push.before.is_none() && !push.is_deleted && !push.is_forced);
    let head = push.head.expect("a commit");
    assert_eq!(
        (head.id.as_str(), head.message.as_str(), head.author.as_str()),
        (first.sha.as_str(), "First\n\nin two lines", "octocat")
    );
    assert_eq!(push.sender.as_deref(), Some("octocat"));
    let second = stand_in.push("octo-org/app", "feature/x", &[("app.py", "2")], "Second");
    let (delivered, event) = next(&receiver, &app);
    let Event::Push(push) = event else { panic!("{event:?}") };
    assert_eq!((push.before.as_str(), push.after.as_str(), push.is_created), (first.sha.as_str(), second.sha.as_str(), false));
    // The same once more: the id is the same.
    assert_eq!(second.deliveries[0].status, Some(202));
    assert_eq!(stand_in.redeliver(&second.deliveries[0].id).status, Some(202));
    let (again, event) = next(&receiver, &app);
    assert_eq!((again, event), (delivered, Event::Push(push)));
    stand_in.force("octo-org/app", "feature/x", &first.sha);
    let (_, event) = next(&receiver, &app);
    assert!(matches!(&event, Event::Push(push) if push.is_forced && push.after.as_str() == first.sha), "{event:?}");
    stand_in.delete_branch("octo-org/app", "feature/x");
    let (_, event) = next(&receiver, &app);
    assert!(matches!(&event, Event::Push(push) if push.is_deleted && push.after.is_none() && push.head.is_none()), "{event:?}");
    // Of a repository that was not chosen, nothing is told.
    assert_eq!(stand_in.push("octo-org/more", "main", &[("a", "b")], "One").deliveries, []);

    let added = stand_in.choose(id.0, Some(&["app", "more"]));
    assert_eq!(added.len(), 1);
    let (_, event) = next(&receiver, &app);
    let Event::InstallationRepositories(told) = event else { panic!("{event:?}") };
    assert_eq!((told.added.len(), told.removed.len(), told.added[0].name.as_str()), (1, 0, "octo-org/more"));
    stand_in.choose(id.0, Some(&["app"]));
    let (_, event) = next(&receiver, &app);
    assert!(
        matches!(&event, Event::InstallationRepositories(told) if told.removed[0].name.as_str() == "octo-org/more"),
        "{event:?}"
    );

    stand_in.rename("octo-org/app", "renamed");
    let (_, event) = next(&receiver, &app);
    let Event::Repository(told) = event else { panic!("{event:?}") };
    assert_eq!(told.action, RepositoryAction::Renamed { from: "app".to_owned() });
    assert_eq!((told.repository.name.as_str(), told.installation), ("octo-org/renamed", Some(id)));
    let elsewhere = InstallationId(stand_in.install(app.id, "hubot", None));
    assert!(matches!(next(&receiver, &app).1, Event::Installation(_)));
    stand_in.transfer("octo-org/renamed", "hubot");
    let (_, event) = next(&receiver, &app);
    let Event::Repository(told) = event else { panic!("{event:?}") };
    assert_eq!(told.action, RepositoryAction::Transferred { from: Some("octo-org".to_owned()) });
    assert_eq!((told.repository.name.as_str(), told.installation), ("hubot/renamed", Some(elsewhere)));
    stand_in.delete("hubot/renamed");
    assert!(matches!(next(&receiver, &app).1, Event::Repository(told) if told.action == RepositoryAction::Deleted));

    for (is_suspended, action) in [(true, InstallationAction::Suspended), (false, InstallationAction::Unsuspended)] {
        stand_in.suspend(id.0, is_suspended);
        assert!(matches!(next(&receiver, &app).1, Event::Installation(told) if told.action == action));
    }
    stand_in.rename_account("octo-org", "octo-corp");
    let (_, event) = next(&receiver, &app);
    let Event::AccountRenamed { account, from, installation } = event else { panic!("{event:?}") };
    assert_eq!((account.login.as_str(), from.as_deref(), installation), ("octo-corp", Some("octo-org"), Some(id)));
    stand_in.uninstall(id.0);
    assert!(matches!(next(&receiver, &app).1, Event::Installation(told) if told.action == InstallationAction::Deleted));
    stand_in.ping(app.id);
    assert!(matches!(next(&receiver, &app).1, Event::Ping(ping) if ping.hook_id.is_some()));
    assert_eq!(stand_in.revoke("octocat"), [], "nothing was authorized");

    let all = stand_in.deliveries();
    assert!(all.len() > 15 && all.iter().all(|it| it.status == Some(202)));
    all.iter().for_each(description::check_delivery);
}
