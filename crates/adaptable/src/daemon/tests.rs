//! Locks, logs and processes, with real ones.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn only_a_held_lock_names_a_process() {
    let data = tempfile::tempdir().expect("a directory");
    let lock = Lock(data.path());
    assert_eq!(lock.holder().expect("nothing there"), None);
    std::fs::write(data.path().join(PID), "4711\n").expect("write");
    std::fs::write(data.path().join(LOCK), "").expect("write");
    assert_eq!(lock.holder().expect("a leftover"), None);
    let held = Flock::lock(File::open(data.path().join(LOCK)).expect("open"), FlockArg::LockExclusiveNonblock)
        .expect("nobody else holds it");
    assert_eq!(lock.holder().expect("held"), Some(4711));
    drop(held);
    assert!(!lock.is_held().expect("free"));
}

#[test]
fn a_process_that_ended_does_not_run() {
    let mut child = Command::new("sleep").arg("60").spawn().expect("start sleep");
    let pid = Pid::from_raw(child.id().cast_signed());
    assert!(runs(pid));
    kill(pid, Signal::SIGKILL).expect("end it");
    // Not collected yet, it is a zombie.
    while runs(pid) {
        std::thread::yield_now();
    }
    child.wait().expect("collect it");
    assert!(!runs(pid));
}

#[test]
fn a_link_does_not_choose_the_log() {
    let data = tempfile::tempdir().expect("a directory");
    let victim = data.path().join("victim");
    std::fs::write(&victim, "").expect("write");
    symlink(&victim, data.path().join("serve.log")).expect("link");
    assert!(Log::open(&data.path().join("serve.log")).is_err());
}

#[test]
fn the_log_shows_the_end_of_this_start() {
    let data = tempfile::tempdir().expect("a directory");
    let path = data.path().join("serve.log");
    std::fs::write(&path, "of an earlier start\n").expect("write");
    let mut log = Log::open(&path).expect("open");
    assert_eq!(log.newest(), None);
    let text: String = (0..100).flat_map(|number| ["line ".to_owned(), number.to_string(), "\n\n".to_owned()]).collect();
    std::io::Write::write_all(&mut log.file, text.as_bytes()).expect("append");
    assert_eq!(log.newest().as_deref(), Some("line 99"));
    assert_eq!(log.newest(), None);
    assert_eq!(log.lines().len(), LINES);
}
