//! The endpoints, one method each.

use http::{HeaderMap, HeaderValue, Method, header};
use hyper::body::Incoming;
use jiff::Timestamp;
use model::backup::BackupId;
use model::{AppName, DeploymentNumber, Settings};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Client, ClientError, Lines, RequestBody, full};
use crate::{
    Accepted, AppSource, AppStatus, AppSummary, BackupDocument, CreatedToken, DatabaseInfo, DeployRequest, Deployment,
    DoctorReport, EnvKind, EnvPatch, EnvVariables, Event, LogLine, LogQuery, MomentDocument, NewAppSource, NewToken, Platform,
    RestoreDocument, RevisionSummary, RollbackRequest, ScalePatch, SettingsChanged, Split, TokenSummary, Upload,
};

/// No body.
pub(super) const NOTHING: Option<&()> = None;

impl Client {
    /// Who answers.
    pub async fn platform(&self) -> Result<Platform, ClientError> {
        self.call(Method::GET, "/platform", NOTHING).await
    }

    /// The platform's own checks.
    pub async fn doctor(&self) -> Result<DoctorReport, ClientError> {
        self.call(Method::GET, "/doctor", NOTHING).await
    }

    /// The certificate of the platform's own authority, in PEM.
    pub async fn authority(&self) -> Result<Vec<u8>, ClientError> {
        let response = self.send(Method::GET, "/ca", NOTHING).await?;
        Ok(self.bytes(response).await?.to_vec())
    }

    /// Sends a source: a tar archive ([`crate::TAR`]) or a compressed one ([`crate::ZSTD`]).
    pub async fn upload(&self, content_type: &'static str, source: RequestBody) -> Result<Upload, ClientError> {
        let mut request = self.request(Method::POST, "/uploads", source)?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        // How long it takes is a matter of the source's size, so it has no limit here.
        let response = self.exchange(request, None).await?;
        let response = self.success(response).await?;
        self.document(response).await
    }

    /// Begins a deployment; creates the app at its first.
    pub async fn deploy(&self, app: &AppName, request: &DeployRequest) -> Result<Accepted, ClientError> {
        self.create(&format!("/apps/{app}/deployments"), request).await
    }

    /// The app's deployments, the newest first.
    pub async fn deployments(&self, app: &AppName) -> Result<Vec<Deployment>, ClientError> {
        // The newest hundred; who wants to know of those before has the API.
        self.call(Method::GET, &format!("/apps/{app}/deployments"), NOTHING).await
    }

    /// One deployment.
    pub async fn deployment(&self, app: &AppName, number: DeploymentNumber) -> Result<Deployment, ClientError> {
        self.call(Method::GET, &format!("/apps/{app}/deployments/{number}"), NOTHING).await
    }

    /// The deployment's events from that number on, to its end.
    pub async fn events(&self, app: &AppName, number: DeploymentNumber, from: u64) -> Result<Lines<Event>, ClientError> {
        let response = self.send(Method::GET, &format!("/apps/{app}/deployments/{number}/events?from={from}"), NOTHING).await?;
        Ok(Lines::new(response.into_body(), self.place()))
    }

    /// Stops a deployment that has not ended.
    pub async fn cancel(&self, app: &AppName, number: DeploymentNumber) -> Result<(), ClientError> {
        self.send(Method::POST, &format!("/apps/{app}/deployments/{number}/cancel"), NOTHING).await.map(drop)
    }

    /// All apps.
    pub async fn apps(&self) -> Result<Vec<AppSummary>, ClientError> {
        self.pages("/apps").await
    }

    /// One app, with what runs of it.
    pub async fn status(&self, app: &AppName) -> Result<AppStatus, ClientError> {
        self.call(Method::GET, &format!("/apps/{app}"), NOTHING).await
    }

    /// Sends a part of the visitors to another revision; `None` ends that.
    pub async fn split(&self, app: &AppName, split: Option<Split>) -> Result<AppStatus, ClientError> {
        let method = if split.is_some() { Method::PUT } else { Method::DELETE };
        self.call(method, &format!("/apps/{app}/split"), split.as_ref()).await
    }

    /// Deletes an app with all that belongs to it, after a last backup of its database unless that is not wanted.
    pub async fn delete(&self, app: &AppName, without_backup: bool) -> Result<(), ClientError> {
        let query = if without_backup { "?without_backup=true" } else { "" };
        let request = self.request(Method::DELETE, &format!("/apps/{app}{query}"), full(Vec::new()))?;
        let response = self.exchange(request, None).await?;
        self.success(response).await.map(drop)
    }

    /// The app's revisions, the newest first.
    pub async fn revisions(&self, app: &AppName) -> Result<Vec<RevisionSummary>, ClientError> {
        self.pages(&format!("/apps/{app}/revisions")).await
    }

    /// Serves an earlier revision again.
    pub async fn rollback(&self, app: &AppName, request: &RollbackRequest) -> Result<Accepted, ClientError> {
        self.create(&format!("/apps/{app}/rollback"), request).await
    }

    /// The app's log.
    pub async fn logs(&self, app: &AppName, query: &LogQuery) -> Result<Lines<LogLine>, ClientError> {
        let response = self.send(Method::GET, &format!("/apps/{app}/logs{}", query.to_text()), NOTHING).await?;
        Ok(Lines::new(response.into_body(), self.place()))
    }

    /// The app's variables.
    pub async fn env(&self, app: &AppName, kind: EnvKind) -> Result<EnvVariables, ClientError> {
        self.call(Method::GET, &format!("/apps/{app}/env?kind={}", kind.as_str()), NOTHING).await
    }

    /// Changes the app's variables.
    pub async fn change_env(&self, app: &AppName, patch: &EnvPatch) -> Result<SettingsChanged, ClientError> {
        self.call(Method::PATCH, &format!("/apps/{app}/env"), Some(patch)).await
    }

    /// The app's settings.
    pub async fn settings(&self, app: &AppName) -> Result<Settings, ClientError> {
        self.call(Method::GET, &format!("/apps/{app}/settings"), NOTHING).await
    }

    /// The app's settings as the YAML text that people edit.
    pub async fn settings_yaml(&self, app: &AppName) -> Result<String, ClientError> {
        let mut request = self.request(Method::GET, &format!("/apps/{app}/settings"), full(Vec::new()))?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(crate::YAML));
        let response = self.exchange(request, Some(super::PATIENCE)).await?;
        let response = self.success(response).await?;
        Ok(String::from_utf8_lossy(&self.bytes(response).await?).into_owned())
    }

    /// Replaces the app's settings by a document in YAML (JSON is YAML, too).
    pub async fn apply_settings(&self, app: &AppName, yaml: String) -> Result<SettingsChanged, ClientError> {
        let mut request = self.request(Method::PUT, &format!("/apps/{app}/settings"), full(yaml))?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(crate::YAML));
        let response = self.exchange(request, Some(super::PATIENCE)).await?;
        let response = self.success(response).await?;
        self.document(response).await
    }

    /// Changes the app's resources and limits.
    pub async fn scale(&self, app: &AppName, patch: &ScalePatch) -> Result<SettingsChanged, ClientError> {
        self.call(Method::PATCH, &format!("/apps/{app}/scale"), Some(patch)).await
    }

    /// Stops the app's instances and answers 503 from now on.
    pub async fn pause(&self, app: &AppName) -> Result<AppSummary, ClientError> {
        self.call(Method::POST, &format!("/apps/{app}/pause"), NOTHING).await
    }

    /// Ends a pause; the next request starts an instance.
    pub async fn resume(&self, app: &AppName) -> Result<AppSummary, ClientError> {
        self.call(Method::POST, &format!("/apps/{app}/resume"), NOTHING).await
    }

    /// Stops the app's instances now, as the idle time would; the next request starts one.
    pub async fn sleep(&self, app: &AppName) -> Result<(), ClientError> {
        self.send(Method::POST, &format!("/apps/{app}/sleep"), NOTHING).await.map(drop)
    }

    /// The app's database; `reveal` for the secrets, too.
    pub async fn database(&self, app: &AppName, reveal: bool) -> Result<DatabaseInfo, ClientError> {
        self.call(Method::GET, &format!("/apps/{app}/database?reveal={reveal}"), NOTHING).await
    }

    /// Gives the database's user another password.
    pub async fn rotate_database(&self, app: &AppName) -> Result<SettingsChanged, ClientError> {
        self.call(Method::POST, &format!("/apps/{app}/database/rotate"), NOTHING).await
    }

    /// The backups of the app's database, the newest first.
    pub async fn backups(&self, app: &AppName) -> Result<Vec<BackupDocument>, ClientError> {
        self.pages(&format!("/apps/{app}/database/backups")).await
    }

    /// Makes a backup of the app's database, and verifies it.
    pub async fn back_up(&self, app: &AppName) -> Result<BackupDocument, ClientError> {
        self.patient(&format!("/apps/{app}/database/backups")).await
    }

    /// Verifies a backup once more.
    pub async fn verify_backup(&self, app: &AppName, id: &BackupId) -> Result<BackupDocument, ClientError> {
        self.patient(&format!("/apps/{app}/database/backups/{id}/verify")).await
    }

    /// Puts a backup in the place of what the app's database holds.
    pub async fn restore_backup(&self, app: &AppName, id: &BackupId) -> Result<RestoreDocument, ClientError> {
        self.patient(&format!("/apps/{app}/database/backups/{id}/restore")).await
    }

    /// Puts what the app's database held at a moment in the place of what it holds.
    pub async fn restore_moment(&self, app: &AppName, at: Timestamp) -> Result<MomentDocument, ClientError> {
        self.patient(&format!("/apps/{app}/database/restore?at={at}")).await
    }

    /// All pages of a list, one after the other.
    pub(super) async fn pages<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ClientError> {
        let mut all = Vec::new();
        // The first page is asked for as ever: platforms before there were pages answer with all.
        let mut next = Some(path.to_owned());
        while let Some(path) = next.take() {
            let response = self.send(Method::GET, &path, NOTHING).await?;
            next = next_page(response.headers());
            let page: Vec<T> = self.document(response).await?;
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        Ok(all)
    }

    /// Makes something, once: where the connection broke, whether that was before or after, the same is asked for again.
    pub(super) async fn create<T: DeserializeOwned>(&self, path: &str, body: &(impl Serialize + Sync)) -> Result<T, ClientError> {
        let key = HeaderValue::from_str(&format!("{:032x}", rand::random::<u128>()));
        let key = key.map_err(|_impossible| ClientError::Request { what: path.to_owned() })?;
        let bytes = serde_json::to_vec(body).map_err(|_unwritable| ClientError::Request { what: path.to_owned() })?;
        let once = || async {
            let mut request = self.request(Method::POST, path, full(bytes.clone()))?;
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(crate::JSON));
            request.headers_mut().insert("idempotency-key", key.clone());
            let response = self.exchange(request, Some(super::PATIENCE)).await?;
            let response = self.success(response).await?;
            self.document(response).await
        };
        match once().await {
            Err(ClientError::Broken { .. }) => once().await,
            other => other,
        }
    }

    /// How long it takes is a matter of the database's size, so it has no limit here.
    async fn patient<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let request = self.request(Method::POST, path, full(Vec::new()))?;
        let response = self.exchange(request, None).await?;
        let response = self.success(response).await?;
        self.document(response).await
    }

    /// A connection to the database's server: the body is what is said to it, and what comes back is what it says.
    pub async fn connect_database(&self, app: &AppName, said: RequestBody) -> Result<Incoming, ClientError> {
        let request = self.request(Method::POST, &format!("/apps/{app}/database/connect"), said)?;
        // A server that sleeps is started first, which takes a moment; and how long it lasts is up to who asks.
        let response = self.exchange(request, None).await?;
        Ok(self.success(response).await?.into_body())
    }

    /// The branch on GitHub that an app comes from.
    pub async fn source(&self, app: &AppName) -> Result<AppSource, ClientError> {
        self.call(Method::GET, &format!("/apps/{app}/source"), NOTHING).await
    }

    /// Links an app to a branch on GitHub.
    pub async fn set_source(&self, app: &AppName, source: &NewAppSource) -> Result<AppSource, ClientError> {
        self.call(Method::PUT, &format!("/apps/{app}/source"), Some(source)).await
    }

    /// Unlinks an app from GitHub.
    pub async fn remove_source(&self, app: &AppName) -> Result<(), ClientError> {
        self.send(Method::DELETE, &format!("/apps/{app}/source"), NOTHING).await.map(drop)
    }

    /// Deploys an app's source again.
    pub async fn update(&self, app: &AppName) -> Result<Accepted, ClientError> {
        let request = self.request(Method::POST, &format!("/apps/{app}/update"), full(Vec::new()))?;
        // A large repository takes its time to come.
        let response = self.exchange(request, None).await?;
        let response = self.success(response).await?;
        self.document(response).await
    }

    /// Makes an access token.
    pub async fn create_token(&self, token: &NewToken) -> Result<CreatedToken, ClientError> {
        self.create("/tokens", token).await
    }

    /// The access tokens, without their secrets.
    pub async fn tokens(&self) -> Result<Vec<TokenSummary>, ClientError> {
        self.pages("/tokens").await
    }

    /// Makes a token invalid.
    pub async fn revoke_token(&self, id: &str) -> Result<(), ClientError> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return Err(ClientError::Request { what: format!("{id:?} as the id of a token (see 'adaptable token list')") });
        }
        self.send(Method::DELETE, &format!("/tokens/{id}"), NOTHING).await.map(drop)
    }
}

/// The next page of a list, below the prefix: the `Link` (RFC 8288) with `rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|links| links.split(", ")).find(|link| link.contains("rel=\"next\""))?;
    let target = next.trim().strip_prefix('<')?.split('>').next()?;
    Some(target.strip_prefix(crate::PREFIX)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_one_of_this_platform() {
        let next = |value: &'static str| next_page(&HeaderMap::from_iter([(header::LINK, HeaderValue::from_static(value))]));
        assert_eq!(next("</api/v1/apps?limit=2&cursor=abc>; rel=\"next\"").as_deref(), Some("/apps?limit=2&cursor=abc"));
        assert_eq!(next("</help>; rel=\"help\", </api/v1/tokens?cursor=x>; rel=\"next\"").as_deref(), Some("/tokens?cursor=x"));
        assert_eq!(next("<https://elsewhere.example/api/v1/apps>; rel=\"next\""), None);
        assert_eq!(next("</api/v1/apps>; rel=\"prev\""), None);
    }
}
