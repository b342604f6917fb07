//! The form of pages follows Accept, and nothing in them is markup from outside.

use proptest::prelude::*;

use super::*;

fn form(accept: &str) -> Form {
    Form::preferred(Some(&HeaderValue::from_str(accept).unwrap()))
}

#[test]
fn the_form_follows_accept() {
    assert_eq!(Form::preferred(None), Form::Text);
    assert_eq!(form("*/*"), Form::Text);
    assert_eq!(form("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Form::Html);
    assert_eq!(form("application/json"), Form::Json);
    assert_eq!(form("application/json, text/plain, */*"), Form::Json);
    assert_eq!(form("text/html;q=0.5, application/json;q=0.51"), Form::Json);
    assert_eq!(form("application/problem+json"), Form::Json);
    assert_eq!(form("application/json;q=0, text/html;q=0.001"), Form::Html);
    assert_eq!(form("application/json;q=x"), Form::Text);
}

#[test]
fn a_page_says_what_happened_and_when_to_come_back() {
    let response = Page::denied("shop", Denied::QueueFull).respond(Some(&HeaderValue::from_static("application/json")));
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "5");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    let help = "More requests came than it can take. Try again in a moment.";
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "shop is busy",
        "code": "busy",
        "help": help,
        "error": { "code": "busy", "message": "shop is busy", "help": help },
    });
    assert_eq!(body, problem);
}

#[test]
fn status_codes_follow_the_reason() {
    let failure = |kind| Denied::Failed(Failure::new(kind, "t", "d"));
    let cases = [
        (Denied::NoRevision, 503),
        (Denied::Paused, 503),
        (Denied::QueueTimeout, 429),
        (Denied::StartTimeout, 504),
        (failure(FailureKind::Start), 502),
        (failure(FailureKind::StartTimeout), 504),
        (failure(FailureKind::Capacity), 503),
        (failure(FailureKind::Gone), 404),
    ];
    for (denied, status) in cases {
        assert_eq!(Page::denied("a", denied.clone()).respond(None).status(), status, "{denied:?}");
    }
}

#[test]
fn html_takes_each_place_once() {
    let failure = Failure::new(FailureKind::Start, "{help}<b>", "it's \"{title}\" & {status}");
    let html = Page::failed(failure).html();
    assert!(html.contains("<h1>{help}&lt;b&gt;</h1>"), "{html}");
    assert!(html.contains("<p>it&#39;s &quot;{title}&quot; &amp; {status}</p>"), "{html}");
    assert!(html.contains("<p>502</p>") && html.contains("color-scheme: light dark"), "{html}");
}

proptest! {
    #[test]
    fn no_text_becomes_markup(text in "\\PC{0,60}", accept in "[ -~]{0,60}") {
        let page = Page::failed(Failure::new(FailureKind::Start, text.clone(), text));
        let html = page.html();
        prop_assert_eq!(html.matches('<').count(), TEMPLATE.matches('<').count());
        let json: serde_json::Value = serde_json::from_str(&page.json()).unwrap();
        prop_assert_eq!(json["error"]["message"].as_str().unwrap(), page.title.as_ref());
        let _ = page.respond(Some(&HeaderValue::from_str(&accept).unwrap()));
    }
}
