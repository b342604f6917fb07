//! Whose request is it: hosts, certificates, redirects, and what claims to be from elsewhere.

use http::{Request, Response, StatusCode};

use crate::support::*;

/// An app that tells what it was sent.
async fn mirror(world: &World) {
    world
        .serving("mirror", |request| async move {
            let mut lines: Vec<String> =
                request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            lines.push(format!("{} {}", request.method(), request.uri()));
            Response::new(full(lines.join("\n")))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_its_app_by_host() {
    let world = World::new();
    world.serving("one", |_| async { Response::new(full("I am one")) }).await;
    world.serving("two", |_| async { Response::new(full("I am two")) }).await;
    assert_eq!(world.get("one.localhost", "/").await, (200, "I am one".into()));
    assert_eq!(world.get("two.localhost:8443", "/").await, (200, "I am two".into()));
    assert_eq!(world.get("TWO.localhost", "/").await, (200, "I am two".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_reaches_the_app_too() {
    let world = World::new();
    mirror(&world).await;
    let mut client = world.h2("mirror.localhost").await;
    let (status, seen) = text(client.send_request(get2("mirror.localhost:8443", "/a?b=c")).await.unwrap()).await;
    assert_eq!(status, 200);
    assert!(seen.contains("host: mirror.localhost:8443") && seen.ends_with("GET /a?b=c"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spoofed_headers_do_not_reach_the_app() {
    let world = World::new();
    mirror(&world).await;
    let request = Request::get("/x?y=z")
        .header("host", "mirror.localhost:8443")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x_forwarded_for", "6.6.6.6")
        .header("x-forwarded-proto", "gopher")
        .header("forwarded", "for=6.6.6.6")
        .header("x-real-ip", "6.6.6.6")
        .header("connection", "x-hop")
        .header("x-hop", "gone")
        .header("x-mine", "kept")
        .body(empty())
        .unwrap();
    let (_, seen) = text(world.send(request).await).await;
    let expected = [
        "host: mirror.localhost:8443",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: mirror.localhost:8443",
        "x-forwarded-proto: https",
        "x-mine: kept",
        "GET /x?y=z",
    ];
    let mut lines: Vec<_> = seen.lines().collect();
    lines[..5].sort_unstable();
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_gets_a_page() {
    let world = World::new();
    let mut client = world.h1("localhost").await;
    // A name that could be an app's has a certificate, so that the page can be read; any other has none.
    assert!(world.try_connect("nobody.localhost", &[]).await.is_ok());
    assert!(world.try_connect("nobody.example", &[]).await.is_err(), "a certificate for a name of others");
    let (status, _) = text(client.send_request(get("localhost", "/")).await.unwrap()).await;
    assert_eq!(status, 200);
    let out = curl(&world, &["-H", "Accept: application/json"], "https://nobody.localhost:PORT/").await;
    assert!(out.contains(r#""code":"unknown_host""#) && out.ends_with("404"), "{out}");
    let out = curl(&world, &["-H", "Accept: text/html"], "https://nobody.localhost:PORT/").await;
    assert!(out.contains("<h1>There is no app at nobody.localhost</h1>"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_for_one_app_does_not_reach_another() {
    let world = World::new();
    world.serving("one", |_| async { Response::new(full("I am one")) }).await;
    world.serving("two", |_| async { Response::new(full("I am two")) }).await;
    for host in ["two.localhost", "localhost", "nobody.localhost"] {
        let mut h1 = world.h1("one.localhost").await;
        assert_eq!(h1.send_request(get(host, "/")).await.unwrap().status(), StatusCode::MISDIRECTED_REQUEST, "{host}");
        let mut h2 = world.h2("one.localhost").await;
        assert_eq!(h2.send_request(get2(host, "/")).await.unwrap().status(), StatusCode::MISDIRECTED_REQUEST, "{host}");
        // The connection is still good for what it was made for.
        assert_eq!(text(h2.send_request(get2("one.localhost", "/")).await.unwrap()).await.1, "I am one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_without_a_server_name_reaches_the_platform_by_address() {
    let world = World::new();
    let routes = platform_routes().with("127.0.0.1".parse().unwrap(), edge::Target::Platform);
    world.edge.handle().set_routes(routes);
    // Verified by curl: the certificate has the address among its names.
    let out = curl(&world, &["-d", "ping"], "https://127.0.0.1:PORT/").await;
    assert_eq!(out, "ping200");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_redirected() {
    let world = World::with(|config| config.public_https_port = Some(443));
    world.app("shop");
    let http = world.edge.http_addr().port();
    let ask = |host: &'static str, path: &'static str| async move {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", http)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer)).await.unwrap();
        answer
    };
    let answer = ask("Shop.localhost:8080", "/a%20b?c=d").await;
    assert!(answer.starts_with("HTTP/1.1 308") && answer.contains("location: https://shop.localhost/a%20b?c=d\r\n"), "{answer}");
    assert!(ask("nobody.localhost", "/").await.starts_with("HTTP/1.1 404"));
    assert!(ask("a b", "/").await.starts_with("HTTP/1.1 400"));
    assert!(ask("shop.localhost@evil.example", "/").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_trusts_the_authority_and_speaks_both_versions() {
    let world = World::new();
    world.serving("hello", |_| async { Response::new(full("hello")) }).await;
    for version in ["--http1.1", "--http2"] {
        assert_eq!(curl(&world, &[version], "https://hello.localhost:PORT/").await, "hello200", "{version}");
    }
    assert_eq!(curl(&world, &["--http2", "--tls-max", "1.2"], "https://hello.localhost:PORT/").await, "hello200");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_finds_nothing_wrong_with_the_certificates() {
    use rustls_pki_types::pem::PemObject as _;
    let world = World::new();
    world.app("strict");
    let directory = tempfile::tempdir().unwrap();
    let stream = world.connect("strict.localhost", &[]).await;
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    std::fs::write(directory.path().join("ca.pem"), &world.ca_pem).unwrap();
    std::fs::write(directory.path().join("leaf.der"), leaf.as_ref()).unwrap();
    assert!(rustls_pki_types::CertificateDer::from_pem_slice(world.ca_pem.as_bytes()).is_ok());
    let out = tokio::process::Command::new("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            "strict.localhost",
            "-CAfile",
            "ca.pem",
            "leaf.der",
        ])
        .current_dir(directory.path())
        .output()
        .await
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
