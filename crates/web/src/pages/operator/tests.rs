//! The operator's pages with data, for the gallery.

use api::{AppUse, Check, DiskPart, DiskUse, MachineReport, MemoryUse, OpenDeployment};
use askama::Template;
use jiff::{SignedDuration, Timestamp};
use model::{AppName, DeploymentNumber, DeploymentState};

use super::MachinePage;
use crate::pages::gallery::shell;

fn ago(minutes: i64) -> Timestamp {
    Timestamp::now().checked_sub(SignedDuration::from_mins(minutes)).expect("a time")
}

fn machine(text: &str) -> MachinePage {
    let name = |text| AppName::parse(text).expect("a name");
    let app =
        |app, instances, frozen, memory| AppUse { app: name(app), instances, frozen, memory_bytes: memory, cpu_seconds: 12.5 };
    let part = |name: &str, bytes| DiskPart { name: name.to_owned(), bytes };
    let report = MachineReport {
        cores: 4,
        load: Some([1.25, 0.8, 0.6]),
        kernel: format!("6.1.0-28-amd64{text}"),
        memory: MemoryUse {
            total_bytes: 16_000_000_000,
            available_bytes: 11_300_000_000,
            reserve_bytes: 800_000_000,
            platform_bytes: 48_000_000,
            apps_bytes: 840_000_000,
        },
        disk: DiskUse {
            total_bytes: 250_000_000_000,
            free_bytes: 19_000_000_000,
            reserve_bytes: 1_000_000_000,
            parts: vec![
                part("Images of revisions, packed", 14_200_000_000),
                part("Databases, as last seen", 3_100_000_000),
                part("Backups and dumps", 910_000_000),
                part("Logs", 45_000_000),
            ],
        },
        builds: vec![
            OpenDeployment {
                app: name("shop"),
                deployment: DeploymentNumber(42),
                state: DeploymentState::Running,
                created_at: ago(1),
            },
            OpenDeployment {
                app: name("guestbook"),
                deployment: DeploymentNumber(7),
                state: DeploymentState::Queued,
                created_at: ago(0),
            },
        ],
        apps: vec![app("shop", 3, 1, 310_000_000), app("guestbook", 1, 1, 61_000_000)],
        registered: 17,
        connections: 12,
    };
    let platform = api::Platform {
        version: "0.1.0".to_owned(),
        build: "4f1c2ab97d0e".to_owned(),
        domain: "example.org".to_owned(),
        url: "https://example.org".to_owned(),
        app_url: "https://NAME.example.org".to_owned(),
        http: "0.0.0.0:80".to_owned(),
        https: "0.0.0.0:443".to_owned(),
        pid: 1,
        data_dir: "/var/lib/adaptable".to_owned(),
        started_at: ago(3000),
        own_ca: true,
    };
    let checks = vec![
        Check::ok("database", "it answers; 17 apps"),
        Check::ok("disk", "19000 MB are free"),
        Check::warn("backups", format!("the newest verified backup of shop's database is 40 hours old {text}"), text),
        Check::ok("cgroups", "version 2"),
    ];
    MachinePage::new(shell(text), platform, report, checks)
}

/// The pages with data.
pub(crate) fn pages(text: &str) -> Vec<(&'static str, askama::Result<String>)> {
    vec![
        ("operator-machine", machine(text).render()),
        ("operator-tokens", super::tokens::tests::page(text).render()),
        ("operator-certificates", super::certificates::tests::page(text).render()),
        ("operator-users", super::users::tests::page(text).render()),
        ("operator-audit", super::audit::tests::page(text).render()),
        ("operator-backups", super::backups::tests::page(text).render()),
    ]
}
