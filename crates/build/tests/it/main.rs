//! Builds with real stacks, the real engine and real packages. Needs root.
//!
//! No test harness: the launcher must be forked while the process has one thread.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test without the harness")]

use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use bench::Bench;
use engine::Engine;
use engine::local::LocalEngine;
use sandbox::{Launcher, LauncherConfig, LauncherEnd};

mod bench;
mod builds;
mod machine;
mod stacks;

type Test = for<'a> fn(&'a Bench) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        const TESTS: &[(&str, Test)] = &[$((stringify!($name), |bench| Box::pin(builds::$name(bench)))),*];
    };
}

tests![
    a_changed_line_installs_nothing_again,
    a_failed_installation_says_so_and_leaves_nothing,
    packages_become_layers_and_are_found_again,
    the_examples_answer,
    the_fixtures_answer,
    skopeo_and_umoci_take_the_image,
    a_cancelled_build_ends_with_all_its_processes,
    jobs_are_limited_in_memory_and_time,
    c_extensions_are_compiled_with_no_compiler_in_the_image,
    last_steps_leave_their_results_above_the_source,
];

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    // Making stacks starts threads; they have ended when it returns.
    stacks::check();
    let mut failed = Vec::new();
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(&filter)) {
        let dir = tempfile::Builder::new().prefix("adaptable-build").tempdir_in("/var/tmp").expect("a directory");
        let begun = Instant::now();
        let ended = launched(dir.path().to_owned(), *test);
        println!("test {name} ... {} ({:?})", if ended { "ok" } else { "FAILED" }, begun.elapsed());
        if !ended {
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        println!("\ntest result: ok. {} passed", TESTS.len());
        return ExitCode::SUCCESS;
    }
    println!("\ntest result: FAILED: {}", failed.join(", "));
    ExitCode::FAILURE
}

/// Runs a test with a platform's data directory, launcher and engine of its own.
fn launched(data: PathBuf, test: Test) -> bool {
    let launcher = Launcher::start(LauncherConfig::new(&data, &machine::stack_dir(), 0)).expect("a launcher");
    // The runtime's threads end before the next launcher is forked.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let run = || runtime.block_on(within(data, test, launcher));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_ok()
}

async fn within(data: PathBuf, test: Test, launcher: LauncherEnd) {
    let (engine, gone) = LocalEngine::start(launcher).expect("an engine");
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let bench = Bench::new(&data, Arc::clone(&engine));
    test(&bench).await;
    engine.shutdown().await;
    gone.await;
}
