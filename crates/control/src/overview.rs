//! What pages show at a glance: apps with how they are, and deployments with what they were made from. Nothing here starts or asks a
//! container, so that a list of many apps is made in a moment.

use api::{AppSummary, Commit, LastHour};
use edge::AppHandle;
use model::{AppName, DeploymentNumber};
use store::{AppId, DeploymentKind, StoreError, Tx};

use crate::deploy::Request;
use crate::error::{Result, app_not_found, deployment_not_found};
use crate::{Control, apps, documents};

/// An app at a glance.
#[derive(Debug, Clone, PartialEq)]
pub struct AppGlance {
    /// What lists show of it.
    pub summary: AppSummary,
    /// Instances that visitors reach, frozen ones included; none while it sleeps.
    pub instances: usize,
    /// Its newest deployment.
    pub last: Option<DeploymentGlance>,
    /// Its last hour.
    pub last_hour: LastHour,
}

/// A deployment, and what it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentGlance {
    /// The deployment.
    pub deployment: api::Deployment,
    /// What was asked for.
    pub kind: DeploymentKind,
    /// Where its source comes from, with all that is known of it.
    pub commit: Option<Commit>,
}

impl Control {
    /// Those of the apps that `shown` lets through, by name.
    pub async fn glance(&self, shown: impl Fn(&AppName) -> bool + Send + 'static) -> Result<Vec<AppGlance>> {
        let urls = self.urls();
        let list = self.read(move |tx| {
            let apps = tx.apps()?;
            let list = apps.iter().filter(|app| shown(&app.name)).map(|app| {
                let url = urls.app(&app.name);
                let last = tx.deployments(app.id, 1)?.into_iter().next();
                let last = last.map(|row| deployment(tx, app.id, &app.name, &url, &row)).transpose()?;
                Ok((apps::summary(tx, app, url)?, last))
            });
            list.collect::<std::result::Result<Vec<_>, StoreError>>()
        });
        let glances = list.await?.into_iter().map(|(summary, last)| self.with_live(summary, last)).collect();
        Ok(glances)
    }

    /// One app.
    pub async fn app_glance(&self, name: &AppName) -> Result<AppGlance> {
        let list = self.glance({
            let name = name.clone();
            move |other| *other == name
        });
        list.await?.into_iter().next().ok_or_else(|| app_not_found(name))
    }

    /// An app's newest deployments, the newest first.
    pub async fn deployment_glances(&self, name: &AppName, limit: u32) -> Result<Vec<DeploymentGlance>> {
        let entry = self.entry(name)?;
        let (id, name, url) = (entry.id, name.clone(), self.urls().app(name));
        self.read(move |tx| tx.deployments(id, limit)?.iter().map(|row| deployment(tx, id, &name, &url, row)).collect()).await
    }

    /// One deployment.
    pub async fn deployment_glance(&self, name: &AppName, number: DeploymentNumber) -> Result<DeploymentGlance> {
        let entry = self.entry(name)?;
        let (id, app, url) = (entry.id, name.clone(), self.urls().app(name));
        let found = self.read(move |tx| tx.deployment(id, number)?.map(|row| deployment(tx, id, &app, &url, &row)).transpose());
        found.await?.ok_or_else(|| deployment_not_found(name, number))
    }

    fn with_live(&self, summary: AppSummary, last: Option<DeploymentGlance>) -> AppGlance {
        let entry = self.inner.registry.get(summary.app.as_str());
        let instances = entry.as_ref().map_or(0, |entry| entry.parts().map(|(handle, _)| handle.upstreams().len()).sum());
        let last_hour = entry.map(|entry| last_hour(&entry.handle)).unwrap_or_default();
        AppGlance { summary, instances, last, last_hour }
    }
}

/// The last hour of what the edge counts.
pub(crate) fn last_hour(handle: &AppHandle) -> LastHour {
    let hour = handle.counters().last_hour();
    LastHour {
        requests: hour.requests.map(u64::from).to_vec(),
        errors: hour.errors.map(u64::from).to_vec(),
        slowest: hour.slowest.map(|slowest| slowest.as_secs_f64()).to_vec(),
    }
}

fn deployment(
    tx: &Tx<'_>,
    id: AppId,
    name: &AppName,
    url: &str,
    row: &store::Deployment,
) -> std::result::Result<DeploymentGlance, StoreError> {
    let deployment = documents::deployment(name, url, row);
    // What the deployment was asked to do tells more of the commit than its row.
    let commit = match tx.deployment_request::<Request>(id, row.number)? {
        Some(Request::Source { commit, .. }) => commit.as_ref().map(documents::commit),
        Some(Request::Settings | Request::Rollback(_)) => match row.revision {
            Some(number) => tx.revision(id, number)?.and_then(|it| it.spec.commit.as_ref().map(documents::commit)),
            None => None,
        },
        None => None,
    };
    let commit = commit.or_else(|| deployment.commit.clone());
    Ok(DeploymentGlance { deployment, kind: row.kind, commit })
}
