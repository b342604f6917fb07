//! Secrets that lie in the source. What is found is named by kind and place; the secret itself is never shown.

use std::time::Instant;

use super::{Check, listed};
use crate::text;
use crate::tree::{Entry, SourceTree};

const ID: &str = "secrets";
/// Larger files are no text that people write.
const FILE_LIMIT: u64 = 512 << 10;
/// How much is looked through, in bytes.
const TOTAL_LIMIT: u64 = 48 << 20;

/// A well-known form of token.
struct Shape {
    what: &'static str,
    begins: &'static str,
    /// How many characters follow, at least.
    least: usize,
    allowed: fn(u8) -> bool,
}

const fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

const fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const fn dashed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

const fn shape(what: &'static str, begins: &'static str, least: usize, allowed: fn(u8) -> bool) -> Shape {
    Shape { what, begins, least, allowed }
}

/// As their makers document them.
const SHAPES: [Shape; 18] = [
    shape("an AWS access key", "AKIA", 16, upper),
    shape("an AWS access key", "ASIA", 16, upper),
    shape("a GitHub token", "ghp_", 36, word),
    shape("a GitHub token", "gho_", 36, word),
    shape("a GitHub token", "ghu_", 36, word),
    shape("a GitHub token", "ghs_", 36, word),
    shape("a GitHub token", "ghr_", 36, word),
    shape("a GitHub token", "github_pat_", 40, word),
    shape("a GitLab token", "glpat-", 20, dashed),
    shape("a Slack token", "xoxb-", 20, dashed),
    shape("a Slack token", "xoxp-", 20, dashed),
    shape("a Slack token", "xoxa-", 20, dashed),
    shape("a Slack token", "xapp-", 20, dashed),
    shape("a Stripe key", "sk_live_", 16, word),
    shape("a Stripe key", "rk_live_", 16, word),
    shape("a Google API key", "AIza", 35, dashed),
    shape("a Google OAuth secret", "GOCSPX-", 24, dashed),
    shape("an npm token", "npm_", 36, word),
];

/// Looks through the source for files and texts that are secrets.
pub(super) fn check(tree: &(dyn SourceTree + Sync), until: Instant) -> Check {
    let mut places: Vec<(String, Option<usize>, String)> = Vec::new();
    let mut entries: Vec<&Entry> = tree.entries().iter().filter(|entry| !entry.symlink).collect();
    // What people write themselves lies near the root.
    entries.sort_by_key(|entry| (by_name(&entry.path).is_none(), entry.path.matches('/').count()));
    let (mut left, mut unread) = (TOTAL_LIMIT, 0_usize);
    for entry in entries {
        if is_picture(&entry.path) || entry.size > FILE_LIMIT {
            continue;
        }
        let Some(rest) = left.checked_sub(entry.size).filter(|_| Instant::now() < until) else {
            unread += 1;
            continue;
        };
        let Ok(bytes) = tree.read(&entry.path, FILE_LIMIT) else { continue };
        left = rest;
        if let Some((line, what)) = of_file(&entry.path, &bytes) {
            places.push((entry.path.clone(), line, what));
        }
    }
    let remark = if unread > 0 { format!(" ({unread} files were not looked through)") } else { String::new() };
    let Some((path, line, what)) = places.first() else { return Check::ok(ID, format!("none of a known form{remark}")) };
    let others: Vec<String> = places[1..]
        .iter()
        .map(|(path, line, what)| format!("{path}{}: {what}", line.map(|line| format!(":{line}")).unwrap_or_default()))
        .collect();
    let also = if others.is_empty() { String::new() } else { format!(" (also {})", listed(&others)) };
    let help = "take it out of the source, revoke it where it was made (history keeps it), and set a variable: --env NAME=VALUE";
    Check::warning(ID, format!("{what} lies in the source{also}{remark}"), help).at(path.clone(), *line)
}

/// What a file holds that nobody else should have.
fn of_file(path: &str, bytes: &[u8]) -> Option<(Option<usize>, String)> {
    if let Some(what) = by_name(path) {
        return if what == ENV_FILE { env_file(bytes) } else { Some((None, what.to_owned())) };
    }
    let (at, what) = token(bytes)?;
    let line = bytes[..at].split(|byte| *byte == b'\n').count();
    Some((Some(line), what.to_owned()))
}

const ENV_FILE: &str = "a file of variables";

/// Files that are secrets by their name.
fn by_name(path: &str) -> Option<&'static str> {
    let file = path.rsplit('/').next().unwrap_or(path);
    match file {
        ".env" | ".envrc" => Some(ENV_FILE),
        "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519" => Some("a private SSH key"),
        ".netrc" | ".git-credentials" | ".pgpass" | ".pypirc" => Some("a file of passwords"),
        _ if file.starts_with(".env.") => {
            let sample = ["example", "sample", "template", "dist", "default", "defaults", "schema", "test"];
            (!sample.iter().any(|word| file[5..].split('.').any(|part| part == *word))).then_some(ENV_FILE)
        }
        _ => None,
    }
}

/// Names in a `.env` that hold no secret.
const HARMLESS: [&str; 12] = [
    "FLASK_APP",
    "FLASK_ENV",
    "FLASK_DEBUG",
    "DEBUG",
    "PORT",
    "HOST",
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "ENV",
    "ENVIRONMENT",
    "LOG_LEVEL",
    "TZ",
];

/// A `.env` that sets something to something.
fn env_file(bytes: &[u8]) -> Option<(Option<usize>, String)> {
    let text = text::decode(bytes);
    let names: Vec<(usize, String)> = text::lines(&text)
        .enumerate()
        .filter_map(|(index, line)| {
            let (name, value) = line.trim().trim_start_matches("export ").split_once('=')?;
            let name = name.trim();
            let plain =
                !name.is_empty() && name.len() <= 100 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let empty = value.trim().trim_matches(['"', '\'']).is_empty();
            (plain && !empty && !HARMLESS.contains(&name)).then(|| (index + 1, name.to_owned()))
        })
        .collect();
    let line = names.first()?.0;
    let shown: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    Some((Some(line), format!("{ENV_FILE} that sets {}", listed(&shown))))
}

fn is_picture(path: &str) -> bool {
    const NONE: [&str; 32] = [
        "png", "jpg", "jpeg", "gif", "webp", "ico", "svg", "pdf", "zip", "gz", "xz", "bz2", "7z", "tar", "whl", "woff", "woff2",
        "ttf", "otf", "eot", "mp3", "mp4", "webm", "wav", "ogg", "mov", "so", "bin", "npy", "pkl", "parquet", "map",
    ];
    path.rsplit_once('.').is_some_and(|(_, end)| NONE.contains(&end.to_ascii_lowercase().as_str()))
}

/// The place of the first token or private key.
fn token(bytes: &[u8]) -> Option<(usize, &'static str)> {
    let mut before = b' ';
    for (at, &byte) in bytes.iter().enumerate() {
        let starts = !(before.is_ascii_alphanumeric() || before == b'_');
        before = byte;
        if !starts || !matches!(byte, b'A' | b'g' | b'x' | b's' | b'r' | b'n' | b'G' | b'-') {
            continue;
        }
        let rest = &bytes[at..];
        if byte == b'-' {
            if is_key(rest) {
                return Some((at, "a private key"));
            }
            // Dashes begin no word, so that rows of them cost nothing.
            continue;
        }
        for shape in SHAPES.iter().filter(|shape| rest.starts_with(shape.begins.as_bytes())) {
            let body = &rest[shape.begins.len()..];
            let length = body.iter().take(256).take_while(|byte| (shape.allowed)(**byte)).count();
            // The makers' own examples, and fillers such as XXXX, are no secrets.
            let body = &body[..length];
            let filler =
                body.ends_with(b"EXAMPLE") || body.iter().all(|byte| *byte == body[0]) || !body.iter().any(u8::is_ascii_digit);
            if length >= shape.least && !(length > 0 && filler) {
                return Some((at, shape.what));
            }
        }
    }
    None
}

/// `-----BEGIN … PRIVATE KEY-----` with a key after it.
fn is_key(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"-----BEGIN ") else { return false };
    let head = &rest[..rest.len().min(40)];
    let Some(end) = head.windows(16).position(|part| part == b"PRIVATE KEY-----") else { return false };
    let body = &rest[end + 16..];
    // In JSON, line ends are written as `\n`.
    let body = body.strip_prefix(b"\\n").unwrap_or(body);
    let key = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'/' | b'=' | b'\n' | b'\r');
    body.iter().take(200).take_while(key).filter(|byte| byte.is_ascii_alphanumeric()).count() >= 32
}
