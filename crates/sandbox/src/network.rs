//! A container's network: a pair of devices, an address from the platform's pool, and the rules that say who reaches whom.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::netlink::{Netlink, index};
use crate::spec::{Finding, Link};

/// Addresses in a platform's pool: a /20.
const POOL: u32 = 4096;
/// What the pools of all platforms on a machine lie in: 10.192.0.0/11, 512 pools.
const POOLS: u32 = 0x0AC0_0000;
const POOL_COUNT: u32 = 512;
/// The same as a rule has it.
const ALL: &str = "10.192.0.0/11";
/// What the names of all platforms' devices begin with.
const DEVICES: &str = "ad";

/// A platform's part of the machine's network.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// What tells platforms apart.
    tag: String,
    /// The first address of the pool.
    pool: Ipv4Addr,
    /// What the names of its devices begin with.
    prefix: String,
    /// The name of its table of rules.
    table: String,
    /// The user whose processes may connect to containers.
    platform_uid: u32,
    /// Whether its containers are servers, for the containers of others that may reach them.
    servers: bool,
    /// The machine's own resolvers.
    resolvers: Vec<Ipv4Addr>,
}

/// The addresses that are given out.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    used: BTreeSet<u32>,
    next: u32,
}

impl Pool {
    /// The next free number; recently freed ones come last, so that a late packet meets nobody.
    pub(crate) fn take(&mut self) -> Option<u32> {
        for _ in 2..POOL - 1 {
            self.next = if self.next + 1 >= POOL - 1 { 2 } else { (self.next + 1).max(2) };
            if self.used.insert(self.next) {
                return Some(self.next);
            }
        }
        None
    }

    pub(crate) fn give_back(&mut self, number: u32) {
        self.used.remove(&number);
    }
}

/// How long the device of a container that has ended may be in the way.
const LETTING_GO: Duration = Duration::from_secs(2);

/// Makes a container's pair of devices. One of the same name is that of a container which has ended, perhaps with its platform: the
/// kernel lets go of namespaces in its own time.
fn pair(outside: &mut Netlink, device: &str, pid: i32) -> io::Result<()> {
    let until = Instant::now() + LETTING_GO;
    loop {
        match outside.veth(device, "eth0", pid) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && Instant::now() < until => {
                // It may be gone by now.
                let _gone = index(device).and_then(|number| outside.remove(number));
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

impl Network {
    /// Chooses a pool by the platform's tag, beside what the machine's network has already; `claim` refuses other platforms' pools.
    pub(crate) fn choose(
        tag: &str,
        platform_uid: u32,
        servers: bool,
        resolvers: Vec<Ipv4Addr>,
        mut claim: impl FnMut(u32) -> bool,
    ) -> Self {
        let wanted = tag.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let taken = taken_networks(tag);
        let mut free = |number: u32| {
            let first = POOLS + (number % POOL_COUNT) * POOL;
            let overlaps = |&(network, mask): &(u32, u32)| {
                let wider = mask & !(POOL - 1);
                network & wider == first & wider
            };
            let resolver = |address: &Ipv4Addr| u32::from(*address) & !(POOL - 1) == first;
            (!taken.iter().any(overlaps) && !resolvers.iter().any(resolver) && claim(number % POOL_COUNT)).then_some(first)
        };
        let first = (wanted..wanted + POOL_COUNT).find_map(&mut free).unwrap_or(POOLS + (wanted % POOL_COUNT) * POOL);
        Self {
            tag: tag.to_owned(),
            pool: Ipv4Addr::from(first),
            prefix: prefix(tag),
            table: table(tag),
            platform_uid,
            servers,
            resolvers,
        }
    }

    fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.pool) + 1)
    }

    /// The address of a number from the pool.
    pub(crate) fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.pool) + number)
    }

    fn device(&self, number: u32) -> String {
        format!("{}{number}", self.prefix)
    }

    /// Connects the network namespace of a container's first process. The caller ends up in that namespace.
    pub(crate) fn connect(&self, number: u32, pid: i32) -> io::Result<()> {
        let device = self.device(number);
        let (gateway, address) = (self.gateway(), self.address(number));
        let mut outside = Netlink::open()?;
        pair(&mut outside, &device, pid)?;
        // Without IPv6 a container has no link-local neighbour.
        let _without = fs::write(format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"), "1");
        // What comes from a container bears its own address, or is dropped.
        let _strict = fs::write(format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"), "1");
        let number = index(&device)?;
        outside.address(number, gateway, address)?;
        outside.up(number)?;
        let namespace = fs::File::open(format!("/proc/{pid}/ns/net"))?;
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        let mut inside = Netlink::open()?;
        let _without = fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1");
        // An app without capabilities may still listen on port 80.
        let _old = fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
        inside.up(index("lo")?)?;
        let number = index("eth0")?;
        inside.address(number, address, gateway)?;
        inside.up(number)?;
        inside.default_route(number, gateway)
    }

    /// Makes the rules, in place of those that an earlier platform left.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        self.remove();
        nft(&self.rules())?;
        self.maintain();
        Ok(())
    }

    /// The rules. An address whose container has ended must lead nowhere: by the default route, somebody else could answer for it.
    fn rules(&self) -> String {
        let Self { table, prefix, platform_uid, .. } = self;
        // Whose containers come here has looked already at whether they may: every other way out of them is closed by its own table.
        let callers = if self.servers {
            format!(
                "    iifname \"{DEVICES}*\" ip saddr {ALL} accept\n    iifname \"{prefix}*\" ip daddr {ALL} ct state established,related accept\n"
            )
        } else {
            String::new()
        };
        let pool = format!("{}/20", self.pool);
        let resolvers = self.resolvers.iter().flat_map(|address| ["udp", "tcp"].map(|protocol| (address, protocol))).fold(
            String::new(),
            |text, (address, protocol)| {
                text + &format!("    iifname \"{prefix}*\" ip daddr {address} {protocol} dport 53 accept\n")
            },
        );
        format!(
            "table inet {table} {{
  set links {{
    type ipv4_addr . ipv4_addr . inet_service
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname \"{prefix}*\" ip saddr . ip daddr . tcp dport @links accept
    iifname \"{prefix}*\" oifname \"{prefix}*\" ct state established,related accept
    iifname \"{prefix}*\" oifname \"{prefix}*\" drop
{callers}    iifname \"{prefix}*\" ip saddr != {pool} drop
    iifname \"{prefix}*\" meta nfproto ipv6 drop
{resolvers}    iifname \"{prefix}*\" ip daddr {{ {ALL}, 169.254.0.0/16, 224.0.0.0/4, 255.255.255.255 }} drop
    oifname \"{prefix}*\" ct state established,related accept
    oifname \"{prefix}*\" drop
  }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname \"{prefix}*\" ct state established,related accept
    iifname \"{prefix}*\" ip saddr . ip daddr . tcp dport @links accept
{resolvers}    iifname \"{prefix}*\" drop
  }}
  chain output {{
    type filter hook output priority -10; policy accept;
    ip daddr {pool} oifname != \"{prefix}*\" oifname != \"lo\" reject with icmpx type host-unreachable
    oifname \"{prefix}*\" ct state established,related accept
    oifname \"{prefix}*\" meta skuid != {platform_uid} drop
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {pool} oifname != \"{prefix}*\" masquerade
  }}
}}
"
        )
    }

    /// Begins to let a container reach those it may reach, while it is made.
    pub(crate) fn link(&self, number: u32, links: &[Link]) -> io::Result<Linking> {
        Ok(Linking(if links.is_empty() { None } else { Some(start_nft(&self.elements("add", number, links))?) }))
    }

    /// Ends that; nobody waits for it, since the address is given out again last of all.
    pub(crate) fn unlink(&self, number: u32, links: &[Link]) {
        if !links.is_empty() {
            let _reaped_by_the_loop = start_nft(&self.elements("delete", number, links));
        }
    }

    fn elements(&self, verb: &str, number: u32, links: &[Link]) -> String {
        let from = self.address(number);
        let elements: BTreeSet<String> = links.iter().map(|link| format!("{from} . {} . {}", link.address, link.port)).collect();
        let elements: Vec<String> = elements.into_iter().collect();
        format!("{verb} element inet {} links {{ {} }}\n", self.table, elements.join(", "))
    }

    /// Lets our packets through the forward policy of a container engine on the same machine, which drops all that it does not know.
    pub(crate) fn maintain(&self) {
        for program in ["iptables", "iptables-legacy"] {
            let policy = run(program, &["-w", "2", "-S", "FORWARD"]).unwrap_or_default();
            if !policy.lines().any(|line| line == "-P FORWARD DROP") {
                continue;
            }
            for direction in ["-i", "-o"] {
                let device = format!("{}+", self.prefix);
                let rule = [direction, device.as_str(), "-j", "ACCEPT"];
                let present = run(program, &[&["-w", "2", "-C", "FORWARD"], &rule[..]].concat()).is_some();
                if !present {
                    let _failed = run(program, &[&["-w", "2", "-I", "FORWARD"], &rule[..]].concat());
                }
            }
        }
    }

    /// What the machine does with the packets of containers.
    pub(crate) fn check(&self) -> Vec<Finding> {
        let rules = run("nft", &["list", "table", "inet", &self.table]).is_some();
        let forwards = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1");
        let problem = match (rules, forwards) {
            (true, true) => None,
            (false, _) => Some("another program has removed the platform's rules: start the platform again".to_owned()),
            (_, false) => Some("another program has turned forwarding off: set net.ipv4.ip_forward to 1".to_owned()),
        };
        let found = format!("containers have addresses of {}/20 and devices {}*", self.pool, self.prefix);
        let network = Finding { what: "container network".to_owned(), found, problem };
        let names: Vec<String> = self.resolvers.iter().map(Ipv4Addr::to_string).collect();
        let resolver = Finding {
            what: "resolver".to_owned(),
            found: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
            problem: names.is_empty().then(|| {
                "name a resolver in /etc/resolv.conf that is no loopback address, or apps and builds can't resolve names"
                    .to_owned()
            }),
        };
        vec![network, resolver]
    }

    /// Removes the rules.
    pub(crate) fn remove(&self) {
        remove(&self.tag);
    }
}

/// The name of a platform's table of rules.
fn table(tag: &str) -> String {
    format!("adaptable_{tag}")
}

/// What the names of a platform's devices begin with. They have 15 bytes at most: a tag of 4, a number of up to 4.
fn prefix(tag: &str) -> String {
    let short: String = tag.chars().take(4).collect();
    format!("{DEVICES}{short}-")
}

/// Removes the devices of containers that have ended. The kernel lets go of a namespace in its own time: a connection that its last
/// process left open keeps it, and the device with it.
fn remove_devices(prefix: &str) {
    let Ok(mut netlink) = Netlink::open() else { return };
    for entry in fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str().filter(|name| name.starts_with(prefix)) {
            // It may be gone by now.
            let _gone = index(name).and_then(|number| netlink.remove(number));
        }
    }
}

/// Removes the rules of the platform with a tag, and the devices that are still there.
pub(crate) fn remove(tag: &str) {
    remove_devices(&prefix(tag));
    let _none = nft(&format!("delete table inet {}\n", table(tag)));
    for program in ["iptables", "iptables-legacy"] {
        for direction in ["-i", "-o"] {
            let device = format!("{}+", prefix(tag));
            while run(program, &["-w", "2", "-D", "FORWARD", direction, &device, "-j", "ACCEPT"]).is_some() {}
        }
    }
}

/// What a program prints, where it ends well.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Rules that are being added for one container.
pub(crate) struct Linking(Option<Child>);

impl Linking {
    /// Waits until they are there.
    pub(crate) fn done(self) -> io::Result<()> {
        self.0.map_or(Ok(()), finish_nft)
    }
}

/// Gives rules to nft(8).
fn nft(rules: &str) -> io::Result<()> {
    finish_nft(start_nft(rules)?)
}

fn start_nft(rules: &str) -> io::Result<Child> {
    let mut child =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes())?;
    }
    Ok(child)
}

fn finish_nft(child: Child) -> io::Result<()> {
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("nft: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// The networks that this machine's routes lead to, with their masks; the default route is none.
fn taken_networks(tag: &str) -> Vec<(u32, u32)> {
    let own = prefix(tag);
    let text = fs::read_to_string("/proc/net/route").unwrap_or_default();
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // Our own routes are those of a platform that is just ending.
            if fields.first()?.starts_with(&own) {
                return None;
            }
            let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
            let (network, mask) = (number(fields.get(1)?)?, number(fields.get(7)?)?);
            (mask != 0).then_some((network, mask))
        })
        .collect()
}

/// The sockets that listen for TCP in the network namespace of a process (proc(5), `/proc/pid/net/tcp`).
pub(crate) fn listeners(pid: i32) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|text| text.lines().skip(1).filter_map(listener).collect::<Vec<_>>())
        .collect();
    found.sort();
    found.dedup();
    found
}

fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    // 0A is TCP_LISTEN.
    if fields.nth(1)? != "0A" {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Vec<[u8; 4]> = (0..address.len() / 8)
        .map(|word| u32::from_str_radix(&address[word * 8..word * 8 + 8], 16).map(u32::to_ne_bytes))
        .collect::<Result<_, _>>()
        .ok()?;
    match words.as_slice() {
        [one] => Some(SocketAddr::from((*one, port))),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [*a, *b, *c, *d].concat().try_into().ok()?;
            Some(SocketAddr::from((bytes, port)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_each_number_once_and_freed_ones_last() {
        let mut pool = Pool::default();
        let all: Vec<u32> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(all.len(), 4093);
        assert_eq!((all[0], *all.last().expect("many")), (2, 4094));
        pool.give_back(100);
        assert_eq!(pool.take(), Some(100));
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn listeners_are_read_from_the_kernels_table() {
        let line =
            "   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0";
        assert_eq!(listener(line), Some("127.0.0.1:5000".parse().expect("an address")));
        let six = "   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1";
        assert_eq!(listener(six), Some("[::]:8080".parse().expect("an address")));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
    }
}
