//! RFC 7541: blocks that HPACK can read, and those that it can't.

use super::*;

/// A GET whose block begins, or ends, with these bytes.
fn around(before: &[u8], behind: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[before, &request("GET", HOST, "/", &[]), behind].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_unpacked_as_hpack_says() {
    // `custom: value`, with indexing: it becomes entry 62, the first behind those that all share.
    let stored = [&[0x40][..], &integer(6), b"custom", &integer(5), b"value"].concat();
    let cases: Vec<Case> = vec![
        ("2.3.3", "the entry 0", around(b"", &[0x80]), UNREADABLE),
        ("2.3.3", "an entry behind the last", around(b"", &[0xbe]), UNREADABLE),
        ("2.3.3", "a name from behind the last entry", around(b"", &[0x7f, 0x20, 1, b'x']), UNREADABLE),
        ("2.3.3", "an entry of one's own", around(b"", &[&stored[..], &[0xbe]].concat()), Answers(1, 200)),
        ("4.2", "a table of another size, at the beginning", around(&[0x20], b""), Answers(1, 200)),
        ("4.2", "a table larger than the settings say", around(&[0x3f, 0xe2, 0x1f], b""), UNREADABLE),
        ("4.2", "a change of the table's size at the end", around(b"", &[0x20]), UNREADABLE),
        ("5.1", "a number without an end", around(b"", &[0xff; 12]), UNREADABLE),
        ("5.1", "a number that stops", around(b"", &[0xff]), UNREADABLE),
        (
            "5.1",
            "a number with zeros behind it",
            around(b"", &[&[0][..], &[1, b'x', 0x7f, 0x80, 0x80, 0], &[b'v'; 127]].concat()),
            Answers(1, 200),
        ),
        ("5.2", "a string longer than its block", around(b"", &[0, 5, b'x']), UNREADABLE),
        ("5.2", "a string that is not there", around(b"", &[0]), UNREADABLE),
        ("5.2", "a coded string", around(b"", &[0, 0x83, 0xf3, 0xe7, 0xcf, 0x82, 0xf9, 0xfb]), Answers(1, 200)),
        ("5.2", "padding that is not of ones", around(b"", &[0, 1, b'x', 0x81, 0x18]), UNREADABLE),
        ("5.2", "padding of more than seven bits", around(b"", &[0, 1, b'x', 0x82, 0b0001_1111, 0xff]), UNREADABLE),
        ("5.2", "the sign for the end", around(b"", &[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]), UNREADABLE),
        (
            "6.1",
            "fields by their numbers",
            frame(HEADERS, WHOLE, 1, &[&[0x82, 0x87, 0x84][..], &field(b":authority", HOST.as_bytes())].concat()),
            Answers(1, 200),
        ),
        ("6.2.1", "a name by its number, with indexing", around(b"", &[0x7a, 1, b'x']), Answers(1, 200)),
        ("6.2.2", "a name by its number, without", around(b"", &[0x0f, 43, 1, b'x']), Answers(1, 200)),
        ("6.2.3", "a field that is never to be indexed", around(b"", &[0x10, 1, b'x', 1, b'y']), Answers(1, 200)),
        ("6.3", "an empty block", frame(HEADERS, WHOLE, 1, b""), Resets(1, &[PROTOCOL_ERROR])),
    ];
    check(&world().await, cases).await;
}

/// One table serves all streams of a connection, also that of a stream which was refused (2.2).
#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_the_connections() {
    let world = world().await;
    let mut raw = Raw::open(&world, HOST).await;
    let stored = [&[0x40][..], &integer(10), b":authority", &integer(HOST.len()), HOST.as_bytes()].concat();
    // The first request is malformed: it lacks a path.
    raw.send(&frame(HEADERS, WHOLE, 1, &[&[0x82, 0x87][..], &stored].concat())).await;
    assert!(raw.settle().await.contains(&Event::Reset(1, PROTOCOL_ERROR)));
    raw.send(&frame(HEADERS, WHOLE, 3, &[0x82, 0x87, 0x84, 0xbe])).await;
    assert_eq!(raw.status(3).await, Some(200));
    // A table of no size has forgotten it (4.3).
    raw.send(&frame(HEADERS, WHOLE, 5, &[0x20, 0x82, 0x87, 0x84, 0xbe])).await;
    assert!(matches!(raw.goaway().await, Some(COMPRESSION_ERROR | PROTOCOL_ERROR)));
}
