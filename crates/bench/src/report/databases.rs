//! What is told of databases.

use serde_json::json;

use super::{Report, megabytes};
use crate::databases::{CREATION, Databases};
use crate::figures::Samples;

/// A database adds at most so much to a cold start, in milliseconds.
const COLD: f64 = 150.0;
/// It adds nothing to a warm request, nor the platform to a query: what the measurement itself varies by is allowed.
const NOTHING: f64 = 1.05;

impl Report {
    /// Databases beside apps.
    pub(crate) fn databases(&mut self, found: &Databases) {
        self.heading(&format!("a database beside each of {} apps", found.apps));
        let creation = self.times("database_creation", "made", &found.creation);
        if let Some(creation) = creation {
            let late = found.creation.above(CREATION);
            self.lines.push(format!(
                "  of {} databases, {late} took more than {CREATION} s; p95 {:.0} ms",
                creation.n,
                found.creation.percentile(95) * 1e3
            ));
        }
        self.lines.push(format!(
            "  once all sleep: {} processes of PostgreSQL, after {:.1} s; an awake server takes {:.1} MB PSS",
            found.left,
            found.stopped.as_secs_f64(),
            megabytes(found.server_pss)
        ));
        self.document.insert("database_processes_asleep".to_owned(), json!(found.left));
        self.document.insert("database_awake_mb".to_owned(), json!(megabytes(found.server_pss)));

        let with = self.times("database_cold_with", "cold, with a database", &found.cold_with);
        let without = self.times("database_cold_without", "cold, without", &found.cold_without);
        self.times("database_cold_query", "cold, and it asks", &found.cold_query);
        // Each start beside the one next to it: what else the machine does meanwhile slows both.
        let added = found.cold_with.differences(&found.cold_without).summary();
        if let Some(added) = added {
            self.lines.push(format!(
                "  added to a cold start: {:+.0} ms (median of the pairs, from {:+.0} to {:+.0})",
                added.median * 1e3,
                added.min * 1e3,
                added.max * 1e3
            ));
            self.document.insert("database_cold_added".to_owned(), json!(added));
        }
        let warm_with = self.times("database_warm_with", "warm, with a database", &found.warm_with);
        let warm_without = self.times("database_warm_without", "warm, without", &found.warm_without);
        self.times("database_warm_query", "warm, and it asks", &found.warm_query);
        let inside = self.query("database_query_inside", "a query, in the app", &found.query_inside);
        let bare = self.query("database_query_bare", "bare, same server", &found.query_bare);

        if let Some(creation) = creation {
            self.judge("a database is made (p99)", creation.p99, "s", CREATION);
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful at most")]
        self.judge("processes of PostgreSQL once all sleep", found.left as f64, "", 0.0);
        if let (Some(with), Some(without)) = (with, without) {
            self.judge("a database beside a cold start adds", (with.median - without.median) * 1e3, "ms", COLD);
        }
        if let (Some(with), Some(without)) = (warm_with, warm_without) {
            self.judge("a warm request, with a database / without", with.median / without.median, "×", NOTHING);
        }
        if let (Some(inside), Some(bare)) = (inside, bare) {
            self.judge("a query, in the app / bare", inside / bare, "×", NOTHING);
        }
    }

    /// A line of times too short for milliseconds; the median in seconds.
    fn query(&mut self, key: &str, what: &str, samples: &Samples) -> Option<f64> {
        let summary = samples.summary()?;
        let us = |seconds: f64| format!("{:.0}", seconds * 1e6);
        self.lines.push(format!(
            "  {what:<22} median {:>7} µs   min {:>7}   max {:>7}   p99 {:>7}   n {}",
            us(summary.median),
            us(summary.min),
            us(summary.max),
            us(summary.p99),
            summary.n
        ));
        self.document.insert(key.to_owned(), json!(summary));
        Some(summary.median)
    }
}
