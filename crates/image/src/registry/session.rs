//! A conversation with one registry about one image: addresses, authorization, redirections, refusals, repetitions.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::auth::{self, Challenge};
use super::documents::short;
use super::error::PullError;
use super::reference::Reference;
use super::settings::{Base, Settings};
use super::transport::Transport;

/// Redirections that are followed for one request.
const REDIRECTIONS: usize = 5;
/// How often a document is asked for.
const ATTEMPTS: u32 = 4;
/// The largest answer of who gives out tokens.
const TOKEN_LIMIT: u64 = 1 << 20;

/// A conversation.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    transport: Transport,
    scheme: &'static str,
    base: Base,
    repository: String,
    /// The registry as in the reference, whose user is meant; a mirror has users of its own.
    pub(super) registry: String,
    /// What is asked for, for people.
    pub(super) image: String,
    authorization: Mutex<Option<HeaderValue>>,
}

/// What is asked for, for the words of an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Manifest,
    Blob,
}

impl<'a> Session<'a> {
    pub(super) async fn open(settings: &'a Settings, reference: &Reference) -> Result<Self, PullError> {
        let base = settings.base(reference.registry())?;
        let transport = Transport::new(settings)?;
        let is_mirror = base.scheme.is_some();
        let mut session = Self {
            settings,
            transport,
            scheme: base.scheme.unwrap_or("https"),
            repository: format!("{}{}", base.prefix, reference.repository()),
            registry: if is_mirror { base.authority.clone() } else { reference.registry().to_owned() },
            image: reference.to_string(),
            base,
            authorization: Mutex::new(None),
        };
        // Whether there is TLS where there need not be any is found out, as other clients do.
        if !is_mirror && settings.may_be_plain(&session.base.authority) {
            let secured = session.address("https", "/v2/")?;
            if session.transport.get(&secured, HeaderMap::new()).await.is_err() {
                session.scheme = "http";
            }
        }
        Ok(session)
    }

    fn address(&self, scheme: &str, path: &str) -> Result<Uri, PullError> {
        let text = format!("{scheme}://{}{path}", self.base.authority);
        text.parse().map_err(|_unreadable| self.protocol("its name makes no address"))
    }

    pub(super) fn protocol(&self, why: &str) -> PullError {
        PullError::Protocol { host: self.base.authority.clone(), why: why.to_owned() }
    }

    /// Asks for a part of the image; the answer is a good one.
    pub(super) async fn ask(&self, asked: Asked, path: &str, mut headers: HeaderMap) -> Result<Response<Incoming>, PullError> {
        let uri = self.address(self.scheme, &format!("/v2/{}/{path}", self.repository))?;
        let mut renewed = false;
        loop {
            let known = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match &known {
                Some(value) => headers.insert(header::AUTHORIZATION, value.clone()),
                None => headers.remove(header::AUTHORIZATION),
            };
            let (answer, elsewhere) = self.follow(&uri, headers.clone()).await?;
            match answer.status() {
                // A token's life may end in the middle of a pull.
                StatusCode::UNAUTHORIZED if !renewed && !elsewhere => {
                    renewed = true;
                    let authorization = self.authorize(auth::challenge(answer.headers())).await?;
                    *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(authorization);
                }
                _ => return self.judge(asked, answer),
            }
        }
    }

    fn judge(&self, asked: Asked, answer: Response<Incoming>) -> Result<Response<Incoming>, PullError> {
        match answer.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.not_allowed()),
            StatusCode::NOT_FOUND if asked == Asked::Manifest => Err(PullError::NoSuchImage { image: self.image.clone() }),
            StatusCode::NOT_FOUND => Err(self.protocol("it has lost a part of the image")),
            StatusCode::TOO_MANY_REQUESTS => {
                let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
                Err(PullError::RateLimited { registry: self.registry.clone(), retry_after: after })
            }
            status if status.is_server_error() => {
                Err(PullError::Unreachable { host: self.base.authority.clone(), why: format!("it answers {status}") })
            }
            status => Err(self.protocol(&format!("it answers {status}"))),
        }
    }

    fn not_allowed(&self) -> PullError {
        let who = match self.settings.credentials.get(&self.registry) {
            Some(credentials) => format!("the user {:?}", credentials.user),
            None => "somebody without a user".to_owned(),
        };
        PullError::NotAllowed { image: self.image.clone(), registry: self.registry.clone(), who }
    }

    /// Asks, and goes where the answer points to. Whoever is not the registry does not see what is for the registry.
    async fn follow(&self, from: &Uri, mut headers: HeaderMap) -> Result<(Response<Incoming>, bool), PullError> {
        let mut uri = from.clone();
        let mut elsewhere = false;
        for _ in 0..=REDIRECTIONS {
            let answer = self.transport.get(&uri, headers.clone()).await?;
            let moved = answer.status().is_redirection() && answer.status() != StatusCode::NOT_MODIFIED;
            let Some(location) = answer.headers().get(header::LOCATION).filter(|_| moved) else { return Ok((answer, elsewhere)) };
            let next = location.to_str().ok().and_then(|location| resolve(&uri, location));
            let next = next.ok_or_else(|| self.protocol("it points to an address that can't be read"))?;
            let same = next.scheme() == uri.scheme() && next.authority() == uri.authority();
            if !same {
                let plain = next.scheme_str() != Some("https");
                let target = next.authority().map(http::uri::Authority::as_str).unwrap_or_default();
                // A registry with TLS must not lead us to what answers without, not on this machine either.
                let fine = !plain
                    || self.settings.insecure.contains(target)
                    || self.scheme == "http" && self.settings.may_be_plain(target);
                if !fine {
                    return Err(self.protocol("it points to an address without TLS"));
                }
                headers.remove(header::AUTHORIZATION);
                elsewhere = true;
            }
            uri = next;
        }
        Err(self.protocol("it points from one address to the next without an end"))
    }

    /// What answers a challenge.
    async fn authorize(&self, challenge: Option<Challenge>) -> Result<HeaderValue, PullError> {
        let credentials = self.settings.credentials.get(&self.registry);
        let (realm, service) = match challenge {
            None => return Err(self.not_allowed()),
            Some(Challenge::Basic) => return credentials.and_then(auth::basic).ok_or_else(|| self.not_allowed()),
            Some(Challenge::Bearer { realm, service }) => (realm, service),
        };
        let uri: Uri = auth::token_address(&realm, service.as_deref(), &self.repository)
            .parse()
            .map_err(|_unreadable| self.protocol("it names an address for tokens that can't be read"))?;
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let plain = self.scheme == "http" && self.settings.may_be_plain(authority) || self.settings.insecure.contains(authority);
        let secured = uri.scheme_str() == Some("https");
        let fine = secured || plain && uri.scheme_str() == Some("http");
        if authority.is_empty() || authority.contains('@') || !fine {
            return Err(self.protocol(&format!("it names an address for tokens without TLS, {}", short(authority))));
        }
        let mut headers = HeaderMap::new();
        if let Some(value) = credentials.and_then(auth::basic) {
            headers.insert(header::AUTHORIZATION, value);
        }
        let answer = self.repeated(async || self.transport.get(&uri, headers.clone()).await).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.not_allowed()),
            StatusCode::TOO_MANY_REQUESTS => return self.judge(Asked::Manifest, answer).and_then(|_| Err(self.not_allowed())),
            status => return Err(PullError::Unreachable { host: authority.to_owned(), why: format!("it answers {status}") }),
        }
        let document = self.document(answer, "a token", TOKEN_LIMIT).await?;
        auth::bearer(&document).ok_or_else(|| self.protocol("no token came from where it said that there are some"))
    }

    /// Asks for a small part of the image until it comes, or does not: its bytes and the answer's head.
    pub(super) async fn fetch(
        &self,
        asked: Asked,
        path: &str,
        accept: &'static str,
        limit: u64,
    ) -> Result<(HeaderMap, Vec<u8>), PullError> {
        let what = if asked == Asked::Manifest { "the image's manifest" } else { "the image's configuration" };
        self.repeated(async || {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            let answer = self.ask(asked, path, headers).await?;
            let head = answer.headers().clone();
            Ok((head, self.document(answer, what, limit).await?))
        })
        .await
    }

    async fn document(&self, answer: Response<Incoming>, what: &str, limit: u64) -> Result<Vec<u8>, PullError> {
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        loop {
            let frame = tokio::time::timeout(self.settings.patience, body.frame()).await;
            match frame {
                Ok(None) => return Ok(bytes),
                Ok(Some(Ok(frame))) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Ok(Some(Err(error))) => return Err(self.broken(&super::error::chain(&error))),
                Err(_elapsed) => return Err(self.broken("it sends no more")),
            }
            if bytes.len() as u64 > limit {
                return Err(PullError::TooLarge { what: what.to_owned(), limit: format!("{limit} bytes") });
            }
        }
    }

    pub(super) fn broken(&self, why: &str) -> PullError {
        PullError::Unreachable { host: self.base.authority.clone(), why: why.to_owned() }
    }

    /// Does it again where that may help.
    async fn repeated<T>(&self, work: impl AsyncFn() -> Result<T, PullError>) -> Result<T, PullError> {
        let mut attempt = 0;
        loop {
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            attempt += 1;
            let Some(pause) = self.pause(&error, attempt).filter(|_| attempt < ATTEMPTS) else { return Err(error) };
            tokio::time::sleep(pause).await;
        }
    }

    /// How long to wait before the next attempt; none where it would not help.
    pub(super) fn pause(&self, error: &PullError, attempt: u32) -> Option<Duration> {
        match error {
            PullError::RateLimited { retry_after: Some(seconds), .. } => {
                Some(Duration::from_secs(*seconds)).filter(|pause| *pause <= self.settings.patience)
            }
            error if error.is_passing() => Some(self.settings.pause * 2_u32.saturating_pow(attempt.saturating_sub(1).min(6))),
            _ => None,
        }
    }
}

/// Where a `Location` leads: a whole address, or a path at the same host.
fn resolve(from: &Uri, location: &str) -> Option<Uri> {
    if location.starts_with('/') && !location.starts_with("//") {
        let mut parts = from.clone().into_parts();
        parts.path_and_query = Some(location.parse().ok()?);
        return Uri::from_parts(parts).ok();
    }
    let uri: Uri = location.parse().ok()?;
    let has_host = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
    (matches!(uri.scheme_str(), Some("https" | "http")) && has_host).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_lead_to_addresses() {
        let from: Uri = "https://a.b:5000/v2/x?y".parse().expect("an address");
        let to = |location: &str| resolve(&from, location).map(|uri| uri.to_string());
        assert_eq!(to("/z?q"), Some("https://a.b:5000/z?q".to_owned()));
        assert_eq!(to("http://c.d/z"), Some("http://c.d/z".to_owned()));
        for bad in ["z", "//c.d/z", "ftp://c.d/z", "file:///etc/passwd", "https://u:p@c.d/z", "", "https://"] {
            assert_eq!(to(bad), None, "{bad}");
        }
    }
}
