//! The tab Metrics: the last hour or the last day of an app as plots, and as a table for those who read numbers.

use api::{AppHistory, HistoryRange, HistoryStep};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use control::Control;
use serde::Deserialize;

use crate::access::ForApp;
use crate::answer::{Answer, Problem};
use crate::pages::app_head::AppHead;
use crate::pages::layout::{Nav, Shell, Tab, page};
use crate::pages::plot::{Plot, Series, Style, Unit};
use crate::pages::text::{Bytes, When};
use crate::pages::visitor::Visitor;

/// One number above the plots.
#[derive(Debug, PartialEq, Eq)]
struct Figure {
    name: &'static str,
    value: String,
    note: String,
}

/// One line of the table.
#[derive(Debug)]
struct Line {
    when: When,
    clock: String,
    requests: u64,
    failed: u32,
    latency: [String; 3],
    cold: u32,
    instances: String,
    memory: String,
    cpu: String,
}

#[derive(Debug, Template)]
#[template(path = "metrics.html")]
struct MetricsPage {
    shell: Shell,
    app: AppHead,
    range: HistoryRange,
    figures: Vec<Figure>,
    plots: Vec<Plot>,
    lines: Vec<Line>,
    since: When,
    /// Whether the platform has looked for less than the range is long.
    young: bool,
    quiet: bool,
}

impl MetricsPage {
    fn new(shell: Shell, app: AppHead, history: &AppHistory) -> Self {
        let steps = &history.steps;
        let first = steps.first().map_or(history.since, |step| step.at);
        Self {
            shell: shell.titled(format!("Metrics of {}", app.name)).at(Nav::Dashboard),
            app,
            range: history.range,
            figures: figures(history),
            plots: plots(history),
            lines: steps.iter().rev().filter(|step| is_something(step)).map(line).collect(),
            since: When::new(history.since),
            young: history.since > first,
            quiet: !steps.iter().any(is_something),
        }
    }

    fn is_hour(&self) -> bool {
        self.range == HistoryRange::Hour
    }
}

/// Whether anything happened or ran.
fn is_something(step: &HistoryStep) -> bool {
    step.requests.total() > 0 || step.instances.is_some_and(|instances| instances > 0) || step.cpu_seconds > 0.0
}

fn line(step: &HistoryStep) -> Line {
    let latency = |pick: fn(&api::Latency) -> f64| step.latency.as_ref().map_or_else(dash, |it| Unit::Seconds.text(pick(it)));
    Line {
        when: When::new(step.at),
        clock: step.at.strftime("%H:%M").to_string(),
        requests: step.requests.total(),
        failed: step.requests.server_error,
        latency: [latency(|it| it.p50), latency(|it| it.p95), latency(|it| it.p99)],
        cold: step.cold_starts,
        instances: step.instances.map_or_else(dash, |instances| instances.to_string()),
        memory: step.memory_bytes.map_or_else(dash, |bytes| Bytes(bytes).to_string()),
        cpu: Unit::Seconds.text(step.cpu_seconds),
    }
}

fn dash() -> String {
    "–".to_owned()
}

fn figures(history: &AppHistory) -> Vec<Figure> {
    let steps = &history.steps;
    let requests: u64 = steps.iter().map(|step| step.requests.total()).sum();
    let failed: u64 = steps.iter().map(|step| u64::from(step.requests.server_error)).sum();
    let cold: u64 = steps.iter().map(|step| u64::from(step.cold_starts)).sum();
    let waited: f64 = steps.iter().map(|step| f64::from(step.cold_starts) * step.cold_start_seconds.unwrap_or(0.0)).sum();
    let memory = steps.iter().filter_map(|step| step.memory_bytes).max().unwrap_or(0);
    let instances = steps.iter().filter_map(|step| step.instances).max().unwrap_or(0);
    let cpu: f64 = steps.iter().map(|step| step.cpu_seconds).sum();
    let seconds = |value: Option<f64>| value.map_or_else(dash, |value| Unit::Seconds.text(value));
    #[expect(clippy::cast_precision_loss, reason = "a share of a hundred is shown")]
    let share = |part: u64| if requests == 0 { 0.0 } else { part as f64 / requests as f64 * 100.0 };
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let average = (cold > 0).then(|| waited / cold as f64);
    let figure = |name, value: String, note: String| Figure { name, value, note };
    vec![
        figure("Requests", requests.to_string(), String::new()),
        figure("Failed (5xx)", failed.to_string(), if failed > 0 { format!("{:.1} %", share(failed)) } else { String::new() }),
        figure("Half took up to", seconds(history.latency.map(|it| it.p50)), String::new()),
        figure("95 % took up to", seconds(history.latency.map(|it| it.p95)), String::new()),
        figure(
            "Cold starts",
            cold.to_string(),
            average.map_or_else(String::new, |it| format!("{} each", Unit::Seconds.text(it))),
        ),
        figure("Instances at most", instances.to_string(), String::new()),
        figure("Memory at most", Bytes(memory).to_string(), String::new()),
        figure("Processor time", Unit::Seconds.text(cpu), String::new()),
    ]
}

fn plots(history: &AppHistory) -> Vec<Plot> {
    let (steps, hour) = (&history.steps, history.range == HistoryRange::Hour);
    let below: Vec<String> = if hour {
        ["60 min ago", "45", "30", "15 min ago", "now"].map(str::to_owned).to_vec()
    } else {
        ["24 h ago", "18", "12", "6 h ago", "now"].map(str::to_owned).to_vec()
    };
    let each = if hour { "a minute" } else { "in 15 minutes" };
    let count = |name: &str, colour, pick: fn(&HistoryStep) -> u32| {
        Series::new(name, colour, steps.iter().map(|step| f64::from(pick(step))))
    };
    let known = |name: &str, colour, pick: &dyn Fn(&HistoryStep) -> Option<f64>| Series {
        name: name.to_owned(),
        colour,
        values: steps.iter().map(pick).collect(),
    };
    let plot = |title: String, unit, style, series| Plot { title, unit, style, series, below: below.clone() };
    let mut classes = vec![
        count("2xx", 1, |step| step.requests.success),
        count("3xx", 5, |step| step.requests.redirection),
        count("4xx", 3, |step| step.requests.client_error),
        count("5xx", 4, |step| step.requests.server_error),
    ];
    if steps.iter().any(|step| step.requests.informational > 0) {
        classes.push(count("WebSockets", 2, |step| step.requests.informational));
    }
    let percentile = |name, colour, pick: fn(&api::Latency) -> f64| known(name, colour, &|step| step.latency.as_ref().map(pick));
    #[expect(clippy::cast_precision_loss, reason = "a plot is some pixels high")]
    let memory = known("Memory", 1, &|step| step.memory_bytes.map(|bytes| bytes as f64));
    let cpu = known("Cores", 1, &|step| step.instances.map(|_| step.cpu_seconds / f64::from(history.step_seconds)));
    vec![
        plot(format!("Requests {each}"), Unit::Count, Style::Stacked, classes),
        plot(
            "Latency".to_owned(),
            Unit::Seconds,
            Style::Line,
            vec![percentile("half", 1, |it| it.p50), percentile("95 %", 3, |it| it.p95), percentile("99 %", 4, |it| it.p99)],
        ),
        plot(
            "Instances".to_owned(),
            Unit::Count,
            Style::Area,
            vec![known("Instances", 1, &|step| step.instances.map(f64::from))],
        ),
        plot(
            format!("Cold starts {each}"),
            Unit::Count,
            Style::Stacked,
            vec![count("Requests that waited for a start", 2, |step| step.cold_starts)],
        ),
        plot("Memory of all instances".to_owned(), Unit::Bytes, Style::Area, vec![memory]),
        plot("Processor, of one core".to_owned(), Unit::Share, Style::Area, vec![cpu]),
    ]
}

/// What the address says.
#[derive(Debug, Deserialize)]
pub(crate) struct Back {
    #[serde(default)]
    range: HistoryRange,
}

/// The tab.
pub(crate) async fn metrics(
    ForApp(app): ForApp,
    visitor: Visitor,
    shell: Shell,
    State(control): State<Control>,
    query: Result<Query<Back>, QueryRejection>,
) -> Answer<Response> {
    let Query(back) = query.map_err(|_quoting| Problem::bad_request("the range is 1h or 24h"))?;
    let history = control.history(&app, back.range)?;
    let head = AppHead::load(&control, &visitor.who, &app, Some(Tab::Metrics)).await?;
    Ok(page(&MetricsPage::new(shell, head, &history)))
}

#[cfg(test)]
pub(crate) mod tests {
    use api::{Latency, RequestCounts};
    use jiff::{SignedDuration, Timestamp};
    use model::AppName;

    use super::*;
    use crate::pages::gallery::shell;

    fn history(range: HistoryRange, busy: bool) -> AppHistory {
        let (steps, seconds) = if range == HistoryRange::Hour { (60, 60) } else { (96, 900) };
        let now = Timestamp::now();
        let step = |index: u32| {
            let wave = (f64::from(index) / 7.0).sin() + 1.1;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
            let count = |scale: f64| if busy { (wave * scale) as u32 } else { 0 };
            HistoryStep {
                at: now.checked_sub(SignedDuration::from_secs(i64::from((steps - index) * seconds))).expect("a time"),
                requests: RequestCounts {
                    success: count(120.0),
                    redirection: count(10.0),
                    client_error: count(6.0),
                    server_error: if busy && index.is_multiple_of(17) { 3 } else { 0 },
                    informational: 0,
                },
                latency: busy.then_some(Latency { p50: wave * 0.012, p95: wave * 0.04, p99: wave * 0.09 }),
                cold_starts: u32::from(busy && index.is_multiple_of(13)),
                cold_start_seconds: (busy && index.is_multiple_of(13)).then_some(0.31),
                instances: (index > 5).then_some(if busy { 1 + count(1.4) } else { 0 }),
                memory_bytes: (index > 5).then_some(if busy { u64::from(60 + count(40.0)) * 1_000_000 } else { 0 }),
                cpu_seconds: if busy { wave * 4.0 } else { 0.0 },
            }
        };
        AppHistory {
            app: AppName::parse("shop").expect("a name"),
            range,
            step_seconds: seconds,
            since: now.checked_sub(SignedDuration::from_mins(55)).expect("a time"),
            latency: busy.then_some(Latency { p50: 0.012, p95: 0.041, p99: 0.093 }),
            steps: (0..steps).map(step).collect(),
        }
    }

    /// The pages with data, for the gallery.
    pub(crate) fn pages(text: &str) -> Vec<(&'static str, askama::Result<String>)> {
        let head = || AppHead {
            name: "shop".to_owned(),
            state: crate::pages::state::app(api::AppState::Live, 1),
            url: format!("https://shop.example.org/{text}"),
            tab: Some(Tab::Metrics),
            change: true,
        };
        let page = |range, busy| MetricsPage::new(shell(text), head(), &history(range, busy)).render();
        vec![
            ("metrics", page(HistoryRange::Hour, true)),
            ("metrics-day", page(HistoryRange::Day, true)),
            ("metrics-quiet", page(HistoryRange::Hour, false)),
        ]
    }

    #[test]
    fn figures_are_those_of_the_whole_range() {
        let history = history(HistoryRange::Hour, true);
        let figures = figures(&history);
        let value = |name: &str| figures.iter().find(|figure| figure.name == name).map(|figure| figure.value.as_str());
        let requests: u64 = history.steps.iter().map(|step| step.requests.total()).sum();
        assert_eq!(value("Requests"), Some(requests.to_string().as_str()));
        assert_eq!(value("Failed (5xx)"), Some("12"));
        assert_eq!(value("Cold starts"), Some("5"));
        assert_eq!(value("Half took up to"), Some("12 ms"));
        assert_eq!(plots(&history).len(), 6);
        let quiet = plots(&self::history(HistoryRange::Day, false));
        assert!(quiet.iter().all(|plot| plot.to_string().contains("</figure>")));
    }
}
