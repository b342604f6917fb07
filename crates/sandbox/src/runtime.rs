//! The description of a container in the words of the OCI runtime specification, which libcontainer takes.

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::default::get_executor;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::sys::resource::{Resource, getrlimit};
use serde_json::{Value, json};

use crate::rootfs::Rootfs;
use crate::seccomp::Filter;
use crate::spec::{ContainerSpec, ID_COUNT, Profile};

/// What package managers need within the container's own user namespace.
const BUILD_CAPABILITIES: [&str; 12] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
    "CAP_NET_BIND_SERVICE",
];

/// Descriptors that a process of a container may have open.
const FILES: u64 = 65_536;

/// Becomes the app, as the last thing that a container's first process does.
#[derive(Clone)]
pub(crate) struct Payload {
    pub(crate) filter: Filter,
}

impl Executor for Payload {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        self.filter.load().map_err(|error| ExecutorError::Other(format!("load the filter of system calls: {error}")))?;
        get_executor().exec(spec)
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        get_executor().validate(spec)
    }
}

/// `config.json` of a container.
pub(crate) fn describe(spec: &ContainerSpec, rootfs: &Rootfs) -> Value {
    let capabilities: &[&str] = match spec.profile {
        Profile::App => &[],
        Profile::Build => &BUILD_CAPABILITIES,
    };
    // Raising a limit takes a right that not every machine gives to root.
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(_, most)| most.min(FILES));
    let ids = json!([{ "containerID": 0, "hostID": spec.id_base(), "size": ID_COUNT }]);
    let env: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": rootfs.root, "readonly": false },
        "hostname": spec.hostname,
        "process": {
            "terminal": false,
            "user": { "uid": spec.user, "gid": spec.user },
            "args": spec.args,
            "env": env,
            "cwd": spec.cwd,
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "inheritable": [],
                "permitted": capabilities, "ambient": []
            },
            "rlimits": [
                { "type": "RLIMIT_NOFILE", "soft": files, "hard": files },
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }
            ],
            // When the whole machine lacks memory, an app ends before the platform that could start it again.
            "oomScoreAdj": 300,
            "noNewPrivileges": true
        },
        "mounts": mounts(rootfs),
        "linux": {
            "namespaces": [
                { "type": "user" }, { "type": "pid" }, { "type": "mount" }, { "type": "network" },
                { "type": "ipc" }, { "type": "uts" }, { "type": "cgroup" }
            ],
            "uidMappings": ids, "gidMappings": ids,
            "cgroupsPath": "/none",
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/proc/interrupts", "/sys/firmware",
                "/sys/devices/virtual/powercap"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn mounts(rootfs: &Rootfs) -> Vec<Value> {
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777"] }),
        json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] }),
    ];
    for (source, at, read_only) in &rootfs.binds {
        let mode = if *read_only { "ro" } else { "rw" };
        mounts.push(json!({ "destination": at, "type": "bind", "source": source, "options": ["bind", mode, "nosuid", "nodev"] }));
    }
    mounts
}
