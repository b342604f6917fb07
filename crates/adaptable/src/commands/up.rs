//! `up`: a platform in the background, a deployment, and the first answers of the app.

use super::Context;
use crate::cli::{DeployArgs, ServeArgs};
use crate::explain::Failure;

/// Runs `up`.
#[cfg(not(target_os = "linux"))]
pub async fn run(_context: &Context, _deploy: &DeployArgs, _serve: &ServeArgs) -> Result<(), Failure> {
    Err(Failure::not_here("up"))
}

/// Runs `up`.
#[cfg(target_os = "linux")]
pub(super) async fn run(context: &Context, deploy: &DeployArgs, serve: &ServeArgs) -> Result<(), Failure> {
    here::run(context, deploy, serve).await
}

#[cfg(target_os = "linux")]
mod here {
    use std::net::SocketAddr;
    use std::path::Path;
    use std::time::Instant;

    use api::client::Trust;
    use api::{Client, Deployment, Platform};
    use model::DeploymentState;
    use serde::Serialize;

    use super::{Context, DeployArgs, Failure, ServeArgs};
    use crate::commands::deploy;
    use crate::daemon;
    use crate::follow::{end, interrupts};
    use crate::printer::{BOLD, GREEN, Printer, clean, seconds};
    use crate::reach::{here, read_authority};
    use crate::visit::{Visit, visit};

    /// What `--json` prints: the deployment, and what the first two visitors saw.
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        deployment: &'a Deployment,
        #[serde(skip_serializing_if = "Option::is_none")]
        first: Option<First<'a>>,
    }

    /// What the first two visitors saw.
    #[derive(Serialize)]
    struct First<'a> {
        cold_seconds: f64,
        warm_seconds: f64,
        status: u16,
        answer: &'a str,
    }

    pub(super) async fn run(context: &Context, args: &DeployArgs, serve: &ServeArgs) -> Result<(), Failure> {
        let printer = context.printer;
        if context.reach.url.is_some() {
            return Err(Failure::usage(
                "--url names a platform elsewhere; 'up' starts one here",
                "deploy to the one elsewhere: adaptable deploy PATH --url URL",
            ));
        }
        let order = deploy::Order::new(args, printer)?;
        let data_dir = context.data_dir();
        let platform = daemon::ensure(&data_dir, serve, printer).await?;
        let client = here(&data_dir);
        let began = Instant::now();
        let deployment = order.deploy(&client, printer).await?;
        let took = began.elapsed().as_secs_f64();
        if deployment.state != DeploymentState::Live {
            return deploy::print(printer, &deployment, &Document { deployment: &deployment, first: None }, took);
        }
        // Following the deployment took Ctrl-C over, and nothing gives it back.
        let mut interrupts = interrupts()?;
        let visits = tokio::select! {
            visits = first_visits(&client, &platform, &data_dir, &deployment) => visits,
            _ = interrupts.recv() => Err(Failure::local("interrupted before the app had answered; it is live", "")),
        };
        let link = way_in(&client).await;
        report(printer, &data_dir, &platform, &deployment, visits, took, link.as_deref())
    }

    /// One visit that wakes the app up, and one while it is awake.
    async fn first_visits(
        client: &Client,
        platform: &Platform,
        data_dir: &Path,
        app: &Deployment,
    ) -> Result<(Visit, Visit), Failure> {
        let trust = if platform.own_ca { Trust::Only(read_authority(&data_dir.join("ca.pem"))?) } else { Trust::System };
        let edge: SocketAddr = platform.https.parse().map_err(|_unreadable| {
            Failure::local(format!("the platform names no address for HTTPS, but {:?}", platform.https), "")
        })?;
        // The deployment left an instance running; the first visit is to find the app as it will be after a quiet time.
        client.sleep(&app.app).await?;
        let unanswered = |which: &str, error: String| {
            Failure::local(
                format!("{} is live, but did not answer the {which} request: {error}", app.app),
                format!("its log: adaptable logs {}", app.app),
            )
        };
        let cold = visit(&app.url, edge, &trust).await.map_err(|error| unanswered("first", error))?;
        let warm = visit(&app.url, edge, &trust).await.map_err(|error| unanswered("second", error))?;
        Ok((cold, warm))
    }

    /// The link by which the first operator comes in, as long as nobody has.
    async fn way_in(client: &Client) -> Option<String> {
        let users = client.users().await.ok()?;
        if !users.is_empty() {
            return None;
        }
        client.create_sign_in_link(&api::NewSignInLink::default()).await.ok().map(|link| link.url)
    }

    fn report(
        printer: Printer,
        data_dir: &Path,
        platform: &Platform,
        deployment: &Deployment,
        visits: Result<(Visit, Visit), Failure>,
        took: f64,
        link: Option<&str>,
    ) -> Result<(), Failure> {
        let (cold, warm) = match visits {
            Ok(visits) => visits,
            Err(failure) => {
                if printer.json() {
                    printer.document(&Document { deployment, first: None })?;
                }
                return Err(failure);
            }
        };
        if printer.json() {
            let first = First { cold_seconds: cold.seconds, warm_seconds: warm.seconds, status: warm.status, answer: &warm.line };
            printer.document(&Document { deployment, first: Some(first) })?;
            return end(deployment);
        }
        let revision = deployment.revision.map(|revision| format!(", revision {revision}")).unwrap_or_default();
        let live = printer.err_style(&format!("{} is live", deployment.app), GREEN.bold());
        printer.note(&format!("{live}{revision}, after {}", seconds(took)));
        printer.line(&printer.out_style(&deployment.url, BOLD))?;
        printer.line(&format!("cold request: {} (woken from sleep)", seconds(cold.seconds)))?;
        printer.line(&format!("warm request: {}", milliseconds(warm.seconds)))?;
        let answer = clean(&warm.line);
        match warm.status {
            200..=299 => printer.line(&format!("answer: {answer}"))?,
            status => printer.line(&format!("answer: {answer} (HTTP status {status})"))?,
        }
        if let Some(link) = link {
            printer.line(&format!("sign in: {link}"))?;
        }
        if platform.own_ca {
            printer.note(&format!("try it: curl --cacert {} {}", data_dir.join("ca.pem").display(), deployment.url));
        }
        Ok(())
    }

    fn milliseconds(seconds: f64) -> String {
        format!("{:.1} ms", seconds * 1000.0)
    }
}
