//! Jobs without a sandbox, by chroot: real stacks and real packages where no engine is wanted.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use async_trait::async_trait;
use build::host::CA_BUNDLE;
use build::job::{Job, JobEnd, JobError, Jobs, Lines};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::layout::Packed;
use image::{HashWriter, LayerId, Lower};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Layers and caches in a directory, stacks in another.
#[derive(Debug, Clone)]
pub(crate) struct ChrootJobs {
    pub dir: PathBuf,
    pub stacks: PathBuf,
}

impl ChrootJobs {
    fn layer(&self, layer: &LayerId) -> PathBuf {
        self.dir.join("layers").join(layer.as_str())
    }

    fn lower(&self, lower: &Lower) -> PathBuf {
        match lower {
            Lower::Stack(id) => self.stacks.join(id).join("fs"),
            Lower::Layer(id) => self.layer(id).join("fs"),
        }
    }

    fn mount(&self, job: &Job) -> io::Result<PathBuf> {
        let home = self.layer(&job.upper);
        let (upper, work, root) = (home.join("fs"), home.join("work"), home.join("root"));
        for dir in [&upper, &work, &root] {
            fs::create_dir_all(dir)?;
        }
        let none: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let lowers: Vec<_> = job.lowers.iter().rev().map(|lower| self.lower(lower).display().to_string()).collect();
        let options = format!("lowerdir={},upperdir={},workdir={}", lowers.join(":"), upper.display(), work.display());
        mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
        let bind = |from: &Path, to: &str, directory: bool| {
            let target = root.join(to.trim_start_matches('/'));
            if directory {
                fs::create_dir_all(&target)?;
            } else {
                fs::create_dir_all(target.parent().unwrap())?;
                File::options().append(true).create(true).open(&target)?;
            }
            mount(Some(from), &target, none, MsFlags::MS_BIND, none).map_err(io::Error::from)
        };
        mount(Some("tmpfs"), &root.join("tmp"), Some("tmpfs"), MsFlags::empty(), none)?;
        bind(Path::new("/dev"), "/dev", true)?;
        bind(&fs::canonicalize("/etc/resolv.conf")?, "/etc/resolv.conf", false)?;
        bind(Path::new(CA_BUNDLE), CA_BUNDLE, false)?;
        for (index, (path, bytes)) in job.files.iter().enumerate() {
            let file = home.join(format!("file-{index}"));
            fs::write(&file, bytes)?;
            bind(&file, path, false)?;
        }
        for (name, at) in &job.caches {
            let cache = self.dir.join("cache").join(name);
            fs::create_dir_all(&cache)?;
            bind(&cache, at, true)?;
        }
        Ok(root)
    }

    fn execute(&self, job: &Job, line: &mut Lines<'_>) -> io::Result<JobEnd> {
        let root = self.mount(job)?;
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new("setpriv");
        let proc = format!("--mount-proc={}", root.join("proc").display());
        command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", &proc, "/usr/sbin/chroot"]).arg(&root);
        command.arg("/usr/bin/env").arg(format!("--chdir={}", job.cwd)).args(&job.args);
        command.env_clear().envs(job.env.iter().cloned());
        command.stdin(Stdio::null()).stderr(writer.try_clone()?).stdout(writer);
        let mut child = command.spawn()?;
        drop(command);
        for text in BufReader::new(reader).split(b'\n') {
            line(&String::from_utf8_lossy(&text?));
        }
        Ok(JobEnd::Code(child.wait()?.code().unwrap_or(-1)))
    }
}

#[async_trait]
impl Jobs for ChrootJobs {
    async fn unpack(&self, layer: &LayerId, prefix: &str, tar: File) -> Result<(), JobError> {
        let target = self.layer(layer).join("fs").join(prefix.trim_start_matches('/'));
        fs::create_dir_all(&target).map_err(|error| JobError::new("unpacking", error))?;
        let status = Command::new("tar").args(["-x", "-f", "-", "-C"]).arg(&target).stdin(tar).status();
        assert!(status.map_err(|error| JobError::new("unpacking", error))?.success());
        Ok(())
    }

    async fn run(&self, job: Job, line: &mut Lines<'_>) -> Result<JobEnd, JobError> {
        // On a thread of its own, for it enters a mount namespace.
        std::thread::scope(|scope| scope.spawn(|| self.execute(&job, line)).join().unwrap())
            .map_err(|error| JobError::new("running a job", error))
    }

    async fn seal(&self, layer: &LayerId, keep: &[String]) -> Result<(), JobError> {
        let root = self.layer(layer).join("fs");
        if !keep.is_empty() {
            let wanted: Vec<_> = keep.iter().map(|path| root.join(path.trim_start_matches('/'))).collect();
            prune(&root, &wanted).map_err(|error| JobError::new("sealing", error))?;
        }
        Ok(())
    }

    async fn pack(&self, layer: &LayerId, into: File) -> Result<Packed, JobError> {
        let pack = || -> io::Result<Packed> {
            let mut tar = Command::new("tar")
                .args(["-c", "--sort=name", "-C"])
                .arg(self.layer(layer).join("fs"))
                .arg(".")
                .stdout(Stdio::piped())
                .spawn()?;
            let mut writer = HashWriter::new(GzEncoder::new(HashWriter::new(into), Compression::fast()));
            io::copy(tar.stdout.as_mut().unwrap(), &mut writer)?;
            assert!(tar.wait()?.success());
            let (encoder, diff_id, _) = writer.finish();
            let (_, digest, size) = encoder.finish()?.finish();
            Ok(Packed { digest, diff_id, size })
        };
        pack().map_err(|error| JobError::new("packing", error))
    }

    async fn remove(&self, layer: &LayerId) -> Result<(), JobError> {
        fs::remove_dir_all(self.layer(layer)).map_err(|error| JobError::new("deleting", error))
    }

    async fn has(&self, layer: &LayerId) -> Result<bool, JobError> {
        Ok(self.layer(layer).is_dir())
    }

    async fn layers(&self) -> Result<Vec<LayerId>, JobError> {
        let Ok(entries) = fs::read_dir(self.dir.join("layers")) else { return Ok(Vec::new()) };
        Ok(entries.map(|entry| LayerId::parse(entry.unwrap().file_name().to_str().unwrap()).unwrap()).collect())
    }
}

fn prune(dir: &Path, keep: &[PathBuf]) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if keep.contains(&path) {
            continue;
        }
        let directory = path.is_dir() && !path.is_symlink();
        if directory && keep.iter().any(|wanted| wanted.starts_with(&path)) {
            prune(&path, keep)?;
        } else if directory {
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
