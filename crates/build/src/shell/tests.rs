//! Command lines run through real shells, and what must never change.

use std::process::Command;

use proptest::prelude::*;

use super::*;

fn script(line: &str) -> String {
    prepare(line).unwrap().pop().unwrap()
}

/// Runs a prepared line and gives what it printed.
fn run(line: &str) -> String {
    let args = prepare(line).unwrap();
    let shells: &[&str] = if args[0] == "/bin/bash" { &["bash"] } else { &["dash", "bash"] };
    let outputs: Vec<String> = shells
        .iter()
        .map(|shell| {
            let out = Command::new(shell)
                .args(&args[1..])
                .env_clear()
                .env("PORT", "8123")
                .env("PATH", "/usr/bin:/bin")
                .current_dir("/")
                .output()
                .unwrap();
            assert!(out.status.success(), "{shell}: {line}: {}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap()
        })
        .collect();
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]), "shells differ on {line}: {outputs:?}");
    outputs[0].clone()
}

const SHOW: &str = "printf '%s|'";

#[test]
fn the_guides_line_works_as_it_stands() {
    let line = "--bind=0.0.0.0:$PORT --threads=4 myapp:start_app()";
    assert_eq!(run(&format!("{SHOW} {line}")), "--bind=0.0.0.0:8123|--threads=4|myapp:start_app()|");
    assert_eq!(
        script("gunicorn --bind=0.0.0.0:$PORT --threads=4 myapp:start_app()"),
        "exec gunicorn --bind=0.0.0.0:$PORT --threads=4 'myapp:start_app()'"
    );
}

#[test]
fn factories_are_quoted_wherever_they_stand() {
    for (line, want) in [
        ("a.b:create_app('prod')", "a.b:create_app('prod')|"),
        ("a:make(\"x y\", 3) -w 1", "a:make(\"x y\", 3)|-w|1|"),
        ("a:make(x=1, y=(2, 3))", "a:make(x=1, y=(2, 3))|"),
        ("--app=a:make()", "--app=a:make()|"),
        ("a:make().server", "a:make().server|"),
        ("a:make('$PORT')", "a:make('8123')|"),
        ("'a:make()'", "a:make()|"),
        ("\"a:make()\"", "a:make()|"),
        ("a:'make()'", "a:make()|"),
        (r"a:make\(\)", "a:make()|"),
        ("a:make() 2>&1", "a:make()|"),
    ] {
        assert_eq!(run(&format!("{SHOW} {line}")), want, "{line}");
    }
}

#[test]
fn shell_syntax_is_left_alone() {
    for line in [
        "(cd / && echo a)",
        "echo $(echo b:c)",
        "echo `echo b`",
        "f() { echo hi; }; f",
        "if true; then echo yes; fi",
        "for x in 1 2; do echo $x; done",
        "echo a | cat",
        "echo '#' # comment",
        "{ echo a; echo b; }",
        "case $PORT in 8*) echo eight;; esac",
        "echo a && (echo b)",
        "a=$(echo $((1 + 2))) && echo $a",
    ] {
        let plain = Command::new("dash")
            .args(["-c", line])
            .env_clear()
            .env("PORT", "8123")
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        assert_eq!(run(line), String::from_utf8(plain.stdout).unwrap(), "{line}");
    }
}

#[test]
fn the_last_command_replaces_the_shell() {
    // `$$` is the shell's own id; the program that was exec'ed has the same.
    for line in [
        "sh -c 'echo $PPID $$'",
        "cd / && sh -c 'echo $PPID $$'",
        "true; FOO=bar sh -c 'echo $PPID $$'",
        "FOO=bar sh -c 'echo $PPID $$' ;",
        "exec sh -c 'echo $PPID $$'",
        "false || sh -c 'echo $PPID $$' 2>/dev/null",
    ] {
        let args = prepare(line).unwrap();
        let child = Command::new("dash").args(&args[1..]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let id = child.id();
        let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(out.split_whitespace().nth(1), Some(id.to_string().as_str()), "{line}: {out}");
    }
}

#[test]
fn exec_stands_where_it_may() {
    for (line, want) in [
        ("FOO=1 BAR='a b' gunicorn a:b", "FOO=1 BAR='a b' exec gunicorn a:b"),
        ("a && b; c &", "a && b; c &"),
        ("a & b", "a & exec b"),
        ("a | b", "a | b"),
        ("cd x", "cd x"),
        ("export A=1; python app.py", "export A=1; exec python app.py"),
        ("A=1", "A=1"),
        ("python app.py >log 2>&1", "exec python app.py >log 2>&1"),
        (">log python app.py", ">log exec python app.py"),
        ("a\nb\n", "a\nexec b"),
        ("a \\\n  b", "exec a \\\n  b"),
    ] {
        assert_eq!(script(line), want, "{line}");
    }
    assert_eq!(run("FOO=bar env | grep FOO"), "FOO=bar\n");
    assert_eq!(run("FOO=bar printenv FOO"), "bar\n");
}

#[test]
fn bash_is_used_where_only_bash_will_do() {
    assert_eq!(prepare("source venv/bin/activate && python app.py").unwrap()[0], "/bin/bash");
    assert_eq!(prepare("python app.py").unwrap()[0], "/bin/sh");
    assert_eq!(run("[[ a == a ]] && echo yes"), "yes\n");
}

#[test]
fn what_no_shell_can_run_is_refused() {
    assert_eq!(prepare("  "), Err(CommandError::Empty));
    assert_eq!(prepare("a\0b"), Err(CommandError::Nul));
    assert_eq!(prepare("echo 'a"), Err(CommandError::Unbalanced("single quote")));
    assert_eq!(prepare("echo \"a"), Err(CommandError::Unbalanced("double quote")));
    assert_eq!(prepare("echo $(a"), Err(CommandError::Unbalanced("bracket")));
}

#[test]
fn the_program_of_a_line() {
    assert_eq!(last_words("cd x && FOO=1 exec gunicorn a:b -w 2"), ["gunicorn", "a:b", "-w", "2"]);
    assert_eq!(last_words("uwsgi --ini 'a b.ini'"), ["uwsgi", "--ini", "a b.ini"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No line makes the scanner fall over, and words survive quoting.
    #[test]
    fn any_text_is_prepared_or_refused(line in ".{0,80}") {
        let _ = prepare(&line);
    }

    #[test]
    fn shell_letters_in_any_order(line in "[a-z:()'\"$`;&|<>{}#= \\\\\\n]{0,40}") {
        let _ = prepare(&line);
    }

    /// A line without parentheses keeps every letter; only `exec ` may be added.
    #[test]
    fn nothing_but_exec_is_added(line in "[a-z][a-z0-9 =./$&;|'_-]{0,40}") {
        if let Ok(args) = prepare(&line) {
            prop_assert_eq!(args[2].replacen("exec ", "", 1), line.trim().replacen("exec ", "", 1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn quoted_words_arrive_unchanged(words in proptest::collection::vec("[^\0\r\n]{0,12}", 1..5)) {
        let line = words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
        let want = words.iter().fold(String::new(), |text, word| text + word + "|");
        prop_assert_eq!(run(&format!("{SHOW} {line}")), want);
    }
}
