//! Instances that are there before their visitors, because another platform has found them to be needed.

use tokio::sync::mpsc;

use super::Runtime;

impl Runtime {
    /// Starts what is missing of so many instances, and keeps them until this platform has seen the load for itself. Each that has
    /// begun to work drops its clone of `done`.
    pub(super) fn prepare(&mut self, instances: u32, done: mpsc::Sender<()>) {
        let Some(live) = self.live.clone().filter(|_| !self.paused) else { return };
        let wanted = instances.min(live.spec.resources.max_instances);
        self.scaler.hold(self.epoch.elapsed(), wanted);
        for _ in self.ready().count() + self.starting.len()..wanted as usize {
            self.start(&live);
        }
        self.prepared = Some((wanted, done));
        self.tell_prepared();
    }

    /// Forgets who waits for prepared instances once they are ready, or nothing is on its way any more.
    pub(super) fn tell_prepared(&mut self) {
        let (ready, none_starts) = (self.ready().count(), self.starting.is_empty());
        drop(self.prepared.take_if(|(wanted, _)| ready >= *wanted as usize || none_starts));
    }
}
