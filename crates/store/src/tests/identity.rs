//! Users' part of the state: tokens, sessions and links end when they should; what an older version wrote is still there.

use model::{AppName, AppRole, PlatformRole, Settings, UserId, UserName};

use super::{app, name, open};
use crate::{
    GitHubAccount, KnownToken, LinkFor, NewInvite, NewSession, NewToken, NewUser, Sealer, SignedInBy, Store, TokenScope,
};

const TOKEN: NewToken<'_> = NewToken { name: "ci", user: None, app: None, expires_at: None };

fn user(store: &Store, text: &str) -> UserId {
    let name = UserName::parse(text).expect("a name");
    let new = NewUser { name: &name, role: PlatformRole::Member, password: None, github: None };
    store.write_now(|tx| Ok(tx.create_user(&new, 1)?.id)).expect("created")
}

#[test]
fn a_token_opens_what_it_was_made_for_until_it_is_revoked() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let app = app(&store, "a");
    store
        .write_now(|tx| {
            let (id, all) = tx.create_token(&TOKEN, 1)?;
            let (other, one) = tx.create_token(&NewToken { app: Some(app.id), ..TOKEN }, 1)?;
            let known =
                |text: &str| Ok::<_, crate::StoreError>(tx.known_token(text, 5)?.map(|it| (it.scope, it.user, it.used_at)));
            assert_eq!(known(&all)?, Some((TokenScope::Platform, None, None)));
            tx.use_token(other, 7)?;
            assert_eq!(known(&one)?, Some((TokenScope::App(name("a")), None, Some(7))));
            assert_eq!(known("adpt_0")?, None);
            assert_eq!(tx.delete_token(id)?.map(|token| token.name).as_deref(), Some("ci"));
            assert_eq!(tx.delete_token(id)?, None);
            assert_eq!(known(&all)?, None);
            tx.delete_app(app.id)?;
            assert_eq!(known(&one)?, None, "an app's tokens go with it");
            Ok(())
        })
        .expect("written");
}

#[test]
fn a_users_own_token_ends_in_time_and_with_its_user() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let app = app(&store, "a");
    let (ada, bob) = (user(&store, "ada"), user(&store, "bob"));
    store
        .write_now(|tx| {
            let own = NewToken { name: "laptop", user: Some(ada), app: Some(app.id), expires_at: Some(100) };
            let (id, text) = tx.create_token(&own, 10)?;
            let known =
                KnownToken { id, name: "laptop".to_owned(), user: Some(ada), scope: TokenScope::App(name("a")), used_at: None };
            assert_eq!(tx.known_token(&text, 99)?, Some(known));
            // Not a moment longer.
            assert_eq!(tx.known_token(&text, 100)?, None);
            let (_, another) = tx.create_token(&NewToken { user: Some(bob), ..TOKEN }, 11)?;
            let (_, platform) = tx.create_token(&TOKEN, 12)?;
            let names = |list: Vec<crate::Token>| -> Vec<_> {
                list.into_iter().map(|it| (it.user.map(|user| user.to_string()), it.app, it.expires_at)).collect()
            };
            assert_eq!(names(tx.tokens_of(ada)?), [(Some("ada".to_owned()), Some(name("a")), Some(100))]);
            assert_eq!(tx.tokens()?.len(), 3);
            // What ends is shown for a while, and then forgotten; what does not end stays.
            assert_eq!((tx.forget_old_tokens(100)?, tx.forget_old_tokens(101)?), (0, 1));
            assert_eq!(tx.tokens()?.len(), 2);
            tx.delete_user(bob)?;
            assert_eq!(tx.known_token(&another, 13)?, None, "a user's tokens go with them");
            assert!(tx.known_token(&platform, 13)?.is_some());
            Ok(())
        })
        .expect("written");
}

#[test]
fn links_are_good_until_they_are_too_old() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let app = app(&store, "shop");
    let ada = user(&store, "ada");
    store
        .write_now(|tx| {
            let new = NewInvite {
                role: PlatformRole::Member,
                app: Some((app.id, AppRole::Viewer)),
                note: "Grace".to_owned(),
                made_by: "ada".to_owned(),
                expires_at: 100,
            };
            let (id, text) = tx.create_invite(&new, 10)?;
            let found = tx.invite(&text, 99)?.expect("it is good");
            assert_eq!((found.id, found.app, found.note.as_str()), (id, Some((name("shop"), AppRole::Viewer)), "Grace"));
            assert_eq!(tx.invites(99)?.len(), 1);
            assert!(tx.invite(&text, 100)?.is_none() && tx.invites(100)?.is_empty(), "not a moment longer");
            assert!(tx.invite("", 50)?.is_none());

            let first = tx.create_sign_in_link(None, 10, 100)?;
            assert_eq!(tx.sign_in_link(&first, 99)?, Some(LinkFor::FirstOperator));
            assert_eq!(tx.sign_in_link(&first, 100)?, None, "not a moment longer");
            // Another takes its place; that of a user is beside it.
            let second = tx.create_sign_in_link(None, 20, 120)?;
            let adas = tx.create_sign_in_link(Some(ada), 20, 200)?;
            assert_eq!((tx.sign_in_link(&first, 30)?, tx.sign_in_link(&adas, 30)?), (None, Some(LinkFor::User(ada))));
            assert!(tx.take_sign_in_link(&second)? && !tx.take_sign_in_link(&second)?, "once");

            tx.forget_old_links(100)?;
            assert_eq!(tx.invites(50)?, [], "forgotten");
            assert_eq!(tx.sign_in_link(&adas, 199)?, Some(LinkFor::User(ada)), "what is good stays");
            tx.delete_user(ada)?;
            assert_eq!(tx.sign_in_link(&adas, 199)?, None, "a link goes with its user");
            // An invitation goes with the app that it is for.
            let (_, text) = tx.create_invite(&new, 10)?;
            tx.delete_app(app.id)?;
            assert!(tx.invite(&text, 50)?.is_none());
            Ok(())
        })
        .expect("written");
}

#[test]
fn sessions_end_by_age_and_with_their_user() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let (ada, bob) = (user(&store, "ada"), user(&store, "bob"));
    store
        .write_now(|tx| {
            let new = |user| NewSession { user, how: SignedInBy::Password, address: String::new(), agent: String::new() };
            let (old, old_text) = tx.create_session(&new(ada), 10)?;
            let (_, idle_text) = tx.create_session(&new(ada), 50)?;
            let (_, bobs) = tx.create_session(&new(bob), 60)?;
            tx.use_session(old, 100)?;
            // One began too long ago, one was not used for too long.
            assert_eq!(tx.forget_old_sessions(20, 55)?, 2);
            assert!(tx.session(&old_text)?.is_none() && tx.session(&idle_text)?.is_none());
            assert_eq!(tx.session(&bobs)?.map(|it| it.user), Some(bob));
            tx.delete_user(bob)?;
            assert!(tx.session(&bobs)?.is_none());
            Ok(())
        })
        .expect("written");
}

/// Data of the version before there were users (four migrations), as it wrote them, opened by this one.
#[test]
fn what_was_there_before_there_were_users_stays_after_they_come() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("adaptable.db");
    let hash = crate::secrets::hash("adpt_before");
    {
        let mut before = rusqlite::Connection::open(&file).expect("a file");
        before.pragma_update(None, "foreign_keys", "on").expect("set");
        for (number, sql) in (1..=4_u32).zip(crate::MIGRATIONS) {
            let transaction = before.transaction().expect("a transaction");
            transaction.execute_batch(sql).expect("a migration");
            transaction.pragma_update(None, "user_version", number).expect("set");
            transaction.commit().expect("on disk");
        }
        let sealer = Sealer::load(&directory.path().join("secret.key"), true).expect("a key");
        let settings = serde_json::to_vec(&Settings::default()).expect("plain data");
        let sealed = sealer.seal("app.settings:shop", &settings).expect("sealed");
        let made = before
            .execute("insert into app (id, name, slot, settings, created_at) values (1, 'shop', 7, ?, 3)", [&sealed])
            .and_then(|_| {
                before
                    .execute("insert into token (name, app, hash, created_at, used_at) values ('laptop', null, ?, 4, 5)", [&hash])
            })
            .and_then(|_| {
                before.execute(
                    "insert into token (name, app, hash, created_at) values ('ci', 1, ?, 6)",
                    [crate::secrets::hash("adpt_app")],
                )
            });
        made.expect("rows of the version before");
    }
    let store = open(directory.path());
    let app = store.read_now(|tx| tx.app(&AppName::parse("shop").expect("a name"))).expect("read").expect("there");
    assert_eq!((app.slot, app.created_at, app.settings), (7, 3, Settings::default()));
    store
        .write_now(|tx| {
            let all = tx.known_token("adpt_before", 10)?.expect("it opens as before");
            assert_eq!((all.name.as_str(), all.user, all.scope, all.used_at), ("laptop", None, TokenScope::Platform, Some(5)));
            let one = tx.known_token("adpt_app", 10)?.expect("it opens as before");
            assert_eq!((one.user, one.scope), (None, TokenScope::App(name("shop"))));
            assert!(tx.tokens()?.iter().all(|token| token.user.is_none() && token.expires_at.is_none()));
            // Nobody is in it, nothing was written down, and all that is new works.
            assert_eq!((tx.user_count()?, tx.members(app.id)?.len(), tx.audit(None, 0, None, 10)?.len()), (0, 0, 0));
            let account = GitHubAccount { id: 583_231, login: "octocat".to_owned(), avatar: String::new() };
            let name = UserName::parse("octocat").expect("a name");
            let new = NewUser { name: &name, role: PlatformRole::Operator, password: None, github: Some(&account) };
            let user = tx.create_user(&new, 11)?;
            tx.set_member(app.id, user.id, AppRole::Owner)?;
            assert_eq!(tx.user_of_github(583_231)?, Some(user));
            tx.delete_app(app.id)?;
            assert!(tx.known_token("adpt_app", 12)?.is_none(), "an app's tokens still go with it");
            Ok(())
        })
        .expect("written");
    // And a version that knows less does not open it.
    drop(store);
    let version: u32 = rusqlite::Connection::open(&file)
        .and_then(|it| it.pragma_query_value(None, "user_version", |row| row.get(0)))
        .expect("a number");
    assert_eq!(usize::try_from(version).expect("small"), crate::MIGRATIONS.len());
}
