//! PostgreSQL beside apps, with real containers. Needs root, and PostgreSQL installed.
//!
//! No test harness: the launcher must be forked while the process has one thread.

#![expect(clippy::print_stdout, reason = "this is the test runner")]

#[path = "postgres/crash.rs"]
mod crash;
#[path = "postgres/dumps.rs"]
mod dumps;
#[path = "postgres/isolation.rs"]
mod isolation;
#[path = "postgres/life.rs"]
mod life;
#[path = "postgres/limits.rs"]
mod limits;
#[path = "postgres/moments.rs"]
mod moments;
#[path = "postgres/world.rs"]
mod world;

use std::pin::Pin;
use std::process::ExitCode;

use world::World;

type Test = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        const TESTS: &[(&str, Test)] = &[$((stringify!($name), |world| Box::pin($module::$name(world)))),*];
    };
}

tests![
    life::a_client_connects_with_the_apps_own_variables,
    life::databases_are_made_quickly_and_sleep,
    life::a_password_is_changed_while_sessions_go_on,
    life::what_is_dropped_is_gone_and_can_be_made_again,
    life::an_interrupted_creation_is_begun_again,
    life::a_version_that_is_not_installed_is_named,
    isolation::another_apps_server_is_not_reached,
    isolation::a_certificate_of_somebody_else_is_refused,
    isolation::an_apps_role_is_nobody_in_its_cluster,
    limits::connections_are_limited_with_a_clear_error,
    limits::extensions_are_added,
    limits::above_its_storage_a_database_is_read_only_until_it_is_cleaned,
    dumps::a_dump_restored_equals_the_original,
    dumps::a_damaged_dump_is_noticed_and_nothing_is_lost,
    dumps::functions_in_a_dump_are_nobody_when_it_is_read,
    moments::a_database_is_restored_to_a_moment,
    crash::acknowledged_rows_survive_the_end_of_the_server,
    crash::acknowledged_rows_survive_the_end_of_the_platform,
    crash::a_server_that_crashed_is_back_at_its_address,
];

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in TESTS {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if let Ok(role) = std::env::var(crash::ROLE) {
        return crash::platform(&role);
    }
    let data = world::directory();
    world::with(data.path(), async |world| {
        let (mut passed, mut failed) = (0, 0);
        for (name, test) in TESTS.iter().filter(|(name, _)| filter.as_deref().is_none_or(|filter| name.contains(filter))) {
            let begun = std::time::Instant::now();
            let outcome = std::panic::AssertUnwindSafe(test(world));
            let ok = futures_util::FutureExt::catch_unwind(outcome).await.is_ok();
            println!("test {name} ... {} ({:?})", if ok { "ok" } else { "FAILED" }, begun.elapsed());
            if ok { passed += 1 } else { failed += 1 }
        }
        println!(
            "\ntest result: {}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n",
            if failed == 0 { "ok" } else { "FAILED" }
        );
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}
