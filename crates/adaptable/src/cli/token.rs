//! What the command `token` takes.

use clap::Subcommand;
use model::AppName;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a token and print it, this one time
    Create {
        /// A name for it
        name: String,
        /// The only app it is for (default: all)
        #[arg(long, value_name = "NAME")]
        app: Option<AppName>,
        /// After how many days it ends (default: never)
        #[arg(long, value_name = "NUMBER")]
        days: Option<u32>,
    },
    /// List the tokens, without their secrets
    List,
    /// Make a token invalid
    Revoke {
        /// Its id (see list)
        id: String,
    },
}
