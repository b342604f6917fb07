//! Who may come to a database from outside: those whom its app's settings name.

use std::net::IpAddr;

use database::Awake;
use database::door::Doorman;
use model::AppName;
use model::database::Network;

use crate::Control;

impl Doorman for Control {
    async fn admit(&self, host: &str, from: IpAddr) -> Option<Awake> {
        let below = host.strip_suffix(&self.inner.config.urls.domain)?;
        let name = AppName::parse(below.strip_suffix(".postgres.")?).ok()?;
        let entry = self.entry(&name).ok()?;
        let settings = self.settings(&name).await.ok()?;
        if !settings.database.allow.iter().filter_map(|text| Network::parse(text)).any(|network| network.contains(from)) {
            tracing::info!(app = %name, %from, "a connection to its database from outside was refused");
            return None;
        }
        let beside = entry.specs.database()?;
        match beside.kind.awake(&beside.database).await {
            Ok(awake) => Some(awake),
            Err(error) => {
                tracing::warn!(app = %name, %error, "a connection to its database from outside found no server");
                None
            }
        }
    }
}
