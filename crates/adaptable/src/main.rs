//! The `adaptable` program: client commands everywhere, `serve` on Linux.

#[cfg(target_os = "linux")]
mod allocator;
mod cli;
mod commands;
mod config;
#[cfg(target_os = "linux")]
mod daemon;
mod explain;
mod follow;
#[cfg(target_os = "linux")]
mod identity;
mod login;
mod printer;
mod progress;
mod reach;
#[cfg(target_os = "linux")]
mod serve;
mod tunnel;
mod upload;
#[cfg(target_os = "linux")]
mod visit;

use std::ffi::OsString;
use std::process::ExitCode;

use api::{ErrorBody, ErrorCode};
use clap::Parser;

use cli::Cli;
use explain::Failure;
use printer::Printer;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, &arguments),
    };
    let printer = Printer::new(cli.reach.json);
    match commands::run(cli, printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Failure::Error(error) = &failure {
                printer.error(error);
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

/// `--help`, `--version`, or bad usage.
fn not_understood(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let json = arguments.iter().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        let text = error.render().to_string();
        let (message, help) = text.trim().split_once("\n\n").unwrap_or((text.trim(), ""));
        let message = message.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
        Printer::new(true).error(&ErrorBody::new(ErrorCode::BadRequest, message).help(help.trim()));
    } else {
        // Who asked for help and went away does not miss it.
        error.print().ok();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
