//! Conformance, section by section, with bytes written by hand: the cases of the RFCs that a client can reach.
//!
//! Where hyper or h2 do otherwise than a section asks for, the case stands here all the same, expects what they do, and says why
//! that is good enough.

mod hpack;
mod http1;
mod messages;
mod streams;

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;

use crate::frames::*;
use crate::support::*;

/// What the edge is to do.
enum Expect {
    /// End the connection with GOAWAY and one of these codes.
    Dies(&'static [u32]),
    /// Reset this stream with one of these codes; the connection goes on.
    Resets(u32, &'static [u32]),
    /// Answer this stream with this status; the connection goes on.
    Answers(u32, u16),
    /// Nothing; the connection goes on.
    Ignores,
}

use Expect::{Answers, Dies, Ignores, Resets};

/// The sections ask for codes of their own. h2 has only `PROTOCOL_ERROR` for what it meets while it takes a frame or a block apart.
/// The connection ends either way, and a code is for people who look for the reason.
const UNREADABLE: Expect = Dies(&[COMPRESSION_ERROR, PROTOCOL_ERROR]);
const MISSIZED: Expect = Dies(&[FRAME_SIZE_ERROR, PROTOCOL_ERROR]);
/// Where the connection must still be good afterwards, this stream is used.
const AFTERWARDS: u32 = 1001;

/// A case: where it stands, what is sent once both sides have said hello, and what is to come of it.
type Case = (&'static str, &'static str, Vec<u8>, Expect);

const HOST: &str = "h2.localhost";

/// A world with an app that reads bodies, and answers `/large` with more than any window holds.
async fn world() -> World {
    let world = World::with(|config| config.limits.header_read = Duration::from_secs(2));
    world
        .serving("h2", |request| async move {
            let large = request.uri().path() == "/large";
            if request.uri().path() == "/slow" {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            let _ = request.into_body().collect().await;
            Response::new(full(if large { "x".repeat(200_000) } else { "ok".to_owned() }))
        })
        .await;
    world
}

/// Runs the cases, each on a connection of its own, and tells of all that went wrong.
async fn check(world: &World, cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for (section, what, bytes, expect) in cases {
        let mut raw = Raw::open(world, HOST).await;
        raw.send(&bytes).await;
        if let Err(error) = verdict(&mut raw, &expect).await {
            wrong.push(format!("{section} {what}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

async fn verdict(raw: &mut Raw, expect: &Expect) -> Result<(), String> {
    match expect {
        Dies(codes) => {
            let limit = Duration::from_secs(6);
            match tokio::time::timeout(limit, raw.goaway()).await {
                Ok(Some(code)) if codes.contains(&code) => Ok(()),
                Ok(code) => Err(format!("it ended with {code:?}")),
                Err(_) => Err("it went on".to_owned()),
            }
        }
        Resets(stream, codes) => {
            let events = raw.settle().await;
            let reset = events.iter().find_map(|event| match event {
                Event::Reset(s, code) if s == stream => Some(*code),
                _ => None,
            });
            match reset {
                Some(code) if codes.contains(&code) => alive(raw).await,
                _ => Err(format!("{events:?}")),
            }
        }
        Answers(stream, status) => match raw.status(*stream).await {
            Some(got) if got == *status => alive(raw).await,
            got => Err(format!("status {got:?}")),
        },
        Ignores => {
            let events = raw.settle().await;
            if events.is_empty() { alive(raw).await } else { Err(format!("{events:?}")) }
        }
    }
}

async fn alive(raw: &mut Raw) -> Result<(), String> {
    if raw.is_alive(AFTERWARDS).await { Ok(()) } else { Err("afterwards nothing was answered".to_owned()) }
}

/// A GET that is all in its head.
fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", HOST, "/", &[]))
}

/// The head of a POST whose body is to follow.
fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", HOST, "/", more))
}

/// A request whose head is exactly these fields.
fn with(list: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &fields(list))
}

/// A GET with one more field.
fn plus(name: &[u8], value: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[request("GET", HOST, "/", &[]), field(name, value)].concat())
}
