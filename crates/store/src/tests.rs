//! Tests of the store against a real database file.

use model::{
    AppName, Commit, DeploymentState, EnvName, Resources, RevisionNumber, RevisionSpec, Settings, Starter, StarterKind, Step,
    StepState,
};

use super::*;

mod github;
mod identity;

fn open(directory: &Path) -> Store {
    Store::open(&directory.join("adaptable.db"), Sealer::load(&directory.join("secret.key"), true).expect("key")).expect("store")
}

fn name(text: &str) -> AppName {
    AppName::parse(text).expect("a name")
}

/// A new app of that name.
fn app(store: &Store, text: &str) -> App {
    store.write_now(|tx| tx.create_app(&name(text), &Settings::default(), 1)).expect("created")
}

fn spec(image: &str) -> RevisionSpec {
    RevisionSpec {
        image: image.to_owned(),
        layers: vec!["base".to_owned()],
        args: vec!["app".to_owned()],
        start_command: "app".to_owned(),
        release: None,
        image_env: Vec::new(),
        environment: [(EnvName::parse("KEY").expect("a name"), "hunter2-secret".to_owned())].into(),
        resources: Resources::default(),
        template: "flask".to_owned(),
        idle_timeout: None,
        serving: model::Serving::default(),
        commit: Some(Commit { id: "abc".to_owned(), ..Commit::default() }),
    }
}

#[test]
fn what_was_written_is_there_after_reopening_and_secrets_are_sealed() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let mut settings = Settings::default();
    settings.set_environment([(EnvName::parse("KEY").expect("a name"), "hunter2-secret".to_owned())]);
    store
        .write_now(|tx| {
            let app = tx.create_app(&name("shop"), &settings, 1)?;
            let number = tx.create_revision(app.id, &spec("sha256:1"), 2)?;
            tx.set_live(app.id, number)
        })
        .expect("written");
    drop(store);
    let store = open(directory.path());
    let app = store.read_now(|tx| tx.app(&name("shop"))).expect("read").expect("there");
    assert_eq!((app.slot, app.live), (1, Some(RevisionNumber(1))));
    assert_eq!(app.settings, settings);
    let revision = store.read_now(|tx| tx.revision(app.id, RevisionNumber(1))).expect("read").expect("there");
    assert_eq!(revision.spec, spec("sha256:1"));
    drop(store);
    for entry in std::fs::read_dir(directory.path()).expect("listing") {
        let bytes = std::fs::read(entry.expect("entry").path()).expect("bytes");
        assert!(!bytes.windows(14).any(|window| window == b"hunter2-secret"), "a secret lies in the clear");
    }
}

#[test]
fn another_key_opens_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    open(directory.path()).write_now(|tx| tx.create_app(&name("shop"), &Settings::default(), 1)).expect("written");
    std::fs::write(directory.path().join("secret.key"), [7_u8; 32]).expect("another key");
    let error = open(directory.path()).read_now(|tx| tx.app(&name("shop"))).expect_err("fails closed");
    assert!(matches!(error, StoreError::Seal(SealError::Open(_))), "{error}");
}

#[test]
fn names_and_slots_are_unique_and_slots_are_reused() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    store
        .write_now(|tx| {
            let first = tx.create_app(&name("a"), &Settings::default(), 1)?;
            assert_eq!(tx.create_app(&name("b"), &Settings::default(), 1)?.slot, 2);
            assert!(matches!(tx.create_app(&name("b"), &Settings::default(), 1), Err(StoreError::NameTaken(_))));
            tx.delete_app(first.id)?;
            assert_eq!(tx.create_app(&name("c"), &Settings::default(), 1)?.slot, 1);
            Ok(())
        })
        .expect("written");
}

#[test]
fn a_deployment_ends_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    store
        .write_now(|tx| {
            let app = tx.create_app(&name("a"), &Settings::default(), 1)?;
            let by = Starter { kind: StarterKind::Push, name: "flora".to_owned() };
            let new = NewDeployment { kind: DeploymentKind::Source, request: &"x", commit_id: None, by: Some(&by) };
            let number = tx.create_deployment(app.id, &new, 10)?;
            assert_eq!(tx.deployment(app.id, number)?.and_then(|it| it.by), Some(by.clone()));
            tx.describe_deployment(app.id, number, None, Some(RevisionNumber(4)))?;
            assert_eq!(tx.revision_starters(app.id)?.into_iter().collect::<Vec<_>>(), [(RevisionNumber(4), by)]);
            assert_eq!(tx.open_deployments()?.len(), 1);
            tx.start_deployment(app.id, number, 11)?;
            tx.start_step(app.id, number, Step::Source, 11)?;
            tx.end_step(app.id, number, Step::Source, StepState::Done, 0.5)?;
            tx.start_step(app.id, number, Step::Plan, 1000)?;
            let failed = DeploymentEnd {
                state: DeploymentState::Failed,
                code: None,
                error: Some("no".to_owned()),
                help: None,
                diagnosis: None,
            };
            tx.end_deployment(app.id, number, &failed, 3000)?;
            let again = tx.end_deployment(app.id, number, &failed, 3000);
            assert!(matches!(again, Err(StoreError::Transition { .. })));
            let found = tx.deployment(app.id, number)?.expect("there");
            let steps: Vec<_> = found.steps.iter().map(|row| (row.step, row.state, row.seconds)).collect();
            assert_eq!(
                steps,
                [(Step::Source, StepState::Done, Some(0.5)), (Step::Plan, StepState::Failed, Some(2.0))],
                "a step under way ends with its deployment"
            );
            assert_eq!(tx.deployment_request::<String>(app.id, number)?.as_deref(), Some("x"));
            assert!(tx.open_deployments()?.is_empty());
            Ok(())
        })
        .expect("written");
}

#[test]
fn retention_keeps_the_newest_and_the_live_revision_and_never_reuses_a_number() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    store
        .write_now(|tx| {
            let app = tx.create_app(&name("a"), &Settings::default(), 1)?;
            for _ in 0..15 {
                tx.create_revision(app.id, &spec("sha256:1"), 1)?;
            }
            tx.set_live(app.id, RevisionNumber(2))?;
            tx.set_split(app.id, Some(Split { revision: RevisionNumber(3), percent: 10 }))?;
            assert_eq!(tx.prune_revisions(app.id, 10)?, 3);
            let numbers: Vec<_> = tx.revisions(app.id)?.iter().map(|revision| revision.number.0).collect();
            assert_eq!(numbers, [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 3, 2]);
            let split = |tx: &Tx<'_>| Ok::<_, StoreError>(tx.app(&name("a"))?.and_then(|app| app.split));
            assert_eq!(split(tx)?, Some(Split { revision: RevisionNumber(3), percent: 10 }));
            tx.set_live(app.id, RevisionNumber(15))?;
            assert_eq!(split(tx)?, None, "whoever becomes live gets all visitors");
            assert_eq!(tx.create_revision(app.id, &spec("sha256:1"), 1)?, RevisionNumber(16));
            Ok(())
        })
        .expect("written");
}

#[test]
fn a_failed_piece_of_work_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let result = store.write_now(|tx| {
        tx.create_app(&name("a"), &Settings::default(), 1)?;
        tx.create_app(&name("a"), &Settings::default(), 1)
    });
    assert!(result.is_err());
    assert!(store.read_now(|tx| tx.apps()).expect("read").is_empty());
}

#[test]
fn a_database_is_recorded_sealed_and_goes_with_its_app() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let app = store.write_now(|tx| tx.create_app(&name("shop"), &Settings::default(), 1)).expect("created");
    let kept = serde_json::json!({"password": "hunter2-secret"});
    store.write_now(|tx| tx.create_database(app.id, model::DatabaseType::Postgres, &kept, 2)).expect("recorded");
    store.write_now(|tx| tx.create_database(app.id, model::DatabaseType::Mongodb, &kept, 3)).expect_err("there is one");
    let read = |store: &Store| store.read_now(|tx| tx.database::<serde_json::Value>(app.id)).expect("read");
    let row = read(&store).expect("there");
    assert_eq!((row.kind, row.state, &row.kept), (model::DatabaseType::Postgres, DatabaseState::Making, &kept));
    let changed = serde_json::json!({"password": "another"});
    store.write_now(|tx| tx.update_database(app.id, DatabaseState::Rotating, &changed)).expect("changed");
    let row = read(&store).expect("there");
    assert_eq!((row.state, row.kept, row.created_at), (DatabaseState::Rotating, changed, 2));
    let raw = store
        .read_now(|tx| Ok(tx.db.query_row("select kept from database", [], |row| row.get::<_, Vec<u8>>(0))?))
        .expect("bytes");
    assert!(!raw.windows(7).any(|window| window == b"another"), "it lies in the clear");
    store.write_now(|tx| tx.delete_app(app.id)).expect("deleted");
    assert!(read(&store).is_none());
}

#[test]
fn a_draft_is_its_owners_alone_is_sealed_and_does_not_stay_forever() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path());
    let text = |text: &str| text.to_owned();
    for user in ["ada", "bob"] {
        let name = model::UserName::parse(user).expect("a name");
        let new = NewUser { name: &name, role: model::PlatformRole::Member, password: None, github: None };
        store.write_now(|tx| tx.create_user(&new, 1)).expect("written");
    }
    let id = store
        .write_now(|tx| tx.create_draft(1, &text("hunter2-secret"), DraftFacts { upload: Some("aa"), ended: false }, 20, 10))
        .expect("written");
    assert_eq!(id.len(), 32);
    let read = |owner, id: &str| store.read_now(|tx| tx.draft::<String>(owner, id)).expect("read");
    assert_eq!(read(1, &id).map(|row| (row.document, row.ended)), Some((text("hunter2-secret"), false)));
    assert_eq!(read(2, &id), None, "a stranger's");
    let change = |owner, ended| {
        store
            .write_now(|tx| tx.set_draft(owner, &id, &text("other"), DraftFacts { upload: Some("bb"), ended }, 20))
            .expect("written")
    };
    assert!(!change(2, false) && change(1, false));
    assert_eq!(read(1, &id).map(|row| (row.document, row.updated_at)), Some((text("other"), 20)));
    assert_eq!(store.read_now(|tx| tx.draft_uploads(0)).expect("read"), ["bb"]);
    assert!(store.read_now(|tx| tx.draft_uploads(21)).expect("read").is_empty(), "nobody has touched it for long");
    assert!(change(1, true));
    assert!(store.read_now(|tx| tx.draft_uploads(0)).expect("read").is_empty(), "a deployed one needs its upload no more");
    // Ended ones go earlier, and what is deleted is gone.
    assert_eq!(store.write_now(|tx| tx.sweep_drafts(0, 20)).expect("swept"), 0);
    assert_eq!(store.write_now(|tx| tx.sweep_drafts(0, 21)).expect("swept"), 1);
    assert_eq!(read(1, &id), None);
    // Of one owner the newest stay; others' stay, too.
    let facts = DraftFacts::default();
    let others = store.write_now(|tx| tx.create_draft(2, &text("other's"), facts, 3, 1)).expect("written");
    let ids: Vec<String> =
        (0..5).map(|at| store.write_now(|tx| tx.create_draft(1, &format!("{at}"), facts, 3, at)).expect("written")).collect();
    let rows = store.read_now(|tx| tx.drafts::<String>(1)).expect("read");
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), [&ids[4], &ids[3], &ids[2]]);
    assert!(read(2, &others).is_some());
    assert!(store.write_now(|tx| tx.delete_draft(2, &ids[4])).is_ok_and(|gone| !gone), "nobody deletes another's");
    drop(store);
    for entry in std::fs::read_dir(directory.path()).expect("listing") {
        let bytes = std::fs::read(entry.expect("entry").path()).expect("bytes");
        assert!(!bytes.windows(14).any(|window| window == b"hunter2-secret"), "a secret lies in the clear");
    }
}
