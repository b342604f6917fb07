//! Deliveries of webhooks: each is taken once, waits on disk until it is worked off, and is remembered for a while.

use rusqlite::{OptionalExtension, params};
use zeroize::Zeroizing;

use crate::github::column;
use crate::{StoreError, Tx, word};

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is to be worked off.
    Waiting,
    /// It was.
    Done,
    /// It could not be, and is tried no more.
    Failed,
}

impl DeliveryState {
    const ALL: [Self; 3] = [Self::Waiting, Self::Done, Self::Failed];

    /// The word in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A delivery without what it says.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its number, in the order of coming.
    pub seq: i64,
    /// GitHub's id of it.
    pub id: String,
    /// The event.
    pub event: String,
    /// The repository that it is about.
    pub repository: Option<u64>,
    /// When it came.
    pub received_at: i64,
    /// How far it has come.
    pub state: DeliveryState,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next.
    pub next_at: i64,
    /// What came of it, in words for people.
    pub result: String,
}

fn place(seq: i64) -> String {
    format!("github_delivery.payload:{seq}")
}

const COLUMNS: &str = "seq, id, event, repository, received_at, state, tries, next_at, result";

impl Tx<'_> {
    /// Takes a delivery and gives its number, or nothing where it was taken before. One that has failed may be sent again.
    pub fn receive_delivery(
        &self,
        id: &str,
        event: &str,
        repository: Option<u64>,
        payload: &[u8],
        now: i64,
    ) -> Result<Option<i64>, StoreError> {
        let seq: Option<i64> = self
            .db
            .query_row(
                "insert into github_delivery (id, event, repository, received_at, state, next_at) values (?1, ?2, ?3, ?4, 'waiting', ?4)
                 on conflict (id) do update set state = 'waiting', tries = 0, next_at = ?4, result = '' where state = 'failed'
                 returning seq",
                params![id, event, repository.map(column), now],
                |row| row.get(0),
            )
            .optional()?;
        let Some(seq) = seq else { return Ok(None) };
        let sealed = self.sealer.seal(&place(seq), payload)?;
        self.db.execute("update github_delivery set payload = ? where seq = ?", params![sealed, seq])?;
        Ok(Some(seq))
    }

    /// Those that wait, the oldest first.
    pub fn waiting_deliveries(&self) -> Result<Vec<Delivery>, StoreError> {
        self.deliveries_of(&format!("select {COLUMNS} from github_delivery where state = 'waiting' order by seq limit ?"), 1000)
    }

    /// The last ones, the newest first.
    pub fn deliveries(&self, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.deliveries_of(&format!("select {COLUMNS} from github_delivery order by seq desc limit ?"), limit)
    }

    fn deliveries_of(&self, query: &str, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let mut statement = self.db.prepare_cached(query)?;
        let rows = statement
            .query_map([limit], |row| {
                let delivery = Delivery {
                    seq: row.get(0)?,
                    id: row.get(1)?,
                    event: row.get(2)?,
                    repository: row.get::<_, Option<i64>>(3)?.and_then(|number| number.try_into().ok()),
                    received_at: row.get(4)?,
                    state: DeliveryState::Waiting,
                    tries: row.get(6)?,
                    next_at: row.get(7)?,
                    result: row.get(8)?,
                };
                Ok((row.get::<_, String>(5)?, delivery))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(text, delivery)| {
                let find = |text: &str| DeliveryState::ALL.into_iter().find(|state| state.as_str() == text);
                Ok(Delivery { state: word("github_delivery.state", &text, find)?, ..delivery })
            })
            .collect()
    }

    /// What a waiting delivery says.
    pub fn delivery_payload(&self, seq: i64) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed: Option<Vec<u8>> =
            self.db.query_row("select payload from github_delivery where seq = ?", [seq], |row| row.get(0)).optional()?.flatten();
        sealed.map(|sealed| Ok(self.sealer.open("a delivery", &place(seq), &sealed)?)).transpose()
    }

    /// A delivery is worked off, well or not; what it said is forgotten. One that has ended stays as it is.
    pub fn end_delivery(&self, seq: i64, state: DeliveryState, result: &str) -> Result<(), StoreError> {
        self.db.execute(
            "update github_delivery set state = ?, payload = null, result = ?, tries = tries + 1 where seq = ? and state = 'waiting'",
            params![state.as_str(), result, seq],
        )?;
        Ok(())
    }

    /// Notes how far a waiting delivery has come.
    pub fn progress_delivery(&self, seq: i64, words: &str) -> Result<(), StoreError> {
        self.db.execute("update github_delivery set result = ? where seq = ? and state = 'waiting'", params![words, seq])?;
        Ok(())
    }

    /// A delivery is to be tried again later.
    pub fn retry_delivery(&self, seq: i64, next_at: i64, result: &str) -> Result<(), StoreError> {
        self.db.execute(
            "update github_delivery set tries = tries + 1, next_at = ?, result = ? where seq = ? and state = 'waiting'",
            params![next_at, result, seq],
        )?;
        Ok(())
    }

    /// Forgets the deliveries that ended and came before then.
    pub fn sweep_deliveries(&self, before: i64) -> Result<usize, StoreError> {
        Ok(self.db.execute("delete from github_delivery where state <> 'waiting' and received_at < ?", [before])?)
    }
}
