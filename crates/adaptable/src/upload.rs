//! Sending a directory: packed on a thread of its own while it is being sent.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use api::{Client, Upload};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use source::{Limits, PackError, Packed};
use tokio::sync::mpsc;

use crate::explain::{Failure, source_refused};

/// How much is sent at once.
const PIECE: usize = 128 * 1024;
/// How many pieces may wait to be sent.
const QUEUE: usize = 8;

/// Walks a directory and checks what it holds.
pub(crate) async fn pack(directory: &Path) -> Result<Packed, Failure> {
    let directory: PathBuf = directory.to_owned();
    blocking(move || source::pack(&directory, &Limits::default())).await?.map_err(|error| source_refused(&error))
}

/// Sends what was packed.
pub(crate) async fn send(client: &Client, packed: Packed) -> Result<Upload, Failure> {
    let (sender, pieces) = mpsc::channel(QUEUE);
    // Over a socket there is nothing to save; over a network there is.
    let compress = !client.is_local();
    let packing = tokio::task::spawn_blocking(move || {
        let mut writer = Pieces { buffer: BytesMut::with_capacity(PIECE), sender };
        let written = if compress { packed.write_zstd(&mut writer) } else { packed.write_to(&mut writer) };
        if let Err(error) = &written {
            // Cuts the request off: half a source must not pass for a whole one.
            writer.sender.blocking_send(Err(io::Error::other(error.to_string()))).ok();
        }
        written
    });
    let sent = client.upload(if compress { api::ZSTD } else { api::TAR }, Stream { pieces }.boxed()).await;
    let packed = packing.await;
    match (sent, packed) {
        (Ok(upload), _) => Ok(upload),
        // Where the packer only noticed that nobody listens any more, the platform had its say, or the connection broke.
        (Err(_), Ok(Err(error))) if !matches!(error, PackError::Write(_)) => Err(source_refused(&error)),
        (Err(error), _) => Err(error.into()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::local(format!("packing the source ended early: {error}"), ""))
}

/// Cuts what is written into pieces.
struct Pieces {
    buffer: BytesMut,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Pieces {
    fn pass_on(&mut self) -> io::Result<()> {
        let piece = self.buffer.split().freeze();
        self.sender.blocking_send(Ok(piece)).map_err(|_closed| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() >= PIECE {
            self.pass_on()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.pass_on() }
    }
}

/// The pieces as the body of a request.
struct Stream {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
