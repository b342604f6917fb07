//! `environment.yml` of conda, read for the little that can be had from the package index.

use crate::error::PlanError;
use crate::text;

use super::requirements::Wanted;

/// Names that conda and the package index spell differently.
const RENAMED: [(&str, &str); 8] = [
    ("pytorch", "torch"),
    ("opencv", "opencv-python-headless"),
    ("py-opencv", "opencv-python-headless"),
    ("python-graphviz", "graphviz"),
    ("msgpack-python", "msgpack"),
    ("pytables", "tables"),
    ("matplotlib-base", "matplotlib"),
    ("psycopg2", "psycopg2-binary"),
];

/// Parts of conda's environment that are no Python distributions.
const NOT_PYTHON: [&str; 12] =
    ["python", "pip", "nodejs", "cudatoolkit", "ffmpeg", "git", "gcc", "gxx", "make", "libpq", "postgresql", "cpuonly"];

/// The items of `dependencies:`, each with whether it stands below `pip:`.
fn items(yaml: &str) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    let mut inside = false;
    let mut pip_at = None;
    for line in text::lines(yaml) {
        let line = line.split(" #").next().unwrap_or(line).trim_end();
        let body = line.trim_start();
        let indent = line.len() - body.len();
        if body.is_empty() || body.starts_with('#') {
            continue;
        }
        let Some(item) = body.strip_prefix('-').map(str::trim) else {
            inside = body.starts_with("dependencies:");
            continue;
        };
        if !inside {
            continue;
        }
        if pip_at.is_some_and(|at| indent <= at) {
            pip_at = None;
        }
        if item == "pip:" {
            pip_at = Some(indent);
        } else {
            out.push((item.trim_matches(['"', '\'']).to_owned(), pip_at.is_some()));
        }
    }
    out
}

/// The version of Python the environment asks for.
pub(crate) fn python(yaml: &str) -> Option<String> {
    let item = items(yaml).into_iter().find(|(item, pip)| !pip && item.starts_with("python") && item.contains('='))?.0;
    let version = item.trim_start_matches("python").trim_matches(['=', '>', '<', ' ']);
    let version = version.split(['=', ',', '<']).next()?.trim_end_matches(".*");
    (!version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.')).then(|| version.to_owned())
}

/// What the environment asks for.
pub(crate) fn read(yaml: &str, path: &str) -> Result<Wanted, PlanError> {
    let mut out = Wanted::default();
    out.notes.push(format!("{path} is conda's; its packages are taken from the Python package index"));
    for (item, pip) in items(yaml) {
        if pip {
            if !item.starts_with('-') {
                out.take(&item, &[], path, None)?;
            }
            continue;
        }
        // `channel::name`.
        let item = item.rsplit("::").next().unwrap_or(&item);
        let end = item.find(|c: char| "=<>! ".contains(c)).unwrap_or(item.len());
        let (name, version) = item.split_at(end);
        if NOT_PYTHON.contains(&name) || name.starts_with("lib") {
            continue;
        }
        let name = RENAMED.iter().find(|(conda, _)| *conda == name).map_or(name, |(_, index)| index);
        out.take(&format!("{name}{}", version.trim()), &[], path, None)?;
    }
    Ok(out)
}
