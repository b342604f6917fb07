//! What other sites make a browser send is refused, whatever cookie it brings.

use super::{Browser, form, operator};

#[test]
fn another_site_can_do_nothing_in_ones_name() {
    let platform = crate::platform();
    let ada = operator(&platform);
    let (origin, csrf) = (ada.origin(), ada.csrf());
    let plain = ("Content-Type", "application/x-www-form-urlencoded");
    let good = form(&[("theme", "dark"), ("csrf", &csrf)]);
    let send = |headers: &[(&str, &str)], body: &str| {
        let status = ada.send("POST", "/account/sessions/end-others", headers, body.as_bytes()).status;
        let api = ada.send("DELETE", "/api/v1/sessions", headers, body.as_bytes()).status;
        (status, api)
    };
    let token = ("X-Csrf-Token", csrf.as_str());
    // What our own pages send: a form's field, and a script's header.
    assert_eq!(send(&[("Origin", &origin), plain], &good), (303, 204));
    assert_eq!(send(&[("Origin", &origin), token], ""), (303, 204));
    assert_eq!(send(&[("Sec-Fetch-Site", "same-origin"), token], ""), (303, 204));
    // No token, a wrong one, one in the wrong place, another session's.
    let elses = operator_of_another_session(&ada);
    // One digit of it is another one.
    let wrong = format!("{}{}", if csrf.starts_with('0') { '1' } else { '0' }, &csrf[1..]);
    let wrong = form(&[("csrf", &wrong)]);
    for body in ["", "csrf=", "CSRF=x", wrong.as_str(), &form(&[("csrf", &elses)])] {
        assert_eq!(send(&[("Origin", &origin), plain], body), (403, 403), "{body}");
    }
    assert_eq!(send(&[("Origin", &origin), ("Content-Type", "text/plain")], &good), (403, 403));
    assert_eq!(send(&[("Origin", &origin), ("X-Csrf-Token", "0")], ""), (403, 403));
    // The token, from elsewhere: another site, an app below our domain, the same host without TLS, a sandbox, nobody knows where.
    let app = origin.replace("localhost", "shop.localhost");
    let bare = origin.replace("https", "http");
    for from in ["https://evil.example", app.as_str(), bare.as_str(), "https://localhost", "null"] {
        assert_eq!(send(&[("Origin", from), plain], &good), (403, 403), "{from}");
        assert_eq!(send(&[("Origin", from), ("Sec-Fetch-Site", "same-origin"), token], ""), (403, 403), "{from}");
    }
    for site in ["cross-site", "same-site", "none"] {
        assert_eq!(send(&[("Sec-Fetch-Site", site), token], ""), (403, 403), "{site}");
    }
    assert_eq!(send(&[token], ""), (403, 403));

    // Nobody is signed in as somebody else by another site, either.
    let nobody = Browser::new(&platform);
    let body = form(&[("name", "ada"), ("password", super::PASSWORD)]);
    for from in [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site"), ("X-Nothing", "")] {
        let answer = nobody.send("POST", "/sign-in", &[from, plain], body.as_bytes());
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{from:?}");
    }
    // A token in `Authorization` is no cookie: it needs none of this; and a wrong one is not made up for by the cookie.
    let made = platform.cli(&["token", "create", "ci"]).expect(0).stdout;
    let bearer = format!("Bearer {}", made.trim());
    let answer = ada.send("POST", "/api/v1/invites", &[("Authorization", &bearer), ("Content-Type", "application/json")], b"{}");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer = ada.send("GET", "/api/v1/users", &[("Authorization", "Bearer adpt_wrong")], b"");
    assert_eq!(answer.status, 401);
    // Cookies of apps below our domain are not ours.
    assert_eq!(platform.get("shop", "/account").status, 404);
}

/// The token of another session of the same user.
fn operator_of_another_session(ada: &Browser<'_>) -> String {
    let mut other = Browser::new(ada.platform);
    other.sign_in("ada");
    other.csrf()
}
