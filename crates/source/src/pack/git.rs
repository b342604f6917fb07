//! Asks git which commit a directory is at. Only to tell people: nothing depends on the answer.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use model::Commit;

/// A large working tree makes git slow; the deployment doesn't wait longer for it.
const PATIENCE: Duration = Duration::from_millis(400);
/// The most characters of a commit's first line.
const LONGEST_SUBJECT: usize = 200;

/// Two questions to git, on their way.
pub(super) struct Question {
    commit: Option<Child>,
    status: Option<Child>,
    asked: Instant,
}

impl Question {
    pub(super) fn ask(directory: &Path) -> Self {
        let commit = git(directory, &["log", "-1", "--no-show-signature", "--no-color", "--format=%H%x00%an%x00%s"]);
        let status = git(directory, &["status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=all"]);
        Self { commit, status, asked: Instant::now() }
    }

    pub(super) fn answer(self) -> Option<Commit> {
        let status = self.status.and_then(|child| output(child, self.asked));
        let log = output(self.commit?, self.asked)?;
        let (id, described) = log.trim_end().split_once('\0')?;
        let (author, subject) = described.split_once('\0')?;
        let branch = status.as_deref().and_then(|status| status.lines().find_map(|line| line.strip_prefix("# branch.head ")));
        Some(Commit {
            id: id.to_owned(),
            subject: one_line(subject),
            author: one_line(author),
            branch: branch.filter(|&name| name != "(detached)").map(one_line).unwrap_or_default(),
            dirty: status.is_some_and(|status| status.lines().any(|line| !line.starts_with('#'))),
        })
    }
}

/// Text from a repository, fit for a terminal.
pub(crate) fn one_line(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    first.chars().filter(|letter| !letter.is_control()).take(LONGEST_SUBJECT).collect()
}

fn git(directory: &Path, arguments: &[&str]) -> Option<Child> {
    let mut command = Command::new("git");
    // Called from a hook, git would else speak of the hook's repository; and the monitor is a program that a repository's settings name.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(variable);
    }
    command.env("GIT_OPTIONAL_LOCKS", "0").arg("-C").arg(directory).args(["-c", "core.fsmonitor=false"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()
}

fn output(mut child: Child, asked: Instant) -> Option<String> {
    let mut stdout = child.stdout.take()?;
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // An error is as good as no answer.
        let read = stdout.by_ref().take(1 << 20).read_to_end(&mut text);
        drop(stdout);
        sender.send(read.map(|_| String::from_utf8_lossy(&text).into_owned()).ok()).ok();
    });
    let text = receiver.recv_timeout(PATIENCE.saturating_sub(asked.elapsed()));
    if text.is_err() {
        child.kill().ok();
    }
    let success = child.wait().is_ok_and(|status| status.success());
    text.ok().flatten().filter(|_| success)
}
