//! Prints the plan of a directory as JSON, or why there is none: `cargo run -p build --example plan -- DIR [VERSION…]`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::path::Path;
use std::process::ExitCode;

use build::plan::{Available, PlanRequest, PyVersion};
use build::tree::DirTree;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let dir = args.next().unwrap_or_else(|| ".".to_owned());
    let mut pythons: Vec<PyVersion> = args
        .filter_map(|text| {
            let (major, minor) = text.split_once('.')?;
            Some(PyVersion::new(major.parse().ok()?, minor.parse().ok()?))
        })
        .collect();
    if pythons.is_empty() {
        pythons = vec![PyVersion::new(3, 11), PyVersion::new(3, 13)];
    }
    let begun = std::time::Instant::now();
    let tree = match DirTree::open(Path::new(&dir)) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match build::plan(&tree, &PlanRequest::default(), &Available { pythons }) {
        Ok(plan) => {
            println!("{}", serde_json::to_string_pretty(&plan).expect("plans are plain data"));
            eprintln!("planned in {:?}", begun.elapsed());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let said = build::explain::plan_error(&error);
            eprintln!("{}\n{}\n{}", said.title, said.cause, said.fix);
            ExitCode::FAILURE
        }
    }
}
