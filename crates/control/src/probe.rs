//! Asking an instance from outside whether it works: nothing is needed inside of its image.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use edge::Protocol;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

/// How long one answer to the probed path may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an app's instances are asked.
#[derive(Debug)]
pub(crate) struct Probe {
    /// The app's host name.
    host: String,
    /// The path that must be answered with a status below 400, where the settings name one.
    path: Option<String>,
    /// What the app speaks.
    protocol: Protocol,
    /// What was said last.
    last: Mutex<Option<u16>>,
}

impl Probe {
    /// A probe of an app.
    pub(crate) fn new(host: &str, path: Option<&str>) -> Self {
        Self { host: host.to_owned(), path: path.map(ToOwned::to_owned), protocol: Protocol::Http1, last: Mutex::default() }
    }

    /// The same for an app that speaks another protocol.
    pub(crate) fn speaking(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The path that must be answered well.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The status of the last answer.
    pub(crate) fn last(&self) -> Option<u16> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there has been an answer, whatever it says.
    pub(crate) async fn any_answer(&self, address: SocketAddr) {
        loop {
            let status = self.ask(address).await;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = status;
            if status.is_some() {
                return;
            }
            // Closed without a byte: the server is not ready, or it does not speak HTTP/1.
            time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the probed path is answered with a status below 400: redirects pass. Without a path there is nothing to wait for.
    pub(crate) async fn healthy(&self, address: SocketAddr) {
        if self.path.is_none() {
            return;
        }
        let mut pause = Duration::from_millis(20);
        loop {
            let status = time::timeout(PATIENCE, self.ask(address)).await.ok().flatten();
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = status;
            if status.is_some_and(|status| (200..400).contains(&status)) {
                return;
            }
            time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(500));
        }
    }

    /// Asks once. The status of what came back, 0 where that is not HTTP; `None` where nothing came.
    async fn ask(&self, address: SocketAddr) -> Option<u16> {
        match (self.protocol, &self.path) {
            (Protocol::Http1, _) => self.ask_http1(address).await,
            (Protocol::H2c, None) => greet_h2c(address).await,
            (Protocol::H2c, Some(path)) => self.ask_h2c(address, path).await,
        }
    }

    async fn ask_h2c(&self, address: SocketAddr, path: &str) -> Option<u16> {
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut sender, connection) = h2::client::handshake(stream).await.ok()?;
        let request = Request::get(format!("http://{}{path}", self.host))
            .header("user-agent", "Adaptable-Probe")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", &self.host)
            .body(())
            .ok()?;
        let (response, _) = sender.send_request(request, true).ok()?;
        tokio::select! {
            response = response => response.ok().map(|response| response.status().as_u16()),
            _ended = connection => None,
        }
    }

    async fn ask_http1(&self, address: SocketAddr) -> Option<u16> {
        let (path, host) = (self.path.as_deref().unwrap_or("/"), &self.host);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Adaptable-Probe\r\nAccept: */*\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: {host}\r\nConnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = [0_u8; 512];
        let mut length = 0;
        // The first line may come in pieces.
        while length < head.len() && !head[..length].contains(&b'\n') {
            match stream.read(&mut head[length..]).await {
                Ok(0) | Err(_) => break,
                Ok(read) => length += read,
            }
        }
        (length > 0).then(|| status(&head[..length]))
    }
}

/// Says hello in HTTP/2 (RFC 9113, 3.4). An answer is the frame that must come first from any server: its settings.
async fn greet_h2c(address: SocketAddr) -> Option<u16> {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.ok()?;
    stream.write_all(SETTINGS).await.ok()?;
    let mut head = [0_u8; 9];
    stream.read_exact(&mut head).await.ok()?;
    (head[3..] == SETTINGS[3..]).then_some(200)
}

/// The status in the first line of a response (RFC 9112, 4); 0 where it is none.
fn status(head: &[u8]) -> u16 {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = std::str::from_utf8(line).unwrap_or_default();
    let code = text.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1));
    code.and_then(|code| code.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn statuses_are_read_and_nonsense_is_none() {
        assert_eq!(status(b"HTTP/1.1 302 Found\r\n"), 302);
        assert_eq!(status(b"HTTP/1.0 200\r\n"), 200);
        assert_eq!(status(b"SSH-2.0-x\r\n"), 0);
        assert_eq!(status(b"HTTP/1.1\r\n"), 0);
    }

    #[tokio::test]
    async fn a_redirect_passes_and_an_error_is_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(async move {
            for answer in ["", "HTTP/1.1 503 No\r\n\r\n", "HTTP/1.1 301 Moved\r\n\r\n"] {
                let (mut stream, _) = listener.accept().await.expect("a visitor");
                let mut request = [0_u8; 1024];
                let read = stream.read(&mut request).await.expect("a request");
                assert!(request[..read].starts_with(b"GET /up?x=1 HTTP/1.1\r\nHost: shop.example\r\n"));
                stream.write_all(answer.as_bytes()).await.expect("an answer");
            }
        });
        let probe = Probe::new("shop.example", Some("/up?x=1"));
        time::timeout(Duration::from_secs(10), probe.healthy(address)).await.expect("healthy");
        assert_eq!(probe.last(), Some(301));
        server.await.expect("asked three times");
    }

    #[tokio::test]
    async fn an_app_of_http2_greets_and_is_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            // The first visitor is answered as by a server of HTTP/1.1.
            let (mut stream, _) = listener.accept().await.expect("a visitor");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("an answer");
            drop(stream);
            let mut statuses = [503, 302].into_iter();
            while let Ok((stream, _)) = listener.accept().await {
                let mut connection = h2::server::Builder::new().handshake::<_, &[u8]>(stream).await.expect("HTTP/2");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!((request.uri().path(), request.uri().host()), ("/up", Some("shop.example")));
                    let response = http::Response::builder().status(statuses.next().expect("asked twice")).body(());
                    let _end = respond.send_response(response.expect("a head"), true).expect("sent");
                }
            }
        });
        let any = Probe::new("shop.example", None).speaking(Protocol::H2c);
        time::timeout(Duration::from_secs(10), any.any_answer(address)).await.expect("greeted");
        let probe = Probe::new("shop.example", Some("/up")).speaking(Protocol::H2c);
        time::timeout(Duration::from_secs(10), probe.healthy(address)).await.expect("healthy");
        assert_eq!(probe.last(), Some(302));
    }
}
