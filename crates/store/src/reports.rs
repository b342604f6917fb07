//! What GitHub is told of deployments, and how far that has come: kept, so that a restart leaves no commit pending for ever.

use model::{AppName, DeploymentNumber, DeploymentState};
use rusqlite::params;

use crate::github::column;
use crate::{AppId, StoreError, Tx, word};

/// A deployment that GitHub is told of.
#[derive(Debug, Clone)]
pub struct Report {
    /// The app's number.
    pub app: AppId,
    /// Its name.
    pub name: AppName,
    /// The deployment.
    pub deployment: DeploymentNumber,
    /// Its state now.
    pub state: DeploymentState,
    /// Its failure, where it has failed.
    pub error: Option<String>,
    /// GitHub's number of the repository.
    pub repository: u64,
    /// Its name.
    pub full_name: String,
    /// The installation that opens it.
    pub installation: u64,
    /// The commit.
    pub commit_id: String,
    /// GitHub's own number of its deployment, once it has one.
    pub remote: Option<u64>,
    /// How often GitHub could not be told the state of now.
    pub tries: u32,
    /// When it is tried next.
    pub next_at: i64,
}

/// A deployment that GitHub is to be told of.
#[derive(Debug, Clone)]
pub struct NewReport {
    /// GitHub's number of the repository.
    pub repository: u64,
    /// Its name.
    pub full_name: String,
    /// The installation that opens it.
    pub installation: u64,
    /// The commit.
    pub commit_id: String,
}

impl Tx<'_> {
    /// GitHub is to be told of a deployment.
    pub fn create_report(&self, app: AppId, deployment: DeploymentNumber, new: &NewReport, now: i64) -> Result<(), StoreError> {
        self.db.execute(
            "insert into github_report (app, deployment, repository, full_name, installation, commit_id, next_at)
             values (?, ?, ?, ?, ?, ?, ?)",
            params![app.0, deployment.0, column(new.repository), new.full_name, column(new.installation), new.commit_id, now],
        )?;
        Ok(())
    }

    /// The deployments whose state is not what GitHub was told, the oldest first.
    pub fn untold(&self) -> Result<Vec<Report>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "select r.app, app.name, r.deployment, d.state, d.error, r.repository, r.full_name, r.installation, r.commit_id, r.remote,
                    iif(r.trying = d.state, r.tries, 0), iif(r.trying = d.state, r.next_at, 0)
             from github_report r join deployment d on d.app = r.app and d.number = r.deployment join app on app.id = r.app
             where r.told <> d.state and (r.given_up = 0 or r.trying <> d.state) order by d.created_at, r.deployment limit 200",
        )?;
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let rows = statement
            .query_map([], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, u32>(2)?,
                    row.get::<_, String>(3)?,
                    row.get::<_, Option<String>>(4)?,
                    (row.get::<_, i64>(5)?, row.get::<_, String>(6)?, row.get::<_, i64>(7)?),
                    row.get::<_, String>(8)?,
                    row.get::<_, Option<i64>>(9)?,
                    row.get::<_, u32>(10)?,
                    row.get::<_, i64>(11)?,
                ))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(
                |(
                    app,
                    name,
                    deployment,
                    state,
                    error,
                    (repository, full_name, installation),
                    commit_id,
                    remote,
                    tries,
                    next_at,
                )| {
                    Ok(Report {
                        app: AppId(app),
                        name: word("app.name", &name, |text| AppName::parse(text).ok())?,
                        deployment: DeploymentNumber(deployment),
                        state: word("deployment.state", &state, DeploymentState::parse)?,
                        error,
                        repository: number(repository),
                        full_name,
                        installation: number(installation),
                        commit_id,
                        remote: remote.map(number),
                        tries,
                        next_at,
                    })
                },
            )
            .collect()
    }

    /// GitHub has a deployment of its own for it now.
    pub fn set_report_remote(&self, app: AppId, deployment: DeploymentNumber, remote: u64) -> Result<(), StoreError> {
        self.db.execute(
            "update github_report set remote = ? where app = ? and deployment = ?",
            params![column(remote), app.0, deployment.0],
        )?;
        Ok(())
    }

    /// GitHub knows that state now.
    pub fn told(&self, app: AppId, deployment: DeploymentNumber, state: DeploymentState) -> Result<(), StoreError> {
        self.db.execute(
            "update github_report set told = ?, tries = 0, given_up = 0, problem = null where app = ? and deployment = ?",
            params![state.as_str(), app.0, deployment.0],
        )?;
        Ok(())
    }

    /// GitHub could not be told. It is tried again then, or no more.
    pub fn not_told(
        &self,
        app: AppId,
        deployment: DeploymentNumber,
        state: DeploymentState,
        problem: &str,
        next_at: Option<i64>,
    ) -> Result<(), StoreError> {
        self.db.execute(
            "update github_report set tries = iif(trying = ?1, tries, 0) + 1, trying = ?1, problem = ?2, next_at = coalesce(?3, next_at), given_up = ?4
             where app = ?5 and deployment = ?6",
            params![state.as_str(), problem, next_at, next_at.is_none(), app.0, deployment.0],
        )?;
        Ok(())
    }

    /// Why GitHub could not be told of an app's last deployment that it should be told of.
    pub fn report_problem(&self, app: AppId) -> Result<Option<String>, StoreError> {
        let mut statement =
            self.db.prepare_cached("select problem from github_report where app = ? order by deployment desc limit 1")?;
        let mut rows = statement.query_map([app.0], |row| row.get::<_, Option<String>>(0))?;
        Ok(rows.next().transpose()?.flatten())
    }
}
