//! The table of who may do what, and whom a token makes of its bearer.

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
        token: None,
    }))
}

/// The same by a token of theirs.
fn by_token(who: &Who, app: Option<&AppName>) -> Who {
    let mut identity = who.identity().expect("a user").as_ref().clone();
    identity.token = Some(OwnToken { id: 1, name: "laptop".to_owned(), app: app.cloned() });
    Who::User(Arc::new(identity))
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
        Access::Account,
    ];
    let member = PlatformRole::Member;
    let developer = user(member, &[("own", AppRole::Developer)]);
    let rows: &[(&str, Who, &str)] = &[
        ("the socket", Who::Operator, "y y y  y y y  y y y 403"),
        ("a token for all", Who::Token(TokenScope::Platform), "y y y  y y y  y y y 403"),
        ("a token for one app", Who::Token(TokenScope::App(own.clone())), "y y y  404 404 404  403 403 y 403"),
        ("an operator", user(PlatformRole::Operator, &[]), "y y y  y y y  y y y y"),
        ("an operator who is also a viewer", user(PlatformRole::Operator, &[("own", AppRole::Viewer)]), "y y y  y y y  y y y y"),
        ("an owner", user(member, &[("own", AppRole::Owner)]), "y y y  404 404 404  y 403 y y"),
        ("a developer", user(member, &[("own", AppRole::Developer)]), "y y 403  404 404 404  y 403 y y"),
        ("a viewer", user(member, &[("own", AppRole::Viewer)]), "y 403 403  404 404 404  y 403 y y"),
        ("a stranger", user(member, &[]), "404 404 404  404 404 404  y 403 y y"),
        ("an operator's token", by_token(&user(PlatformRole::Operator, &[]), None), "y y y  y y y  y y y 403"),
        ("a developer's token", by_token(&developer, None), "y y 403  404 404 404  y 403 y 403"),
        ("a developer's token for one app", by_token(&developer, Some(&own)), "y y 403  404 404 404  403 403 y 403"),
        ("nobody", Who::Nobody, "401 401 401  401 401 401  401 401 401 401"),
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

#[test]
fn a_users_own_token_is_its_user_as_they_stand() {
    let directory = tempfile::tempdir().expect("a directory");
    let sealer = store::Sealer::load(&directory.path().join("secret.key"), true).expect("a key");
    let store = store::Store::open(&directory.path().join("adaptable.db"), sealer).expect("a store");
    let (own, other) = (name("own"), name("other"));
    let ada = UserName::parse("ada").expect("a name");
    let new = store::NewUser { name: &ada, role: PlatformRole::Member, password: None, github: None };
    let (user, app, texts) = store
        .write_now(|tx| {
            let user = tx.create_user(&new, 1)?.id;
            let [app, second] = [&own, &other].map(|name| tx.create_app(name, &model::Settings::default(), 1).map(|app| app.id));
            let (app, second) = (app?, second?);
            tx.set_member(app, user, AppRole::Developer)?;
            tx.set_member(second, user, AppRole::Owner)?;
            let token = store::NewToken { name: "laptop", user: Some(user), app: None, expires_at: Some(100) };
            let all = tx.create_token(&token, 1)?.1;
            let one = tx.create_token(&store::NewToken { app: Some(app), ..token }, 1)?.1;
            Ok((user, app, [all, one]))
        })
        .expect("written");
    let who = |text: &str| {
        store.read_now(|tx| Ok(tx.known_token(text, 50)?.map(|token| bearer(tx, token)).transpose()?.flatten())).expect("read")
    };
    let role = |text: &str, app: &AppName| who(text).and_then(|who| who.identity().and_then(|it| it.app_role(app)));
    let [all, one] = [texts[0].as_str(), texts[1].as_str()];
    assert_eq!((role(all, &own), role(all, &other)), (Some(AppRole::Developer), Some(AppRole::Owner)));
    assert_eq!((role(one, &own), role(one, &other)), (Some(AppRole::Developer), None));
    // An operator's token for one app is an owner's of that app, and no operator's.
    store.write_now(|tx| tx.set_user_role(user, PlatformRole::Operator)).expect("written");
    let narrow = who(one).expect("somebody");
    assert_eq!(may(&narrow, &Access::App(&own, Right::Own)), Ok(()));
    assert!(may(&narrow, &Access::Platform).is_err() && may(&narrow, &Access::NewApp).is_err());
    assert_eq!(may(&who(all).expect("somebody"), &Access::Platform), Ok(()));
    // What is taken away is gone at once.
    store.write_now(|tx| tx.set_user_role(user, PlatformRole::Member)).expect("written");
    store.write_now(|tx| tx.remove_member(app, user)).expect("written");
    assert_eq!((role(all, &own), role(one, &own)), (None, None));
    store.write_now(|tx| tx.set_user_disabled(user, true)).expect("written");
    assert_eq!((who(all), who(one)), (None, None));
    store.write_now(|tx| tx.set_user_disabled(user, false)).expect("written");
    assert!(who(all).is_some());
}
