//! The Procfile: one `type: command` a line, of which `web` and `release` concern us.

use crate::text;

/// What a Procfile says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Procfile {
    /// The command of `web:`.
    pub web: Option<String>,
    /// The command of `release:`.
    pub release: Option<String>,
    /// The types of further processes, which are not run.
    pub others: Vec<String>,
}

/// A line that is no `type: command`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the Procfile is not `type: command`: `{text}`")]
pub struct ProcfileError {
    /// Its number, from 1.
    pub line: usize,
    /// The line, shortened.
    pub text: String,
}

impl Procfile {
    /// Reads a Procfile; empty lines and lines that begin with `#` are skipped.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProcfileError> {
        let mut out = Self::default();
        let decoded = text::decode(bytes);
        for (number, line) in logical_lines(&decoded) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = || ProcfileError { line: number, text: line.chars().take(80).collect() };
            let (name, command) = line.split_once(':').ok_or_else(bad)?;
            let (name, command) = (name.trim(), command.trim());
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(plain) || command.is_empty() {
                return Err(bad());
            }
            match name.to_ascii_lowercase().as_str() {
                // As elsewhere, the last line of a type counts.
                "web" => out.web = Some(command.to_owned()),
                // Several are written where several things are to be done.
                "release" => {
                    out.release = Some(out.release.map_or_else(|| command.to_owned(), |before| format!("{before} && {command}")));
                }
                _ => out.others.push(name.to_owned()),
            }
        }
        Ok(out)
    }
}

/// Lines with those that end in a backslash joined to the next, each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text::lines(text).enumerate() {
        let (part, continues) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match out.last_mut() {
            Some((_, last)) if open => last.push_str(part),
            _ => out.push((index + 1, part.to_owned())),
        }
        open = continues;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Procfile {
        Procfile::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn web_release_and_others() {
        let got =
            parse("# ours\n\nrelease: flask db upgrade\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\nworker: celery worker\n");
        assert_eq!(got.web.as_deref(), Some("gunicorn app:app --bind 0.0.0.0:$PORT"));
        assert_eq!(got.release.as_deref(), Some("flask db upgrade"));
        assert_eq!(got.others, ["worker"]);
    }

    #[test]
    fn several_releases_are_done_in_order() {
        assert_eq!(parse("release: a\nrelease: b\nweb: c").release.as_deref(), Some("a && b"));
    }

    #[test]
    fn windows_wrote_it() {
        let bytes: Vec<u8> =
            [0xFF, 0xFE].into_iter().chain("web:gunicorn app:app\r\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(Procfile::parse(&bytes).unwrap().web.as_deref(), Some("gunicorn app:app"));
        assert_eq!(parse("\u{feff}web: a\r\n").web.as_deref(), Some("a"));
    }

    #[test]
    fn a_command_may_hold_colons_and_go_on_in_the_next_line() {
        assert_eq!(parse("web: sh -c \"echo a: b\"").web.as_deref(), Some("sh -c \"echo a: b\""));
        assert_eq!(parse("web: gunicorn \\\n  app:app").web.as_deref(), Some("gunicorn   app:app"));
    }

    #[test]
    fn a_line_without_a_type_is_refused_with_its_number() {
        let err = Procfile::parse(b"web: a\ngunicorn app").unwrap_err();
        assert_eq!((err.line, err.text.as_str()), (2, "gunicorn app"));
        assert_eq!(Procfile::parse(b"web:").unwrap_err().line, 1);
    }
}
