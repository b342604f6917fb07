//! A command line cut into words and operators, no further: quotes and substitutions stay inside their words.

use super::CommandError;

/// A part of a command line with the place where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A word as written, quotes included.
    Word(&'a str, usize),
    /// `&&`, `|`, `;`, a line end, a parenthesis, a redirection.
    Operator(&'a str, usize),
}

/// Longest first, so that `&&` is not read as two `&`.
const OPERATORS: [&str; 22] = [
    "<<<", "<<-", "&>>", "&&", "||", ";;", "|&", "<<", ">>", "<&", ">&", "<>", ">|", "&>", "<(", ">(", "&", ";", "|", "<", ">",
    "\n",
];

/// Cuts a line into pieces; comments are left out.
pub(super) fn scan(line: &str) -> Result<Vec<Piece<'_>>, CommandError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let rest = &line[at..];
        if c != '\n' && c.is_whitespace() {
            at += c.len_utf8();
        } else if rest.starts_with("\\\n") {
            at += 2;
        } else if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if let Some(op) = operator(rest) {
            pieces.push(Piece::Operator(&line[at..at + op], at));
            at += op;
        } else {
            let length = word_length(rest)?;
            // `2>file`: the number belongs to the redirection.
            let digits = rest[..length].bytes().all(|b| b.is_ascii_digit());
            if !(digits && rest[length..].starts_with(['<', '>'])) {
                pieces.push(Piece::Word(&rest[..length], at));
            }
            at += length;
        }
    }
    Ok(pieces)
}

fn operator(text: &str) -> Option<usize> {
    if text.starts_with(['(', ')']) {
        return Some(1);
    }
    OPERATORS.iter().find(|op| text.starts_with(**op)).map(|op| op.len())
}

fn word_length(text: &str) -> Result<usize, CommandError> {
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if let Some(length) = quoted_length(&text[at..]) {
            at += length;
        } else if let Some(what) = unbalanced(c, &text[at..]) {
            return Err(CommandError::Unbalanced(what));
        } else if c.is_whitespace() || operator(&text[at..]).is_some() {
            break;
        } else {
            at += c.len_utf8();
        }
    }
    Ok(at)
}

fn unbalanced(c: char, text: &str) -> Option<&'static str> {
    match c {
        '\'' => Some("single quote"),
        '"' => Some("double quote"),
        '`' => Some("backquote"),
        '$' if text.starts_with("$(") || text.starts_with("${") => Some("bracket"),
        _ => None,
    }
}

/// The length of a quoted stretch at the start of `text`: quotes, an escaped character, `$(…)`, `${…}`, backquotes.
pub(super) fn quoted_length(text: &str) -> Option<usize> {
    let mut chars = text.chars();
    match chars.next()? {
        '\\' => Some(1 + chars.next()?.len_utf8()),
        '\'' => text[1..].find('\'').map(|end| end + 2),
        '"' => until(text, 1, '"'),
        '`' => until(text, 1, '`'),
        '$' if text.starts_with("$(") => until(text, 2, ')'),
        '$' if text.starts_with("${") => until(text, 2, '}'),
        _ => None,
    }
}

/// Up to and including an unquoted `end`, from `at` on.
fn until(text: &str, mut at: usize, end: char) -> Option<usize> {
    while let Some(c) = text[at..].chars().next() {
        if c == end {
            return Some(at + c.len_utf8());
        }
        if c == '(' && end == ')' {
            at = until(text, at + 1, ')')?;
            continue;
        }
        // Inside double quotes a single quote is a letter.
        let quoted = if end == '"' && c == '\'' { None } else { quoted_length(&text[at..]) };
        at += quoted.unwrap_or(c.len_utf8());
    }
    None
}
