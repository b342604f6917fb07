//! The table: what was measured, beside what, against which goal; and the same as a document.

mod databases;
mod serverless;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::figures::{Samples, Summary};
use crate::idle::Idle;
use crate::proxy::{Cell, Proxy};
use crate::push::Pushes;
use crate::warm::Warm;

/// A start through the edge takes at most this many bare starts.
const COLD_RATIO: f64 = 1.25;
/// A push takes at most two bare starts and this many seconds.
const PUSH_EXTRA: f64 = 0.3;
/// The idle platform takes at most this many MB.
const IDLE_MB: f64 = 60.0;
/// The idle platform takes at most this many percent of a core.
const IDLE_CPU: f64 = 0.2;

/// A request through the edge takes at most this many times the CPU time of one that goes direct.
const DIRECT_CPU: f64 = 1.5;

/// Whether a goal is met.
#[derive(Debug, Serialize)]
struct Verdict {
    figure: String,
    measured: f64,
    unit: &'static str,
    goal: f64,
    met: bool,
}

/// All that the bench has to tell.
#[derive(Debug)]
pub(crate) struct Report {
    lines: Vec<String>,
    notes: Vec<String>,
    verdicts: Vec<Verdict>,
    document: serde_json::Map<String, Value>,
}

impl Report {
    /// Begins with what is measured.
    pub(crate) fn new(program: &Path) -> Self {
        let program = program.display().to_string();
        let mut notes = Vec::new();
        if program.contains("/debug/") {
            notes.push("this is a debug build: its figures say little".to_owned());
        }
        let document = [("program".to_owned(), json!(program))].into_iter().collect();
        Self { lines: Vec::new(), notes, verdicts: Vec::new(), document }
    }

    /// Something that the reader should know.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Cold starts.
    pub(crate) fn cold(&mut self, edge: &Samples, bare: &Samples, docker: &Samples) {
        self.heading("cold start, to the first answer");
        // Each run beside the one next to it: a machine that others load meanwhile slows both.
        let paired = edge.ratios(bare).summary().map_or(f64::NAN, |summary| summary.median);
        let (Some(edge), Some(bare)) =
            (self.times("cold_edge", "through the edge", edge), self.times("cold_bare", "bare process", bare))
        else {
            return;
        };
        let docker = self.times("cold_docker", "docker run", docker);
        let ratio = edge.median / bare.median;
        self.lines.push(format!("  edge / bare {ratio:.2} (of medians), {paired:.2} (median of the pairs)"));
        self.document.insert("cold_ratio".to_owned(), json!({ "medians": ratio, "pairs": paired }));
        if let Some(docker) = docker {
            self.lines.push(format!(
                "  edge / docker {:.2}   docker / bare {:.2}",
                edge.median / docker.median,
                docker.median / bare.median
            ));
        }
        self.judge("cold start, edge / bare", ratio, "×", COLD_RATIO);
    }

    /// Pushes.
    pub(crate) fn push(&mut self, pushes: &Pushes) {
        self.heading("push of a one-line change, to its text through the edge");
        let (Some(live), Some(bare)) =
            (self.times("push_live", "deploy to live", &pushes.live), self.times("push_bare", "bare process", &pushes.bare))
        else {
            return;
        };
        let steps: Vec<_> = pushes.steps.iter().filter_map(|(name, samples)| Some((name, samples.summary()?))).collect();
        let words: Vec<_> = steps.iter().map(|(name, summary)| format!("{name} {:.0} ms", summary.median * 1e3)).collect();
        self.lines.push(format!("  its steps: {}", words.join(", ")));
        self.document.insert("push_steps".to_owned(), json!(steps));
        self.judge("push to live", live.median, "s", 2.0 * bare.median + PUSH_EXTRA);
    }

    /// Warm requests.
    pub(crate) fn warm(&mut self, warm: &Warm) {
        self.heading("a warm request");
        self.times("warm_edge", "through the edge, TLS", &warm.edge);
        self.times("warm_bare", "to the bare process", &warm.bare);
        self.times("warm_connecting", "edge, new connection", &warm.connecting);
    }

    /// The edge beside other proxies.
    pub(crate) fn proxy(&mut self, cells: &[Cell]) {
        self.heading(
            "through a proxy to a server that answers 1 KiB at once, or to the guide's app; access logs off; medians; edge / other of neighbouring runs",
        );
        for cell in cells {
            self.lines.push(format!("  {}", cell.load.name()));
            for figures in &cell.servers {
                let ratios = figures.edge_to_this;
                let cpu = ratios.cpu.map_or_else(|| "   -".to_owned(), |cpu| format!("{cpu:.2}"));
                let failed = if figures.failed > 0 { format!("   {} FAILED", figures.failed) } else { String::new() };
                self.lines.push(format!(
                    "    {:<8} {:>8.0}/s  p50 {:>7.3} ms  p99 {:>7.3} ms  CPU {:>6.1} µs, of all {:>6.1}   edge: rate {:.2}  p50 {:.2}  p99 {:.2}  CPU {cpu}, of all {:.2}{failed}",
                    figures.kind.name(),
                    figures.rate,
                    figures.p50 * 1e3,
                    figures.p99 * 1e3,
                    figures.cpu * 1e6,
                    figures.cpu_all * 1e6,
                    ratios.rate,
                    ratios.p50,
                    ratios.p99,
                    ratios.cpu_all,
                ));
            }
        }
        for cell in cells {
            let name = cell.load.name();
            // Beside an app's own work the proxies' difference is not seen.
            if let Some(nginx) = cell.of(Proxy::Nginx)
                && !cell.load.is_app
            {
                let ratios = nginx.edge_to_this;
                self.judge(&format!("{name}: time per request, edge / nginx"), ratios.rate.recip(), "×", 1.0);
                self.judge(&format!("{name}: p50, edge / nginx"), ratios.p50, "×", 1.0);
                self.judge(&format!("{name}: p99, edge / nginx"), ratios.p99, "×", 1.0);
            }
            if let Some(direct) = cell.of(Proxy::Direct)
                && cell.load.connections == 64
            {
                self.judge(&format!("{name}: CPU of all, edge / direct"), direct.edge_to_this.cpu_all, "×", DIRECT_CPU);
            }
        }
        self.document.insert("proxies".to_owned(), json!(cells));
    }

    /// The idle platform.
    pub(crate) fn idle(&mut self, idle: &Idle, apps: usize) {
        self.heading(&format!("the idle platform with {apps} sleeping apps"));
        for process in &idle.processes {
            self.lines.push(format!(
                "  {:<22} {:>7.1} MB PSS {:>7.1} MB RSS {:>3} threads",
                process.name,
                megabytes(process.pss),
                megabytes(process.rss),
                process.threads
            ));
        }
        let (pss, rss, cpu) = (megabytes(idle.pss()), megabytes(idle.rss()), idle.cpu * 100.0);
        self.lines.push(format!("  all                    {pss:>7.1} MB PSS {rss:>7.1} MB RSS"));
        self.lines.push(format!("  CPU over {:.0} s: {cpu:.3} % of a core", idle.over.as_secs_f64()));
        self.document.insert("idle".to_owned(), json!({ "apps": apps, "pss_mb": pss, "rss_mb": rss, "cpu_percent": cpu }));
        self.judge("memory of the idle platform", pss, "MB", IDLE_MB);
        self.judge("CPU of the idle platform", cpu, "%", IDLE_CPU);
    }

    /// How long all of it took.
    pub(crate) fn took(&mut self, time: Duration) {
        self.notes.push(format!("measured within {:.0} s", time.as_secs_f64()));
    }

    /// Writes the table, and the document where it is asked for.
    pub(crate) fn print(&self, as_json: bool) -> io::Result<()> {
        let goals = self.verdicts.iter().map(|verdict| {
            let Verdict { figure, measured, unit, goal, met } = verdict;
            let word = if *met { "met" } else { "missed" };
            format!("  {figure:<50} {measured:>8.3} {unit:<2}  goal ≤ {goal:.3} {unit:<2}  {word}")
        });
        let goals: Vec<_> = goals.collect();
        let table = format!("{}\n\ngoals\n{}\n\n{}\n", self.lines.join("\n"), goals.join("\n"), self.notes.join("\n"));
        if !as_json {
            return io::stdout().lock().write_all(table.as_bytes());
        }
        io::stderr().lock().write_all(table.as_bytes())?;
        let mut document = self.document.clone();
        document.insert("goals".to_owned(), json!(self.verdicts));
        document.insert("notes".to_owned(), json!(self.notes));
        let mut stdout = io::stdout().lock();
        serde_json::to_writer_pretty(&mut stdout, &document)?;
        stdout.write_all(b"\n")
    }

    fn heading(&mut self, text: &str) {
        self.lines.push(format!("\n{text}"));
    }

    /// A line of times; nothing where there are none.
    fn times(&mut self, key: &str, what: &str, samples: &Samples) -> Option<Summary> {
        let summary = samples.summary()?;
        let Summary { median, min, max, p99, n } = summary;
        let ms = |seconds: f64| format!("{:.1}", seconds * 1e3);
        self.lines.push(format!(
            "  {what:<22} median {:>7} ms   min {:>7}   max {:>7}   p99 {:>7}   n {n}",
            ms(median),
            ms(min),
            ms(max),
            ms(p99)
        ));
        self.document.insert(key.to_owned(), json!(summary));
        Some(summary)
    }

    fn judge(&mut self, figure: &str, measured: f64, unit: &'static str, goal: f64) {
        self.verdicts.push(Verdict { figure: figure.to_owned(), measured, unit, goal, met: measured <= goal });
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
