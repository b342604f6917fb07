//! What is said of an app when its log tells nothing that is known: by how it ended.

use super::Explanation;

/// How an app ended before it served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It ended by itself, for instance with `exit code 0`.
    Exited(String),
    /// It was killed, because it needed more memory than its limit.
    OutOfMemory,
    /// Its server's workers ended one after the other.
    Workers,
    /// It ran, and listened nowhere for four minutes.
    Silent,
    /// It listens, but does not answer the path that its settings name.
    Unhealthy {
        /// What was asked.
        path: String,
        /// The last answer's status.
        last: Option<u16>,
    },
}

/// Explains an end by itself; `port` is what `$PORT` says.
pub fn by_end(end: &End, log_tail: &str, port: u16) -> Explanation {
    let last: String =
        log_tail.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().chars().take(240).collect();
    match end {
        End::OutOfMemory => Explanation::new(
            "out-of-memory",
            "The app needed more memory than it may have",
            "It was ended when it reached the limit; files that it writes count as its memory, too.",
            "Set Memory higher in Settings, start fewer workers, or load less when the app starts.",
        ),
        End::Exited(how) if how == "exit code 0" => Explanation::new(
            "exits-at-once",
            "The app ended by itself, without an error",
            "The start command has to stay in the foreground and serve; this one was done.",
            "Start a server in Start Command: `gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()`.",
        ),
        End::Exited(how) => Explanation::new(
            "exits-at-once",
            format!("The app ended before it served: {how}"),
            if last.is_empty() { "It printed nothing.".to_owned() } else { format!("Its last line: {last}") },
            "View Logs of the step shows what it printed; correct what it says, and push or deploy again.",
        ),
        End::Workers => Explanation::new(
            "exits-at-once",
            "The app ends as soon as it is started",
            "The server's workers import it, and it exits at once; they are started again and again.",
            "Remove what ends it (`sys.exit`, `exit`), or see the lines before each \"Worker exiting\" in its log.",
        ),
        End::Silent => Explanation::new(
            "wrong-port",
            format!("The app did not listen on port {port} within 4 minutes"),
            "It runs, but no server of it accepts connections.",
            "Start a server in Start Command that listens on 0.0.0.0:$PORT, and do slow work after it listens.",
        ),
        End::Unhealthy { path, last } => Explanation::new(
            "unhealthy",
            format!("The app does not answer {path}"),
            last.map_or_else(
                || "The settings ask for an answer with a status below 400 there, and none came.".to_owned(),
                |status| format!("The settings ask for an answer with a status below 400 there; the last one had {status}."),
            ),
            "Correct the path in Settings (serving.probePath), or make the app answer it without a sign-in.",
        ),
    }
}

/// Explains a release command that failed, when its log tells nothing that is known.
pub fn release_failure(how: &str, log_tail: &str) -> Explanation {
    let last: String =
        log_tail.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().chars().take(240).collect();
    Explanation::new(
        "release-command",
        format!("The release command failed: {how}"),
        if last.is_empty() { "It printed nothing.".to_owned() } else { format!("Its last line: {last}") },
        "Correct the command after `release:` in the Procfile, or what it runs; nothing that serves was changed.",
    )
}
