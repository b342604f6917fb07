//! A part of an app's visitors gets another revision than the live one, for as long as somebody watches how it does.

use std::sync::Arc;

use api::{AppStatus, ErrorBody, ErrorCode, Split};
use edge::AppStatus as Serving;
use model::{AppName, RevisionNumber};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::{Result, revision_not_found};
use crate::pipeline;
use crate::registry::{Entry, Side};
use crate::runtime::{Command, Live, Runtime, RuntimeParts};
use crate::{Control, apps, spec};

impl Control {
    /// Sends a part of the app's visitors to another kept revision, once that has shown that it works; `None` ends it.
    pub async fn split(&self, name: &AppName, split: Option<Split>) -> Result<AppStatus> {
        let entry = self.entry(name)?;
        let turn = entry.queue.turn().await;
        match split {
            None => self.end_split(&entry).await?,
            Some(Split { percent, .. }) if !(1..=99).contains(&percent) => {
                return Err(ErrorBody::new(ErrorCode::BadRequest, format!("a part of {percent} % can't be split off"))
                    .help("1 to 99 %; `adaptable rollback APP --to N` gives a revision all visitors, `--off` ends a split"));
            }
            Some(split) => self.begin_split(&entry, split).await?,
        }
        drop(turn);
        self.app(name).await
    }

    async fn begin_split(&self, entry: &Arc<Entry>, split: Split) -> Result<()> {
        let (id, to, name) = (entry.id, split.revision, entry.name.clone());
        let (app, revision) = self.read(move |tx| Ok((tx.app(&name)?, tx.revision(id, to)?))).await?;
        let revision = revision.ok_or_else(|| revision_not_found(&entry.name, to))?;
        match app.as_ref().map(|app| (app.live, app.paused)) {
            Some((Some(live), _)) if live == to => {
                return Err(ErrorBody::new(ErrorCode::Conflict, format!("revision {to} is the one that {} serves", entry.name))
                    .help("name another revision: `adaptable revisions` lists them"));
            }
            Some((Some(_), true)) => {
                return Err(ErrorBody::new(ErrorCode::Conflict, format!("{} is paused", entry.name)).help("resume it first"));
            }
            Some((Some(_), false)) => {}
            _ => return Err(ErrorBody::new(ErrorCode::Conflict, "nothing is live that visitors could be split from")),
        }
        let same = entry.side().is_some_and(|side| side.revision == to);
        if !same {
            let live = Live { number: to, spec: Arc::new(revision.spec) };
            let instance = pipeline::prove(self, entry, &live, &CancellationToken::new()).await.map_err(|(failure, _)| {
                ErrorBody::new(ErrorCode::StartFailed, format!("revision {to} did not start: {failure}")).help(failure.help())
            })?;
            self.end_split(entry).await?;
            let side = self.open_side(entry, live.clone());
            let (reply, answer) = oneshot::channel();
            let promote = Command::Promote { live, instances: vec![instance], reply };
            if side.mailbox.send(promote).is_ok() {
                let _ended = answer.await;
            }
            entry.set_side(Some(side));
        }
        let stored = store::Split { revision: to, percent: split.percent };
        self.write(move |tx| tx.set_split(id, Some(stored))).await?;
        if let Some(side) = entry.side() {
            entry.handle.set_split(Some((split.percent, Arc::clone(&side.handle))));
        }
        entry.log.say("", &format!("{} % of the visitors get revision {to}", split.percent));
        Ok(())
    }

    /// All visitors get the live revision; the other one's instances finish their requests.
    pub(crate) async fn end_split(&self, entry: &Arc<Entry>) -> Result<()> {
        let id = entry.id;
        entry.handle.set_split(None);
        let Some(side) = entry.set_side(None) else { return Ok(()) };
        self.write(move |tx| tx.set_split(id, None)).await?;
        entry.log.say("", &format!("no visitors are split off to revision {} any more", side.revision));
        self.inner.tasks.spawn(async move { side.end().await });
        Ok(())
    }

    /// At the platform's start: a split that the store knows of goes on.
    pub(crate) fn resume_split(&self, entry: &Arc<Entry>, split: store::Split, live: Live) {
        let side = self.open_side(entry, live);
        entry.handle.set_split(Some((split.percent, Arc::clone(&side.handle))));
        entry.set_side(Some(side));
    }

    /// The task and the edge's handle of another revision.
    fn open_side(&self, entry: &Arc<Entry>, live: Live) -> Arc<Side> {
        let revision: RevisionNumber = live.number;
        let handle = entry.handle.beside(spec::edge_settings(&live.spec, None), Serving::Active);
        let (mailbox, receiver) = mpsc::unbounded_channel();
        let parts = RuntimeParts {
            app: entry.name.clone(),
            specs: Arc::clone(&entry.specs),
            engine: Arc::clone(&self.inner.engine),
            machine: Arc::clone(&self.inner.machine),
            handle: Arc::clone(&handle),
            log: entry.log.clone(),
            live: Some(live),
            paused: false,
        };
        drop(Runtime::spawn(parts, (mailbox.clone(), receiver)));
        Arc::new(Side { revision, handle, mailbox })
    }
}

impl Side {
    /// Ends its instances and its task.
    pub(crate) async fn end(&self) {
        let (reply, answer) = oneshot::channel();
        if self.mailbox.send(Command::End(reply)).is_ok() {
            let _ended = answer.await;
        }
    }
}

/// Carries a command out for all that runs of an app.
pub(crate) async fn ask_all(entry: &Entry, command: impl Fn(oneshot::Sender<()>) -> Command) {
    apps::ask(&entry.mailbox, &command).await;
    if let Some(side) = entry.side() {
        apps::ask(&side.mailbox, &command).await;
    }
}
