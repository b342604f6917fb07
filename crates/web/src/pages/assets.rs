//! The style sheet, the script and the icon: compiled in, named by their contents, kept by browsers for good.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// One file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    /// None where it would be no smaller.
    packed: Option<Bytes>,
    url: String,
}

impl Asset {
    fn new(name: &'static str, kind: &'static str, plain: &'static [u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let packed = encoder.write_all(plain).and_then(|()| encoder.finish()).ok();
        let packed = packed.filter(|packed| packed.len() < plain.len()).map(Bytes::from);
        let digest = Sha256::digest(plain);
        let hash = digest.iter().take(8).fold(0_u64, |hash, byte| (hash << 8) | u64::from(*byte));
        Self { name, kind, plain, packed, url: format!("/assets/{name}?v={hash:016x}") }
    }
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new("style.css", "text/css; charset=utf-8", include_bytes!("../../assets/style.css")),
        Asset::new("app.js", "text/javascript; charset=utf-8", include_bytes!("../../assets/app.js")),
        Asset::new("icon.svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
    ]
});

/// The address of the style sheet; another one whenever its contents change.
pub(crate) fn style() -> &'static str {
    &ASSETS[0].url
}

/// The address of the script.
pub(crate) fn script() -> &'static str {
    &ASSETS[1].url
}

/// The address of the icon.
pub(crate) fn icon() -> &'static str {
    &ASSETS[2].url
}

/// One of the files; anybody may have them.
pub(crate) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else { return StatusCode::NOT_FOUND.into_response() };
    let gzip = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|part| part.split(';').next().is_some_and(|it| it.trim() == "gzip")));
    let packed = asset.packed.as_ref().filter(|_| gzip);
    let body = packed.cloned().unwrap_or_else(|| Bytes::from_static(asset.plain));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    // The address changes with the contents, so nobody need ask again.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if packed.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn get(name: &str, encoding: Option<&str>) -> (http::response::Parts, Bytes) {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(header::ACCEPT_ENCODING, encoding.parse().expect("a header"));
        }
        let (parts, body) = serve(Path(name.to_owned()), headers).await.into_parts();
        (parts, body.collect().await.expect("a body in memory").to_bytes())
    }

    #[tokio::test]
    async fn files_are_kept_for_good_under_a_name_that_follows_their_contents() {
        assert!(style().starts_with("/assets/style.css?v=") && style().len() == "/assets/style.css?v=".len() + 16);
        let (parts, plain) = get("style.css", None).await;
        assert_eq!(parts.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(plain, include_bytes!("../../assets/style.css").as_slice());
        assert!(!parts.headers.contains_key(header::CONTENT_ENCODING));
        let (parts, packed) = get("style.css", Some("br, gzip;q=0.8")).await;
        assert_eq!(parts.headers[header::CONTENT_ENCODING], "gzip");
        let mut unpacked = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked).expect("gzip");
        assert_eq!(unpacked.as_bytes(), plain);
        let (parts, _) = get("../Cargo.toml", None).await;
        assert_eq!(parts.status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn all_that_a_page_loads_leaves_it_room() {
        // A page with what it loads is 100 KB at most: half of that is for the page itself.
        let total: usize = ASSETS.iter().map(|asset| asset.packed.as_ref().map_or(asset.plain.len(), Bytes::len)).sum();
        assert!(total < 40_000, "{total} bytes");
    }
}
