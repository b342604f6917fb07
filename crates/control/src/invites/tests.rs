//! Who comes in with an account of GitHub, on which way, and who does not.

use model::{AppName, Settings};
use store::{NewInvite, Sealer, Store};

use super::*;

fn store(directory: &tempfile::TempDir) -> Store {
    let sealer = Sealer::load(&directory.path().join("secret.key"), true).expect("a key");
    Store::open(&directory.path().join("adaptable.db"), sealer).expect("a store")
}

fn account(id: u64, login: &str) -> GitHubAccount {
    GitHubAccount { id, login: login.to_owned(), avatar: format!("https://pictures.example/{id}") }
}

fn user(store: &Store, text: &str, role: PlatformRole, github: Option<&GitHubAccount>) -> User {
    let name = UserName::parse(text).expect("a name");
    store.write_now(|tx| tx.create_user(&NewUser { name: &name, role, password: None, github }, 1)).expect("created")
}

/// Who came in, or the code of what they were told.
fn come(store: &Store, account: &GitHubAccount, way: &GitHubWay, sign_up: SignUp) -> std::result::Result<Identity, ErrorCode> {
    let entered = store.write_now(|tx| enter(tx, account, way, sign_up, &Browser::default(), 50)).expect("the store");
    entered.map(|(identity, _)| identity).map_err(|error| error.code)
}

fn invite(store: &Store, role: PlatformRole, app: Option<(store::AppId, AppRole)>, expires_at: i64) -> GitHubWay {
    let new = NewInvite { role, app, note: String::new(), made_by: "ada".to_owned(), expires_at };
    let (_, text) = store.write_now(|tx| tx.create_invite(&new, 1)).expect("made");
    GitHubWay::Invite(text.to_string())
}

#[test]
fn anybody_signs_up_where_the_operator_says_so_and_never_as_the_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory);
    let octo = account(7, "Octo-Cat");
    for sign_up in [SignUp::Invited, SignUp::GitHub] {
        assert_eq!(come(&store, &octo, &GitHubWay::SignIn, sign_up), Err(ErrorCode::Forbidden), "nobody has come yet");
    }
    let first = store.write_now(|tx| tx.create_sign_in_link(None, 1, 100)).expect("made").to_string();
    let ada = come(&store, &account(1, "ada"), &GitHubWay::Welcome(first.clone()), SignUp::Invited).expect("by the first link");
    assert!(ada.is_operator());
    assert_eq!(come(&store, &octo, &GitHubWay::Welcome(first), SignUp::GitHub), Err(ErrorCode::NotFound), "once");
    assert_eq!(come(&store, &octo, &GitHubWay::SignIn, SignUp::Invited), Err(ErrorCode::Forbidden));
    let new = come(&store, &octo, &GitHubWay::SignIn, SignUp::GitHub).expect("anybody may");
    assert_eq!((new.name.as_str(), new.role, new.apps.len()), ("octo-cat", PlatformRole::Member, 0));
    // Known by the number from now on, whatever the account is called; and one of that name is somebody else.
    let renamed = come(&store, &account(7, "renamed"), &GitHubWay::SignIn, SignUp::Invited).expect("known");
    assert_eq!((renamed.id, renamed.name.as_str()), (new.id, "octo-cat"));
    let login = store.read_now(|tx| tx.user(new.id)).expect("read").and_then(|user| user.github).map(|it| it.login);
    assert_eq!(login.as_deref(), Some("renamed"));
    let other = come(&store, &account(8, "octo-cat"), &GitHubWay::SignIn, SignUp::GitHub).expect("anybody may");
    assert_eq!((other.id != new.id, other.name.as_str()), (true, "octo-cat-2"));
}

#[test]
fn an_invitation_is_taken_once_in_time_and_takes_nothing_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory);
    let shop = AppName::parse("shop").expect("a name");
    let app = store.write_now(|tx| tx.create_app(&shop, &Settings::default(), 1)).expect("created").id;
    let grace = account(7, "grace");
    let way = invite(&store, PlatformRole::Member, Some((app, AppRole::Developer)), 51);
    let came = come(&store, &grace, &way, SignUp::Invited).expect("invited");
    assert_eq!(came.app_role(&shop), Some(AppRole::Developer));
    assert_eq!(come(&store, &account(8, "eve"), &way, SignUp::Invited), Err(ErrorCode::NotFound), "once");
    let late = invite(&store, PlatformRole::Operator, None, 50);
    assert_eq!(come(&store, &account(8, "eve"), &late, SignUp::GitHub), Err(ErrorCode::NotFound), "too late");
    // Whoever has more keeps it; whoever has less gets it.
    let less = invite(&store, PlatformRole::Member, Some((app, AppRole::Viewer)), 100);
    assert_eq!(come(&store, &grace, &less, SignUp::Invited).map(|it| it.app_role(&shop)), Ok(Some(AppRole::Developer)));
    let more = invite(&store, PlatformRole::Operator, None, 100);
    assert_eq!(come(&store, &grace, &more, SignUp::Invited).map(|it| it.is_operator()), Ok(true));
    // Whoever is locked out does not come in, and uses no invitation up.
    let id = came.id;
    store.write_now(|tx| tx.set_user_disabled(id, true)).expect("locked out");
    let way = invite(&store, PlatformRole::Member, None, 100);
    assert_eq!(come(&store, &grace, &way, SignUp::GitHub), Err(ErrorCode::Forbidden));
    assert_eq!(come(&store, &grace, &GitHubWay::SignIn, SignUp::GitHub), Err(ErrorCode::Forbidden));
    assert!(come(&store, &account(9, "heidi"), &way, SignUp::Invited).is_ok(), "it is still good");
}

#[test]
fn an_account_is_one_users() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory);
    let octo = account(7, "octo-cat");
    let ada = user(&store, "ada", PlatformRole::Member, Some(&octo));
    let bob = user(&store, "bob", PlatformRole::Operator, None);
    assert_eq!(come(&store, &octo, &GitHubWay::Link(bob.id), SignUp::GitHub), Err(ErrorCode::Conflict));
    let came = come(&store, &octo, &GitHubWay::SignIn, SignUp::Invited).expect("known");
    assert_eq!((came.id, came.is_operator()), (ada.id, false));
    assert!(came.session.is_some() && came.token.is_none());
}
