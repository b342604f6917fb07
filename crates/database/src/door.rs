//! The way in from outside to databases that allow it: one port for all, told apart by the name in the TLS handshake.
//!
//! A connection is let through as it comes, to the server's own TLS; nothing is decrypted here. What is read of it is the request
//! for TLS (the protocol's own, before the handshake) and the host's name (RFC 6066, section 3).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::Awake;

/// Connections at the same time, from everywhere.
const CONNECTIONS: usize = 1000;
/// How long a client may take until it has said where it wants to go, and a server that sleeps until it answers.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest beginning of a handshake that is read; a hello is a few hundred bytes, some thousand with new key exchanges.
const LONGEST_HELLO: usize = 32 * 1024;

/// Asks whether TLS is spoken: length and code (PostgreSQL's message formats, `SSLRequest`).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The same for GSSAPI, which is not (`GSSENCRequest`).
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// Who decides where a connection goes.
pub trait Doorman: Send + Sync + 'static {
    /// The database behind a host's name, kept awake, for somebody at this address; `None` where there is none for them. The
    /// client is told nothing of the reason.
    fn admit(&self, host: &str, from: IpAddr) -> impl Future<Output = Option<Awake>> + Send;
}

/// Lets connections through until it is dropped.
pub async fn serve(listener: TcpListener, doorman: Arc<impl Doorman>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (client, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept on the port of databases");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // One too many is closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let doorman = Arc::clone(&doorman);
        tokio::spawn(async move {
            if let Err(error) = pass(client, from, &*doorman).await {
                tracing::debug!(%from, %error, "a connection to a database ended");
            }
            drop(place);
        });
    }
}

async fn pass(mut client: TcpStream, from: SocketAddr, doorman: &impl Doorman) -> io::Result<()> {
    client.set_nodelay(true)?;
    let opened = timeout(PATIENCE, async {
        if !begin(&mut client).await? {
            return Ok(None);
        }
        let (hello, host) = hello(&mut client).await?;
        let Some(awake) = doorman.admit(&host, from.ip().to_canonical()).await else { return Ok(None) };
        let mut server = TcpStream::connect(awake.address).await?;
        server.set_nodelay(true)?;
        server.write_all(&SSL_REQUEST).await?;
        if server.read_u8().await? != b'S' {
            return Err(io::Error::other("the server speaks no TLS"));
        }
        server.write_all(&hello).await?;
        Ok(Some((server, awake)))
    });
    let Some((mut server, _awake)) = opened.await.map_err(|_late| io::Error::from(io::ErrorKind::TimedOut))?? else {
        return Ok(());
    };
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Answers the questions before the handshake; false where the client goes on without TLS, which ends here.
async fn begin(client: &mut TcpStream) -> io::Result<bool> {
    for _ in 0..2 {
        let mut request = [0_u8; 8];
        client.read_exact(&mut request).await?;
        match request {
            SSL_REQUEST => {
                client.write_all(b"S").await?;
                return Ok(true);
            }
            GSS_REQUEST => client.write_all(b"N").await?,
            _ => break,
        }
    }
    client.write_all(&refusal("this database is reached by TLS alone: use sslmode=verify-full")).await?;
    client.shutdown().await?;
    Ok(false)
}

/// An `ErrorResponse` with the code for a refused authorization (PostgreSQL's message formats and error codes).
fn refusal(message: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    for (kind, text) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "28000"), (b'M', message)] {
        fields.push(kind);
        fields.extend_from_slice(text.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    let length = u32::try_from(fields.len() + 4).expect("a short text");
    [&[b'E'][..], &length.to_be_bytes(), &fields].concat()
}

/// Reads the beginning of the handshake: its bytes as they came, and the host's name in them.
async fn hello(client: &mut TcpStream) -> io::Result<(Vec<u8>, String)> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::with_capacity(1024);
    let mut piece = [0_u8; 4096];
    loop {
        let read = client.read(&mut piece).await?;
        if read == 0 || bytes.len() + read > LONGEST_HELLO {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&piece[..read]);
        let mut rest = &piece[..read];
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let host = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                let host = host.ok_or_else(|| io::Error::other("the handshake names no host"))?;
                return Ok((bytes, host));
            }
            Err((error, _alert)) => return Err(io::Error::other(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Doorman for Nobody {
        async fn admit(&self, _host: &str, _from: IpAddr) -> Option<Awake> {
            None
        }
    }

    async fn door() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, Arc::new(Nobody)));
        address
    }

    async fn say(address: SocketAddr, what: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(what).await.expect("said");
        let mut heard = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut heard)).await.expect("in time").ok();
        heard
    }

    #[tokio::test]
    async fn without_tls_there_is_no_way_in() {
        let address = door().await;
        let startup = [0, 0, 0, 9, 0, 3, 0, 0, 0];
        let heard = say(address, &startup).await;
        assert!(heard.starts_with(b"E") && String::from_utf8_lossy(&heard).contains("sslmode=verify-full"), "{heard:?}");
        let heard = say(address, &[&GSS_REQUEST[..], &startup].concat()).await;
        assert!(heard.starts_with(b"NE"), "{heard:?}");
    }

    #[tokio::test]
    async fn what_is_no_handshake_is_let_go() {
        let address = door().await;
        for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16; 64], &[0xff; 64]] {
            assert_eq!(say(address, &[&SSL_REQUEST[..], nonsense].concat()).await, b"S", "{nonsense:?}");
        }
    }
}
