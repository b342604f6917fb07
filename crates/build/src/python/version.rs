//! Which Python: what is asked for, where, and what this machine can offer.

use pep440_rs::{Version, VersionSpecifiers};

use crate::error::PlanError;
use crate::plan::{PyVersion, PythonChoice};

/// The version for apps that ask for none.
pub(crate) const DEFAULT: PyVersion = PyVersion::new(3, 11);

/// One version asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// `3.11`, `3.11.4`: this one or an error.
    Exact(PyVersion),
    /// `3`: any of this major.
    Major(u8),
}

/// A version with the place it is written at.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    /// As written.
    pub(crate) text: String,
    /// For people: `.python-version`.
    pub(crate) origin: String,
}

/// A range such as `>=3.8,<4` with the place it is written at.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    /// As written.
    pub(crate) text: String,
    /// For people: `requires-python in pyproject.toml`.
    pub(crate) origin: String,
    /// What it allows: any of these.
    pub(crate) any_of: Vec<VersionSpecifiers>,
}

impl Range {
    pub(crate) fn pep440(text: &str, origin: &str) -> Result<Self, PlanError> {
        let specifiers = text.parse().map_err(|_unnamed| malformed(text, origin))?;
        Ok(Self { text: text.to_owned(), origin: origin.to_owned(), any_of: vec![specifiers] })
    }

    pub(crate) fn poetry(text: &str, origin: &str) -> Result<Self, PlanError> {
        let any_of = poetry_ranges(text).ok_or_else(|| malformed(text, origin))?;
        Ok(Self { text: text.to_owned(), origin: origin.to_owned(), any_of })
    }

    /// Whether some patch release of a version is allowed.
    pub(crate) fn allows(&self, python: PyVersion) -> bool {
        (0..40).map(|patch| patch_release(python, patch)).any(|version| self.any_of.iter().any(|range| range.contains(&version)))
    }
}

fn patch_release(python: PyVersion, patch: u64) -> Version {
    Version::new([u64::from(python.major), u64::from(python.minor), patch])
}

fn malformed(text: &str, origin: &str) -> PlanError {
    PlanError::PythonMalformed { text: text.chars().take(60).collect(), origin: origin.to_owned() }
}

/// Reads what a settings field, `.python-version` or `runtime.txt` says; `None` for a name that is no version at all
/// (`system`, a virtual environment's name).
pub(crate) fn read(written: &Written) -> Result<Option<Ask>, PlanError> {
    let text = written.text.trim();
    let lower = text.to_ascii_lowercase();
    let bare = ["cpython-", "cpython@", "cpython", "python-", "python@", "python==", "python", "==", "v"]
        .iter()
        .find_map(|prefix| lower.strip_prefix(prefix))
        .unwrap_or(&lower)
        .trim()
        .trim_start_matches(['=', ' ']);
    if !bare.starts_with(|c: char| c.is_ascii_digit()) {
        let named = written.origin != SETTINGS && bare.len() == lower.len() && !lower.is_empty();
        let plain = lower.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
        // An interpreter that is not CPython was asked for, and can't be had.
        return if named && plain && !lower.starts_with("pypy") { Ok(None) } else { Err(malformed(text, &written.origin)) };
    }
    // `3.11.4-dev`, `3.12.0rc1`, `3.11.4-linux-x86_64-gnu`.
    let end = bare.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(bare.len());
    let (numbers, rest) = bare.split_at(end);
    let known_end = rest.is_empty() || rest == "+" || rest.starts_with(['-', 'a', 'b', 'r', 't']) || rest == "*" || rest == "x";
    let numbers = numbers.trim_end_matches('.');
    let parts: Vec<&str> = numbers.split('.').collect();
    let number = |text: &str| text.parse::<u8>().map_err(|_unnamed| malformed(written.text.trim(), &written.origin));
    if !known_end {
        return Err(malformed(text, &written.origin));
    }
    match parts.as_slice() {
        [major] => Ok(Some(Ask::Major(number(major)?))),
        [major, minor] => Ok(Some(Ask::Exact(PyVersion::new(number(major)?, number(minor)?)))),
        [major, minor, patch] if patch.len() <= 3 && patch.chars().all(|c| c.is_ascii_digit()) && !patch.is_empty() => {
            Ok(Some(Ask::Exact(PyVersion::new(number(major)?, number(minor)?))))
        }
        _ => Err(malformed(text, &written.origin)),
    }
}

/// The origin of what the user set; never taken for a virtual environment's name.
pub(crate) const SETTINGS: &str = "from the settings";

/// All that is known for the choice, strongest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// Versions by name, in order of precedence.
    pub(crate) written: Vec<Written>,
    /// Pipfile's `python_version`, which Pipenv itself only warns about.
    pub(crate) soft: Option<Written>,
    /// Ranges.
    pub(crate) ranges: Vec<Range>,
    /// The newest version that old pins are known to work with, and the pin that says so.
    pub(crate) at_most: Option<(PyVersion, String)>,
    /// The oldest version that pins need, and the pin that says so.
    pub(crate) at_least: Option<(PyVersion, String)>,
}

/// Chooses a version; the strings are remarks for the log.
pub(crate) fn choose(wishes: &Wishes, available: &[PyVersion]) -> Result<(PythonChoice, Vec<String>), PlanError> {
    let mut notes = Vec::new();
    let mut available = available.to_vec();
    available.sort_unstable();
    available.dedup();
    let unavailable = |asked: &str, origin: &str| PlanError::PythonUnavailable {
        asked: asked.to_owned(),
        origin: origin.to_owned(),
        available: available.clone(),
    };
    for written in &wishes.written {
        match read(written)? {
            None => notes.push(format!("`{}` {} is no Python version and is passed over", written.text.trim(), written.origin)),
            Some(Ask::Exact(version)) if available.contains(&version) => {
                return Ok((choice(version, written.origin.clone()), notes));
            }
            Some(Ask::Major(major)) if available.iter().any(|have| have.major == major) => {
                let of_major: Vec<PyVersion> = available.iter().copied().filter(|have| have.major == major).collect();
                let version = best(&of_major, |version| wishes.ranges.iter().all(|range| range.allows(version)));
                if let Some(version) = version {
                    return Ok((choice(version, written.origin.clone()), notes));
                }
            }
            Some(_) => return Err(unavailable(written.text.trim(), &written.origin)),
        }
    }
    let allowed = |version: PyVersion| wishes.ranges.iter().all(|range| range.allows(version));
    let limits = |version: PyVersion| {
        wishes.at_most.as_ref().is_none_or(|(limit, _)| version <= *limit)
            && wishes.at_least.as_ref().is_none_or(|(limit, _)| version >= *limit)
    };
    if let Some(soft) = &wishes.soft
        && let Some(Ask::Exact(version)) = read(soft)?
    {
        if available.contains(&version) {
            return Ok((choice(version, soft.origin.clone()), notes));
        }
        notes.push(format!("Python {version} ({}) is not available; another one is used", soft.origin));
        let next = available.iter().find(|have| **have > version && allowed(**have) && limits(**have));
        if let Some(next) = next {
            return Ok((choice(*next, format!("the next after the {version} {}", soft.origin)), notes));
        }
    }
    if let Some(version) = best(&available, |version| allowed(version) && limits(version)) {
        return Ok((choice(version, why(version, wishes)), notes));
    }
    if let Some((limit, pin)) = &wishes.at_most {
        notes.push(format!(
            "{pin} was made for Python {limit} or older, which is not available: it may have to be built from source, or fail"
        ));
    }
    if let Some(version) = best(&available, allowed) {
        return Ok((choice(version, why(version, &Wishes { at_most: None, at_least: None, ..wishes.clone() })), notes));
    }
    match wishes.ranges.iter().find(|range| !available.iter().any(|version| range.allows(*version))).or(wishes.ranges.first()) {
        Some(range) => Err(unavailable(&range.text, &range.origin)),
        None => Err(unavailable("Python 3", "any version")),
    }
}

fn choice(version: PyVersion, why: String) -> PythonChoice {
    PythonChoice { version, why }
}

fn why(version: PyVersion, wishes: &Wishes) -> String {
    if let Some((_, pin)) = &wishes.at_most
        && version < DEFAULT
    {
        return format!("the newest that suits {pin}");
    }
    if let Some((_, pin)) = &wishes.at_least
        && version > DEFAULT
    {
        return format!("{pin} needs it");
    }
    match wishes.ranges.first() {
        Some(range) => format!("{} says {}", range.origin, range.text),
        None if version == DEFAULT => "the default".to_owned(),
        None => "the nearest to the default that is available".to_owned(),
    }
}

/// The default if it will do, else the newest below it, else the oldest above it: old code breaks more often on a new
/// Python than new code on an old one that its own range allows.
fn best(available: &[PyVersion], allowed: impl Fn(PyVersion) -> bool) -> Option<PyVersion> {
    let modern = PyVersion::new(3, 9);
    let mut fit: Vec<PyVersion> = available.iter().copied().filter(|version| allowed(*version)).collect();
    fit.sort_unstable();
    let below = fit.iter().rev().find(|version| **version <= DEFAULT && **version >= modern);
    let above = fit.iter().find(|version| **version > DEFAULT);
    below.or(above).or(fit.last()).copied()
}

/// Poetry's constraints (`^3.8`, `~3.9`, `3.10`, `>=3.8,<4.0 || ~2.7`, `3.9.*`) as any-of ranges of PEP 440.
pub(crate) fn poetry_ranges(text: &str) -> Option<Vec<VersionSpecifiers>> {
    text.split("||")
        .flat_map(|part| part.split('|'))
        .map(|part| poetry_range(part.trim()).and_then(|range| range.parse().ok()))
        .collect()
}

/// One of Poetry's ranges as PEP 440 text; empty for any version.
pub(crate) fn poetry_range(text: &str) -> Option<String> {
    // Blanks as well as commas separate clauses: `>=3.8 <4.0`.
    let spaced = text.replace(',', " ");
    let mut clauses: Vec<String> = Vec::new();
    let mut operator = String::new();
    for word in spaced.split_whitespace() {
        if word.chars().all(|c| "<>=~!^".contains(c)) {
            word.clone_into(&mut operator);
            continue;
        }
        let clause = format!("{operator}{word}");
        operator.clear();
        let at = clause.find(|c: char| !"<>=~!^".contains(c))?;
        let (operator, version) = clause.split_at(at);
        match poetry_clause(operator, version)? {
            clause if clause.is_empty() => {}
            clause => clauses.push(clause),
        }
    }
    Some(clauses.join(","))
}

fn poetry_clause(operator: &str, version: &str) -> Option<String> {
    if version == "*" {
        return Some(String::new());
    }
    let starred = version.strip_suffix(".*");
    let plain = starred.unwrap_or(version);
    let parsed: Version = plain.parse().ok()?;
    let release: Vec<u64> = parsed.release().to_vec();
    let bump = |at: usize| {
        let mut next: Vec<u64> = release.iter().copied().take(at + 1).collect();
        next.resize(at + 1, 0);
        next[at] += 1;
        next.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
    };
    Some(match operator {
        "^" => {
            let at = release.iter().position(|part| *part != 0).unwrap_or(release.len() - 1);
            format!(">={plain},<{}", bump(at))
        }
        "~" => format!(">={plain},<{}", bump(usize::from(release.len() > 1))),
        "~=" => format!("~={plain}"),
        "" | "=" | "==" if starred.is_some() => format!("=={version}"),
        "" | "=" => format!("=={plain}"),
        "!=" if starred.is_some() => format!("!={version}"),
        "==" | "!=" | ">=" | "<=" | ">" | "<" | "===" => format!("{operator}{plain}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [PyVersion; 3] = [PyVersion::new(3, 9), PyVersion::new(3, 11), PyVersion::new(3, 13)];

    fn written(text: &str) -> Wishes {
        let one = Written { text: text.to_owned(), origin: "from runtime.txt".to_owned() };
        Wishes { written: vec![one], ..Wishes::default() }
    }

    fn range(text: &str) -> Wishes {
        Wishes { ranges: vec![Range::pep440(text, "requires-python").unwrap()], ..Wishes::default() }
    }

    fn chosen(wishes: &Wishes) -> String {
        choose(wishes, &ALL).map_or_else(|err| err.to_string(), |(choice, _)| choice.version.to_string())
    }

    #[test]
    fn what_is_written_is_obeyed() {
        for (text, want) in [
            ("3.11", "3.11"),
            ("3.11.4", "3.11"),
            ("python-3.9.7", "3.9"),
            ("Python-3.9", "3.9"),
            ("3.13-dev", "3.13"),
            ("3.13.0rc2", "3.13"),
            ("cpython-3.13.1-linux-x86_64-gnu", "3.13"),
            ("v3.11", "3.11"),
            ("3", "3.11"),
            ("3.11.x", "3.11"),
            ("myapp-env", "3.11"),
            ("system", "3.11"),
        ] {
            assert_eq!(chosen(&written(text)), want, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_an_error_that_lists_the_rest() {
        for text in ["3.8.10", "python-2.7.18", "2", "3.99"] {
            let said = chosen(&written(text));
            assert!(said.contains("available are 3.9, 3.11, 3.13"), "{text}: {said}");
        }
        for text in ["3.11.4.5", "pypy3.9", "3.eleven", "3..1", "300.1", "python", ""] {
            let said = chosen(&written(text));
            assert!(said.contains("is not a Python version"), "{text}: {said}");
        }
    }

    #[test]
    fn ranges_prefer_the_default() {
        for (text, want) in [
            (">=3.8", "3.11"),
            (">=3.12", "3.13"),
            ("<3.11", "3.9"),
            (">=3.6,<3.10", "3.9"),
            ("==3.11.*", "3.11"),
            ("~=3.9", "3.11"),
            ("==3.11.7", "3.11"),
            (">=3.11.5", "3.11"),
        ] {
            assert_eq!(chosen(&range(text)), want, "{text}");
        }
        assert!(chosen(&range(">=3.14")).contains("available are"));
    }

    #[test]
    fn poetry_writes_ranges_in_its_own_way() {
        for (text, want) in [
            ("^3.8", ">=3.8,<4"),
            ("^0.2.3", ">=0.2.3,<0.3"),
            ("~3.9", ">=3.9,<3.10"),
            ("~3", ">=3,<4"),
            ("3.9", "==3.9"),
            ("3.9.*", "==3.9.*"),
            ("*", ""),
            (">=3.8,<4.0", ">=3.8,<4.0"),
            (">= 3.8 < 4.0", ">=3.8,<4.0"),
            ("^1.0.0a1", ">=1.0.0a1,<2"),
        ] {
            assert_eq!(poetry_range(text).as_deref(), Some(want), "{text}");
        }
        assert_eq!(poetry_ranges("~2.7 || ^3.8").unwrap().len(), 2);
        assert!(poetry_range("^x").is_none());
    }

    #[test]
    fn old_pins_choose_an_older_python() {
        let mut wishes = Wishes { at_most: Some((PyVersion::new(3, 9), "numpy==1.19.5".to_owned())), ..Wishes::default() };
        assert_eq!(chosen(&wishes), "3.9");
        wishes.at_most = Some((PyVersion::new(3, 8), "numpy==1.16".to_owned()));
        let (choice, notes) = choose(&wishes, &ALL).unwrap();
        assert_eq!(choice.version.to_string(), "3.11");
        assert!(notes[0].contains("numpy==1.16"), "{notes:?}");
    }
}
