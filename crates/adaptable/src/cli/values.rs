//! Values of flags: variables, durations, points in time.

use std::time::Duration;

use model::{DatabaseType, EnvName};

/// Reads `NAME=VALUE`.
pub(crate) fn variable(text: &str) -> Result<(EnvName, String), String> {
    let (name, value) = text.split_once('=').ok_or("a variable is given as NAME=VALUE")?;
    let name = EnvName::parse(name).map_err(|error| error.to_string())?;
    if value.contains('\0') {
        return Err("a value can't hold a NUL character".to_owned());
    }
    Ok((name, value.to_owned()))
}

pub(super) fn database(text: &str) -> Result<DatabaseType, String> {
    DatabaseType::parse(text).ok_or_else(|| "must be postgres, mongodb, mssql or none".to_owned())
}

/// Reads a duration: `90`, `90s`, `10m`, `2h`, `1d`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{:?} is not a duration such as 90s, 10m, 2h or 1d", text.chars().take(40).collect::<String>());
    let mut seconds = 0_u64;
    let mut digits = String::new();
    let mut parts = 0;
    for c in text.trim().chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_not_a_number| wrong())?;
        seconds = number.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(wrong)?;
        digits.clear();
        parts += 1;
    }
    if !digits.is_empty() {
        if parts > 0 {
            return Err(wrong());
        }
        seconds = digits.parse().map_err(|_not_a_number| wrong())?;
        parts = 1;
    }
    // A hundred years: more would overflow the clock it is taken from.
    if parts == 0 || seconds > 3_153_600_000 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(seconds))
}

/// Reads a duration that may be shorter than a second (`250ms`), or `off`.
pub(crate) fn pause(text: &str) -> Result<Option<Duration>, String> {
    match (text.trim(), text.trim().strip_suffix("ms")) {
        ("off", _) => Ok(None),
        (_, Some(millis)) => {
            let millis = millis.trim().parse::<u32>();
            millis
                .map(|millis| Some(Duration::from_millis(u64::from(millis))))
                .map_err(|_not| format!("{text:?} is not a duration"))
        }
        (text, None) => duration(text).map(Some),
    }
}

/// Reads an amount of memory in MB, or with its unit: `512M`, `2G`. In bytes.
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let unit = match text.bytes().last() {
        Some(b'G' | b'g') => 1 << 30,
        _ => 1 << 20,
    };
    let number = text.trim_end_matches(['G', 'g', 'M', 'm']).parse::<u32>();
    number.map(|number| u64::from(number) * unit).map_err(|_not| format!("{text:?} is not an amount of memory"))
}

/// From when on: so long ago, or at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So long before now.
    Ago(Duration),
    /// At that time.
    At(jiff::Timestamp),
}

impl Since {
    /// Reads a duration or a time in RFC 3339.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        duration(text).map(Self::Ago).map_err(|error| format!("{error}, nor a time such as 2026-01-31T12:00:00Z"))
    }

    /// The value as the API reads it.
    pub(crate) fn to_query(self) -> String {
        match self {
            Self::Ago(duration) => duration.as_secs().to_string(),
            Self::At(at) => at.to_string(),
        }
    }
}
