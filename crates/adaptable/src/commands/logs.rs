//! `logs`: an app's output, followed through restarts of the platform.

use std::time::{Duration, Instant};

use api::client::Lines;
use api::{Client, ClientError, LogLine, LogQuery, Stream};
use jiff::Timestamp;
use model::AppName;

use super::Context;
use crate::cli::{LogsArgs, Since};
use crate::explain::Failure;
use crate::printer::{CYAN, DIM, Printer, YELLOW};

/// How often a platform that went away is asked.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a platform that is known not to come back is asked.
const PATIENCE: Duration = Duration::from_mins(10);

/// Runs `logs`.
pub(super) async fn run(context: &Context, args: &LogsArgs) -> Result<(), Failure> {
    let client = context.client()?;
    let mut query = LogQuery {
        since: args.since.map(Since::to_query),
        follow: args.follow,
        deployment: args.deployment.map(|number| number.0),
        access: args.access,
        lines: args.lines,
    };
    let mut seen = Seen::default();
    // The first time, a platform that does not answer or does not know the app is an error.
    let mut lines = client.logs(&args.app, &query).await?;
    loop {
        match copy(&mut lines, &mut seen, context.printer).await {
            Ok(()) if !args.follow || args.deployment.is_some() => return Ok(()),
            Ok(()) => {}
            Err(Interrupted::Platform(error)) if args.follow && error.is_lost() => {}
            Err(Interrupted::Platform(error)) => return Err(error.into()),
            Err(Interrupted::Output(failure)) => return Err(failure),
        }
        (query.since, query.lines) = (seen.since().or(query.since), None);
        lines = again(&client, &args.app, &query).await?;
    }
}

/// Asks until the platform answers again.
async fn again(client: &Client, app: &AppName, query: &LogQuery) -> Result<Lines<LogLine>, Failure> {
    let lost = Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        match client.logs(app, query).await {
            Ok(lines) => return Ok(lines),
            Err(error) if error.is_lost() && lost.elapsed() < PATIENCE => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Why copying ended before the stream did.
enum Interrupted {
    /// The platform.
    Platform(ClientError),
    /// Our own output.
    Output(Failure),
}

async fn copy(lines: &mut Lines<LogLine>, seen: &mut Seen, printer: Printer) -> Result<(), Interrupted> {
    while let Some(line) = lines.next().await.map_err(Interrupted::Platform)? {
        if seen.is_new(&line) {
            print(&line, printer).map_err(Interrupted::Output)?;
        }
    }
    Ok(())
}

fn print(line: &LogLine, printer: Printer) -> Result<(), Failure> {
    if printer.json() {
        let text = serde_json::to_string(line).map_err(|error| Failure::local(format!("can't write a line: {error}"), ""))?;
        return printer.line(&text);
    }
    let text = printer.foreign(&line.line);
    let text = match line.stream {
        Stream::Stdout => text,
        Stream::Stderr => printer.out_style(&text, YELLOW),
        Stream::Platform => printer.out_style(&text, CYAN),
    };
    let at = format!("{:.3}", line.at);
    printer.line(&format!("{} {} {text}", printer.out_style(&at, DIM), printer.out_style(&line.instance, DIM)))
}

/// The newest lines printed, so that none comes twice after the connection was lost.
#[derive(Default)]
struct Seen {
    last: Option<Timestamp>,
    /// The lines of exactly that time, in order.
    lines: Vec<LogLine>,
    /// Those of them that the platform may repeat.
    repeats: Vec<LogLine>,
}

impl Seen {
    /// From when on to ask again; from now on, lines of that time may come again.
    fn since(&mut self) -> Option<String> {
        self.repeats.clone_from(&self.lines);
        self.last.map(|at| at.to_string())
    }

    fn is_new(&mut self, line: &LogLine) -> bool {
        if let Some(at) = self.repeats.iter().position(|repeat| repeat == line) {
            self.repeats.remove(at);
            return false;
        }
        if self.last.is_none_or(|last| line.at > last) {
            self.last = Some(line.at);
            self.lines.clear();
        }
        if self.last == Some(line.at) {
            self.lines.push(line.clone());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: i64, text: &str) -> LogLine {
        let at = Timestamp::from_second(second).expect("a time");
        LogLine { at, instance: "a".to_owned(), stream: Stream::Stdout, line: text.to_owned() }
    }

    #[test]
    fn a_line_comes_once_however_often_the_platform_repeats_it() {
        let mut seen = Seen::default();
        for new in [line(1, "a"), line(2, "b"), line(2, "b"), line(2, "c")] {
            assert!(seen.is_new(&new));
        }
        assert_eq!(seen.since().as_deref(), Some("1970-01-01T00:00:02Z"));
        for old in [line(2, "b"), line(2, "b"), line(2, "c")] {
            assert!(!seen.is_new(&old));
        }
        // The same text at the same time, but a third time: new.
        assert!(seen.is_new(&line(2, "b")));
        assert!(seen.is_new(&line(3, "a")));
        assert_eq!(seen.since().as_deref(), Some("1970-01-01T00:00:03Z"));
    }
}
