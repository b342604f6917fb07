//! The last lines of a server's output: all of them go to the log at debug, a few are kept for whoever asks why it ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Container, ContainerId, Output};
use tokio::io::AsyncReadExt;

/// Lines that are kept.
const LINES: usize = 50;
/// What a line is cut to, in bytes.
const LONGEST: usize = 1000;

/// The last lines that a server has written.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Tail {
    /// Reads a container's output until it ends.
    pub(super) fn follow(&self, container: &mut Container) {
        let Some((stdout, stderr)) = container.take_output() else { return };
        for stream in [stdout, stderr] {
            let (tail, id) = (self.clone(), container.id.clone());
            tokio::spawn(async move { tail.read(&id, stream).await });
        }
    }

    async fn read(&self, id: &ContainerId, mut stream: Output) {
        let mut buffer = [0_u8; 4096];
        let mut line = Vec::new();
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            for &byte in &buffer[..read] {
                match byte {
                    b'\n' => self.line(id, &std::mem::take(&mut line)),
                    _ if line.len() < LONGEST => line.push(byte),
                    _cut => {}
                }
            }
        }
        self.line(id, &line);
    }

    fn line(&self, id: &ContainerId, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(line).into_owned();
        tracing::debug!(server = %id, "{text}");
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }

    /// The last line, for an error's one line.
    pub(super) fn last(&self) -> Option<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }

    /// All lines that are kept, one below the other.
    pub(super) fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}
