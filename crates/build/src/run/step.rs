//! Runs one step of a plan as a job, its output going line by line into the build's log.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use image::{LayerId, Lower};

use super::{Build, BuildError, env};
use crate::job::{Job, JobEnd, JobLimits};
use crate::plan::{APP_DIR, Step};

/// How many of the last lines an error carries.
const TAIL: usize = 200;

/// What a step runs over.
pub(super) struct Ground<'a> {
    /// The directories below, bottom first.
    pub lowers: Vec<Lower>,
    /// The layer it writes to.
    pub upper: &'a LayerId,
    /// Caches, by name and place.
    pub caches: Vec<(String, String)>,
    /// Read-only files, by place and contents.
    pub files: Vec<(String, Vec<u8>)>,
    /// The app's variables that its programs see. None where what comes out is shared with other apps.
    pub build_env: &'a BTreeMap<String, String>,
}

impl Build<'_> {
    /// Runs a step; a failure of one that isn't fatal is logged, and the build goes on.
    pub(super) async fn step(&self, ground: &Ground<'_>, step: &Step) -> Result<(), BuildError> {
        self.log.activity(&step.name);
        let limits = self.builder.limits;
        let mut tail = VecDeque::with_capacity(TAIL);
        let job = Job {
            slot: self.request.slot,
            lowers: ground.lowers.clone(),
            upper: ground.upper.clone(),
            args: step.args.clone(),
            env: env::step(&self.builder.host, ground.build_env, step),
            cwd: APP_DIR.to_owned(),
            files: self.files(&ground.files),
            caches: ground.caches.clone(),
            limits: JobLimits {
                memory: limits.memory,
                cpu_weight: limits.cpu_weight,
                pids: limits.pids,
                time: self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)),
            },
        };
        let mut line = |text: &str| {
            let text = env::redact(text, ground.build_env);
            self.log.line(&text);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(text);
        };
        let end = self.builder.jobs.run(job, &mut line).await?;
        match end {
            JobEnd::Code(0) => Ok(()),
            // Whatever a step is, a build that runs out of time ends.
            end if step.fatal || end == JobEnd::OutOfTime => {
                Err(BuildError::Step { step: step.name.clone(), end, limits, tail: tail.into() })
            }
            end => {
                self.log.line(&format!("{} failed ({end:?}); the build goes on without it", step.name));
                Ok(())
            }
        }
    }

    /// The host's configuration files for package clients, and these.
    fn files(&self, more: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
        let host = &self.builder.host;
        let apt = ("/etc/apt/apt.conf.d/90host".to_owned(), host.apt_conf().into_bytes());
        host.files.iter().map(|(path, bytes)| (path.clone(), bytes.clone())).chain([apt]).chain(more.iter().cloned()).collect()
    }
}
