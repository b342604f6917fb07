//! What is more than a request and its answer: WebSocket, streams, and what the edge tells an app of its visitor.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{plain, platform};

const ASGI: &str = "\
import asyncio

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute


async def home(request):
    return PlainTextResponse('asgi')


async def events(request):
    async def lines():
        for number in range(3):
            yield f'data: {number}\\n\\n'
            await asyncio.sleep(0.5)

    return StreamingResponse(lines(), media_type='text/event-stream')


async def upload(request):
    total = 0
    async for piece in request.stream():
        total += len(piece)
    return PlainTextResponse(str(total))


async def echo(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text('echo ' + text)


app = Starlette(
    routes=[
        Route('/', home),
        Route('/events', events),
        Route('/upload', upload, methods=['POST']),
        WebSocketRoute('/echo', echo),
    ]
)
";

#[test]
fn websockets_and_streams_pass_piece_by_piece() {
    let platform = platform();
    let files = [("main.py", ASGI), ("requirements.txt", "starlette\nuvicorn\nwebsockets\n")];
    let source = platform.source("live", &files);
    platform.deploy(&source, &[]);
    assert_eq!(platform.get("live", "/").text(), "asgi");
    websocket(&platform);
    events(&platform);
    let large = vec![7_u8; 8 << 20];
    let answer = platform.request("POST", "live", "/upload", &[], &large).expect("an answer");
    assert_eq!(answer.text(), large.len().to_string());
}

fn websocket(platform: &testkit::Platform) {
    let mut stream = BufReader::new(platform.connect("live").expect("a connection"));
    let host = format!("live.localhost:{}", platform.https().port());
    let request = format!(
        "GET /echo HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.get_mut().write_all(request.as_bytes()).expect("written");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).expect("an answer"), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // The key's answer as the protocol's own text gives it.
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    for text in ["one", "two"] {
        // A final text frame of few bytes, masked with zeros.
        let length = u8::try_from(text.len()).expect("short");
        let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat();
        stream.get_mut().write_all(&frame).expect("written");
        let mut start = [0; 2];
        stream.read_exact(&mut start).expect("a frame");
        let mut body = vec![0; usize::from(start[1] & 0x7f)];
        stream.read_exact(&mut body).expect("its text");
        assert_eq!((start[0], String::from_utf8_lossy(&body).as_ref()), (0x81, format!("echo {text}").as_str()));
    }
}

fn events(platform: &testkit::Platform) {
    let mut stream = BufReader::new(platform.connect("live").expect("a connection"));
    let host = format!("live.localhost:{}", platform.https().port());
    stream
        .get_mut()
        .write_all(format!("GET /events HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .expect("written");
    let mut times = Vec::new();
    let mut line = String::new();
    while times.len() < 3 {
        line.clear();
        assert_ne!(stream.read_line(&mut line).expect("a line"), 0, "the stream ended after {} events", times.len());
        if line.starts_with("data: ") {
            times.push(Instant::now());
        }
    }
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] > Duration::from_millis(250), "events came together, not one by one");
    }
}

#[test]
fn the_edge_tells_who_asks_and_drops_what_visitors_claim() {
    let platform = platform();
    let source = platform.source("shop", &[("app.py", &plain("shop"))]);
    platform.deploy(&source, &[]);
    let claims = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "gopher"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Mine", "kept"),
    ];
    let seen = platform.request("GET", "shop", "/headers", &claims, b"").expect("an answer").json();
    let authority = format!("shop.localhost:{}", platform.https().port());
    assert_eq!(seen["x-forwarded-for"], "127.0.0.1", "{seen}");
    assert_eq!((&seen["x-forwarded-proto"], &seen["x-forwarded-host"]), (&json!("https"), &json!(authority)), "{seen}");
    assert_eq!((&seen["host"], &seen["x-mine"]), (&json!(authority), &json!("kept")), "{seen}");
}
