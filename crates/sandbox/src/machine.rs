//! A root file system that shows the machine's own programs, and nothing of its settings, users and data.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::rootfs::shown;

/// What is shown, read-only, where the machine has it as a directory.
const SHOWN: [&str; 6] = ["/usr", "/opt", "/bin", "/sbin", "/lib", "/lib64"];
/// Directories that programs expect.
const DIRECTORIES: [&str; 12] =
    ["dev", "etc/ssl/certs", "home", "opt", "proc", "root", "run", "srv", "sys", "usr", "var/lib", "var/log"];
/// Directories that everybody may write to.
const OPEN: [&str; 2] = ["tmp", "var/tmp"];

/// Makes the lowest layer: directories, links as the machine has them, and the few files that programs look for.
pub(crate) fn skeleton(root: &Path, user: u16) -> io::Result<()> {
    for name in DIRECTORIES {
        fs::create_dir_all(root.join(name))?;
    }
    for name in OPEN {
        let path = root.join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o1777))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        let own = Path::new("/").join(name);
        match fs::read_link(&own) {
            Ok(target) => symlink(target, root.join(name))?,
            Err(_) if own.is_dir() => fs::create_dir(root.join(name))?,
            Err(_no_such_name) => {}
        }
    }
    let service = if user == 0 { String::new() } else { format!("service:x:{user}:{user}::/tmp:/usr/sbin/nologin\n") };
    let group = if user == 0 { String::new() } else { format!("service:x:{user}:\n") };
    let nobody = "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n";
    fs::write(root.join("etc/passwd"), format!("root:x:0:0::/root:/usr/sbin/nologin\n{service}{nobody}"))?;
    fs::write(root.join("etc/group"), format!("root:x:0:\n{group}nogroup:x:65534:\n"))?;
    fs::write(root.join("etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n")?;
    // What it says of libraries is true inside, too, since they are the same.
    let _without = fs::copy("/etc/ld.so.cache", root.join("etc/ld.so.cache"));
    Ok(())
}

/// The machine's directories, shown at places of the creator's: source, place inside, read-only.
pub(crate) fn shared(run: &Path) -> io::Result<Vec<(PathBuf, String, bool)>> {
    let mut binds = Vec::new();
    for name in SHOWN {
        let own = Path::new(name);
        if own.is_dir() && !own.is_symlink() {
            let at = run.join(format!("machine-{}", name.trim_start_matches('/')));
            shown(own, &at)?;
            binds.push((at, name.to_owned(), true));
        }
    }
    Ok(binds)
}
