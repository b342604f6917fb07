//! Servers that take a freeze for a hang, and what keeps them from killing their workers when they are thawed.
//!
//! Clocks go on while an instance is frozen. gunicorn's arbiter kills a worker whose last sign of life is older than
//! `--timeout` (30 s), and after a longer freeze it often looks before the worker has had its turn; uvicorn's supervisor waits
//! 5 s for a worker's answer. How long a request may take is the edge's to say.

use std::collections::BTreeMap;

use crate::shell;

/// Variables of the run time: gunicorn reads its own after its file of settings, uvicorn reads one for each option.
pub(super) fn environment(env: &mut BTreeMap<String, String>) {
    // Logs in files of the memory file system are seen by nobody, least of all why a start fails.
    env.insert("GUNICORN_CMD_ARGS".to_owned(), "--timeout=0 --error-logfile=-".to_owned());
    env.insert("UVICORN_TIMEOUT_WORKER_HEALTHCHECK".to_owned(), "86400".to_owned());
}

/// The line with gunicorn's time-out lifted, where the line itself sets one: an option there wins over the variable.
pub(super) fn without_timeout(line: &str) -> Option<String> {
    shell::amend(line, |words| sets_timeout(words).then_some("--timeout 0"))
}

/// Whether a command runs gunicorn (itself, as a module or behind a wrapper) with a time-out.
fn sets_timeout(words: &[String]) -> bool {
    let is_gunicorn = |word: &String| word.rsplit('/').next() == Some("gunicorn");
    let Some(at) = words.iter().position(is_gunicorn) else { return false };
    let options = &words[at + 1..];
    // After `--` an option would be taken for the application.
    !options.iter().any(|word| word == "--") && options.iter().any(|word| is_timeout(word))
}

/// `-t 60`, `-t60`, `--timeout=60` and what argparse takes for it.
fn is_timeout(word: &str) -> bool {
    let name = word.split('=').next().unwrap_or_default();
    name.starts_with("-t") || (name.len() >= "--ti".len() && "--timeout".starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_out_of_the_line_is_lifted_wherever_gunicorn_runs() {
        for (line, want) in [
            ("gunicorn app:app --timeout 120", "gunicorn app:app --timeout 120 --timeout 0"),
            ("gunicorn -b 0.0.0.0:$PORT -t60 a:make()", "gunicorn -b 0.0.0.0:$PORT -t60 'a:make()' --timeout 0"),
            ("exec gunicorn --timeout=\"$T\" app:app 2>&1", "exec gunicorn --timeout=\"$T\" app:app --timeout 0 2>&1"),
            ("python -m gunicorn -t 30 app:app", "python -m gunicorn -t 30 app:app --timeout 0"),
            ("newrelic-admin run-program gunicorn --time=9 w", "newrelic-admin run-program gunicorn --time=9 w --timeout 0"),
            ("doppler run -- gunicorn -t 9 w", "doppler run -- gunicorn -t 9 w --timeout 0"),
            ("A=1 poetry run gunicorn w -t 9 | tee /tmp/log", "A=1 poetry run gunicorn w -t 9 --timeout 0 | tee /tmp/log"),
            ("./migrate.sh && /opt/venv/bin/gunicorn w -t 9;", "./migrate.sh && /opt/venv/bin/gunicorn w -t 9 --timeout 0;"),
            ("(cd src && gunicorn w -t 9 > log) & nginx", "(cd src && gunicorn w -t 9 --timeout 0 > log) & nginx"),
        ] {
            assert_eq!(without_timeout(line).as_deref(), Some(want), "{line}");
        }
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for line in [
            "gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()",
            "gunicorn app:app && other --timeout 3",
            "celery -t 3",
            "gunicorn -t 3 -- app:app",
            "echo 'gunicorn -t 3'",
            "gunicorn --threads 4 app:app -w 2",
            "gunicorn --graceful-timeout 3 app:app",
            "gunicorn -t 'open",
            "",
        ] {
            assert_eq!(without_timeout(line), None, "{line}");
        }
    }
}
