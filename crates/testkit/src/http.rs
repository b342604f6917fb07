//! A small blocking HTTP/1.1 client over any stream: one connection for each request, so that a test sees what one visitor sees.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

/// How long any read or write may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A TLS connection to the edge, for what is more than a request and its answer.
pub type Connection = StreamOwned<ClientConnection, TcpStream>;

/// What a visitor got.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// From before the connection to the last byte.
    pub seconds: f64,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as a document.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Opens a TLS connection that trusts the authority in `pem` alone.
pub(crate) fn connect(address: SocketAddr, host: &str, pem: &[u8]) -> io::Result<Connection> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    let client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(client, tcp);
    // A certificate that is not trusted is told here, not at the first byte.
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Sends a request whose connection ends after it, and reads the answer.
pub fn exchange(
    stream: impl Read + Write,
    method: &str,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    use std::fmt::Write as _;
    let began = Instant::now();
    let mut stream = BufReader::new(stream);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("a string takes all");
    }
    head.push_str("\r\n");
    stream.get_mut().write_all(head.as_bytes())?;
    stream.get_mut().write_all(body)?;
    stream.get_mut().flush()?;
    let (status, headers) = head_of(&mut stream)?;
    let mut answer = Answer { status, headers, body: Vec::new(), seconds: 0.0 };
    if let Some(length) = answer.header("content-length").and_then(|length| length.parse().ok()) {
        answer.body = vec![0; length];
        if method != "HEAD" {
            stream.read_exact(&mut answer.body)?;
        }
    } else if answer.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        answer.body = chunks(&mut stream)?;
    } else if status != 204 && status != 304 {
        stream.read_to_end(&mut answer.body)?;
    }
    answer.seconds = began.elapsed().as_secs_f64();
    Ok(answer)
}

/// Reads the head of an answer.
fn head_of(stream: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let status = line(stream)?;
    let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let code = code.ok_or_else(|| io::Error::other(format!("not an HTTP answer: {status:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            return Ok((code, headers));
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

fn chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(stream)?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).map_err(io::Error::other)?;
        let begin = body.len();
        body.resize(begin + size, 0);
        stream.read_exact(&mut body[begin..])?;
        let end = line(stream)?;
        if size == 0 {
            return Ok(body);
        }
        if !end.is_empty() {
            return Err(io::Error::other("a chunk is longer than it says"));
        }
    }
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended in the middle"));
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
