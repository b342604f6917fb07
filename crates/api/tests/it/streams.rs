//! Streams of objects over a Unix socket, in whatever pieces they come.

use std::time::Duration;

use api::{Client, ClientError, Event, EventKind, LogQuery};
use model::{AppName, DeploymentNumber, Step, StepState};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// A platform that answers one request with these pieces, one write each.
fn platform(pieces: Vec<String>) -> (Client, TempDir) {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("adaptable.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the client");
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.expect("a request");
        assert!(read > 0);
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.expect("the client reads");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    (Client::socket(path), folder)
}

fn shop() -> AppName {
    AppName::parse("shop").expect("a name")
}

/// A piece of a body; the empty one ends it.
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn objects_are_read_across_pieces() {
    let (client, _folder) = platform(vec![
        HEAD.to_owned(),
        chunk(r#"{"seq":1,"at":"2026-01-01T00:00:00Z","kind":"st"#),
        chunk("ep\",\"step\":\"plan\",\"state\":\"running\"}\n\n\n"),
        chunk(r#"{"seq":2,"at":"2026-01-01T00:00:00Z","kind":"of tomorrow","with":{"what":["ever"]},"more":1}"#),
        chunk(""),
    ]);
    let mut events = client.events(&shop(), DeploymentNumber(1), 1).await.expect("a stream");
    let first = events.next().await.expect("whole").expect("an event");
    assert_eq!((first.seq, first.kind), (1, EventKind::Step { step: Step::Plan, state: StepState::Running, seconds: None }));
    // The last line has no end; and what is of tomorrow is no error today.
    let second = events.next().await.expect("whole").expect("an event");
    assert_eq!((second.seq, second.kind), (2, EventKind::Unknown));
    assert!(events.next().await.expect("the end").is_none());
}

#[tokio::test]
async fn a_stream_that_breaks_is_an_error_and_no_end() {
    let (client, _folder) = platform(vec![HEAD.to_owned(), chunk("{\"a")]);
    let mut lines = client.logs(&shop(), &LogQuery::default()).await.expect("a stream");
    let error = lines.next().await.expect_err("it broke");
    assert!(matches!(error, ClientError::Broken { .. }) && error.is_lost(), "{error:?}");
}

#[tokio::test]
async fn a_line_that_is_no_object_is_an_error() {
    let (client, _folder) = platform(vec![HEAD.to_owned(), chunk("what\n")]);
    let mut lines = client.logs(&shop(), &LogQuery::default()).await.expect("a stream");
    assert!(matches!(lines.next().await, Err(ClientError::Answer { .. })));
}

#[test]
fn an_event_is_flat() {
    let event = Event {
        seq: 4,
        at: "2026-01-01T00:00:00Z".parse().expect("a time"),
        kind: EventKind::Step { step: Step::Start, state: StepState::Done, seconds: Some(0.5) },
    };
    let text = serde_json::to_string(&event).expect("plain data");
    assert_eq!(text, r#"{"seq":4,"at":"2026-01-01T00:00:00Z","kind":"step","step":"start","state":"done","seconds":0.5}"#);
    assert_eq!(serde_json::from_str::<Event>(&text).expect("what we wrote"), event);
}
