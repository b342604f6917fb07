//! The machine as its operator sees it: what there is, what is used, and by whom.

use std::fs;
use std::path::Path;
use std::time::Duration;

use api::{AppUse, DiskPart, DiskUse, MachineReport, MemoryUse, OpenDeployment};
use futures_util::future::join_all;

use crate::error::Result;
use crate::{Control, clock};

/// The most files that are looked at below one directory: what has more is told as it was counted so far.
const FILES: usize = 200_000;

impl Control {
    /// What the machine has, and who uses it. Instances that run are asked; nobody is woken.
    pub async fn machine(&self) -> Result<MachineReport> {
        let entries = self.inner.registry.all();
        let asked = entries.iter().map(|entry| entry.specs.meter.sample(&self.inner.engine));
        let _some_late = tokio::time::timeout(Duration::from_secs(1), join_all(asked)).await;
        let mut apps: Vec<_> = entries
            .iter()
            .filter_map(|entry| {
                let running = entry.specs.meter.running();
                let frozen = entry.parts().map(|(handle, _)| handle.upstreams().iter().filter(|it| it.is_frozen()).count()).sum();
                (!running.is_empty()).then(|| AppUse {
                    app: entry.name.clone(),
                    instances: running.len(),
                    frozen,
                    memory_bytes: running.iter().map(|reading| reading.usage.memory_bytes).sum(),
                    cpu_seconds: entry.specs.meter.cpu_seconds(),
                })
            })
            .collect();
        apps.sort_by(|one, other| (other.memory_bytes, &one.app).cmp(&(one.memory_bytes, &other.app)));
        let databases = entries.iter().filter_map(|entry| entry.specs.database()?.seen().bytes).sum::<u64>();
        let builds = self
            .read(|tx| {
                let mut list = Vec::new();
                for (app, name, number) in tx.open_deployments()? {
                    list.extend(tx.deployment(app, number)?.map(|row| (name, row)));
                }
                Ok(list)
            })
            .await?;
        let mut builds: Vec<_> = builds
            .into_iter()
            .map(|(app, row)| OpenDeployment {
                app,
                deployment: row.number,
                state: row.state,
                created_at: clock::timestamp(row.created_at),
            })
            .collect();
        builds.sort_by_key(|build| build.created_at);
        let config = &self.inner.config;
        let (directory, reserve) = (config.data_dir.clone(), config.disk_reserve);
        let disk = tokio::task::spawn_blocking(move || disk(&directory, reserve, databases)).await.unwrap_or_default();
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Ok(MachineReport {
            cores: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
            load: load(&read("/proc/loadavg")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory: MemoryUse {
                total_bytes: kilobytes(&read("/proc/meminfo"), "MemTotal:"),
                available_bytes: kilobytes(&read("/proc/meminfo"), "MemAvailable:"),
                reserve_bytes: config.sharing.memory_reserve,
                platform_bytes: kilobytes(&read("/proc/self/status"), "VmRSS:"),
                apps_bytes: apps.iter().map(|app| app.memory_bytes).sum(),
            },
            disk,
            builds,
            apps,
            registered: entries.len(),
            connections: self.inner.edge.connections(),
        })
    }
}

/// The disk of the data directory, and what of ours is on it. Layers and volumes are the launcher's: only what databases were seen to hold
/// is known of them here.
fn disk(directory: &Path, reserve: u64, databases: u64) -> DiskUse {
    let mut parts = vec![
        DiskPart { name: "Images of revisions, packed".to_owned(), bytes: size(&directory.join("images")) },
        DiskPart { name: "Databases, as last seen".to_owned(), bytes: databases },
        DiskPart {
            name: "Backups and dumps".to_owned(),
            bytes: size(&directory.join("dumps")) + size(&directory.join("backups")),
        },
        DiskPart { name: "Logs".to_owned(), bytes: size(&directory.join("logs")) },
        DiskPart {
            name: "Repositories and uploads".to_owned(),
            bytes: size(&directory.join("git")) + size(&directory.join("uploads")),
        },
        DiskPart {
            name: "The platform's own state".to_owned(),
            bytes: ["adaptable.db", "adaptable.db-wal"].iter().map(|name| size(&directory.join(name))).sum(),
        },
    ];
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    DiskUse {
        total_bytes: build::disk::total(directory).unwrap_or(0),
        free_bytes: build::disk::free(directory).unwrap_or(0),
        reserve_bytes: reserve,
        parts,
    }
}

/// What a file or a directory holds, in bytes; links are not followed, and what can't be read is not counted.
fn size(path: &Path) -> u64 {
    let (mut open, mut bytes, mut files) = (vec![path.to_owned()], 0, 0);
    while let Some(path) = open.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        files += 1;
        if files > FILES {
            break;
        }
        if found.is_dir() {
            open.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else {
            // What it takes, not how long it is: logs have holes where nothing is.
            bytes += blocks(&found);
        }
    }
    bytes
}

#[cfg(unix)]
fn blocks(found: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    found.blocks() * 512
}

#[cfg(not(unix))]
fn blocks(found: &fs::Metadata) -> u64 {
    found.len()
}

/// The three averages of `/proc/loadavg`.
fn load(text: &str) -> Option<[f64; 3]> {
    let mut words = text.split_whitespace().map(str::parse);
    let mut next = || words.next()?.ok();
    Some([next()?, next()?, next()?])
}

/// A line of the kernel's that has kilobytes, in bytes; 0 where there is none.
fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB"));
    line.and_then(|line| line.trim().parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        assert_eq!(load("0.52 1.50 12.00 3/812 12345\n"), Some([0.52, 1.5, 12.0]));
        assert_eq!(load("0.52 x"), None);
        assert_eq!(kilobytes("MemTotal:       16384 kB\nMemAvailable:    1024 kB\n", "MemAvailable:"), 1024 * 1024);
        assert_eq!(kilobytes("", "MemTotal:"), 0);
    }

    #[test]
    fn a_directory_is_as_large_as_what_lies_in_it() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("a")).expect("a directory");
        fs::write(directory.path().join("a/b"), vec![1_u8; 100_000]).expect("a file");
        std::os::unix::fs::symlink("/usr", directory.path().join("elsewhere")).expect("a link");
        let bytes = size(directory.path());
        assert!((100_000..200_000).contains(&bytes), "{bytes}");
        assert_eq!(size(&directory.path().join("nothing")), 0);
        let disk = disk(directory.path(), 7, 5_000_000);
        assert!(disk.total_bytes >= disk.free_bytes && disk.free_bytes > 0 && disk.reserve_bytes == 7);
        assert_eq!(disk.parts[0].bytes, 5_000_000);
    }
}
