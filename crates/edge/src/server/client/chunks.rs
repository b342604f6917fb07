//! The chunked coding (RFC 9112, 7.1), as instances send it.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The longest line with a chunk's size and extensions.
const MAX_LINE: usize = 4 * 1024;
/// The most that trailers may take.
const MAX_TRAILERS: usize = 16 * 1024;

/// Where in the coding the next byte lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    /// Behind a chunk's data.
    Behind,
    Trailers,
    Over,
}

/// Takes a chunked body apart.
#[derive(Debug, Default)]
pub(super) struct Chunks(State);

/// What is next.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Over,
    /// What there is does not suffice.
    More,
}

impl Chunks {
    pub(super) fn is_over(&self) -> bool {
        self.0 == State::Over
    }

    /// Takes the next piece out of the buffer.
    pub(super) fn step(&mut self, buffer: &mut BytesMut) -> io::Result<Step> {
        loop {
            match self.0 {
                State::Size => {
                    let Some(line) = line(buffer)? else { return Ok(Step::More) };
                    let size = size(&buffer[..line])?;
                    buffer.advance(line + 2);
                    self.0 = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    let here = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if here == 0 {
                        return Ok(Step::More);
                    }
                    let left = left - here as u64;
                    self.0 = if left == 0 { State::Behind } else { State::Data(left) };
                    return Ok(Step::Data(buffer.split_to(here).freeze()));
                }
                State::Behind => {
                    if buffer.len() < 2 {
                        return Ok(Step::More);
                    }
                    if !buffer.starts_with(b"\r\n") {
                        return Err(invalid("a chunk is longer than it says"));
                    }
                    buffer.advance(2);
                    self.0 = State::Size;
                }
                State::Trailers => return self.trailers(buffer),
                State::Over => return Ok(Step::Over),
            }
        }
    }

    fn trailers(&mut self, buffer: &mut BytesMut) -> io::Result<Step> {
        if buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.0 = State::Over;
            return Ok(Step::Over);
        }
        let mut fields = [httparse::EMPTY_HEADER; 64];
        match httparse::parse_headers(&buffer[..buffer.len().min(MAX_TRAILERS)], &mut fields) {
            Ok(httparse::Status::Complete((length, fields))) => {
                let mut trailers = HeaderMap::with_capacity(fields.len());
                for field in fields {
                    let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_name| invalid("a trailer is none"))?;
                    let value = HeaderValue::from_bytes(field.value).map_err(|_value| invalid("a trailer is none"))?;
                    trailers.append(name, value);
                }
                buffer.advance(length);
                self.0 = State::Over;
                Ok(Step::Trailers(trailers))
            }
            Ok(httparse::Status::Partial) if buffer.len() < MAX_TRAILERS => Ok(Step::More),
            Ok(httparse::Status::Partial) | Err(_) => Err(invalid("the trailers are none")),
        }
    }
}

/// Where the line ends, if it does.
fn line(buffer: &[u8]) -> io::Result<Option<usize>> {
    match buffer.iter().take(MAX_LINE).position(|byte| *byte == b'\n') {
        Some(end) if end > 0 && buffer[end - 1] == b'\r' => Ok(Some(end - 1)),
        Some(_) => Err(invalid("a chunk's size ends in half a line break")),
        None if buffer.len() < MAX_LINE => Ok(None),
        None => Err(invalid("a chunk's size takes too many bytes")),
    }
}

/// The size in a line; its extensions mean nothing to us.
fn size(line: &[u8]) -> io::Result<u64> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || digits.len() > 16 {
        return Err(invalid("a chunk has no size"));
    }
    if line.contains(&b'\r') {
        return Err(invalid("a chunk's size holds half a line break"));
    }
    digits.iter().try_fold(0_u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or_else(|| invalid("a chunk's size is no number"))?;
        Ok(size << 4 | u64::from(digit))
    })
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body, its trailers, and what is left over.
    type Whole = (Vec<u8>, HeaderMap, Vec<u8>);

    /// What a reader makes of these bytes when they come in pieces.
    fn read(pieces: &[&[u8]]) -> io::Result<Option<Whole>> {
        let (mut chunks, mut buffer) = (Chunks::default(), BytesMut::new());
        let (mut body, mut trailers) = (Vec::new(), HeaderMap::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match chunks.step(&mut buffer)? {
                    Step::Data(data) => body.extend_from_slice(&data),
                    Step::Trailers(more) => trailers = more,
                    Step::Over | Step::More => break,
                }
            }
        }
        Ok(chunks.is_over().then(|| (body, trailers, buffer.to_vec())))
    }

    #[test]
    fn chunks_are_put_together() {
        let (body, trailers, rest) =
            read(&[b"5;a=\"b\"\r\nhello\r\n1 \r\n,\r\n0A\r\n0123456789\r\n000\r\nX-Sum: 1\r\n\r\nmore"]).unwrap().unwrap();
        assert_eq!(body, b"hello,0123456789");
        assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &HeaderValue::from_static("1")));
        assert_eq!(rest, b"more");
        assert_eq!(read(&[b"0\r\n\r\n"]).unwrap(), Some((Vec::new(), HeaderMap::new(), Vec::new())));
        assert_eq!(read(&[b"5\r\nhel"]).unwrap(), None);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for bad in [
            &b"\r\n"[..],
            b"x\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"5\nhello\n0\n\n",
            b"5;a\nb\r\nhello\r\n",
            b"5;a\rb\r\nhello\r\n",
            b"5\r\nhelloX0\r\n\r\n",
            b"10000000000000000\r\n",
            b"0\r\nno field\r\n\r\n",
        ] {
            assert!(read(&[bad]).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(read(&[&[b'0'; MAX_LINE]]).is_err());
        let long = [&b"0\r\nx: "[..], &[b'y'; MAX_TRAILERS]].concat();
        assert!(read(&[&long]).is_err());
    }

    proptest! {
        #[test]
        fn the_pieces_make_no_difference(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), cut in 1_usize..20) {
            let mut coded = Vec::new();
            for body in &bodies {
                coded.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                coded.extend_from_slice(body);
                coded.extend_from_slice(b"\r\n");
            }
            coded.extend_from_slice(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = coded.chunks(cut).collect();
            let (body, _, rest) = read(&pieces).unwrap().unwrap();
            prop_assert_eq!(body, bodies.concat());
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(prop_oneof![Just(b'0'), Just(b'\r'), Just(b'\n'), Just(b';'), any::<u8>()], 0..200)) {
            let _read = read(&[&bytes]);
        }
    }
}
