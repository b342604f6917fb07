//! RFC 9113, 3 to 6: connections, frames, streams, flow control.

use std::time::Duration;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn connections_begin_as_3_4_says() {
    let world = world().await;
    let cases: [(&str, Vec<u8>); 4] = [
        ("a preface of another protocol", b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("a request of HTTP/1.1", b"GET / HTTP/1.1\r\nHost: h2.localhost\r\n\r\n".to_vec()),
        ("a first frame that is not SETTINGS", [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat()),
        ("a first frame that is an acknowledgement", [PREFACE, &frame(SETTINGS, ACK, 0, b"x")].concat()),
    ];
    for (what, bytes) in cases {
        let mut raw = Raw::silent(&world, HOST).await;
        raw.send(&bytes).await;
        assert!(raw.closed(Duration::from_secs(8)).await, "{what}");
    }
    // The edge's settings come first, and those of the client are acknowledged.
    let mut raw = Raw::open(&world, HOST).await;
    assert_eq!(raw.next().await, Event::Settings(false));
    let acknowledged = raw.until(|event| *event == Event::Settings(true)).await;
    assert!(!acknowledged.contains(&Event::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_read_as_4_says() {
    let half = || frame(HEADERS, END_STREAM, 1, &request("GET", HOST, "/", &[]));
    let cases: Vec<Case> = vec![
        ("4.1", "a frame of no known kind", frame(99, 255, 1, b"anything"), Ignores),
        ("4.1", "flags of no known meaning", frame(WINDOW_UPDATE, 0xff, 0, &[0, 0, 0, 1]), Ignores),
        (
            "4.1",
            "the reserved bit of a stream",
            frame(HEADERS, WHOLE, 0x8000_0001, &request("GET", HOST, "/", &[])),
            Answers(1, 200),
        ),
        ("4.2", "DATA of the largest size", [post(1, &[]), frame(DATA, END_STREAM, 1, &[0; 16_384])].concat(), Answers(1, 200)),
        ("4.2", "DATA that is too large", [post(1, &[]), frame(DATA, END_STREAM, 1, &[0; 16_385])].concat(), MISSIZED),
        ("4.2", "HEADERS that are too large", frame(HEADERS, WHOLE, 1, &[0; 16_385]), MISSIZED),
        ("4.2", "SETTINGS that are too large", frame(SETTINGS, 0, 0, &[0; 16_386]), MISSIZED),
        ("4.3", "a block that HPACK can't read", frame(HEADERS, WHOLE, 1, &[0x80]), UNREADABLE),
        ("4.3", "DATA within a block", [half(), frame(DATA, 0, 1, b"x")].concat(), Dies(&[PROTOCOL_ERROR])),
        ("4.3", "PRIORITY within a block", [half(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])].concat(), Dies(&[PROTOCOL_ERROR])),
        ("4.3", "an unknown frame within a block", [half(), frame(99, 0, 1, b"x")].concat(), Dies(&[PROTOCOL_ERROR])),
        ("4.3", "another stream's HEADERS within a block", [half(), get(3)].concat(), Dies(&[PROTOCOL_ERROR])),
        (
            "4.3",
            "another stream's CONTINUATION",
            [half(), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(),
            Dies(&[PROTOCOL_ERROR]),
        ),
    ];
    check(&world().await, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_the_states_of_5() {
    let reset = |stream: u32| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let depends_on_itself = frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 16]);
    let cases: Vec<Case> = vec![
        ("5.1", "DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x"), Dies(&[PROTOCOL_ERROR])),
        ("5.1", "RST_STREAM on an idle stream", reset(1), Dies(&[PROTOCOL_ERROR])),
        ("5.1", "WINDOW_UPDATE on an idle stream", window_update(1, 10), Dies(&[PROTOCOL_ERROR])),
        ("5.1", "CONTINUATION on an idle stream", frame(CONTINUATION, END_HEADERS, 1, b""), Dies(&[PROTOCOL_ERROR])),
        ("5.1", "PRIORITY on an idle stream", frame(PRIORITY, 0, 5, &[0, 0, 0, 0, 16]), Ignores),
        // A stream error of the kind STREAM_CLOSED is asked for. h2 takes more of a stream that its client has ended for a
        // broken connection, which 5.4.1 allows anybody at any time.
        (
            "5.1",
            "DATA behind the end of a stream",
            [get(1), frame(DATA, END_STREAM, 1, b"x")].concat(),
            Dies(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        ("5.1", "HEADERS behind the end of a stream", [get(1), get(1)].concat(), Dies(&[STREAM_CLOSED, PROTOCOL_ERROR])),
        (
            "5.1",
            "CONTINUATION behind the end of a stream",
            [get(1), frame(CONTINUATION, END_HEADERS, 1, b"")].concat(),
            Dies(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        ("5.1", "WINDOW_UPDATE on a stream that was reset", [post(1, &[]), reset(1), window_update(1, 10)].concat(), Ignores),
        ("5.1", "RST_STREAM twice", [post(1, &[]), reset(1), reset(1)].concat(), Ignores),
        (
            "5.1",
            "PRIORITY on a closed stream",
            [post(1, &[]), reset(1), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])].concat(),
            Ignores,
        ),
        ("5.1.1", "a stream with an even number", get(2), Dies(&[PROTOCOL_ERROR])),
        ("5.1.1", "a stream with a number below the last", [get(5), get(3)].concat(), Dies(&[PROTOCOL_ERROR, STREAM_CLOSED])),
        ("5.1.1", "streams with gaps between them", [get(5), get(99)].concat(), Answers(99, 200)),
        // RFC 9113 has given up priorities. RFC 7540 asked for a stream error here, and h2 still does as it says.
        ("5.3", "a stream that depends on itself", [get(1), depends_on_itself].concat(), Resets(1, &[PROTOCOL_ERROR])),
    ];
    check(&world().await, cases).await;
}

/// As many streams as the settings allow are open at once; those above are refused and cost no request (5.1.2).
#[tokio::test(flavor = "multi_thread")]
async fn streams_above_the_limit_of_5_1_2_are_refused() {
    let world = World::with(|config| config.limits.h2_streams = 10);
    let app = world.serving("h2", |_| std::future::pending::<Response<Body>>()).await;
    let mut raw = Raw::open(&world, HOST).await;
    // The limit counts from when the client has acknowledged it.
    raw.until(|event| *event == Event::Settings(false)).await;
    raw.send(&frame(SETTINGS, ACK, 0, b"")).await;
    let many: Vec<u8> = (0..15).flat_map(|number| get(number * 2 + 1)).collect();
    raw.send(&many).await;
    let events = raw.settle().await;
    let refused = events.iter().filter(|event| matches!(event, Event::Reset(_, REFUSED_STREAM | PROTOCOL_ERROR))).count();
    assert_eq!(refused, 5, "{events:?}");
    eventually("ten are in flight", || app.in_flight() == 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_have_the_forms_of_6_1_to_6_4() {
    let cases: Vec<Case> = vec![
        ("6.1", "DATA without a stream", frame(DATA, 0, 0, b"x"), Dies(&[PROTOCOL_ERROR])),
        ("6.1", "padded DATA", [post(1, &[]), frame(DATA, PADDED | END_STREAM, 1, b"\x03abc\0\0\0")].concat(), Answers(1, 200)),
        (
            "6.1",
            "padding longer than DATA",
            [post(1, &[]), frame(DATA, PADDED | END_STREAM, 1, b"\x05abc")].concat(),
            Dies(&[PROTOCOL_ERROR]),
        ),
        ("6.1", "padded DATA without a length", [post(1, &[]), frame(DATA, PADDED, 1, b"")].concat(), MISSIZED),
        ("6.2", "HEADERS without a stream", get(0), Dies(&[PROTOCOL_ERROR])),
        (
            "6.2",
            "HEADERS with padding and a priority",
            {
                let block = [&[2, 0, 0, 0, 0, 16][..], &request("GET", HOST, "/", &[]), &[0, 0]].concat();
                frame(HEADERS, WHOLE | PADDED | WITH_PRIORITY, 1, &block)
            },
            Answers(1, 200),
        ),
        ("6.2", "padding longer than HEADERS", frame(HEADERS, WHOLE | PADDED, 1, b"\xff\x82"), Dies(&[PROTOCOL_ERROR])),
        (
            "6.2",
            "a priority without room for it",
            frame(HEADERS, WHOLE | WITH_PRIORITY, 1, b"\0\0"),
            Dies(&[PROTOCOL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR]),
        ),
        ("6.3", "PRIORITY without a stream", frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 16]), Dies(&[PROTOCOL_ERROR])),
        // A stream error will do here; h2 ends the connection, as it may.
        ("6.3", "PRIORITY of another length", frame(PRIORITY, 0, 1, &[0, 0, 0, 0]), MISSIZED),
        ("6.4", "RST_STREAM without a stream", frame(RST_STREAM, 0, 0, &[0; 4]), Dies(&[PROTOCOL_ERROR])),
        ("6.4", "RST_STREAM of another length", [post(1, &[]), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), MISSIZED),
    ];
    check(&world().await, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_pings_have_the_forms_of_6_5_to_6_8() {
    let cases: Vec<Case> = vec![
        ("6.5", "an acknowledgement with a payload", frame(SETTINGS, ACK, 0, &[0; 6]), MISSIZED),
        ("6.5", "SETTINGS of a stream", frame(SETTINGS, 0, 1, &[0; 6]), Dies(&[PROTOCOL_ERROR])),
        ("6.5", "half a setting", frame(SETTINGS, 0, 0, &[0; 5]), MISSIZED),
        ("6.5.2", "ENABLE_PUSH of 2", settings(&[(2, 2)]), Dies(&[PROTOCOL_ERROR])),
        (
            "6.5.2",
            "INITIAL_WINDOW_SIZE above the largest",
            settings(&[(4, 1 << 31)]),
            Dies(&[FLOW_CONTROL_ERROR, PROTOCOL_ERROR]),
        ),
        ("6.5.2", "MAX_FRAME_SIZE below the smallest", settings(&[(5, 16_383)]), Dies(&[PROTOCOL_ERROR])),
        ("6.5.2", "MAX_FRAME_SIZE above the largest", settings(&[(5, 1 << 24)]), Dies(&[PROTOCOL_ERROR])),
        ("6.5.2", "a setting of no known meaning", settings(&[(0x99, 7)]), Ignores),
        ("6.5.3", "a setting twice: the last one counts", [settings(&[(4, 0), (4, 65_535)]), get(1)].concat(), Answers(1, 200)),
        ("6.6", "a push by a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), Dies(&[PROTOCOL_ERROR])),
        ("6.7", "PING of a stream", frame(PING, 0, 1, &[0; 8]), Dies(&[PROTOCOL_ERROR])),
        ("6.7", "PING of another length", frame(PING, 0, 0, &[0; 6]), MISSIZED),
        ("6.7", "an answer to a ping that nobody sent", frame(PING, ACK, 0, &[1; 8]), Ignores),
        ("6.8", "GOAWAY of a stream", frame(GOAWAY, 0, 1, &[0; 8]), Dies(&[PROTOCOL_ERROR])),
        ("6.8", "GOAWAY of another length", frame(GOAWAY, 0, 0, &[0; 7]), MISSIZED),
    ];
    check(&world().await, cases).await;
    // A client that leaves gets what it has asked for (6.8).
    let world = world().await;
    let mut raw = Raw::open(&world, HOST).await;
    raw.get(1, "/slow").await;
    raw.send(&frame(GOAWAY, 0, 0, &[0; 8])).await;
    let events = raw.until(|event| matches!(event, Event::Head(1, ..))).await;
    assert!(events.contains(&Event::Head(1, 200, false)), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_are_kept_as_6_9_says() {
    let most = 0x7fff_ffff;
    let cases: Vec<Case> = vec![
        ("6.9", "a connection's window that grows by 0", window_update(0, 0), Dies(&[PROTOCOL_ERROR])),
        ("6.9", "WINDOW_UPDATE of another length", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), MISSIZED),
        // A stream error is asked for; h2 reads it as a broken frame, and ends the connection, as it may.
        ("6.9", "a stream's window that grows by 0", [post(1, &[]), window_update(1, 0)].concat(), Dies(&[PROTOCOL_ERROR])),
        (
            "6.9.1",
            "a connection's window above the largest",
            [window_update(0, most), window_update(0, most)].concat(),
            Dies(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.1",
            "a stream's window above the largest",
            [post(1, &[]), window_update(1, most), window_update(1, most)].concat(),
            Resets(1, &[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.2",
            "a setting that takes a window above the largest",
            [post(1, &[]), window_update(1, most - 65_535), settings(&[(4, 65_536)])].concat(),
            Dies(&[FLOW_CONTROL_ERROR]),
        ),
        ("6.10", "CONTINUATION without HEADERS", frame(CONTINUATION, END_HEADERS, 1, b"\x82"), Dies(&[PROTOCOL_ERROR])),
        (
            "6.10",
            "CONTINUATION behind the end of a block",
            [post(1, &[]), frame(CONTINUATION, END_HEADERS, 1, b"\x82")].concat(),
            Dies(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10",
            "CONTINUATION without a stream",
            [frame(HEADERS, END_STREAM, 1, &request("GET", HOST, "/", &[])), frame(CONTINUATION, END_HEADERS, 0, b"")].concat(),
            Dies(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10",
            "a block in many pieces",
            {
                let block = request("GET", HOST, "/", &[("x-more", "of it")]);
                let mut pieces = frame(HEADERS, END_STREAM, 1, &block[..3]);
                let rest = &block[3..];
                for piece in rest[..rest.len() - 4].chunks(20) {
                    pieces.extend(frame(CONTINUATION, 0, 1, piece));
                }
                pieces.extend(frame(CONTINUATION, END_HEADERS, 1, &rest[rest.len() - 4..]));
                pieces
            },
            Answers(1, 200),
        ),
    ];
    check(&world().await, cases).await;
}

/// No byte more than a window allows is sent, whichever window it is, also when it changes (6.9.1, 6.9.2).
#[tokio::test(flavor = "multi_thread")]
async fn no_byte_is_sent_beyond_a_window() {
    async fn settled(raw: &mut Raw) -> usize {
        // What is on its way comes before the answer to the ping; what the app sends later comes with the second.
        let mut size = 0;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let events = raw.settle().await;
            size += events.iter().map(|event| if let Event::Data(_, length, _) = event { *length } else { 0 }).sum::<usize>();
        }
        size
    }
    let world = world().await;
    let mut raw = Raw::open(&world, HOST).await;
    raw.send(&settings(&[(4, 0)])).await;
    raw.get(1, "/large").await;
    assert_eq!(settled(&mut raw).await, 0, "no window, no byte");
    raw.send(&window_update(1, 1)).await;
    assert_eq!(settled(&mut raw).await, 1);
    raw.send(&settings(&[(4, 1000)])).await;
    assert_eq!(settled(&mut raw).await, 1000, "a larger setting holds for streams that are open");
    raw.send(&settings(&[(4, 0)])).await;
    raw.send(&window_update(1, 999)).await;
    assert_eq!(settled(&mut raw).await, 0, "a window may be below nothing");
    raw.send(&window_update(1, 2)).await;
    assert_eq!(settled(&mut raw).await, 1);
    raw.send(&window_update(1, 1_000_000)).await;
    assert_eq!(settled(&mut raw).await, 65_535 - 1002, "the connection's window is the limit now");
    raw.send(&window_update(0, 1_000_000)).await;
    assert_eq!(settled(&mut raw).await, 200_000 - 65_535);
}
