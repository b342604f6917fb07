//! What changes for a container that runs: its weight, and its memory, pushed out to compressed memory that is swapped to meanwhile.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use engine::Engine;

use super::{World, read, wait_for};

/// A zram device that is swapped to; gone when it is dropped.
struct Zram {
    number: u32,
}

impl Zram {
    /// Adds a device of so many bytes. `None` where the kernel has no zram.
    fn swap(bytes: u64) -> Option<Self> {
        let number = fs::read_to_string("/sys/class/zram-control/hot_add").ok()?.trim().parse().ok()?;
        let zram = Self { number };
        fs::write(format!("/sys/block/zram{number}/disksize"), bytes.to_string()).ok()?;
        let run = |program: &str| Command::new(program).arg(zram.device()).output().is_ok_and(|output| output.status.success());
        (run("mkswap") && run("swapon")).then_some(zram)
    }

    fn device(&self) -> PathBuf {
        PathBuf::from(format!("/dev/zram{}", self.number))
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        let _not_on = Command::new("swapoff").arg(self.device()).output();
        let _gone = fs::write(format!("/sys/block/zram{}/reset", self.number), "1");
        let _gone = fs::write("/sys/class/zram-control/hot_remove", self.number.to_string());
    }
}

pub(crate) async fn memory_is_pushed_out_where_there_is_swap(world: &World) {
    const MB: u64 = 1 << 20;
    let script = "import time\nheld = [b'%08d' % i * 512 for i in range(25_000)]\nprint('held', flush=True)\ntime.sleep(5)\nprint(sum(len(x) for x in held))";
    let mut container = world.engine.create(world.spec("push", &["python3", "-c", script])).await.expect("created");
    let id = container.id.clone();
    let held = async || world.engine.usage(&id).await.expect("usage").memory_bytes;
    wait_for("its memory", async || held().await > 90 * MB).await;
    container.freezer.as_ref().expect("a freezer").freeze().expect("frozen");
    world.engine.push_out(&id).await.expect("fine without a place for it");
    if let Some(_swap) = Zram::swap(512 * MB) {
        let before = held().await;
        world.engine.push_out(&id).await.expect("pushed out");
        let after = held().await;
        println!("  memory of a frozen container: {} MB, pushed out: {} MB", before / MB, after / MB);
        assert!(after < before / 3, "{before} {after}");
        container.freezer.as_ref().expect("a freezer").thaw().expect("thawed");
        let text = read(&mut container).await;
        assert!(text.contains(&(25_000 * 8 * 512).to_string()), "all is there again: {text}");
        world.engine.stop(&id, Duration::ZERO).await.expect("stopped");
    } else {
        println!("  this kernel has no zram: pushing out was not measured");
        world.engine.stop(&id, Duration::ZERO).await.expect("stopped");
    }
}

pub(crate) async fn a_weight_is_changed_while_it_runs(world: &World) {
    // Two that want more than there is: both are held to the same core.
    let spin = ["taskset", "-c", "0", "python3", "-c", "while True: pass"];
    let heavy = world.engine.create(world.spec("heavy", &spin)).await.expect("created");
    let light = world.engine.create(world.spec("light", &spin)).await.expect("created");
    world.engine.weigh(&light.id, 10).await.expect("weighed");
    let used = async |id| world.engine.usage(id).await.expect("usage").cpu_seconds;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = (used(&heavy.id).await, used(&light.id).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = (used(&heavy.id).await - before.0, used(&light.id).await - before.1);
    println!("  of one core: weight 100 {:.2} s, weight 10 {:.2} s", spent.0, spent.1);
    assert!(spent.0 > 3.0 * spent.1, "{spent:?}");
    for container in [&heavy, &light] {
        world.engine.stop(&container.id, Duration::ZERO).await.expect("stopped");
    }
    assert!(world.engine.weigh(&light.id, 100).await.is_err(), "it is gone");
}
