//! Waiting, picking and draining, without sockets.

use std::sync::atomic::AtomicBool;

use super::settings::FailureKind;
use super::*;

/// Control that counts its calls and does nothing.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Activate for Counting {
    fn wake(&self, _app: &Arc<AppHandle>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn resumed(&self, _app: &Arc<AppHandle>) {}

    fn refused(&self, _app: &Arc<AppHandle>, _drained: Drained) {}
}

fn app(limit: usize) -> Arc<AppHandle> {
    let settings = AppSettings { max_concurrent_requests_per_instance: limit, ..AppSettings::default() };
    AppHandle::new("app", settings, AppStatus::Active)
}

fn instance(id: &str) -> Arc<Upstream> {
    Upstream::new(id, ([127, 0, 0, 1], 1).into())
}

#[test]
fn a_split_is_exact_and_even() {
    let app = app(1);
    let other = app.beside(AppSettings::default(), AppStatus::Active);
    for percent in [1, 10, 33, 99] {
        app.set_split(Some((percent, Arc::clone(&other))));
        let turns: Vec<bool> = (0..300).map(|_| Arc::ptr_eq(&app.choose(), &other)).collect();
        assert_eq!(turns.iter().filter(|other| **other).count(), 3 * usize::from(percent));
        let longest = turns.split(|other| *other).map(<[bool]>::len).max().unwrap();
        assert!(longest <= 100 / usize::from(percent), "{longest} in a row without the other at {percent} %");
    }
    app.set_split(None);
    assert!((0..100).all(|_| Arc::ptr_eq(&app.choose(), &app)));
}

#[test]
fn the_least_busy_instance_with_room_is_picked() {
    let app = app(2);
    app.add_upstream(instance("a"));
    app.add_upstream(instance("b"));
    let leases: Vec<_> = (0..4).map(|_| app.try_acquire().unwrap()).collect();
    let counts: Vec<_> = app.upstreams().iter().map(|upstream| upstream.in_flight()).collect();
    assert_eq!(counts, [2, 2]);
    assert!(app.try_acquire().is_none(), "above the limit");
    drop(leases);
    assert!(app.upstreams().iter().all(|upstream| upstream.in_flight() == 0));
}

#[tokio::test]
async fn a_removed_instance_takes_nothing_and_resolves_when_empty() {
    let app = app(8);
    app.add_upstream(instance("a"));
    let lease = app.try_acquire().unwrap();
    let mut drained = app.remove_upstream("a").unwrap();
    assert!(app.try_acquire().is_none() && app.remove_upstream("a").is_none());
    let early = tokio::time::timeout(Duration::from_millis(50), &mut drained).await;
    assert!(early.is_err(), "resolved with a request in flight");
    drop(lease);
    tokio::time::timeout(Duration::from_secs(5), drained).await.unwrap();
}

#[tokio::test]
async fn those_that_wait_are_served_in_order_and_nobody_overtakes() {
    let app = app(1);
    app.add_upstream(instance("a"));
    let control = Counting::default();
    let first = app.try_acquire().unwrap();
    let mut one = Box::pin(app.acquire(&control));
    let mut two = Box::pin(app.acquire(&control));
    assert!(futures_util::poll!(&mut one).is_pending());
    assert!(futures_util::poll!(&mut two).is_pending());
    assert_eq!((app.waiting(), control.0.load(Ordering::SeqCst)), (2, 2));
    drop(first);
    assert!(app.try_acquire().is_none(), "overtook those that wait");
    let lease = one.await.unwrap();
    assert!(futures_util::poll!(&mut two).is_pending());
    drop(lease);
    drop(two.await.unwrap());
    assert_eq!(app.upstreams()[0].in_flight(), 0);
}

#[tokio::test]
async fn a_place_given_to_one_that_has_gone_is_not_lost() {
    let app = app(1);
    let control = Counting::default();
    let mut one = Box::pin(app.acquire(&control));
    let mut two = Box::pin(app.acquire(&control));
    assert!(futures_util::poll!(&mut one).is_pending() && futures_util::poll!(&mut two).is_pending());
    app.add_upstream(instance("a"));
    // The place went to the first, which leaves without having looked.
    drop(one);
    let lease = tokio::time::timeout(Duration::from_secs(5), two).await.unwrap().unwrap();
    drop(lease);
    assert_eq!((app.upstreams()[0].in_flight(), app.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn waiting_has_an_end() {
    let app = app(1);
    let control = Counting::default();
    let start = tokio::time::Instant::now();
    assert_eq!(app.acquire(&control).await.unwrap_err(), Denied::StartTimeout);
    assert_eq!(start.elapsed(), Duration::from_mins(4));
    app.add_upstream(instance("a"));
    let _lease = app.try_acquire().unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(app.acquire(&control).await.unwrap_err(), Denied::QueueTimeout);
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    assert_eq!(app.waiting(), 0);
}

#[tokio::test]
async fn more_room_serves_those_that_wait() {
    let app = app(1);
    app.add_upstream(instance("a"));
    let control = Counting::default();
    let _first = app.try_acquire().unwrap();
    let mut second = Box::pin(app.acquire(&control));
    assert!(futures_util::poll!(&mut second).is_pending());
    app.set_settings(AppSettings { max_concurrent_requests_per_instance: 2, ..AppSettings::default() });
    assert!(second.await.is_ok());
}

#[tokio::test]
async fn a_failure_reaches_those_that_wait_and_no_others() {
    let app = app(1);
    let control = Counting::default();
    let mut waiting = Box::pin(app.acquire(&control));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let failure = Failure::new(FailureKind::Start, "it crashed", "see its log");
    app.fail_waiting(failure.clone());
    assert_eq!(waiting.await.unwrap_err(), Denied::Failed(failure));
    app.add_upstream(instance("a"));
    assert!(app.acquire(&control).await.is_ok());
}

/// Many threads, few places, instances that come and go: the limit holds, every request gets a place, and none gets one on an
/// instance that has drained.
#[test]
fn the_limit_and_the_draining_hold_under_contention() {
    const LIMIT: usize = 3;
    let app = app(LIMIT);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let drained: Arc<std::sync::Mutex<Vec<Arc<Upstream>>>> = Arc::default();
    app.add_upstream(instance("0"));
    let served = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let visitors: Vec<_> = (0..16)
            .map(|_| {
                let (app, stop, served) = (Arc::clone(&app), Arc::clone(&stop), Arc::clone(&served));
                tokio::spawn(async move {
                    let control = Counting::default();
                    while !stop.load(Ordering::SeqCst) {
                        let lease = match app.try_acquire() {
                            Some(lease) => lease,
                            None => app.acquire(&control).await.unwrap(),
                        };
                        assert!((1..=LIMIT).contains(&lease.upstream().in_flight()));
                        tokio::task::yield_now().await;
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for id in 1..300 {
            let enough = served.load(Ordering::SeqCst) + 10;
            while served.load(Ordering::SeqCst) < enough {
                tokio::task::yield_now().await;
            }
            app.add_upstream(instance(&id.to_string()));
            let gone = app.remove_upstream(&(id - 1).to_string()).unwrap();
            let upstream = Arc::clone(gone.upstream());
            tokio::time::timeout(Duration::from_secs(10), gone).await.expect("never drained");
            drained.lock().unwrap().push(upstream);
            assert!(drained.lock().unwrap().iter().all(|upstream| upstream.in_flight() == 0), "a request on a drained instance");
        }
        stop.store(true, Ordering::SeqCst);
        for visitor in visitors {
            tokio::time::timeout(Duration::from_secs(10), visitor).await.expect("never served").unwrap();
        }
    });
    assert_eq!((app.waiting(), app.upstreams()[0].in_flight()), (0, 0));
}
