//! Resources: instances by state, the app's log while it grows, its database and that one's backups.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use api::{BackupDocument, DatabaseInfo, InstanceState, InstanceStatus, LogLine, LogQuery};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{Response, sse};
use control::{Access, Control, Right, may};
use futures_util::stream;
use http::HeaderMap;
use jiff::Timestamp;
use model::DatabaseType;
use serde::{Deserialize, Serialize};

use crate::access::ForApp;
use crate::answer::{Answer, Problem};
use crate::pages::ansi::{self, Line};
use crate::pages::app_head::AppHead;
use crate::pages::deployment::{download, stream_class};
use crate::pages::layout::{Nav, Shell, Tab, page};
use crate::pages::sse as events;
use crate::pages::state;
use crate::pages::status::database_name;
use crate::pages::text::{Bytes, Seconds, When};

/// How much of the log's end the page itself has, in bytes and in lines.
const TAIL_BYTES: u64 = 256 * 1024;
const TAIL_LINES: usize = 200;
/// How often instances are looked at while somebody watches them.
const LOOK: Duration = Duration::from_secs(1);

/// One instance.
#[derive(Debug)]
pub(crate) struct InstanceRow {
    pub(crate) id: String,
    pub(crate) revision: u32,
    pub(crate) state: state::State,
    pub(crate) memory: Bytes,
    pub(crate) cpu: Seconds,
}

/// One line of the app's log.
#[derive(Debug)]
pub(crate) struct LogRow {
    pub(crate) at: Timestamp,
    pub(crate) instance: String,
    pub(crate) stream: &'static str,
    pub(crate) line: Line,
}

impl LogRow {
    /// The time of day, as the script shows it too.
    pub(crate) fn clock(&self) -> String {
        clock(self.at)
    }
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// The database.
#[derive(Debug)]
pub(crate) struct DatabaseView {
    pub(crate) kind: &'static str,
    /// Host, port, database and user.
    pub(crate) place: Vec<(&'static str, String)>,
    /// Variables that the app finds; none where the value is hidden.
    pub(crate) variables: Vec<(String, Option<String>)>,
    pub(crate) outside: Option<String>,
    pub(crate) used: Bytes,
    pub(crate) limit: Bytes,
    /// How much of a hundred is used.
    pub(crate) percent: u64,
    pub(crate) recoverable: Option<When>,
}

impl DatabaseView {
    pub(crate) fn new(info: &DatabaseInfo) -> Self {
        let place = vec![
            ("Host", info.host.clone()),
            ("Port", info.port.to_string()),
            ("Database", info.database.clone()),
            ("User", info.user.clone()),
        ];
        Self {
            kind: database_name(info.kind),
            place,
            variables: info.variables.clone().into_iter().collect(),
            outside: info.outside.as_ref().map(|it| format!("{}:{} from {}", it.host, it.port, it.allow.join(", "))),
            used: Bytes(info.bytes),
            limit: Bytes(info.limit_bytes),
            percent: (info.bytes.saturating_mul(100) / info.limit_bytes.max(1)).min(100),
            recoverable: info.recoverable_since.map(When::new),
        }
    }
}

/// One backup.
#[derive(Debug)]
pub(crate) struct BackupRow {
    pub(crate) id: String,
    pub(crate) state: state::State,
    pub(crate) when: When,
    pub(crate) size: Bytes,
    pub(crate) why: &'static str,
    pub(crate) found: String,
    pub(crate) problem: Option<String>,
}

/// How much a backup holds, in words.
fn found(tables: u64, rows: u64) -> String {
    let counted = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}", counted(tables, "table"), counted(rows, "row"))
}

impl BackupRow {
    pub(crate) fn new(backup: &BackupDocument) -> Self {
        use model::backup::BackupKind;
        Self {
            id: backup.backup.to_string(),
            state: state::backup(backup.state),
            when: When::new(backup.created_at),
            size: Bytes(backup.bytes),
            why: match backup.kind {
                BackupKind::Daily => "Nightly",
                BackupKind::OnDemand => "On demand",
                BackupKind::Final => "Before its app was deleted",
                BackupKind::BeforeRestore => "Before a restore",
            },
            found: backup.verified.map(|it| found(it.tables, it.rows)).unwrap_or_default(),
            problem: backup.problem.clone(),
        }
    }
}

/// Which lines of the log are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Filter {
    /// `stdout`, `stderr` or `platform`; all where it is empty.
    pub(crate) stream: String,
    /// One instance; all where it is empty.
    pub(crate) instance: String,
    /// What a line must hold, in whatever case.
    pub(crate) q: String,
    /// Since when: `15m`, `1h`, `24h`; all that is kept where it is empty.
    pub(crate) since: String,
}

impl Filter {
    fn seconds(&self) -> Option<i64> {
        match self.since.as_str() {
            "15m" => Some(15 * 60),
            "1h" => Some(60 * 60),
            "24h" => Some(24 * 60 * 60),
            _ => None,
        }
    }

    pub(crate) fn lets(&self, line: &LogLine, now: Timestamp) -> bool {
        let (stream, instance) = (self.stream.as_str(), self.instance.as_str());
        (stream.is_empty() || line.stream.as_str() == stream)
            && (instance.is_empty() || line.instance == instance)
            && (self.q.is_empty() || line.line.to_lowercase().contains(&self.q.to_lowercase()))
            && self.seconds().is_none_or(|seconds| now.as_second() - line.at.as_second() <= seconds)
    }

    /// Whether anything is left out.
    pub(crate) fn is_on(&self) -> bool {
        *self != Self::default()
    }

    /// As it stands in an address.
    pub(crate) fn query(&self) -> String {
        serde_html_form::to_string(self).unwrap_or_default()
    }
}

/// What is asked of the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    pub(crate) stream: String,
    pub(crate) instance: String,
    pub(crate) q: String,
    pub(crate) since: String,
    /// The last line that a browser has.
    pub(crate) after: String,
}

impl Asked {
    fn filter(&self) -> Filter {
        let Self { stream, instance, q, since, .. } = self.clone();
        Filter { stream, instance, q, since }
    }
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "resources.html")]
pub(crate) struct ResourcesPage {
    pub(crate) shell: Shell,
    pub(crate) app: AppHead,
    pub(crate) instances: Vec<InstanceRow>,
    pub(crate) filter: Filter,
    pub(crate) names: BTreeSet<String>,
    pub(crate) rows: Vec<LogRow>,
    pub(crate) after: String,
    pub(crate) database: Option<DatabaseView>,
    pub(crate) revealed: bool,
    pub(crate) backups: Vec<BackupRow>,
    pub(crate) states: [(&'static str, state::State); 4],
}

/// What the page is made of.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) instances: Vec<InstanceStatus>,
    pub(crate) lines: Vec<LogLine>,
    pub(crate) database: Option<DatabaseInfo>,
    pub(crate) backups: Vec<BackupDocument>,
}

impl ResourcesPage {
    pub(crate) fn new(shell: Shell, app: AppHead, found: Found, filter: Filter, revealed: bool) -> Self {
        let now = Timestamp::now();
        let mut names: BTreeSet<_> = found.lines.iter().map(|line| line.instance.clone()).collect();
        names.extend(found.instances.iter().map(|instance| instance.id.clone()));
        names.retain(|name| !name.is_empty());
        let after = after(&found.lines, now);
        let mut lines = found.lines;
        lines.retain(|line| filter.lets(line, now));
        lines.drain(..lines.len().saturating_sub(TAIL_LINES));
        Self {
            shell: shell.titled(format!("{} · Resources", app.name)).at(Nav::Dashboard),
            app,
            instances: found.instances.iter().map(instance).collect(),
            names,
            after,
            rows: lines.iter().map(log_row).collect(),
            filter,
            database: found.database.as_ref().map(DatabaseView::new),
            revealed,
            backups: found.backups.iter().map(BackupRow::new).collect(),
            states: [InstanceState::Starting, InstanceState::Ready, InstanceState::Frozen, InstanceState::Draining]
                .map(|it| (it.as_str(), state::instance(it))),
        }
    }
}

fn instance(it: &InstanceStatus) -> InstanceRow {
    InstanceRow {
        id: it.id.clone(),
        revision: it.revision.0,
        state: state::instance(it.state),
        memory: Bytes(it.memory_bytes),
        cpu: Seconds(it.cpu_seconds),
    }
}

fn log_row(line: &LogLine) -> LogRow {
    LogRow { at: line.at, instance: line.instance.clone(), stream: stream_class(line.stream), line: ansi::line(&line.line) }
}

/// Where the stream goes on: the time of the last line, and how many lines bear that time.
fn after(lines: &[LogLine], now: Timestamp) -> String {
    match lines.last() {
        Some(last) => format!("{}_{}", last.at, lines.iter().rev().take_while(|line| line.at == last.at).count()),
        None => format!("{now}_0"),
    }
}

/// The page of an app's resources.
pub(crate) async fn resources(
    shell: Shell,
    ForApp(app): ForApp,
    State(control): State<Control>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Answer<Response> {
    let asked = asked.map_or_else(|_unreadable| Asked::default(), |Query(asked)| asked);
    show(shell, &app, &control, asked.filter(), false).await
}

/// The same with the password; a form asks for it, so that it is in no address.
pub(crate) async fn reveal(shell: Shell, ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    show(shell, &app, &control, Filter::default(), true).await
}

async fn show(shell: Shell, app: &model::AppName, control: &Control, filter: Filter, reveal: bool) -> Answer<Response> {
    let whole = may(&shell.who, &Access::Platform).is_ok();
    let reveal = reveal && may(&shell.who, &Access::App(app, Right::Change)).is_ok();
    let head = AppHead::load(control, &shell.who, app, Some(Tab::Resources)).await?;
    let status = control.app(app).await?;
    let (lines, _) = control.last_lines(app, TAIL_BYTES)?;
    let database = control.database_glance(app, reveal).await?;
    let backups = match status.summary.database {
        DatabaseType::None if database.is_none() => Vec::new(),
        _ => control.backups(app, whole).await?.into_iter().filter(|it| it.app_deleted_at.is_none()).collect(),
    };
    let found = Found { instances: status.instances, lines, database, backups };
    Ok(page(&ResourcesPage::new(shell, head, found, filter, reveal)))
}

/// The log as a file.
pub(crate) async fn log(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    let lines = control.logs(&app, &LogQuery::default()).await?;
    Ok(download(lines, &format!("{app}.log")))
}

/// Instances as they change.
pub(crate) async fn stream(ForApp(app): ForApp, State(control): State<Control>) -> Answer<Response> {
    control.app(&app).await?;
    let looks = stream::unfold((control, app, String::new()), |(control, app, before)| async move {
        loop {
            // An app that was deleted ends it.
            let status = control.app(&app).await.ok()?;
            let rows: Vec<_> = status
                .instances
                .iter()
                .map(|it| {
                    let row = instance(it);
                    (row.id, row.revision, it.state.as_str(), row.memory.to_string(), row.cpu.to_string())
                })
                .collect();
            let now = serde_json::to_string(&rows).expect("plain data into memory");
            if now != before {
                let event = sse::Event::default().event("instances").data(&now);
                return Some((Ok::<_, Infallible>(event), (control, app, now)));
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    // Not more often than that either, however quickly something changes.
    Ok(events::answer(paced(looks)))
}

fn paced<T: Send>(events: impl futures_util::Stream<Item = T> + Send) -> impl futures_util::Stream<Item = T> + Send {
    use futures_util::StreamExt as _;
    let mut first = true;
    events.then(move |event| {
        let wait = if std::mem::take(&mut first) { Duration::ZERO } else { LOOK };
        async move {
            tokio::time::sleep(wait).await;
            event
        }
    })
}

/// The app's log as it grows.
pub(crate) async fn log_stream(
    ForApp(app): ForApp,
    State(control): State<Control>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Answer<Response> {
    let Query(asked) = asked.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let from = events::last_id(&headers).map_or_else(|| asked.after.clone(), str::to_owned);
    let (since, mut seen) =
        place(&from).ok_or_else(|| Problem::bad_request("after: a time and a number, as the stream's ids are"))?;
    let query = LogQuery { since: Some(since.to_string()), follow: true, ..LogQuery::default() };
    let lines = control.logs(&app, &query).await?;
    let filter = asked.filter();
    let (mut last, mut count) = (since, seen);
    Ok(events::answer(events::batched(lines, move |line| {
        let line = serde_json::from_slice::<LogLine>(line).ok()?;
        if line.at == since && seen > 0 {
            seen -= 1;
            return None;
        }
        count = if line.at == last { count + 1 } else { 1 };
        last = line.at;
        let shown = filter.lets(&line, Timestamp::now());
        let item = shown.then(|| (clock(line.at), line.instance.clone(), stream_class(line.stream), ansi::line(&line.line)));
        Some(events::Told { id: format!("{last}_{count}"), item, end: false })
    })))
}

fn place(id: &str) -> Option<(Timestamp, usize)> {
    let (at, count) = id.rsplit_once('_')?;
    Some((at.parse().ok()?, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: &str, text: &str) -> LogLine {
        let at = at.parse().expect("a time");
        LogLine { at, instance: "shop-1-a".to_owned(), stream: api::Stream::Stderr, line: text.to_owned() }
    }

    #[test]
    fn a_stream_goes_on_behind_the_last_line_however_many_bear_its_time() {
        let lines = [line("2026-01-01T00:00:00Z", "a"), line("2026-01-01T00:00:01Z", "b"), line("2026-01-01T00:00:01Z", "c")];
        let id = after(&lines, Timestamp::UNIX_EPOCH);
        assert_eq!(place(&id), Some((lines[2].at, 2)));
        assert_eq!(place(&after(&[], lines[0].at)), Some((lines[0].at, 0)));
        for bad in ["", "now", "2026-01-01T00:00:00Z", "_1", "2026-01-01T00:00:00Z_x"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_filter_lets_through_what_fits_it_all() {
        let it = line("2026-01-01T00:00:00Z", "GET /Basket 500");
        let now = "2026-01-01T00:30:00Z".parse().expect("a time");
        let filter = |stream: &str, instance: &str, q: &str, since: &str| {
            let text = |text: &str| text.to_owned();
            Filter { stream: text(stream), instance: text(instance), q: text(q), since: text(since) }.lets(&it, now)
        };
        assert!(filter("", "", "", "") && filter("stderr", "shop-1-a", "basket", "1h"));
        assert!(!filter("stdout", "", "", "") && !filter("", "shop-1-b", "", "") && !filter("", "", "total", ""));
        assert!(!filter("", "", "", "15m"));
    }
}
