//! Users: basic authentication, and tokens as Docker's registries want them, from a server that signs them with a key of its own.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use image::registry::PullError;
use rcgen::SigningKey as _;
use serde_json::json;

use crate::world::{Here, Made, Registry, answer, free_port, names, plain, run, serve, with_user};

/// `htpasswd` with bcrypt, which is all that the registry takes.
pub(crate) fn htpasswd(user: &str, password: &str) -> impl Fn(&Path) {
    move |dir: &Path| {
        let line = run("htpasswd", &["-nbB", "-C", "5", user, password]).stdout;
        fs::write(dir.join("htpasswd"), line).expect("written");
    }
}

pub(crate) const BASIC: &str = "auth:\n  htpasswd:\n    realm: tests\n    path: DIR/htpasswd\n";

#[tokio::test]
async fn a_name_and_a_password_open_a_registry() {
    let registry =
        Registry::start(BASIC, Some("reader:secret with:all@kinds"), false, htpasswd("reader", "secret with:all@kinds"));
    let made = Made::new(&[]);
    registry.push(&made.path, "private/x:1", &[]);
    let name = format!("{}/private/x:1", registry.host());
    let here = Here::new();
    let pulled = here.pull(with_user(&registry.host(), "reader", "secret with:all@kinds"), &name).await.expect("pulled");
    assert!(names(&pulled).iter().any(|name| name.ends_with("data/a")));
    for settings in
        [with_user(&registry.host(), "reader", "secret"), with_user("elsewhere:1", "reader", "secret with:all@kinds"), plain()]
    {
        let error = Here::new().pull(settings, &name).await.expect_err("not allowed");
        assert!(matches!(error, PullError::NotAllowed { .. }) && error.to_string().contains(&name), "{error}");
    }
}

/// Gives out tokens (distribution's `spec/auth/token.md`): everybody may read `public/…`, who knows the password `private/…` too.
struct Tokens {
    certificate: String,
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    /// How many of the next tokens are of the past already.
    stale: Arc<AtomicUsize>,
}

const WRITER: &str = "writer:secret";

impl Tokens {
    fn start(service: &'static str) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(Vec::new()).expect("settings").self_signed(&key).expect("a certificate");
        let chain = STANDARD.encode(certificate.der());
        let (asked, stale) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (log, old) = (Arc::clone(&asked), Arc::clone(&stale));
        let port = serve(move |request, mut client| {
            let query = request
                .path()
                .split_once('?')
                .map_or("", |(_, query)| query)
                .replace("%2F", "/")
                .replace("%3A", ":")
                .replace("%2C", ",");
            let value = |name: &str| {
                let prefix = format!("{name}=");
                query.split('&').find_map(|pair| pair.strip_prefix(&prefix)).unwrap_or_default().to_owned()
            };
            let sent = request.head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("authorization").then(|| value.trim().trim_start_matches("Basic ").to_owned())
            });
            let user = match sent {
                None => None,
                Some(text) if text == STANDARD.encode(WRITER) => Some("writer"),
                Some(_wrong) => {
                    let _gone = client.write_all(&answer("401 Unauthorized", "", b"{}"));
                    return;
                }
            };
            log.lock().expect("whole").push(query.clone());
            assert_eq!(value("service"), service);
            let scope = value("scope");
            let mut parts = scope.splitn(3, ':');
            let (kind, name, actions) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let granted: Vec<&str> = match user {
                Some(_) => actions.split(',').collect(),
                None if name.starts_with("public/") => vec!["pull"],
                None => Vec::new(),
            };
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
            let stale = old.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            let until = if stale { now - 3600 } else { now + 300 };
            let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [chain]});
            let claims = json!({
                "iss": "tests", "sub": user.unwrap_or_default(), "aud": service, "exp": until, "nbf": now - 7200, "iat": now,
                "jti": format!("{now}"), "access": [{"type": kind, "name": name, "actions": granted}],
            });
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
            let signature = plain_signature(&key.sign(signed.as_bytes()).expect("signed"));
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            let body = json!({ "token": token }).to_string();
            let _gone = client.write_all(&answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()));
        });
        Self { certificate: certificate.pem(), port, asked, stale }
    }

    fn registry(&self, service: &str) -> Registry {
        let settings = format!(
            "auth:\n  token:\n    realm: http://127.0.0.1:{}/token\n    service: {service}\n    issuer: tests\n    rootcertbundle: DIR/root.pem\n",
            self.port
        );
        Registry::start(&settings, Some(WRITER), false, |dir| {
            fs::write(dir.join("root.pem"), &self.certificate).expect("written");
        })
    }
}

/// The two numbers of a signature, which DER wraps, at their full length (RFC 7518, section 3.4).
fn plain_signature(der: &[u8]) -> Vec<u8> {
    let mut numbers = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        numbers.extend(std::iter::repeat_n(0, 32 - number.len()));
        numbers.extend_from_slice(number);
        rest = &rest[2 + length..];
    }
    numbers
}

#[tokio::test]
async fn a_token_is_fetched_where_the_registry_says() {
    let tokens = Tokens::start("tests.registry");
    let registry = tokens.registry("tests.registry");
    let made = Made::new(&[]);
    for name in ["public/x:1", "private/x:1"] {
        registry.push(&made.path, name, &[]);
    }
    let host = registry.host();
    tokens.asked.lock().expect("whole").clear();
    let here = Here::new();
    let public = here.pull(plain(), &format!("{host}/public/x:1")).await.expect("pulled");
    assert_eq!(public.layers(), 3);
    let asked = tokens.asked.lock().expect("whole").clone();
    assert_eq!(asked, ["service=tests.registry&scope=repository:public/x:pull"], "one token, for reading one repository");
    let error = Here::new().pull(plain(), &format!("{host}/private/x:1")).await.expect_err("private");
    assert!(matches!(error, PullError::NotAllowed { .. }), "{error}");
    let user = with_user(&host, "writer", "secret");
    Here::new().pull(user.clone(), &format!("{host}/private/x:1")).await.expect("pulled");
    let error = Here::new().pull(with_user(&host, "writer", "wrong"), &format!("{host}/public/x:1")).await.expect_err("wrong");
    assert!(matches!(error, PullError::NotAllowed { .. }), "{error}");
    // A token that is of no use any more is one refusal, and no loop.
    tokens.stale.store(1, Ordering::SeqCst);
    let error = Here::new().pull(user, &format!("{host}/private/x:1")).await.expect_err("stale");
    assert!(matches!(error, PullError::NotAllowed { .. }), "{error}");
}

#[tokio::test]
async fn a_password_goes_nowhere_without_tls() {
    // A registry that sends its visitors to a place of its choice.
    let caught = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&caught);
    let thief = serve(move |_request, _client| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    for realm in [format!("http://thief.example:{thief}/token"), format!("ftp://127.0.0.1:{thief}/"), "nonsense".to_owned()] {
        let port = serve(move |_request, mut client| {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n");
            let _gone = client.write_all(&answer("401 Unauthorized", &challenge, b""));
        });
        let host = format!("127.0.0.1:{port}");
        let error = Here::new().pull(with_user(&host, "writer", "secret"), &format!("{host}/x:1")).await.expect_err("refused");
        assert!(
            matches!(error, PullError::Protocol { .. }) && error.to_string().contains("TLS")
                || error.to_string().contains("can't be read"),
            "{error}"
        );
    }
    assert_eq!(caught.load(Ordering::SeqCst), 0);
    let _unused = free_port();
}
