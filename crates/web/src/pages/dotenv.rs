//! A pasted `.env` file as variables.

use model::EnvName;

/// Reads lines of `NAME=VALUE`. `export` before it, quotes around the value, empty lines and lines that begin with `#` are as in such files
/// elsewhere; a value in double quotes may go over several lines and has `\n`, `\"` and `\\`. An error names the line's
/// number, never what stands in it: it may be a secret.
pub(crate) fn parse(text: &str) -> Result<Vec<(EnvName, String)>, String> {
    let mut variables = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        let line = line.trim();
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = || format!("line {number} is not NAME=VALUE, with a name of letters, digits and '_'");
        let (name, rest) = line.split_once('=').ok_or_else(bad)?;
        let name = EnvName::parse(name.trim()).map_err(|_no_name| bad())?;
        let rest = rest.trim_start();
        let value = if let Some(quoted) = rest.strip_prefix('\'') {
            let (value, _) = quoted.split_once('\'').ok_or_else(|| format!("in line {number} a quote is not closed"))?;
            value.to_owned()
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let mut whole = quoted.to_owned();
            loop {
                if let Some(value) = unquote(&whole) {
                    break value;
                }
                let (_, next) = lines.next().ok_or_else(|| format!("in line {number} a quote is not closed"))?;
                whole.push('\n');
                whole.push_str(next);
            }
        } else {
            // A comment begins after a space, so that colours and fragments of addresses stay whole.
            rest.split_once(" #").map_or(rest, |(value, _)| value).trim_end().to_owned()
        };
        variables.push((name, value));
    }
    Ok(variables)
}

/// What stands before the closing quote; `None` where there is none yet.
fn unquote(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some(value),
            '\\' => match letters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                letter @ ('"' | '\\' | '$') => value.push(letter),
                letter => value.extend(['\\', letter]),
            },
            letter => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let variables = parse(text).expect("a file");
        variables.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect()
    }

    #[test]
    fn files_are_read_as_elsewhere() {
        let text = "# a comment\n\nA=1\nexport B = two words # said\nC='it''s'\nD=\"a\\nb \\\"c\\\" \\\\ $x\"\nE=\nF=a=b#c\nG=\"one\ntwo\"\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "it"),
            ("D", "a\nb \"c\" \\ $x"),
            ("E", ""),
            ("F", "a=b#c"),
            ("G", "one\ntwo"),
        ];
        assert_eq!(read(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(read(""), []);
    }

    #[test]
    fn what_is_no_such_file_is_told_by_its_line() {
        for (text, line) in [
            ("A=1\nnothing", "line 2"),
            ("1A=x", "line 1"),
            ("=secret", "line 1"),
            ("A-secret=secret", "line 1"),
            ("\nA='secret", "line 2"),
            ("A=\"secret\ny", "line 1"),
        ] {
            let wrong = parse(text).expect_err("no file");
            assert!(wrong.contains(line) && !wrong.contains("secret"), "{text:?}: {wrong}");
        }
    }
}
