//! Symbolic links: where one leads, and whether that is inside the tree.

use std::collections::BTreeMap;

use crate::path::{TreePath, show};

/// The most links followed on one way, as Linux has it.
const MOST_HOPS: usize = 40;
/// The most steps spent on all links of one tree; a hostile tree could else ask for billions.
const MOST_STEPS: usize = 5_000_000;
/// The longest target taken, in bytes.
const LONGEST: usize = 3072;

/// A symbolic link that a tree can't hold.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It would lead somewhere else on each machine.
    #[error(
        "the symbolic link `{path}` leads to the absolute path `{target}`; only links inside the tree are taken: remove it, or have it ignored (.adaptableignore)"
    )]
    Absolute {
        /// The link.
        path: TreePath,
        /// Where it leads, escaped.
        target: String,
    },
    /// Followed to its end, it leaves the tree.
    #[error(
        "the symbolic link `{path}` leads out of the tree, to `{target}`; only links inside the tree are taken: remove it, or have it ignored (.adaptableignore)"
    )]
    Outside {
        /// The link.
        path: TreePath,
        /// Where it leads, escaped.
        target: String,
    },
    /// Empty, too long or with a NUL or control character.
    #[error("the symbolic link `{path}` leads to `{target}`, which is no possible path")]
    Target {
        /// The link.
        path: TreePath,
        /// Where it leads, escaped.
        target: String,
    },
    /// Links that lead through links that lead through links.
    #[error("the tree's symbolic links lead through one another too often")]
    Tangled,
}

/// Checks the text of one link by itself.
pub(crate) fn check_target(path: &TreePath, target: &[u8]) -> Result<(), LinkError> {
    let shown = || (path.clone(), show(target));
    if target.first() == Some(&b'/') {
        let (path, target) = shown();
        return Err(LinkError::Absolute { path, target });
    }
    if target.is_empty() || target.len() > LONGEST || target.iter().any(u8::is_ascii_control) {
        let (path, target) = shown();
        return Err(LinkError::Target { path, target });
    }
    Ok(())
}

/// Checks that no link of a tree leads out of it, be it through other links. Links to what isn't there and circles of links are harmless, and taken.
pub(crate) fn check_all<'a>(links: &BTreeMap<&'a TreePath, &'a [u8]>) -> Result<(), LinkError> {
    let mut steps = MOST_STEPS;
    for (&path, &target) in links {
        if let Way::Outside = follow(path, &|path| links.get(path).copied(), &mut steps)? {
            return Err(LinkError::Outside { path: path.clone(), target: show(target) });
        }
    }
    Ok(())
}

/// Where a path leads when every link on the way is followed.
pub(crate) enum Way {
    /// To this path; whether something is there is another question.
    Inside(TreePath),
    /// To the top of the tree.
    Top,
    /// Out of the tree.
    Outside,
    /// Nowhere: in a circle.
    Circle,
}

/// Follows `path` through the links that `target` knows, as the kernel would.
pub(crate) fn follow<'a>(
    path: &'a TreePath,
    target: &dyn Fn(&TreePath) -> Option<&'a [u8]>,
    steps: &mut usize,
) -> Result<Way, LinkError> {
    let mut todo: Vec<&[u8]> = path.as_bytes().rsplit(|&byte| byte == b'/').collect();
    let mut done: Vec<&[u8]> = Vec::new();
    let mut hops = 0;
    while let Some(name) = todo.pop() {
        *steps = steps.checked_sub(1 + done.len()).ok_or(LinkError::Tangled)?;
        match name {
            b"" | b"." => {}
            b".." => {
                if done.pop().is_none() {
                    return Ok(Way::Outside);
                }
            }
            name => {
                done.push(name);
                if let Some(target) = target(&TreePath::from_names(&done)) {
                    hops += 1;
                    if hops > MOST_HOPS {
                        return Ok(Way::Circle);
                    }
                    done.pop();
                    todo.extend(target.rsplit(|&byte| byte == b'/'));
                }
            }
        }
    }
    Ok(if done.is_empty() { Way::Top } else { Way::Inside(TreePath::from_names(&done)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(links: &[(&str, &str)]) -> Result<(), LinkError> {
        let owned: Vec<_> = links.iter().map(|(path, target)| (TreePath::parse(path).unwrap(), target.as_bytes())).collect();
        for (path, target) in &owned {
            check_target(path, target)?;
        }
        check_all(&owned.iter().map(|(path, target)| (path, *target)).collect())
    }

    #[test]
    fn links_inside_are_taken() {
        check(&[
            ("a", "b"),
            ("d/e", "../a"),
            ("x/y/z", "../../"),
            ("missing", "not/there"),
            ("loop", "loop"),
            ("p", "q"),
            ("q", "p"),
        ])
        .unwrap();
        check(&[("current", "releases/1"), ("releases/1/up", "../..")]).unwrap();
    }

    #[test]
    fn links_outside_are_refused() {
        for links in [
            &[("a", "..")][..],
            &[("a", "b/../..")],
            &[("d/a", "../../etc")],
            // `up` is the top, so `up/..` is outside though the text alone looks harmless.
            &[("d/e/up", "../.."), ("b", "d/e/up/..")],
            &[("x", "d/.."), ("d", "e/f"), ("y", "x/../..")],
            &[("a", "./././b/c/../../../x")],
        ] {
            assert!(matches!(check(links), Err(LinkError::Outside { .. })), "{links:?}");
        }
        assert!(matches!(check(&[("a", "/etc/passwd")]), Err(LinkError::Absolute { .. })));
        for target in ["", "a\0b", "a\nb", &"x/".repeat(2000)] {
            assert!(matches!(check(&[("a", target)]), Err(LinkError::Target { .. })), "{target:?}");
        }
    }

    #[test]
    fn a_tangle_ends() {
        let target = "l/".repeat(1500);
        let links: Vec<_> = (0..100_000).map(|n| (TreePath::parse(format!("m{n}")).unwrap(), target.as_bytes())).collect();
        let mut map: BTreeMap<_, _> = links.iter().map(|(path, target)| (path, *target)).collect();
        let l = TreePath::parse("l").unwrap();
        map.insert(&l, b".");
        let started = std::time::Instant::now();
        check_all(&map).ok();
        assert!(started.elapsed().as_secs() < 30);
    }
}
