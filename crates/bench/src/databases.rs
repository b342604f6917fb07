//! Databases beside apps: what one takes to make, what it adds to a cold start and to a warm request, and what is left of a hundred
//! that sleep.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{Options, Platform};

use crate::SETTLE;
use crate::figures::Samples;
use crate::idle;
use crate::visit::Kept;

/// The app that has a database, and the same one without.
const WITH: &str = "with";
const WITHOUT: &str = "without";
/// Requests or queries of one kind in a row.
const BATCH: usize = 100;
/// A database is made within so many seconds.
pub(crate) const CREATION: f64 = 0.5;
/// How long a server may take to stop once its app sleeps: it lingers for five seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// What was measured.
#[derive(Default)]
pub(crate) struct Databases {
    /// How long it took to make each.
    pub(crate) creation: Samples,
    /// A start from zero whose server starts, too.
    pub(crate) cold_with: Samples,
    /// The same app without a database.
    pub(crate) cold_without: Samples,
    /// A start from zero, to the answer of a page that connects and asks.
    pub(crate) cold_query: Samples,
    /// A warm request to a page that asks nothing, of the app that has a database.
    pub(crate) warm_with: Samples,
    /// The same of the app without.
    pub(crate) warm_without: Samples,
    /// A warm request to a page that asks.
    pub(crate) warm_query: Samples,
    /// A query of the instance, over a connection that stays.
    pub(crate) query_inside: Samples,
    /// A query of a process of this machine to the same server.
    pub(crate) query_bare: Samples,
    /// Apps that have a database.
    pub(crate) apps: usize,
    /// From the last one's sleep to the end of the last server.
    pub(crate) stopped: Duration,
    /// Servers' processes then.
    pub(crate) left: usize,
    /// Memory of an awake server's processes, each with its part of what they share.
    pub(crate) server_pss: u64,
}

/// Starts a platform and measures: so many databases, cold starts of each kind, warm requests.
pub(crate) fn measure(program: &str, apps: usize, rounds: usize, requests: usize, say: impl Fn(&str)) -> Result<Databases> {
    let platform = Platform::start(program, Options { idle_timeout: "24h".to_owned(), ..Options::default() });
    let source = platform.source(
        "databases",
        &[
            ("app.py", include_str!("databases/app.py")),
            ("requirements.txt", "gunicorn\npsycopg[binary]\n"),
            ("Procfile", "web: gunicorn --bind=0.0.0.0:$PORT --threads=4 app:application\n"),
        ],
    );
    let mut found = Databases { apps, ..Databases::default() };
    let bench = Bench { platform: &platform, source };
    bench.deploy(WITHOUT, &[])?;
    bench.deploy(WITH, &["--database", "postgres"])?;

    say("cold starts beside a database");
    bench.cold(&mut found, rounds)?;
    say("queries");
    bench.warm(&mut found, requests)?;
    let servers = idle::processes(platform.pid())?.into_iter().filter(|process| process.name == "postgres");
    found.server_pss = servers.map(|process| process.pss).sum();
    bench.sleep(WITH)?;

    say("the making of databases");
    for number in 1..apps {
        let name = format!("{WITH}-{number}");
        found.creation.extend([bench.deploy(&name, &["--database", "postgres"])?.context("no database was made")?]);
        // As if nobody came: machines have no room for a hundred apps at once, and need none.
        bench.sleep(&name)?;
    }
    let began = Instant::now();
    while bench.servers()? > 0 && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    (found.stopped, found.left) = (began.elapsed(), bench.servers()?);
    Ok(found)
}

/// The platform under test.
struct Bench<'a> {
    platform: &'a Platform,
    source: PathBuf,
}

impl Bench<'_> {
    /// Deploys the app under a name; how long its database took, where one was made, in seconds.
    fn deploy(&self, name: &str, arguments: &[&str]) -> Result<Option<f64>> {
        let output = self.platform.try_deploy(&self.source, &[&["--app", name], arguments].concat());
        ensure!(output.code == 0, "the deployment failed: {}{}", output.stdout, output.stderr);
        let document: Value = serde_json::from_str(&output.stdout)?;
        let steps = document["steps"].as_array().context("a deployment without steps")?;
        Ok(steps.iter().find(|step| step["name"] == "database").and_then(|step| step["seconds"].as_f64()))
    }

    fn sleep(&self, name: &str) -> Result<()> {
        let answer = self.platform.api("POST", &format!("/apps/{name}/sleep"), b"")?;
        ensure!(answer.status < 300, "{name} could not be put to sleep: {} {}", answer.status, answer.text());
        Ok(())
    }

    /// Processes of PostgreSQL that run.
    fn servers(&self) -> Result<usize> {
        let names = idle::family(self.platform.pid())?.into_iter();
        let names = names.filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok());
        Ok(names.filter(|name| name.trim() == "postgres").count())
    }

    /// Puts both apps to sleep and waits until no server runs.
    fn rest(&self) -> Result<()> {
        self.sleep(WITH)?;
        self.sleep(WITHOUT)?;
        let began = Instant::now();
        while self.servers()? > 0 {
            ensure!(began.elapsed() < PATIENCE, "a server goes on running though its app sleeps");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(SETTLE);
        Ok(())
    }

    /// A visit, and how long it took in seconds.
    fn visit(&self, name: &str, path: &str) -> Result<(f64, String)> {
        let answer = self.platform.request("GET", name, path, &[], b"")?;
        ensure!(answer.status == 200, "{name}{path} answered {}: {}", answer.status, answer.text());
        Ok((answer.seconds, answer.text()))
    }

    fn cold(&self, found: &mut Databases, rounds: usize) -> Result<()> {
        // The first of each warms the page cache, and is not counted.
        for round in 0..=rounds {
            self.rest()?;
            let first = self.visit(if round % 2 == 0 { WITH } else { WITHOUT }, "/")?.0;
            std::thread::sleep(SETTLE);
            let second = self.visit(if round % 2 == 0 { WITHOUT } else { WITH }, "/")?.0;
            let (with, without) = if round % 2 == 0 { (first, second) } else { (second, first) };
            self.rest()?;
            let query = self.visit(WITH, "/query")?.0;
            if round > 0 {
                found.cold_with.add(with);
                found.cold_without.add(without);
                found.cold_query.add(query);
            }
        }
        Ok(())
    }

    fn warm(&self, found: &mut Databases, count: usize) -> Result<()> {
        let mut bare = BareClient::start(self, &self.visit(WITH, "/address")?.1)?;
        self.visit(WITHOUT, "/")?;
        let kept = |name: &str, path: &str| -> Result<_> {
            Ok(Kept::of(self.platform.connect(name)?, &format!("{name}.localhost"), path))
        };
        for round in 0..=count.div_ceil(BATCH) {
            let (mut with, mut without) = (kept(WITH, "/")?, kept(WITHOUT, "/")?);
            let mut query = kept(WITH, "/query")?;
            for one in [&mut with, &mut without, &mut query] {
                one.get()?;
            }
            for _ in 0..BATCH {
                let (with, without, query) = (with.get()?, without.get()?, query.get()?);
                if round > 0 {
                    found.warm_with.add(with);
                    found.warm_without.add(without);
                    found.warm_query.add(query);
                }
            }
            let inside = times(&self.visit(WITH, &format!("/queries/{BATCH}"))?.1)?;
            let outside = bare.ask()?;
            if round > 0 {
                found.query_inside.extend(inside);
                found.query_bare.extend(outside);
            }
        }
        Ok(())
    }
}

fn times(line: &str) -> Result<Vec<f64>> {
    line.split_whitespace().map(|one| one.parse().context("a time")).collect()
}

/// Asks the same server as a process of this machine does: the same client over TLS, without a container.
struct BareClient {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// Answers each line with the times of as many queries as it says.
const BARE: &str = "import sys\nsys.path.insert(0, sys.argv[1])\nimport app\nfor line in sys.stdin:\n    print(app.queries(int(line)), flush=True)\n";

impl BareClient {
    fn start(bench: &Bench<'_>, address: &str) -> Result<Self> {
        let info = bench.platform.cli(&["db", WITH, "info", "--reveal", "--json"]).expect(0).json();
        let variables = info["variables"].as_object().context("no variables")?;
        let packages = packages(bench.platform)?;
        // Containers are reached by the platform's user alone.
        let mut command = Command::new("setpriv");
        command.args(["--reuid=adaptable", "--regid=adaptable", "--clear-groups", "/usr/bin/python3.11", "-c", BARE]);
        command.arg(&bench.source).env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
        for (name, value) in variables {
            command.env(name, value.as_str().unwrap_or_default());
        }
        // Root's directory is not that user's to read, and libpq would look for a certificate there.
        command.env("HOME", "/nonexistent");
        command.env("PGSSLROOTCERT", bench.platform.data().join("ca.pem")).env("PGHOSTADDR", address);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start a bare client")?;
        let (to, from) = (child.stdin.take().context("its input")?, child.stdout.take().context("its output")?);
        Ok(Self { child, to, from: BufReader::new(from) })
    }

    fn ask(&mut self) -> Result<Vec<f64>> {
        writeln!(self.to, "{BATCH}")?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the bare client ended");
        times(&line)
    }
}

impl Drop for BareClient {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Where the app's packages lie on this machine.
fn packages(platform: &Platform) -> Result<PathBuf> {
    for layer in std::fs::read_dir(platform.data().join("layers"))? {
        let site = layer?.path().join("fs/opt/venv/lib/python3.11/site-packages");
        if Path::new(&site).join("psycopg").is_dir() {
            return Ok(site);
        }
    }
    anyhow::bail!("no layer holds the app's packages")
}
