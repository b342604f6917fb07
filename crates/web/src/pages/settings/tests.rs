//! The settings' two views: nothing is lost on the way through a form, secrets are not in a page, and mistakes are told where they are.

use api::{AppSource, ErrorBody, ErrorCode, SourceTrouble};
use askama::Template;
use model::environment::Environment;
use model::settings::fields::{FIELDS, Input};
use model::{AppRole, DatabaseType, EnvName, Settings};
use proptest::prelude::*;

use super::form::{self, Problems, Typed};
use super::members::Member;
use super::source::{Change, Origin};
use super::view::{Look, Part, Source};
use super::yaml::{self, HIDDEN};
use super::{About, Draft, Other, SettingsPage, View};
use crate::pages::app_head::AppHead;
use crate::pages::gallery::shell;
use crate::pages::layout::Tab;

fn head(change: bool) -> AppHead {
    AppHead {
        name: "shop".to_owned(),
        state: crate::pages::state::app(api::AppState::Live, 1),
        url: "https://shop.example.org".to_owned(),
        tab: Some(Tab::Settings),
        change,
    }
}

fn about(change: bool, own: bool) -> About {
    let member = |name: &str, role, disabled| Member { name: name.to_owned(), role, disabled };
    About {
        head: head(change),
        template: Some("flask".to_owned()),
        paused: false,
        change,
        own,
        waiting: change,
        members: vec![member("ada", AppRole::Owner, false), member("grace", AppRole::Viewer, true)],
        me: Some("ada".to_owned()),
        origin: Origin { linked: Some(linked("shop")), github: true, form: form("main", true), wrong: None },
    }
}

fn form(branch: &str, pushes: bool) -> Change {
    Change { shown: "7".to_owned(), branch: branch.to_owned(), pushes: pushes.then(String::new), ..Change::default() }
}

fn linked(text: &str) -> AppSource {
    AppSource {
        repository_id: 7,
        repository: format!("garden/{text}"),
        installation: 1,
        branch: "main".to_owned(),
        auto_deploy: true,
        page: "https://github.com/garden/shop".to_owned(),
        linked_at: jiff::Timestamp::UNIX_EPOCH,
        trouble: Some(SourceTrouble {
            message: format!("{text} is gone"),
            help: text.to_owned(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }),
    }
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| (EnvName::parse(name).expect("a name"), (*value).to_owned())).collect()
}

fn document(text: &str) -> Settings {
    let mut settings: Settings = serde_json::from_str(
        r#"{"databaseType":"postgres","database":{"extensions":["citext"],"allow":["192.0.2.0/24"]},"pythonVersion":"3.13",
        "startCommand":"gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()","domains":[{"domainName":"shop.example"}],
        "resourceConfig":{"maxInstances":4,"vCpus":0.5},"nodeVersion":"22","static":{"root":"dist"}}"#,
    )
    .expect("known keys");
    settings.build_command = Some(format!("make {text}"));
    settings.repo_subdir = Some("services/web".to_owned());
    settings.environment = variables(&[("GREETING", text), ("SECRET_KEY", "hunter2 value"), ("PEM", "one\r\ntwo\n")]);
    settings.build_environment = variables(&[("PIP_INDEX_URL", "https://user:hunter3@pypi.example")]);
    settings
}

/// What a browser sends of a form that nobody touched.
fn untouched(parts: &[Part]) -> Typed {
    let mut fields = vec![("version".to_owned(), "1".to_owned())];
    for part in parts {
        for field in &part.fields {
            let name = format!("f.{}", field.key);
            match &field.look {
                Look::Fixed => {}
                Look::Switch { on } => {
                    fields.push(("switch".to_owned(), field.key.to_owned()));
                    if *on {
                        fields.push((name, "on".to_owned()));
                    }
                }
                Look::Choice(options) => {
                    let chosen = options.iter().find(|(_, _, chosen)| *chosen).unwrap_or(&options[0]);
                    fields.push((name, chosen.0.to_owned()));
                }
                // An input of one line has no line ends; a text area has all of them as CR LF (HTML, 4.10.22.7).
                Look::Lines { .. } => fields.push((name, browser_text(&field.value))),
                Look::Line { .. } | Look::Number { .. } => fields.push((name, field.value.replace(['\r', '\n'], ""))),
            }
        }
        for set in &part.variables {
            fields.push(("rows".to_owned(), set.kind.to_owned()));
            for row in &set.rows {
                let mut push = |part: &str, value: String| fields.push((format!("{}.{}.{part}", set.kind, row.index), value));
                push("was", row.was.clone());
                push("shown", if row.shown { "yes" } else { "no" }.to_owned());
                push("name", row.name.clone());
                push("value", if row.long { browser_text(&row.value) } else { row.value.replace(['\r', '\n'], "") });
            }
            fields.push((format!("{}.paste", set.kind), String::new()));
        }
    }
    Typed(fields)
}

fn browser_text(value: &str) -> String {
    value.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

fn parts_of(stored: &Settings, reveal: bool) -> Vec<Part> {
    let problems = Problems::new();
    Source { stored, typed: None, problems: &problems, template: Some("flask"), reveal, more: None }.parts()
}

fn set(typed: &mut Typed, name: &str, value: &str) {
    typed.0.retain(|(key, _)| key != name);
    typed.0.push((name.to_owned(), value.to_owned()));
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[ -~]{0,12}[!-~][ -~\n]{0,20}")
}

prop_compose! {
    fn any_settings()(
        texts in prop::collection::vec(any_text(), 3),
        environment in prop::collection::btree_map("[A-Z_][A-Z0-9_]{0,8}", "[ -~\r\n\t\u{e4}]{0,30}", 0..6),
        build in prop::collection::btree_map("[A-Z_][A-Z0-9_]{0,8}", "\\PC{0,20}", 0..3),
        kind in 0..4_usize, memory in 1..40_u32, cpus in 0.05..64.0_f64, min in 0..1000_u32, more in 0..1000_u32,
        idle in prop::option::of(any::<u32>()), freeze in any::<bool>(), after in prop::option::of(0..=3_600_000_u32),
        node in prop::option::of("[0-9]{1,3}"), subdir in prop::option::of("[a-z]{1,8}(/[a-z]{1,8}){0,2}"),
    ) -> Settings {
        let mut settings = Settings::default();
        let named = |pairs: std::collections::BTreeMap<String, String>| -> Environment {
            pairs.into_iter().filter(|(name, _)| name != "PORT").map(|(name, value)| (EnvName::parse(&name).expect("a name"), value)).collect()
        };
        let mut texts = texts.into_iter();
        settings.start_command = texts.next().flatten();
        settings.build_command = texts.next().flatten();
        settings.install_command = texts.next().flatten();
        settings.environment = named(environment);
        settings.build_environment = named(build);
        settings.database_type = [DatabaseType::None, DatabaseType::Postgres, DatabaseType::Mongodb, DatabaseType::Mssql][kind];
        settings.resource_config.memory = memory * 256;
        settings.resource_config.v_cpus = cpus;
        settings.resource_config.min_instances = min;
        settings.resource_config.max_instances = (min + more).clamp(1, 1000);
        settings.idle_timeout = idle;
        settings.serving.freeze = freeze;
        settings.serving.freeze_after = after;
        settings.node_version = node;
        settings.repo_subdir = subdir;
        settings.builder_type = Some("nixpacks".to_owned());
        settings.domains = vec![model::settings::Domain { domain_name: "a.example".to_owned(), name: None, endpoint: None }];
        settings
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_form_that_nobody_touched_changes_nothing(stored in any_settings(), reveal in any::<bool>()) {
        let typed = untouched(&parts_of(&stored, reveal));
        let (after, problems) = form::apply(&typed, &stored);
        prop_assert!(problems.is_empty(), "{problems:?}");
        prop_assert_eq!(after, stored);
    }

    #[test]
    fn what_was_typed_is_shown_again(stored in any_settings(), text in "[ -~]{0,40}") {
        let mut typed = untouched(&parts_of(&stored, false));
        for field in FIELDS.iter().filter(|field| matches!(field.input, Input::Text { .. } | Input::Whole { .. } | Input::Command { .. })) {
            if typed.setting(field.key).is_some() {
                set(&mut typed, &format!("f.{}", field.key), &text);
            }
        }
        let (_, problems) = form::apply(&typed, &stored);
        let source = Source { stored: &stored, typed: Some(&typed), problems: &problems, template: Some("flask"), reveal: false, more: None };
        for part in source.parts() {
            for field in part.fields.iter().filter(|field| matches!(field.look, Look::Line { .. } | Look::Number { .. })) {
                if let Some(sent) = typed.setting(field.key) {
                    prop_assert_eq!(&field.value, sent);
                }
            }
        }
    }

    #[test]
    fn a_yaml_document_that_nobody_touched_changes_nothing(stored in any_settings(), reveal in any::<bool>()) {
        prop_assume!(reveal || !stored.environment.values().chain(stored.build_environment.values()).any(|value| value == HIDDEN));
        let text = yaml::write(&stored, reveal);
        let after = yaml::read(&text, &stored);
        prop_assert_eq!(after, Ok(stored), "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}", key in "[a-zA-Z.\\[\\]0-9]{0,20}") {
        let _any = yaml::read(&text, &Settings::default());
        let _any = yaml::line_of(&text, &key);
    }
}

#[test]
fn only_what_was_typed_is_changed() {
    let stored = document("x");
    let mut typed = untouched(&parts_of(&stored, false));
    set(&mut typed, "f.startCommand", "python app.py");
    set(&mut typed, "f.resourceConfig.memory", "1024");
    set(&mut typed, "f.pythonVersion", "");
    // A hidden value is replaced, another is removed, a third one renamed, and more come by a file.
    let rows = typed.rows("environment");
    let at = |name: &str| rows.iter().position(|row| row.name == name).expect("a row");
    set(&mut typed, &format!("environment.{}.value", at("SECRET_KEY")), "new");
    set(&mut typed, &format!("environment.{}.remove", at("PEM")), "yes");
    set(&mut typed, &format!("environment.{}.name", at("GREETING")), "HELLO");
    set(&mut typed, "environment.paste", "FROM_FILE='a b'\r\n# no\r\nSECOND=2");
    let (after, problems) = form::apply(&typed, &stored);
    assert_eq!(problems, Problems::new());
    let expected = Settings {
        start_command: Some("python app.py".to_owned()),
        python_version: None,
        resource_config: model::Resources { memory: 1024, ..stored.resource_config },
        environment: variables(&[("HELLO", "x"), ("SECRET_KEY", "new"), ("FROM_FILE", "a b"), ("SECOND", "2")]),
        ..stored.clone()
    };
    assert_eq!(after, expected);
    assert_eq!(
        form::changed(&stored, &after),
        [
            "startCommand",
            "pythonVersion",
            "resourceConfig.memory",
            "environment.FROM_FILE",
            "environment.GREETING",
            "environment.HELLO",
            "environment.PEM",
            "environment.SECOND",
            "environment.SECRET_KEY"
        ]
    );
}

#[test]
fn every_mistake_is_at_its_field_and_nothing_typed_is_lost() {
    let stored = document("x");
    let mut typed = untouched(&parts_of(&stored, false));
    set(&mut typed, "f.pythonVersion", "three");
    set(&mut typed, "f.resourceConfig.memory", "300");
    set(&mut typed, "f.resourceConfig.maxInstances", "many");
    set(&mut typed, "environment.0.name", "A-B");
    set(&mut typed, "environment.3.name", "PORT");
    set(&mut typed, "environment.3.value", "typed, not stored");
    set(&mut typed, "buildEnvironment.paste", "no line");
    let (_, problems) = form::apply(&typed, &stored);
    let keys: Vec<_> = problems.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "buildEnvironment.paste",
            "environment.0",
            "environment.3",
            "pythonVersion",
            "resourceConfig.maxInstances",
            "resourceConfig.memory"
        ]
    );
    let draft = Draft { typed: Some(&typed), problems, ..Draft::default() };
    let page = SettingsPage::new(shell("ada"), about(true, true), &stored, draft).render().expect("a template of ours");
    for kept in [
        "value=\"three\"",
        "value=\"300\"",
        "value=\"many\"",
        "value=\"A-B\"",
        "value=\"typed, not stored\"",
        ">\nno line</textarea>",
    ] {
        assert!(page.contains(kept), "{kept}");
    }
    assert!(page.contains("6 settings can’t be used as they are"));
    assert!(page.contains("must be a multiple of 256"));
}

#[test]
fn secrets_are_in_a_page_only_when_they_were_asked_for_by_who_may() {
    let stored = document("hello there");
    let page = |change: bool, reveal: bool, view: View| {
        let draft = Draft { view, reveal, ..Draft::default() };
        SettingsPage::new(shell("ada"), about(change, false), &stored, draft).render().expect("a template of ours")
    };
    for view in [View::Form, View::Yaml] {
        for (change, reveal) in [(true, false), (false, true), (false, false)] {
            let text = page(change, reveal, view);
            for secret in ["hunter2", "hunter3"] {
                assert!(!text.contains(secret), "{change} {reveal} {view:?}: {secret}");
            }
            assert_eq!(text.contains("Save Settings"), change, "{view:?}");
            assert_eq!(text.contains("name=\"version\""), change);
        }
        let text = page(true, true, view);
        assert!(text.contains("hunter2") && text.contains("hunter3"), "{view:?}");
    }
    // A name is no secret.
    assert!(page(false, false, View::Form).contains("SECRET_KEY"));
}

#[test]
fn mistakes_in_yaml_have_their_lines() {
    let stored = document("x");
    let text = "databaseType: postgres\nenvironment:\n  GREETING: (hidden)\n  OTHER: (hidden)\n  PORT: '0'\nresourceConfig:\n  # too much\n  memory: 300\n  vCpus: 0.5\ndomains:\n  - domainName: a.example\n  - domainName: Nodot\npythonVersion: '3'\n";
    let mistakes = yaml::read(text, &stored).expect_err("mistakes");
    let found: Vec<_> = mistakes.iter().map(|mistake| (mistake.line, mistake.key.as_str())).collect();
    assert_eq!(
        found,
        [
            (Some(4), "environment.OTHER"),
            (Some(5), "environment.PORT"),
            (Some(13), "pythonVersion"),
            (Some(12), "domains[1].domainName"),
            (Some(8), "resourceConfig.memory")
        ]
    );
    // Of the wrong kind, or unknown: all at once, too.
    let text = "startcommand: x\nresourceConfig:\n  memory: much\n  cpus: 1\nserving:\n  protocol: h3\ndatabaseType: oracle\n";
    let mistakes = yaml::read(text, &stored).expect_err("mistakes");
    let mut found: Vec<_> = mistakes.iter().map(|mistake| (mistake.line.unwrap_or(0), mistake.key.as_str())).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            (1, "startcommand"),
            (3, "resourceConfig.memory"),
            (4, "resourceConfig.cpus"),
            (6, "serving.protocol"),
            (7, "databaseType")
        ]
    );
    assert!(mistakes.iter().all(|mistake| !mistake.message.is_empty() && !mistake.message.contains('\n')), "{mistakes:?}");
    assert!(mistakes.iter().any(|mistake| mistake.message == "is no setting; startCommand is one"), "{mistakes:?}");
    // What can be read of it is checked all the same.
    let mistakes = yaml::read("nothing: 1\nresourceConfig: {memory: 300}\n", &stored).expect_err("mistakes");
    let found: Vec<_> = mistakes.iter().map(|mistake| (mistake.line, mistake.key.as_str())).collect();
    assert_eq!(found, [(Some(1), "nothing"), (Some(2), "resourceConfig.memory")]);
    // No document at all.
    let mistakes = yaml::read("databaseType: none\nstartCommand: [a\n", &stored).expect_err("no document");
    assert_eq!(mistakes.len(), 1);
    assert!(mistakes[0].line.is_some_and(|line| line >= 2), "{mistakes:?}");
    assert_eq!(yaml::read("", &stored), Ok(Settings::default()));
    // A version that YAML takes for a number is read as it is written.
    let read = yaml::read("pythonVersion: 3.10\n", &stored).map(|settings| settings.python_version);
    assert_eq!(read, Ok(Some("3.10".to_owned())));
}

/// The pages with data, for the gallery.
pub(crate) fn pages(text: &str) -> Vec<(&'static str, askama::Result<String>)> {
    let stored = document(text);
    let page = |change, own, draft| SettingsPage::new(shell("ada"), about(change, own), &stored, draft).render();
    let mut typed = untouched(&parts_of(&stored, false));
    set(&mut typed, "f.pythonVersion", &format!("three{text}"));
    set(&mut typed, "f.resourceConfig.memory", "300");
    set(&mut typed, "environment.3.name", &format!("A-{text}"));
    let (_, problems) = form::apply(&typed, &stored);
    let broken = format!("startCommand: {text:?}\nresourceConfig:\n  memory: 300\nnothing: {text:?}\n");
    let mistakes = yaml::read(&broken, &stored).err().unwrap_or_default();
    let others = vec![
        Other { label: "Start Command".to_owned(), now: format!("python app.py {text}") },
        Other { label: "Runtime Environment, GREETING".to_owned(), now: String::new() },
    ];
    let refused = ErrorBody::new(ErrorCode::GithubSignIn, format!("connect {text}")).help(text);
    let unlinked = Origin { linked: None, github: true, form: form(text, false), wrong: Some(refused) };
    let unlinked = About { origin: unlinked, ..about(true, true) };
    let odd = Origin { linked: Some(linked(text)), ..about(true, true).origin };
    let odd = About { origin: odd, ..about(false, false) };
    vec![
        ("settings-source", SettingsPage::new(shell("ada"), unlinked, &stored, Draft::default()).render()),
        ("settings-source-viewer", SettingsPage::new(shell("ada"), odd, &stored, Draft::default()).render()),
        ("settings", page(true, true, Draft::default())),
        ("settings-revealed", page(true, true, Draft { reveal: true, ..Draft::default() })),
        ("settings-wrong", page(true, false, Draft { typed: Some(&typed), problems, ..Draft::default() })),
        ("settings-conflict", page(true, true, Draft { conflict: Some(others), ..Draft::default() })),
        ("settings-viewer", page(false, false, Draft::default())),
        ("settings-yaml", page(true, true, Draft { view: View::Yaml, ..Draft::default() })),
        ("settings-yaml-wrong", page(true, true, Draft { view: View::Yaml, text: Some(broken), mistakes, ..Draft::default() })),
    ]
}
