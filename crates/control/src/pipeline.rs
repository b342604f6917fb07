//! One deployment from its request to its end: source, plan, dependencies, image, release, start, switch.
//!
//! Nothing that serves is touched before the last step. Every failure says its code, one line, and what to do.

use std::sync::Arc;
use std::time::Instant;

use api::{ErrorBody, ErrorCode};
use build::explain;
use engine::Exit;
use model::{DeploymentNumber, DeploymentState, RevisionNumber, RevisionSpec, Settings, Step, StepState};
use store::DeploymentEnd;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::deploy::{Request, cancelled};
use crate::diagnosis::Failed;
use crate::error::{Result, app_not_found, from_store, internal, revision_not_found};
use crate::instance::{Instance, StartFailure, describe};
use crate::machine::{Place, UNKNOWN_NEED};
use crate::output::{Splitter, Tail};
use crate::progress::Progress;
use crate::registry::Entry;
use crate::runtime::{Command, Live, port_of};
use crate::{Control, clock, construction};

/// A revision to be served, and whether it was made just now.
struct Candidate {
    live: Live,
    /// The store has it already: a rollback.
    kept: bool,
}

/// Runs a deployment to its good end; an error is its bad one, which the caller writes.
pub(crate) async fn run(
    control: &Control,
    entry: &Arc<Entry>,
    number: DeploymentNumber,
    request: Request,
    progress: &Progress,
    cancel: &CancellationToken,
) -> std::result::Result<(), Failed> {
    let work = async {
        let (id, now) = (entry.id, clock::now());
        control.write(move |tx| tx.start_deployment(id, number, now)).await?;
        control.inner.hub.report_soon();
        let candidate = candidate(control, entry, number, request, progress, cancel).await?;
        let settings = control.settings(&entry.name).await?;
        control.ensure_database(entry, &settings, progress).await?;
        if !candidate.kept
            && let Some(args) = candidate.live.spec.release.clone()
        {
            release(control, entry, &candidate.live, args, progress, cancel).await?;
        }
        let first = start(control, entry, &candidate.live, progress, cancel).await?;
        Ok(switch(control, entry, number, candidate.live, first, progress).await?)
    };
    work.await
}

/// The revision that the request asks for, written to the store.
async fn candidate(
    control: &Control,
    entry: &Arc<Entry>,
    number: DeploymentNumber,
    request: Request,
    progress: &Progress,
    cancel: &CancellationToken,
) -> std::result::Result<Candidate, Failed> {
    let (id, name) = (entry.id, entry.name.clone());
    let (app, live) = control
        .read(move |tx| {
            let app = tx.app(&name)?;
            let live = match app.as_ref().and_then(|app| app.live) {
                Some(live) => tx.revision(id, live)?,
                None => None,
            };
            Ok((app, live))
        })
        .await?;
    let app = app.ok_or_else(|| app_not_found(&entry.name))?;
    // Let go only when the store has the revision.
    let mut _pin = None;
    let spec = match request {
        Request::Source { upload, commit } => {
            let began = Instant::now();
            let built = construction::build(control, entry, number, &app.settings, &upload, commit, progress, cancel).await;
            control.inner.builds.ended(began.elapsed(), built.as_ref().err().map(|failed| &failed.error));
            let built = built?;
            _pin = Some(built.1);
            built.0
        }
        Request::Settings => {
            let live =
                live.ok_or_else(|| ErrorBody::new(ErrorCode::Conflict, "nothing is live that the settings could change"))?;
            with_settings(live.spec, &app.settings)
        }
        Request::Rollback(to) => {
            let revision =
                control.read(move |tx| tx.revision(id, to)).await?.ok_or_else(|| revision_not_found(&entry.name, to))?;
            describe_deployment(control, entry, number, &revision.spec, to).await?;
            return Ok(Candidate { live: Live { number: to, spec: Arc::new(revision.spec) }, kept: true });
        }
    };
    let (kept, now) = (spec.clone(), clock::now());
    let revision = control.write(move |tx| tx.create_revision(id, &kept, now)).await?;
    describe_deployment(control, entry, number, &spec, revision).await?;
    Ok(Candidate { live: Live { number: revision, spec: Arc::new(spec) }, kept: false })
}

async fn describe_deployment(
    control: &Control,
    entry: &Entry,
    number: DeploymentNumber,
    spec: &RevisionSpec,
    revision: RevisionNumber,
) -> Result<()> {
    let (id, template) = (entry.id, spec.template.clone());
    control.write(move |tx| tx.describe_deployment(id, number, Some(&template), Some(revision))).await
}

/// A revision with what of the settings needs no build.
fn with_settings(spec: RevisionSpec, settings: &Settings) -> RevisionSpec {
    RevisionSpec {
        environment: settings.environment.clone(),
        resources: settings.resource_config,
        idle_timeout: settings.idle_timeout,
        serving: settings.serving.clone(),
        // Its release command ran when the image was first deployed.
        release: None,
        ..spec
    }
}

/// Runs the release command once, in a container of its own.
async fn release(
    control: &Control,
    entry: &Entry,
    live: &Live,
    args: Vec<String>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> std::result::Result<(), Failed> {
    progress.start(Step::Release).await.map_err(from_store)?;
    let engine = &control.inner.engine;
    let mut spec = entry.specs.release(live.number, &live.spec, args);
    let _database = entry
        .specs
        .awake(&mut spec)
        .await
        .map_err(|failure| ErrorBody::new(ErrorCode::DatabaseFailed, failure.to_string()).help(failure.help()))?;
    let mut container = engine.create(spec).await.map_err(|error| internal("make the release command's container", &error))?;
    let tail = Tail::default();
    let pumps = container.take_output().map(|(stdout, stderr)| {
        let (to, tail) = (progress.clone(), tail.clone());
        tokio::spawn(async move {
            tokio::join!(relay(&to, &tail, api::Stream::Stdout, stdout), relay(&to, &tail, api::Stream::Stderr, stderr));
        })
    });
    let exit = tokio::select! {
        exit = container.exited() => Some(exit),
        () = cancel.cancelled() => None,
    };
    if exit.is_none() {
        let _gone = engine.stop(&container.id, crate::instance::STOP_GRACE).await;
    }
    if let Some(pumps) = pumps {
        let _late = tokio::time::timeout(std::time::Duration::from_secs(2), pumps).await;
    }
    match exit {
        None => Err(cancelled().into()),
        Some(Exit { code: Some(0), .. }) => Ok(progress.end(StepState::Done).await.map_err(from_store)?),
        Some(exit) => Err(release_failed(exit, &tail.lines())),
    }
}

fn release_failed(exit: Exit, lines: &[String]) -> Failed {
    let message = format!("the release command failed: {}", describe(exit));
    let log = lines.join("\n");
    if let Some(found) = explain::start_failure(&log, &[], 0) {
        let error = ErrorBody::new(ErrorCode::ReleaseFailed, format!("{message}. {}", found.title)).help(found.fix.clone());
        return Failed::recognised(error, &found);
    }
    let error = ErrorBody::new(ErrorCode::ReleaseFailed, message)
        .help("its output is in the deployment's log; what was served before is served on");
    Failed::recognised(error, &explain::release_failure(&describe(exit), &log))
}

async fn relay(progress: &Progress, tail: &Tail, stream: api::Stream, mut from: impl tokio::io::AsyncRead + Unpin) {
    use tokio::io::AsyncReadExt;
    let say = |line: String| {
        tail.push_line(&line);
        progress.line(stream, line);
    };
    let mut splitter = Splitter::default();
    let mut buffer = vec![0_u8; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        splitter.push(&buffer[..read]).into_iter().for_each(say);
    }
    if let Some(line) = splitter.rest() {
        say(line);
    }
}

/// Starts instances beside those that serve, as many as the load needs, and waits until the first has answered.
async fn start(
    control: &Control,
    entry: &Entry,
    live: &Live,
    progress: &Progress,
    cancel: &CancellationToken,
) -> std::result::Result<Vec<Instance>, Failed> {
    progress.start(Step::Start).await.map_err(from_store)?;
    let first = prove(control, entry, live, cancel).await;
    let first = first.map_err(|(failure, lines)| start_failed(&failure, &lines, port_of(&live.spec), progress))?;
    let mut instances = vec![first];
    instances.extend(companions(control, entry, live, cancel).await);
    progress.end(StepState::Done).await.map_err(from_store)?;
    Ok(instances)
}

/// Starts an instance and waits until it has answered. A failure comes with the app's last lines.
pub(crate) async fn prove(
    control: &Control,
    entry: &Entry,
    live: &Live,
    cancel: &CancellationToken,
) -> std::result::Result<Instance, (StartFailure, Vec<String>)> {
    let engine = &control.inner.engine;
    let (first, _place) = begin(control, entry, live).await.map_err(|failure| (failure, Vec::new()))?;
    let probe = entry.specs.probe(&live.spec);
    let proven = async {
        first.ready(engine, &probe).await?;
        first.answers(&probe).await
    };
    let ready = tokio::select! {
        ready = proven => ready,
        () = cancel.cancelled() => Err(StartFailure::Cancelled),
    };
    match ready {
        Ok(()) => Ok(first),
        Err(failure) => {
            let tail = first.tail.clone();
            first.stop(engine).await;
            Err((failure, tail.lines()))
        }
    }
}

/// One more instance of a candidate, not ready yet, and its turn and memory, to be held until it is.
async fn begin(control: &Control, entry: &Entry, live: &Live) -> std::result::Result<(Instance, Place), StartFailure> {
    let engine = &control.inner.engine;
    let (mut spec, port) = entry.specs.candidate(live);
    let place =
        control.inner.machine.admit(engine, spec.limits.memory_bytes.min(UNKNOWN_NEED)).await.map_err(StartFailure::NoRoom)?;
    let image = entry.specs.in_use(&live.spec.image);
    let database = entry.specs.awake(&mut spec).await?;
    let meter = &entry.specs.meter;
    let created = Instance::create(engine, &entry.name, live.number, port, spec, &entry.log, meter, image, database).await?;
    Ok((created, place))
}

/// What else the app's load needs at once, now that the revision has shown that it works. An instance less is no reason to fail.
async fn companions(control: &Control, entry: &Entry, live: &Live, cancel: &CancellationToken) -> Vec<Instance> {
    let (reply, answer) = oneshot::channel();
    let needed = match entry.mailbox.send(Command::Needed(live.clone(), reply)) {
        Ok(()) => answer.await.unwrap_or(1),
        Err(_ended) => 1,
    };
    let engine = &control.inner.engine;
    let probe = entry.specs.probe(&live.spec);
    let starts = (1..needed).map(async |_| {
        let (instance, _place) = begin(control, entry, live).await?;
        let ready = tokio::select! {
            ready = instance.ready(engine, &probe) => ready,
            () = cancel.cancelled() => Err(StartFailure::Cancelled),
        };
        match ready {
            Ok(()) => Ok(instance),
            Err(failure) => {
                instance.stop(engine).await;
                Err(failure)
            }
        }
    });
    let started = futures_util::future::join_all(starts.collect::<Vec<_>>()).await;
    started
        .into_iter()
        .filter_map(|result| result.inspect_err(|failure| entry.log.say("", &format!("an instance less: {failure}"))).ok())
        .collect()
}

/// The failure of a start: the app's last lines go into the deployment's log, and what they say into the advice.
fn start_failed(failure: &StartFailure, lines: &[String], port: u16, progress: &Progress) -> Failed {
    for line in lines {
        progress.line(api::Stream::Stderr, line.clone());
    }
    if matches!(failure, StartFailure::Cancelled) {
        return cancelled().into();
    }
    let elsewhere = match failure {
        StartFailure::Elsewhere { elsewhere, .. } => elsewhere.as_slice(),
        _ => &[],
    };
    let error = ErrorBody::new(ErrorCode::StartFailed, failure.to_string());
    let log = lines.join("\n");
    let found = explain::start_failure(&log, elsewhere, port);
    let by_its_end = || failure.end().map(|end| explain::by_end(&end, &log, port));
    let error = match &found {
        Some(found) if elsewhere.is_empty() => {
            let cause = found.cause.trim_end_matches('.');
            let help = if cause.is_empty() { found.fix.clone() } else { format!("{cause}. {}", found.fix) };
            ErrorBody { message: format!("{failure}. {}", found.title), ..error }.help(help)
        }
        None if matches!(failure, StartFailure::Exited { .. }) && lines.iter().any(|line| !line.trim().is_empty()) => {
            let last = lines.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty()).unwrap_or_default();
            error.help(format!("its last line in the log: {}", last.chars().take(240).collect::<String>()))
        }
        _ => error.help(failure.help()),
    };
    match found.or_else(by_its_end) {
        Some(found) => Failed::recognised(error, &found),
        None => error.into(),
    }
}

async fn stop_all(control: &Control, instances: Vec<Instance>) {
    let stops = instances.into_iter().map(|instance| instance.stop(&control.inner.engine));
    futures_util::future::join_all(stops).await;
}

/// On disk first, then at the edge: after a crash in between the new revision is served, as the store says.
async fn switch(
    control: &Control,
    entry: &Entry,
    number: DeploymentNumber,
    live: Live,
    instances: Vec<Instance>,
    progress: &Progress,
) -> Result<()> {
    if let Err(error) = progress.start(Step::Switch).await {
        stop_all(control, instances).await;
        return Err(from_store(error));
    }
    let (id, revision, now) = (entry.id, live.number, clock::now());
    let end = DeploymentEnd { state: DeploymentState::Live, code: None, error: None, help: None, diagnosis: None };
    let written = control
        .write(move |tx| {
            tx.set_live(id, revision)?;
            tx.end_deployment(id, number, &end, now)
        })
        .await;
    if let Err(error) = written {
        stop_all(control, instances).await;
        return Err(error);
    }
    let (reply, answer) = oneshot::channel();
    let promote = Command::Promote { live, instances, reply };
    if entry.mailbox.send(promote).is_ok() {
        let _ended = answer.await;
    }
    // Whoever becomes live gets all visitors, as the store says since the same step.
    entry.handle.set_split(None);
    if let Some(side) = entry.set_side(None) {
        control.inner.tasks.spawn(async move { side.end().await });
    }
    progress.switched();
    tracing::info!(app = %entry.name, deployment = %number, %revision, "live");
    Ok(())
}
