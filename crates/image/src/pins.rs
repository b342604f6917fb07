//! What must not be collected because a build is about to refer to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;
use crate::layers::{LayerId, LayerKey};

/// One thing that garbage collection would otherwise take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pinned {
    /// A blob of the layout.
    Blob(Digest),
    /// A layer's directory.
    Layer(LayerId),
    /// A layer's record.
    Key(LayerKey),
}

/// All pins of this process, counted. After a crash there are none, and no build either.
#[derive(Debug, Clone, Default)]
pub struct Pins(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    counts: BTreeMap<Pinned, usize>,
    /// How many collections are under way.
    recordings: usize,
    /// What was let go since the first of them began.
    released: BTreeSet<Pinned>,
}

/// Keeps things from being collected until it is dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Pins,
    held: Mutex<Vec<Pinned>>,
}

/// From its beginning on, what anybody holds or held counts as held: a build may hand over to a revision, and let go, between the
/// instant at which the revisions are read and the one at which garbage is deleted.
#[derive(Debug)]
pub struct Recording(Pins);

/// While this lives, nothing becomes pinned: garbage collection decides and deletes under it.
#[derive(Debug)]
pub struct PinLock<'a>(MutexGuard<'a, Held>);

impl Pins {
    /// A pin that holds nothing yet.
    pub fn pin(&self) -> Pin {
        Pin { pins: self.clone(), held: Mutex::new(Vec::new()) }
    }

    /// Begins a collection; the references that it goes by are read afterwards.
    pub fn record(&self) -> Recording {
        lock(&self.0).recordings += 1;
        Recording(self.clone())
    }
}

impl Recording {
    /// Waits until nobody pins, and keeps it so.
    pub fn lock(&self) -> PinLock<'_> {
        PinLock(lock(&self.0.0))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut held = lock(&self.0.0);
        held.recordings -= 1;
        if held.recordings == 0 {
            held.released.clear();
        }
    }
}

impl PinLock<'_> {
    /// Whether somebody holds this, or has held it since the recording began.
    pub fn holds(&self, thing: &Pinned) -> bool {
        self.0.counts.contains_key(thing) || self.0.released.contains(thing)
    }
}

impl Pin {
    /// Holds one more thing. Pin first, look afterwards whether it is there.
    pub fn hold(&self, thing: Pinned) {
        *lock(&self.pins.0).counts.entry(thing.clone()).or_default() += 1;
        lock(&self.held).push(thing);
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut all = lock(&self.pins.0);
        for thing in lock(&self.held).drain(..) {
            let Some(count) = all.counts.get_mut(&thing) else { continue };
            *count -= 1;
            if *count == 0 {
                all.counts.remove(&thing);
                if all.recordings > 0 {
                    all.released.insert(thing);
                }
            }
        }
    }
}

/// The counts are whole at every instant, so a panic elsewhere doesn't spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_held_until_its_last_pin_is_dropped() {
        let pins = Pins::default();
        let thing = Pinned::Blob(Digest::of(b"x"));
        let (a, b) = (pins.pin(), pins.pin());
        a.hold(thing.clone());
        a.hold(thing.clone());
        b.hold(thing.clone());
        drop(a);
        assert!(pins.record().lock().holds(&thing));
        drop(b);
        assert!(!pins.record().lock().holds(&thing));
    }

    #[test]
    fn what_is_let_go_during_a_collection_counts_until_its_end() {
        let pins = Pins::default();
        let thing = Pinned::Blob(Digest::of(b"x"));
        let pin = pins.pin();
        pin.hold(thing.clone());
        let (first, second) = (pins.record(), pins.record());
        drop(pin);
        assert!(first.lock().holds(&thing));
        drop(first);
        assert!(second.lock().holds(&thing));
        drop(second);
        assert!(!pins.record().lock().holds(&thing));
    }
}
