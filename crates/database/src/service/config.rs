//! How an image is run, by its configuration: program, variables, user, directory, signal.

use image::Execution;

/// Where programs are, unless the image says otherwise: as other engines have it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Ends a program in order, where the image names no other signal.
const SIGTERM: i32 = 15;
/// The first real-time signal that C libraries leave to programs (signal(7)), and the last.
const SIGRTMIN: i32 = 34;
const SIGRTMAX: i32 = 64;

/// How a service is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments: entry point and command.
    pub args: Vec<String>,
    /// How much of it is the entry point: whoever gives the service arguments of its own puts them in place of the rest.
    pub entrypoint: usize,
    /// Its variables, `PATH` and `HOME` among them.
    pub env: Vec<(String, String)>,
    /// The user inside.
    pub user: u16,
    /// That user's group. Containers run with the group of the user's own number; what belongs to this group alone they can't reach.
    pub group: u16,
    /// Where it starts.
    pub cwd: String,
    /// Directories whose contents are to outlive a container, absolute.
    pub volumes: Vec<String>,
    /// The TCP ports on which it listens.
    pub ports: Vec<u16>,
    /// The signal that stops it in order.
    pub stop_signal: i32,
}

impl Run {
    /// Reads a configuration; `user` goes before the image's own. Users and groups are those of the image (passwd(5), group(5)).
    pub(super) fn of(config: &Execution, user: Option<&str>, users: &str, groups: &str) -> Result<Self, String> {
        let args: Vec<String> = config.entrypoint.iter().chain(&config.cmd).cloned().collect();
        if args.first().is_none_or(String::is_empty) {
            return Err("its configuration names no program".to_owned());
        }
        if args.iter().chain(&config.env).any(|text| text.contains('\0')) {
            return Err("its configuration holds what no program can be given".to_owned());
        }
        let account = Account::find(user.unwrap_or(&config.user), users, groups)?;
        let mut env: Vec<(String, String)> = Vec::new();
        for (name, value) in config.env.iter().filter_map(|pair| pair.split_once('=')).filter(|(name, _)| !name.is_empty()) {
            // The last one counts.
            env.retain(|(other, _)| other != name);
            env.push((name.to_owned(), value.to_owned()));
        }
        for (name, value) in [("PATH", PATH), ("HOME", account.home.as_str())] {
            if !env.iter().any(|(other, _)| other == name) {
                env.push((name.to_owned(), value.to_owned()));
            }
        }
        let cwd = if config.working_dir.is_empty() { "/".to_owned() } else { config.working_dir.clone() };
        if !is_plain(&cwd) {
            return Err(format!("its working directory {:?} is no absolute path", shown(&cwd)));
        }
        if let Some(odd) = config.volumes.iter().find(|path| !is_plain(path)) {
            return Err(format!("its volume {:?} is no absolute path", shown(odd)));
        }
        Ok(Self {
            args,
            entrypoint: config.entrypoint.len(),
            env,
            user: account.user,
            group: account.group,
            cwd,
            volumes: config.volumes.iter().cloned().collect(),
            ports: config
                .exposed_ports
                .iter()
                .filter_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok())
                .collect(),
            stop_signal: config.stop_signal.as_deref().map_or(Ok(SIGTERM), signal)?,
        })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn is_plain(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..")
}

/// Who runs a program.
struct Account {
    user: u16,
    group: u16,
    home: String,
}

impl Account {
    /// `USER`, `USER:GROUP`, each a name or a number; nothing is root.
    fn find(text: &str, users: &str, groups: &str) -> Result<Self, String> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let user = if user.is_empty() { "0" } else { user };
        let number = |text: &str| text.parse::<u16>().ok();
        // NAME:PASSWORD:UID:GID:COMMENT:HOME:SHELL
        let line = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
            let by_name = fields.first() == Some(&user);
            let by_number = user.bytes().all(|byte| byte.is_ascii_digit()) && fields.get(2) == Some(&user);
            fields.len() >= 4 && (by_name || by_number)
        });
        let id = match &line {
            Some(fields) => number(fields[2]),
            None => number(user),
        };
        let id = id.ok_or_else(|| format!("it has no user {:?} of a number up to 65535", shown(user)))?;
        let group = match group.filter(|group| !group.is_empty()) {
            None => line.as_ref().and_then(|fields| number(fields[3])).unwrap_or(0),
            Some(group) => {
                // NAME:PASSWORD:GID:MEMBERS
                let found = groups.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == group);
                let found = found.and_then(|fields| number(fields.get(2)?)).or_else(|| number(group));
                found.ok_or_else(|| format!("it has no group {:?} of a number up to 65535", shown(group)))?
            }
        };
        let home = line.and_then(|fields| Some((*fields.get(5)?).to_owned())).filter(|home| is_plain(home));
        Ok(Self { user: id, group, home: home.unwrap_or_else(|| "/".to_owned()) })
    }
}

/// A signal by its name (`SIGINT`, `INT`, `SIGRTMIN+3`) or its number.
fn signal(text: &str) -> Result<i32, String> {
    let refused = || format!("it names no signal that is known, {:?}", shown(text));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=SIGRTMAX).contains(&number) { Ok(number) } else { Err(refused()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(more) = name.strip_prefix("RTMIN") {
        let more = if more.is_empty() { Some(0) } else { more.strip_prefix('+').and_then(|more| more.parse::<i32>().ok()) };
        return more.map(|more| SIGRTMIN + more).filter(|number| (SIGRTMIN..=SIGRTMAX).contains(number)).ok_or_else(refused);
    }
    match name {
        "HUP" => Ok(1),
        "INT" => Ok(2),
        "QUIT" => Ok(3),
        "KILL" => Ok(9),
        "USR1" => Ok(10),
        "USR2" => Ok(12),
        "TERM" => Ok(SIGTERM),
        "WINCH" => Ok(28),
        "PWR" => Ok(30),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nmongodb:x:999:998::/home/mongodb:/bin/sh\nfar:x:100000:1::/:\n";
    const GROUPS: &str = "root:x:0:\nmongodb:x:998:\nother:x:7:\nfar:x:70000:\n";

    fn of(config: &Execution, user: Option<&str>) -> Result<Run, String> {
        Run::of(config, user, USERS, GROUPS)
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_configuration_says_how_it_is_run() {
        let config = Execution {
            user: "mongodb".to_owned(),
            env: words("PATH=/opt/bin A=1 A=2=3 odd =x EMPTY="),
            entrypoint: words("docker-entrypoint.sh"),
            cmd: words("mongod --quiet"),
            working_dir: "/data".to_owned(),
            volumes: ["/data/db".to_owned(), "/data/configdb".to_owned()].into(),
            exposed_ports: ["27017/tcp".to_owned(), "53/udp".to_owned(), "80".to_owned()].into(),
            stop_signal: Some("SIGINT".to_owned()),
            ..Execution::default()
        };
        let run = of(&config, None).expect("it can be run");
        assert_eq!((run.args.join(" ").as_str(), run.entrypoint), ("docker-entrypoint.sh mongod --quiet", 1));
        assert_eq!((run.user, run.group, run.cwd.as_str(), run.stop_signal), (999, 998, "/data", 2));
        let env: Vec<String> = run.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["PATH=/opt/bin", "A=2=3", "EMPTY=", "HOME=/home/mongodb"]);
        assert_eq!(run.volumes, ["/data/configdb", "/data/db"]);
        assert_eq!(run.ports, [27017, 80]);
        let least = of(&Execution { cmd: words("x"), ..Execution::default() }, None).expect("it can be run");
        assert_eq!((least.user, least.group, least.cwd.as_str(), least.stop_signal, least.entrypoint), (0, 0, "/", 15, 0));
        assert_eq!(least.env, [("PATH".to_owned(), PATH.to_owned()), ("HOME".to_owned(), "/root".to_owned())]);
    }

    #[test]
    fn users_are_those_of_the_image() {
        let as_user = |user: &str| {
            let config = Execution { cmd: words("x"), user: user.to_owned(), ..Execution::default() };
            of(&config, None).map(|run| (run.user, run.group))
        };
        for (user, ids) in [
            ("", (0, 0)),
            ("0", (0, 0)),
            ("999", (999, 998)),
            ("1234", (1234, 0)),
            ("mongodb:other", (999, 7)),
            ("1234:5", (1234, 5)),
            ("mongodb:", (999, 998)),
            (":other", (0, 7)),
        ] {
            assert_eq!(as_user(user), Ok(ids), "{user}");
        }
        for bad in ["nobody", "far", "65536", "-1", "mongodb:far", "mongodb:nobody", "mongodb:65536", "a\nb"] {
            let error = as_user(bad).expect_err(bad);
            assert!(!error.contains('\n'), "{error}");
        }
        let config = Execution { cmd: words("x"), ..Execution::default() };
        assert_eq!(of(&config, Some("mongodb")).expect("it can be run").user, 999);
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        let config = || Execution { cmd: words("x"), ..Execution::default() };
        assert!(of(&Execution::default(), None).is_err());
        assert!(of(&Execution { cmd: vec![String::new()], ..config() }, None).is_err());
        assert!(of(&Execution { cmd: vec!["a\0b".to_owned()], ..config() }, None).is_err());
        for path in ["data", "/a/../b", "../x"] {
            assert!(of(&Execution { working_dir: path.to_owned(), ..config() }, None).is_err(), "{path}");
            assert!(of(&Execution { volumes: [path.to_owned()].into(), ..config() }, None).is_err(), "{path}");
        }
        for (name, number) in [("TERM", 15), ("sigquit", 3), ("37", 37), ("SIGRTMIN+3", 37), ("RTMIN", 34)] {
            assert_eq!(signal(name), Ok(number), "{name}");
        }
        for bad in ["", "SIG", "SIGNOPE", "0", "65", "-9", "SIGRTMIN+99", "RTMIN-1", "RTMIN+"] {
            assert!(signal(bad).is_err(), "{bad}");
        }
    }
}
