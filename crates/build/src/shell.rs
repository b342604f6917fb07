//! Command lines as people write them into settings and Procfiles, made ready to run inside the app's own container.
//!
//! The line is run by the container's shell, so `$PORT`, quotes, `&&` and pipes mean what they always mean. Two things are
//! added: the last command is exec'ed, so that no shell stands between the app and its signals, and a factory such as
//! `myapp:start_app()` may be written as it stands, without the quotes a shell would ask for.

mod amend;
mod scan;

pub(crate) use amend::amend;
use scan::{Piece, scan};

/// Words that begin something else than a program: exec'ing them would fail or change what they mean.
const NO_PROGRAM: [&str; 50] = [
    "!", ".", ":", "[[", "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "declare", "do", "done", "elif",
    "else", "esac", "eval", "exec", "exit", "export", "fg", "fi", "for", "function", "if", "let", "local", "popd", "pushd",
    "read", "readonly", "return", "select", "set", "shift", "shopt", "source", "then", "time", "times", "trap", "type", "ulimit",
    "umask", "unset", "until", "wait", "while",
];

/// Why a command line can't be run by any shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Nothing but blanks.
    #[error("the command is empty")]
    Empty,
    /// A zero byte, which no program can be given.
    #[error("the command contains a zero byte")]
    Nul,
    /// A quote without its partner.
    #[error("the command has a {0} without its partner")]
    Unbalanced(&'static str),
}

/// Makes the argument vector that runs a command line inside a container.
pub fn prepare(line: &str) -> Result<Vec<String>, CommandError> {
    let line = line.trim();
    if line.is_empty() {
        return Err(CommandError::Empty);
    }
    if line.contains('\0') {
        return Err(CommandError::Nul);
    }
    let quoted = quote_factories(line);
    let pieces = scan(&quoted)?;
    let shell = if needs_bash(&pieces) { "/bin/bash" } else { "/bin/sh" };
    Ok(vec![shell.to_owned(), "-c".to_owned(), exec_last(&quoted, &pieces)])
}

/// The name of the program a line runs last, and its arguments as written: to recognise `gunicorn`, `uwsgi`, `python`.
pub(crate) fn last_words(line: &str) -> Vec<String> {
    let quoted = quote_factories(line.trim());
    let Ok(pieces) = scan(&quoted) else { return Vec::new() };
    let start =
        pieces.iter().rposition(|piece| matches!(piece, Piece::Operator(op, _) if !is_redirection(op))).map_or(0, |at| at + 1);
    pieces[start..]
        .iter()
        .filter_map(|piece| match piece {
            Piece::Word(text, _) => Some(unquote(text)),
            Piece::Operator(..) => None,
        })
        .skip_while(|word| is_assignment(word) || word == "exec" || word == "env")
        .collect()
}

fn unquote(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '\'' | '"')).collect()
}

/// A word for a POSIX shell that means exactly this text.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Puts quotes around words like `myapp:start_app()` and `pkg.sub:create_app('prod')`.
fn quote_factories(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 2);
    let mut at = 0;
    let mut word_start = true;
    while let Some(c) = line[at..].chars().next() {
        if word_start && let Some(end) = factory_end(&line[at..]) {
            let word = &line[at..at + end];
            if word.contains('$') {
                // A variable in the arguments is to be expanded, everything else is Python's.
                let escaped = word.replace('\\', r"\\").replace('"', "\\\"").replace('`', "\\`");
                out.extend(["\"", &escaped, "\""]);
            } else {
                out.push_str(&quote(word));
            }
            at += end;
            word_start = false;
            continue;
        }
        let end = at + scan::quoted_length(&line[at..]).unwrap_or(c.len_utf8());
        out.push_str(&line[at..end]);
        word_start = end == at + c.len_utf8() && (c.is_whitespace() || ";|&(".contains(c));
        at = end;
    }
    out
}

/// The length of a word `[--option=]module.name:factory(…)` at the start of `text`, if there is one.
fn factory_end(text: &str) -> Option<usize> {
    let mut at = 0;
    if text.starts_with('-') {
        at = text.find('=')? + 1;
        if !text[..at - 1].chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return None;
        }
    }
    at += dotted_name(&text[at..])?;
    at += text[at..].strip_prefix(':').map(|_| 1)?;
    at += dotted_name(&text[at..])?;
    if !text[at..].starts_with('(') {
        return None;
    }
    at += call_length(&text[at..])?;
    // The rest of the same word: an attribute of what the factory returned.
    at += text[at..].find(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c))).unwrap_or(text.len() - at);
    let after = &text[at..];
    let ends = after.is_empty() || after.starts_with(|c: char| c.is_whitespace() || ";|&<>)".contains(c));
    // `name:part() { … }` defines a function in bash.
    (ends && !after.trim_start().starts_with('{')).then_some(at)
}

fn dotted_name(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    if !(first.is_alphabetic() || first == '_') {
        return None;
    }
    Some(text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(text.len()))
}

/// The length of `(…)` with Python's quotes inside respected.
fn call_length(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        if c == '\n' {
            return None;
        }
        if let Some(open) = quote {
            quote = if c == open { None } else { Some(open) };
            continue;
        }
        match c {
            '\'' | '"' => quote = Some(c),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            ';' | '|' | '&' | '`' => return None,
            _ => {}
        }
    }
    None
}

fn is_redirection(operator: &str) -> bool {
    operator.contains(['<', '>'])
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_suffix('+').unwrap_or(name);
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn needs_bash(pieces: &[Piece<'_>]) -> bool {
    pieces.iter().any(|piece| match piece {
        Piece::Word(text, _) => {
            matches!(*text, "source" | "[[" | "function" | "pushd" | "popd" | "shopt" | "declare") || text.starts_with("$'")
        }
        Piece::Operator(op, _) => matches!(*op, "&>" | "|&" | "<(" | ">(" | "<<<"),
    })
}

/// Puts `exec` before the last command of a list of simple commands; anything else is left as it is.
fn exec_last(line: &str, pieces: &[Piece<'_>]) -> String {
    let compound = pieces.iter().any(|piece| match piece {
        Piece::Operator(op, _) => matches!(*op, "(" | ")" | "<<" | "<<-" | "<(" | ">(" | ";;"),
        Piece::Word(text, _) => {
            matches!(*text, "{" | "}" | "if" | "for" | "while" | "until" | "case" | "select" | "function" | "[[")
        }
    });
    if compound {
        return line.to_owned();
    }
    // Trailing `;` and line ends separate nothing.
    let meant = pieces.len() - pieces.iter().rev().take_while(|p| matches!(p, Piece::Operator(";" | "\n", _))).count();
    let pieces = &pieces[..meant];
    let last = pieces.iter().rposition(|p| matches!(p, Piece::Operator(op, _) if !is_redirection(op))).map_or(0, |at| at + 1);
    if last > 0 && matches!(pieces[last - 1], Piece::Operator("|" | "|&", _)) {
        return line.to_owned();
    }
    let mut command = pieces[last..].iter();
    while let Some(piece) = command.next() {
        match piece {
            Piece::Operator(..) => {
                // A redirection before the program: skip its target.
                command.next();
            }
            Piece::Word(text, _) if is_assignment(text) => {}
            Piece::Word(text, at) => {
                if NO_PROGRAM.contains(text) {
                    return line.to_owned();
                }
                return format!("{}exec {}", &line[..*at], &line[*at..]);
            }
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests;
