//! Deployments: one attempt each, with steps and one end. The state machine is the model's.

use std::collections::BTreeMap;

use model::{AppName, DeploymentNumber, DeploymentState, RevisionNumber, Starter, StarterKind, Step, StepState};
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{AppId, StoreError, Tx, word};

/// What a deployment is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentKind {
    /// A source tree: everything is built.
    Source,
    /// Changed variables or limits: a new revision without a build.
    Settings,
    /// A kept revision, again.
    Rollback,
}

impl DeploymentKind {
    /// The word in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Settings => "settings",
            Self::Rollback => "rollback",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Source, Self::Settings, Self::Rollback].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What is known when a deployment is asked for.
#[derive(Debug)]
pub struct NewDeployment<'a, R> {
    /// What it is made from.
    pub kind: DeploymentKind,
    /// What to deploy, in control's own words; sealed.
    pub request: &'a R,
    /// The source's commit.
    pub commit_id: Option<&'a str>,
    /// Who asked for it.
    pub by: Option<&'a Starter>,
}

/// How a deployment ended.
#[derive(Debug, Clone)]
pub struct DeploymentEnd {
    /// One of the ended states.
    pub state: DeploymentState,
    /// A stable code of the failure.
    pub code: Option<String>,
    /// What went wrong, in one line.
    pub error: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// What the failure was recognised as: control's document.
    pub diagnosis: Option<String>,
}

/// A step as it was recorded.
#[derive(Debug, Clone)]
pub struct StepRow {
    /// Which one.
    pub step: Step,
    /// How far it has come.
    pub state: StepState,
    /// Seconds that it took, once it has ended.
    pub seconds: Option<f64>,
}

/// A deployment as it stands.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its number within the app.
    pub number: DeploymentNumber,
    /// Its state.
    pub state: DeploymentState,
    /// What it is made from.
    pub kind: DeploymentKind,
    /// The revision that it made or chose.
    pub revision: Option<RevisionNumber>,
    /// The template that was recognised.
    pub template: Option<String>,
    /// The source's commit.
    pub commit_id: Option<String>,
    /// Who asked for it.
    pub by: Option<Starter>,
    /// A stable code of the failure.
    pub error_code: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// What the failure was recognised as: control's document.
    pub diagnosis: Option<String>,
    /// The deployment whose second try it is.
    pub retry_of: Option<DeploymentNumber>,
    /// When it was asked for.
    pub created_at: i64,
    /// When it began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Its steps, in order.
    pub steps: Vec<StepRow>,
}

const COLUMNS: &str = "number, state, kind, revision, template, commit_id, error_code, error, help, created_at, started_at, ended_at, \
    diagnosis, by_kind, by_name, retry_of";

fn place(app: AppId, number: u32) -> String {
    format!("deployment.request:{}:{number}", app.0)
}

impl Tx<'_> {
    /// Records a deployment that waits for its turn.
    pub fn create_deployment<R: Serialize>(
        &self,
        app: AppId,
        new: &NewDeployment<'_, R>,
        now: i64,
    ) -> Result<DeploymentNumber, StoreError> {
        let number: u32 =
            self.db.query_row("select 1 + coalesce(max(number), 0) from deployment where app = ?", [app.0], |row| row.get(0))?;
        let sealed = self.sealer.seal_json(&place(app, number), new.request)?;
        self.db.execute(
            "insert into deployment (app, number, state, kind, request, commit_id, created_at, by_kind, by_name)
             values (?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
            params![
                app.0,
                number,
                new.kind.as_str(),
                sealed,
                new.commit_id,
                now,
                new.by.map(|by| by.kind.as_str()),
                new.by.map_or("", |by| by.name.as_str())
            ],
        )?;
        Ok(DeploymentNumber(number))
    }

    /// What a deployment was asked to do.
    pub fn deployment_request<R: DeserializeOwned>(&self, app: AppId, number: DeploymentNumber) -> Result<Option<R>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .db
            .query_row("select request from deployment where app = ? and number = ?", params![app.0, number.0], |row| row.get(0))
            .optional()?;
        sealed.map(|sealed| Ok(self.sealer.open_json("deployment", &place(app, number.0), &sealed)?)).transpose()
    }

    /// One deployment with its steps.
    pub fn deployment(&self, app: AppId, number: DeploymentNumber) -> Result<Option<Deployment>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("select {COLUMNS} from deployment where app = ? and number = ?"))?;
        let raw = statement.query_row(params![app.0, number.0], Raw::read).optional()?;
        raw.map(|raw| self.with_steps(app, raw)).transpose()
    }

    /// The newest `limit` deployments of an app, newest first.
    pub fn deployments(&self, app: AppId, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        let mut statement =
            self.db.prepare_cached(&format!("select {COLUMNS} from deployment where app = ? order by number desc limit ?"))?;
        let raws = statement.query_map(params![app.0, limit], Raw::read)?.collect::<Result<Vec<_>, _>>()?;
        raws.into_iter().map(|raw| self.with_steps(app, raw)).collect()
    }

    /// The newest `limit` deployments of an app among those before a number, newest first.
    pub fn deployments_before(&self, app: AppId, before: DeploymentNumber, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!(
            "select {COLUMNS} from deployment where app = ? and number < ? order by number desc limit ?"
        ))?;
        let raws = statement.query_map(params![app.0, before.0, limit], Raw::read)?.collect::<Result<Vec<_>, _>>()?;
        raws.into_iter().map(|raw| self.with_steps(app, raw)).collect()
    }

    /// Who asked for the deployments that made an app's revisions, as far as it is known.
    pub fn revision_starters(&self, app: AppId) -> Result<BTreeMap<RevisionNumber, Starter>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "select revision, by_kind, by_name from deployment
             where app = ? and kind <> 'rollback' and revision is not null and by_kind is not null",
        )?;
        let rows = statement
            .query_map([app.0], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, String>(2)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        let known = rows.into_iter().map(|(number, kind, name)| Ok((RevisionNumber(number), starter(kind, name)?)));
        let known = known.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(known.into_iter().filter_map(|(number, by)| Some((number, by?))).collect())
    }

    /// Notes that a deployment is the second try of another one.
    pub fn set_retry_of(&self, app: AppId, number: DeploymentNumber, of: DeploymentNumber) -> Result<(), StoreError> {
        self.db.execute("update deployment set retry_of = ? where app = ? and number = ?", params![of.0, app.0, number.0])?;
        Ok(())
    }

    /// Begins a queued deployment.
    pub fn start_deployment(&self, app: AppId, number: DeploymentNumber, now: i64) -> Result<(), StoreError> {
        self.transition(app, number, DeploymentState::Running)?;
        self.db.execute("update deployment set started_at = ? where app = ? and number = ?", params![now, app.0, number.0])?;
        Ok(())
    }

    /// Ends a deployment; steps under way end with it.
    pub fn end_deployment(&self, app: AppId, number: DeploymentNumber, end: &DeploymentEnd, now: i64) -> Result<(), StoreError> {
        self.transition(app, number, end.state)?;
        self.db.execute(
            "update deployment set ended_at = ?, error_code = ?, error = ?, help = ?, diagnosis = ? where app = ? and number = ?",
            params![now, end.code, end.error, end.help, end.diagnosis, app.0, number.0],
        )?;
        self.db.execute(
            "update step set state = ?, seconds = (? - started_at) / 1000.0 where app = ? and deployment = ? and state = 'running'",
            params![if end.state == DeploymentState::Live { "done" } else { "failed" }, now, app.0, number.0],
        )?;
        Ok(())
    }

    /// Notes what a deployment found out about itself.
    pub fn describe_deployment(
        &self,
        app: AppId,
        number: DeploymentNumber,
        template: Option<&str>,
        revision: Option<RevisionNumber>,
    ) -> Result<(), StoreError> {
        self.db.execute(
            "update deployment set template = coalesce(?, template), revision = coalesce(?, revision) where app = ? and number = ?",
            params![template, revision.map(|revision| revision.0), app.0, number.0],
        )?;
        Ok(())
    }

    /// Records a step's beginning.
    pub fn start_step(&self, app: AppId, number: DeploymentNumber, step: Step, now: i64) -> Result<(), StoreError> {
        self.db.execute(
            "insert into step (app, deployment, name, state, started_at) values (?, ?, ?, 'running', ?)
             on conflict do update set state = 'running', started_at = excluded.started_at, seconds = null",
            params![app.0, number.0, step.as_str(), now],
        )?;
        Ok(())
    }

    /// Records a step's end.
    pub fn end_step(
        &self,
        app: AppId,
        number: DeploymentNumber,
        step: Step,
        state: StepState,
        seconds: f64,
    ) -> Result<(), StoreError> {
        self.db.execute(
            "update step set state = ?, seconds = ? where app = ? and deployment = ? and name = ?",
            params![state.as_str(), seconds, app.0, number.0, step.as_str()],
        )?;
        Ok(())
    }

    /// The deployments that have not ended, oldest first.
    pub fn open_deployments(&self) -> Result<Vec<(AppId, AppName, DeploymentNumber)>, StoreError> {
        let mut statement = self.db.prepare(
            "select app.id, app.name, deployment.number from deployment join app on app.id = deployment.app
             where deployment.state in ('queued', 'running') order by deployment.created_at, deployment.number",
        )?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(id, name, number)| {
                Ok((AppId(id), word("app.name", &name, |text| AppName::parse(text).ok())?, DeploymentNumber(number)))
            })
            .collect()
    }

    fn transition(&self, app: AppId, number: DeploymentNumber, next: DeploymentState) -> Result<(), StoreError> {
        let text: String =
            self.db.query_row("select state from deployment where app = ? and number = ?", params![app.0, number.0], |row| {
                row.get(0)
            })?;
        let now = word("deployment.state", &text, DeploymentState::parse)?;
        if !now.may_become(next) {
            return Err(StoreError::Transition { from: now.as_str(), to: next.as_str() });
        }
        self.db
            .execute("update deployment set state = ? where app = ? and number = ?", params![next.as_str(), app.0, number.0])?;
        Ok(())
    }

    fn with_steps(&self, app: AppId, raw: Raw) -> Result<Deployment, StoreError> {
        let mut statement = self.db.prepare_cached(
            "select name, state, seconds from step where app = ? and deployment = ? order by started_at, rowid",
        )?;
        let rows = statement
            .query_map(params![app.0, raw.number], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<f64>>(2)?))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let steps = rows
            .into_iter()
            .map(|(name, state, seconds)| {
                let step = word("step.name", &name, Step::parse)?;
                Ok(StepRow { step, state: word("step.state", &state, StepState::parse)?, seconds })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Deployment {
            number: DeploymentNumber(raw.number),
            state: word("deployment.state", &raw.state, DeploymentState::parse)?,
            kind: word("deployment.kind", &raw.kind, DeploymentKind::parse)?,
            revision: raw.revision.map(RevisionNumber),
            template: raw.template,
            commit_id: raw.commit_id,
            by: starter(raw.by_kind, raw.by_name)?,
            error_code: raw.error_code,
            error: raw.error,
            help: raw.help,
            diagnosis: raw.diagnosis,
            retry_of: raw.retry_of.map(DeploymentNumber),
            created_at: raw.created_at,
            started_at: raw.started_at,
            ended_at: raw.ended_at,
            steps,
        })
    }
}

fn starter(kind: Option<String>, name: String) -> Result<Option<Starter>, StoreError> {
    kind.map(|kind| Ok(Starter { kind: word("deployment.by_kind", &kind, StarterKind::parse)?, name })).transpose()
}

struct Raw {
    number: u32,
    state: String,
    kind: String,
    revision: Option<u32>,
    template: Option<String>,
    commit_id: Option<String>,
    error_code: Option<String>,
    error: Option<String>,
    help: Option<String>,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    diagnosis: Option<String>,
    by_kind: Option<String>,
    by_name: String,
    retry_of: Option<u32>,
}

impl Raw {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            state: row.get(1)?,
            kind: row.get(2)?,
            revision: row.get(3)?,
            template: row.get(4)?,
            commit_id: row.get(5)?,
            error_code: row.get(6)?,
            error: row.get(7)?,
            help: row.get(8)?,
            created_at: row.get(9)?,
            started_at: row.get(10)?,
            ended_at: row.get(11)?,
            diagnosis: row.get(12)?,
            by_kind: row.get(13)?,
            by_name: row.get(14)?,
            retry_of: row.get(15)?,
        })
    }
}
