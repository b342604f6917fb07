//! `poetry.lock` of every version of Poetry.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::python::requirement::normalise;
use crate::python::toml_ext::{string, strings, table, tables};
use crate::python::version::poetry_ranges;

use super::{Locked, Need, Source};

/// All entries of a lock.
pub(crate) fn entries(lock: &Table) -> Vec<Locked> {
    let old_files = table(lock, &["metadata", "files"]);
    tables(lock, "package").into_iter().filter_map(|package| entry(package, old_files)).collect()
}

fn entry(package: &Table, old_files: Option<&Table>) -> Option<Locked> {
    let shown = string(package, "name")?;
    let files = match package.get("files") {
        Some(_) => tables(package, "files"),
        None => old_files.map(|files| tables(files, shown)).unwrap_or_default(),
    };
    let from = source(package);
    // Git checkouts and directories have no file to hash.
    let hashes = if from == Source::Index {
        files.iter().filter_map(|file| string(file, "hash")).map(|hash| format!("--hash={hash}")).collect()
    } else {
        Vec::new()
    };
    let mut needs = Vec::new();
    let mut optional: BTreeMap<String, Vec<Need>> = BTreeMap::new();
    for (name, spec) in package.get("dependencies").and_then(Value::as_table).into_iter().flatten() {
        for (need, is_optional) in needed(name, spec) {
            if is_optional {
                optional.entry(need.name.clone()).or_default().push(need);
            } else {
                needs.push(need);
            }
        }
    }
    let mut extras = BTreeMap::new();
    for (extra, names) in package.get("extras").and_then(Value::as_table).into_iter().flatten() {
        let mut of_extra = Vec::new();
        for text in names.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let name = text.split(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).next().unwrap_or_default();
            of_extra.extend(optional.get(&normalise(name)).cloned().unwrap_or_default());
        }
        extras.insert(normalise(extra), of_extra);
    }
    Some(Locked {
        name: normalise(shown),
        version: string(package, "version").map(ToOwned::to_owned),
        source: from,
        hashes,
        needs,
        extras,
        marker: string(package, "markers").map(ToOwned::to_owned),
        python: string(package, "python-versions").and_then(|text| poetry_ranges(text)?.into_iter().next()),
    })
}

fn source(package: &Table) -> Source {
    let Some(source) = table(package, &["source"]) else { return Source::Index };
    let url = string(source, "url").unwrap_or_default();
    match string(source, "type") {
        Some("git") => {
            let revision = string(source, "resolved_reference").or_else(|| string(source, "reference"));
            let subdirectory = string(source, "subdirectory").map(|dir| format!("#subdirectory={dir}"));
            let url = crate::python::requirement::public_git(url).unwrap_or_else(|| format!("git+{url}"));
            let revision = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
            Source::Url(format!("{url}{revision}{}", subdirectory.unwrap_or_default()))
        }
        Some("url") => Source::Url(url.to_owned()),
        Some("directory" | "file") => Source::Path(url.to_owned()),
        // `legacy`: another index, which the installer is told of by options.
        _ => Source::Index,
    }
}

/// What a dependency's value says: a range, a table, or a list of either. The flag tells whether it is optional.
pub(crate) fn needed(name: &str, spec: &Value) -> Vec<(Need, bool)> {
    match spec {
        Value::String(range) => vec![(Need { range: poetry_ranges(range), ..Need::named(name) }, false)],
        Value::Table(spec) => {
            let mut marker = string(spec, "markers").map(ToOwned::to_owned);
            if let Some(python) = string(spec, "python").and_then(python_marker) {
                marker = Some(marker.map_or(python.clone(), |marker| format!("({marker}) and ({python})")));
            }
            let need = Need {
                range: string(spec, "version").and_then(poetry_ranges),
                extras: strings(spec, "extras").into_iter().map(normalise).collect(),
                marker,
                ..Need::named(name)
            };
            vec![(need, spec.get("optional").and_then(Value::as_bool).unwrap_or(false))]
        }
        Value::Array(specs) => specs.iter().flat_map(|spec| needed(name, spec)).collect(),
        _ => Vec::new(),
    }
}

/// A range of Python versions as a marker.
pub(crate) fn python_marker(range: &str) -> Option<String> {
    let ranges = poetry_ranges(range)?;
    let any: Vec<String> = ranges
        .iter()
        .map(|range| {
            let all: Vec<String> = range
                .iter()
                .map(|spec| {
                    let parts = spec.version().release().len();
                    let key = if parts > 2 { "python_full_version" } else { "python_version" };
                    let star = if spec.to_string().ends_with(".*") { ".*" } else { "" };
                    format!("{key} {} '{}{star}'", operator(&spec.operator().to_string()), spec.version())
                })
                .collect();
            all.join(" and ")
        })
        .filter(|text| !text.is_empty())
        .collect();
    (!any.is_empty()).then(|| any.join(" or "))
}

fn operator(text: &str) -> &str {
    text.trim_end_matches(".*")
}
