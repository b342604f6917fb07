//! The page of a deployment: its steps, its log while it grows, and how it ended.

use std::convert::Infallible;

use api::{Diagnosis, ErrorBody, Event, EventKind, Stream as Source};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::sse;
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use control::{Control, DeploymentGlance, DeploymentKind, Lines};
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, header};
use model::{DeploymentNumber, DeploymentState, Step, StepState};
use serde::{Deserialize, Serialize};

use crate::access::ForApp;
use crate::answer::{Answer, Problem};
use crate::pages::ansi::{self, Line};
use crate::pages::app_head::AppHead;
use crate::pages::deployment_view::DeploymentLine;
use crate::pages::flash::Said;
use crate::pages::layout::{Nav, Shell, page};
use crate::pages::sse as events;
use crate::pages::state;
use crate::pages::text::Seconds;

/// How much of the log's end the page itself has, in bytes of events and in lines; the script fetches the rest.
const TAIL_BYTES: u64 = 96 * 1024;
const TAIL_LINES: usize = 300;

/// One step of the page.
#[derive(Debug)]
pub(crate) struct StepRow {
    pub(crate) word: &'static str,
    pub(crate) title: &'static str,
    pub(crate) state: state::State,
    pub(crate) seconds: Option<Seconds>,
    pub(crate) failed: bool,
}

/// A line of the log.
#[derive(Debug)]
pub(crate) struct LogRow {
    pub(crate) step: &'static str,
    pub(crate) stream: &'static str,
    pub(crate) line: Line,
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "deployment.html")]
pub(crate) struct DeploymentPage {
    pub(crate) shell: Shell,
    pub(crate) app: AppHead,
    pub(crate) line: DeploymentLine,
    pub(crate) state: DeploymentState,
    /// Whether a source was built, which may be the app's first time.
    pub(crate) built: bool,
    /// The deployment that was cut short, and that this one is the second try of.
    pub(crate) retry_of: Option<DeploymentNumber>,
    pub(crate) error: Option<ErrorBody>,
    /// What the failure was recognised as.
    pub(crate) diagnosis: Option<Diagnosis>,
    pub(crate) steps: Vec<StepRow>,
    /// The only step whose lines are shown.
    pub(crate) only: Option<Step>,
    pub(crate) rows: Vec<LogRow>,
    /// Whether there are lines before those.
    pub(crate) more: bool,
    /// The last event that the page knows of.
    pub(crate) seq: u64,
    /// The states that a step can have, for the script.
    pub(crate) states: [(&'static str, state::State); 4],
}

/// What is asked of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    /// The step whose lines are wanted.
    pub(crate) step: Option<String>,
}

impl DeploymentPage {
    /// The page of what was found.
    pub(crate) fn new(
        shell: Shell,
        app: AppHead,
        glance: &DeploymentGlance,
        (known, more): (Vec<Event>, bool),
        database: bool,
        only: Option<Step>,
    ) -> Self {
        let it = &glance.deployment;
        let ended = it.state.ended();
        let mut shell = shell.titled(format!("{} · Deployment {}", app.name, it.deployment)).at(Nav::Dashboard);
        shell.reload = (!ended).then_some(3);
        let seq = known.last().map_or(0, |event| event.seq);
        let mut rows: Vec<_> =
            known.into_iter().filter_map(row).filter(|row| only.is_none_or(|it| it.as_str() == row.step)).collect();
        let dropped = rows.len().saturating_sub(TAIL_LINES);
        rows.drain(..dropped);
        Self {
            line: DeploymentLine::new(glance),
            state: it.state,
            built: glance.kind == DeploymentKind::Source,
            retry_of: it.retry_of,
            error: it.error.clone(),
            diagnosis: it.diagnosis.clone(),
            steps: steps(glance, database),
            only,
            rows,
            more: more || dropped > 0,
            seq,
            states: [StepState::Running, StepState::Done, StepState::Cached, StepState::Failed]
                .map(|it| (it.as_str(), state::step(Some(it)))),
            shell,
            app,
        }
    }

    /// Whether nothing more will happen.
    pub(crate) fn ended(&self) -> bool {
        self.state.ended()
    }

    /// How it stands, in a word that the template tells apart.
    pub(crate) fn outcome(&self) -> &'static str {
        self.state.as_str()
    }

    /// The step whose lines are shown, for the address of the others.
    pub(crate) fn shown(&self) -> &'static str {
        self.only.map_or("", Step::as_str)
    }
}

/// The steps that there are, and while it runs those to come.
fn steps(glance: &DeploymentGlance, database: bool) -> Vec<StepRow> {
    let it = &glance.deployment;
    let expected = |step: Step| match step {
        Step::Source | Step::Plan | Step::Dependencies => glance.kind == DeploymentKind::Source,
        Step::Database => database,
        Step::Release => false,
        Step::Start | Step::Switch => true,
    };
    let found = |step| it.steps.iter().find(|found| found.name == step);
    let shown = Step::ALL.into_iter().filter(|step| found(*step).is_some() || (!it.state.ended() && expected(*step)));
    let row = |step| {
        let found = found(step);
        StepRow {
            word: Step::as_str(step),
            title: state::step_title(step),
            state: state::step(found.map(|found| found.state)),
            seconds: found.filter(|found| found.state != StepState::Running).map(|found| Seconds(found.seconds)),
            failed: found.is_some_and(|found| found.state == StepState::Failed),
        }
    };
    shown.map(row).collect()
}

fn row(event: Event) -> Option<LogRow> {
    match event.kind {
        EventKind::Line { step, stream, line } => {
            Some(LogRow { step: step.as_str(), stream: stream_class(stream), line: ansi::line(&line) })
        }
        EventKind::Step { .. } | EventKind::End { .. } | EventKind::Unknown => None,
    }
}

/// The class of a line by who wrote it.
pub(crate) fn stream_class(stream: Source) -> &'static str {
    match stream {
        Source::Stdout => "o",
        Source::Stderr => "e",
        Source::Platform => "p",
    }
}

/// The page of a deployment.
pub(crate) async fn deployment(
    shell: Shell,
    ForApp(app): ForApp,
    State(control): State<Control>,
    Path((_, number)): Path<(String, String)>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Answer<Response> {
    let number = parse(&number)?;
    let asked = asked.map_or_else(|_unreadable| Asked::default(), |Query(asked)| asked);
    let only = asked.step.as_deref().and_then(Step::parse);
    let seen = control.app_glance(&app).await?;
    let glance = control.deployment_glance(&app, number).await?;
    // Lines of one step may lie far from the end.
    let known = control.last_events(&app, number, if only.is_some() { u64::MAX } else { TAIL_BYTES }).await?;
    let database = seen.summary.database != model::DatabaseType::None;
    let head = AppHead::of(&seen, &shell.who, None);
    Ok(page(&DeploymentPage::new(shell, head, &glance, known, database, only)))
}

/// Stops a deployment.
pub(crate) async fn cancel(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Path((_, number)): Path<(String, String)>,
) -> Answer<Response> {
    let number = parse(&number)?;
    let here = format!("/apps/{app}/deployments/{number}");
    match control.cancel(&app, number).await {
        Ok(_) => Ok(Redirect::to(&Said::Cancelled.at(&here)).into_response()),
        // It ended while the button was pressed; its page says how.
        Err(error) if error.code == api::ErrorCode::Conflict => Ok(Redirect::to(&here).into_response()),
        Err(error) => Err(error.into()),
    }
}

/// The whole log as text.
pub(crate) async fn log(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Path((_, number)): Path<(String, String)>,
) -> Answer<Response> {
    let number = parse(&number)?;
    let query = api::LogQuery { deployment: Some(number.0), ..api::LogQuery::default() };
    let lines = control.logs(&app, &query).await?;
    Ok(download(lines, &format!("{app}-deployment-{number}.log")))
}

/// Lines of a log as a file of text: time, place, line.
pub(crate) fn download(lines: Lines, name: &str) -> Response {
    let text = lines.map(|line| {
        line.map(|line| match serde_json::from_slice::<api::LogLine>(&line) {
            Ok(line) => Bytes::from(format!("{} {} {}\n", line.at, line.instance, line.line)),
            Err(_unreadable) => Bytes::new(),
        })
    });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, axum::body::Body::from_stream(text)).into_response()
}

/// Where a stream begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct After {
    /// The last event that the page knows of.
    after: u64,
}

/// The events of a deployment as they come. Each message has the number of its last event as its id, so that a browser whose connection
/// broke goes on behind it; it ends when the deployment has.
pub(crate) async fn stream(
    ForApp(app): ForApp,
    State(control): State<Control>,
    Path((_, number)): Path<(String, String)>,
    after: Result<Query<After>, QueryRejection>,
    headers: HeaderMap,
) -> Answer<Response> {
    let number = parse(&number)?;
    let Query(after) = after.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let resumed = events::last_id(&headers).and_then(|id| id.parse().ok());
    let from = resumed.unwrap_or(after.after).saturating_add(1);
    if resumed.is_some() && control.deployment(&app, number).await?.state.ended() {
        // Whoever has seen the end must not come back again and again.
        let (last, _) = control.last_events(&app, number, TAIL_BYTES).await?;
        if last.last().is_none_or(|event| event.seq < from) {
            return Ok(events::over());
        }
    }
    let lines = control.events(&app, number, from).await?;
    Ok(events::answer(messages(lines)))
}

/// One event, as the script reads it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Told {
    /// A line: the step, who wrote it, what.
    Line(&'static str, &'static str, Line),
    /// A step: which, how it is, and how long it took.
    Step(&'static str, &'static str, Option<String>),
}

/// Events as the script reads them.
fn messages(lines: Lines) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    events::batched(lines, |line| {
        let event = serde_json::from_slice::<Event>(line).ok()?;
        let end = matches!(event.kind, EventKind::End { .. });
        let item = match event.kind {
            EventKind::Line { step, stream, line } => Some(Told::Line(step.as_str(), stream_class(stream), ansi::line(&line))),
            EventKind::Step { step, state, seconds } => {
                Some(Told::Step(step.as_str(), state.as_str(), seconds.map(|it| Seconds(it).to_string())))
            }
            EventKind::End { .. } | EventKind::Unknown => None,
        };
        Some(events::Told { id: event.seq.to_string(), item, end })
    })
}

fn parse(number: &str) -> Answer<DeploymentNumber> {
    number.parse().map_err(|error: model::NameError| Problem::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    fn line(seq: u64, text: &str) -> Vec<u8> {
        let kind = EventKind::Line { step: Step::Start, stream: Source::Stderr, line: text.to_owned() };
        serde_json::to_vec(&Event { seq, at: jiff::Timestamp::UNIX_EPOCH, kind }).expect("plain data")
    }

    async fn text(lines: Vec<Vec<u8>>) -> String {
        let answer = events::answer(messages(Box::pin(stream::iter(lines.into_iter().map(Ok)))));
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        let body = answer.into_body().collect().await.expect("a body in memory").to_bytes();
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn what_is_there_at_once_is_one_message_with_the_last_number() {
        let said = text(vec![line(4, "one"), line(5, "\u{1b}[31mtwo\u{1b}[0m\n</script>")]).await;
        assert_eq!(said.matches("data:").count(), 1, "{said}");
        assert!(said.contains("id: 5"), "{said}");
        assert!(said.contains(r#"[["start","e","one"],["start","e",[["two","a1"],["</script>",""]]]]"#), "{said}");
    }

    #[tokio::test]
    async fn messages_are_bounded_however_much_there_is() {
        let many: Vec<_> = (1..=2500).map(|seq| line(seq, "x")).collect();
        let said = text(many).await;
        assert_eq!(said.matches("data:").count(), 3);
        assert!(said.contains("id: 1000\n") && said.contains("id: 2000\n") && said.contains("id: 2500\n"));
        let long: Vec<_> = (1..=40).map(|seq| line(seq, &"y".repeat(16_000))).collect();
        assert!(text(long).await.matches("data:").count() >= 3);
    }
}
