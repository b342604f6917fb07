//! Tests of ids, of the rule and of when backups are due.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const HOUR: i64 = DAY / 24;
/// 2026-11-24T03:15:00Z.
const NOW: i64 = 1_795_490_100_000;

fn held(at: i64, kind: BackupKind, state: BackupState) -> Held {
    Held { id: BackupId::new(at, 0), kind, state, made_at: at, gone_at: None }
}

fn kept(held: &[Held]) -> Vec<i64> {
    let gone = Rule::default().expired(NOW, held);
    held.iter().filter(|it| !gone.contains(&it.id)).map(|it| (NOW - it.made_at) / HOUR).collect()
}

#[test]
fn ids_are_times_that_sort_and_nothing_else() {
    assert_eq!(BackupId::new(NOW, 0xab12).as_str(), "20261124T031500Z-ab12");
    assert_eq!(BackupId::new(0, 0).as_str(), "19700101T000000Z-0000");
    assert_eq!(BackupId::new(951_782_399_999, 7).as_str(), "20000228T235959Z-0007");
    assert_eq!(BackupId::new(951_782_400_000, 7).as_str(), "20000229T000000Z-0007");
    for bad in [
        "",
        "20261124T031500Z-AB12",
        "20261124T031500Z-ab1",
        "20261124T031500Z-ab123",
        "../../etc/passwd-ab12",
        "20261124t031500Z-ab12",
        "2026112äT031500Z-ab1",
    ] {
        assert!(BackupId::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn words_are_read_back() {
    for kind in BackupKind::ALL {
        assert_eq!(serde_json::to_value(kind).expect("plain data"), kind.as_str());
        assert_eq!(BackupKind::parse(kind.as_str()), Some(kind));
    }
    for state in [BackupState::Made, BackupState::Verified, BackupState::Damaged] {
        assert_eq!(serde_json::to_value(state).expect("plain data"), state.as_str());
        assert_eq!(BackupState::parse(state.as_str()), Some(state));
    }
}

#[test]
fn of_60_nights_the_last_days_and_weeks_stay() {
    let nights: Vec<_> = (0..60).map(|night| held(NOW - night * DAY, BackupKind::Daily, BackupState::Verified)).collect();
    // 2026-11-24 is a Tuesday: the weeks before end on Sunday, 2, 9, 16 and 23 days before.
    let days: Vec<_> = kept(&nights).into_iter().map(|hours| hours / 24).collect();
    assert_eq!(days, [0, 1, 2, 3, 4, 5, 6, 9, 16, 23]);
}

#[test]
fn of_a_day_with_many_the_newest_stays_and_of_the_last_two_days_all() {
    let hours: Vec<_> = (0..96).map(|hour| held(NOW - hour * HOUR, BackupKind::Daily, BackupState::Verified)).collect();
    // It is 03:15: the day before the last 48 hours ends 51 hours ago (00:15 of the day before yesterday is within them).
    assert_eq!(kept(&hours), (0..48).chain([52, 76]).collect::<Vec<_>>());
}

#[test]
fn damaged_ones_go_after_two_days_and_never_take_the_place_of_a_good_one() {
    let list = [
        held(NOW - HOUR, BackupKind::Daily, BackupState::Damaged),
        held(NOW - 49 * HOUR, BackupKind::Daily, BackupState::Damaged),
        held(NOW - 50 * HOUR, BackupKind::OnDemand, BackupState::Made),
        held(NOW - 400 * DAY, BackupKind::Daily, BackupState::Verified),
        held(NOW - 401 * DAY, BackupKind::Daily, BackupState::Verified),
    ];
    assert_eq!(kept(&list), [1, 400 * 24]);
}

#[test]
fn what_was_asked_for_stays_longer_and_what_was_set_aside_a_week() {
    let asked: Vec<_> = (0..5).map(|it| held(NOW - (100 + it) * DAY, BackupKind::OnDemand, BackupState::Verified)).collect();
    assert_eq!(kept(&asked), [2400, 2424, 2448]);
    let list = [
        held(NOW - 6 * DAY - 3 * HOUR, BackupKind::Daily, BackupState::Verified),
        held(NOW - 6 * DAY - 4 * HOUR, BackupKind::BeforeRestore, BackupState::Verified),
        held(NOW - 7 * DAY - 3 * HOUR - 1, BackupKind::BeforeRestore, BackupState::Verified),
        held(NOW - 8 * DAY, BackupKind::BeforeRestore, BackupState::Verified),
        held(NOW - 29 * DAY, BackupKind::OnDemand, BackupState::Verified),
        held(NOW - 31 * DAY, BackupKind::Daily, BackupState::Verified),
    ];
    assert_eq!(kept(&list), [147, 148, 29 * 24]);
}

#[test]
fn of_an_app_that_is_gone_everything_stays_a_week_and_then_nothing() {
    let gone = |at: i64, gone: i64| Held { gone_at: Some(gone), ..held(at, BackupKind::Final, BackupState::Verified) };
    assert_eq!(kept(&[gone(NOW - 300 * DAY, NOW - 6 * DAY), gone(NOW - 8 * DAY, NOW - 8 * DAY)]), [300 * 24]);
    // The newest of an app that is gone is not the newest of the one that came later.
    assert_eq!(
        kept(&[gone(NOW - 8 * DAY, NOW - 7 * DAY), held(NOW - 90 * DAY, BackupKind::Daily, BackupState::Verified)]),
        [90 * 24]
    );
}

#[test]
fn backups_are_due_once_a_night_and_not_all_at_once() {
    let app = |number: usize| AppName::parse(&format!("app-{number}")).expect("a name");
    let mut minutes = BTreeSet::new();
    for number in 0..100 {
        let app = app(number);
        let due = last_due(&app, NOW);
        assert!(due <= NOW && NOW - due < DAY);
        assert_eq!(last_due(&app, due), due);
        assert_eq!(last_due(&app, due - 1), due - DAY);
        assert_eq!(last_due(&app, due + DAY), due + DAY);
        let hour = due.rem_euclid(DAY) / HOUR;
        assert!((1..5).contains(&hour), "{hour}");
        assert!(is_due(&app, due - 1, NOW) && !is_due(&app, due, NOW));
        minutes.insert(due.rem_euclid(DAY) / 60_000);
    }
    assert!(minutes.len() > 60, "{} minutes for 100 apps", minutes.len());
}

fn any_held() -> impl Strategy<Value = Vec<Held>> {
    let one = (0..90 * 24_i64, 0..4_usize, 0..6_u8, 0..10_u8, any::<u16>());
    prop::collection::vec(one, 0..80).prop_map(|list| {
        list.into_iter()
            .map(|(hours, kind, state, gone, random)| {
                let at = NOW - hours * HOUR;
                let state =
                    [BackupState::Made, BackupState::Damaged].get(usize::from(state)).copied().unwrap_or(BackupState::Verified);
                let gone_at = (gone == 0).then_some(at + (NOW - at) / 2);
                Held { id: BackupId::new(at, random), kind: BackupKind::ALL[kind], state, made_at: at, gone_at }
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn the_newest_verified_one_always_stays(list in any_held()) {
        let newest = list.iter().filter(|it| it.gone_at.is_none() && it.state == BackupState::Verified).max_by_key(|it| (it.made_at, it.id.clone()));
        let gone = Rule::default().expired(NOW, &list);
        if let Some(newest) = newest {
            prop_assert!(!gone.contains(&newest.id));
        }
    }

    #[test]
    fn what_stays_stays_when_the_rule_is_asked_again(list in any_held()) {
        let gone = Rule::default().expired(NOW, &list);
        let rest: Vec<_> = list.into_iter().filter(|it| !gone.contains(&it.id)).collect();
        prop_assert_eq!(Rule::default().expired(NOW, &rest), Vec::<BackupId>::new());
    }

    #[test]
    fn the_order_does_not_matter(list in any_held().prop_shuffle(), seed in any::<usize>()) {
        let mut other = list.clone();
        other.rotate_left(seed % list.len().max(1));
        other.reverse();
        prop_assert_eq!(Rule::default().expired(NOW, &list), Rule::default().expired(NOW, &other));
    }

    #[test]
    fn a_damaged_one_more_changes_nothing_for_the_others(list in any_held(), hours in 0..2000_i64) {
        let before = Rule::default().expired(NOW, &list);
        let mut more = list;
        let damaged = held(NOW - hours * HOUR - 1, BackupKind::Daily, BackupState::Damaged);
        more.push(damaged.clone());
        let mut after = Rule::default().expired(NOW, &more);
        after.retain(|id| *id != damaged.id);
        prop_assert_eq!(before, after);
    }

    #[test]
    fn ids_sort_as_times_do_and_are_read_back(one in 0..4_000_000_000_i64, other in 0..4_000_000_000_i64, random in any::<u16>()) {
        let (first, second) = (BackupId::new(one * 1000, random), BackupId::new(other * 1000, random));
        prop_assert_eq!(first.cmp(&second), one.cmp(&other));
        prop_assert_eq!(BackupId::parse(first.as_str()), Ok(first));
    }

    #[test]
    fn no_text_from_outside_panics(text in ".*") {
        let _checked = BackupId::parse(&text);
    }
}
