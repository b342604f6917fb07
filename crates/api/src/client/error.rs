//! Why a question to a platform got no answer, or not the one hoped for.

use crate::error::{ErrorBody, ErrorCode};

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens there.
    #[error("no platform answers at {place}")]
    NoPlatform {
        /// Where.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The socket is there, but not for this user.
    #[error("this user may not open {place}")]
    NotAllowed {
        /// The socket.
        place: String,
    },
    /// The certificate is not trusted, or no TLS is spoken.
    #[error("can't speak TLS with {place}: {source}")]
    Tls {
        /// Where.
        place: String,
        /// What TLS said.
        source: std::io::Error,
    },
    /// The connection ended in the middle.
    #[error("the connection to {place} broke")]
    Broken {
        /// Where.
        place: String,
        /// How.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The platform took the request and said nothing.
    #[error("the platform at {place} did not answer within {seconds} s")]
    Silent {
        /// Where.
        place: String,
        /// How long it was given.
        seconds: u64,
    },
    /// The platform answered with an error.
    #[error("{error}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error.
        error: ErrorBody,
    },
    /// The answer is not the document that belongs there.
    #[error("can't read the answer of {place}: {source}")]
    Answer {
        /// Where.
        place: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The address of the platform can't be used.
    #[error("{url:?} is not the address of a platform: {why}")]
    Url {
        /// The text.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What is to be sent can't be put in a request.
    #[error("can't put {what} in a request")]
    Request {
        /// What.
        what: String,
    },
}

impl ClientError {
    /// The error as it is shown: code, message and advice.
    pub fn body(&self) -> ErrorBody {
        let message = self.to_string();
        match self {
            Self::Refused { error, .. } => error.clone(),
            Self::NoPlatform { source, .. } => ErrorBody::new(ErrorCode::NoPlatform, format!("{message} ({source})"))
                .help("start one with 'adaptable up' or 'adaptable serve', or name it by --data-dir or --url"),
            Self::NotAllowed { .. } => ErrorBody::new(ErrorCode::Forbidden, message)
                .help("use sudo, or reach the platform with a token: 'adaptable login URL'"),
            Self::Tls { .. } => ErrorBody::new(ErrorCode::Client, message)
                .help("name the platform's certificate (DATA/ca.pem there) with --ca FILE, or use 'adaptable login URL'"),
            Self::Broken { source, .. } => {
                ErrorBody::new(ErrorCode::NoPlatform, format!("{message} ({})", last(source.as_ref())))
                    .help("check that the platform still runs: 'adaptable doctor'")
            }
            Self::Silent { .. } => {
                ErrorBody::new(ErrorCode::NoPlatform, message).help("look at the platform's log (DATA/serve.log, or the journal)")
            }
            Self::Answer { .. } => ErrorBody::new(ErrorCode::Internal, message)
                .help("check that the platform and this program are of the same version"),
            Self::Url { .. } => ErrorBody::new(ErrorCode::BadRequest, message).help("an address looks like https://HOST:PORT"),
            Self::Request { .. } => ErrorBody::new(ErrorCode::BadRequest, message),
        }
    }

    /// Whether the platform was not reached, or was lost on the way: asking again may help.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::NoPlatform { .. } | Self::Broken { .. } | Self::Silent { .. } => true,
            Self::Refused { error, .. } => error.code == ErrorCode::Unavailable,
            _ => false,
        }
    }
}

/// The innermost cause, which is the one that says something.
fn last(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
