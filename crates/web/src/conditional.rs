//! Requests under a condition (RFC 9110, 13.1.1): a change that is meant for one version of what it changes, and for no other.

use http::{HeaderMap, HeaderValue, header};

use crate::answer::{Answer, Problem};

/// What a tag of another form of the same document ends with: two forms never have the same tag (RFC 9110, 8.8.3).
const YAML: &str = "-yaml";

/// The tag of a document's version, in JSON or in YAML.
pub(crate) fn etag(version: &str, yaml: bool) -> HeaderValue {
    let form = if yaml { YAML } else { "" };
    HeaderValue::from_str(&format!("\"{version}{form}\"")).unwrap_or_else(|_never| HeaderValue::from_static("\"\""))
}

/// The versions that `If-Match` names; nothing where any will do. Whoever changes a document has all of it, so the form that it was read in
/// does not matter.
pub(crate) fn if_match(headers: &HeaderMap) -> Answer<Option<Vec<String>>> {
    let lines = headers.get_all(header::IF_MATCH).iter().map(|line| line.to_str().ok()).collect::<Option<Vec<_>>>();
    let tags = lines.map(|lines| lines.join(",")).and_then(|text| match text.trim() {
        "" if !headers.contains_key(header::IF_MATCH) => Some(None),
        "*" => Some(None),
        text => tags(text).map(Some),
    });
    tags.ok_or_else(|| Problem::bad_request("If-Match is * or a list of tags, each as an ETag has it: \"0123abcd\""))
}

/// The tags of a list. Weak ones match nothing here, since they say that more than one form is meant (RFC 9110, 13.1.1), and are left out.
fn tags(text: &str) -> Option<Vec<String>> {
    let (mut found, mut rest) = (Vec::new(), text);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(found);
        }
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |rest| (true, rest));
        let (tag, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
        if !weak {
            found.push(tag.strip_suffix(YAML).unwrap_or(tag).to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&'static str]) -> Result<Option<Vec<String>>, u16> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::IF_MATCH, HeaderValue::from_static(line));
        }
        if_match(&headers).map_err(|problem| problem.0.code.status())
    }

    #[test]
    fn lists_of_tags_are_read_as_they_are_written() {
        let some = |tags: &[&str]| Ok(Some(tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>()));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["*"]), Ok(None));
        assert_eq!(read(&["\"a\""]), some(&["a"]));
        assert_eq!(read(&["\"a\" ,, \"b,c\",\"d-yaml\""]), some(&["a", "b,c", "d"]));
        assert_eq!(read(&["\"a\"", "\"b\""]), some(&["a", "b"]));
        assert_eq!(read(&["W/\"a\""]), some(&[]));
        assert_eq!(read(&["\"\""]), some(&[""]));
        for bad in ["a", "\"a", "\"a\" \"b\"", "\"a b\"", "w/\"a\"", "*, \"a\"", "\"a\", *"] {
            assert_eq!(read(&[bad]), Err(400), "{bad}");
        }
        // An empty header names no version.
        assert_eq!(read(&[""]), some(&[]));
    }

    #[test]
    fn what_is_given_is_taken_back() {
        for yaml in [false, true] {
            let tag = etag("0123abcd", yaml);
            let headers = HeaderMap::from_iter([(header::IF_MATCH, tag)]);
            assert_eq!(if_match(&headers).map_err(|problem| problem.0.code), Ok(Some(vec!["0123abcd".to_owned()])));
        }
    }
}
