//! A way from a port of this machine to an app's database, through the platform.

use std::io;

use api::Client;
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use model::AppName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::explain::Failure;

/// The most that is read at once.
const PIECE: usize = 64 * 1024;

/// A port on loopback; whoever connects to it is connected to the database, as long as this is there.
pub(crate) struct Tunnel {
    port: u16,
    _accepting: JoinSet<()>,
}

impl Tunnel {
    /// Opens it.
    pub(crate) async fn open(client: Client, app: AppName) -> Result<Self, Failure> {
        let listen = async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            let port = listener.local_addr()?.port();
            io::Result::Ok((listener, port))
        };
        let (listener, port) =
            listen.await.map_err(|error| Failure::local(format!("open a port on this machine: {error}"), ""))?;
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _address)) = listener.accept().await {
                let (client, app) = (client.clone(), app.clone());
                connections.spawn(async move {
                    // The program at the other end sees that its connection ended, and says so.
                    let _ended = carry(&client, &app, stream).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, _accepting: accepting })
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Carries one connection: what is said goes as the body of a request, what is heard comes as that of its answer.
async fn carry(client: &Client, app: &AppName, stream: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let (from, mut to) = stream.into_split();
    let said = futures_util::stream::try_unfold(from, |mut from| async move {
        let mut piece = vec![0_u8; PIECE];
        let read = from.read(&mut piece).await?;
        piece.truncate(read);
        io::Result::Ok((read > 0).then(|| (Frame::data(Bytes::from(piece)), from)))
    });
    let mut heard = client.connect_database(app, StreamBody::new(Box::pin(said)).boxed()).await?;
    while let Some(frame) = heard.frame().await {
        if let Ok(data) = frame?.into_data() {
            to.write_all(&data).await?;
        }
    }
    to.shutdown().await?;
    Ok(())
}
