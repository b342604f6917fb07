//! Flags that several commands share.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::{AppName, DatabaseType, EnvName};

use super::values::{database, variable};

/// How to reach a platform, and how to print.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReachArgs {
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Everywhere",
        help = "The platform on this machine that keeps its data there [env: ADAPTABLE_DATA_DIR] [default: /var/lib/adaptable]"
    )]
    pub data_dir: Option<PathBuf>,
    #[arg(
        long,
        global = true,
        value_name = "URL",
        conflicts_with = "data_dir",
        help_heading = "Everywhere",
        help = "The platform at that address [env: ADAPTABLE_URL]"
    )]
    pub url: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Everywhere",
        help = "The access token for it [env: ADAPTABLE_TOKEN]"
    )]
    pub token: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Everywhere",
        help = "A certificate authority to trust beside the system's, as PEM [env: ADAPTABLE_CA]"
    )]
    pub ca: Option<PathBuf>,
    /// Print one JSON document to standard output, and everything else to standard error
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
}

/// How to serve. Each may also stand in an `ADAPTABLE_…` variable or in `DATA/config.toml`; a flag wins over the variable, and that over the file.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServeArgs {
    #[arg(
        long,
        value_name = "ADDR",
        help_heading = "Platform",
        help = "Where to listen for HTTP [env: ADAPTABLE_HTTP] [default: 0.0.0.0:8080]"
    )]
    pub http: Option<String>,
    #[arg(
        long,
        value_name = "ADDR",
        help_heading = "Platform",
        help = "Where to listen for HTTPS [env: ADAPTABLE_HTTPS] [default: 0.0.0.0:8443]"
    )]
    pub https: Option<String>,
    #[arg(
        long,
        value_name = "WHAT",
        help_heading = "Platform",
        help = "What a visitor gets over plain HTTP: redirect, or serve where TLS ends before the platform [env: ADAPTABLE_PLAIN_HTTP] [default: redirect]"
    )]
    pub plain_http: Option<String>,
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Platform",
        help = "The domain: apps are at <https://NAME.DOMAIN> [env: ADAPTABLE_DOMAIN] [default: localhost]"
    )]
    pub domain: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Platform",
        help = "Where certificates for a public domain come from [env: ADAPTABLE_ACME_DIRECTORY]"
    )]
    pub acme_directory: Option<String>,
    #[arg(
        long,
        value_name = "ADDR",
        help_heading = "Platform",
        help = "Whom that authority may write to [env: ADAPTABLE_ACME_EMAIL]"
    )]
    pub acme_email: Option<String>,
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Platform",
        help = "Where the base systems lie that all platforms of this machine share [env: ADAPTABLE_STACK_DIR] [default: /var/cache/adaptable]"
    )]
    pub stack_dir: Option<String>,
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Platform",
        help = "How long an app without requests keeps its last instance, as in 15m [env: ADAPTABLE_IDLE_TIMEOUT] [default: 15m]"
    )]
    pub idle_timeout: Option<String>,
    #[arg(
        long,
        value_name = "TIME",
        help_heading = "Platform",
        help = "After how long without a request an instance loses the processor until the next one; off for never [env: ADAPTABLE_FREEZE_AFTER] [default: 100ms]"
    )]
    pub freeze_after: Option<String>,
    #[arg(
        long,
        value_name = "SIZE",
        help_heading = "Platform",
        help = "Memory that no instance is started into, as in 512M [env: ADAPTABLE_MEMORY_RESERVE] [default: a twentieth of the machine's]"
    )]
    pub memory_reserve: Option<String>,
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Platform",
        help = "The system user that the platform runs as once it holds what needs root [env: ADAPTABLE_USER] [default: adaptable]"
    )]
    pub user: Option<String>,
    #[arg(
        long,
        value_name = "WHAT",
        help_heading = "Platform",
        help = "Keep a line of every request in DATA/logs/access.log: off, on, or queries (with those of the paths, which may hold secrets) [env: ADAPTABLE_ACCESS_LOG] [default: off]"
    )]
    pub access_log: Option<String>,
    #[arg(
        long,
        value_name = "ADDR",
        help_heading = "Platform",
        help = "Where PostgreSQL is reached from outside, as in 0.0.0.0:5432, for apps whose settings say who may (database.allow) [env: ADAPTABLE_POSTGRES] [default: nowhere]"
    )]
    pub postgres: Option<String>,
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Platform",
        help = "Where backups of databases lie [env: ADAPTABLE_BACKUP_DIR] [default: DATA/backups]"
    )]
    pub backup_dir: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Platform",
        help = "A bucket that they are copied to, as in 's3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION' [env: ADAPTABLE_BACKUP_S3]"
    )]
    pub backup_s3: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Platform",
        help = "The key to it: a file with its id and its secret on two lines; ADAPTABLE_BACKUP_S3_KEY_ID and ADAPTABLE_BACKUP_S3_SECRET win [env: ADAPTABLE_BACKUP_S3_KEY] [default: DATA/backup-s3.key]"
    )]
    pub backup_s3_key: Option<String>,
    /// Who may become a user by signing in with GitHub.
    #[arg(
        long,
        value_name = "WHO",
        help_heading = "Platform",
        help = "Who may become a user by signing in with GitHub: invited (who has an invitation), or github (whoever has an account there) [env: ADAPTABLE_SIGN_UP] [default: invited]"
    )]
    pub sign_up: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Platform",
        help = "Where GitHub is: another one is an Enterprise Server [env: ADAPTABLE_GITHUB_WEB] [default: https://github.com]"
    )]
    pub github_web: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        help_heading = "Platform",
        help = "Where GitHub's API is [env: ADAPTABLE_GITHUB_API] [default: https://api.github.com, or /api/v3 of an Enterprise Server]"
    )]
    pub github_api: Option<String>,
    /// Leave the terminal's session; `up` starts the platform so
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// What to deploy, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeployArgs {
    /// The directory with the source
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// The app's name (default: the directory's)
    #[arg(long, value_name = "NAME")]
    pub app: Option<AppName>,
    /// The template, in place of recognising it: flask, fastapi, django, python
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// The command line that starts the app
    #[arg(long, value_name = "CMD")]
    pub start_command: Option<String>,
    /// The part of the source that build and app see
    #[arg(long, value_name = "DIR")]
    pub base_directory: Option<String>,
    /// The database beside the app: postgres, mongodb, mssql or none
    #[arg(long, value_name = "KIND", value_parser = database)]
    pub database: Option<DatabaseType>,
    /// A variable of the run time (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(EnvName, String)>,
    /// A variable of the build (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub build_env: Vec<(EnvName, String)>,
    /// A settings document (YAML or JSON) to apply first
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
}

/// What to check, and how it is to be deployed.
#[derive(Debug, Clone, Args)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "what reads a source is part of Linux's binary only"))]
pub(crate) struct CheckArgs {
    /// The directory with the source
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// The template, in place of recognising it: flask, fastapi, django, python
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,
    /// The command line that starts the app
    #[arg(long, value_name = "CMD")]
    pub start_command: Option<String>,
    /// The part of the source that build and app see
    #[arg(long, value_name = "DIR")]
    pub base_directory: Option<String>,
    /// The database beside the app: postgres, mongodb, mssql or none
    #[arg(long, value_name = "KIND", value_parser = database)]
    pub database: Option<DatabaseType>,
    /// A variable of the run time (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(EnvName, String)>,
    /// A settings document (YAML or JSON) to start from
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Let warnings fail, too
    #[arg(long)]
    pub strict: bool,
}

/// What `source` does.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SourceAction {
    /// Deploy the app from a branch on GitHub from now on
    Set {
        /// The repository
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// The branch (default: the one that GitHub shows first)
        branch: Option<String>,
        /// Don't deploy when somebody pushes, only on `adaptable update`
        #[arg(long)]
        no_auto_deploy: bool,
    },
    /// Deploy the app from GitHub no more; what is live stays
    Remove,
}
