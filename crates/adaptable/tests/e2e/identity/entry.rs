//! Coming in: the first link, passwords, the second factor, invitations; and that none of it leads elsewhere or twice.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::{Browser, PASSWORD, invited, operator, path_of};

#[test]
fn the_first_link_makes_the_operator_once() {
    let platform = crate::platform();
    // The platform answers a moment before it has printed it.
    testkit::wait_until("the link is printed", 60, || platform.log().contains("sign in: "));
    let log = platform.log();
    let printed = log.lines().find_map(|line| line.strip_prefix("sign in: ")).unwrap_or_else(|| panic!("no link in {log}"));
    let first = path_of(printed);
    let mut browser = Browser::new(&platform);

    // Looking at it uses nothing up, and the page is as strict as any.
    let page = browser.get(&first);
    assert_eq!(page.status, 200, "{}", page.text());
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));

    for (name, password) in
        [("ada", "short"), ("Not A Name", PASSWORD), ("ada", "aaaaaaaaaaaaaaaa"), ("ada.lovelace", "ada.lovelace")]
    {
        let answer = browser.post(&first, &[("name", name), ("password", password)]);
        assert_eq!((answer.status, browser.cookie.is_some()), (400, false), "{name} {password}");
    }

    let answer = browser.post(&first, &[("name", "Ada "), ("password", PASSWORD)]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/apps")), "{}", answer.text());
    let cookie = answer.header("set-cookie").expect("a cookie");
    for part in ["__Host-adaptable=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    // The 19 MiB that a password's hash took are the machine's again.
    let used = || {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", platform.pid())).expect("it runs");
        let anonymous = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).expect("a kernel of 5.4 or later");
        anonymous.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes")
    };
    testkit::wait_until("memory is given back", 10, || used() < 16 * 1024);
    let me = browser.call("GET", "/me", b"").json();
    assert_eq!((&me["name"], &me["role"]), (&"ada".into(), &"operator".into()));

    // Once, and for nobody else.
    let mut other = Browser::new(&platform);
    assert_eq!(other.get(&first).status, 404);
    assert_eq!(other.post(&first, &[("name", "eve"), ("password", PASSWORD)]).status, 404);
    let nobody = Browser::new(&platform);
    assert_eq!(
        (nobody.get("/account").status, nobody.get("/account").header("location")),
        (303, Some("/sign-in?next=%2Faccount"))
    );

    // A link for whoever has lost the way in; another one takes its place.
    let link = |arguments: &[&str]| path_of(&platform.cli(&[&["sign-in-link"], arguments].concat()).expect(0).stdout);
    let before = link(&[]);
    let link_now = link(&["--user", "ada"]);
    assert_eq!(other.get(&before).status, 404);
    assert!(other.get(&link_now).text().contains("<strong>ada</strong>"));
    assert_eq!(other.post(&link_now, &[]).status, 303);
    assert_eq!(other.post(&link_now, &[]).status, 404);
    assert_eq!(platform.cli(&["sign-in-link", "--user", "eve"]).code, 1);
    // Neither link nor password nor cookie is in what is written down.
    let audit = platform.cli(&["audit", "--json"]).expect(0).stdout;
    assert!(audit.contains("session.begin") && audit.contains("sign-in-link.create"), "{audit}");
    for secret in [&first[9..], &link_now[9..], PASSWORD, browser.cookie.as_deref().expect("a cookie")] {
        assert!(!audit.contains(secret), "{audit}");
        assert_eq!(platform.log().matches(secret).count(), usize::from(secret == &first[9..]), "{secret}");
    }
}

#[test]
fn a_password_signs_in_and_not_too_often() {
    let platform = crate::platform();
    let before = operator(&platform);

    // Fixation: whatever cookie a browser brings, signing in gives it another one, and the one before is good for nothing.
    let mut browser = Browser::new(&platform);
    browser.cookie = before.cookie.clone();
    browser.sign_in("ada");
    assert_ne!(browser.cookie, before.cookie);
    assert_eq!(before.get("/account").status, 303, "the session that it came with has ended");
    let mut slipped = Browser::new(&platform);
    slipped.cookie = Some("0".repeat(64));
    let answer = slipped.send(
        "POST",
        "/sign-in",
        &[("Origin", &slipped.origin()), ("Content-Type", "application/x-www-form-urlencoded")],
        format!("name=ada&password={}", PASSWORD.replace(' ', "+")).as_bytes(),
    );
    assert!(answer.header("set-cookie").is_some_and(|line| !line.contains(&"0".repeat(64))), "{answer:?}");

    // Whatever `next` says, nobody is led elsewhere.
    for (next, leads) in [
        ("/account?x=1", "/account?x=1"),
        ("//evil.example", "/apps"),
        ("/\\evil.example", "/apps"),
        ("https:evil.example", "/apps"),
        ("https://evil.example/", "/apps"),
        ("/\t/evil.example", "/apps"),
        ("javascript:alert(1)", "/apps"),
        ("", "/apps"),
    ] {
        let mut browser = Browser::new(&platform);
        let answer = browser.post("/sign-in", &[("name", "ada"), ("password", PASSWORD), ("next", next)]);
        assert_eq!((answer.status, answer.header("location")), (303, Some(leads)), "{next:?}");
        let query = super::form(&[("next", next)]);
        assert_eq!(browser.get(&format!("/sign-in?{query}")).header("location"), Some(leads), "{next:?}");
        let page = Browser::new(&platform).get(&format!("/sign-in?{query}")).text();
        assert!(!page.contains("evil.example") && !page.contains("javascript:"), "{next:?}");
    }

    // Sessions: listed, ended one by one, ended everywhere.
    let mut second = Browser::new(&platform);
    second.sign_in("ada");
    let list = second.call("GET", "/sessions", b"").json();
    assert!(list.as_array().is_some_and(|list| list.len() > 2), "{list}");
    let other = list.as_array().and_then(|list| list.iter().find(|it| it["current"] == false)).expect("another session");
    let other = format!("/sessions/{}", other["id"].as_str().expect("an id"));
    assert_eq!(second.call("DELETE", &other, b"").status, 204);
    assert_eq!(second.call("DELETE", &other, b"").status, 404);
    assert_eq!(second.post("/account/sessions/end-others", &[]).status, 303);
    assert_eq!(browser.get("/account").status, 303);
    assert_eq!(second.get("/account").status, 200);
    // A changed password ends the others, too; the wrong one changes nothing.
    let mut third = Browser::new(&platform);
    third.sign_in("ada");
    assert_eq!(second.post("/account/password", &[("old", "wrong wrong wrong"), ("new", "another sentence")]).status, 403);
    assert_eq!(second.post("/account/password", &[("old", PASSWORD), ("new", "another sentence")]).status, 303);
    assert_eq!((third.get("/account").status, second.get("/account").status), (303, 200));
    assert_eq!(second.post("/sign-out", &[]).status, 303);
    assert_eq!((second.cookie.clone(), third.get("/account").status), (None, 303));

    // A name that there is not is told like one that there is.
    let wrong = |name: &str| {
        let answer = Browser::new(&platform).post("/sign-in", &[("name", name), ("password", "wrong wrong wrong")]);
        (answer.status, answer.text().replace(&format!("value=\"{name}\""), "value=\"NAME\""))
    };
    assert_eq!(wrong("ada"), wrong("eve"));
    // And a dozen tries are enough, also for whoever then knows the password.
    let mut last = 0;
    for _ in 0..30 {
        last = wrong("ada").0;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    let answer = Browser::new(&platform).post("/sign-in", &[("name", "ada"), ("password", "another sentence")]);
    assert_eq!(answer.status, 429);
    assert!(answer.text().contains("too many tries to sign in"), "{}", answer.text());
}

/// RFC 6238, as an authenticator does it.
fn code(secret: &str, step: u64) -> String {
    let value = |letter: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == letter).expect("base 32");
    let bits: Vec<usize> = secret.bytes().map(value).flat_map(|value| (0..5).rev().map(move |at| (value >> at) & 1)).collect();
    let byte = |bits: &[usize]| bits.iter().fold(0_u8, |byte, bit| (byte << 1) | u8::from(*bit == 1));
    let key: Vec<u8> = bits.chunks_exact(8).map(byte).collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).expect("a key");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 15);
    let number = u32::from_be_bytes([hash[offset], hash[offset + 1], hash[offset + 2], hash[offset + 3]]) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

fn step() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() / 30
}

/// What stands in a hidden field of a page.
fn field(page: &str, name: &str) -> String {
    let rest = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name} in {page}")).1;
    rest.split('"').next().expect("an attribute").to_owned()
}

#[test]
fn a_code_is_taken_once() {
    let platform = crate::platform();
    let mut ada = operator(&platform);
    let page = ada.get("/account/second-factor").text();
    let secret = field(&page, "secret");
    assert!(page.contains("<svg class=\"qr\"") && page.contains(&secret), "{page}");
    let refused = ada.post("/account/second-factor", &[("secret", &secret), ("code", "000000")]);
    assert!(refused.status == 400 && refused.text().contains(&secret), "the same secret is shown again");
    assert_eq!(ada.call("GET", "/me", b"").json()["second_factor"], false);

    let used = step();
    let done = ada.post("/account/second-factor", &[("secret", &secret), ("code", &code(&secret, used))]);
    assert_eq!(done.status, 200, "{}", done.text());
    let text = done.text();
    let items = text.lines().filter_map(|line| line.rsplit_once("<li>").map(|(_, item)| item.trim_end_matches("</li>")));
    let recovery: Vec<&str> = items.filter(|item| item.len() == 19).collect();
    assert_eq!(recovery.len(), 10, "{text}");

    // The password alone is not enough any more.
    let begin = || {
        let mut browser = Browser::new(&platform);
        let answer = browser.post("/sign-in", &[("name", "ada"), ("password", PASSWORD), ("next", "/account")]);
        assert_eq!((answer.status, browser.cookie.is_none()), (200, true), "{}", answer.text());
        let way = field(&answer.text(), "way");
        (browser, way)
    };
    let (mut browser, way) = begin();
    assert_eq!(browser.get("/account").status, 303);
    // The code that has set it up is used up; so is each that has signed in, and those before it.
    let try_code = |browser: &mut Browser<'_>, way: &str, code: &str| {
        browser.post("/sign-in/code", &[("way", way), ("code", code), ("next", "/account")]).status
    };
    assert_eq!(try_code(&mut browser, &way, &code(&secret, used)), 403);
    let next = used + 1;
    assert_eq!(try_code(&mut browser, &way, &code(&secret, next)), 303);
    assert_eq!(browser.get("/account").status, 200);
    // The way there is gone with it.
    assert_eq!(try_code(&mut Browser::new(&platform), &way, recovery[9]), 401);
    let (mut browser, way) = begin();
    assert_eq!(try_code(&mut browser, &way, &code(&secret, next)), 403);
    assert_eq!(try_code(&mut browser, &way, &recovery[0].to_uppercase().replace('-', " ")), 303);
    let (mut browser, way) = begin();
    assert_eq!(try_code(&mut browser, &way, recovery[0]), 403);
    assert_eq!(try_code(&mut browser, &way, recovery[1]), 303);
    // Off takes the password.
    assert_eq!(browser.post("/account/second-factor/remove", &[("password", "wrong wrong wrong")]).status, 403);
    assert_eq!(browser.post("/account/second-factor/remove", &[("password", PASSWORD)]).status, 303);
    Browser::new(&platform).sign_in("ada");
}

#[test]
fn an_invitation_is_taken_once() {
    let platform = crate::platform();
    operator(&platform);
    let link = path_of(&platform.cli(&["users", "invite", "--note", "<b>Bob</b>"]).expect(0).stdout);
    let mut bob = Browser::new(&platform);
    assert_eq!(bob.get(&link).status, 200);
    assert_eq!(bob.post(&link, &[("name", "ada"), ("password", PASSWORD)]).status, 409, "the name is taken");
    assert_eq!(bob.post(&link, &[("name", "bob"), ("password", PASSWORD)]).status, 303);
    assert_eq!(bob.call("GET", "/me", b"").json()["role"], "member");
    assert_eq!(bob.post(&link, &[("name", "eve"), ("password", PASSWORD)]).status, 404);
    let another = platform.cli(&["users", "invite", "--role", "operator", "--json"]).expect(0).json();
    let id = another["id"].as_str().expect("an id").to_owned();
    platform.cli(&["users", "uninvite", &id]).expect(0);
    assert_eq!(Browser::new(&platform).get(&path_of(another["url"].as_str().expect("a link"))).status, 404);
    assert_eq!(platform.cli(&["users", "uninvite", &id]).code, 1);

    // Locked out: signed out at once, and no way back in until that is over.
    platform.cli(&["users", "disable", "bob"]).expect(0);
    assert_eq!(bob.get("/account").status, 303);
    assert_eq!(Browser::new(&platform).post("/sign-in", &[("name", "bob"), ("password", PASSWORD)]).status, 401);
    platform.cli(&["users", "enable", "bob"]).expect(0);
    bob.sign_in("bob");
    // The last operator can't go.
    for arguments in [["users", "disable", "ada"].as_slice(), &["users", "delete", "ada"], &["users", "role", "ada", "member"]] {
        let refused = platform.cli(arguments).expect(1).stderr;
        assert!(refused.contains("ada is the last operator"), "{refused}");
    }
    platform.cli(&["users", "role", "bob", "operator"]).expect(0);
    platform.cli(&["users", "delete", "ada"]).expect(0);
    let eve = invited(&platform, "eve", &[]);
    assert_eq!(eve.call("GET", "/users", b"").status, 403);
    assert_eq!(bob.call("GET", "/users", b"").json().as_array().map(Vec::len), Some(2));
}
