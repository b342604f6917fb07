//! Apps: their names, user-id ranges, settings, and which revision is live.

use model::{AppName, RevisionNumber, Settings};
use rusqlite::{OptionalExtension, Row, params};

use crate::{StoreError, Tx, word};

/// The highest slot: 40,000 ranges of 65,536 user ids above the first thousand million fit in 32 bits.
const SLOT_MAX: u16 = 40_000;

/// The number of an app in the store; never reused while another row names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(pub i64);

/// An app as it stands.
#[derive(Debug, Clone)]
pub struct App {
    /// Its number.
    pub id: AppId,
    /// Its name.
    pub name: AppName,
    /// Its range of user ids.
    pub slot: u16,
    /// Whether it is paused.
    pub paused: bool,
    /// The revision that the edge serves.
    pub live: Option<RevisionNumber>,
    /// The part of the visitors that gets another revision.
    pub split: Option<Split>,
    /// When it was created.
    pub created_at: i64,
    /// Its settings document.
    pub settings: Settings,
}

/// A part of an app's visitors, and the revision that they get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// The other revision.
    pub revision: RevisionNumber,
    /// How many visitors of a hundred get it: 1 to 99.
    pub percent: u8,
}

fn settings_place(name: &str) -> String {
    format!("app.settings:{name}")
}

const COLUMNS: &str = "id, name, slot, settings, paused, live, created_at, split_revision, split_percent";

impl Tx<'_> {
    /// Creates an app with the lowest free slot.
    pub fn create_app(&self, name: &AppName, settings: &Settings, now: i64) -> Result<App, StoreError> {
        if self.app(name)?.is_some() {
            return Err(StoreError::NameTaken(name.to_string()));
        }
        let slot: u16 = self.db.query_row(
            "select min(candidate) from (select 1 as candidate union all select slot + 1 from app)
             where candidate not in (select slot from app)",
            [],
            |row| row.get(0),
        )?;
        if slot > SLOT_MAX {
            return Err(StoreError::Full);
        }
        let sealed = self.sealer.seal_json(&settings_place(name.as_str()), settings)?;
        self.db.execute(
            "insert into app (name, slot, settings, created_at) values (?, ?, ?, ?)",
            params![name.as_str(), slot, sealed, now],
        )?;
        let id = AppId(self.db.last_insert_rowid());
        Ok(App {
            id,
            name: name.clone(),
            slot,
            paused: false,
            live: None,
            split: None,
            created_at: now,
            settings: settings.clone(),
        })
    }

    /// The app of that name.
    pub fn app(&self, name: &AppName) -> Result<Option<App>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("select {COLUMNS} from app where name = ?"))?;
        let row = statement.query_row([name.as_str()], RawApp::read).optional()?;
        row.map(|raw| self.open_app(&raw)).transpose()
    }

    /// Every app, by name.
    pub fn apps(&self) -> Result<Vec<App>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("select {COLUMNS} from app order by name"))?;
        let raws = statement.query_map([], RawApp::read)?.collect::<Result<Vec<_>, _>>()?;
        raws.into_iter().map(|raw| self.open_app(&raw)).collect()
    }

    /// Replaces the settings document.
    pub fn set_settings(&self, app: &App, settings: &Settings) -> Result<(), StoreError> {
        let sealed = self.sealer.seal_json(&settings_place(app.name.as_str()), settings)?;
        self.db.execute("update app set settings = ? where id = ?", params![sealed, app.id.0])?;
        Ok(())
    }

    /// Pauses or resumes.
    pub fn set_paused(&self, app: AppId, paused: bool) -> Result<(), StoreError> {
        self.db.execute("update app set paused = ? where id = ?", params![paused, app.0])?;
        Ok(())
    }

    /// Says which revision the edge serves, to all visitors.
    pub fn set_live(&self, app: AppId, revision: RevisionNumber) -> Result<(), StoreError> {
        self.db.execute("update app set live = ? where id = ?", params![revision.0, app.0])?;
        self.set_split(app, None)
    }

    /// Says which part of the visitors gets another revision.
    pub fn set_split(&self, app: AppId, split: Option<Split>) -> Result<(), StoreError> {
        let (revision, percent) = (split.map(|split| split.revision.0), split.map(|split| split.percent));
        self.db
            .execute("update app set split_revision = ?, split_percent = ? where id = ?", params![revision, percent, app.0])?;
        Ok(())
    }

    /// Forgets the app and all that belongs to it.
    pub fn delete_app(&self, app: AppId) -> Result<(), StoreError> {
        self.db.execute("delete from app where id = ?", [app.0])?;
        Ok(())
    }

    fn open_app(&self, raw: &RawApp) -> Result<App, StoreError> {
        let settings = self.sealer.open_json("settings", &settings_place(&raw.name), &raw.settings)?;
        Ok(App {
            id: AppId(raw.id),
            name: word("app.name", &raw.name, |text| AppName::parse(text).ok())?,
            slot: raw.slot,
            paused: raw.paused,
            live: raw.live.map(RevisionNumber),
            split: raw.split.map(|(revision, percent)| Split { revision: RevisionNumber(revision), percent }),
            created_at: raw.created_at,
            settings,
        })
    }
}

struct RawApp {
    id: i64,
    name: String,
    slot: u16,
    settings: Vec<u8>,
    paused: bool,
    live: Option<u32>,
    created_at: i64,
    split: Option<(u32, u8)>,
}

impl RawApp {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            slot: row.get(2)?,
            settings: row.get(3)?,
            paused: row.get(4)?,
            live: row.get(5)?,
            created_at: row.get(6)?,
            split: row.get::<_, Option<u32>>(7)?.zip(row.get(8)?),
        })
    }
}
