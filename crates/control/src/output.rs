//! What an app's instances write, and what the platform says about them, line by line.

use std::io;
use std::path::{Path, PathBuf};

use api::{LogLine, Stream};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::warn;

use crate::linefile::{Follower, LineFile};

/// The longest line that is kept in one piece, in bytes.
const LINE_MAX: usize = 16 * 1024;

/// The log of one app; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct AppLog {
    file: LineFile,
}

impl AppLog {
    /// Opens the log of an app in its directory. `limit` is in bytes, for all that is kept.
    pub(crate) fn open(directory: &Path, limit: u64) -> io::Result<Self> {
        Ok(Self { file: LineFile::open(&app_log_path(directory), limit / 2)? })
    }

    /// Appends one line.
    pub(crate) fn line(&self, instance: &str, stream: Stream, line: &str) {
        self.lines(instance, stream, std::iter::once(line.to_owned()));
    }

    /// Appends a line of the platform's own.
    pub(crate) fn say(&self, instance: &str, line: &str) {
        self.line(instance, Stream::Platform, line);
    }

    fn lines(&self, instance: &str, stream: Stream, lines: impl Iterator<Item = String>) {
        let at = Timestamp::now();
        let mut bytes = Vec::new();
        for line in lines {
            let line = LogLine { at, instance: instance.to_owned(), stream, line };
            serde_json::to_writer(&mut bytes, &line).expect("plain data into memory");
            bytes.push(b'\n');
        }
        if let Err(error) = self.file.append(&bytes) {
            // A full disk must not stop the app: its lines are lost, and the operator is told.
            warn!(instance, %error, "append to an app's log");
        }
    }

    /// Ends the followers: the app is gone.
    pub(crate) fn close(&self) {
        self.file.close();
    }

    /// A reader of all that is kept and all that comes.
    pub(crate) fn follow(&self) -> io::Result<Follower> {
        self.file.follow()
    }

    /// Reads a stream of an instance to its end, line by line. The last lines are also given to `tail`.
    pub(crate) async fn pump(&self, instance: &str, stream: Stream, mut from: impl AsyncRead + Unpin, tail: &Tail) {
        let mut splitter = Splitter::default();
        let mut buffer = vec![0_u8; 16 * 1024];
        loop {
            let read = match from.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            let lines = splitter.push(&buffer[..read]);
            for line in &lines {
                tail.push_line(line);
            }
            if !lines.is_empty() {
                self.lines(instance, stream, lines.into_iter());
            }
        }
        if let Some(line) = splitter.rest() {
            tail.push_line(&line);
            self.line(instance, stream, &line);
        }
    }
}

/// The file of an app's log in its directory.
pub(crate) fn app_log_path(directory: &Path) -> PathBuf {
    directory.join("app.log")
}

/// Cuts a stream of bytes into lines; overlong ones are cut.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// The lines that these bytes complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.ends_with(b"\n") {
                self.partial.pop();
                if self.partial.ends_with(b"\r") {
                    self.partial.pop();
                }
                lines.push(self.take());
            }
            while self.partial.len() > LINE_MAX {
                let rest = self.partial.split_off(LINE_MAX);
                lines.push(self.take());
                self.partial = rest;
            }
        }
        lines
    }

    /// What is left when the stream has ended.
    pub(crate) fn rest(&mut self) -> Option<String> {
        (!self.partial.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned()
    }
}

/// The last lines that an instance wrote, for explaining why it did not come up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail {
    lines: std::sync::Arc<std::sync::Mutex<std::collections::VecDeque<String>>>,
}

impl Tail {
    const LINES: usize = 200;

    /// Adds a line; the oldest goes.
    pub(crate) fn push_line(&self, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if lines.len() == Self::LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    /// The lines so far, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_lines_wherever_they_are_cut() {
        let mut splitter = Splitter::default();
        let mut lines = splitter.push(b"one\r\ntw");
        lines.extend(splitter.push(b"o\n\nthr"));
        lines.extend(splitter.push(b"ee"));
        lines.extend(splitter.rest());
        assert_eq!(lines, ["one", "two", "", "three"]);
        assert_eq!(splitter.rest(), None);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut splitter = Splitter::default();
        let lines = splitter.push(&vec![b'x'; LINE_MAX * 3 + 1]);
        assert_eq!(lines.len(), 3);
        assert_eq!(splitter.rest().as_deref(), Some("x"));
    }

    #[tokio::test]
    async fn a_pump_keeps_every_line_and_the_tail() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = AppLog::open(directory.path(), 1 << 20).expect("log");
        let tail = Tail::default();
        log.pump("a-1", Stream::Stderr, &b"x\ny"[..], &tail).await;
        assert_eq!(tail.lines(), ["x", "y"]);
        let mut follower = log.follow().expect("follow");
        let first: LogLine = serde_json::from_slice(&follower.next_kept().expect("read").expect("a line")).expect("JSON");
        assert_eq!((first.instance.as_str(), first.stream, first.line.as_str()), ("a-1", Stream::Stderr, "x"));
    }
}
