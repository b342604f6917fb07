//! Writes the access log: a thread of its own, fed by the edge through a bounded queue, JSON lines into a file of limited size.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::{AccessLine, ErrorBody, ErrorCode, LogLine, Stream};
use edge::{AccessLog, AccessRecord};
use jiff::Timestamp;
use model::AppName;

use crate::Control;
use crate::error::{Result, internal};
use crate::linefile::{Follower, LineFile};

/// Requests that may wait for being written.
const PLACES: usize = 16 * 1024;
/// How long it waits after a look for more: it is woken once for a batch of requests, not for each.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes that are written at once.
const BATCH: usize = 256 * 1024;
/// The most that is kept, in bytes.
const KEPT: u64 = 64 * 1024 * 1024;
/// The most of a path, a host or a browser's name that is kept, in bytes.
const TEXT_MAX: usize = 2048;
/// How often a disk that takes nothing is told of.
const COMPLAINT: Duration = Duration::from_mins(1);

/// What the access log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessDetail {
    /// Paths without their queries.
    Paths,
    /// Queries too, which often hold secrets.
    Queries,
}

/// An access log that nobody writes yet: one end is for the edge's configuration.
#[derive(Debug)]
pub struct AccessWriter {
    records: Receiver<Box<AccessRecord>>,
    lost: Arc<AtomicU64>,
    detail: AccessDetail,
}

/// An access log, and the edge's end of it.
pub fn access_log(detail: AccessDetail) -> (AccessLog, AccessWriter) {
    let (log, records) = AccessLog::new(PLACES);
    let lost = log.lost();
    (log, AccessWriter { records, lost, detail })
}

impl Control {
    /// Begins to write to `DATA/logs/access.log`. The thread ends when the edge has ended, after the last line. Once.
    pub fn keep_access_log(&self, writer: AccessWriter) -> io::Result<JoinHandle<()>> {
        let file = LineFile::open(&self.inner.config.data_dir.join("logs").join("access.log"), KEPT / 2)?;
        let thread = {
            let file = file.clone();
            std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.write_all(&file))?
        };
        let _once = self.inner.access_log.set(file);
        Ok(thread)
    }

    /// A reader of the access log from its oldest line on.
    pub(crate) fn access_follower(&self) -> Result<Follower> {
        let Some(file) = self.inner.access_log.get() else {
            let error = ErrorBody::new(ErrorCode::Conflict, "the platform keeps no access log");
            return Err(error.help("start it with --access-log on, or access-log = \"on\" in its config.toml"));
        };
        file.follow().map_err(|error| internal("read the access log", &error))
    }
}

/// A line of the access log as one of its app's log; `None` where it is another's.
pub(crate) fn log_line(app: &AppName, line: &[u8]) -> Option<LogLine> {
    let line: AccessLine<'_> = serde_json::from_slice(line).ok()?;
    if line.app.as_deref() != Some(app.as_str()) {
        return None;
    }
    let AccessLine { method, path, status, duration_ms, bytes_out, client, agent, .. } = &line;
    let (path, agent) = (path.as_deref().unwrap_or("*"), agent.as_deref().unwrap_or("-"));
    let text = format!("{status} {method} {path} {duration_ms:.1} ms, {bytes_out} bytes to {client} ({agent})");
    let instance = line.upstream.as_deref().unwrap_or_default().to_owned();
    Some(LogLine { at: line.at, instance, stream: Stream::Platform, line: text })
}

impl AccessWriter {
    fn write_all(self, file: &LineFile) {
        let mut complained: Option<Instant> = None;
        let mut batch = Vec::new();
        // Without requests it sleeps, and nothing wakes it.
        while let Ok(first) = self.records.recv() {
            let mut next = Some(first);
            while let Some(record) = next {
                push(&mut batch, &record, self.detail);
                next = None;
                let mut lines = 1;
                while let Ok(record) = self.records.try_recv() {
                    if batch.len() >= BATCH {
                        next = Some(record);
                        break;
                    }
                    push(&mut batch, &record, self.detail);
                    lines += 1;
                }
                if let Err(error) = file.append(&batch) {
                    self.lost.fetch_add(lines, Ordering::Relaxed);
                    if complained.is_none_or(|last| last.elapsed() > COMPLAINT) {
                        complained = Some(Instant::now());
                        tracing::warn!(%error, "write the access log");
                    }
                }
                batch.clear();
            }
            std::thread::sleep(PAUSE);
        }
        file.close();
    }
}

fn push(batch: &mut Vec<u8>, record: &AccessRecord, detail: AccessDetail) {
    serde_json::to_writer(&mut *batch, &line(record, detail)).expect("plain data into memory");
    batch.push(b'\n');
}

fn line(record: &AccessRecord, detail: AccessDetail) -> AccessLine<'_> {
    AccessLine {
        at: Timestamp::try_from(record.at).unwrap_or(Timestamp::UNIX_EPOCH),
        app: record.app.as_ref().map(|app| app.name().into()),
        host: record.host().map(clipped),
        method: record.method.as_str().into(),
        path: record.path(detail == AccessDetail::Queries).map(|path| clipped(unopened(record.app.is_none(), path.into()))),
        // As nginx writes it: the visitor went before there was an answer.
        status: record.status.map_or(499, |status| status.as_u16()),
        bytes_in: record.received,
        bytes_out: record.sent,
        duration_ms: millis(record.took),
        wait_ms: millis(record.waited),
        upstream: record.upstream.as_ref().map(|upstream| upstream.id().into()),
        client: record.peer.ip().to_canonical().to_string().into(),
        protocol: record.protocol().into(),
        agent: record.agent().map(clipped),
    }
}

/// A path without what opens the platform: a link by which people come in once is as good as a password until they do.
fn unopened(platforms_own: bool, path: Cow<'_, str>) -> Cow<'_, str> {
    let link = ["/welcome/", "/invite/"].into_iter().find(|link| path.starts_with(link));
    match link {
        Some(link) if platforms_own => format!("{link}…").into(),
        _ => path,
    }
}

/// The beginning of what a visitor may make as long as it likes.
fn clipped(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => text[..text.floor_char_boundary(TEXT_MAX)].into(),
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(TEXT_MAX));
            text.into()
        }
    }
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
    let micros = duration.as_micros() as f64;
    micros / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::{HeaderValue, Method, StatusCode, Version};

    use super::*;

    fn record(path: &str) -> AccessRecord {
        AccessRecord {
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
            app: None,
            host: Some(HeaderValue::from_static("shop.localhost")),
            method: Method::GET,
            path: path.parse().ok(),
            version: Version::HTTP_2,
            peer: "[::ffff:192.0.2.7]:5".parse().expect("an address"),
            agent: HeaderValue::from_bytes(b"x\"\xff").ok(),
            status: Some(StatusCode::OK),
            upstream: None,
            received: 1,
            sent: 2,
            took: Duration::from_micros(1234),
            waited: Duration::ZERO,
        }
    }

    #[test]
    fn links_that_open_the_platform_are_not_in_it() {
        let shown = |path| line(&record(path), AccessDetail::Queries).path.map(Cow::into_owned);
        assert_eq!(shown("/welcome/abc").as_deref(), Some("/welcome/…"));
        assert_eq!(shown("/invite/abc?x=1").as_deref(), Some("/invite/…"));
        assert_eq!(shown("/welcome").as_deref(), Some("/welcome"));
    }

    #[test]
    fn a_line_is_json_and_keeps_queries_only_where_asked() {
        let mut batch = Vec::new();
        push(&mut batch, &record("/a%20b?token=secret"), AccessDetail::Paths);
        let text = String::from_utf8(batch).expect("text");
        let wanted = "{\"at\":\"1970-01-01T00:00:01.5Z\",\"app\":null,\"host\":\"shop.localhost\",\"method\":\"GET\",\"path\":\"/a%20b\",\
            \"status\":200,\"bytes_in\":1,\"bytes_out\":2,\"duration_ms\":1.234,\"wait_ms\":0.0,\"upstream\":null,\
            \"client\":\"192.0.2.7\",\"protocol\":\"HTTP/2\",\"agent\":\"x\\\"\u{fffd}\"}\n";
        assert_eq!(text, wanted);
        let long = record(&format!("/{}", "ä".repeat(3000)).replace('ä', "%C3%A4"));
        assert_eq!(line(&long, AccessDetail::Paths).path.map(|path| path.len()), Some(TEXT_MAX));
        let asked = record("/a?b=c");
        assert_eq!(line(&asked, AccessDetail::Queries).path.as_deref(), Some("/a?b=c"));
        let gone = AccessRecord { status: None, ..record("/") };
        assert_eq!(line(&gone, AccessDetail::Paths).status, 499);
    }

    #[test]
    fn what_waits_is_written_before_the_end_and_the_file_is_limited() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access.log");
        let (log, writer) = access_log(AccessDetail::Paths);
        drop(log);
        let (queue, records) = std::sync::mpsc::sync_channel(4000);
        for number in 0..3000 {
            queue.send(Box::new(record(&format!("/{number}")))).expect("room");
        }
        drop(queue);
        let writer = AccessWriter { records, ..writer };
        writer.write_all(&LineFile::open(&path, 1 << 20).expect("file"));
        let text = std::fs::read_to_string(&path).expect("the file");
        assert_eq!(text.lines().count(), 3000);
        for (number, line) in text.lines().enumerate() {
            let line: AccessLine<'_> = serde_json::from_str(line).expect("a document");
            assert_eq!(line.path.as_deref(), Some(format!("/{number}").as_str()));
        }
    }

    #[test]
    fn what_the_disk_does_not_take_is_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access.log");
        let file = LineFile::open(&path, 1).expect("file");
        file.append(b"{}\n").expect("append");
        // The next line needs another file, whose place is taken by a directory that is not empty.
        std::fs::create_dir_all(path.with_extension("1").join("x")).expect("a directory");
        let (queue, records) = std::sync::mpsc::sync_channel(4);
        queue.send(Box::new(record("/"))).expect("room");
        drop(queue);
        let lost = Arc::new(AtomicU64::new(0));
        AccessWriter { records, lost: Arc::clone(&lost), detail: AccessDetail::Paths }.write_all(&file);
        assert_eq!(lost.load(Ordering::Relaxed), 1);
    }
}
