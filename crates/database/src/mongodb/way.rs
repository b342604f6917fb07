//! The platform's way to its own MongoDB server: TLS, with the certificate checked against the platform's authority and the server's name.
//!
//! The driver checks the name by which it resolves an address, and knows nothing in between; nobody resolves the server's name outside of
//! containers. So the driver gets a Unix socket, in a directory that only the platform's user may enter, and what it says there goes on
//! through TLS that is checked here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::certificate::connector;
use crate::{DatabaseError, Result};

/// How long a connection may take to come about.
const CONNECTED: Duration = Duration::from_secs(10);
/// The socket's name in its directory.
const SOCKET: &str = "mongodb.sock";

/// A way to a server, open as long as this lives.
#[derive(Debug)]
pub(crate) struct Way {
    directory: TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Way {
    /// A way to the server of this name at this address.
    pub(crate) fn open(to: SocketAddr, host: &str, authority: &str) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| DatabaseError::Failed(format!("open the way to MongoDB: {error}"));
        let tls = connector(authority)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(&error))?;
        // Made for its user alone (mode 0700).
        let directory = tempfile::Builder::new().prefix("adaptable-mongodb").tempdir().map_err(|error| failed(&error))?;
        let listener = UnixListener::bind(directory.path().join(SOCKET)).map_err(|error| failed(&error))?;
        let task = tokio::spawn(async move {
            // Connections end with the way.
            let mut connections = JoinSet::new();
            while let Ok((stream, _nobody)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(carry(stream, to, name.clone(), tls.clone()));
            }
        });
        Ok(Self { directory, task })
    }

    /// Where the driver is to connect.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut from: UnixStream, to: SocketAddr, name: ServerName<'static>, tls: TlsConnector) {
    let connect = async {
        let tcp = TcpStream::connect(to).await?;
        tcp.set_nodelay(true)?;
        tls.connect(name, tcp).await
    };
    match timeout(CONNECTED, connect).await {
        Ok(Ok(mut server)) => {
            // Either end may go away.
            let _ended = tokio::io::copy_bidirectional(&mut from, &mut server).await;
        }
        // The driver sees a connection that breaks; a server that does not listen yet is asked again.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            tracing::error!(%to, %error, "the MongoDB server is not the one that it should be");
        }
        Ok(Err(error)) => tracing::debug!(%to, %error, "connect to the MongoDB server"),
        Err(_late) => tracing::debug!(%to, "the MongoDB server does not answer"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls_pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server with a certificate for this name that says what it is told; and the authority.
    async fn echo(name: &str) -> (SocketAddr, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).expect("signed").pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec![name.to_owned()]).expect("names").signed_by(&key, &issuer).expect("signed");
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _client)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut word = [0; 4];
                    if stream.read_exact(&mut word).await.is_ok() {
                        let _sent = stream.write_all(&word).await;
                    }
                }
            }
        });
        (address, authority)
    }

    async fn says(way: &Way) -> Vec<u8> {
        let mut stream = UnixStream::connect(way.path()).await.expect("connected");
        let _sent = stream.write_all(b"word").await;
        let mut heard = Vec::new();
        let _broken = stream.read_to_end(&mut heard).await;
        heard
    }

    #[tokio::test]
    async fn only_the_server_of_that_name_and_authority_is_spoken_to() {
        let name = "server.mongodb.localhost";
        let (address, authority) = echo(name).await;
        assert_eq!(says(&Way::open(address, name, &authority).expect("a way")).await, b"word");
        let other_name = Way::open(address, "other.mongodb.localhost", &authority).expect("a way");
        assert_eq!(says(&other_name).await, b"");
        let (_, other) = echo(name).await;
        assert_eq!(says(&Way::open(address, name, &other).expect("a way")).await, b"");
        let way = Way::open(address, name, &authority).expect("a way");
        let path = way.path();
        drop(way);
        assert!(UnixStream::connect(path).await.is_err());
    }
}
