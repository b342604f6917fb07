//! The stand-in's repositories over HTTP: `git http-backend`, behind tokens that open what they open and nothing else.

use std::io::Write;
use std::process::Stdio;

use base64::Engine as _;

use super::repositories;
use super::server::{Asked, Shared, Told, locked};

/// Answers where the path is one of git's: `/OWNER/NAME.git/…`.
pub(super) fn answer(shared: &Shared, asked: &Asked) -> Option<Told> {
    let [owner, name, rest @ ..] = asked.path.as_slice() else { return None };
    let name = name.strip_suffix(".git")?;
    let full_name = format!("{owner}/{name}");
    let dir = {
        let state = locked(shared);
        let Some(repository) = state.repository(&full_name) else {
            if let Some(moved) = state.renamed(&full_name) {
                let query = if asked.raw_query.is_empty() { String::new() } else { format!("?{}", asked.raw_query) };
                let url = format!("{}/{}.git/{}{query}", state.web, state.full_name(moved), rest.join("/"));
                return Some(Told { status: 301, headers: vec![("location".to_owned(), url)], body: Vec::new() });
            }
            return Some(unauthorized());
        };
        let token = password(asked);
        let caller = match &token {
            None => super::api::Caller::Nobody,
            Some(token) => match state.whose(token) {
                Some(caller) => caller,
                None => return Some(unauthorized()),
            },
        };
        if let Err(told) = state.opens(&caller, repository) {
            let status = if token.is_none() { return Some(unauthorized()) } else { told.status };
            return Some(text(status, "remote: Repository not found."));
        }
        repository.dir.clone()
    };
    let Some(dir) = dir else { return Some(text(404, "remote: The repository is empty.")) };
    let is_read = asked.query("service") == Some("git-upload-pack") || rest.last().is_some_and(|part| part == "git-upload-pack");
    if !is_read {
        return Some(text(403, "remote: Write access to repository not granted."));
    }
    Some(backend(&dir, asked, &rest.join("/")))
}

/// The password of HTTP's Basic scheme, which is where git puts a token.
fn password(asked: &Asked) -> Option<String> {
    let encoded = asked.header("authorization")?.strip_prefix("Basic ")?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    // Without a name that GitHub takes, a token is none.
    text.strip_prefix("x-access-token:").map(str::to_owned).or_else(|| Some(String::new()))
}

fn unauthorized() -> Told {
    text(401, "Repository not found.").with("www-authenticate", "Basic realm=\"GitHub\"")
}

fn text(status: u16, words: &str) -> Told {
    Told { status, headers: vec![("content-type".to_owned(), "text/plain".to_owned())], body: words.as_bytes().to_vec() }
}

/// Runs git's own server (RFC 3875; git-http-backend(1)).
fn backend(dir: &std::path::Path, asked: &Asked, path: &str) -> Told {
    let mut command = repositories::git(dir);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", dir)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{path}"))
        .env("REQUEST_METHOD", &asked.method)
        .env("QUERY_STRING", &asked.raw_query)
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1");
    for (header, variable) in
        [("content-type", "CONTENT_TYPE"), ("content-encoding", "HTTP_CONTENT_ENCODING"), ("git-protocol", "GIT_PROTOCOL")]
    {
        if let Some(value) = asked.header(header) {
            command.env(variable, value);
        }
    }
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = spawned.expect("git runs");
    let mut input = child.stdin.take().expect("a pipe");
    let body = asked.body.clone();
    let writer = std::thread::spawn(move || input.write_all(&body).ok());
    let output = child.wait_with_output().expect("git ends").stdout;
    writer.join().ok();
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut told = Told { status: 200, headers: Vec::new(), body: output.get(end + 4..).unwrap_or_default().to_vec() };
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("status") {
            told.status = value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500);
        } else {
            told.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    told
}
