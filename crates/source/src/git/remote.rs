//! The remote as HTTP has it: which request is served by which git command.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use command_fds::CommandFdExt;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use model::AppName;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::command::{GitError, MOST_PUSHED, git, run};
use super::conversation::{Conversation, Pushes};
use super::repository::{Repositories, Repository};
use super::response::{Body, error, git as answer};
use super::service::{Phase, Process};

/// How long a push waits for another one to the same app.
const WAIT: Duration = Duration::from_mins(15);
/// The most bytes of a fetch's wishes.
const MOST_ASKED: u64 = 32 * 1000 * 1000;
/// The chunks of git's answer that wait for the client.
const CHUNKS: usize = 8;

/// What a client wants of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `git fetch`, `git clone`: reads the source.
    Fetch,
    /// `git push`: deploys.
    Push,
}

impl Service {
    /// What a request is for, by what follows `…/APP.git/` in its path and by its query. `None`: nothing we serve.
    pub fn of(rest: &str, query: Option<&str>) -> Option<Self> {
        let name = match rest {
            "info/refs" => query?.split('&').find_map(|field| field.strip_prefix("service="))?,
            rest => rest,
        };
        match name {
            "git-upload-pack" => Some(Self::Fetch),
            "git-receive-pack" => Some(Self::Push),
            _ => None,
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Fetch => "upload-pack",
            Self::Push => "receive-pack",
        }
    }
}

/// The git remote of all apps. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    repositories: Repositories,
    /// One push to an app at a time.
    turns: Mutex<HashMap<AppName, Arc<Turn<()>>>>,
    tasks: TaskTracker,
}

impl Remote {
    /// Prepares the directory of all repositories.
    pub fn open(directory: &Path) -> Result<Self, GitError> {
        let repositories = Repositories::open(directory)?;
        Ok(Self { inner: Arc::new(Inner { repositories, turns: Mutex::default(), tasks: TaskTracker::new() }) })
    }

    /// Serves a request of git to `…/APP.git/rest`. Who may do it was decided before: [`Service::of`] tells what it is about.
    pub async fn serve<B>(&self, app: &AppName, rest: &str, request: Request<B>, pushes: Arc<dyn Pushes>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error: Send> + Send + 'static,
    {
        let Some(service) = Service::of(rest, request.uri().query()) else {
            return error(StatusCode::NOT_FOUND, "this is a git remote for git 2.x over HTTP; nothing else is here");
        };
        // Nothing of the request is borrowed while its answer is waited for: bodies need not be shared between threads.
        let served = if rest == "info/refs" && request.method() == Method::GET {
            let headers = request.headers().clone();
            drop(request);
            self.refs(app, service, &headers).await
        } else if rest != "info/refs" && request.method() == Method::POST {
            self.call(app, service, request, pushes).await
        } else {
            return error(StatusCode::METHOD_NOT_ALLOWED, "not with this method");
        };
        served.unwrap_or_else(|failed| {
            tracing::error!(app = %app, error = &failed as &dyn std::error::Error, "serve git");
            error(StatusCode::INTERNAL_SERVER_ERROR, "the platform failed to run git; its log tells more")
        })
    }

    /// Removes an app's repository, after a push that is under way.
    pub async fn forget(&self, app: &AppName) -> Result<(), GitError> {
        let _turn = self.turn(app).lock_owned().await;
        let (repositories, app) = (self.inner.repositories.clone(), app.clone());
        blocking(move || repositories.remove(&app)).await
    }

    /// Waits for the pushes that are under way.
    pub async fn close(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn turn(&self, app: &AppName) -> Arc<Turn<()>> {
        let mut turns = self.inner.turns.lock().expect("nobody panics with it");
        // Those that nobody holds or waits for say nothing.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(app.clone()).or_default())
    }

    async fn repository(&self, app: &AppName) -> Result<Repository, GitError> {
        let (repositories, app) = (self.inner.repositories.clone(), app.clone());
        blocking(move || repositories.of(&app)).await
    }

    /// The list of refs, with which every conversation begins.
    async fn refs(&self, app: &AppName, service: Service, headers: &HeaderMap) -> Result<Response<Body>, GitError> {
        let repository = self.repository(app).await?;
        let protocol = protocol(service, headers);
        let name = service.command();
        let mut list = git(Some(&repository.path), Some(&repository.hooks));
        list.args([name, "--stateless-rpc", "--advertise-refs"]).arg(&repository.path);
        if let Some(protocol) = protocol {
            list.env("GIT_PROTOCOL", protocol);
        }
        let refs = blocking(move || run(list, name)).await?;
        let mut body = Vec::new();
        if protocol != Some("version=2") {
            let line = format!("# service=git-{name}\n");
            body.extend_from_slice(format!("{:04x}{line}0000", line.len() + 4).as_bytes());
        }
        body.extend(refs);
        Ok(answer(format!("application/x-git-{name}-advertisement"), Bytes::from(body)))
    }

    /// A fetch's or a push's second half.
    async fn call<B>(
        &self,
        app: &AppName,
        service: Service,
        request: Request<B>,
        pushes: Arc<dyn Pushes>,
    ) -> Result<Response<Body>, GitError>
    where
        B: http_body::Body<Data = Bytes, Error: Send> + Send + 'static,
    {
        let name = service.command();
        let (parts, body) = request.into_parts();
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        if header(CONTENT_TYPE) != Some(&format!("application/x-git-{name}-request")) {
            return Ok(error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this is for git alone"));
        }
        let gzip = match header(CONTENT_ENCODING) {
            None | Some("identity") => false,
            Some("gzip" | "x-gzip") => true,
            Some(_) => return Ok(error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "of encodings only gzip is known")),
        };
        let turn = match service {
            Service::Fetch => None,
            Service::Push => match timeout(WAIT, self.turn(app).lock_owned()).await {
                Ok(turn) => Some(turn),
                Err(_elapsed) => {
                    return Ok(error(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "another push to this app takes very long; try again later",
                    ));
                }
            },
        };
        let repository = self.repository(app).await?;
        let mut command = git(Some(&repository.path), Some(&repository.hooks));
        command.args([name, "--stateless-rpc"]).arg(&repository.path);
        if let Some(protocol) = protocol(service, &parts.headers) {
            command.env("GIT_PROTOCOL", protocol);
        }
        let mut command = tokio::process::Command::from(command);
        let (out, chunks) = mpsc::channel(CHUNKS);
        let (phase, phases) = watch::channel(Phase::Request);
        match turn {
            None => {
                let process = Process::start(command, name)?;
                self.inner.tasks.spawn(async move {
                    process.carry(body, gzip, MOST_ASKED, out, phases).await;
                    drop(phase);
                });
            }
            Some(turn) => {
                let started = |error| GitError::Start(name, error);
                let (conversation, pipes) = Conversation::new().map_err(started)?;
                command.fd_mappings(pipes).map_err(|collision| started(std::io::Error::other(collision)))?;
                let process = Process::start(command, name)?;
                let app = app.clone();
                self.inner.tasks.spawn(async move {
                    let hold = conversation.hold(&app, &repository, &*pushes, &phase);
                    // Twice the limit, so that the client of a push that is too large comes to read why.
                    tokio::join!(hold, process.carry(body, gzip, 2 * MOST_PUSHED, out, phases));
                    after(turn, repository).await;
                });
            }
        }
        Ok(answer(format!("application/x-git-{name}-result"), chunks))
    }
}

/// Ends a push's turn, and tidies up where nobody waits for it.
async fn after(turn: OwnedMutexGuard<()>, repository: Repository) {
    drop(turn);
    if let Err(error) = blocking(move || repository.tidy()).await {
        tracing::warn!(%error, "tidy up a repository");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, GitError> + Send + 'static) -> Result<T, GitError> {
    spawn_blocking(work).await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// The protocol a client asks for; pushes know only the first.
fn protocol(service: Service, headers: &HeaderMap) -> Option<&'static str> {
    let asked = headers.get("git-protocol")?;
    match (service, asked.as_bytes()) {
        (Service::Fetch, b"version=2") => Some("version=2"),
        (Service::Fetch, b"version=1") => Some("version=1"),
        _ => None,
    }
}
