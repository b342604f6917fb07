//! Visitors who come without a pause, each in a way of its own, and who take offence at everything that is not an answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Platform;

/// What no request takes on a machine that is as busy as one gets.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a visitor comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One HTTP/1.1 connection for as long as the server keeps it.
    KeptAlive,
    /// A connection for each request.
    Anew,
    /// One HTTP/2 connection until the server says goodbye.
    Http2,
}

/// An answer.
#[derive(Debug, Clone, Copy)]
struct Answered {
    way: Way,
    at: Instant,
    took: Duration,
}

/// What all of them saw.
#[derive(Debug, Default)]
struct Seen {
    answers: Mutex<Vec<Answered>>,
    failures: Mutex<Vec<String>>,
    connections: Mutex<u64>,
}

/// Visitors at work.
#[derive(Debug)]
pub struct Visitors {
    stop: Arc<AtomicBool>,
    seen: Arc<Seen>,
    runtime: tokio::runtime::Runtime,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What they had to say in the end.
#[derive(Debug)]
pub struct Report {
    /// How many answers there were.
    pub answers: usize,
    /// What was no answer, in words.
    pub failures: Vec<String>,
    /// How many connections were opened.
    pub connections: u64,
    /// The longest that one waited for an answer, by way.
    pub longest: Vec<(Way, Duration)>,
    /// The time that half of the answers took at most.
    pub median: Duration,
    /// The time that 99 of 100 took at most.
    pub p99: Duration,
    /// Answers a second.
    pub rate: f64,
    /// The longest time in which nobody was answered.
    pub gap: Duration,
    /// When that ended.
    pub gap_ended: Option<Instant>,
}

#[derive(Clone)]
struct Place {
    host: String,
    address: SocketAddr,
    http1: TlsConnector,
    http2: TlsConnector,
    expected: String,
    pause: Duration,
    seen: Arc<Seen>,
}

impl Visitors {
    /// Lets them come to an app that answers `expected`, each in its way. Between two requests each waits for `pause`.
    pub fn come(platform: &Platform, app: &str, expected: &str, ways: &[Way], pause: Duration) -> Self {
        let pem = std::fs::read(platform.data().join("ca.pem")).expect("the authority");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).expect("a certificate")).expect("an authority");
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connector = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        let seen = Arc::new(Seen::default());
        let place = Place {
            host: format!("{app}.localhost"),
            address: platform.https(),
            http1: connector(b"http/1.1"),
            http2: connector(b"h2"),
            expected: expected.to_owned(),
            pause,
            seen: Arc::clone(&seen),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = ways.iter().map(|way| runtime.spawn(visit(*way, place.clone(), Arc::clone(&stop)))).collect();
        Self { stop, seen, runtime, tasks }
    }

    /// How many answers there have been.
    pub fn answers(&self) -> usize {
        self.seen.answers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Sends them home.
    pub fn leave(self) -> Report {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            self.runtime.block_on(task).expect("a visitor does not panic");
        }
        let answers = self.seen.answers.lock().expect("all have ended").clone();
        let longest = [Way::KeptAlive, Way::Anew, Way::Http2].into_iter().filter_map(|way| {
            let took = answers.iter().filter(|it| it.way == way).map(|it| it.took).max()?;
            Some((way, took))
        });
        let mut times: Vec<_> = answers.iter().map(|it| it.took).collect();
        times.sort();
        let mut moments: Vec<_> = answers.iter().map(|it| it.at).collect();
        moments.sort();
        let gap = moments.windows(2).map(|pair| (pair[1] - pair[0], pair[1])).max_by_key(|(took, _)| *took);
        Report {
            gap: gap.map(|(took, _)| took).unwrap_or_default(),
            gap_ended: gap.map(|(_, at)| at),
            answers: answers.len(),
            longest: longest.collect(),
            median: times.get(times.len() / 2).copied().unwrap_or_default(),
            p99: times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default(),
            rate: moments.first().zip(moments.last()).map_or(0.0, |(first, last)| {
                #[expect(clippy::cast_precision_loss, reason = "shown to people")]
                let count = answers.len() as f64;
                count / (*last - *first).as_secs_f64().max(0.001)
            }),
            failures: self.seen.failures.lock().expect("all have ended").clone(),
            connections: *self.seen.connections.lock().expect("all have ended"),
        }
    }
}

async fn visit(way: Way, place: Place, stop: Arc<AtomicBool>) {
    let began = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        let visit = async {
            match way {
                Way::KeptAlive => place.kept_alive(&stop, usize::MAX).await,
                Way::Anew => place.kept_alive(&stop, 1).await,
                Way::Http2 => place.http2(&stop).await,
            }
        };
        if let Err(failure) = visit.await {
            let text = format!("{way:?} after {:.3} s: {failure}", began.elapsed().as_secs_f64());
            place.seen.failures.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
        if way == Way::Anew {
            tokio::time::sleep(place.pause).await;
        }
    }
}

impl Place {
    async fn connect(&self, connector: &TlsConnector) -> Result<TlsStream<TcpStream>, String> {
        *self.seen.connections.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let tcp = TcpStream::connect(self.address).await.map_err(|error| format!("connect: {error}"))?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        let name = ServerName::try_from(self.host.clone()).expect("a name");
        connector.connect(name, tcp).await.map_err(|error| format!("TLS: {error}"))
    }

    /// Requests on one connection, until the server says that it was the last, and not a moment sooner.
    async fn kept_alive(&self, stop: &AtomicBool, most: usize) -> Result<(), String> {
        let mut began = Instant::now();
        let way = if most == 1 { Way::Anew } else { Way::KeptAlive };
        let stream = tokio::time::timeout(PATIENCE, self.connect(&self.http1)).await.map_err(|_late| "connecting hangs")??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        for _ in 0..most {
            sender.ready().await.map_err(|error| format!("the connection was closed without a word: {error}"))?;
            let request = Request::get("/").header("host", &self.host).body(Empty::<Bytes>::new()).expect("a request");
            let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.map_err(|_late| "no answer")?;
            let answer = answer.map_err(|error| format!("send: {error} ({error:?})"))?;
            let last = answer.headers().get("connection").is_some_and(|value| value == "close");
            self.check(way, answer, began).await?;
            if last || stop.load(Ordering::SeqCst) {
                break;
            }
            tokio::time::sleep(self.pause).await;
            began = Instant::now();
        }
        connection.abort();
        Ok(())
    }

    async fn http2(&self, stop: &AtomicBool) -> Result<(), String> {
        let mut began = Instant::now();
        let stream = tokio::time::timeout(PATIENCE, self.connect(&self.http2)).await.map_err(|_late| "connecting hangs")??;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        while !stop.load(Ordering::SeqCst) {
            // After the server's goodbye: it is no failure, as long as nothing was sent.
            if sender.ready().await.is_err() {
                break;
            }
            let uri = format!("https://{}/", self.host);
            let request = Request::get(uri).version(Version::HTTP_2).body(Empty::<Bytes>::new()).expect("a request");
            let sent = tokio::time::timeout(PATIENCE, sender.try_send_request(request)).await.map_err(|_late| "no answer")?;
            match sent {
                Ok(answer) => self.check(Way::Http2, answer, began).await?,
                // The goodbye came between the two, and the request has not left.
                Err(error) if error.message().is_some() => break,
                Err(error) => {
                    let text = format!("send: {:?}", error.into_error());
                    // It was read just before the request would have left: the server has nothing of it (RFC 9113 section 6.8).
                    if text.contains("GoAway(b\"\", NO_ERROR, Remote)") {
                        break;
                    }
                    return Err(text);
                }
            }
            tokio::time::sleep(self.pause).await;
            began = Instant::now();
        }
        connection.abort();
        Ok(())
    }

    async fn check(&self, way: Way, answer: hyper::Response<hyper::body::Incoming>, began: Instant) -> Result<(), String> {
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| format!("the body broke off: {error:?}"))?.to_bytes();
        if status != 200 || body != self.expected {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
        }
        let answered = Answered { way, at: Instant::now(), took: began.elapsed() };
        self.seen.answers.lock().unwrap_or_else(PoisonError::into_inner).push(answered);
        Ok(())
    }
}
