//! `uv.lock`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::python::requirement::normalise;
use crate::python::requirements::join;
use crate::python::toml_ext::{string, strings, table, tables};

use super::{Locked, Need, Source};

/// All entries of a lock; paths in it are relative to `dir`.
pub(crate) fn entries(lock: &Table, dir: &str) -> Vec<Locked> {
    tables(lock, "package").into_iter().filter_map(|package| entry(package, dir)).collect()
}

/// The entry of the project that lies at the lock's own place.
pub(crate) fn root(lock: &Table) -> Option<&Table> {
    let at_root = |package: &&Table| {
        table(package, &["source"]).is_some_and(|source| {
            ["virtual", "editable", "directory"]
                .iter()
                .any(|kind| string(source, kind).is_some_and(|path| path == "." || path.is_empty()))
        })
    };
    tables(lock, "package").into_iter().find(at_root)
}

/// The names the lock believes its project asks for.
pub(crate) fn known_names(root: &Table) -> Option<Vec<String>> {
    let metadata = table(root, &["metadata"])?;
    Some(tables(metadata, "requires-dist").iter().filter_map(|need| string(need, "name")).map(normalise).collect())
}

fn entry(package: &Table, dir: &str) -> Option<Locked> {
    let name = normalise(string(package, "name")?);
    let source = table(package, &["source"]);
    let from = source.map_or(Source::Index, |source| from(source, dir));
    let mut hashes = Vec::new();
    if from == Source::Index {
        let sdist = table(package, &["sdist"]);
        for file in sdist.into_iter().chain(tables(package, "wheels")) {
            hashes.extend(string(file, "hash").map(|hash| format!("--hash={hash}")));
        }
    }
    let extras: BTreeMap<String, Vec<Need>> = package
        .get("optional-dependencies")
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
        .map(|(extra, list)| (normalise(extra), list.as_array().into_iter().flatten().filter_map(need).collect()))
        .collect();
    let markers = strings(package, "resolution-markers");
    Some(Locked {
        name,
        version: string(package, "version").map(ToOwned::to_owned),
        source: from,
        hashes,
        needs: package.get("dependencies").and_then(Value::as_array).into_iter().flatten().filter_map(need).collect(),
        extras,
        marker: (!markers.is_empty()).then(|| markers.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" or ")),
        python: None,
    })
}

fn need(value: &Value) -> Option<Need> {
    let value = value.as_table()?;
    Some(Need {
        version: string(value, "version").map(ToOwned::to_owned),
        extras: strings(value, "extra").into_iter().map(normalise).collect(),
        marker: string(value, "marker").map(ToOwned::to_owned),
        ..Need::named(string(value, "name")?)
    })
}

fn from(source: &Table, dir: &str) -> Source {
    if let Some(git) = string(source, "git") {
        // `https://host/x.git?rev=main&subdirectory=py#commit`.
        let (address, commit) = git.split_once('#').unwrap_or((git, ""));
        let (url, query) = address.split_once('?').unwrap_or((address, ""));
        let sub = query.split('&').find_map(|part| part.strip_prefix("subdirectory="));
        let at = if commit.is_empty() { String::new() } else { format!("@{commit}") };
        let url = crate::python::requirement::public_git(url).unwrap_or_else(|| format!("git+{url}"));
        return Source::Url(format!("{url}{at}{}", sub.map(|sub| format!("#subdirectory={sub}")).unwrap_or_default()));
    }
    if let Some(url) = string(source, "url") {
        return Source::Url(url.to_owned());
    }
    if string(source, "virtual").is_some() {
        return Source::Virtual;
    }
    for kind in ["editable", "directory", "path"] {
        if let Some(path) = string(source, kind) {
            return Source::Path(join(dir, path).unwrap_or_else(|| path.to_owned()));
        }
    }
    Source::Index
}
