//! The command line as it is typed: commands, their flags, and what `--help` says of each.

mod flags;
mod token;
mod values;

use clap::{Parser, Subcommand};
use model::backup::BackupId;
use model::{AppName, AppRole, DeploymentNumber, EnvName, PlatformRole, RevisionNumber, UserName};

pub(crate) use token::TokenAction;

pub(crate) use flags::{CheckArgs, DeployArgs, ReachArgs, ServeArgs, SourceAction};
pub(crate) use values::{Since, duration, memory, pause, variable};

const ABOUT: &str = "A serverless cloud of one's own: push a Flask app's source, it runs behind HTTPS, sleeps when nobody asks, and wakes on request.";
const AFTER: &str = "\
Begin with:        sudo adaptable up examples/flask
See what is there: adaptable apps, adaptable status APP, adaptable logs APP --follow

Exit codes: 0 done, 1 it failed, 2 bad usage, 3 no platform answers, 4 not allowed.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "adaptable", version, about = ABOUT, after_help = AFTER, max_term_width = 110, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// How to reach a platform, and how to print.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the platform in the foreground until SIGTERM or SIGINT
    #[command(
        after_help = "Examples: sudo adaptable serve --data-dir /srv/cloud --domain cloud.example\n          sudo adaptable serve --data-dir /srv/cloud --take-over"
    )]
    Serve {
        /// Take over from the platform that runs with this data directory: no request fails, none is refused; it ends
        /// when what it has begun has ended. Its flags stay unless they are given anew. Where none runs, just start
        #[arg(long, help_heading = "Platform")]
        take_over: bool,
        /// How to serve.
        #[command(flatten)]
        serve: ServeArgs,
    },
    /// Start a platform in the background unless one answers (one of another build is upgraded), deploy a directory, and show its
    /// first answers
    #[command(after_help = "Example: sudo adaptable up examples/flask")]
    Up {
        /// What to deploy.
        #[command(flatten)]
        deploy: DeployArgs,
        /// How to serve.
        #[command(flatten)]
        serve: ServeArgs,
    },
    /// Stop the platform that `up` started; apps and data stay
    #[command(after_help = "Example: sudo adaptable down")]
    Down,
    /// Deploy a directory; its first deployment creates the app
    #[command(after_help = "Example: adaptable deploy . --app shop --env GREETING=hello")]
    Deploy(DeployArgs),
    /// Check a directory before it is deployed: what would fail, or surprise; its files are read, nothing of it is run
    #[command(
        after_help = "Example: adaptable check . --database postgres\n\nExit codes: 0 nothing failed, 1 a check failed (--strict: or warned), 2 bad usage"
    )]
    Check(CheckArgs),
    /// List the apps
    #[command(after_help = "Example: adaptable apps --json")]
    Apps,
    /// Show an app: its state, instances and last deployments
    #[command(after_help = "Example: adaptable status shop")]
    Status {
        /// The app
        app: AppName,
    },
    /// Show an app's output, or a deployment's log
    #[command(
        after_help = "Examples: adaptable logs shop --follow\n          adaptable logs shop --since 10m\n          adaptable logs shop --deployment 3"
    )]
    Logs(LogsArgs),
    /// List, set and unset an app's variables; a change makes a new revision without a build
    #[command(
        after_help = "Examples: adaptable env shop list\n          adaptable env shop set GREETING=hello DEBUG=\n          adaptable env shop unset DEBUG"
    )]
    Env {
        /// The app
        app: AppName,
        /// The variables of the build, in place of those of the run time
        #[arg(long, global = true)]
        build: bool,
        /// What to do with them.
        #[command(subcommand)]
        action: EnvAction,
    },
    /// An app's database: how it is reached, a prompt, another password
    #[command(
        after_help = "Examples: adaptable db shop info\n          adaptable db shop psql -- -c 'select count(*) from entries'\n          adaptable db shop rotate"
    )]
    Db {
        /// The app
        app: AppName,
        /// What to do with it.
        #[command(subcommand)]
        action: DbAction,
    },
    /// Print or replace an app's settings document (YAML)
    #[command(after_help = "Example: adaptable settings shop get > shop.yaml; adaptable settings shop apply -f shop.yaml")]
    Settings {
        /// The app
        app: AppName,
        /// What to do with it.
        #[command(subcommand)]
        action: SettingsAction,
    },
    /// Where an app comes from: a branch on GitHub, whose pushes deploy it
    #[command(
        after_help = "Examples: adaptable source shop\n          adaptable source shop set octo/shop main\n          adaptable source shop remove"
    )]
    Source {
        /// The app
        app: AppName,
        /// What to do with it (default: show it).
        #[command(subcommand)]
        action: Option<SourceAction>,
    },
    /// Deploy an app's source again: the newest commit of its branch on GitHub, or the last upload; with the settings of now
    Update {
        /// The app
        app: AppName,
    },
    /// Change an app's resources, and how many instances there may be
    #[command(after_help = "Example: adaptable scale shop --min 1 --max 20 --memory 1024")]
    Scale(ScaleArgs),
    /// List an app's revisions
    #[command(after_help = "Example: adaptable revisions shop")]
    Revisions {
        /// The app
        app: AppName,
    },
    /// List an app's deployments
    #[command(after_help = "Example: adaptable deployments shop")]
    Deployments {
        /// The app
        app: AppName,
    },
    /// Serve an earlier revision again
    #[command(after_help = "Example: adaptable rollback shop --to 3")]
    Rollback {
        /// The app
        app: AppName,
        /// The revision to serve (default: the one served before)
        #[arg(long, value_name = "N")]
        to: Option<RevisionNumber>,
    },
    /// Give a part of the visitors another revision than the live one
    #[command(after_help = "Examples: adaptable split shop --to 7 --percent 10; adaptable split shop --off")]
    Split {
        /// The app
        app: AppName,
        /// The other revision
        #[arg(long, value_name = "N", requires = "percent", conflicts_with = "off")]
        to: Option<RevisionNumber>,
        /// How many visitors of a hundred get it
        #[arg(long, value_name = "PERCENT", requires = "to", value_parser = clap::value_parser!(u8).range(1..=99))]
        percent: Option<u8>,
        /// Give all visitors the live revision again
        #[arg(long)]
        off: bool,
    },
    /// Stop an app's instances; it answers 503 until it is resumed
    #[command(after_help = "Example: adaptable pause shop")]
    Pause {
        /// The app
        app: AppName,
    },
    /// End an app's pause; the next request starts an instance
    #[command(after_help = "Example: adaptable resume shop")]
    Resume {
        /// The app
        app: AppName,
    },
    /// Delete an app with all its revisions, variables and logs
    #[command(after_help = "Example: adaptable delete shop --yes")]
    Delete {
        /// The app
        app: AppName,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
        /// Make no last backup of its database
        #[arg(long)]
        without_backup: bool,
    },
    /// Create, list and revoke access tokens
    #[command(after_help = "Example: adaptable token create laptop")]
    Token {
        /// What to do with them.
        #[command(subcommand)]
        action: TokenAction,
    },
    /// List users, invite, lock out, and say what each may do with the platform
    #[command(
        after_help = "Examples: adaptable users list\n          adaptable users invite --note Ada --app shop --app-role viewer\n          adaptable users role ada operator"
    )]
    Users {
        /// What to do with them.
        #[command(subcommand)]
        action: UsersAction,
    },
    /// Say who may do what with an app
    #[command(after_help = "Examples: adaptable members shop list\n          adaptable members shop set ada developer")]
    Members {
        /// The app
        app: AppName,
        /// What to do with them.
        #[command(subcommand)]
        action: MembersAction,
    },
    /// Show who changed what
    #[command(after_help = "Example: adaptable audit --app shop")]
    Audit {
        /// Only what was about this app
        #[arg(long, value_name = "NAME")]
        app: Option<AppName>,
        /// At most that many changes, the last ones
        #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        lines: u32,
    },
    /// Print a link that signs in once, within an hour: an operator, or whoever is to be the first one
    #[command(after_help = "Example: sudo adaptable sign-in-link --user ada")]
    SignInLink {
        /// Whom it signs in (default: an operator)
        #[arg(long, value_name = "NAME")]
        user: Option<UserName>,
    },
    /// Remember a platform elsewhere: its address, a token and its certificate
    #[command(after_help = "Example: adaptable login https://cloud.example:8443")]
    Login {
        /// The platform's address
        address: String,
        /// The SHA-256 fingerprint that its certificate authority must have, where nobody can be asked
        #[arg(long, value_name = "SHA256")]
        fingerprint: Option<String>,
    },
    /// Forget the platform that `login` remembers
    Logout,
    /// Check this machine and the platform, and say what to do
    #[command(after_help = "Example: sudo adaptable doctor")]
    Doctor(ServeArgs),
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Make the base systems that apps run on, where they are missing
    #[command(hide = true)]
    Stack {
        /// The Debian releases (default: those that serve makes)
        #[arg(value_name = "RELEASE")]
        releases: Vec<String>,
        /// Where they lie (default: /var/cache/adaptable)
        #[arg(long, value_name = "DIR")]
        stack_dir: Option<std::path::PathBuf>,
        /// Make them again, with the security updates of today
        #[arg(long)]
        anew: bool,
    },
}

/// What to do with variables.
#[derive(Debug, Subcommand)]
pub(crate) enum EnvAction {
    /// List the variables; values are hidden
    List {
        /// Show the values
        #[arg(long)]
        reveal: bool,
    },
    /// Set variables
    Set {
        /// Variables and values, as NAME=VALUE
        #[arg(required = true, value_name = "NAME=VALUE", value_parser = variable)]
        variables: Vec<(EnvName, String)>,
    },
    /// Remove variables
    Unset {
        /// Their names
        #[arg(required = true, value_name = "NAME", value_parser = EnvName::parse)]
        names: Vec<EnvName>,
    },
}

/// What to do with a database.
#[derive(Debug, Subcommand)]
pub(crate) enum DbAction {
    /// Show how it is reached, what it holds and who uses it
    Info {
        /// Show the password, too
        #[arg(long)]
        reveal: bool,
    },
    /// Run psql with the app's own variables (PostgreSQL)
    Psql {
        /// Arguments for psql
        #[arg(last = true, value_name = "ARGUMENT")]
        arguments: Vec<String>,
    },
    /// Run mongosh (MongoDB)
    Mongosh {
        /// Arguments for mongosh
        #[arg(last = true, value_name = "ARGUMENT")]
        arguments: Vec<String>,
    },
    /// Run sqlcmd (SQL Server)
    Sqlcmd {
        /// Arguments for sqlcmd
        #[arg(last = true, value_name = "ARGUMENT")]
        arguments: Vec<String>,
    },
    /// Make a backup now, and verify it by a restore into a scratch database
    Backup,
    /// List its backups
    Backups,
    /// Verify a backup once more
    Verify {
        /// Its id (see backups)
        #[arg(value_name = "BACKUP", value_parser = BackupId::parse)]
        backup: BackupId,
    },
    /// Put a backup, or what it held at a moment, in the place of what it holds, which is kept as another backup
    Restore {
        /// The backup's id (see backups)
        #[arg(value_name = "BACKUP", value_parser = BackupId::parse, required_unless_present = "at")]
        backup: Option<BackupId>,
        /// The moment, as in 2026-11-24T12:00:00Z (PostgreSQL, with database.pointInTime)
        #[arg(long, value_name = "TIME", conflicts_with = "backup")]
        at: Option<jiff::Timestamp>,
    },
    /// Give its user another password, and the app new instances that know it
    Rotate,
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingsAction {
    /// Print the document
    Get,
    /// Replace the document
    Apply {
        /// The document's file; - reads standard input
        #[arg(short, long, value_name = "FILE")]
        file: std::path::PathBuf,
    },
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum UsersAction {
    /// List the users
    List,
    /// Make an invitation and print its link, this one time
    Invite {
        /// What whoever takes it may do with the platform: member or operator
        #[arg(long, default_value = "member")]
        role: PlatformRole,
        /// An app that they become a member of
        #[arg(long, value_name = "NAME")]
        app: Option<AppName>,
        /// As what: viewer, developer or owner (default: developer)
        #[arg(long, value_name = "ROLE", requires = "app")]
        app_role: Option<AppRole>,
        /// For whom it is, in words
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// List the invitations that can still be taken
    Invites,
    /// Take an invitation back
    Uninvite {
        /// Its id (see invites)
        id: String,
    },
    /// Say what a user may do with the platform
    Role {
        /// The user
        name: UserName,
        /// member or operator
        role: PlatformRole,
    },
    /// Lock a user out, and sign them out everywhere
    Disable {
        /// The user
        name: UserName,
    },
    /// Let a user in again
    Enable {
        /// The user
        name: UserName,
    },
    /// Sign a user out everywhere
    SignOut {
        /// The user
        name: UserName,
    },
    /// Delete a user; their apps stay
    Delete {
        /// The user
        name: UserName,
    },
}

/// What to do with an app's members.
#[derive(Debug, Subcommand)]
pub(crate) enum MembersAction {
    /// List the members
    List,
    /// Make a user a member, or change what they are
    Set {
        /// The user
        name: UserName,
        /// viewer, developer or owner
        role: AppRole,
    },
    /// Take a user out
    Remove {
        /// The user
        name: UserName,
    },
}

/// What of the log to show.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// The app
    pub app: AppName,
    /// Go on with the lines to come, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// Only lines since then: 90s, 10m, 2h, 1d, or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// The log of that deployment
    #[arg(long, value_name = "N")]
    pub deployment: Option<DeploymentNumber>,
    /// The app's requests, where the platform keeps an access log
    #[arg(long, conflicts_with = "deployment")]
    pub access: bool,
    /// At most that many lines of the past
    #[arg(long, short = 'n', value_name = "N")]
    pub lines: Option<u32>,
}

/// What of an app's scale to change.
#[derive(Debug, clap::Args)]
pub(crate) struct ScaleArgs {
    /// The app
    pub app: AppName,
    /// Instances kept even without load
    #[arg(long, value_name = "N")]
    pub min: Option<u32>,
    /// Instances at most
    #[arg(long, value_name = "N")]
    pub max: Option<u32>,
    /// Requests that one instance handles at the same time
    #[arg(long, value_name = "N")]
    pub concurrency: Option<u32>,
    /// Memory of one instance in MB, a multiple of 256
    #[arg(long, value_name = "MB")]
    pub memory: Option<u32>,
    /// Processor cores of one instance, as in 0.5
    #[arg(long, value_name = "CORES")]
    pub vcpus: Option<f64>,
}

#[cfg(test)]
mod tests;
