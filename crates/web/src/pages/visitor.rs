//! What handlers of pages take: who looks, and the form that they posted.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use control::{Browser, Control, Identity, Who};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::access::Asker;
use crate::answer::Problem;
use crate::csrf;

/// Who looks at a page.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who it is, as `may` asks.
    pub(crate) who: Who,
    /// The user, where one is signed in here: whoever shows a token is not, so that no token leads to a session or links an account.
    pub(crate) identity: Option<Arc<Identity>>,
    /// The browser, as a session notes it.
    pub(crate) browser: Browser,
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let asker = Asker::of(parts);
        let identity = asker.identity().filter(|identity| identity.token.is_none()).cloned();
        Ok(Self { identity, browser: asker.browser(), who: asker.who })
    }
}

/// A form that was posted from a page of ours: where it came from, and its token, were checked before. The field `csrf` is not among
/// `T`'s; a field that is there more than once is a list.
#[derive(Debug)]
pub(crate) struct Posted<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Control> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Control) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !csrf::is_form(&parts) {
            return Err(Problem::bad_request("a form is expected here"));
        }
        let bytes = csrf::whole(body).await?;
        let unreadable = |_quoting| Problem::bad_request("the form can't be read");
        let mut fields = serde_html_form::from_bytes::<Vec<(String, String)>>(&bytes).map_err(unreadable)?;
        fields.retain(|(key, _)| key != csrf::FIELD);
        let text = serde_html_form::to_string(&fields).map_err(|_unwritable| Problem::bad_request("the form can't be read"))?;
        // The text of an error may quote what was typed, a password say: only its field is named.
        serde_html_form::from_str(&text).map(Self).map_err(|error| {
            let named = error.to_string();
            let field =
                named.split('`').nth(1).filter(|_| named.starts_with("missing field") || named.starts_with("unknown field"));
            Problem::bad_request(field.map_or_else(
                || "a field of the form can't be read".to_owned(),
                |field| format!("the form's field {field} is missing or unknown"),
            ))
        })
    }
}
