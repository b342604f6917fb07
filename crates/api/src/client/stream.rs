//! Reading a stream of objects, one a line, as they come.

use std::marker::PhantomData;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::ClientError;

/// The longest line taken.
const LONGEST: usize = 4 * 1024 * 1024;

/// Objects that arrive one a line.
#[derive(Debug)]
pub struct Lines<T> {
    body: Incoming,
    buffer: BytesMut,
    /// How far the buffer was searched for an end of line.
    searched: usize,
    place: String,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    pub(super) fn new(body: Incoming, place: String) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, place, kind: PhantomData }
    }

    /// The next object; none at the end of the stream. Empty lines, which only show that the connection lives, are passed over.
    /// Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            while let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + at);
                self.buffer.advance(1);
                self.searched = 0;
                if !line.trim_ascii().is_empty() {
                    return self.parse(&line).map(Some);
                }
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LONGEST {
                return Err(ClientError::Broken { place: self.place.clone(), source: "a line without an end".into() });
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(source)) => return Err(ClientError::Broken { place: self.place.clone(), source: Box::new(source) }),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => {
                    let line = self.buffer.split();
                    self.searched = 0;
                    return self.parse(&line).map(Some);
                }
            }
        }
    }

    fn parse(&self, line: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(line).map_err(|source| ClientError::Answer { place: self.place.clone(), source })
    }
}
