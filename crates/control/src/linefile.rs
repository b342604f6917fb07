//! An append-only file of lines that readers can follow while it grows: what deployments' events and apps' output are kept in.
//!
//! The file is the truth, so a reader costs no memory here and can't slow the writer. Above its limit the file becomes
//! `NAME.1` (replacing the one before), so at most twice the limit is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// How far the file has been written; readers wait for it to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Mark {
    /// Counts replacements of the file.
    generation: u64,
    /// Counts appends.
    appends: u64,
    /// Nothing more will come.
    closed: bool,
}

/// The writing end; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct LineFile {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    limit: u64,
    writer: Mutex<Writer>,
    mark: watch::Sender<Mark>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    bytes: u64,
}

impl LineFile {
    /// Opens the file for appending; its directory is made where it is missing. `limit` is in bytes.
    pub(crate) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        let inner = Inner {
            path: path.to_owned(),
            limit,
            writer: Mutex::new(Writer { file, bytes }),
            mark: watch::channel(Mark::default()).0,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Appends lines (each with its end). An error loses these lines and nothing else.
    pub(crate) fn append(&self, lines: &[u8]) -> io::Result<()> {
        let mut writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rotated = false;
        if writer.bytes > 0 && writer.bytes + lines.len() as u64 > self.inner.limit {
            fs::rename(&self.inner.path, self.inner.path.with_extension("1"))?;
            writer.file = append_to(&self.inner.path)?;
            writer.bytes = 0;
            rotated = true;
        }
        writer.file.write_all(lines)?;
        writer.bytes += lines.len() as u64;
        self.inner.mark.send_modify(|mark| {
            mark.generation += u64::from(rotated);
            mark.appends += 1;
        });
        Ok(())
    }

    /// Puts what was appended on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner).file.sync_data()
    }

    /// Says that nothing more will come: followers end.
    pub(crate) fn close(&self) {
        self.inner.mark.send_modify(|mark| mark.closed = true);
    }

    /// A reader from the oldest line that is kept.
    pub(crate) fn follow(&self) -> io::Result<Follower> {
        let mark = self.inner.mark.subscribe();
        let seen = *mark.borrow();
        // The older file is optional; a rotation between these two lines only makes the reader see some lines twice or not at all.
        let older = File::open(self.inner.path.with_extension("1")).ok().map(BufReader::new);
        let current = BufReader::new(File::open(&self.inner.path)?);
        Ok(Follower { path: self.inner.path.clone(), older, current, mark: Some(mark), seen, partial: Vec::new() })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct Follower {
    path: PathBuf,
    older: Option<BufReader<File>>,
    current: BufReader<File>,
    mark: Option<watch::Receiver<Mark>>,
    seen: Mark,
    partial: Vec<u8>,
}

impl Follower {
    /// A reader of a file that nobody writes any more.
    pub(crate) fn finished(path: &Path) -> io::Result<Self> {
        let older = File::open(path.with_extension("1")).ok().map(BufReader::new);
        let current = BufReader::new(File::open(path)?);
        Ok(Self { path: path.to_owned(), older, current, mark: None, seen: Mark::default(), partial: Vec::new() })
    }

    /// The next line that is there already, without its end.
    pub(crate) fn next_kept(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(older) = &mut self.older {
            if let Some(line) = read_line(older, &mut self.partial)? {
                return Ok(Some(line));
            }
            self.partial.clear();
            self.older = None;
        }
        read_line(&mut self.current, &mut self.partial)
    }

    /// Whether the file ends in the middle of a line.
    pub(crate) fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// The next line, waited for; `None` once nothing more will come.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.next_kept()? {
                return Ok(Some(line));
            }
            let Some(receiver) = &mut self.mark else { return Ok(None) };
            let now = *receiver.borrow_and_update();
            if now.generation != self.seen.generation {
                // Our handle still reads the file that was renamed; it has been read to its end.
                self.seen = now;
                self.partial.clear();
                self.current = BufReader::new(File::open(&self.path)?);
            } else if now != self.seen {
                self.seen = now;
                let here = self.current.stream_position()?;
                self.current.seek(SeekFrom::Start(here))?;
            } else if now.closed || receiver.changed().await.is_err() {
                self.mark = None;
            }
        }
    }
}

/// The last lines of a file, of at most so many bytes together; and whether there are others before them.
pub(crate) fn tail(path: &Path, bytes: u64) -> io::Result<(Vec<Vec<u8>>, bool)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(bytes);
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::new(file.take(length - start));
    let mut partial = Vec::new();
    if start > 0 {
        // The first line was cut.
        let _cut = read_line(&mut reader, &mut partial)?;
    }
    let mut lines = Vec::new();
    while let Some(line) = read_line(&mut reader, &mut partial)? {
        lines.push(line);
    }
    Ok((lines, start > 0 || path.with_extension("1").exists()))
}

/// A whole line; what is there of one that is still being written waits in `partial`.
fn read_line(reader: &mut impl BufRead, partial: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    reader.read_until(b'\n', partial)?;
    if partial.last() == Some(&b'\n') {
        partial.pop();
        return Ok(Some(std::mem::take(partial)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(follower: &mut Follower) -> Vec<String> {
        std::iter::from_fn(|| follower.next_kept().expect("read")).map(|line| String::from_utf8(line).expect("text")).collect()
    }

    #[tokio::test]
    async fn a_follower_sees_what_was_and_what_comes_and_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = LineFile::open(&directory.path().join("x.log"), 1000).expect("file");
        file.append(b"one\ntwo\n").expect("append");
        let mut follower = file.follow().expect("follow");
        let task = tokio::spawn(async move {
            let mut lines = Vec::new();
            while let Some(line) = follower.next().await.expect("read") {
                lines.push(String::from_utf8(line).expect("text"));
            }
            lines
        });
        tokio::task::yield_now().await;
        file.append(b"three\n").expect("append");
        tokio::task::yield_now().await;
        file.append(b"four\n").expect("append");
        file.close();
        assert_eq!(task.await.expect("joined"), ["one", "two", "three", "four"]);
    }

    #[test]
    fn a_tail_is_whole_lines_of_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.log");
        fs::write(&path, "first\nsecond\nthird\nhalf").expect("a file");
        let text = |bytes| {
            let (lines, more) = tail(&path, bytes).expect("read");
            (lines.into_iter().map(|line| String::from_utf8(line).expect("text")).collect::<Vec<_>>(), more)
        };
        assert_eq!(text(1000), (vec!["first".to_owned(), "second".to_owned(), "third".to_owned()], false));
        assert_eq!(text(12), (vec!["third".to_owned()], true));
        assert_eq!(text(2), (Vec::new(), true));
    }

    #[tokio::test]
    async fn the_file_is_limited_and_followers_cross_the_rotation() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.log");
        let file = LineFile::open(&path, 100).expect("file");
        let mut follower = file.follow().expect("follow");
        let mut seen = Vec::new();
        for number in 0..100 {
            file.append(format!("line {number}\n").as_bytes()).expect("append");
            seen.push(String::from_utf8(follower.next().await.expect("read").expect("a line")).expect("text"));
        }
        assert_eq!(seen.len(), 100);
        assert_eq!(seen[99], "line 99");
        let total = fs::metadata(&path).expect("file").len() + fs::metadata(path.with_extension("1")).expect("file").len();
        assert!(total <= 200, "{total}");
        drop(file);
        let lines = kept(&mut Follower::finished(&path).expect("open"));
        assert_eq!(lines.last().map(String::as_str), Some("line 99"));
        assert!(lines.len() >= 10);
    }
}
