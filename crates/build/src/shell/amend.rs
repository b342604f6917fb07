//! Words put at the end of commands within a line, in front of what follows them.

use super::scan::{Piece, scan};
use super::{is_redirection, quote_factories, unquote};

/// Gives every simple command of `line` the words that `wanted` names for it (written for a shell); `None` when it names none.
///
/// `wanted` sees a command's words without their quotes and without redirections and their targets.
pub(crate) fn amend(line: &str, wanted: impl Fn(&[String]) -> Option<&'static str>) -> Option<String> {
    let quoted = quote_factories(line.trim());
    let pieces = scan(&quoted).ok()?;
    let mut additions: Vec<(usize, &'static str)> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut end = 0;
    let mut is_target = false;
    let mut close = |words: &mut Vec<String>, end: usize| {
        if let Some(text) = wanted(words) {
            additions.push((end, text));
        }
        words.clear();
    };
    for piece in &pieces {
        match piece {
            Piece::Operator(op, _) if is_redirection(op) => is_target = true,
            Piece::Operator(..) => close(&mut words, end),
            Piece::Word(..) if is_target => is_target = false,
            Piece::Word(text, at) => {
                words.push(unquote(text));
                end = at + text.len();
            }
        }
    }
    close(&mut words, end);
    if additions.is_empty() {
        return None;
    }
    let mut out = quoted.clone();
    for (at, text) in additions.iter().rev() {
        out.insert_str(*at, &format!(" {text}"));
    }
    Some(out)
}
