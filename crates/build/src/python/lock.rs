//! Lock files of every tool as one thing: pinned distributions, walked from what the project asks for.
//!
//! We read the locks ourselves: the tools ask services that mirrors lack, insist on their own version, or accept a lock that
//! is out of date. What is installed is exactly what is locked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pep440_rs::VersionSpecifiers;

pub(crate) mod pdm;
pub(crate) mod poetry;
pub(crate) mod uv;

use super::environment::Target;
use super::requirement::{Req, normalise};

/// A distribution of a lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locked {
    /// The normalised name.
    pub(crate) name: String,
    /// The version; absent for a project of the tree.
    pub(crate) version: Option<String>,
    /// In place of a version: a URL or a path of the tree.
    pub(crate) source: Source,
    /// `--hash=` options.
    pub(crate) hashes: Vec<String>,
    /// What it needs.
    pub(crate) needs: Vec<Need>,
    /// What its extras need.
    pub(crate) extras: BTreeMap<String, Vec<Need>>,
    /// When this entry applies, where a lock has several of one name.
    pub(crate) marker: Option<String>,
    /// The Python versions it is for.
    pub(crate) python: Option<VersionSpecifiers>,
}

/// Where a locked distribution comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Source {
    /// The package index.
    #[default]
    Index,
    /// A URL for `name @ URL`.
    Url(String),
    /// A directory or file of the tree.
    Path(String),
    /// The project itself or a member without files: nothing to install.
    Virtual,
}

/// An edge of a lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Need {
    /// The normalised name.
    pub(crate) name: String,
    /// The locked version meant, where there are several.
    pub(crate) version: Option<String>,
    /// The versions that will do.
    pub(crate) range: Option<Vec<VersionSpecifiers>>,
    /// Extras of the needed distribution.
    pub(crate) extras: Vec<String>,
    /// When.
    pub(crate) marker: Option<String>,
}

impl Need {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: normalise(name), ..Self::default() }
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// The entries to install, by name.
    pub(crate) chosen: BTreeMap<String, usize>,
    /// Roots that the lock does not know.
    pub(crate) missing: Vec<String>,
}

/// Collects all that the roots need on the target.
pub(crate) fn walk(locked: &[Locked], roots: &[Need], target: &Target) -> Walked {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, entry) in locked.iter().enumerate() {
        by_name.entry(&entry.name).or_default().push(at);
    }
    let mut out = Walked::default();
    let mut done: BTreeSet<(usize, Option<String>)> = BTreeSet::new();
    let mut queue: VecDeque<(Need, bool)> = roots.iter().map(|need| (need.clone(), true)).collect();
    while let Some((need, root)) = queue.pop_front() {
        if need.marker.as_deref().is_some_and(|marker| !target.holds_text(marker, &[])) {
            continue;
        }
        let Some(at) = by_name.get(need.name.as_str()).and_then(|at| select(locked, at, &need, target)) else {
            if root {
                out.missing.push(need.name);
            }
            continue;
        };
        let entry = &locked[at];
        out.chosen.entry(entry.name.clone()).or_insert(at);
        if done.insert((at, None)) {
            queue.extend(entry.needs.iter().map(|need| (need.clone(), false)));
        }
        for extra in &need.extras {
            if done.insert((at, Some(extra.clone())))
                && let Some(needs) = entry.extras.get(extra)
            {
                queue.extend(needs.iter().map(|need| (need.clone(), false)));
            }
        }
    }
    out
}

/// Of several entries of one name, the one that is meant here.
fn select(locked: &[Locked], candidates: &[usize], need: &Need, target: &Target) -> Option<usize> {
    if let [only] = candidates {
        return Some(*only);
    }
    let fits = |at: &&usize| {
        let entry = &locked[**at];
        let version = entry.version.as_deref().and_then(|version| version.parse().ok());
        let in_range = match (&need.range, &version) {
            (Some(any_of), Some(version)) => any_of.iter().any(|range| range.contains(version)),
            _ => true,
        };
        in_range
            && need.version.as_ref().is_none_or(|wanted| entry.version.as_ref() == Some(wanted))
            && entry.marker.as_deref().is_none_or(|marker| target.holds_text(marker, &[]))
            && entry.python.as_ref().is_none_or(|python| {
                (0..40).any(|patch| {
                    let version = [u64::from(target.python.major), u64::from(target.python.minor), patch];
                    python.contains(&pep440_rs::Version::new(version))
                })
            })
    };
    let fitting: Vec<&usize> = candidates.iter().filter(fits).collect();
    let newest = fitting
        .into_iter()
        .max_by_key(|at| locked[**at].version.as_deref().and_then(|version| version.parse::<pep440_rs::Version>().ok()));
    newest.or(candidates.first()).copied()
}

/// Makes the installer's line of an entry; none when there is nothing to install.
pub(crate) fn requirement(entry: &Locked) -> Option<Req> {
    let mut req = Req::named(&entry.name);
    let line = match &entry.source {
        Source::Index => {
            let version = entry.version.as_ref()?;
            req.versions = format!("=={version}").parse().ok()?;
            format!("{}=={version}", entry.name)
        }
        Source::Url(url) => format!("{} @ {url}", entry.name),
        Source::Path(_) | Source::Virtual => return None,
    };
    req.line = std::iter::once(line.as_str()).chain(entry.hashes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    Some(req)
}
