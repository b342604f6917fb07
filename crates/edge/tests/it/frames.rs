//! Frames of HTTP/2 written and read by hand (RFC 9113, 4): what a library would not let a client send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::*;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 32;
/// A request that is all in its head.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const MARK: &[u8] = b"adaptable"; // Its first eight bytes.

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        entries.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// An integer of HPACK with a prefix of seven bits (RFC 7541, 5.1).
pub(crate) fn integer(mut value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![127];
    value -= 127;
    while value >= 128 {
        bytes.push(u8::try_from(value % 128 + 128).unwrap());
        value /= 128;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// A literal field that enters no table (RFC 7541, 6.2.2).
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &integer(name.len()), name, &integer(value.len()), value].concat()
}

pub(crate) fn fields(list: &[(&str, &str)]) -> Vec<u8> {
    list.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

/// The head of a request for this host and path, and what else it says.
pub(crate) fn request(method: &str, host: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = fields(&[(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]);
    [pseudo, fields(more)].concat()
}

/// What came from the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A response's head with its status, and whether it ends the stream.
    Head(u32, u16, bool),
    /// How many bytes, and whether they end the stream.
    Data(u32, usize, bool),
    Reset(u32, u32),
    /// The last stream and why.
    Goaway(u32, u32),
    Settings(bool),
    Ping(bool),
    Window(u32, u32),
    Other(u8),
    Closed,
}

/// One connection.
pub(crate) struct Raw {
    stream: TlsStream<TcpStream>,
    host: String,
}

impl Raw {
    /// A connection on which nothing has been sent.
    pub(crate) async fn silent(world: &World, host: &str) -> Self {
        let stream = world.connect(host, &["h2"]).await;
        stream.get_ref().0.set_nodelay(true).unwrap();
        Self { stream, host: host.to_owned() }
    }

    /// A connection on which both sides have said hello. Responses come without a table, so that they can be read alone.
    pub(crate) async fn open(world: &World, host: &str) -> Self {
        let mut raw = Self::silent(world, host).await;
        raw.send(&[PREFACE, &settings(&[(1, 0)])].concat()).await;
        raw
    }

    /// Sends bytes; where the edge has closed already, what it said is still to be read.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = within(async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await;
    }

    /// Sends a GET that is all in its head.
    pub(crate) async fn get(&mut self, stream: u32, path: &str) {
        let block = request("GET", &self.host, path, &[]);
        self.send(&frame(HEADERS, WHOLE, stream, &block)).await;
    }

    /// The head of a GET with more fields.
    pub(crate) fn block(&self, more: &[(&str, &str)]) -> Vec<u8> {
        request("GET", &self.host, "/", more)
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Event {
        let mut head = [0; 9];
        if within(self.stream.read_exact(&mut head)).await.is_err() {
            return Event::Closed;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        if within(self.stream.read_exact(&mut payload)).await.is_err() {
            return Event::Closed;
        }
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match (head[3], head[4]) {
            (DATA, flags) => Event::Data(stream, length, flags & END_STREAM != 0),
            (HEADERS, flags) => Event::Head(stream, status(&payload), flags & END_STREAM != 0),
            (RST_STREAM, _) => Event::Reset(stream, number(0)),
            (GOAWAY, _) => Event::Goaway(number(0), number(4)),
            (SETTINGS, flags) => Event::Settings(flags & ACK != 0),
            (PING, flags) => Event::Ping(flags & ACK != 0 && payload == MARK[..8]),
            (WINDOW_UPDATE, _) => Event::Window(stream, number(0)),
            (kind, _) => Event::Other(kind),
        }
    }

    /// Everything up to an event, which is the last.
    pub(crate) async fn until(&mut self, last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let done = last(&event) || event == Event::Closed;
            events.push(event);
            if done {
                return events;
            }
        }
    }

    /// What the edge says to all that was sent: up to the answer to a last ping, or its end.
    pub(crate) async fn settle(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        // The answer to a ping may overtake what is said about frames before it; that to a second one does not.
        for _ in 0..2 {
            self.send(&frame(PING, 0, 0, &MARK[..8])).await;
            events.extend(self.until(|event| *event == Event::Ping(true)).await);
            events.retain(|event| !matches!(event, Event::Settings(_) | Event::Window(..) | Event::Ping(true)));
        }
        events
    }

    /// The status of a stream's response.
    pub(crate) async fn status(&mut self, stream: u32) -> Option<u16> {
        let of = |event: &Event| matches!(event, Event::Head(s, ..) | Event::Reset(s, _) if *s == stream);
        match self.until(|event| of(event) || matches!(event, Event::Goaway(..))).await.last() {
            Some(Event::Head(_, status, _)) => Some(*status),
            _ => None,
        }
    }

    /// Why the edge ended the connection; `None` where it did so without a word, and a panic where it does not.
    pub(crate) async fn goaway(&mut self) -> Option<u32> {
        let events = self.until(|event| matches!(event, Event::Goaway(..))).await;
        events.iter().find_map(|event| if let Event::Goaway(_, code) = event { Some(*code) } else { None })
    }

    /// Whether requests are answered still.
    pub(crate) async fn is_alive(&mut self, stream: u32) -> bool {
        self.get(stream, "/").await;
        self.status(stream).await == Some(200)
    }

    /// Waits until the edge has closed.
    pub(crate) async fn closed(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.until(|event| *event == Event::Closed)).await.is_ok()
    }
}

/// The status in a response's block: the first field of it, from the static table or as three digits.
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come first (RFC 7541, 6.3).
    let block = if block.first().is_some_and(|byte| byte & 0xe0 == 0x20) { &block[1..] } else { block };
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x08 | 0x18 | 0x48, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        [0x08 | 0x18 | 0x48, length, coded @ ..] if length & 0x80 != 0 => digits(&coded[..usize::from(length & 0x7f)]),
        _ => 0,
    }
}

/// Three digits in the code of RFC 7541, appendix B.
fn digits(coded: &[u8]) -> u16 {
    let bits: Vec<u16> = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1))).collect();
    let mut at = 0;
    let mut number = 0;
    for _ in 0..3 {
        let take = |from: usize, count: usize| bits[from..from + count].iter().fold(0, |sum, bit| sum * 2 + bit);
        let short = take(at, 5);
        let (digit, length) = if short <= 2 { (short, 5) } else { (take(at, 6) - 0b01_1001 + 3, 6) };
        at += length;
        number = number * 10 + digit;
    }
    number
}
