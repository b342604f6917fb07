//! Where requests of HTTP/1.1 begin and end, read strictly: what leaves room for another reading is refused (RFC 9112, 11.2).
//!
//! hyper reads leniently where the RFC allows it: a line may end in a bare line feed, a request with both kinds of length counts
//! as chunked. Each is harmless alone; behind or before another reader it is how a request is smuggled.

use super::Verdict;
use crate::server::headers::decimal;

/// What hyper answers with 400 wherever it stands in a head, and takes for no chunk.
const REFUSED: &[u8] = b"\0";
/// Lines that are no longer than what hyper takes are looked at; it answers longer ones with 431 itself.
const LONGEST_LINE: usize = 64 * 1024;

/// Reads along with one connection.
#[derive(Debug)]
pub(crate) struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    length: Option<u64>,
    chunked: bool,
    /// Heads that have come to their end.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) heads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a request's first line, where empty lines are allowed (RFC 9112, 2.2).
    Start,
    /// In a request's header fields.
    Fields,
    /// In a body, or a chunk's data.
    Body(u64),
    Chunk(u64),
    /// In the line that gives a chunk's size, the one that ends its data, or those behind the last chunk.
    Size,
    ChunkEnd,
    Trailers,
    /// Refused: nothing passes any more.
    Refused,
}

/// A line that must not be.
struct Ambiguous;

impl Default for Framing {
    fn default() -> Self {
        Self {
            state: State::Start,
            line: Vec::new(),
            length: None,
            chunked: false,
            #[cfg(any(test, feature = "fuzzing"))]
            heads: 0,
        }
    }
}

impl Framing {
    /// Looks at bytes that came.
    pub(crate) fn received(&mut self, bytes: &[u8]) -> Verdict {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Refused => return Verdict::Cut(at, b""),
                State::Body(left) | State::Chunk(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += here;
                    self.skipped(left - here as u64);
                }
                _ => match self.line_from(&bytes[at..]) {
                    Ok(taken) => at += taken,
                    Err(valid) => {
                        self.state = State::Refused;
                        return Verdict::Cut(at + valid, REFUSED);
                    }
                },
            }
        }
        Verdict::Pass
    }

    /// Takes one line, or the part of it that is there; the number of bytes taken, or that of those before the one that is wrong.
    fn line_from(&mut self, bytes: &[u8]) -> Result<usize, usize> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            // A line that hyper finds too long is answered by it, and then this connection ends.
            if self.line.len() + bytes.len() <= LONGEST_LINE {
                self.line.extend_from_slice(bytes);
            }
            return Ok(bytes.len());
        };
        let taken = if self.line.is_empty() {
            self.line(&bytes[..end])
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&bytes[..end]);
            self.line(&line)
        };
        taken.map_err(|Ambiguous| end)?;
        Ok(end + 1)
    }

    /// Looks at a whole line, without its line feed.
    fn line(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let line = line.strip_suffix(b"\r").ok_or(Ambiguous)?;
        if line.contains(&b'\r') {
            return Err(Ambiguous);
        }
        match self.state {
            State::Start if line.is_empty() => {}
            State::Start => {
                (self.state, self.length, self.chunked) = (State::Fields, None, false);
            }
            State::Fields if line.is_empty() => {
                #[cfg(any(test, feature = "fuzzing"))]
                {
                    self.heads += 1;
                }
                self.state = match self.length {
                    _ if self.chunked => State::Size,
                    Some(length @ 1..) => State::Body(length),
                    _ => State::Start,
                };
            }
            State::Fields => self.field(line)?,
            State::Size => {
                self.state = match size(line).ok_or(Ambiguous)? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::Size,
            State::Trailers if line.is_empty() => self.state = State::Start,
            State::Trailers => {}
            State::ChunkEnd | State::Body(_) | State::Chunk(_) | State::Refused => return Err(Ambiguous),
        }
        Ok(())
    }

    /// Looks at a header field: each kind of length at most once, and not both.
    fn field(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let colon = match line.first() {
            Some(b'c' | b'C') => "content-length".len(),
            Some(b't' | b'T') => "transfer-encoding".len(),
            _ => return Ok(()),
        };
        let (Some(name), Some(b':')) = (line.get(..colon), line.get(colon)) else { return Ok(()) };
        let value = line[colon + 1..].trim_ascii();
        let known = self.length.is_some() || self.chunked;
        if name.eq_ignore_ascii_case(b"content-length") {
            self.length = Some(decimal(value).filter(|_| !known).ok_or(Ambiguous)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if known || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Ambiguous);
            }
            self.chunked = true;
        }
        Ok(())
    }

    fn skipped(&mut self, left: u64) {
        self.state = match self.state {
            State::Body(_) if left == 0 => State::Start,
            State::Body(_) => State::Body(left),
            _ if left == 0 => State::ChunkEnd,
            _ => State::Chunk(left),
        };
    }
}

/// A chunk's size, with extensions or without (RFC 9112, 7.1). White space is allowed only before an extension.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = u64::from_str_radix(std::str::from_utf8(line.get(..digits)?).ok()?, 16).ok()?;
    let rest = &line[digits..];
    (rest.is_empty() || rest.trim_ascii_start().first() == Some(&b';')).then_some(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What becomes of bytes that come in pieces of this size.
    fn passed(bytes: &[u8], piece: usize) -> (usize, bool) {
        let mut framing = Framing::default();
        let mut count = 0;
        for piece in bytes.chunks(piece) {
            match framing.received(piece) {
                Verdict::Pass => count += piece.len(),
                Verdict::Cut(valid, _) => return (count + valid, false),
            }
        }
        (count, true)
    }

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

    #[test]
    fn what_reads_only_one_way_passes() {
        let cases = [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_owned(),
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            format!("{HEAD}Content-Length: 3\r\n\r\n\n\n\n\r\nGET / HTTP/1.1\r\n\r\n"),
            format!("{HEAD}content-length:\t 0 \r\n\r\nGET / HTTP/1.1\r\n\r\n"),
            format!(
                "{HEAD}Transfer-Encoding: Chunked\r\n\r\n3\r\n\n\r\n\r\na ;x=y\r\n0123456789\r\n00\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n"
            ),
            format!("{HEAD}X-Content-Length: x\r\nContent-Type: y\r\nTE: trailers\r\n\r\n"),
        ];
        for case in cases {
            for piece in [1, 2, 7, 1000] {
                assert_eq!(passed(case.as_bytes(), piece), (case.len(), true), "{case:?}");
            }
        }
    }

    #[test]
    fn what_reads_two_ways_does_not() {
        let cases = [
            "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(),
            format!("{HEAD}X: y\n\r\n"),
            format!("{HEAD}\n"),
            format!("{HEAD}X: y\rZ: 1\r\n\r\n"),
            format!("{HEAD}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
            format!("{HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            format!("{HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            format!("{HEAD}Transfer-Encoding: identity\r\n\r\n"),
            format!("{HEAD}Content-Length: 1_0\r\n\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\nabc\r\n"),
            format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n"),
        ];
        for case in cases {
            for piece in [1, 2, 7, 1000] {
                assert!(!passed(case.as_bytes(), piece).1, "{case:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in "(GET / HTTP/1\\.1|Content-Length: [0-9]|Transfer-Encoding: chunked|[0-3]|a|:|\\r\\n|\\r|\\n){0,40}", piece in 1_usize..20) {
            prop_assert_eq!(passed(bytes.as_bytes(), piece), passed(bytes.as_bytes(), usize::MAX));
        }
    }
}
