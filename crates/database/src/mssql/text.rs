//! Text within statements of SQL Server: one function for identifiers, one for strings. Nothing else puts text into a statement.

/// An identifier: `[…]`, each `]` in it doubled (Transact-SQL, `QUOTENAME`).
pub(crate) fn identifier(text: &str) -> String {
    format!("[{}]", text.replace(']', "]]"))
}

/// A string: `N'…'`, each `'` in it doubled. `QUOTED_IDENTIFIER` and backslashes mean nothing to it.
pub(crate) fn string(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a statement consists of, as the server's lexer sees it: whatever stands in quotes is one piece.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) enum Token {
        Identifier(String),
        String(String),
        /// Anything else, each character for itself.
        Bare(char),
    }

    /// Reads a statement as Transact-SQL's lexical rules say (delimited identifiers, strings, comments).
    pub(crate) fn tokens(statement: &str) -> Vec<Token> {
        let mut out = Vec::new();
        let mut rest = statement.chars().peekable();
        while let Some(first) = rest.next() {
            let close = match first {
                '[' => ']',
                '\'' => '\'',
                '"' => panic!("no statement of ours has double quotes"),
                '-' if rest.peek() == Some(&'-') => panic!("no statement of ours has comments"),
                '/' if rest.peek() == Some(&'*') => panic!("no statement of ours has comments"),
                other => {
                    out.push(Token::Bare(other));
                    continue;
                }
            };
            let mut inside = String::new();
            loop {
                let next = rest.next().expect("what is opened is closed");
                if next == close {
                    if rest.peek() != Some(&close) {
                        break;
                    }
                    rest.next();
                }
                inside.push(next);
            }
            if close == ']' {
                out.push(Token::Identifier(inside));
            } else {
                // The N before it.
                assert_eq!(out.pop(), Some(Token::Bare('N')));
                out.push(Token::String(inside));
            }
        }
        out
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_quotes(name in "\\PC{0,40}", value in "\\PC{0,40}") {
            let statement = format!("CREATE LOGIN {} WITH PASSWORD = {}", identifier(&name), string(&value));
            let quoted: Vec<_> = tokens(&statement).into_iter().filter(|token| !matches!(token, Token::Bare(_))).collect();
            prop_assert_eq!(quoted, vec![Token::Identifier(name), Token::String(value)]);
        }

        #[test]
        fn not_even_of_the_worst_characters(name in "[\\]\\['\"; \\-/*N]{0,30}", value in "[\\]\\['\"; \\-/*N]{0,30}") {
            let statement = format!("A {} = {}", identifier(&name), string(&value));
            let quoted: Vec<_> = tokens(&statement).into_iter().filter(|token| !matches!(token, Token::Bare(_))).collect();
            prop_assert_eq!(quoted, vec![Token::Identifier(name), Token::String(value)]);
        }
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(identifier("a]; DROP DATABASE x--"), "[a]]; DROP DATABASE x--]");
        assert_eq!(string("it's"), "N'it''s'");
    }
}
