//! Lists in pages: `limit`, `cursor`, and the `Link` (RFC 8288) to the next page. The body stays the array.

use std::fmt::Display;
use std::str::FromStr;

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header;
use http::request::Parts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::answer::{Answer, Problem};

/// The longest page.
const LIMIT_MAX: u32 = 1000;
/// Bytes of a cursor that say which list it is of.
const MARK: usize = 6;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct PageQuery {
    /// Entries at most, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
    /// Where to go on, from the `Link` of the page before.
    cursor: Option<String>,
}

/// The page that a request asks for.
#[derive(Debug)]
pub(crate) struct Page {
    limit: Option<u32>,
    /// The key of the last entry of the page before.
    after: Option<String>,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<PageQuery>::from_request_parts(parts, state).await;
        let Query(PageQuery { limit, cursor }) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
        if limit.is_some_and(|limit| !(1..=LIMIT_MAX).contains(&limit)) {
            return Err(Problem::bad_request("a page's limit is a number from 1 to 1000"));
        }
        let path = parts.uri.path().to_owned();
        let after = cursor.map(|cursor| read(&path, &cursor).ok_or_else(not_ours)).transpose()?;
        Ok(Self { limit, after, path })
    }
}

fn not_ours() -> Problem {
    Problem::bad_request("this cursor is not one of this list: take it from the Link of the page before")
}

/// Which list a cursor is of.
fn mark(path: &str) -> [u8; MARK] {
    let digest = Sha256::digest(path.as_bytes());
    std::array::from_fn(|index| digest[index])
}

fn write(path: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode([&mark(path), key.as_bytes()].concat())
}

fn read(path: &str, cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (own, key) = bytes.split_at_checked(MARK)?;
    (own == mark(path)).then(|| String::from_utf8(key.to_vec()).ok()).flatten()
}

/// How a list is ordered by its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The least first.
    Up,
    /// The greatest first.
    Down,
}

impl Page {
    /// The key after which the page begins.
    pub(crate) fn after<K: FromStr>(&self) -> Answer<Option<K>> {
        self.after.as_deref().map(|key| key.parse().map_err(|_not_a_key| not_ours())).transpose()
    }

    /// How many entries it has at most, and one more that tells whether others follow; `usual` where the request does not say.
    pub(crate) fn wanted(&self, usual: u32) -> u32 {
        self.limit.unwrap_or(usual) + 1
    }

    /// The page of a whole list.
    pub(crate) fn cut<T: Serialize, K: FromStr + Ord + Display>(
        self,
        items: Vec<T>,
        order: Order,
        key: impl Fn(&T) -> K,
    ) -> Answer<Response> {
        let rest = match self.after::<K>()? {
            None => items,
            Some(after) => {
                let follows = |item: &T| if order == Order::Up { key(item) > after } else { key(item) < after };
                items.into_iter().filter(follows).collect()
            }
        };
        Ok(self.answer(rest, LIMIT_MAX, key))
    }

    /// The page of a list that begins where it should and has one entry too many where others follow.
    pub(crate) fn answer<T: Serialize, K: Display>(self, mut items: Vec<T>, usual: u32, key: impl Fn(&T) -> K) -> Response {
        let limit = self.limit.unwrap_or(usual) as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| {
            let cursor = write(&self.path, &key(last).to_string());
            format!("<{}?limit={limit}&cursor={cursor}>; rel=\"next\"", self.path)
        });
        let mut response = Json(items).into_response();
        if let Some(link) = next.and_then(|link| link.parse().ok()) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<u32>, after: Option<&str>) -> Page {
        Page { limit, after: after.map(ToOwned::to_owned), path: "/api/v1/apps/shop/revisions".to_owned() }
    }

    #[test]
    fn a_cursor_is_of_its_list_alone() {
        let cursor = write("/api/v1/apps", "shop");
        assert_eq!(read("/api/v1/apps", &cursor).as_deref(), Some("shop"));
        assert_eq!(read("/api/v1/tokens", &cursor), None);
        for bad in ["", "c2hvcA", "%", "ääää"] {
            assert_eq!(read("/api/v1/apps", bad), None, "{bad}");
        }
    }

    #[test]
    fn pages_follow_each_other_without_gaps() {
        let mut seen = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let all: Vec<u32> = (1..=7).rev().collect();
            let response = page(Some(3), after.as_deref()).cut(all.clone(), Order::Down, |item| *item);
            let response = response.unwrap_or_else(|problem| panic!("{problem:?}"));
            let from = after.as_ref().map_or(8, |after| after.parse().expect("a number"));
            seen.extend(all.into_iter().filter(|item| *item < from).take(3));
            let Some(link) = response.headers().get(header::LINK) else { break };
            let link = link.to_str().expect("text");
            let cursor = link.split("cursor=").nth(1).and_then(|rest| rest.split('>').next()).expect("a cursor");
            after = read("/api/v1/apps/shop/revisions", cursor);
            assert!(link.starts_with("</api/v1/apps/shop/revisions?limit=3&cursor="), "{link}");
        }
        assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
        assert!(page(None, Some("x")).cut(vec![1_u32], Order::Up, |item| *item).is_err(), "a key that is none");
    }
}
