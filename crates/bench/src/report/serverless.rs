//! What is told of freezing, of crowds, and of many apps.

use serde_json::json;
use testkit::Report as Visitors;

use super::{Report, megabytes};
use crate::crowd::Crowd;
use crate::many::Many;
use crate::rolling::Rolling;
use crate::thaw::Thaw;

/// A thaw adds at most so much to half of the answers, in milliseconds.
const THAW_P50: f64 = 0.5;
/// And at most so much to 99 of 100.
const THAW_P99: f64 = 2.0;
/// A platform with a thousand apps takes at most this many MB.
const MANY_MB: f64 = 100.0;
/// Routes are found as fast among a thousand as among a few: what the measurement itself varies by is allowed.
const ROUTING: f64 = 1.05;

/// While the app and the platform are changed, 99 of 100 answers take at most so many times as long as without that.
const ROLLING: f64 = 2.0;

impl Report {
    /// Changes under load.
    pub(crate) fn rolling(&mut self, rolling: &Rolling) {
        self.heading(&format!(
            "{} deployments, as many rollbacks and an upgrade within {:.1} s",
            rolling.rounds,
            rolling.took.as_secs_f64()
        ));
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let mut line = |what: &str, visitors: &Visitors| {
            self.lines.push(format!(
                "  {what:<22} {:>6.0} requests/s   median {:>6.1} ms   p99 {:>6.1} ms   longest without an answer {:>5.0} ms   failed {}",
                visitors.rate,
                ms(visitors.median),
                ms(visitors.p99),
                ms(visitors.gap),
                visitors.failures.len()
            ));
        };
        line("the load alone", &rolling.quiet);
        line("meanwhile", &rolling.busy);
        line("without a pause", &rolling.dense);
        #[expect(clippy::cast_precision_loss, reason = "a handful at most")]
        let failed = (rolling.busy.failures.len() + rolling.dense.failures.len()) as f64;
        self.judge("failed requests under changes", failed, "", 0.0);
        self.judge("p99 under changes / alone", ms(rolling.busy.p99) / ms(rolling.quiet.p99), "×", ROLLING);
        let dense = ms(rolling.dense.p99) / ms(rolling.quiet.p99);
        self.note(format!("p99 while changes follow one another without a pause / alone: {dense:.2}×"));
    }

    /// Freezing.
    pub(crate) fn thaw(&mut self, thaw: &Thaw) {
        self.heading("a request to a frozen app");
        let (Some(thawed), Some(warm)) =
            (self.times("thawed", "thaw and answer", &thaw.thawed), self.times("thaw_warm", "the next one", &thaw.warm))
        else {
            return;
        };
        let rested = self.times("thaw_rested", "rested, never frozen", &thaw.rested);
        let more = |ours: f64, theirs: f64| (ours - theirs) * 1e3;
        let (p50, p99) = (more(thawed.median, warm.median), more(thawed.p99, warm.p99));
        if let Some(rested) = rested {
            let (alone50, alone99) = (more(thawed.median, rested.median), more(thawed.p99, rested.p99));
            let rest = more(rested.median, warm.median);
            self.lines.push(format!("  a rest without a freeze costs {rest:+.2} ms (p50), the thaw after it {alone50:+.2} ms"));
            self.judge("thaw, beside an app that only rested: p50", alone50, "ms", THAW_P50);
            self.judge("thaw, beside an app that only rested: p99", alone99, "ms", THAW_P99);
        }
        let anew = self.times("thawed_anew", "thaw, new connection", &thaw.thawed_anew);
        let rested = self.times("rested_anew", "rested, new connection", &thaw.rested_anew);
        if let (Some(anew), Some(rested)) = (anew, rested) {
            self.lines.push(format!("  with a new connection a thaw costs {:+.2} ms (p50)", more(anew.median, rested.median)));
        }
        self.judge("thaw, beside a warm answer: p50", p50, "ms", THAW_P50);
        self.judge("thaw, beside a warm answer: p99", p99, "ms", THAW_P99);
    }

    /// Many apps woken at once.
    pub(crate) fn crowd(&mut self, crowd: &Crowd) {
        self.heading(&format!("{} sleeping apps asked at once", crowd.count));
        let edge = self.times("crowd_edge", "through the edge", &crowd.edge);
        let bare = self.times("crowd_bare", "bare starts at once", &crowd.bare);
        if let (Some(edge), Some(bare)) = (edge, bare) {
            let (ours, theirs) = (crowd.edge.percentile(95), crowd.bare.percentile(95));
            self.lines.push(format!(
                "  p95: through the edge {ours:.2} s, bare {theirs:.2} s, edge / bare {:.2}; of medians {:.2}",
                ours / theirs,
                edge.median / bare.median
            ));
            self.document.insert("crowd_p95".to_owned(), json!({ "edge": ours, "bare": theirs, "ratio": ours / theirs }));
        }
    }

    /// A platform with many apps.
    pub(crate) fn many(&mut self, many: &Many) {
        self.heading(&format!("a platform with {} apps, {} of them frozen", many.apps, many.frozen));
        let pss = megabytes(many.processes.iter().map(|process| process.pss).sum());
        self.lines.push(format!("  memory of its own {} processes: {pss:.1} MB PSS", many.processes.len()));
        let large = self.times("many_large", "warm request there", &many.large);
        let small = self.times("many_small", "beside few apps", &many.small);
        self.judge("memory with many apps", pss, "MB", MANY_MB);
        if let (Some(large), Some(small)) = (large, small) {
            self.judge("a request among many apps / among few", large.median / small.median, "×", ROUTING);
        }
    }
}
