//! GitHub's part of the state: deliveries are taken once, browsers come back once, reports say what is not told yet.

use model::{AppName, DeploymentNumber, DeploymentState, Starter, StarterKind};

use super::{app, open};
use crate::{DeliveryState, DeploymentEnd, DeploymentKind, InstallationRow, NewDeployment, NewReport, SourceRow, Store, Trouble};

fn source(repository: u64, branch: &str) -> SourceRow {
    SourceRow {
        repository,
        full_name: "octo/hello".to_owned(),
        installation: 7,
        branch: branch.to_owned(),
        auto_deploy: true,
        push_before: String::new(),
        push_after: String::new(),
        head: String::new(),
        trouble: None,
        linked_at: 1,
    }
}

#[test]
fn a_delivery_is_taken_once_and_forgotten_when_it_is_done() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let take =
        |id: &'static str, now| store.write_now(move |tx| tx.receive_delivery(id, "push", Some(1), b"{\"secret\":1}", now));
    let one = take("one", 10).expect("on disk").expect("it is new");
    assert_eq!(take("one", 11).expect("on disk"), None);
    let two = take("two", 12).expect("on disk").expect("it is new");
    let waiting = |store: &Store| store.read_now(|tx| tx.waiting_deliveries()).expect("a list");
    assert_eq!(waiting(&store).iter().map(|it| it.seq).collect::<Vec<_>>(), [one, two]);
    let payload = store.read_now(|tx| tx.delivery_payload(one)).expect("it opens").expect("it is there");
    assert_eq!(&**payload, b"{\"secret\":1}");
    store.write_now(|tx| tx.retry_delivery(two, 99, "later")).expect("written");
    store.write_now(|tx| tx.end_delivery(one, DeliveryState::Done, "deployed")).expect("written");
    // Ended is ended.
    store.write_now(|tx| tx.end_delivery(one, DeliveryState::Failed, "no")).expect("written");
    assert_eq!(store.read_now(|tx| tx.delivery_payload(one)).expect("read"), None);
    assert_eq!(take("one", 20).expect("on disk"), None, "a replay");
    let [row] = &waiting(&store)[..] else { panic!("one waits") };
    assert_eq!((row.seq, row.tries, row.next_at, row.result.as_str(), row.repository), (two, 1, 99, "later", Some(1)));
    // One that failed may be sent again.
    store.write_now(|tx| tx.end_delivery(two, DeliveryState::Failed, "no")).expect("written");
    assert_eq!(take("two", 30).expect("on disk"), Some(two));
    assert_eq!(waiting(&store)[0].tries, 0);
    // What waits is never swept.
    assert_eq!(store.write_now(|tx| tx.sweep_deliveries(1000)).expect("swept"), 1);
    assert_eq!(waiting(&store).len(), 1);
}

#[test]
fn a_browser_comes_back_once_and_in_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let put = |state: &'static [u8], now| store.write_now(move |tx| tx.create_flow(state, &"flow", now, now + 10)).expect("kept");
    let take = |state: &'static [u8], now| store.write_now(move |tx| tx.take_flow::<String>(state, now)).expect("taken");
    put(b"a", 0);
    assert_eq!(take(b"b", 1), None);
    assert_eq!(take(b"a", 1).as_deref(), Some("flow"));
    assert_eq!(take(b"a", 1), None);
    put(b"c", 0);
    assert_eq!(take(b"c", 10), None);
    // However many strangers go, there is an end.
    put(b"mine", 1);
    let many =
        |tx: &crate::Tx<'_>| (0..1500_u32).try_for_each(|number| tx.create_flow(&number.to_be_bytes(), &"stranger", 2, 20));
    store.write_now(many).expect("kept");
    let count: u32 =
        store.read_now(|tx| Ok(tx.db.query_row("select count(*) from github_flow", [], |row| row.get(0))?)).expect("a number");
    assert_eq!(count, 1000);
}

#[test]
fn a_repository_keeps_its_apps_under_another_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let (shop, other) = (app(&store, "shop").id, app(&store, "other").id);
    store.write_now(|tx| tx.set_app_source(shop, &source(1, "main"))).expect("linked");
    store.write_now(|tx| tx.set_app_source(other, &source(2, "main"))).expect("linked");
    let trouble = Trouble { message: "gone".to_owned(), help: "look".to_owned(), at: 5 };
    store
        .write_now(|tx| {
            tx.move_repository(1, "octo/renamed", Some(8))?;
            tx.set_source_push(shop, "a", "b")?;
            tx.set_source_trouble(shop, Some(&trouble))
        })
        .expect("written");
    let list = store.read_now(|tx| tx.app_sources(Some(1))).expect("a list");
    let [(id, name, row)] = &list[..] else { panic!("one app: {list:?}") };
    assert_eq!((*id, name.as_str()), (shop, "shop"));
    let now = SourceRow {
        full_name: "octo/renamed".to_owned(),
        installation: 8,
        push_before: "a".to_owned(),
        push_after: "b".to_owned(),
        head: "b".to_owned(),
        trouble: Some(trouble),
        ..source(1, "main")
    };
    assert_eq!(*row, now);
    assert_eq!(store.read_now(|tx| tx.app_source(other)).expect("read"), Some(source(2, "main")));
    // Linked anew, nothing of before is left.
    store.write_now(|tx| tx.set_app_source(shop, &source(1, "next"))).expect("linked");
    assert_eq!(store.read_now(|tx| tx.app_source(shop)).expect("read"), Some(source(1, "next")));
    assert!(store.write_now(|tx| tx.remove_app_source(shop)).expect("unlinked"));
    assert!(!store.write_now(|tx| tx.remove_app_source(shop)).expect("unlinked"));
}

#[test]
fn what_github_is_not_told_yet_follows_from_the_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let shop = app(&store, "shop").id;
    let new = NewReport { repository: 1, full_name: "octo/hello".to_owned(), installation: 7, commit_id: "c".to_owned() };
    let number = store
        .write_now(|tx| {
            let new_deployment = NewDeployment { kind: DeploymentKind::Source, request: &"it", commit_id: None, by: None };
            let number = tx.create_deployment(shop, &new_deployment, 1)?;
            tx.create_report(shop, number, &new, 1)?;
            Ok(number)
        })
        .expect("written");
    assert_eq!(number, DeploymentNumber(1));
    let untold = || {
        let list = store.read_now(|tx| tx.untold()).expect("a list");
        list.into_iter().map(|it| (it.state, it.tries, it.remote, it.name.to_string())).collect::<Vec<_>>()
    };
    let name = AppName::parse("shop").expect("a name").to_string();
    assert_eq!(untold(), [(DeploymentState::Queued, 0, None, name.clone())]);
    store.write_now(|tx| tx.told(shop, number, DeploymentState::Queued)).expect("written");
    assert_eq!(untold(), []);
    store.write_now(|tx| tx.start_deployment(shop, number, 2)).expect("written");
    store.write_now(|tx| tx.set_report_remote(shop, number, 42)).expect("written");
    store.write_now(|tx| tx.not_told(shop, number, DeploymentState::Running, "down", Some(9))).expect("written");
    assert_eq!(untold(), [(DeploymentState::Running, 1, Some(42), name.clone())]);
    assert_eq!(store.read_now(|tx| tx.report_problem(shop)).expect("read").as_deref(), Some("down"));
    // Given up for this state, and not for the next.
    store.write_now(|tx| tx.not_told(shop, number, DeploymentState::Running, "down", None)).expect("written");
    assert_eq!(untold(), []);
    let end = DeploymentEnd { state: DeploymentState::Live, code: None, error: None, help: None, diagnosis: None };
    store.write_now(|tx| tx.end_deployment(shop, number, &end, 3)).expect("written");
    assert_eq!(untold(), [(DeploymentState::Live, 0, Some(42), name)]);
    store.write_now(|tx| tx.told(shop, number, DeploymentState::Live)).expect("written");
    assert_eq!((untold(), store.read_now(|tx| tx.report_problem(shop)).expect("read")), (Vec::new(), None));
}

#[test]
fn without_its_app_nothing_of_github_is_left_but_names() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let shop = app(&store, "shop").id;
    let row = InstallationRow {
        id: 7,
        account: "octo".to_owned(),
        kind: "user".to_owned(),
        page: "p".to_owned(),
        suspended: false,
        seen_at: 1,
    };
    store
        .write_now(|tx| {
            tx.set_github_app(&"keys", 1)?;
            tx.set_installation(&row)?;
            // Told of again by somebody who knows no page.
            tx.set_installation(&InstallationRow { page: String::new(), suspended: true, ..row.clone() })?;
            tx.set_app_source(shop, &source(1, "main"))?;
            tx.set_github_problem(Some("revoked"))?;
            tx.receive_delivery("one", "push", None, b"{}", 1).map(drop)
        })
        .expect("written");
    let installations = store.read_now(|tx| tx.installations()).expect("a list");
    assert_eq!(installations, [InstallationRow { suspended: true, ..row }]);
    let app = store.read_now(|tx| tx.github_app::<String>()).expect("read").expect("it is there");
    assert_eq!((app.keys.as_str(), app.problem.as_deref()), ("keys", Some("revoked")));
    store.write_now(|tx| tx.remove_github_app()).expect("removed");
    assert!(store.read_now(|tx| tx.github_app::<String>()).expect("read").is_none());
    assert!(store.read_now(|tx| tx.waiting_deliveries()).expect("read").is_empty());
    assert!(store.read_now(|tx| tx.installations()).expect("read").is_empty());
    assert!(store.read_now(|tx| tx.app_source(shop)).expect("read").is_some());
}

#[test]
fn a_head_is_known_until_pushes_deploy_no_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let shop = app(&store, "shop").id;
    store
        .write_now(|tx| {
            tx.set_app_source(shop, &SourceRow { head: "a".to_owned(), ..source(1, "main") })?;
            let head = || Ok::<_, crate::StoreError>(tx.app_source(shop)?.expect("linked").head);
            assert_eq!(head()?, "a");
            tx.set_source_head(shop, "b")?;
            assert_eq!(head()?, "b");
            tx.set_source_push(shop, "b", "c")?;
            assert_eq!(head()?, "c");
            tx.set_auto_deploy(shop, true)?;
            assert_eq!(head()?, "c", "nothing has changed");
            tx.set_auto_deploy(shop, false)?;
            tx.set_auto_deploy(shop, true)?;
            assert_eq!(head()?, "", "what was pushed meanwhile is not deployed later");
            Ok(())
        })
        .expect("written");
}

#[test]
fn a_deployment_says_who_asked_for_it_and_whose_second_try_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let shop = app(&store, "shop").id;
    store
        .write_now(|tx| {
            let new = NewDeployment { kind: DeploymentKind::Source, request: &"x", commit_id: Some("abc"), by: None };
            let by = Starter { kind: StarterKind::Push, name: "flora".to_owned() };
            let first = tx.create_deployment(shop, &NewDeployment { by: Some(&by), ..new }, 1)?;
            let second = tx.create_deployment(shop, &new, 2)?;
            tx.set_retry_of(shop, second, first)?;
            let told = |number| Ok::<_, crate::StoreError>(tx.deployment(shop, number)?.map(|row| (row.by, row.retry_of)));
            assert_eq!((told(first)?, told(second)?), (Some((Some(by.clone()), None)), Some((None, Some(first)))));
            Ok(())
        })
        .expect("written");
}
