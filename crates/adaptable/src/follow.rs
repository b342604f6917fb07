//! Following a deployment to its end: through restarts of the platform, and with Ctrl-C as the way to cancel it.

use std::time::{Duration, Instant};

use api::{Client, ClientError, Deployment, ErrorBody, ErrorCode, EventKind};
use model::{AppName, DeploymentNumber, DeploymentState};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::explain::Failure;
use crate::progress::Progress;

/// How long a platform that went away is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is asked meanwhile.
const PAUSE: Duration = Duration::from_millis(250);

/// Ctrl-C, from now on ours to handle.
pub(crate) fn interrupts() -> Result<Signal, Failure> {
    signal(SignalKind::interrupt()).map_err(|error| Failure::local(format!("can't listen for Ctrl-C: {error}"), ""))
}

/// Follows a deployment to its end and shows its progress.
pub(crate) async fn follow(
    client: &Client,
    app: &AppName,
    number: DeploymentNumber,
    interrupts: &mut Signal,
    mut progress: Progress,
) -> Result<Deployment, Failure> {
    let mut follower = Follower { client, app, number, from: 1, cancelling: false };
    let mut lost: Option<Instant> = None;
    loop {
        let before = follower.from;
        let error = match follower.stream(interrupts, &mut progress).await {
            Ok(Some(deployment)) => {
                progress.finish(Some(&deployment));
                return Ok(deployment);
            }
            Ok(None) => None,
            Err(Lost::Platform(error)) => Some(error),
            Err(Lost::Failure(failure)) => {
                progress.close();
                return Err(failure);
            }
        };
        if follower.from > before {
            lost = None;
        }
        let since = *lost.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE {
            progress.close();
            return Err(error.map_or_else(|| no_end(app, number), Failure::from));
        }
        progress.say("waiting", "the platform went away; waiting for it to come back");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Why a stream of events ended before the deployment.
enum Lost {
    /// The platform went away: it may come back.
    Platform(ClientError),
    /// There is no use in going on.
    Failure(Failure),
}

impl From<ClientError> for Lost {
    fn from(error: ClientError) -> Self {
        if error.is_lost() { Self::Platform(error) } else { Self::Failure(error.into()) }
    }
}

struct Follower<'a> {
    client: &'a Client,
    app: &'a AppName,
    number: DeploymentNumber,
    from: u64,
    cancelling: bool,
}

impl Follower<'_> {
    /// Reads events until the end of the deployment, or of the stream.
    async fn stream(&mut self, interrupts: &mut Signal, progress: &mut Progress) -> Result<Option<Deployment>, Lost> {
        let mut events = self.client.events(self.app, self.number, self.from).await?;
        loop {
            let event = tokio::select! {
                event = events.next() => event?,
                _ = interrupts.recv() => {
                    self.interrupt(progress).await?;
                    continue;
                }
            };
            let Some(event) = event else { break };
            self.from = self.from.max(event.seq + 1);
            progress.event(&event);
            if let EventKind::End { deployment } = event.kind {
                return Ok(Some(*deployment));
            }
        }
        // A stream that ends without its last event: the document tells whether the deployment did.
        let deployment = self.client.deployment(self.app, self.number).await?;
        Ok(deployment.state.ended().then_some(deployment))
    }

    /// The first Ctrl-C cancels the deployment, the second leaves it to itself.
    async fn interrupt(&mut self, progress: &Progress) -> Result<(), Lost> {
        let (app, number) = (self.app, self.number);
        if self.cancelling {
            let error = ErrorBody::new(ErrorCode::Client, format!("left deployment {number} of {app} to itself"))
                .help(format!("see what became of it: adaptable deployments {app}"));
            return Err(Lost::Failure(error.into()));
        }
        self.cancelling = true;
        progress.note(&format!("cancelling deployment {number} of {app} (Ctrl-C again leaves it to itself)"));
        match self.client.cancel(app, number).await {
            // Its end came first: the events tell.
            Err(ClientError::Refused { error, .. }) if error.code == ErrorCode::Conflict => Ok(()),
            result => Ok(result?),
        }
    }
}

fn no_end(app: &AppName, number: DeploymentNumber) -> Failure {
    Failure::local(
        format!("the events of deployment {number} of {app} ended before it did"),
        format!("see what became of it: adaptable deployments {app}"),
    )
}

/// The error of a deployment that did not become live.
pub(crate) fn end(deployment: &Deployment) -> Result<(), Failure> {
    let Deployment { app, deployment: number, state, error, .. } = deployment;
    if *state == DeploymentState::Live {
        return Ok(());
    }
    let code = match state {
        DeploymentState::Cancelled => ErrorCode::Cancelled,
        DeploymentState::Superseded => ErrorCode::Superseded,
        _ => ErrorCode::Unknown,
    };
    let error = error.clone().unwrap_or_else(|| {
        ErrorBody::new(code, format!("deployment {number} of {app} is {}", state.as_str()))
            .help(format!("its log: adaptable logs {app} --deployment {number}"))
    });
    Err(Failure::Error(error))
}
