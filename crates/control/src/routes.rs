//! The table of routes: made from the apps that there are, handed to the edge as a whole.

use edge::{HostName, Routes, Target};
use model::AppName;

use crate::Control;

/// Where visitors find the platform and its apps.
#[derive(Debug, Clone)]
pub struct Urls {
    /// The platform's domain: its own host name, and the parent of every app's.
    pub domain: String,
    /// The public port of HTTPS.
    pub https_port: u16,
}

impl Urls {
    /// An app's host name.
    pub fn hostname(&self, app: &AppName) -> String {
        format!("{app}.{}", self.domain)
    }

    /// An app's address.
    pub fn app(&self, app: &AppName) -> String {
        self.url(&self.hostname(app))
    }

    /// The platform's own address.
    pub fn platform(&self) -> String {
        self.url(&self.domain)
    }

    fn url(&self, host: &str) -> String {
        match self.https_port {
            443 => format!("https://{host}"),
            port => format!("https://{host}:{port}"),
        }
    }
}

impl Control {
    /// Where visitors find the platform and its apps.
    pub fn urls(&self) -> Urls {
        self.inner.config.urls.clone()
    }

    /// Makes the table anew and hands it to the edge.
    pub(crate) fn publish_routes(&self) {
        let mut routes = Routes::new();
        for host in &self.inner.config.platform_hosts {
            routes.insert(host.clone(), Target::Platform);
        }
        for entry in self.inner.registry.all() {
            let hostname = self.inner.config.urls.hostname(&entry.name);
            match hostname.parse::<HostName>() {
                Ok(host) => routes.insert(host, Target::App(entry.handle.clone())),
                Err(error) => tracing::error!(app = %entry.name, %error, "an app's host name is none"),
            }
        }
        self.inner.edge.set_routes(routes);
    }
}
