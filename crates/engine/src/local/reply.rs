//! What the launcher's replies mean.

use std::os::fd::OwnedFd;

use sandbox::channel::{Refusal, Reply};
use tokio::net::unix::pipe;

use crate::{EngineError, Input, Output};

/// The error in a reply that is none of those that were asked for.
pub(super) fn unexpected(reply: Reply) -> EngineError {
    match reply {
        Reply::Refused(Refusal::NoRoom(why)) => EngineError::NoRoom(why),
        Reply::Refused(Refusal::Missing(what)) => EngineError::Missing(what),
        Reply::Refused(Refusal::Busy(why)) => EngineError::Busy(why),
        Reply::Refused(Refusal::Failed(why)) => EngineError::Failed(why),
        other => EngineError::Failed(format!("the launcher gave another answer than was asked for: {other:?}")),
    }
}

/// A container's output, read from a pipe.
pub(super) fn output(fd: OwnedFd) -> Result<Output, EngineError> {
    let receiver =
        pipe::Receiver::from_owned_fd(fd).map_err(|error| EngineError::Failed(format!("read a container's output: {error}")))?;
    Ok(Box::pin(receiver))
}

/// A container's input, written to a pipe.
pub(super) fn input(fd: OwnedFd) -> Result<Input, EngineError> {
    let sender =
        pipe::Sender::from_owned_fd(fd).map_err(|error| EngineError::Failed(format!("write a container's input: {error}")))?;
    Ok(Box::pin(sender))
}
