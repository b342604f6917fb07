//! Colours in logs: escape sequences (ECMA-48, 8.3.117 "select graphic rendition") become classes, all others are left out.
//!
//! The result is text with a class for each stretch of it; nobody builds markup from a log.

use serde::Serialize;
use serde::ser::{SerializeTuple as _, Serializer};

/// The longest line that is shown, in bytes; what is longer is cut, and complete in the download.
const SHOWN_MAX: usize = 8 * 1024;

/// A stretch of a line that looks the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// The text.
    pub(crate) text: String,
    /// Classes of the style sheet; empty for plain text.
    pub(crate) class: String,
}

/// A line as it is shown; in JSON a string where it is plain, or else pairs of text and classes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line(pub(crate) Vec<Span>);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&self.text)?;
        pair.serialize_element(&self.class)?;
        pair.end()
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_str(""),
            [span] if span.class.is_empty() => serializer.serialize_str(&span.text),
            spans => spans.serialize(serializer),
        }
    }
}

/// What the sequences so far have set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
struct Pen {
    /// One of sixteen colours.
    colour: Option<u8>,
    ground: Option<u8>,
    bold: bool,
    faint: bool,
    italic: bool,
    under: bool,
}

impl Pen {
    fn class(self) -> String {
        let mut words = Vec::new();
        words.extend(self.colour.map(|colour| format!("a{colour}")));
        words.extend(self.ground.map(|colour| format!("g{colour}")));
        let flags = [(self.bold, "ab"), (self.faint, "af"), (self.italic, "ai"), (self.under, "au")];
        words.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, word)| word.to_owned()));
        words.join(" ")
    }

    /// Carries out the numbers of one sequence.
    fn set(&mut self, numbers: &[u16]) {
        let mut numbers = numbers.iter().copied();
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.faint = true,
                3 => self.italic = true,
                4 => self.under = true,
                22 => (self.bold, self.faint) = (false, false),
                23 => self.italic = false,
                24 => self.under = false,
                30..=37 => self.colour = u8::try_from(number - 30).ok(),
                90..=97 => self.colour = u8::try_from(number - 90 + 8).ok(),
                38 => self.colour = extended(&mut numbers),
                39 => self.colour = None,
                40..=47 => self.ground = u8::try_from(number - 40).ok(),
                100..=107 => self.ground = u8::try_from(number - 100 + 8).ok(),
                48 => self.ground = extended(&mut numbers),
                49 => self.ground = None,
                _ => {}
            }
        }
    }
}

/// One of 256 colours, or one of all: the nearest of the sixteen that the style sheet has.
fn extended(numbers: &mut impl Iterator<Item = u16>) -> Option<u8> {
    match numbers.next()? {
        5 => {
            let number = numbers.next()?;
            Some(match number {
                0..=15 => u8::try_from(number).ok()?,
                16..=231 => {
                    let part = |value: u16| [0, 95, 135, 175, 215, 255][usize::from(value % 6)];
                    let number = number - 16;
                    nearest(part(number / 36), part(number / 6), part(number))
                }
                232..=255 => {
                    let grey = 8 + (number - 232) * 10;
                    nearest(grey, grey, grey)
                }
                _ => return None,
            })
        }
        2 => Some(nearest(numbers.next()?, numbers.next()?, numbers.next()?)),
        _ => None,
    }
}

fn nearest(red: u16, green: u16, blue: u16) -> u8 {
    let highest = red.max(green).max(blue);
    let lowest = red.min(green).min(blue);
    if highest < 64 {
        return 0;
    }
    if highest - lowest < 40 {
        return if highest > 200 {
            15
        } else if highest > 120 {
            7
        } else {
            8
        };
    }
    // Which of the three are nearer to the highest than to the lowest.
    let middle = u32::from(highest) + u32::from(lowest);
    let bit = |value: u16, bit: u8| if u32::from(value) * 2 > middle { bit } else { 0 };
    let colour = bit(red, 1) | bit(green, 2) | bit(blue, 4);
    if highest > 200 { colour + 8 } else { colour }
}

/// Reads one line of a log.
pub(crate) fn line(text: &str) -> Line {
    let (text, cut) = match text.char_indices().find(|(at, _)| *at >= SHOWN_MAX) {
        Some((at, _)) => (&text[..at], true),
        None => (text, false),
    };
    // A terminal writes over what stands before a return: a bar of progress leaves its last state.
    let text = text.trim_end_matches('\r');
    let text = text.rsplit('\r').next().unwrap_or(text);
    let mut line = Line::default();
    let mut pen = Pen::default();
    let mut plain = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => match letters.peek() {
                Some('[') => {
                    letters.next();
                    let mut parameters = String::new();
                    // Parameters and intermediates, then the letter that says what it is.
                    let last = loop {
                        match letters.next() {
                            Some(next @ '\u{20}'..='\u{3f}') => parameters.push(next),
                            next => break next,
                        }
                    };
                    if last == Some('m') {
                        flush(&mut line, &mut plain, pen);
                        let numbers = parameters.split([';', ':']).map(|number| number.parse().unwrap_or(0));
                        pen.set(&numbers.collect::<Vec<_>>());
                    }
                }
                Some(']' | 'P' | '_' | '^' | 'X') => {
                    // A string: up to the bell or the terminator.
                    while let Some(next) = letters.next() {
                        if next == '\u{7}' || (next == '\u{1b}' && letters.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {
                    letters.next();
                }
            },
            '\t' => plain.push('\t'),
            // Controls, and letters that turn the direction of what follows, would make a line other than it is.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            letter if letter.is_control() => {}
            letter => plain.push(letter),
        }
    }
    if cut {
        plain.push('…');
    }
    flush(&mut line, &mut plain, pen);
    line
}

fn flush(line: &mut Line, plain: &mut String, pen: Pen) {
    if !plain.is_empty() {
        line.0.push(Span { text: std::mem::take(plain), class: pen.class() });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> String {
        serde_json::to_string(&line(text)).expect("plain data")
    }

    #[test]
    fn colours_become_classes_and_the_rest_is_left_out() {
        assert_eq!(json("plain <b>"), r#""plain <b>""#);
        assert_eq!(json(""), r#""""#);
        assert_eq!(
            json("\u{1b}[31mred\u{1b}[0m and \u{1b}[1;92mbold\u{1b}[m"),
            r#"[["red","a1"],[" and ",""],["bold","a10 ab"]]"#
        );
        assert_eq!(json("\u{1b}[38;5;196mx\u{1b}[39m\u{1b}[48;2;0;0;200my"), r#"[["x","a9"],["y","g4"]]"#);
        assert_eq!(json("\u{1b}[2K\u{1b}[1Gdone\u{1b}]8;;https://x\u{7}link\u{1b}]8;;\u{1b}\\"), r#""donelink""#);
        assert_eq!(json("10 %\r50 %\r100 %\r"), r#""100 %""#);
        assert_eq!(json("a\u{202e}b\u{7}c\u{0}"), r#""abc""#);
        assert_eq!(json("\u{1b}["), r#""""#);
        assert!(line(&"ä".repeat(20_000)).0[0].text.len() <= SHOWN_MAX + 4);
    }

    proptest! {
        #[test]
        fn any_line_can_be_read(text in "(\\PC|\u{1b}|\\[|[0-9;m]|\r){0,200}") {
            let line = line(&text);
            for span in &line.0 {
                prop_assert!(span.class.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == ' '));
                let escaped = span.text.contains(char::from(27));
                prop_assert!(!escaped);
            }
        }
    }
}
