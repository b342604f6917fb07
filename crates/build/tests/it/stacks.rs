//! The stacks themselves.

use std::process::Command;

use crate::machine;

/// Each stack runs its Python and has its tools; asking for them again is quick.
pub(crate) fn check() {
    let (stacks, made) = machine::stacks();
    for stack in &made {
        let root = stacks.dir().join(&stack.id).join("fs");
        for python in &stack.pythons {
            let program = format!("/usr/bin/python{python}");
            let output = Command::new("chroot")
                .arg(&root)
                .args([&program, "-I", "-c", "import ssl, sqlite3, ctypes; print(ssl.OPENSSL_VERSION)"])
                .output()
                .unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        }
        assert!(!root.join("usr/bin/gcc").exists(), "no compiler in the running system");
        assert!(!root.join("etc/apt/apt.conf.d/99mmdebstrap").exists(), "no setting of this machine in the stack");
        let tools = stacks.dir().join(stack.build_id()).join("fs");
        for tool in ["usr/bin/gcc", "usr/bin/git", "usr/local/bin/uv", "usr/bin/pg_config"] {
            assert!(tools.join(tool).exists(), "{}: {tool}", stack.id);
        }
        assert!(!tools.join("etc/apt/apt.conf.d/90host").exists());
        assert!(stack.build_packages.contains_key("gcc") && !stack.packages.contains_key("gcc"));
        assert!(stack.uv.starts_with("uv "), "{}", stack.uv);
        let blob = stacks.blob_path(stack);
        assert_eq!(std::fs::metadata(&blob).unwrap().len(), stack.blob.size);
    }
    assert_eq!(stacks.available().unwrap().pythons.len(), made.iter().map(|stack| stack.pythons.len()).sum::<usize>());
    let begun = std::time::Instant::now();
    let (_, again) = machine::stacks();
    assert!(begun.elapsed().as_millis() < 500 && again == made, "{:?}", begun.elapsed());
}
