//! The way to a registry: TLS with an authority of one's own, proxies, hosts without TLS.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use image::registry::{Proxy, PullError, Settings};

use crate::world::{Here, Made, Registry, plain, serve};

/// A name that no resolver knows; only the proxy does.
const NAME: &str = "registry.test";

/// A registry with TLS, and the certificate of the authority that made its certificate.
fn secured() -> (Registry, String) {
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("settings");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).expect("a certificate");
    let issuer = rcgen::Issuer::new(params, authority_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec![NAME.to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).expect("settings").signed_by(&key, &issuer).expect("a certificate");
    let registry = Registry::start("  tls:\n    certificate: DIR/cert.pem\n    key: DIR/key.pem\n", None, true, |dir| {
        fs::write(dir.join("cert.pem"), certificate.pem()).expect("written");
        fs::write(dir.join("key.pem"), key.serialize_pem()).expect("written");
    });
    (registry, authority.pem())
}

/// A proxy that leads to one port whatever it is asked for, and what it was asked for.
fn proxy(to: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let port = serve(move |request, mut client| {
        log.lock().expect("whole").push(request.head.clone());
        let mut upstream = TcpStream::connect(("127.0.0.1", to)).expect("the registry");
        if request.head.starts_with("CONNECT ") {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").expect("sent");
            let (mut from, mut back) = (client.try_clone().expect("cloned"), upstream.try_clone().expect("cloned"));
            let up = std::thread::spawn(move || {
                let _ended = std::io::copy(&mut from, &mut upstream);
                let _ended = upstream.shutdown(Shutdown::Write);
            });
            let _ended = std::io::copy(&mut back, &mut client);
            let _ended = client.shutdown(Shutdown::Write);
            let _ended = up.join();
        } else {
            // `GET http://host/path`: the registry is asked for the path.
            let (method, rest) = request.head.split_once(' ').expect("a request");
            let path =
                rest.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| &rest[at..])).expect("a whole address");
            write!(upstream, "{method} {}", path.replacen("\r\n", "\r\nConnection: close\r\n", 1)).expect("sent");
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer).expect("an answer");
            let _gone = client.write_all(&answer);
        }
    });
    (port, asked)
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_the_settings_say_so() {
    let (registry, authority) = secured();
    let made = Made::new(&[]);
    registry.push(&made.path, "x:1", &[]);
    let name = format!("{}/x:1", registry.host());
    let settings = Settings { authorities: authority.into_bytes(), ..plain() };
    Here::new().pull(settings, &name).await.expect("pulled");
    // Without it, not: and it is not tried without TLS in its place, since nobody answers that there.
    Here::new().pull(plain(), &name).await.expect_err("who is that?");
    let settings = Settings { authorities: b"nonsense".to_vec(), ..plain() };
    let error = Here::new().pull(settings, &name).await.expect_err("no certificate");
    assert!(matches!(error, PullError::Settings(_)), "{error}");
}

#[tokio::test]
async fn a_proxy_leads_to_a_registry() {
    let (registry, authority) = secured();
    let made = Made::new(&[]);
    registry.push(&made.path, "x:1", &[]);
    let (port, asked) = proxy(registry.port);
    let through = |except: &str| Settings {
        authorities: authority.clone().into_bytes(),
        proxy: Proxy::Through { url: format!("http://user:secret@127.0.0.1:{port}"), except: except.to_owned() },
        ..plain()
    };
    Here::new().pull(through(""), &format!("{NAME}/x:1")).await.expect("pulled");
    let heads = asked.lock().expect("whole").clone();
    assert!(heads.iter().all(|head| head.starts_with(&format!("CONNECT {NAME}:443 "))), "{heads:?}");
    // `user:secret`, and nothing for the registry to see.
    assert!(heads.iter().all(|head| head.to_ascii_lowercase().contains("proxy-authorization: basic ")), "{heads:?}");
    // What is excepted is reached directly: here, not at all.
    let error = Here::new().pull(through("other.example, .test"), &format!("{NAME}/x:1")).await.expect_err("no such host");
    assert!(matches!(error, PullError::Unreachable { .. }), "{error}");
    // This machine is never asked for at a proxy.
    asked.lock().expect("whole").clear();
    Here::new().pull(through(""), &format!("{}/x:1", registry.host())).await.expect("pulled");
    assert_eq!(asked.lock().expect("whole").len(), 0);
    // The certificate is the registry's, whatever the way.
    let error =
        Here::new().pull(Settings { authorities: Vec::new(), ..through("") }, &format!("{NAME}/x:1")).await.expect_err("who?");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn without_tls_only_what_is_marked_is_reached() {
    let (registry, made) = (Registry::open(), Made::new(&[]));
    registry.push(&made.path, "x:1", &[]);
    let (port, asked) = proxy(registry.port);
    let through = Proxy::Through { url: format!("http://127.0.0.1:{port}"), except: String::new() };
    let name = format!("{NAME}:5000/x:1");
    let closed = Settings { proxy: through.clone(), ..plain() };
    Here::new().pull(closed, &name).await.expect_err("it has no TLS");
    assert!(asked.lock().expect("whole").iter().all(|head| head.starts_with("CONNECT ")));
    let open = Settings { insecure: [format!("{NAME}:5000")].into(), proxy: through, ..plain() };
    Here::new().pull(open, &name).await.expect("pulled");
    assert!(asked.lock().expect("whole").iter().any(|head| head.starts_with(&format!("GET http://{NAME}:5000/v2/"))));
}
