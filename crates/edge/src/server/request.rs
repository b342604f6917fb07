//! One request: whose it is, and whether it may pass.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, Version};
use hyper::body::{Body, Incoming};

use super::access::{self, Record};
use super::connection::Connection;
use super::forward::{self, Forward};
use super::headers;
use super::response::{self, Exchange, VisitorBody};
use crate::pages::Page;
use crate::{AppHandle, Protocol, Target, Visitor, host};

/// Answers one request of a connection.
pub(super) async fn answer(connection: Rc<Connection>, request: Request<Incoming>) -> Result<Response<VisitorBody>, Infallible> {
    let has_body = !request.body().is_end_stream();
    let mut record = Record::new(&connection, has_body, Instant::now(), || access::noted(&connection, &request));
    let routed = route(&connection, &request);
    let (target, host) = match routed {
        Ok(routed) => routed,
        Err(page) => return Ok(refused(&connection, request, &page, record)),
    };
    Ok(match target {
        Target::App(app) => {
            let app = begin(&connection, &app, &mut record);
            let mut forward = Forward { connection: &connection, app: &app, host: &host, record };
            let lease = match forward.place().await {
                Ok(lease) => lease,
                Err(page) => return Ok(refused(&connection, request, &page, forward.record)),
            };
            if lease.upstream().protocol() == Protocol::Http1 && forward::is_bodiless(&request) {
                match forward.bodiless(&request, lease).await {
                    Ok((mut response, lease)) => {
                        // The app's version is between it and us: a server of HTTP/1.0 must not make the visitor's connection one.
                        *response.version_mut() = Version::HTTP_11;
                        let exchange = Exchange { worker: Rc::clone(&connection.worker), sender: None, lease };
                        response::app(&connection, response, exchange, forward.record)
                    }
                    Err(page) => refused(&connection, request, &page, forward.record),
                }
            } else {
                let accept = accept(&request).cloned();
                // In a box, so that the usual request does not take the memory that only this one needs.
                match Box::pin(forward.run(request, lease)).await {
                    Ok(response) => response,
                    Err(unanswered) => {
                        let (page, record) = *unanswered;
                        response::page(&connection, page.respond(accept.as_ref()), record)
                    }
                }
            }
        }
        Target::Platform => {
            let platform = &connection.worker.shared.platform;
            let mut request = request.map(|body| connection.body(body).metered(record.meter()));
            request.extensions_mut().insert(Visitor { addr: connection.peer });
            response::platform(&connection, platform.call(request).await, record)
        }
    })
}

/// A page in the place of an answer; nobody reads the request's body.
fn refused(connection: &Rc<Connection>, request: Request<Incoming>, page: &Page, record: Record) -> Response<VisitorBody> {
    let page = page.respond(accept(&request));
    drop(connection.body(request.into_body()));
    response::page(connection, page, record)
}

fn accept(request: &Request<Incoming>) -> Option<&HeaderValue> {
    request.headers().get(header::ACCEPT)
}

/// Finds the target of a request, and the host as the visitor wrote it.
fn route(connection: &Connection, request: &Request<Incoming>) -> Result<(Target, HeaderValue), Page> {
    if *request.method() == Method::CONNECT {
        return Err(Page::bad_request("CONNECT is for proxies that lead elsewhere; this one does not."));
    }
    // Methods are names in capitals (RFC 9110, 9.1). `get` is none, though some apps take it for one.
    if !request.method().as_str().bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_') {
        return Err(Page::bad_request("Its method is not a name in capital letters."));
    }
    // The target `*` asks about a server as a whole, and only OPTIONS does (RFC 9112, 3.2.4).
    if request.uri().path() == "*" && *request.method() != Method::OPTIONS {
        return Err(Page::bad_request("Its target is not a path."));
    }
    if headers::count_for_app(request.headers(), connection.is_h2) > connection.worker.shared.limits.header_fields {
        return Err(Page::large_header());
    }
    let written = host_header(request)?;
    Ok((target(connection, &written)?, written))
}

/// The target of a request that names this host.
pub(super) fn target(connection: &Connection, written: &HeaderValue) -> Result<Target, Page> {
    let mut seen = connection.host.borrow_mut();
    let name = match &mut *seen {
        Some((text, name)) if text == written => name,
        seen => {
            let text = written.to_str().map_err(|_invalid| Page::bad_host())?;
            let (name, _) = host::split(text).ok_or_else(Page::bad_host)?;
            let name = name.into_owned().into_boxed_str();
            &mut seen.insert((written.clone(), name)).1
        }
    };
    let name: &str = name;
    let routes = connection.worker.shared.routes.load();
    let target = routes.find(name);
    if let Some(sni) = &connection.sni
        && sni.as_str() != name
    {
        // A connection made for one app's name must not reach another's: whoever vouched for the one did not for the other.
        let allowed = routes.find(sni.as_str());
        if !matches!((allowed, target), (Some(a), Some(b)) if a.is_same(b)) {
            return Err(Page::misdirected(name));
        }
    }
    target.cloned().ok_or_else(|| Page::unknown_host(name))
}

/// A request of an app begins: the revision whose turn it is gets it.
pub(super) fn begin(connection: &Connection, app: &Arc<AppHandle>, record: &mut Record) -> Arc<AppHandle> {
    let app = app.choose();
    record.belongs_to(&app);
    if app.take_watched() {
        connection.worker.shared.activate.resumed(&app);
    }
    app
}

/// The host that a request names, exactly once.
fn host_header(request: &Request<Incoming>) -> Result<HeaderValue, Page> {
    let mut lines = request.headers().get_all(header::HOST).into_iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(Page::bad_request("The request names its host more than once."));
    }
    let Some(authority) = request.uri().authority() else {
        return line.cloned().ok_or_else(Page::bad_host);
    };
    // HTTP/2 has an authority always, HTTP/1.1 in the form for proxies. Two different hosts in one request is how one
    // server is led to serve what the other did not check.
    let same = |line: &HeaderValue| line.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
    match line {
        Some(line) if same(line) => Ok(line.clone()),
        Some(_) => Err(Page::bad_request("The request names two different hosts.")),
        None if request.version() == Version::HTTP_2 => {
            HeaderValue::from_str(authority.as_str()).map_err(|_invalid| Page::bad_host())
        }
        None => Err(Page::bad_host()),
    }
}
