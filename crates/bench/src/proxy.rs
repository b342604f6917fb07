//! The edge beside nginx and `HAProxy` in front of the same upstream, and beside going direct: throughput, latency, CPU time.

mod load;
pub(crate) mod role;
mod servers;

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::bare::Bare;
use crate::figures::Samples;
use load::{Load, Run};
use servers::{Kind, Server, Servers};

/// How much is measured.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_field_names, reason = "they are the flags' names, beside others of the bench")]
pub(crate) struct ProxyArgs {
    /// Seconds of each load on a proxy.
    #[arg(long, env = "BENCH_PROXY_SECONDS", default_value_t = 2)]
    proxy_seconds: u64,
    /// Loads of each kind on each proxy.
    #[arg(long, env = "BENCH_PROXY_ROUNDS", default_value_t = 5)]
    proxy_rounds: usize,
    /// Only the loads whose name contains this.
    #[arg(long, default_value = "")]
    proxy_filter: String,
    /// Threads of each proxy; 0 means one per core.
    #[arg(long, default_value_t = 0)]
    proxy_threads: usize,
}

/// What was measured of one load.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    /// The load.
    pub(crate) load: Load,
    /// Each server's figures, in the order of [`Kind::ALL`].
    pub(crate) servers: Vec<Figures>,
}

/// Medians of one server under one load.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Whose.
    pub(crate) kind: Kind,
    /// Requests per second.
    pub(crate) rate: f64,
    /// Seconds that half of the requests took at most.
    pub(crate) p50: f64,
    /// Seconds that 99 of 100 took at most.
    pub(crate) p99: f64,
    /// CPU seconds of the proxy for a request.
    pub(crate) cpu: f64,
    /// CPU seconds of proxy, upstream and client for a request.
    pub(crate) cpu_all: f64,
    /// Requests that failed, of all rounds.
    pub(crate) failed: u64,
    /// The edge's figures divided by this server's, each with the run beside it.
    pub(crate) edge_to_this: Ratios,
}

/// Medians of ratios.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Ratios {
    /// Of requests per second: above 1 the edge is ahead.
    pub(crate) rate: f64,
    /// Of the middle latency: below 1 the edge is ahead.
    pub(crate) p50: f64,
    /// Of the latency that 1 of 100 exceeds.
    pub(crate) p99: f64,
    /// Of the proxy's CPU time for a request; nothing beside going direct.
    pub(crate) cpu: Option<f64>,
    /// Of all processes' CPU time for a request.
    pub(crate) cpu_all: f64,
}

impl Cell {
    /// A server's figures, where this load was put on it.
    pub(crate) fn of(&self, kind: Kind) -> Option<&Figures> {
        self.servers.iter().find(|figures| figures.kind == kind)
    }
}

pub(crate) use servers::Kind as Proxy;

/// Measures all loads, in turns. `app` makes the guide's app, for the loads that are put on it.
pub(crate) fn measure(args: &ProxyArgs, app: impl FnOnce() -> Result<Bare>, mut say: impl FnMut(&str)) -> Result<Vec<Cell>> {
    let (on_app, on_least): (Vec<_>, Vec<_>) =
        load::all().into_iter().filter(|load| load.name().contains(&args.proxy_filter)).partition(|load| load.is_app);
    let mut cells = Vec::new();
    if !on_least.is_empty() {
        cells.extend(measure_on(&Servers::start(args.proxy_threads, None)?, args, on_least, &mut say)?);
    }
    if !on_app.is_empty() {
        cells.extend(measure_on(&Servers::start(args.proxy_threads, Some(&app()?))?, args, on_app, &mut say)?);
    }
    Ok(cells)
}

fn measure_on(servers: &Servers, args: &ProxyArgs, loads: Vec<Load>, mut say: impl FnMut(&str)) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for load in loads {
        say(&format!("through the proxies: {}", load.name()));
        let kinds: Vec<&Server> = servers.all().filter(|server| server.address(load.protocol).is_some()).collect();
        let mut series: Vec<Vec<Run>> = kinds.iter().map(|_| Vec::new()).collect();
        // The first of each opens connections and warms caches, and is not counted.
        for server in &kinds {
            let _warm = load.run(server, servers, Duration::from_secs(1));
        }
        let time = Duration::from_secs(args.proxy_seconds) + load.opening();
        for round in 0..args.proxy_rounds {
            // Each begins once, so that nobody always comes after the same neighbour.
            for at in 0..kinds.len() {
                let at = (at + round) % kinds.len();
                series[at].push(load.run(kinds[at], servers, time)?);
            }
        }
        let figures = kinds.iter().zip(&series).map(|(server, runs)| figures(server.kind, runs, &series[0]));
        cells.push(Cell { load, servers: figures.collect() });
    }
    Ok(cells)
}

fn figures(kind: Kind, runs: &[Run], edge: &[Run]) -> Figures {
    let median = |value: fn(&Run) -> f64| {
        let own = Samples::of(runs.iter().map(value));
        let ratio = Samples::of(edge.iter().map(value)).ratios(&own);
        let middle = |samples: Samples| samples.summary().map_or(f64::NAN, |summary| summary.median);
        (middle(own), middle(ratio))
    };
    let (rate, rate_ratio) = median(|run| run.rate);
    let (p50, p50_ratio) = median(|run| run.p50);
    let (p99, p99_ratio) = median(|run| run.p99);
    let (cpu, cpu_ratio) = median(|run| run.cpu);
    let (cpu_all, cpu_all_ratio) = median(|run| run.cpu_all);
    let edge_to_this = Ratios {
        rate: rate_ratio,
        p50: p50_ratio,
        p99: p99_ratio,
        cpu: (kind != Kind::Direct).then_some(cpu_ratio),
        cpu_all: cpu_all_ratio,
    };
    Figures { kind, rate, p50, p99, cpu, cpu_all, failed: runs.iter().map(|run| run.failed).sum(), edge_to_this }
}
