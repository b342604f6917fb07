//! The conformance suite, run on the fake and on the local engine. Needs root and a C compiler.
//!
//! No test harness: the launcher must be forked while the process has one thread.

#![expect(clippy::print_stdout, reason = "this is the test runner")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

use engine::conformance::{CASES, Subject};
use engine::fake::FakeEngine;
use engine::local::LocalEngine;
use engine::{LayerRef, StackId};
use futures_util::FutureExt;
use sandbox::{Launcher, LauncherConfig};

/// A base system with nothing but the program that the cases run.
fn base(stacks: &Path) -> StackId {
    let root = stacks.join("probe/fs");
    std::fs::create_dir_all(&root).expect("made");
    for directory in ["dev", "etc/ssl/certs", "proc", "sys", "tmp"] {
        std::fs::create_dir_all(root.join(directory)).expect("made");
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe.c");
    let status = Command::new("gcc").args(["-static", "-O1", "-o"]).arg(root.join("probe")).arg(source).status().expect("gcc");
    assert!(status.success(), "the program is compiled");
    StackId::parse("probe").expect("a name")
}

async fn suite(kind: &str, subject: &Subject, filter: Option<&str>, counts: &mut (u32, u32)) {
    for (name, case) in CASES {
        let name = format!("{kind}::{name}");
        if filter.is_some_and(|filter| !name.contains(filter)) {
            continue;
        }
        let begun = Instant::now();
        let passed = std::panic::AssertUnwindSafe(case(subject.clone())).catch_unwind().await.is_ok();
        println!("test {name} ... {} ({} ms)", if passed { "ok" } else { "FAILED" }, begun.elapsed().as_millis());
        if passed { counts.0 += 1 } else { counts.1 += 1 }
    }
}

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in CASES {
            println!("fake::{name}: test\nlocal::{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let data = tempfile::tempdir().expect("a data directory");
    let stacks = tempfile::tempdir().expect("a stack directory");
    let base = base(stacks.path());
    for directory in ["layers", "cache"] {
        std::fs::create_dir_all(data.path().join(directory)).expect("made");
    }
    // As in earnest: the directory is the platform's user's alone.
    std::fs::set_permissions(data.path(), PermissionsExt::from_mode(0o700)).expect("changed");
    std::os::unix::fs::chown(data.path(), Some(4711), Some(4711)).expect("changed");
    let launcher = Launcher::start(LauncherConfig::new(data.path(), stacks.path(), 0)).expect("a launcher");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut counts = (0, 0);
    runtime.block_on(async {
        let layers = vec![LayerRef::Stack(base)];
        let fake = Subject { engine: Arc::new(FakeEngine::new()), layers: layers.clone() };
        suite("fake", &fake, filter.as_deref(), &mut counts).await;
        fake.engine.shutdown().await;
        let (local, gone) = LocalEngine::start(launcher).expect("an engine");
        let local = Subject { engine: Arc::new(local), layers };
        suite("local", &local, filter.as_deref(), &mut counts).await;
        local.engine.shutdown().await;
        gone.await;
    });
    let (passed, failed) = counts;
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
