//! Requests that are done once, whatever becomes of their connections: their answers, kept for a while under their clients' keys.

use rusqlite::{OptionalExtension, params};
use zeroize::Zeroizing;

use crate::{StoreError, Tx};

/// What a request is kept under: the digest of who asks, of the operation, and of the client's key.
pub type OnceId = [u8; 32];

/// What is known of a request that has come.
#[derive(Debug)]
pub enum Once {
    /// It is the first; it counts as begun now.
    First,
    /// The first one has not been answered yet.
    Running,
    /// The key was used for another request.
    Reused,
    /// It was answered before.
    Answered {
        /// The status.
        status: u16,
        /// The body.
        body: Zeroizing<Vec<u8>>,
    },
}

fn place(id: &OnceId) -> String {
    use std::fmt::Write as _;
    id.iter().fold("once.answer:".to_owned(), |mut place, byte| {
        let _never_fails = write!(place, "{byte:02x}");
        place
    })
}

impl Tx<'_> {
    /// Begins a request, unless it was begun before. One that another run of the platform (`process`) left without an answer is begun
    /// anew.
    pub fn begin_once(&self, id: &OnceId, request: &[u8; 32], process: &[u8; 16], now: i64) -> Result<Once, StoreError> {
        type Row = (Vec<u8>, Vec<u8>, Option<u16>, Option<Vec<u8>>);
        let found: Option<Row> = self
            .db
            .query_row("select request, process, status, answer from once where id = ?", [id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        match found {
            Some((before, ..)) if before != request => Ok(Once::Reused),
            Some((_, _, Some(status), Some(sealed))) => {
                Ok(Once::Answered { status, body: self.sealer.open("once.answer", &place(id), &sealed)? })
            }
            Some((_, runs, ..)) if runs == process => Ok(Once::Running),
            Some(_) => {
                self.db.execute("update once set process = ?, created_at = ? where id = ?", params![process, now, id])?;
                Ok(Once::First)
            }
            None => {
                self.db.execute(
                    "insert into once (id, request, process, created_at) values (?, ?, ?, ?)",
                    params![id, request, process, now],
                )?;
                Ok(Once::First)
            }
        }
    }

    /// Keeps the answer to a request that was begun; the first answer stays.
    pub fn answer_once(&self, id: &OnceId, status: u16, body: &[u8]) -> Result<(), StoreError> {
        let sealed = self.sealer.seal(&place(id), body)?;
        self.db.execute("update once set status = ?, answer = ? where id = ? and status is null", params![status, sealed, id])?;
        Ok(())
    }

    /// Forgets a request that came to nothing, so that it may be tried again; not one that was answered.
    pub fn forget_once(&self, id: &OnceId) -> Result<(), StoreError> {
        self.db.execute("delete from once where id = ? and status is null", [id])?;
        Ok(())
    }

    /// Forgets what was begun before that time.
    pub fn sweep_once(&self, before: i64) -> Result<(), StoreError> {
        self.db.execute("delete from once where created_at < ?", [before])?;
        Ok(())
    }
}
