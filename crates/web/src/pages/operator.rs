//! The operator's pages: the machine, who may come, and what is kept safe. `operator.html` is their frame; a page of them has its
//! [`Tab`] in a field `tab`.

pub(crate) mod audit;
pub(crate) mod backups;
pub(crate) mod certificates;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tokens;
pub(crate) mod users;

use api::{CheckState, MachineReport};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use control::Control;

use crate::access::ForPlatform;
use crate::answer::Answer;
use crate::pages::layout::{Nav, Shell, page};
use crate::pages::text::{Bytes, Seconds, When};

/// The operator's pages, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    /// The machine.
    Machine,
    /// Users and invitations.
    Users,
    /// The GitHub App.
    GitHub,
    /// Tokens.
    Tokens,
    /// Certificates.
    Certificates,
    /// Backups.
    Backups,
    /// The audit log.
    Audit,
}

impl Tab {
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Machine, "Machine", "/operator"),
        (Self::Users, "Users", "/operator/users"),
        (Self::GitHub, "GitHub", "/operator/github"),
        (Self::Tokens, "Tokens", "/operator/tokens"),
        (Self::Certificates, "Certificates", "/operator/certificates"),
        (Self::Backups, "Backups", "/operator/backups"),
        (Self::Audit, "Audit log", "/operator/audit"),
    ];

    /// All of them: word, address, and whether it is this one.
    pub(crate) fn list(self) -> [(&'static str, &'static str, bool); 7] {
        Self::ALL.map(|(tab, word, address)| (word, address, tab == self))
    }
}

/// A check, as it is shown.
#[derive(Debug)]
struct CheckShown {
    name: String,
    message: String,
    help: String,
    tone: &'static str,
    icon: &'static str,
    word: &'static str,
}

/// A deployment that has not ended.
#[derive(Debug)]
struct Build {
    app: String,
    number: String,
    waits: bool,
    when: When,
}

/// An app with instances.
#[derive(Debug)]
struct Use {
    app: String,
    instances: usize,
    frozen: usize,
    memory: Bytes,
    share: u64,
    cpu: Seconds,
}

/// What is used of what there is.
#[derive(Debug)]
struct Meter {
    name: &'static str,
    text: String,
    /// Of a hundred.
    percent: u64,
    note: String,
}

impl Meter {
    fn new(name: &'static str, used: u64, total: u64, note: String) -> Self {
        let text = format!("{} of {}", Bytes(used), Bytes(total));
        Self { name, text, percent: percent(used, total), note }
    }

    fn is_high(&self) -> bool {
        self.percent >= 90
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0).min(100)
}

#[derive(Debug, Template)]
#[template(path = "operator_machine.html")]
struct MachinePage {
    shell: Shell,
    tab: Tab,
    platform: api::Platform,
    kernel: String,
    started: When,
    meters: Vec<Meter>,
    parts: Vec<(String, Bytes)>,
    rest: Bytes,
    trouble: usize,
    checks: Vec<CheckShown>,
    builds: Vec<Build>,
    apps: Vec<Use>,
    registered: usize,
    connections: usize,
}

impl MachinePage {
    fn new(shell: Shell, platform: api::Platform, report: MachineReport, checks: Vec<api::Check>) -> Self {
        let mut checks: Vec<_> = checks.into_iter().map(|check| (check.state, shown(check))).collect();
        // What wants a look comes first; the rest in the order in which it was made.
        checks.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
        let trouble = checks.iter().filter(|(state, _)| *state != CheckState::Ok).count();
        let disk_used = report.disk.total_bytes.saturating_sub(report.disk.free_bytes);
        let told: u64 = report.disk.parts.iter().map(|part| part.bytes).sum();
        let total = report.memory.total_bytes;
        Self {
            shell: shell.titled("Machine").at(Nav::Operator),
            tab: Tab::Machine,
            started: When::new(platform.started_at),
            meters: meters(&report, disk_used),
            platform,
            kernel: report.kernel,
            rest: Bytes(disk_used.saturating_sub(told)),
            parts: report.disk.parts.into_iter().map(|part| (part.name, Bytes(part.bytes))).collect(),
            trouble,
            checks: checks.into_iter().map(|(_, shown)| shown).collect(),
            builds: report
                .builds
                .into_iter()
                .map(|build| Build {
                    app: build.app.to_string(),
                    number: build.deployment.to_string(),
                    waits: build.state == model::DeploymentState::Queued,
                    when: When::new(build.created_at),
                })
                .collect(),
            apps: report
                .apps
                .into_iter()
                .map(|app| Use {
                    app: app.app.to_string(),
                    instances: app.instances,
                    frozen: app.frozen,
                    memory: Bytes(app.memory_bytes),
                    share: percent(app.memory_bytes, total),
                    cpu: Seconds(app.cpu_seconds),
                })
                .collect(),
            registered: report.registered,
            connections: report.connections,
        }
    }
}

fn meters(report: &MachineReport, disk_used: u64) -> Vec<Meter> {
    let memory = &report.memory;
    let mut meters = Vec::new();
    if let Some([minute, five, quarter]) = report.load {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a hundred")]
        let percent = (minute / f64::from(report.cores.max(1)) * 100.0).clamp(0.0, 100.0) as u64;
        meters.push(Meter {
            name: "Processor",
            text: format!("{minute:.2} of {} cores", report.cores),
            percent,
            note: format!("load on average over 5 minutes {five:.2}, over 15 minutes {quarter:.2}"),
        });
    }
    let used = memory.total_bytes.saturating_sub(memory.available_bytes);
    let note = format!(
        "apps hold {}, the platform {}; {} are kept free",
        Bytes(memory.apps_bytes),
        Bytes(memory.platform_bytes),
        Bytes(memory.reserve_bytes)
    );
    meters.push(Meter::new("Memory", used, memory.total_bytes, note));
    let note =
        format!("{} are free; below {} nothing is deployed", Bytes(report.disk.free_bytes), Bytes(report.disk.reserve_bytes));
    meters.push(Meter::new("Disk", disk_used, report.disk.total_bytes, note));
    meters
}

fn shown(check: api::Check) -> CheckShown {
    let (tone, icon, word) = match check.state {
        CheckState::Ok => ("live", "done", "Well"),
        CheckState::Warn => ("building", "warning", "Look at it"),
        CheckState::Fail => ("failed", "failed", "Does not work"),
    };
    CheckShown { name: check.name, message: check.message, help: check.help, tone, icon, word }
}

/// The machine: what is used, what runs, and what the platform finds of itself.
pub(crate) async fn machine(_: ForPlatform, shell: Shell, State(control): State<Control>) -> Answer<Response> {
    let (report, doctor) = tokio::join!(control.machine(), control.doctor());
    Ok(page(&MachinePage::new(shell, control.platform(), report?, doctor.checks)))
}
