//! Connections to a MongoDB server: one client for each piece of work, and errors in one line.

use std::sync::Arc;
use std::time::Duration;

use ::mongodb::Client;
use ::mongodb::bson::{Document, doc};
use ::mongodb::error::ErrorKind;
use ::mongodb::options::{ClientOptions, ServerAddress};

use super::way::Way;
use crate::servers::Lease;
use crate::{DatabaseError, Result, Secret};

/// How long a server may take to be found and to accept a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Codes of errors that mean something here (MongoDB's `error_codes.yml`).
pub(crate) mod code {
    /// There is no such user.
    pub(crate) const USER_NOT_FOUND: i32 = 11;
    /// The user may not do that.
    pub(crate) const UNAUTHORIZED: i32 = 13;
    /// There is no such collection.
    pub(crate) const NAMESPACE_NOT_FOUND: i32 = 26;
    /// There is no such role.
    pub(crate) const ROLE_NOT_FOUND: i32 = 31;
    /// There is no such command.
    pub(crate) const COMMAND_NOT_FOUND: i32 = 59;
    /// The command, or one of its options, is not there: FerretDB says so of all that it lacks.
    pub(crate) const NOT_IMPLEMENTED: i32 = 238;
    /// There is such a role already.
    pub(crate) const ROLE_EXISTS: i32 = 51002;
    /// There is such a user already.
    pub(crate) const USER_EXISTS: i32 = 51003;
}

/// A client that does one piece of work. Nobody asks the server whether it is well when there is none.
#[derive(Debug)]
pub(crate) struct Session {
    client: Option<Client>,
    /// Keeps a server of the platform's own running meanwhile.
    lease: Option<Lease>,
    /// How it is reached where that is not the driver's affair.
    way: Option<Way>,
}

impl Session {
    /// Prepares a client; it connects with the first command.
    pub(crate) async fn open(url: &Secret) -> Result<Self> {
        Self::prepare(url, None).await
    }

    /// The same for a server that is reached in this way, wherever the address says that it is.
    pub(crate) async fn open_by(url: &Secret, way: Way) -> Result<Self> {
        Self::prepare(url, Some(way)).await
    }

    async fn prepare(url: &Secret, way: Option<Way>) -> Result<Self> {
        let mut options = ClientOptions::parse(url.reveal()).await.map_err(|error| failed(&error))?;
        if let Some(way) = &way {
            options.hosts = vec![ServerAddress::Unix { path: way.path() }];
        }
        options.app_name = Some("adaptable".to_owned());
        options.server_selection_timeout = Some(options.server_selection_timeout.map_or(PATIENCE, |own| own.min(PATIENCE)));
        options.connect_timeout = Some(options.connect_timeout.map_or(PATIENCE, |own| own.min(PATIENCE)));
        let client = Client::with_options(options).map_err(|error| failed(&error))?;
        Ok(Self { client: Some(client), lease: None, way })
    }

    /// Keeps a server running as long as this is there.
    pub(crate) fn with(self, lease: Option<Lease>) -> Self {
        let mut this = self;
        this.lease = lease;
        this
    }

    /// The client.
    pub(crate) fn client(&self) -> &Client {
        self.client.as_ref().expect("it is there until it is closed")
    }

    /// Does a command in a database.
    pub(crate) async fn run(&self, database: &str, command: Document) -> std::result::Result<Document, ::mongodb::error::Error> {
        self.client().database(database).run_command(command).await
    }

    /// Whether the server is FerretDB, which speaks the protocol and lacks much of the rest.
    pub(crate) async fn is_ferret(&self) -> Result<bool> {
        let info = self.run("admin", doc! { "buildInfo": 1 }).await.map_err(|error| failed(&error))?;
        Ok(info.contains_key("ferretdbVersion"))
    }
}

impl Drop for Session {
    /// Its connections are closed, and its monitors end.
    fn drop(&mut self) {
        if let (Some(client), Ok(runtime)) = (self.client.take(), tokio::runtime::Handle::try_current()) {
            let (lease, way) = (self.lease.take(), self.way.take());
            runtime.spawn(async move {
                client.shutdown().immediate(true).await;
                drop((way, lease));
            });
        }
    }
}

/// The code of a command's error.
pub(crate) fn code(error: &::mongodb::error::Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

/// Takes errors of these codes for success.
pub(crate) fn fine_if<T>(result: std::result::Result<T, ::mongodb::error::Error>, codes: &[i32]) -> Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if code(&error).is_some_and(|code| codes.contains(&code)) => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// An error of the driver's as one of ours. It holds neither passwords nor documents.
pub(crate) fn failed(error: &::mongodb::error::Error) -> DatabaseError {
    match error.kind.as_ref() {
        ErrorKind::Command(command) if command.code == code::UNAUTHORIZED => DatabaseError::Failed(format!(
            "MongoDB: the user may not do that ({}); the address in the setting mongodb must be an administrator's, with the role root",
            one_line(&command.message)
        )),
        ErrorKind::Command(command) => {
            DatabaseError::Failed(format!("MongoDB: {} ({})", one_line(&command.message), command.code_name))
        }
        ErrorKind::Authentication { message, .. } => DatabaseError::Failed(format!(
            "MongoDB: the server does not accept the user name and the password: {}",
            one_line(message)
        )),
        ErrorKind::ServerSelection { message, .. } => DatabaseError::Server(format!("MongoDB: {}", one_line(message))),
        ErrorKind::Io(error) => DatabaseError::Server(format!("MongoDB: {}", one_line(&Arc::clone(error).to_string()))),
        // What these show in full is documents.
        ErrorKind::InsertMany(many) => {
            let first = many.write_errors.as_ref().and_then(|errors| errors.first());
            DatabaseError::Failed(format!("MongoDB: a document can't be written (code {})", first.map_or(0, |error| error.code)))
        }
        ErrorKind::Write(_) | ErrorKind::BulkWrite(_) => DatabaseError::Failed("MongoDB: a document can't be written".to_owned()),
        other => DatabaseError::Failed(format!("MongoDB: {}", one_line(&other.to_string()))),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}
