//! What can go wrong with a database, in words for the person who asked.

/// Why something could not be done with a database.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DatabaseError {
    /// This kind can't be had on this machine: what lacks.
    #[error("{what}")]
    Unavailable {
        /// What lacks.
        what: String,
        /// What to do.
        help: String,
    },
    /// The server does not come up, or does not answer.
    #[error("the database server does not run: {0}")]
    Server(String),
    /// A dump can't be read, or does not hold what it should.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// It can't be done as asked: bad input.
    #[error("{0}")]
    Refused(String),
    /// It failed, in one line.
    #[error("{0}")]
    Failed(String),
}

impl DatabaseError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Unavailable { help, .. } => help.clone(),
            Self::Server(_) => "its last lines are in the platform's log".to_owned(),
            Self::Damaged(_) => "keep an older backup, and make a new one".to_owned(),
            Self::Refused(_) | Self::Failed(_) => String::new(),
        }
    }
}

impl From<engine::EngineError> for DatabaseError {
    fn from(error: engine::EngineError) -> Self {
        Self::Failed(error.to_string())
    }
}
