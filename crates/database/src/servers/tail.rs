//! The last lines of a server's output: all of them go to the log at debug, a few are kept for whoever asks why it ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{Container, ContainerId, Output};
use tokio::io::AsyncReadExt;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long the rest of an output may take to be read.
const READ: Duration = Duration::from_secs(1);
/// Lines that are kept.
const LINES: usize = 50;
/// What a line is cut to, in bytes.
const LONGEST: usize = 1000;

/// The last lines that a server has written.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
    readers: Mutex<Vec<JoinHandle<()>>>,
}

impl Tail {
    /// Reads a container's output until it ends.
    pub(super) fn follow(&self, container: &mut Container) {
        let Some((stdout, stderr)) = container.take_output() else { return };
        for stream in [stdout, stderr] {
            let (lines, id) = (Arc::clone(&self.lines), container.id.clone());
            let reader = tokio::spawn(async move { read(&lines, &id, stream).await });
            self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        }
    }

    /// Waits until all that a container has written before its end has been read.
    pub(super) async fn complete(&self) {
        let readers = std::mem::take(&mut *self.readers.lock().unwrap_or_else(PoisonError::into_inner));
        for reader in readers {
            let _slow = timeout(READ, reader).await;
        }
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

async fn read(lines: &Mutex<VecDeque<String>>, id: &ContainerId, mut stream: Output) {
    let mut buffer = [0_u8; 4096];
    let mut text = Vec::new();
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        for &byte in &buffer[..read] {
            match byte {
                b'\n' => line(lines, id, &std::mem::take(&mut text)),
                _ if text.len() < LONGEST => text.push(byte),
                _cut => {}
            }
        }
    }
    line(lines, id, &text);
}

fn line(lines: &Mutex<VecDeque<String>>, id: &ContainerId, line: &[u8]) {
    if line.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(line).into_owned();
    tracing::debug!(server = %id, "{text}");
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == LINES {
        lines.pop_front();
    }
    lines.push_back(text);
}
