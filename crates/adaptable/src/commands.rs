//! The commands, one file a verb, and the way from the command line to each.

mod apps;
#[cfg(target_os = "linux")]
mod check;
mod db;
mod delete;
mod deploy;
mod deployments;
mod doctor;
mod down;
mod env;
mod login;
mod logs;
mod pause;
mod revisions;
mod rollback;
mod scale;
mod settings;
mod source;
mod split;
#[cfg(target_os = "linux")]
mod stack;
mod status;
mod token;
mod up;
mod users;

use std::future::Future;

use api::Client;
use clap::CommandFactory;

use crate::cli::{Cli, Command, ReachArgs};
use crate::config;
use crate::explain::Failure;
use crate::printer::Printer;
use crate::reach::{self, Place};

/// What every command has at hand.
pub(crate) struct Context {
    /// Where output goes.
    pub printer: Printer,
    /// Which platform is meant.
    pub reach: ReachArgs,
}

/// A variable of the environment, where it is text.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Context {
    /// Which platform is meant.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        reach::place(&self.reach, &variable, || match crate::login::file(&variable) {
            Some(file) => crate::login::load(&file),
            None => Ok(None),
        })
    }

    /// The client of the platform that is meant.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        reach::client(&self.place()?)
    }

    /// The data directory of the platform on this machine.
    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        config::data_dir(self.reach.data_dir.as_deref(), &variable)
    }
}

/// Runs what was typed.
pub(crate) fn run(cli: Cli, printer: Printer) -> Result<(), Failure> {
    let Cli { reach, command } = cli;
    let context = Context { printer, reach };
    match command {
        // Must begin while the process has one thread and no runtime.
        Command::Serve { serve: args, take_over } => serve(&context, &args, take_over),
        #[cfg(target_os = "linux")]
        Command::Stack { releases, stack_dir, anew } => stack::run(&context, &releases, stack_dir, anew),
        #[cfg(not(target_os = "linux"))]
        Command::Stack { .. } => Err(Failure::not_here("stack")),
        #[cfg(target_os = "linux")]
        Command::Check(args) => check::run(&context, &args),
        #[cfg(not(target_os = "linux"))]
        Command::Check(_) => Err(Failure::not_here("check")),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "adaptable", &mut std::io::stdout());
            Ok(())
        }
        Command::Logout => login::logout(&context),
        command => wait(client_command(&context, command)),
    }
}

/// Runs a client's command on a runtime of this one thread.
fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local(format!("can't start: {error}"), ""))?;
    let result = runtime.block_on(work);
    // A thread that still reads a large directory must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn client_command(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Up { deploy, serve } => up::run(context, &deploy, &serve).await,
        Command::Down => down::run(context).await,
        Command::Deploy(args) => deploy::run(context, &args).await,
        Command::Apps => apps::run(context).await,
        Command::Status { app } => status::run(context, &app).await,
        Command::Logs(args) => logs::run(context, &args).await,
        Command::Env { app, build, action } => env::run(context, &app, build, action).await,
        Command::Db { app, action } => db::run(context, &app, action).await,
        Command::Settings { app, action } => settings::run(context, &app, action).await,
        Command::Source { app, action } => source::run(context, &app, action).await,
        Command::Update { app } => source::update(context, &app).await,
        Command::Scale(args) => scale::run(context, &args).await,
        Command::Revisions { app } => revisions::run(context, &app).await,
        Command::Deployments { app } => deployments::run(context, &app).await,
        Command::Rollback { app, to } => rollback::run(context, &app, to).await,
        Command::Split { app, to, percent, off } => {
            let order = match (to, percent) {
                _ if off => split::Order::Off,
                (Some(to), Some(percent)) => split::Order::Set(to, percent),
                _ => split::Order::Show,
            };
            split::run(context, &app, order).await
        }
        Command::Pause { app } => pause::pause(context, &app).await,
        Command::Resume { app } => pause::resume(context, &app).await,
        Command::Delete { app, yes, without_backup } => delete::run(context, &app, yes, without_backup).await,
        Command::Token { action } => token::run(context, action).await,
        Command::Users { action } => users::run(context, action).await,
        Command::Members { app, action } => users::members(context, &app, action).await,
        Command::Audit { app, lines } => users::audit(context, app.as_ref(), lines).await,
        Command::SignInLink { user } => users::sign_in_link(context, user).await,
        Command::Login { address, fingerprint } => login::run(context, &address, fingerprint.as_deref()).await,
        Command::Doctor(args) => doctor::run(context, &args).await,
        Command::Serve { .. } | Command::Check(_) | Command::Stack { .. } | Command::Completions { .. } | Command::Logout => {
            unreachable!("these run without a runtime")
        }
    }
}

#[cfg(target_os = "linux")]
fn serve(context: &Context, args: &crate::cli::ServeArgs, take_over: bool) -> Result<(), Failure> {
    if context.reach.url.is_some() {
        return Err(Failure::usage("--url names a platform elsewhere; 'serve' runs one here", "leave --url out"));
    }
    if args.detached {
        // Fails only for the leader of a group, which then has no terminal to lose either.
        nix::unistd::setsid().ok();
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::needs_root("serve"));
    }
    let data_dir = context.data_dir();
    let predecessor = if take_over { crate::serve::handover::find(&data_dir) } else { Ok(None) };
    let predecessor = predecessor.map_err(|error| Failure::local(format!("{error:#}"), "the platform that runs goes on"))?;
    let running = predecessor.as_ref().map(|predecessor| predecessor.settings.clone()).unwrap_or_default();
    let config = config::resolve_after(&running, args, data_dir, &variable)?;
    crate::serve::run(&config, predecessor).map_err(Failure::Error)
}

#[cfg(not(target_os = "linux"))]
fn serve(_context: &Context, _args: &crate::cli::ServeArgs, _take_over: bool) -> Result<(), Failure> {
    Err(Failure::not_here("serve"))
}
