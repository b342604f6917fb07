//! TLS with a certificate authority of our own, on a loopback port.

use std::net::SocketAddr;
use std::sync::Arc;

use api::client::{Authority, Trust};
use api::{Client, ClientError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A platform that answers every request with the same bytes; gives its authority, and what it was asked.
async fn platform(answer: &'static str) -> (SocketAddr, String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("an authority").pem();
    let leaf_key = KeyPair::generate().expect("a key");
    let issuer = Issuer::new(params, key);
    let leaf = CertificateParams::new(vec!["localhost".to_owned()])
        .expect("a name")
        .signed_by(&leaf_key, &issuer)
        .expect("a certificate");
    let private = PrivateKeyDer::try_from(leaf_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .expect("they belong together");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (sender, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let mut request = vec![0; 4096];
            let length = tls.read(&mut request).await.unwrap_or(0);
            sender.send(String::from_utf8_lossy(&request[..length]).into_owned()).ok();
            tls.write_all(answer.as_bytes()).await.ok();
            tls.shutdown().await.ok();
        }
    });
    (address, authority, asked)
}

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]";

fn client(address: SocketAddr, trust: &Trust) -> Client {
    Client::remote(&format!("https://localhost:{}", address.port()), Some("the-token"), trust).expect("a sound address")
}

#[tokio::test]
async fn only_a_trusted_platform_gets_the_token() {
    let (address, pem, mut asked) = platform(EMPTY).await;
    let stranger = platform(EMPTY).await.1;
    for trust in [Trust::System, Trust::Only(Authority::parse(stranger.as_bytes()).expect("an authority"))] {
        if trust.config().is_err() {
            // A machine without root certificates trusts nobody anyway.
            continue;
        }
        let error = client(address, &trust).apps().await.expect_err("nobody vouches for it");
        assert!(matches!(error, ClientError::Tls { .. }), "{error:?}");
        assert!(asked.try_recv().is_err(), "nothing was sent");
    }
    let authority = Authority::parse(pem.as_bytes()).expect("an authority");
    for trust in [Trust::Only(authority.clone()), Trust::SystemAnd(authority.clone())] {
        assert!(client(address, &trust).apps().await.expect("trusted").is_empty());
        let request = asked.recv().await.expect("it was asked").to_ascii_lowercase();
        assert!(request.contains("authorization: bearer the-token"), "{request}");
        assert!(request.contains(&format!("host: localhost:{}", address.port())), "{request}");
    }
    assert_eq!(authority.fingerprint().len(), 95);
}

#[tokio::test]
async fn what_speaks_no_tls_is_no_platform() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
        }
    });
    let error = client(address, &Trust::Anybody).apps().await.expect_err("no TLS");
    assert!(matches!(error, ClientError::Tls { .. }), "{error:?}");
}

#[test]
fn addresses_are_checked() {
    for (bad, part) in [
        ("http://localhost", "https"),
        ("localhost:8443", "https"),
        ("https://git:secret@localhost", "--token"),
        ("https://localhost/api", "end after"),
        ("https://", "read"),
        ("nonsense nonsense", "read"),
    ] {
        let error = Client::remote(bad, None, &Trust::Anybody).expect_err(bad);
        assert!(error.to_string().contains(part), "{bad}: {error}");
        assert_eq!(error.body().code.exit_code(), 2);
    }
    for (good, place) in [
        ("https://a.example", "https://a.example"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("https://1.2.3.4:443", "https://1.2.3.4"),
    ] {
        assert_eq!(Client::remote(good, None, &Trust::Anybody).expect(good).place(), place);
    }
    let error = Client::remote("https://a.example", Some("line\nbreak"), &Trust::Anybody).expect_err("no header");
    assert!(!error.to_string().contains("break"));
}

#[test]
fn texts_that_are_no_certificate_are_refused() {
    for bad in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Authority::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
}
