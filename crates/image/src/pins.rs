//! What must not be collected because a build is about to refer to it.

use std::collections::BTreeMap;
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
pub struct Pins(Arc<Mutex<BTreeMap<Pinned, usize>>>);

/// Keeps things from being collected until it is dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Pins,
    held: Mutex<Vec<Pinned>>,
}

/// While this lives, nothing becomes pinned: garbage collection decides and deletes under it.
#[derive(Debug)]
pub struct PinLock<'a>(MutexGuard<'a, BTreeMap<Pinned, usize>>);

impl Pins {
    /// A pin that holds nothing yet.
    pub fn pin(&self) -> Pin {
        Pin { pins: self.clone(), held: Mutex::new(Vec::new()) }
    }

    /// Waits until nobody pins, and keeps it so.
    pub fn lock(&self) -> PinLock<'_> {
        PinLock(lock(&self.0))
    }
}

impl PinLock<'_> {
    /// Whether somebody holds this.
    pub fn holds(&self, thing: &Pinned) -> bool {
        self.0.contains_key(thing)
    }
}

impl Pin {
    /// Holds one more thing. Pin first, look afterwards whether it is there.
    pub fn hold(&self, thing: Pinned) {
        *lock(&self.pins.0).entry(thing.clone()).or_default() += 1;
        lock(&self.held).push(thing);
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut counts = lock(&self.pins.0);
        for thing in lock(&self.held).drain(..) {
            if let Some(count) = counts.get_mut(&thing) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&thing);
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
        assert!(pins.lock().holds(&thing));
        drop(b);
        assert!(!pins.lock().holds(&thing));
    }
}
