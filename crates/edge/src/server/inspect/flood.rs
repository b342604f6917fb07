//! A budget for frames of HTTP/2 that cost us something and bring a request nothing (RFC 9113, 10.5).
//!
//! h2 bounds what each such frame takes of memory. It does not bound how many come: a visitor can have us read settings, answer
//! pings, and begin and cancel requests as fast as the wire carries them. Each such frame is paid for out of a budget that
//! fills with time and with what is transferred; who overdraws it finds the connection ended with GOAWAY.

use std::time::Instant;

use super::Verdict;

/// The connection preface (RFC 9113, 3.4), which is no frame.
const PREFACE: usize = 24;
/// A frame's head (4.1).
const HEAD: usize = 9;
/// What is read in place of what comes after an overdrawn budget: a PING with a stream, which is a connection error (6.7).
const ENDING: &[u8] = &[0, 0, 8, PING, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
/// Frames that are free at first.
const FRAMES: i64 = 1000;
/// Frames that become free in a second.
const FRAMES_PER_SECOND: i64 = 100;
/// The most that can be earned by what is transferred: as many window updates as a large window may need at once.
const EARNED: i64 = 250_000;
/// Requests that may be cancelled at first, and how many more in a second. Nothing else pays for them: each may have cost an app
/// its work.
const RESETS: i64 = 500;
const RESETS_PER_SECOND: i64 = 50;
/// Bytes of bodies that come, or of anything that goes, for one unit. A client may send two window updates for each small
/// message that it reads.
const BYTES: u64 = 32;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;

/// Reads along with one connection.
#[derive(Debug)]
pub(crate) struct Flood {
    state: State,
    frames: i64,
    resets: i64,
    /// Bytes that do not make a unit yet.
    bytes: u64,
    refilled: Instant,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Preface(usize),
    Head([u8; HEAD], usize),
    Payload(usize),
    Ended,
}

impl Flood {
    pub(crate) fn new(now: Instant) -> Self {
        Self { state: State::Preface(PREFACE), frames: FRAMES, resets: RESETS, bytes: 0, refilled: now }
    }

    /// Looks at bytes that came.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Verdict {
        let mut at = 0;
        while at < bytes.len() {
            let here = bytes.len() - at;
            if matches!(self.state, State::Head(_, 0)) && self.is_overdrawn() {
                self.state = State::Ended;
                return Verdict::Cut(at, ENDING);
            }
            match &mut self.state {
                State::Ended => return Verdict::Cut(at, b""),
                State::Preface(left) | State::Payload(left) => {
                    let taken = here.min(*left);
                    at += taken;
                    *left -= taken;
                    if *left == 0 {
                        self.state = State::Head([0; HEAD], 0);
                    }
                }
                State::Head(head, have) => {
                    let taken = here.min(HEAD - *have);
                    head[*have..*have + taken].copy_from_slice(&bytes[at..at + taken]);
                    *have += taken;
                    at += taken;
                    if *have == HEAD {
                        let head = *head;
                        self.frame(&head);
                    }
                }
            }
        }
        Verdict::Pass
    }

    fn frame(&mut self, head: &[u8; HEAD]) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        match kind {
            DATA if length > 0 => self.moved(length),
            DATA if flags & END_STREAM != 0 => {}
            HEADERS => {}
            SETTINGS | PING if flags & ACK != 0 => {}
            RST_STREAM => self.resets -= 1,
            _ => self.frames -= 1 + i64::try_from(length / 256).unwrap_or(i64::MAX),
        }
        self.state = if length == 0 { State::Head([0; HEAD], 0) } else { State::Payload(length) };
    }

    /// Is told of bytes that were written.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.moved(bytes);
    }

    fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        let units = i64::try_from(self.bytes / BYTES).unwrap_or(EARNED);
        self.bytes %= BYTES;
        self.frames = self.frames.saturating_add(units).min(EARNED);
    }

    /// Whether a budget is used up, with what has come back in the meantime. The clock is asked only then.
    fn is_overdrawn(&mut self) -> bool {
        if self.frames >= 0 && self.resets >= 0 {
            return false;
        }
        let now = Instant::now();
        let millis = i64::try_from(now.saturating_duration_since(self.refilled).as_millis()).unwrap_or(i64::MAX);
        let back = |left: i64, per_second: i64, most: i64| {
            left.max(left.saturating_add(millis.saturating_mul(per_second) / 1000).min(most))
        };
        self.frames = back(self.frames, FRAMES_PER_SECOND, FRAMES);
        self.resets = back(self.resets, RESETS_PER_SECOND, RESETS);
        self.refilled = now;
        self.frames < 0 || self.resets < 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0, 0, 0, kind, flags, 0, 0, 0, 0];
        frame[1] = u8::try_from(length >> 8).unwrap();
        frame[2] = u8::try_from(length & 255).unwrap();
        frame.resize(HEAD + length, 0);
        frame
    }

    /// How many of such frames pass, in pieces of any size.
    fn passed(frames: &[Vec<u8>], most: usize, piece: usize) -> usize {
        let mut flood = Flood::new(Instant::now());
        assert_eq!(flood.received(&[b'x'; PREFACE]), Verdict::Pass);
        let one: Vec<u8> = frames.concat();
        let all = one.repeat(most);
        let mut count = 0;
        for piece in all.chunks(piece) {
            match flood.received(piece) {
                Verdict::Pass => count += piece.len(),
                Verdict::Cut(valid, then) => {
                    assert_eq!(then, ENDING);
                    let borders = frames.iter().scan(0, |end, frame| {
                        *end += frame.len();
                        Some(*end % one.len())
                    });
                    assert!(borders.into_iter().any(|border| border == (count + valid) % one.len()), "cut within a frame");
                    return (count + valid) / one.len();
                }
            }
        }
        most
    }

    #[test]
    fn frames_that_bring_nothing_run_out() {
        for piece in [1, 10, 4096] {
            for (kind, length) in [(PING, 8), (SETTINGS, 0), (2, 5), (8, 4), (DATA, 0), (9, 0), (99, 1)] {
                let count = passed(&[frame(kind, 0, length)], 10_000, piece);
                assert!((900..1500).contains(&count), "{count} frames of kind {kind}");
            }
            let resets = passed(&[frame(HEADERS, 5, 1), frame(RST_STREAM, 0, 4)], 10_000, piece);
            assert!((450..700).contains(&resets), "{resets} resets");
        }
    }

    #[test]
    fn frames_that_carry_something_do_not() {
        assert_eq!(passed(&[frame(HEADERS, 5, 20)], 10_000, 4096), 10_000);
        assert_eq!(passed(&[frame(DATA, 0, 100), frame(PING, 0, 8)], 10_000, 4096), 10_000);
        assert_eq!(passed(&[frame(SETTINGS, ACK, 0), frame(PING, ACK, 8), frame(DATA, END_STREAM, 0)], 10_000, 4096), 10_000);
    }

    #[test]
    fn a_download_pays_for_its_window_updates() {
        let mut flood = Flood::new(Instant::now());
        assert_eq!(flood.received(&[b'x'; PREFACE]), Verdict::Pass);
        for _ in 0..100_000 {
            flood.sent(109);
            assert_eq!(flood.received(&[frame(8, 0, 4), frame(8, 0, 4)].concat()), Verdict::Pass);
        }
    }
}
