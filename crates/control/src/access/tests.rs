//! The table of who may do what.

use super::*;

fn name(text: &str) -> AppName {
    AppName::parse(text).expect("a name")
}

fn user(role: PlatformRole, apps: &[(&str, AppRole)]) -> Who {
    Who::User(Arc::new(Identity {
        id: UserId(1),
        name: UserName::parse("ada").expect("a name"),
        role,
        apps: apps.iter().map(|(app, role)| (name(app), *role)).collect(),
        avatar: String::new(),
        session: Some(1),
    }))
}

/// Who may do what: a line for each who; y: yes, 401, 403, 404: no, and how it is told.
#[test]
fn the_table() {
    let (own, other) = (name("own"), name("other"));
    let accesses = [
        Access::App(&own, Right::Look),
        Access::App(&own, Right::Change),
        Access::App(&own, Right::Own),
        Access::App(&other, Right::Look),
        Access::App(&other, Right::Change),
        Access::App(&other, Right::Own),
        Access::NewApp,
        Access::Platform,
        Access::Hello,
    ];
    let member = PlatformRole::Member;
    let rows: &[(&str, Who, &str)] = &[
        ("the socket", Who::Operator, "y y y  y y y  y y y"),
        ("a token for all", Who::Token(TokenScope::Platform), "y y y  y y y  y y y"),
        ("a token for one app", Who::Token(TokenScope::App(own.clone())), "y y y  404 404 404  403 403 y"),
        ("an operator", user(PlatformRole::Operator, &[]), "y y y  y y y  y y y"),
        ("an operator who is also a viewer", user(PlatformRole::Operator, &[("own", AppRole::Viewer)]), "y y y  y y y  y y y"),
        ("an owner", user(member, &[("own", AppRole::Owner)]), "y y y  404 404 404  y 403 y"),
        ("a developer", user(member, &[("own", AppRole::Developer)]), "y y 403  404 404 404  y 403 y"),
        ("a viewer", user(member, &[("own", AppRole::Viewer)]), "y 403 403  404 404 404  y 403 y"),
        ("a stranger", user(member, &[]), "404 404 404  404 404 404  y 403 y"),
        ("nobody", Who::Nobody, "401 401 401  401 401 401  401 401 401"),
    ];
    for (label, who, expected) in rows {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(expected.len(), accesses.len(), "{label}");
        for (access, expected) in accesses.iter().zip(expected) {
            let told = match may(who, access) {
                Ok(()) => "y".to_owned(),
                Err(error) => error.code.status().to_string(),
            };
            assert_eq!(told, expected, "{label}: {access:?}");
        }
    }
}

#[test]
fn a_strangers_app_is_told_like_one_that_is_not_there() {
    let app = name("own");
    let told = may(&user(PlatformRole::Member, &[]), &Access::App(&app, Right::Look));
    assert_eq!(told, Err(app_not_found(&app)));
}
