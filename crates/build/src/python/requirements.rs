//! Requirements files: read with everything they include, and written again as one file for the installer.

use std::collections::BTreeSet;

use crate::error::PlanError;
use crate::text;
use crate::tree::{READ_LIMIT, SourceTree};

use super::requirement::{Parsed, Req, normalise, parse, public_git};

/// How deep `-r` may nest; more is a circle that file names hide.
const DEPTH_LIMIT: usize = 16;

/// What requirements files, or any other manifest, ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// The requirements, in order.
    pub(crate) reqs: Vec<Req>,
    /// Lines of constraints.
    pub(crate) constraints: Vec<String>,
    /// Option lines that belong before the requirements: indexes and the like.
    pub(crate) options: Vec<String>,
    /// Arguments for the installer.
    pub(crate) args: Vec<String>,
    /// Directories of the tree (`""` is the root) that are to be installed as projects.
    pub(crate) projects: Vec<Project>,
    /// Files of the tree that the installer reads itself, for instance wheels.
    pub(crate) files: Vec<String>,
    /// Remarks for the log.
    pub(crate) notes: Vec<String>,
}

/// A project in the tree that a requirement names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    /// Its directory, relative to the tree's root; `""` for the root itself.
    pub(crate) dir: String,
    /// Extras, as written.
    pub(crate) extras: Vec<String>,
}

impl Wanted {
    /// Takes one requirement's text from the manifest `by`.
    pub(crate) fn take(&mut self, text: &str, hashes: &[&str], by: &str, line: Option<usize>) -> Result<(), PlanError> {
        match parse(text, hashes) {
            Ok(Parsed::Keep(req, note)) => {
                // pip refuses a requirement given twice; the same line twice is harmless.
                if !self.reqs.iter().any(|have| have.line == req.line) {
                    self.reqs.push(*req);
                }
                self.notes.extend(note);
            }
            Ok(Parsed::Drop(note)) => self.notes.push(note),
            Err(why) => {
                let shown: String = text.chars().take(80).collect();
                return Err(PlanError::manifest(by, line, format!("`{shown}` is not a requirement: {why}")));
            }
        }
        Ok(())
    }

    /// Whether a distribution is asked for by name.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.reqs.iter().any(|req| req.name == name)
    }
}

/// Reads a requirements file of the tree.
pub(crate) fn read(tree: &dyn SourceTree, path: &str) -> Result<Wanted, PlanError> {
    let mut reader = Reader { tree, out: Wanted::default(), seen: BTreeSet::new() };
    reader.file(path, path, false, 0)?;
    Ok(reader.out)
}

struct Reader<'a> {
    tree: &'a dyn SourceTree,
    out: Wanted,
    seen: BTreeSet<String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, by: &str, constraint: bool, depth: usize) -> Result<(), PlanError> {
        if depth > DEPTH_LIMIT || !self.seen.insert(format!("{constraint}:{path}")) {
            return Ok(());
        }
        if !self.tree.has(path) {
            return Err(PlanError::MissingFile { file: path.to_owned(), by: by.to_owned() });
        }
        let decoded = text::decode(&self.tree.read(path, READ_LIMIT)?);
        for (number, line) in logical_lines(&decoded) {
            self.line(&line, path, number, constraint, depth)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str, path: &str, number: usize, constraint: bool, depth: usize) -> Result<(), PlanError> {
        let line = line.trim();
        if line.is_empty() {
            return Ok(());
        }
        if let Some((option, value)) = option(line) {
            return self.option(option, value, path, depth, constraint);
        }
        let (body, hashes) = split_options(line);
        if constraint {
            self.out.constraints.push(line.to_owned());
            return Ok(());
        }
        if let Some(source) = unnamed(body, self.tree, path) {
            return self.unnamed(source, body, path, &hashes);
        }
        self.out.take(body, &hashes, path, Some(number))
    }

    fn option(&mut self, name: &str, value: &str, path: &str, depth: usize, constraint: bool) -> Result<(), PlanError> {
        let value = value.trim().trim_matches(['"', '\'']);
        match name {
            "-r" | "--requirement" | "-c" | "--constraint" => {
                let constraint = constraint || name.starts_with("-c") || name == "--constraint";
                if value.contains("://") {
                    let short = if constraint { "-c" } else { "-r" };
                    self.out.options.push(format!("{short} {value}"));
                    return Ok(());
                }
                let target = join(parent(path), value)
                    .ok_or_else(|| PlanError::OutsideTree { path: value.to_owned(), by: path.to_owned() })?;
                self.file(&target, path, constraint, depth + 1)?;
            }
            "-e" | "--editable" => {
                let (value, _) = split_options(value);
                match unnamed(value, self.tree, path) {
                    Some(source) => self.unnamed(source, value, path, &[])?,
                    None => self.out.take(value, &[], path, None)?,
                }
            }
            "-i" | "--index-url" | "--no-index" => self.out.options.push(format!("{name} {value}").trim().to_owned()),
            "--extra-index-url" => {
                self.out.options.push(format!("{name} {value}"));
                self.arg(&["--index-strategy", "unsafe-best-match"]);
            }
            "-f" | "--find-links" => {
                let target = if value.contains("://") { None } else { join(parent(path), value) };
                match target {
                    Some(dir) => {
                        let prefix = format!("{dir}/");
                        let below = self.tree.entries().iter().filter(|e| e.path.starts_with(&prefix));
                        self.out.files.extend(below.map(|e| e.path.clone()));
                        self.out.options.push(format!("--find-links {}", in_app(&dir)));
                    }
                    None => self.out.options.push(format!("--find-links {value}")),
                }
            }
            "--no-binary" | "--only-binary" => self.out.options.push(format!("{name} {value}")),
            "--pre" => self.arg(&["--prerelease", "allow"]),
            "--require-hashes" => self.arg(&["--require-hashes"]),
            "--trusted-host" => self.arg(&["--allow-insecure-host", value]),
            // Switches of pip that change nothing of what is to be installed.
            _ => {}
        }
        Ok(())
    }

    fn arg(&mut self, args: &[&str]) {
        if !self.out.args.windows(args.len()).any(|have| have == args) {
            self.out.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        }
    }

    fn unnamed(&mut self, source: Unnamed, body: &str, path: &str, hashes: &[&str]) -> Result<(), PlanError> {
        match source {
            Unnamed::Url { name, url, note } => {
                self.out.notes.extend(note);
                if let Some(name) = name {
                    return self.out.take(&format!("{name} @ {url}"), hashes, path, None);
                }
                self.out.reqs.push(Req { line: url, ..Req::named("") });
            }
            Unnamed::Outside => {
                return Err(PlanError::OutsideTree { path: body.to_owned(), by: path.to_owned() });
            }
            Unnamed::Missing(file) => return Err(PlanError::MissingFile { file, by: path.to_owned() }),
            Unnamed::Dir { dir, extras } => {
                let project = Project { dir, extras };
                if !self.out.projects.contains(&project) {
                    self.out.projects.push(project);
                }
            }
            Unnamed::File(file) => {
                let name = file.rsplit('/').next().unwrap_or(&file).split('-').next().unwrap_or_default();
                self.out.reqs.push(Req { line: in_app(&file), ..Req::named(name) });
                self.out.files.push(file);
            }
        }
        Ok(())
    }
}

/// A requirement that does not begin with a name.
enum Unnamed {
    Url { name: Option<String>, url: String, note: Option<String> },
    Dir { dir: String, extras: Vec<String> },
    File(String),
    Missing(String),
    Outside,
}

fn unnamed(body: &str, tree: &dyn SourceTree, by: &str) -> Option<Unnamed> {
    let body = body.trim().trim_matches(['"', '\'']);
    let vcs = ["git+", "hg+", "svn+", "bzr+"].iter().any(|scheme| body.starts_with(scheme));
    if vcs
        || body.starts_with("http://")
        || body.starts_with("https://")
        || body.starts_with("git@")
        || body.starts_with("git://")
    {
        return Some(url(body));
    }
    let local = body.strip_prefix("file://").or_else(|| body.strip_prefix("file:")).unwrap_or(body);
    let (path, extras) = match local.split_once('[') {
        Some((path, extras)) => (path, extras.trim_end_matches(']').split(',').map(|e| e.trim().to_owned()).collect()),
        None => (local, Vec::new()),
    };
    let path = path.split(';').next().unwrap_or(path).trim();
    let archive = [".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz"].iter().any(|end| path.ends_with(end));
    let pathlike = local.len() != body.len() || path.starts_with(['.', '/']) || (archive && !path.contains([' ', '@', '=']));
    let joined = join(parent(by), path);
    let is_project = |dir: &str| ["setup.py", "pyproject.toml", "setup.cfg"].iter().any(|file| tree.has(&child(dir, file)));
    if !pathlike {
        let dir = joined.filter(|dir| path.contains('/') && is_project(dir))?;
        return Some(Unnamed::Dir { dir, extras });
    }
    let Some(mut joined) = joined else { return Some(Unnamed::Outside) };
    // pip resolves paths from where it is started, which is the root.
    if !is_project(&joined)
        && !tree.has(&joined)
        && let Some(from_root) = join("", path)
    {
        joined = from_root;
    }
    Some(if tree.has(&joined) {
        Unnamed::File(joined)
    } else if is_project(&joined) {
        Unnamed::Dir { dir: joined, extras }
    } else {
        Unnamed::Missing(if joined.is_empty() { "setup.py or pyproject.toml".to_owned() } else { joined })
    })
}

fn url(body: &str) -> Unnamed {
    let (address, fragment) = body.split_once('#').unwrap_or((body, ""));
    let mut name = None;
    let mut kept = Vec::new();
    for part in fragment.split('&').filter(|part| !part.is_empty()) {
        match part.strip_prefix("egg=") {
            // `egg=name-1.0`, `egg=name==1.0` and `egg=name[extra]` are all written.
            Some(egg) => name = Some(egg.split("==").next().unwrap_or(egg).trim().to_owned()),
            None => kept.push(part),
        }
    }
    let fragment = if kept.is_empty() { String::new() } else { format!("#{}", kept.join("&")) };
    let public = public_git(address);
    let note = public.as_ref().map(|https| format!("`{address}` is fetched as `{https}`"));
    let url = format!("{}{fragment}", public.unwrap_or_else(|| address.to_owned()));
    let url = url.strip_prefix("git+https+").map_or(url.clone(), |rest| format!("git+{rest}"));
    Unnamed::Url { name: name.filter(|name| !normalise(name).is_empty()), url, note }
}

/// The option a line begins with, and its value.
fn option(line: &str) -> Option<(&str, &str)> {
    if !line.starts_with('-') {
        return None;
    }
    if line.starts_with("--") {
        let end = line.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(line.len());
        return Some((&line[..end], line[end..].trim_start_matches('=')));
    }
    // `-r file` and `-rfile`.
    let end = line.char_indices().nth(2).map_or(line.len(), |(at, _)| at);
    Some((&line[..end], line[end..].trim_start_matches('=')))
}

/// A requirement without its options, and the hashes among them.
fn split_options(line: &str) -> (&str, Vec<&str>) {
    match line.find(" --") {
        Some(at) => {
            let hashes = line[at..].split_whitespace().filter(|part| part.starts_with("--hash=")).collect();
            (line[..at].trim(), hashes)
        }
        None => (line, Vec::new()),
    }
}

/// Lines without comments, those that end in a backslash joined to the next; each with its number.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text::lines(text).enumerate() {
        let line = line.trim_matches(['\u{feff}', '\0', '\u{1a}']);
        let comment = if line.trim_start().starts_with('#') { Some(0) } else { line.find(" #").or_else(|| line.find("\t#")) };
        let line = comment.map_or(line, |at| &line[..at]);
        let trimmed = line.trim_end();
        let (part, continues) = trimmed.strip_suffix('\\').map_or((trimmed, false), |part| (part, true));
        match out.last_mut() {
            Some((_, last)) if open => {
                last.push(' ');
                last.push_str(part);
            }
            _ => out.push((index + 1, part.to_owned())),
        }
        open = continues;
    }
    out
}

/// The directory of a path; `""` for the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// A file's path inside a directory of the tree.
pub(crate) fn child(dir: &str, file: &str) -> String {
    if dir.is_empty() { file.to_owned() } else { format!("{dir}/{file}") }
}

/// Joins a relative path to a directory of the tree; none when it leaves the tree.
pub(crate) fn join(dir: &str, path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    let path = path.strip_prefix("/app/").unwrap_or(&path);
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A path of the tree as the sandbox sees it.
pub(crate) fn in_app(path: &str) -> String {
    if path.is_empty() { crate::plan::APP_DIR.to_owned() } else { format!("{}/{path}", crate::plan::APP_DIR) }
}

#[cfg(test)]
mod tests;
