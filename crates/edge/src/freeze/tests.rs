//! Freezing and thawing against requests that come at any moment, without processes: what the last write says is what counts.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::upstream::Entered;

const AFTER: Duration = Duration::from_millis(20);

/// The freezer of an instance that remembers what was written last.
#[derive(Debug, Default)]
struct Processes {
    frozen: AtomicBool,
    freezes: AtomicUsize,
    broken: AtomicBool,
}

struct Control(Arc<Processes>);

impl Freeze for Control {
    fn freeze(&self) -> io::Result<()> {
        if self.0.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // Time for a thaw to come in between, if nothing kept it from that.
        std::thread::yield_now();
        self.0.frozen.store(true, Ordering::SeqCst);
        self.0.freezes.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn thaw(&self) -> io::Result<()> {
        self.0.frozen.store(false, Ordering::SeqCst);
        Ok(())
    }
}

fn instance(after: Duration) -> (Arc<Upstream>, Arc<Processes>) {
    let processes = Arc::new(Processes::default());
    let timer = FreezeTimer::start().unwrap();
    let control = Box::new(Control(Arc::clone(&processes)));
    (Upstream::freezable("a", ([127, 0, 0, 1], 1).into(), control, after, &timer), processes)
}

#[track_caller]
fn eventually(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_has_not_begun_to_work_is_not_frozen() {
    let (upstream, processes) = instance(AFTER);
    assert_eq!(upstream.try_enter(1), Entered::Running);
    upstream.leave();
    std::thread::sleep(AFTER * 5);
    assert!(!upstream.is_frozen() && !processes.frozen.load(Ordering::SeqCst));
    upstream.started();
    eventually("it is frozen", || upstream.is_frozen() && processes.frozen.load(Ordering::SeqCst));
}

#[test]
fn an_idle_instance_is_frozen_after_the_delay_and_thawed_by_the_next_request() {
    let (upstream, processes) = instance(AFTER);
    upstream.started();
    assert_eq!(upstream.try_enter(1), Entered::Running);
    std::thread::sleep(AFTER * 3);
    assert!(!upstream.is_frozen(), "frozen with a request in flight");
    let left = Instant::now();
    upstream.leave();
    eventually("it is frozen", || processes.frozen.load(Ordering::SeqCst));
    assert!(left.elapsed() >= AFTER, "{:?}", left.elapsed());
    assert!(upstream.is_frozen() && upstream.in_flight() == 0);
    assert!(matches!(upstream.try_enter(1), Entered::Thawed(_)));
    assert!(!processes.frozen.load(Ordering::SeqCst) && !upstream.is_frozen());
    assert_eq!((upstream.try_enter(1), upstream.in_flight()), (Entered::No, 1), "the limit holds");
    upstream.leave();
    eventually("once more", || upstream.is_frozen() && processes.freezes.load(Ordering::SeqCst) == 2);
}

#[test]
fn an_instance_that_was_stirred_in_vain_is_frozen_again() {
    let (upstream, processes) = instance(AFTER);
    upstream.started();
    eventually("it is frozen", || processes.frozen.load(Ordering::SeqCst) && upstream.is_frozen());
    upstream.stir();
    assert!(!upstream.is_frozen() && !processes.frozen.load(Ordering::SeqCst));
    assert_eq!(upstream.try_enter(1), Entered::Running, "the request finds it running");
    upstream.stir();
    upstream.leave();
    eventually("it is frozen again", || processes.frozen.load(Ordering::SeqCst) && upstream.is_frozen());
    upstream.stir();
    eventually("nobody came", || processes.freezes.load(Ordering::SeqCst) == 3 && upstream.is_frozen());
    upstream.started();
    drop(Arc::clone(&upstream).drain());
    upstream.stir();
    assert!(upstream.is_frozen(), "whoever ends it thaws it");
}

#[test]
fn a_draining_instance_is_left_alone() {
    let (upstream, processes) = instance(AFTER);
    upstream.started();
    drop(Arc::clone(&upstream).drain());
    std::thread::sleep(AFTER * 5);
    assert_eq!((upstream.is_frozen(), processes.freezes.load(Ordering::SeqCst)), (false, 0));
    assert_eq!(upstream.try_enter(1), Entered::No);
}

#[test]
fn an_instance_that_can_not_be_frozen_goes_on() {
    let (upstream, processes) = instance(AFTER);
    processes.broken.store(true, Ordering::SeqCst);
    upstream.started();
    std::thread::sleep(AFTER * 5);
    assert!(!upstream.is_frozen());
    assert_eq!(upstream.try_enter(1), Entered::Running);
    upstream.leave();
}

#[test]
fn no_request_stays_on_a_frozen_instance() {
    let (upstream, processes) = instance(Duration::ZERO);
    upstream.started();
    let until = Instant::now() + Duration::from_secs(1);
    std::thread::scope(|scope| {
        for seed in 0..4_u64 {
            let (upstream, processes) = (&upstream, &processes);
            scope.spawn(move || {
                let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
                while Instant::now() < until {
                    if upstream.try_enter(3) != Entered::No {
                        // Another one may be in the middle of the thaw that this request needs, too, and the freeze before it may
                        // even be written only now: neither lasts longer than the two writes.
                        for _ in 0..20 {
                            let looked = Instant::now();
                            while processes.frozen.load(Ordering::SeqCst) {
                                assert!(looked.elapsed() < Duration::from_secs(2), "a request on a frozen instance");
                                std::thread::yield_now();
                            }
                        }
                        upstream.leave();
                    }
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    std::thread::sleep(Duration::from_micros(random % 300));
                }
            });
        }
    });
    eventually("it is frozen at last", || upstream.is_frozen());
    let freezes = processes.freezes.load(Ordering::SeqCst);
    assert!(freezes > 20, "the test froze it only {freezes} times");
}
