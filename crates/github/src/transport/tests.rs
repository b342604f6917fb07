//! TLS with an authority of one's own, and the way through a proxy.

use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server that speaks TLS as `localhost`, and the authority (PEM) that vouches for it.
async fn server() -> (SocketAddr, String) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = certificate.signed_by(&key, &issuer).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a configuration");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // Who does not trust us goes away in the middle of it.
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tls.read_u8().await.expect("a request"));
            }
            tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello").await.expect("it listens");
            tls.shutdown().await.ok();
        }
    });
    (address, pem)
}

/// A proxy of HTTP that answers `CONNECT` in these words, and then passes everything on; its address.
async fn proxy(words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.expect("a visitor");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await.expect("a request"));
        }
        let head = String::from_utf8(head).expect("text");
        let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).expect("a target");
        assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwdw==\r\n"), "{head}");
        let mut on = TcpStream::connect(target).await.expect("the server");
        tcp.write_all(words).await.expect("it listens");
        tokio::io::copy_bidirectional(&mut tcp, &mut on).await.ok();
    });
    address
}

async fn get(transport: &Transport, port: u16) -> Result<Bytes> {
    let url = Url::parse(&format!("https://localhost:{port}/x")).expect("an address");
    let request = Request::get(url.as_str()).body(Full::new(Bytes::new())).expect("a request");
    transport.send(&url, request).await.map(Response::into_body)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted() {
    let (address, pem) = server().await;
    let none = Matcher::builder().build();
    let transport = Transport::through(none, pem.as_bytes()).expect("a transport");
    for _ in 0..2 {
        assert_eq!(get(&transport, address.port()).await.expect("an answer"), "hello");
    }
    let stranger = Transport::through(Matcher::builder().build(), b"").expect("a transport");
    let error = get(&stranger, address.port()).await.expect_err("nobody vouches for it").to_string();
    assert!(error.starts_with("GitHub (localhost:") && error.contains("invalid peer certificate"), "{error}");
    assert!(Transport::new(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
}

#[tokio::test]
async fn a_proxy_is_gone_through() {
    let (address, pem) = server().await;
    let through = |proxy: SocketAddr| {
        let matcher = Matcher::builder().https(format!("http://user:pw@{proxy}")).build();
        Transport::through(matcher, pem.as_bytes()).expect("a transport")
    };
    let open = proxy(b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n").await;
    assert_eq!(get(&through(open), address.port()).await.expect("an answer"), "hello");
    let closed = proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let error = get(&through(closed), address.port()).await.expect_err("it does not let us").to_string();
    assert!(error.contains("the proxy 127.0.0.1 answers: HTTP/1.1 407 Proxy Authentication Required"), "{error}");
}
