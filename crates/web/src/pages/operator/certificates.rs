//! The platform's own authority: its certificate to download, how to trust it, and how long what it made is good.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::Control;
use http::header;
use jiff::Timestamp;

use super::Tab;
use crate::access::ForPlatform;
use crate::answer::Answer;
use crate::pages::layout::{Nav, Shell, page};

#[derive(Debug, Template)]
#[template(path = "operator_certificates.html")]
struct CertificatesPage {
    shell: Shell,
    tab: Tab,
    name: String,
    until: String,
    days: i64,
    fingerprint: String,
    url: String,
    domain: String,
    leaves: Vec<(String, String, i64)>,
}

impl CertificatesPage {
    fn curl(&self) -> String {
        format!("curl --cacert adaptable-ca.pem {}/", self.url)
    }
}

fn days(until: Timestamp) -> i64 {
    (until.as_second() - Timestamp::now().as_second()).div_euclid(86_400)
}

/// The page.
pub(crate) async fn certificates(_: ForPlatform, shell: Shell, State(control): State<Control>) -> Answer<Response> {
    let (authority, leaves) = control.certificates()?;
    let platform = control.platform();
    let date = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    Ok(page(&CertificatesPage {
        shell: shell.titled("Certificates").at(Nav::Operator),
        tab: Tab::Certificates,
        name: authority.name,
        until: date(authority.expires_at),
        days: days(authority.expires_at),
        fingerprint: authority.fingerprint,
        url: platform.url,
        domain: platform.domain,
        leaves: leaves.into_iter().map(|(host, until)| (host, date(until), days(until))).collect(),
    }))
}

/// The certificate as a file; it is no secret.
pub(crate) async fn download(State(control): State<Control>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-pem-file"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"adaptable-ca.pem\""),
    ];
    (headers, control.authority_pem().to_owned()).into_response()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pages::gallery::shell;

    pub(in super::super) fn page(text: &str) -> impl Template + use<> {
        CertificatesPage {
            shell: shell(text),
            tab: Tab::Certificates,
            name: format!("Adaptable local authority 2026-11-24{text}"),
            until: "2036-11-21".to_owned(),
            days: 3649,
            fingerprint: ["A7", "0C", "5E", "91"].repeat(8).join(":"),
            url: format!("https://example.org{text}"),
            domain: "example.org".to_owned(),
            leaves: vec![("example.org".to_owned(), "2027-02-22".to_owned(), 90), (text.to_owned(), "2027-01-02".to_owned(), 39)],
        }
    }
}
