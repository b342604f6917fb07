//! `make bench`: the figures that we promise, as ratios from interleaved runs on this machine. It informs; it never fails by time.

mod app;
mod bare;
mod crowd;
mod databases;
mod docker;
mod figures;
mod idle;
mod many;
mod proxy;
mod push;
mod report;
mod rolling;
mod thaw;
mod visit;
mod warm;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use testkit::{Options, Platform};

use app::App;
use bare::Bare;
use docker::Docker;
use figures::Samples;
use proxy::ProxyArgs;
use proxy::role::Role;
use report::Report;

/// The platform's allocator, since the bench is the edge, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Between two runs: what the last one left to do in the background is over by then.
const SETTLE: Duration = Duration::from_millis(150);

/// What can be measured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A platform: cold starts, pushes, warm requests, idling.
    Platform,
    /// Databases beside apps.
    Databases,
    /// The edge beside other proxies.
    Proxy,
}

/// Measures a platform against the same app without one.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    role: Option<Role>,
    /// Measure only this part.
    #[arg(long, env = "BENCH_ONLY")]
    only: Option<Part>,
    #[command(flatten)]
    proxy: ProxyArgs,
    /// The program to measure.
    #[arg(long, env = "BENCH_PROGRAM", default_value = "target/release/adaptable")]
    program: PathBuf,
    /// The app that is deployed.
    #[arg(long, default_value = "examples/flask")]
    source: PathBuf,
    /// Where the environment of the bare app is kept from one bench to the next.
    #[arg(long, default_value = "target/bench")]
    cache: PathBuf,
    /// Cold starts of each kind.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 15)]
    rounds: usize,
    /// Pushes.
    #[arg(long, env = "BENCH_PUSHES", default_value_t = 9)]
    pushes: usize,
    /// Warm requests of each kind.
    #[arg(long, env = "BENCH_REQUESTS", default_value_t = 2000)]
    requests: usize,
    /// Sleeping apps beside which the idle platform is measured.
    #[arg(long, default_value_t = 10)]
    apps: usize,
    /// Seconds for which the idle platform's CPU time is counted.
    #[arg(long, env = "BENCH_IDLE_SECONDS", default_value_t = 30)]
    idle_seconds: u64,
    /// Requests to a frozen app.
    #[arg(long, env = "BENCH_THAWS", default_value_t = 300)]
    thaws: usize,
    /// Sleeping apps that are asked at once.
    #[arg(long, env = "BENCH_CROWD", default_value_t = 25)]
    crowd: usize,
    /// How often they are.
    #[arg(long, env = "BENCH_CROWDS", default_value_t = 3)]
    crowds: usize,
    /// Visitors who come while the app and the platform are changed.
    #[arg(long, env = "BENCH_VISITORS", default_value_t = 12)]
    visitors: usize,
    /// How often the app is deployed and rolled back meanwhile.
    #[arg(long, env = "BENCH_CHANGES", default_value_t = 10)]
    changes: usize,
    /// Apps of a platform that has many.
    #[arg(long, env = "BENCH_MANY", default_value_t = 1000)]
    many: usize,
    /// How many of them are frozen.
    #[arg(long, env = "BENCH_FROZEN", default_value_t = 100)]
    frozen: usize,
    /// Apps that have a database.
    #[arg(long, env = "BENCH_DATABASES", default_value_t = 100)]
    databases: usize,
    /// Start a Docker engine of one's own, where one is installed but none answers.
    #[arg(long, env = "BENCH_DOCKER", num_args = 0..=1, default_missing_value = "true", default_value_t = false,
          value_parser = clap::builder::FalseyValueParser::new())]
    docker: bool,
    /// Print one JSON document to standard output; the table goes to standard error.
    #[arg(long, env = "BENCH_JSON", num_args = 0..=1, default_missing_value = "true", default_value_t = false,
          value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(role) = args.role {
        return role.play();
    }
    let program = args.program.canonicalize().with_context(|| format!("find the program {}", args.program.display()))?;
    let began = Instant::now();
    let mut report = Report::new(&program);
    let wants = |part| args.only.is_none_or(|only| only == part);
    if wants(Part::Platform) {
        let options = Options { idle_timeout: "24h".to_owned(), ..Options::default() };
        say("starting a platform, deploying the app");
        let platform = Platform::start(program.to_str().context("the program's path is not text")?, options);
        measure(&args, &platform, &mut report)?;
    }
    if wants(Part::Databases) {
        let program = program.to_str().context("the program's path is not text")?;
        report.databases(&databases::measure(program, args.databases, args.rounds, args.requests, say)?);
    }
    if wants(Part::Proxy) {
        report.proxy(&proxy::measure(&args.proxy, || Bare::any(&args.cache, &args.source), say)?);
    }
    report.took(began.elapsed());
    report.print(args.json)?;
    Ok(())
}

fn measure(args: &Args, platform: &Platform, report: &mut Report) -> Result<()> {
    let app = App::deploy(platform, &args.source)?;
    say("preparing the same app on the bare host");
    let bare = Bare::prepare(&args.cache, &args.source, &app.packages()?)?;
    let docker = Docker::find(args.docker).and_then(|docker| docker.load(&app));
    let docker = docker.map_err(|error| report.note(format!("docker run: {error:#}: skipped"))).ok();

    say("cold starts");
    let (mut edge, mut alone, mut engine) = (Samples::default(), Samples::default(), Samples::default());
    // The first of each warms the page cache, and is not counted.
    for round in 0..=args.rounds {
        app.sleep()?;
        std::thread::sleep(SETTLE);
        let cold = app.visit()?.seconds;
        app.sleep()?;
        std::thread::sleep(SETTLE);
        let started = bare.start_once()?;
        std::thread::sleep(SETTLE);
        let ran = docker.as_ref().map(docker::Loaded::run_once).transpose()?;
        if round > 0 {
            edge.add(cold);
            alone.add(started);
            engine.extend(ran);
        }
    }
    report.cold(&edge, &alone, &engine);

    say("pushes of a one-line change");
    let pushes = push::measure(&app, &bare, args.pushes)?;
    report.push(&pushes);

    say("warm requests");
    report.warm(&warm::measure(&app, &bare, args.requests)?);

    say("the idle platform");
    app.beside(args.apps)?;
    let idle = idle::measure(platform.pid(), Duration::from_secs(args.idle_seconds))?;
    report.idle(&idle, args.apps);

    say("requests to a frozen app");
    report.thaw(&thaw::measure(&app, args.thaws)?);
    say("sleeping apps, all at once");
    report.crowd(&crowd::measure(&app, &bare, args.crowd, args.crowds)?);
    let program = args.program.canonicalize()?;
    let program = program.to_str().context("the program's path is not text")?;
    say("changes under load");
    report.rolling(&rolling::measure(program, &args.source, args.visitors, args.changes)?);
    say("a platform with many apps");
    report.many(&many::measure(&app, program, &args.source, args.many, args.frozen)?);
    Ok(())
}

/// Progress, for whoever watches.
fn say(what: &str) {
    // Nobody may be reading.
    let _closed = writeln!(std::io::stderr(), "bench: {what}");
}
