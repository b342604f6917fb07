//! Backups of databases: their ids, kinds and states, which of them are kept, and when the next one is due.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DatabaseType;
use crate::names::{AppName, clip};

/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;
/// When the night begins in which daily backups are made: 01:00 UTC.
const NIGHT_BEGINS: i64 = 60 * 60 * 1000;
/// How long it is: the backups of all apps are spread over four hours.
const NIGHT: u64 = 4 * 60 * 60 * 1000;

/// The id of a backup: when it was begun, and four random digits, as in `20261124T031500Z-ab12`. Texts sort as times do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}$", "examples" = ["20261124T031500Z-ab12"]))]
pub struct BackupId(String);

/// A text that is no id of a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no id of a backup: it looks like 20261124T031500Z-ab12")]
pub struct BackupIdError(String);

impl BackupId {
    /// The id of a backup that is begun at that time (milliseconds since 1970, UTC), with a number that tells it from others of the
    /// same second.
    pub fn new(at: i64, random: u16) -> Self {
        let seconds = at.div_euclid(1000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Self(format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{random:04x}"))
    }

    /// Checks a text from outside.
    pub fn parse(text: &str) -> Result<Self, BackupIdError> {
        let shape = text.len() == 21
            && text.bytes().enumerate().all(|(index, byte)| match index {
                8 => byte == b'T',
                15 => byte == b'Z',
                16 => byte == b'-',
                17.. => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
                _ => byte.is_ascii_digit(),
            });
        if shape { Ok(Self(text.to_owned())) } else { Err(BackupIdError(clip(text))) }
    }

    /// The id as text: it may stand in a path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for BackupId {
    type Err = BackupIdError;
    fn from_str(text: &str) -> Result<Self, BackupIdError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for BackupId {
    type Error = BackupIdError;
    fn try_from(text: String) -> Result<Self, BackupIdError> {
        Self::parse(&text)
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

/// Year, month and day of a day since 1970 in the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Why a backup was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackupKind {
    /// The night's.
    Daily,
    /// Somebody asked for it.
    OnDemand,
    /// Its app was about to be deleted.
    Final,
    /// Another one was about to take the place of what was there.
    BeforeRestore,
}

impl BackupKind {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Daily, Self::OnDemand, Self::Final, Self::BeforeRestore];

    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::OnDemand => "on-demand",
            Self::Final => "final",
            Self::BeforeRestore => "before-restore",
        }
    }

    /// The kind of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackupState {
    /// It lies where it belongs, and was not restored yet: it does not count.
    Made,
    /// It was restored into a scratch database.
    Verified,
    /// It could not be: it does not count.
    Damaged,
}

impl BackupState {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Verified => "verified",
            Self::Damaged => "damaged",
        }
    }

    /// The state of that word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Made, Self::Verified, Self::Damaged].into_iter().find(|state| state.as_str() == text)
    }
}

/// What a restored dump was found to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contents {
    /// Tables or collections.
    pub tables: u64,
    /// Rows or documents in them.
    pub rows: u64,
}

/// A backup: what lies beside its dump, and in the store. Times are milliseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Its id.
    #[serde(rename = "backup")]
    pub id: BackupId,
    /// Its app.
    pub app: AppName,
    /// The kind of database whose dump it is.
    pub database: DatabaseType,
    /// Why it was made.
    pub kind: BackupKind,
    /// How far it is.
    pub state: BackupState,
    /// When it was begun.
    pub made_at: i64,
    /// The dump's size in bytes.
    pub bytes: u64,
    /// The dump's SHA-256, as hexadecimal digits.
    pub sha256: String,
    /// What was found in it when it was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Contents>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<i64>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When its app was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<i64>,
}

impl Backup {
    /// What the rule asks of it.
    pub fn held(&self) -> Held {
        Held { id: self.id.clone(), kind: self.kind, state: self.state, made_at: self.made_at, gone_at: self.gone_at }
    }
}

/// A backup, as far as the rule asks. Times are milliseconds since 1970, UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its id.
    pub id: BackupId,
    /// Why it was made.
    pub kind: BackupKind,
    /// How far it is.
    pub state: BackupState,
    /// When it was made.
    pub made_at: i64,
    /// When its app was deleted; an app of the same name that came later is another one.
    pub gone_at: Option<i64>,
}

/// Which backups of an app are kept. All in days, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Every verified one of the last days.
    pub all: i64,
    /// Of each day (UTC) the newest verified one.
    pub daily: i64,
    /// Of each week (from Monday) the newest verified one.
    pub weekly: i64,
    /// Every verified one that somebody asked for.
    pub on_demand: i64,
    /// As many of those, whatever their age: a number.
    pub on_demand_newest: usize,
    /// What was set aside before a restore; and everything of an app that is gone, from its end on.
    pub aside: i64,
    /// What does not count: damaged, or not verified. Someone may want to look at it.
    pub uncounted: i64,
}

impl Default for Rule {
    fn default() -> Self {
        Self { all: 2, daily: 7, weekly: 28, on_demand: 30, on_demand_newest: 3, aside: 7, uncounted: 2 }
    }
}

impl Rule {
    /// The backups of one app that may go. The newest verified one of an app that is there is never among them.
    pub fn expired(&self, now: i64, held: &[Held]) -> Vec<BackupId> {
        let mut newest_first: Vec<&Held> = held.iter().collect();
        newest_first.sort_by(|one, other| (other.made_at, &other.id).cmp(&(one.made_at, &one.id)));
        let (mut days, mut weeks) = (Vec::new(), Vec::new());
        let (mut verified, mut asked) = (0, 0);
        let mut expired = Vec::new();
        for backup in newest_first {
            let younger = |days: i64| now.saturating_sub(backup.made_at) < days.saturating_mul(DAY);
            let keep = match (backup.gone_at, backup.state) {
                (Some(gone), _) => now.saturating_sub(gone) < self.aside.saturating_mul(DAY),
                (None, BackupState::Made | BackupState::Damaged) => younger(self.uncounted),
                (None, BackupState::Verified) => {
                    let day = backup.made_at.div_euclid(DAY);
                    // 1970 began on a Thursday.
                    let week = (day + 3).div_euclid(7);
                    let first_of_day = days.last() != Some(&day);
                    let first_of_week = weeks.last() != Some(&week);
                    days.push(day);
                    weeks.push(week);
                    verified += 1;
                    asked += usize::from(backup.kind == BackupKind::OnDemand);
                    let for_its_kind = match backup.kind {
                        BackupKind::OnDemand => younger(self.on_demand) || asked <= self.on_demand_newest,
                        BackupKind::Final | BackupKind::BeforeRestore => younger(self.aside),
                        BackupKind::Daily => false,
                    };
                    verified == 1
                        || younger(self.all)
                        || (first_of_day && younger(self.daily))
                        || (first_of_week && younger(self.weekly))
                        || for_its_kind
                }
            };
            if !keep {
                expired.push(backup.id.clone());
            }
        }
        expired
    }
}

/// When an app's backup was last due, at or before that time: once a night, at a minute that its name decides, so that the apps of
/// a platform do not all begin at once.
pub fn last_due(app: &AppName, now: i64) -> i64 {
    // FNV-1a: the same on every machine and in every version.
    let hash =
        app.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let into_the_day = NIGHT_BEGINS + i64::try_from((hash >> 16) % NIGHT).unwrap_or(0);
    (now - into_the_day).div_euclid(DAY) * DAY + into_the_day
}

/// Whether an app's daily backup is to be made now: none was since it was last due. `since` is when the newest one was made, or the
/// database where there is none.
pub fn is_due(app: &AppName, since: i64, now: i64) -> bool {
    since < last_due(app, now)
}

#[cfg(test)]
mod tests;
