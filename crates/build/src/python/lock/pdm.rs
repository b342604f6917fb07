//! `pdm.lock` and `pylock.toml`.

use std::collections::BTreeMap;

use toml::Table;

use crate::python::pep508;
use crate::python::requirement::normalise;
use crate::python::toml_ext::{string, strings, table, tables};

use super::{Locked, Need, Source};

/// All entries of a `pdm.lock`. PDM gives a distribution with extras an entry of its own: it is folded into the plain one.
pub(crate) fn entries(lock: &Table) -> Vec<Locked> {
    let mut out: Vec<Locked> = Vec::new();
    let mut with_extras: Vec<(String, Vec<String>, Vec<Need>)> = Vec::new();
    for package in tables(lock, "package") {
        let Some(name) = string(package, "name").map(normalise) else { continue };
        let needs: Vec<Need> = strings(package, "dependencies").into_iter().filter_map(need).collect();
        let extras: Vec<String> = strings(package, "extras").into_iter().map(normalise).collect();
        if !extras.is_empty() {
            with_extras.push((name, extras, needs));
            continue;
        }
        let from = match (string(package, "git"), string(package, "url"), string(package, "path")) {
            (Some(git), _, _) => {
                let at = string(package, "revision").or_else(|| string(package, "ref")).map(|r| format!("@{r}"));
                Source::Url(format!("git+{git}{}", at.unwrap_or_default()))
            }
            (_, Some(url), _) => Source::Url(url.to_owned()),
            (_, _, Some(path)) => Source::Path(path.trim_start_matches("./").to_owned()),
            _ => Source::Index,
        };
        let hashes = if from == Source::Index { hashes(&tables(package, "files")) } else { Vec::new() };
        out.push(Locked {
            name,
            version: string(package, "version").map(ToOwned::to_owned),
            source: from,
            hashes,
            needs,
            extras: BTreeMap::new(),
            marker: string(package, "marker").map(ToOwned::to_owned),
            python: string(package, "requires_python").and_then(|text| text.parse().ok()),
        });
    }
    for (name, extras, needs) in with_extras {
        for entry in out.iter_mut().filter(|entry| entry.name == name) {
            for extra in &extras {
                entry.extras.entry(extra.clone()).or_default().extend(needs.iter().cloned());
            }
        }
    }
    out
}

/// All entries of a `pylock.toml`: each applies when its marker holds, there is nothing to walk.
pub(crate) fn pylock(lock: &Table) -> Vec<Locked> {
    tables(lock, "packages")
        .into_iter()
        .filter_map(|package| {
            let vcs = table(package, &["vcs"]);
            let from = if let Some(vcs) = vcs {
                let commit = string(vcs, "commit-id").map(|id| format!("@{id}")).unwrap_or_default();
                let sub = string(vcs, "subdirectory").map(|dir| format!("#subdirectory={dir}")).unwrap_or_default();
                Source::Url(format!("git+{}{commit}{sub}", string(vcs, "url")?))
            } else if let Some(url) = table(package, &["archive"]).and_then(|archive| string(archive, "url")) {
                Source::Url(url.to_owned())
            } else if let Some(path) = table(package, &["directory"]).and_then(|dir| string(dir, "path")) {
                Source::Path(path.trim_start_matches("./").to_owned())
            } else {
                Source::Index
            };
            let mut hashes = Vec::new();
            for file in table(package, &["sdist"]).into_iter().chain(tables(package, "wheels")) {
                let known = table(file, &["hashes"]).and_then(|hashes| string(hashes, "sha256"));
                hashes.extend(known.map(|hash| format!("--hash=sha256:{hash}")));
            }
            Some(Locked {
                name: normalise(string(package, "name")?),
                version: string(package, "version").map(ToOwned::to_owned),
                hashes: if from == Source::Index { hashes } else { Vec::new() },
                source: from,
                marker: string(package, "marker").map(ToOwned::to_owned),
                ..Locked::default()
            })
        })
        .collect()
}

fn hashes(files: &[&Table]) -> Vec<String> {
    files.iter().filter_map(|file| string(file, "hash")).map(|hash| format!("--hash={hash}")).collect()
}

fn need(text: &str) -> Option<Need> {
    let requirement = pep508::read(text).ok()?;
    Some(Need {
        extras: requirement.extras.iter().map(|extra| normalise(extra.as_ref())).collect(),
        marker: requirement.marker.try_to_string(),
        ..Need::named(requirement.name.as_ref())
    })
}
