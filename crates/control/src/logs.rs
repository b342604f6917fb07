//! Use cases on logs: an app's output and a deployment's events, kept and to come.

use std::collections::VecDeque;

use api::{ErrorBody, ErrorCode, Event, EventKind, LogLine, LogQuery};
use futures_util::Stream;
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use model::{AppName, DeploymentNumber};

use crate::Control;
use crate::access_log::log_line;
use crate::error::{Result, deployment_not_found, internal};
use crate::linefile::{self, Follower};
use crate::progress::events_path;

/// Lines of JSON, each without its end.
pub type Lines = std::pin::Pin<Box<dyn Stream<Item = std::io::Result<Vec<u8>>> + Send>>;

impl Control {
    /// A deployment's events from a number on, those to come included.
    pub async fn events(&self, name: &AppName, number: DeploymentNumber, from: u64) -> Result<Lines> {
        let follower = self.deployment_follower(name, number).await?;
        Ok(Box::pin(lines(follower, true, move |line| {
            (from <= 1 || serde_json::from_slice::<Event>(line).is_ok_and(|event| event.seq >= from)).then(|| line.to_vec())
        })))
    }

    /// An app's log, or a deployment's.
    pub async fn logs(&self, name: &AppName, query: &LogQuery) -> Result<Lines> {
        let since = query.since.as_deref().map(parse_since).transpose()?;
        if let Some(number) = query.deployment {
            let follower = self.deployment_follower(name, DeploymentNumber(number)).await?;
            return Ok(self.select(follower, query, since, event_line));
        }
        let entry = self.entry(name)?;
        if query.access {
            let app = name.clone();
            return Ok(self.select(self.access_follower()?, query, since, move |line| log_line(&app, line)));
        }
        let follower = entry.log.follow().map_err(|error| internal("read the app's log", &error))?;
        Ok(self.select(follower, query, since, |line| serde_json::from_slice(line).ok()))
    }

    /// A deployment's last events of those that are there, of at most so many bytes; and whether there are others before them.
    pub async fn last_events(&self, name: &AppName, number: DeploymentNumber, bytes: u64) -> Result<(Vec<Event>, bool)> {
        let entry = self.entry(name)?;
        let (id, path) = (entry.id, events_path(&entry.directory, number));
        if self.read(move |tx| tx.deployment(id, number)).await?.is_none() {
            return Err(deployment_not_found(name, number));
        }
        last(&path, bytes, "read the deployment's log")
    }

    /// The last lines of an app's log, of at most so many bytes; and whether there are others before them.
    pub fn last_lines(&self, name: &AppName, bytes: u64) -> Result<(Vec<LogLine>, bool)> {
        let entry = self.entry(name)?;
        last(&crate::output::app_log_path(&entry.directory), bytes, "read the app's log")
    }

    #[expect(clippy::unused_self, reason = "reads as a part of the use case")]
    fn select(
        &self,
        mut follower: Follower,
        query: &LogQuery,
        since: Option<Timestamp>,
        parse: impl Fn(&[u8]) -> Option<LogLine> + Send + 'static,
    ) -> Lines {
        let wanted = move |line: &[u8]| {
            let parsed = parse(line)?;
            since.is_none_or(|since| parsed.at >= since).then(|| serde_json::to_vec(&parsed).expect("plain data into memory"))
        };
        let Some(last) = query.lines else { return Box::pin(lines(follower, query.follow, wanted)) };
        // The newest lines of what is there: the file is read once, and no more than that many are held.
        let mut newest = VecDeque::new();
        while let Ok(Some(line)) = follower.next_kept() {
            if let Some(line) = wanted(&line) {
                if newest.len() >= last as usize {
                    newest.pop_front();
                }
                newest.push_back(line);
            }
        }
        if last == 0 {
            newest.clear();
        }
        let kept = stream::iter(newest.into_iter().map(Ok));
        if !query.follow {
            return Box::pin(kept);
        }
        Box::pin(futures_util::StreamExt::chain(kept, lines(follower, true, wanted)))
    }

    async fn deployment_follower(&self, name: &AppName, number: DeploymentNumber) -> Result<Follower> {
        let entry = self.entry(name)?;
        if let Some(progress) = entry.queue.progress(number) {
            return progress.follow().map_err(|error| internal("read the deployment's log", &error));
        }
        let id = entry.id;
        let row = self.read(move |tx| tx.deployment(id, number)).await?;
        if row.is_none() {
            return Err(deployment_not_found(name, number));
        }
        Follower::finished(&events_path(&entry.directory, number)).map_err(|error| internal("read the deployment's log", &error))
    }
}

fn lines(
    follower: Follower,
    follow: bool,
    map: impl Fn(&[u8]) -> Option<Vec<u8>> + Send,
) -> impl Stream<Item = std::io::Result<Vec<u8>>> + Send {
    stream::unfold((follower, map), move |(mut follower, map)| async move {
        loop {
            let next = if follow { follower.next().await } else { follower.next_kept() };
            match next {
                Ok(Some(line)) => {
                    if let Some(line) = map(&line) {
                        return Some((Ok(line), (follower, map)));
                    }
                }
                Ok(None) => return None,
                Err(error) => return Some((Err(error), (follower, map))),
            }
        }
    })
}

/// What a file ends with; nothing, where it is not there yet.
fn last<T: serde::de::DeserializeOwned>(path: &std::path::Path, bytes: u64, what: &str) -> Result<(Vec<T>, bool)> {
    match linefile::tail(path, bytes) {
        Ok((lines, more)) => Ok((lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect(), more)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((Vec::new(), false)),
        Err(error) => Err(internal(what, &error)),
    }
}

/// An event of a deployment as a line of a log.
fn event_line(line: &[u8]) -> Option<LogLine> {
    let event: Event = serde_json::from_slice(line).ok()?;
    match event.kind {
        EventKind::Line { step, stream, line } => {
            Some(LogLine { at: event.at, instance: step.as_str().to_owned(), stream, line })
        }
        EventKind::End { deployment } => deployment.error.map(|error| LogLine {
            at: event.at,
            instance: "deployment".to_owned(),
            stream: api::Stream::Platform,
            line: error.message,
        }),
        EventKind::Step { .. } | EventKind::Unknown => None,
    }
}

/// A number of seconds before now, or a time.
fn parse_since(text: &str) -> Result<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>()
        && (0.0..1e10).contains(&seconds)
    {
        let ago = SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::ZERO);
        return Ok(Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH));
    }
    text.parse().map_err(|_unreadable| {
        ErrorBody::new(ErrorCode::BadRequest, format!("{text:?} is no time: a number of seconds, or RFC 3339"))
    })
}
