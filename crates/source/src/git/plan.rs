//! What a push is to do: which of its refs is deployed, and what the pusher is told.

use super::names::{CommitId, GitRef};

/// One ref of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) old: Option<CommitId>,
    pub(crate) new: Option<CommitId>,
    pub(crate) name: GitRef,
}

impl Update {
    /// Reads a line as git gives it to the hook: `old new ref`.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let mut fields = line.splitn(3, ' ');
        let (Some(old), Some(new), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
            return Err("git gave a line that is no ref".to_owned());
        };
        let text = |error: super::NameError| error.to_string();
        Ok(Self {
            old: CommitId::parse_or_none(old).map_err(text)?,
            new: CommitId::parse_or_none(new).map_err(text)?,
            name: GitRef::parse(name).map_err(text)?,
        })
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The branch and the commit to deploy.
    pub(crate) deploy: Option<(GitRef, CommitId, Option<CommitId>)>,
    /// Lines for the pusher.
    pub(crate) notes: Vec<String>,
}

/// Decides by the branch that `HEAD` names and whether it has a commit; without one, the first push chooses. An error is for the pusher.
pub(crate) fn plan(head: Option<&GitRef>, born: bool, updates: &[Update]) -> Result<Plan, String> {
    let branch = match head {
        Some(head) if born => Some(head.clone()),
        _ => choose(updates)?,
    };
    let mut plan = Plan { deploy: None, notes: Vec::new() };
    for update in updates {
        let deployed = branch.as_ref() == Some(&update.name);
        match (&update.new, update.name.branch()) {
            (None, Some(name)) if deployed => {
                return Err(format!(
                    "the branch {name} is the one that is deployed, and can't be deleted; to remove the app, use `adaptable delete`"
                ));
            }
            (Some(new), _) if deployed => plan.deploy = Some((update.name.clone(), new.clone(), update.old.clone())),
            (Some(_), Some(name)) => {
                let deployed = branch.as_ref().and_then(GitRef::branch).unwrap_or("main");
                plan.notes.push(format!("{name} is kept, but not deployed: only {deployed} is (git push … {name}:{deployed})"));
            }
            (Some(_), None) => plan.notes.push(format!("{} is kept; tags are not deployed", update.name)),
            (None, _) => {}
        }
    }
    Ok(plan)
}

/// The branch of a first push: `main`, `master`, or the only one.
fn choose(updates: &[Update]) -> Result<Option<GitRef>, String> {
    let branches: Vec<_> = updates
        .iter()
        .filter(|update| update.new.is_some() && update.name.branch().is_some())
        .map(|update| &update.name)
        .collect();
    let named = |name| branches.iter().find(|branch| branch.branch() == Some(name));
    match (named("main").or_else(|| named("master")), &branches[..]) {
        (Some(branch), _) | (None, [branch]) => Ok(Some(GitRef::clone(branch))),
        (None, []) => Ok(None),
        (None, _) => Err("which branch shall be deployed? Push that one first, by itself".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    fn planned(head: &str, born: bool, lines: &[(char, char, &str)]) -> Result<(Option<String>, usize), String> {
        let updates: Vec<_> =
            lines.iter().map(|(old, new, name)| Update::parse(&format!("{} {} {name}", id(*old), id(*new))).unwrap()).collect();
        let plan = plan(Some(&GitRef::branch_named(head).unwrap()), born, &updates)?;
        Ok((
            plan.deploy.map(|(name, commit, _)| format!("{}@{}", name.branch().unwrap(), &commit.as_str()[..1])),
            plan.notes.len(),
        ))
    }

    #[test]
    fn decisions() {
        let deploys = |text: &str, notes| Ok((Some(text.to_owned()), notes));
        assert_eq!(planned("main", false, &[('0', '1', "refs/heads/main")]), deploys("main@1", 0));
        assert_eq!(planned("main", false, &[('0', '1', "refs/heads/trunk")]), deploys("trunk@1", 0));
        assert_eq!(
            planned("main", false, &[('0', '1', "refs/heads/a"), ('0', '2', "refs/heads/master")]),
            deploys("master@2", 1)
        );
        assert_eq!(
            planned("main", false, &[('0', '1', "refs/heads/master"), ('0', '2', "refs/heads/main")]),
            deploys("main@2", 1)
        );
        assert!(planned("main", false, &[('0', '1', "refs/heads/a"), ('0', '2', "refs/heads/b")]).is_err());
        assert_eq!(planned("main", false, &[('0', '1', "refs/tags/v1")]), Ok((None, 1)));
        assert_eq!(planned("trunk", true, &[('0', '1', "refs/heads/main")]), Ok((None, 1)));
        assert_eq!(
            planned("trunk", true, &[('1', '2', "refs/heads/trunk"), ('1', '0', "refs/heads/x"), ('0', '3', "refs/tags/t")]),
            deploys("trunk@2", 1)
        );
        assert!(planned("trunk", true, &[('1', '0', "refs/heads/trunk")]).unwrap_err().contains("can't be deleted"));
    }

    #[test]
    fn lines_that_are_none() {
        for line in [
            "",
            "x",
            &format!("{} {}", id('1'), id('2')),
            &format!("{} {} refs/notes/x", id('1'), id('2')),
            &format!("{} -x refs/heads/x", id('1')),
        ] {
            Update::parse(line).expect_err(line);
        }
    }
}
