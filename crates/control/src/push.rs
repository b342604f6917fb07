//! Pushes: a commit that came by git is deployed while the pusher watches.

use std::sync::Arc;

use async_trait::async_trait;
use model::{DeploymentState, Starter, Step, StepState};
use source::Limits;
use source::git::{Progress, Push, Pushes};

use crate::Control;
use crate::access::Who;
use crate::deploy::Request;
use crate::error::Result;
use crate::starter::asked_by;

/// Takes the pushes of one request: whoever sent it owns an app that it makes.
#[derive(Debug)]
struct PushesOf {
    control: Control,
    who: Who,
    starter: Option<Starter>,
    /// From where it came, for the audit log.
    address: String,
}

#[async_trait]
impl Pushes for PushesOf {
    async fn deploy(&self, push: Push, progress: Progress) -> std::result::Result<(), String> {
        let words = |error: api::ErrorBody| match error.help.as_str() {
            "" => error.message,
            help => format!("{}\n{help}", error.message),
        };
        let pushed = self.control.deploy_push(&self.who, &self.address, push, &progress);
        asked_by(self.starter.clone(), pushed).await.map_err(words)
    }
}

impl Control {
    /// The git remote.
    pub fn git(&self) -> &source::git::Remote {
        &self.inner.git
    }

    /// What takes the pushes of somebody's request.
    pub fn pushes(&self, who: Who, starter: Option<Starter>, address: String) -> Arc<dyn Pushes> {
        Arc::new(PushesOf { control: self.clone(), who, starter, address })
    }

    async fn deploy_push(&self, who: &Who, address: &str, push: Push, progress: &Progress) -> Result<()> {
        let scratch = self.inner.uploads.scratch(&format!("push-{}", self.inner.serial()));
        let received = push.tree.receive(Limits::default(), &scratch, progress).await.map_err(|error| {
            let _nothing = std::fs::remove_file(&scratch);
            api::ErrorBody::new(api::ErrorCode::SourceRefused, chain(&error))
        })?;
        let upload = self.inner.uploads.adopt(&scratch, &received.digest_hex())?;
        let entry = self.prepare(who, &push.app, &api::DeployOptions::default()).await?;
        let commit_id = Some(push.commit.id.clone());
        let request = Request::Source { upload, commit: Some(push.commit) };
        let number = self.enqueue(&entry, store::DeploymentKind::Source, request, commit_id).await?;
        self.audit(who, "app.deploy", Some(&entry.name), &format!("deployment {number}, pushed by git"), address).await;
        progress.line(format!("deployment {number} of {}", entry.name));
        if let Some(events) = entry.queue.progress(number)
            && let Ok(mut follower) = events.follow()
        {
            while let Ok(Some(line)) = follower.next().await {
                if let Ok(event) = serde_json::from_slice::<api::Event>(&line) {
                    show(&event, progress);
                }
            }
        }
        let document = self.deployment(&push.app, number).await?;
        if document.state == DeploymentState::Live {
            progress.line(format!("live: {}", document.url));
            return Ok(());
        }
        Err(document.error.unwrap_or_else(|| {
            api::ErrorBody::new(api::ErrorCode::Unknown, format!("the deployment ended as {}", document.state.as_str()))
        }))
    }
}

fn show(event: &api::Event, progress: &Progress) {
    match &event.kind {
        api::EventKind::Step { step, state, seconds } => progress.line(step_line(*step, *state, *seconds)),
        api::EventKind::Line { line, .. } => progress.line(format!("    {line}")),
        api::EventKind::End { .. } | api::EventKind::Unknown => {}
    }
}

fn step_line(step: Step, state: StepState, seconds: Option<f64>) -> String {
    match seconds {
        Some(seconds) => format!("{}: {} ({seconds:.1} s)", step.as_str(), state.as_str()),
        None => format!("{} ...", step.as_str()),
    }
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
