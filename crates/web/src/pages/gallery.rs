//! Every template with data, kind and hostile: what pages look like (`ADAPTABLE_GALLERY=DIR` keeps them as files), and that nothing that
//! came from outside becomes markup.

use api::{AppState, AppStatus, AppSummary, InstanceState, InstanceStatus, LastHour, LogLine, RevisionSummary, Split, Stream};
use askama::Template;
use control::{AppGlance, DeploymentGlance, DeploymentKind, Who};
use jiff::{SignedDuration, Timestamp};
use model::backup::{BackupKind, BackupState};
use model::{AppName, DatabaseType, DeploymentNumber, DeploymentState, RevisionNumber, Starter, StarterKind, Step, StepState};

use crate::pages::app_head::AppHead;
use crate::pages::dashboard::{Dashboard, Row};
use crate::pages::deployment::DeploymentPage;
use crate::pages::errors::ProblemPage;
use crate::pages::layout::{Person, Shell, Tab};
use crate::pages::resources::{Filter, Found, ResourcesPage};
use crate::pages::status::{Asked, StatusPage};

/// What must come out as text, wherever it goes in.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;";

fn ago(minutes: i64) -> Timestamp {
    Timestamp::now().checked_sub(SignedDuration::from_mins(minutes)).expect("a time")
}

pub(crate) fn shell(name: &str) -> Shell {
    let mut shell = Shell::bare("");
    shell.who = Who::Operator;
    shell.person = Some(Person { name: name.to_owned(), operator: true });
    shell.csrf = "token".to_owned();
    shell
}

fn commit(subject: &str) -> api::Commit {
    api::Commit {
        id: "4f1c2ab97d0e5c3b8a6f".to_owned(),
        subject: Some(subject.to_owned()),
        branch: Some("main".to_owned()),
        ..api::Commit::default()
    }
}

fn name(text: &str) -> AppName {
    AppName::parse(text).expect("a name")
}

pub(crate) fn deployment(app: &str, number: u32, state: DeploymentState, subject: &str) -> DeploymentGlance {
    let failed = state == DeploymentState::Failed;
    let steps = [Step::Source, Step::Plan, Step::Dependencies, Step::Start].map(|step| api::DeploymentStep {
        name: step,
        seconds: 0.4 + f64::from(step as u8),
        state: if failed && step == Step::Start { StepState::Failed } else { StepState::Done },
    });
    let deployment = api::Deployment {
        app: name(app),
        url: format!("https://{app}.example.org"),
        revision: (!failed).then_some(RevisionNumber(number)),
        deployment: DeploymentNumber(number),
        state,
        template: Some("flask".to_owned()),
        steps: steps.to_vec(),
        error: failed.then(|| {
            api::ErrorBody::new(
                api::ErrorCode::StartFailed,
                format!("the app ended with exit code 1 before it accepted a connection: {subject}"),
            )
            .help("the Start Command names a module that is not in the source: correct it in Settings")
        }),
        commit: None,
        by: Some(Starter { kind: if failed { StarterKind::Token } else { StarterKind::Push }, name: subject.to_owned() }),
        retry_of: number.is_multiple_of(2).then(|| DeploymentNumber(number - 1)),
        diagnosis: (state == DeploymentState::Failed).then(|| api::Diagnosis {
            id: "module-not-found".to_owned(),
            title: "A module is missing".to_owned(),
            cause: format!("The app imports {subject}, and nothing that is installed has it."),
            fix: format!("Add {subject} to requirements.txt."),
            help: "/help/failures/module-not-found".to_owned(),
            setting: None,
        }),
        created_at: ago(i64::from(100 - number.min(99)) * 7),
        ended_at: state.ended().then(|| ago(i64::from(100 - number.min(99)) * 7 - 1)),
    };
    DeploymentGlance { deployment, kind: DeploymentKind::Source, commit: Some(commit(subject)) }
}

fn glance(app: &str, state: AppState, instances: usize, subject: &str) -> AppGlance {
    let busy = instances > 0;
    let requests =
        (0..60_u64).map(|minute| if busy { (minute * minute * 7919 + app.len() as u64 * 31) % 40 + minute } else { 0 });
    let last = match state {
        AppState::New => None,
        AppState::Failed => Some(deployment(app, 12, DeploymentState::Failed, subject)),
        AppState::Deploying => Some(deployment(app, 1, DeploymentState::Running, subject)),
        AppState::Live | AppState::Paused => Some(deployment(app, 41, DeploymentState::Live, subject)),
    };
    AppGlance {
        summary: AppSummary {
            app: name(app),
            url: format!("https://{app}.example.org"),
            state,
            revision: (state == AppState::Live).then_some(RevisionNumber(41)),
            template: Some("flask".to_owned()),
            database: DatabaseType::Postgres,
        },
        instances,
        last,
        last_hour: LastHour {
            requests: requests.collect(),
            errors: (0..60).map(|minute| u64::from(busy && minute == 44)).collect(),
            slowest: vec![0.084; 60],
        },
    }
}

fn dashboard(subject: &str) -> Dashboard {
    let apps = [
        glance("shop", AppState::Live, 3, subject),
        glance("guestbook", AppState::Live, 0, "Sort entries by date, the newest first"),
        glance("a-rather-long-name-of-an-app-of-forty-ch", AppState::Deploying, 0, "First version"),
        glance("api-gateway", AppState::Failed, 0, "Move start_app into its own module"),
        glance("intranet", AppState::Paused, 0, "Upgrade Flask to 3.1"),
        glance("playground", AppState::New, 0, ""),
    ];
    let unfinished = super::wizard::Unfinished { id: "0".repeat(32), title: subject.to_owned(), step: "Database" };
    Dashboard { shell: shell("ada").titled("Dashboard"), apps: apps.iter().map(Row::new).collect(), unfinished: vec![unfinished] }
}

fn status(subject: &str, deployed: Option<u32>) -> StatusPage {
    let glance = glance("shop", AppState::Live, 2, subject);
    let instance = |id: &str, state| InstanceStatus {
        id: id.to_owned(),
        revision: RevisionNumber(41),
        state,
        memory_bytes: 61_000_000,
        cpu_seconds: 4.2,
    };
    let deployments = [
        deployment("shop", 42, DeploymentState::Running, "Show the total in the basket"),
        deployment("shop", 41, DeploymentState::Live, subject),
        deployment("shop", 40, DeploymentState::Failed, subject),
        deployment("shop", 39, DeploymentState::Superseded, "Typo"),
        deployment("shop", 38, DeploymentState::Cancelled, "Try another start command"),
        DeploymentGlance { kind: DeploymentKind::Settings, ..deployment("shop", 37, DeploymentState::Live, "") },
        DeploymentGlance { kind: DeploymentKind::Rollback, ..deployment("shop", 36, DeploymentState::Live, "") },
    ];
    let app = AppHead::of(&glance, &Who::Operator, Some(Tab::Status));
    let status = AppStatus {
        summary: glance.summary,
        split: Some(Split { revision: RevisionNumber(40), percent: 10 }),
        instances: vec![instance("shop-41-a", InstanceState::Ready), instance("shop-41-b", InstanceState::Frozen)],
        deployments: Vec::new(),
        last_hour: Some(glance.last_hour),
        warnings: vec![format!("the last backup of the database is 3 days old {subject}")],
    };
    let revisions: Vec<_> = [(41, 90), (40, 10), (39, 0)]
        .into_iter()
        .map(|(number, percent)| RevisionSummary {
            revision: RevisionNumber(number),
            created_at: ago(i64::from(50 - number) * 300),
            commit: Some(commit(subject)),
            image: String::new(),
            serving: percent > 0,
            percent,
            by: None,
        })
        .collect();
    StatusPage::new(shell("ada"), app, &status, &deployments, &revisions, &Asked { deployed, tour: None })
}

fn deployment_page(state: DeploymentState, text: &str, lines: u64) -> DeploymentPage {
    let shown = glance("shop", AppState::Live, 2, text);
    let app = AppHead::of(&shown, &Who::Operator, None);
    let mut glance = deployment("shop", 42, state, text);
    if state == DeploymentState::Running {
        glance.deployment.steps.truncate(3);
        glance.deployment.steps[2].state = StepState::Running;
    }
    let said = [
        (Step::Source, Stream::Platform, "the source was received: 14 files, 31 KB".to_owned()),
        (Step::Plan, Stream::Platform, format!("flask: {text} in requirements.txt")),
        (Step::Dependencies, Stream::Stdout, "\u{1b}[32mResolved\u{1b}[0m \u{1b}[1m9 packages\u{1b}[0m in 112ms".to_owned()),
        (Step::Dependencies, Stream::Stderr, "\u{1b}[33mwarning\u{1b}[0m: a pin is missing".to_owned()),
        (Step::Start, Stream::Stderr, format!("\u{1b}[31mModuleNotFoundError\u{1b}[0m: No module named '{text}'")),
    ];
    let event = |seq: u64| {
        let (step, stream, line) = said[usize::try_from(seq * said.len() as u64 / (lines + 1)).expect("small")].clone();
        api::Event { seq, at: Timestamp::now(), kind: api::EventKind::Line { step, stream, line } }
    };
    DeploymentPage::new(shell("ada"), app, &glance, ((1..=lines).map(event).collect(), lines > 1000), true, None)
}

fn resources(text: &str, database: bool, revealed: bool) -> ResourcesPage {
    let app = AppHead::of(&glance("shop", AppState::Live, 2, text), &Who::Operator, Some(Tab::Resources));
    let states = [InstanceState::Ready, InstanceState::Frozen, InstanceState::Starting, InstanceState::Draining];
    let instance = |(at, state): (u32, InstanceState)| InstanceStatus {
        id: format!("shop-41-{at}"),
        revision: RevisionNumber(41),
        state,
        memory_bytes: 61_000_000 + u64::from(at) * 3_100_000,
        cpu_seconds: 4.2 * f64::from(at),
    };
    let line = |at: i64| LogLine {
        at: ago(60 - at),
        instance: "shop-41-1".to_owned(),
        stream: [Stream::Stdout, Stream::Stderr, Stream::Platform][usize::try_from(at % 3).expect("small")],
        line: format!("GET /basket/{at} 200 \u{1b}[2m12 ms\u{1b}[0m {text}"),
    };
    let variables = [
        ("DATABASE_URL", revealed.then(|| "postgres://shop:secret@db.internal:5432/shop".to_owned())),
        ("PGHOST", Some("db.internal".to_owned())),
        ("PGPASSWORD", revealed.then(|| "secret".to_owned())),
        ("PGSSLMODE", Some("verify-full".to_owned())),
    ];
    let info = api::DatabaseInfo {
        app: name("shop"),
        kind: DatabaseType::Postgres,
        host: "db.internal".to_owned(),
        port: 5432,
        database: "shop".to_owned(),
        user: "shop".to_owned(),
        variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        outside: None,
        bytes: 412_000_000,
        limit_bytes: 1_073_741_824,
        connections: 3,
        max_connections: 50,
        recoverable_since: Some(ago(3000)),
        created_at: ago(90_000),
    };
    let backup = |at: i64, state, kind| api::BackupDocument {
        backup: model::backup::BackupId::parse(&format!("2026010{at}T010203Z-abcd")).expect("an id"),
        created_at: ago(at * 1440),
        bytes: 3_400_000,
        state,
        kind,
        verified: Some(api::VerifiedDocument { tables: 12, rows: 48_211 }),
        problem: (state == BackupState::Damaged).then(|| text.to_owned()),
        places: vec!["directory".to_owned()],
        app_deleted_at: None,
    };
    let found = Found {
        instances: states
            .into_iter()
            .enumerate()
            .map(|(at, state)| instance((u32::try_from(at).expect("small"), state)))
            .collect(),
        lines: (0..40).map(line).collect(),
        backups: if database {
            vec![
                backup(1, BackupState::Verified, BackupKind::Daily),
                backup(2, BackupState::Damaged, BackupKind::OnDemand),
                backup(3, BackupState::Made, BackupKind::BeforeRestore),
            ]
        } else {
            Vec::new()
        },
        database: database.then_some(info),
    };
    let filter = Filter { q: if revealed { String::new() } else { text.to_owned() }, ..Filter::default() };
    ResourcesPage::new(shell("ada"), app, found, filter, revealed)
}

fn problem(status: u16, error: api::ErrorBody) -> ProblemPage {
    ProblemPage::new(shell("ada"), http::StatusCode::from_u16(status).expect("a status"), error)
}

/// Every page, with a text in all places that somebody outside may fill.
fn pages(text: &str) -> Vec<(&'static str, String)> {
    let not_found = api::ErrorBody::new(api::ErrorCode::NotFound, format!("there is nothing at this address {text}")).help(text);
    let busy = api::ErrorBody::new(api::ErrorCode::Unavailable, "the platform is being upgraded").help("try again in a moment");
    let mut list: Vec<(&'static str, askama::Result<String>)> = vec![
        ("front", crate::pages::front::Front { shell: Shell::bare(""), github: true }.render()),
        ("dashboard", dashboard(text).render()),
        ("dashboard-empty", Dashboard { shell: shell(text), apps: Vec::new(), unfinished: Vec::new() }.render()),
        ("status", status(text, None).render()),
        ("status-congratulations", status(text, Some(41)).render()),
        ("deployment-running", deployment_page(DeploymentState::Running, text, 12).render()),
        ("deployment-failed", deployment_page(DeploymentState::Failed, text, 40).render()),
        ("deployment-live", deployment_page(DeploymentState::Live, text, 10_000).render()),
        ("deployment-cancelled", deployment_page(DeploymentState::Cancelled, text, 0).render()),
        ("resources", resources(text, true, false).render()),
        ("resources-revealed", resources(text, true, true).render()),
        ("resources-none", resources(text, false, false).render()),
        ("problem-404", problem(404, not_found).render()),
        ("problem-503", problem(503, busy).render()),
    ];
    list.push(("plots", plots(text)));
    list.extend(crate::pages::settings::tests::pages(text));
    list.extend(crate::pages::metrics::tests::pages(text));
    list.extend(crate::pages::operator::tests::pages(text));
    list.extend(crate::pages::account::tests::pages(text));
    list.into_iter().map(|(name, page)| (name, page.expect("a template of ours"))).collect()
}

fn plots(text: &str) -> askama::Result<String> {
    use crate::pages::plot::{Plot, Series, Style, Unit};
    #[derive(Template)]
    #[template(
        source = "{% extends \"layout.html\" %}{% block content %}<h1>Plots</h1><div class=\"plots\">{% for plot in plots %}{{ plot }}{% endfor %}</div>{% endblock %}",
        ext = "html"
    )]
    struct Plots {
        shell: Shell,
        plots: Vec<Plot>,
    }
    let wave = |scale: f64, shift: f64| (0..60).map(move |at| ((f64::from(at) / 8.0 + shift).sin() + 1.1) * scale);
    let below = || ["60 min ago", "45", "30", "15", "now"].map(str::to_owned).to_vec();
    let plot = |title: &str, unit, style, series| Plot { title: title.to_owned(), unit, style, series, below: below() };
    let plots = vec![
        plot(
            "Requests a minute",
            Unit::Count,
            Style::Stacked,
            vec![
                Series::new("2xx and 3xx", 1, wave(200.0, 0.0)),
                Series::new(text, 3, wave(40.0, 1.0)),
                Series::new("5xx", 4, wave(6.0, 2.0)),
            ],
        ),
        plot(
            "Time to answer",
            Unit::Seconds,
            Style::Line,
            vec![
                Series::new("half", 1, wave(0.02, 0.0)),
                Series::new("95 %", 2, wave(0.06, 0.4)),
                Series::new("99 %", 3, wave(0.1, 0.8)),
            ],
        ),
        plot("Memory", Unit::Bytes, Style::Area, vec![Series::new("memory", 2, wave(80e6, 0.0))]),
        plot("Cold starts", Unit::Count, Style::Stacked, vec![Series::new("cold starts", 1, [])]),
    ];
    Plots { shell: shell("ada").titled("Plots"), plots }.render()
}

#[test]
fn every_page_can_be_looked_at() {
    let list = pages("Take the basket's total from the server");
    for (name, page) in &list {
        assert_eq!(page.matches("<h1").count(), 1, "{name} has one heading of the first order");
        assert!(page.contains("<main id=\"main\""), "{name}");
        for forbidden in [" style=", "<style", "onclick=", "javascript:"] {
            assert!(!page.contains(forbidden), "{name}: the policy forbids {forbidden}");
        }
        let scripts = page.matches("<script").count();
        assert_eq!(scripts, page.matches("<script type=\"module\" src=\"/assets/").count(), "{name}: no script of its own");
        assert!(page.len() < 60_000, "{name}: {} bytes", page.len());
        // Every field has a label, and every form that changes something the session's token.
        assert_eq!(
            page.matches("method=\"post\"").count(),
            page.matches("name=\"csrf\"").count() - usize::from(page.contains("<meta name=\"csrf\"")),
            "{name}"
        );
    }
    if let Some(directory) = std::env::var_os("ADAPTABLE_GALLERY") {
        let directory = std::path::PathBuf::from(directory);
        for (name, page) in &list {
            std::fs::write(directory.join(format!("{name}.html")), page).expect("a directory of one's own");
        }
    }
}

#[test]
fn what_strangers_write_stays_text() {
    for (name, page) in pages(HOSTILE) {
        assert!(!page.contains("<script>") && !page.contains("<img"), "{name}");
        assert!(!page.contains("\"'>"), "{name}: out of an attribute");
    }
}

#[test]
fn no_template_says_that_something_is_safe() {
    let templates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut looked_at = 0;
    for file in std::fs::read_dir(templates).expect("the templates") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let plain: String = text.split_whitespace().collect();
        assert!(!plain.contains("|safe") && !plain.contains("escape=\"none\""), "{}", path.display());
        looked_at += 1;
    }
    assert!(looked_at > 4);
}
