//! Checks of the network: ports, forwarding, name servers, certificates.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use api::Check;

use super::machine;
use crate::config::ServeConfig;
use crate::reach::read_authority;

/// How long a program may take to tell the firewall's rules.
const PATIENCE: Duration = Duration::from_secs(5);

/// All checks.
pub(super) async fn all(config: &ServeConfig, runs: bool) -> Vec<Check> {
    let mut checks = vec![machine::program("nft", "nftables", "keeps apps apart"), forwarding(), forward_policy().await];
    if !runs {
        checks.push(port("port for HTTP", config.http));
        checks.push(port("port for HTTPS", config.https));
    }
    checks.push(name_servers());
    checks.push(roots());
    checks.push(authority(config));
    checks
}

fn forwarding() -> Check {
    match fs::read_to_string("/proc/sys/net/ipv4/ip_forward").as_deref().map(str::trim) {
        Ok("1") => Check::ok("forwarding", "the kernel forwards packets"),
        Ok(_) => Check::ok("forwarding", "off; the platform switches it on for apps to reach the internet"),
        Err(error) => {
            Check::fail("forwarding", format!("the kernel has no switch for it: {error}"), "use a kernel with CONFIG_INET")
        }
    }
}

/// Docker drops what it does not know of in the chain FORWARD; the platform lets its own packets pass before.
async fn forward_policy() -> Check {
    let listed = output("nft", &["list", "chain", "ip", "filter", "FORWARD"]).await.unwrap_or_default();
    if listed.contains("policy drop") {
        Check::ok("forward policy", "drop (as Docker sets it); the platform lets the packets of its apps pass")
    } else {
        Check::ok("forward policy", "accept")
    }
}

async fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = tokio::process::Command::new(machine::find(program)?);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn port(name: &str, address: SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) => {
            let flag = if name.ends_with("HTTPS") { "--https" } else { "--http" };
            Check::fail(name, format!("can't listen on {address}: {error}"), format!("choose another: {flag} ADDR:PORT"))
        }
    }
}

fn name_servers() -> Check {
    name_servers_check(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

/// An app has a network of its own, in which the machine's loopback addresses mean the app itself.
fn name_servers_check(text: &str) -> Check {
    let servers: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).map(str::trim).collect();
    let inside = |server: &&str| server.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_loopback());
    let upstream = Path::new("/run/systemd/resolve/resolv.conf");
    if servers.iter().any(inside) {
        Check::ok("name servers", servers.join(", "))
    } else if upstream.exists() {
        Check::ok("name servers", format!("those of {}", upstream.display()))
    } else {
        Check::warn(
            "name servers",
            "none that an app could reach; only loopback addresses stand in /etc/resolv.conf",
            "name one that is not on a loopback address",
        )
    }
}

fn roots() -> Check {
    let file = std::env::var("SSL_CERT_FILE").unwrap_or_else(|_not_set| "/etc/ssl/certs/ca-certificates.crt".to_owned());
    match fs::read_to_string(&file) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => Check::ok("root certificates", file),
        _ => Check::warn(
            "root certificates",
            format!("there are none in {file}; builds and apps can't verify anybody"),
            "apt-get install ca-certificates",
        ),
    }
}

fn authority(config: &ServeConfig) -> Check {
    let file = config.data_dir.join("ca.pem");
    if !file.exists() {
        return Check::ok("own authority", "the platform makes it when it first starts");
    }
    match read_authority(&file) {
        Ok(authority) => Check::ok("own authority", format!("{}, SHA-256 {}", file.display(), authority.fingerprint())),
        Err(_unreadable) => Check::fail(
            "own authority",
            format!("{} can't be read as a certificate", file.display()),
            "restore it from a backup; visitors trust this very certificate",
        ),
    }
}

#[cfg(test)]
mod tests {
    use api::CheckState;

    use super::*;

    #[test]
    fn a_name_server_on_loopback_is_of_no_use_inside() {
        assert_eq!(name_servers_check("# x\nnameserver 192.0.2.1\n").state, CheckState::Ok);
        if !Path::new("/run/systemd/resolve/resolv.conf").exists() {
            assert_eq!(name_servers_check("nameserver 127.0.0.53\n").state, CheckState::Warn);
        }
    }

    #[test]
    fn a_taken_port_is_named_with_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("its address");
        let check = port("port for HTTPS", address);
        assert_eq!(check.state, CheckState::Fail);
        assert!(check.help.contains("--https"), "{check:?}");
        drop(taken);
        assert_eq!(port("port for HTTPS", address).state, CheckState::Ok);
    }
}
