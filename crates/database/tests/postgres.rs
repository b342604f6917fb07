//! PostgreSQL beside apps, with real containers. Needs root, and PostgreSQL installed.
//!
//! No test harness: the launcher must be forked while the process has one thread.

#![expect(clippy::print_stdout, reason = "this is the test runner")]

#[path = "postgres/life.rs"]
mod life;
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

tests![life::a_client_connects_with_the_apps_own_variables,];

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in TESTS {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    world::with(async |world| {
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
