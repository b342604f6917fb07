//! Plain HTTP where it is not served: nothing but the way to HTTPS.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::Shared;
use crate::host;
use crate::pages::Page;

/// The same address under HTTPS, for a host that is served.
pub(super) fn to_https(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let accept = request.headers().get(header::ACCEPT);
    let written = request.uri().authority().map(http::uri::Authority::as_str);
    let written = written.or_else(|| request.headers().get(header::HOST)?.to_str().ok());
    let page = match written.and_then(host::split) {
        None => Page::bad_host(),
        Some((name, _)) if shared.routes.load().find(&name).is_none() => Page::unknown_host(&name),
        Some((name, _)) => match location(&name, shared.https_port, request.uri().path_and_query()) {
            Some(location) => return redirect(location),
            None => Page::bad_host(),
        },
    };
    page.respond(accept).map(Full::new)
}

fn location(name: &str, port: u16, path: Option<&PathAndQuery>) -> Option<HeaderValue> {
    // `*` is a path only for OPTIONS.
    let path = path.map(PathAndQuery::as_str).filter(|path| path.starts_with('/')).unwrap_or("/");
    let location = if port == 443 { format!("https://{name}{path}") } else { format!("https://{name}:{port}{path}") };
    HeaderValue::from_str(&location).ok()
}

fn redirect(location: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    // 308, not 301: a POST stays a POST.
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_query_are_kept_and_the_port_where_it_is_not_the_usual() {
        let path = PathAndQuery::from_static("/a%20b?c=d");
        assert_eq!(location("x.localhost", 443, Some(&path)).unwrap(), "https://x.localhost/a%20b?c=d");
        assert_eq!(location("x.localhost", 8443, Some(&path)).unwrap(), "https://x.localhost:8443/a%20b?c=d");
        assert_eq!(location("x", 443, Some(&PathAndQuery::from_static("*"))).unwrap(), "https://x/");
        assert_eq!(location("x", 443, None).unwrap(), "https://x/");
    }
}
