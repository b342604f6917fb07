//! Whether a file's expressions are too long to be walked: the parser grows its stack, those who read its trees can't.

/// The most tokens since the last comma or line end, and before the brackets around them. Each may be a level of the syntax tree.
const TOKENS: usize = 3000;

/// The line (from 1) at which an expression gets too long, as in `1+1+1+…` over a megabyte.
pub(crate) fn too_deep(source: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let mut open: Vec<usize> = Vec::new();
    let (mut count, mut around, mut line, mut at) = (0_usize, 0_usize, 1_usize, 0_usize);
    let mut word = false;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let in_word = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        if in_word {
            count += usize::from(!word);
            word = true;
            continue;
        }
        word = false;
        match byte {
            b'\n' => {
                line += 1;
                if open.is_empty() {
                    count = 0;
                }
            }
            b' ' | b'\t' | b'\r' | b'\x0c' => {}
            b',' | b';' => count = 0,
            b'#' => at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at),
            b'"' | b'\'' => {
                let end = string_end(bytes, at, byte);
                line += bytes[at..end].split(|byte| *byte == b'\n').count() - 1;
                at = end;
                count += 1;
            }
            b'(' | b'[' | b'{' => {
                open.push(count + 1);
                around += count + 1;
                count = 0;
            }
            b')' | b']' | b'}' => {
                if let Some(before) = open.pop() {
                    around -= before;
                    count = before;
                }
            }
            // An escaped line end goes on with the line.
            b'\\' if bytes.get(at) == Some(&b'\n') => {
                line += 1;
                at += 1;
            }
            _ => count += 1,
        }
        if around + count > TOKENS {
            return Some(line);
        }
    }
    None
}

/// The end of a string whose first quote lies before `at`; one that does not end goes to the end of its line.
fn string_end(bytes: &[u8], at: usize, quote: u8) -> usize {
    let long = bytes.get(at..at + 2).is_some_and(|two| two == [quote, quote]);
    let mut end = if long { at + 2 } else { at };
    while let Some(&byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 1,
            b'\n' if !long => return end,
            _ if byte == quote && (!long || bytes.get(end..end + 3).is_some_and(|three| three == [quote; 3])) => {
                return end + if long { 3 } else { 1 };
            }
            _ => {}
        }
        end += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_chains_are_seen_and_long_tables_are_not() {
        for deep in ["1+".repeat(5000), "x = f".to_owned() + &"()".repeat(5000), "a".to_owned() + &".b".repeat(5000)] {
            assert_eq!(too_deep(&format!("import os\n{deep}1\n")), Some(2));
        }
        assert!(too_deep(&format!("x = {}", "not ".repeat(5000))).is_some());
        assert!(too_deep(&format!("x = {}1", "[".repeat(5000))).is_some());
        for flat in [
            format!("x = [{}]", "-1.5, ".repeat(50_000)),
            format!("x = {{{}}}", "'a': f(1, 2),\n".repeat(50_000)),
            "x = 1\n".repeat(50_000),
            format!("x = '''{}'''\ny = \"\\\"{}\"", "+ ' \" ".repeat(50_000), "( ".repeat(50_000)),
            format!("# {}\n", "1+".repeat(50_000)),
        ] {
            assert_eq!(too_deep(&flat), None, "{}", &flat[..20]);
        }
        // What never ends is no reason to hang or to panic.
        for odd in ["'", "\"\"\"a", "'\\", "x = (", ")))", "\\"] {
            assert_eq!(too_deep(odd), None, "{odd}");
        }
    }
}
