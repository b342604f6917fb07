//! The typed client: one method an endpoint, over the platform's Unix socket or over HTTPS.

mod calls;
mod dial;
mod error;
mod stream;
mod tls;
mod users;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::ClientError;
pub use stream::Lines;
pub use tls::{Authority, AuthorityError, Trust, fingerprint};

use crate::error::{ErrorBody, ErrorCode, read_error};
use dial::Remote;

/// How long the platform may take to begin an answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// What answers may be: documents, and problems in their place.
const ACCEPTED: &str = "application/json, application/problem+json";
/// The largest document taken from a platform.
const LARGEST: usize = 64 * 1024 * 1024;

/// The body of a request: in memory, or streamed.
pub type RequestBody = BoxBody<Bytes, std::io::Error>;

/// A platform that can be asked.
#[derive(Clone)]
pub struct Client {
    target: Target,
    authorization: Option<HeaderValue>,
}

/// Where a platform is.
#[derive(Clone)]
enum Target {
    /// On this machine, behind its socket.
    Socket(PathBuf),
    /// Elsewhere.
    Remote(Arc<Remote>),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("platform", &self.place()).finish_non_exhaustive()
    }
}

impl Client {
    /// The platform on this machine, by its socket (`DATA/adaptable.sock`).
    pub fn socket(path: impl Into<PathBuf>) -> Self {
        Self { target: Target::Socket(path.into()), authorization: None }
    }

    /// The platform at a URL, as in `https://cloud.example:8443`.
    pub fn remote(url: &str, token: Option<&str>, trust: &Trust) -> Result<Self, ClientError> {
        let authorization = token.map(bearer).transpose()?;
        Ok(Self { target: Target::Remote(Arc::new(Remote::new(url, trust)?)), authorization })
    }

    /// Where the platform is, for people.
    pub fn place(&self) -> String {
        match &self.target {
            Target::Socket(path) => path.display().to_string(),
            Target::Remote(remote) => remote.url(),
        }
    }

    /// Whether the platform is reached through its socket, hence on this machine.
    pub fn is_local(&self) -> bool {
        matches!(self.target, Target::Socket(_))
    }

    /// Sends a request and gives its answer, whatever its status.
    async fn exchange(
        &self,
        request: Request<RequestBody>,
        patience: Option<Duration>,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut sender = match &self.target {
            Target::Socket(path) => dial::socket(path).await?,
            Target::Remote(remote) => remote.dial().await?,
        };
        let answer = sender.send_request(request);
        let answer = match patience {
            Some(limit) => tokio::time::timeout(limit, answer)
                .await
                .map_err(|_elapsed| ClientError::Silent { place: self.place(), seconds: limit.as_secs() })?,
            None => answer.await,
        };
        answer.map_err(|source| ClientError::Broken { place: self.place(), source: Box::new(source) })
    }

    /// Builds a request to a path below the API's prefix.
    fn request(&self, method: Method, path: &str, body: RequestBody) -> Result<Request<RequestBody>, ClientError> {
        let host = match &self.target {
            Target::Socket(_) => "localhost".to_owned(),
            Target::Remote(remote) => remote.authority(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", crate::PREFIX))
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("adaptable/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, ACCEPTED);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.body(body).map_err(|_invalid| ClientError::Request { what: path.to_owned() })
    }

    /// Sends a document (or nothing) and reads the document that answers.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ClientError> {
        let response = self.send(method, path, body).await?;
        self.document(response).await
    }

    /// Sends a document (or nothing); the answer's body is of no interest.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Response<Incoming>, ClientError> {
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|_unwritable| ClientError::Request { what: path.to_owned() })?,
            None => Vec::new(),
        };
        let mut request = self.request(method, path, full(bytes))?;
        if body.is_some() {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(crate::JSON));
        }
        let response = self.exchange(request, Some(PATIENCE)).await?;
        self.success(response).await
    }

    /// Turns an answer that is no success into its error.
    async fn success(&self, response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.bytes(response).await.unwrap_or_default();
        let error = read_error(&body).unwrap_or_else(|| foreign(status));
        Err(ClientError::Refused { status: status.as_u16(), error })
    }

    async fn document<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, ClientError> {
        let body = self.bytes(response).await?;
        serde_json::from_slice(&body).map_err(|source| ClientError::Answer { place: self.place(), source })
    }

    async fn bytes(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let collected = Limited::new(response.into_body(), LARGEST).collect().await;
        Ok(collected.map_err(|source| ClientError::Broken { place: self.place(), source })?.to_bytes())
    }
}

/// An answer that is not an error document of ours: another server, or a proxy before the platform.
fn foreign(status: StatusCode) -> ErrorBody {
    let code = match status.as_u16() {
        401 => ErrorCode::Unauthorized,
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        413 => ErrorCode::SourceTooLarge,
        429 => ErrorCode::RateLimited,
        502..=504 => ErrorCode::Unavailable,
        _ => ErrorCode::Unknown,
    };
    ErrorBody::new(code, format!("the platform answered {status}, without a word about it"))
        .help("check that the address is that of a platform of this version, and look at its log")
}

/// A body that is held in memory.
pub fn full(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_invalid| ClientError::Request { what: "the token".to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}
