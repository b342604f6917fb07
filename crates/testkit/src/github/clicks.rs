//! A user of the stand-in who clicks through its pages without a browser: follows them as they are, forms, cookies and all.

use std::net::TcpStream;

use url::Url;
use url::form_urlencoded::Serializer;

use super::GitHub;
use super::server::locked;
use crate::http::{Answer, exchange};

/// Somebody who is signed in to the stand-in.
#[derive(Debug)]
pub struct Visitor {
    web: Url,
    cookie: String,
}

/// A form of a page.
#[derive(Debug)]
struct Form {
    action: String,
    fields: Vec<(String, String)>,
    button: String,
}

impl GitHub {
    /// Signs a user in.
    pub fn visitor(&self, login: &str) -> Visitor {
        let web = Url::parse(&self.web()).expect("the web address");
        let mut visitor = Visitor { web, cookie: String::new() };
        let page = visitor.get("/login?return_to=%2F");
        let mut form = visitor.form(&page, "Sign in");
        form.fields.push(("login".to_owned(), login.to_owned()));
        let answer = visitor.post(&form);
        let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("not signed in: {}", answer.text()));
        cookie.split(';').next().unwrap_or_default().clone_into(&mut visitor.cookie);
        visitor
    }

    /// The number of a repository, for [`Visitor::install`].
    fn number(&self, full_name: &str) -> u64 {
        locked(&self.shared).repository(full_name).unwrap_or_else(|| panic!("there is no {full_name}")).id
    }
}

impl Visitor {
    /// Goes to an address of signing in, says "Authorize" where asked; the address that the App is led back to.
    pub fn authorize(&self, url: &str) -> String {
        let answer = self.get(url);
        let answer = if answer.status == 200 { self.post(&self.form(&answer, "Authorize ")) } else { answer };
        location(&answer)
    }

    /// Goes to an App's installation, chooses an account and repositories (names without the owner; none: all), says "Install &
    /// Authorize"; the address that the App is led back to.
    pub fn install(&self, github: &GitHub, url: &str, account: &str, repositories: Option<&[&str]>) -> String {
        let page = self.get(url).text();
        let link = page.split("<a href=\"").find_map(|rest| {
            let (to, rest) = rest.split_once("\">")?;
            (rest.split('<').next() == Some(account)).then(|| to.replace("&amp;", "&"))
        });
        let page = self.get(&link.unwrap_or_else(|| panic!("{account} can't be chosen: {page}")));
        let mut form = self.form(&page, "Install & Authorize");
        form.fields.extend(choice(github, account, repositories));
        location(&self.post(&form))
    }

    /// Goes to an installation's settings, chooses other repositories, says "Save"; the address that the App is led back to.
    pub fn configure(&self, github: &GitHub, url: &str, account: &str, repositories: Option<&[&str]>) -> String {
        let page = self.get(url);
        let mut form = self.form(&page, "Save");
        form.fields.extend(choice(github, account, repositories));
        location(&self.post(&form))
    }

    /// Posts a manifest to the address for that, says "Create GitHub App"; the address that the platform is led back to.
    pub fn create_app(&self, url: &str, manifest: &str) -> String {
        let form =
            Form { action: url.to_owned(), fields: vec![("manifest".to_owned(), manifest.to_owned())], button: String::new() };
        let page = self.get(&location(&self.post(&form)));
        let mut form = self.form(&page, "Create GitHub App");
        let name = serde_json::from_str::<serde_json::Value>(manifest).expect("a manifest")["name"].as_str().map(str::to_owned);
        form.fields.push(("name".to_owned(), name.unwrap_or_default()));
        location(&self.post(&form))
    }

    /// A page.
    pub fn get(&self, to: &str) -> Answer {
        self.send("GET", to, &[], b"")
    }

    fn post(&self, form: &Form) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        self.send("POST", &form.action, &[("content-type", "application/x-www-form-urlencoded")], body.as_bytes())
    }

    fn send(&self, method: &str, to: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let url = self.web.join(to).expect("an address");
        assert_eq!(url.origin(), self.web.origin(), "the stand-in's pages stay there");
        let stream = TcpStream::connect(url.socket_addrs(|| None).expect("an address")[0]).expect("the stand-in listens");
        let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let authority = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or(80));
        let mut headers = headers.to_vec();
        if !self.cookie.is_empty() {
            headers.push(("cookie", &self.cookie));
        }
        exchange(stream, method, &authority, &target, &headers, body).expect("an answer")
    }

    /// The form of a page whose button begins with these words, with its hidden fields.
    fn form(&self, page: &Answer, button: &str) -> Form {
        let text = page.text();
        let forms: Vec<_> = text.split("<form ").skip(1).filter_map(parsed).collect();
        let names: Vec<_> = forms.iter().map(|form| form.button.clone()).collect();
        let found = forms.into_iter().find(|form| form.button.starts_with(button));
        found.unwrap_or_else(|| panic!("{}: no button {button:?} among {names:?}: {text}", self.web))
    }
}

/// What is chosen on a page of repositories.
fn choice(github: &GitHub, account: &str, repositories: Option<&[&str]>) -> Vec<(String, String)> {
    let target = if repositories.is_some() { "selected" } else { "all" };
    let mut fields = vec![("install_target".to_owned(), target.to_owned())];
    for name in repositories.unwrap_or_default() {
        let id = github.number(&format!("{account}/{name}"));
        fields.push(("repository_ids[]".to_owned(), id.to_string()));
    }
    fields
}

fn location(answer: &Answer) -> String {
    let to = answer.header("location");
    to.unwrap_or_else(|| panic!("it leads nowhere: {}: {}", answer.status, answer.text())).to_owned()
}

fn plain(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// A form as [`super::pages::Page`] writes it.
fn parsed(text: &str) -> Option<Form> {
    let text = text.split("</form>").next()?;
    let action = text.split_once("action=\"")?.1.split('"').next()?;
    let hidden = text.split("<input type=\"hidden\" name=\"").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once("\" value=\"")?;
        Some((plain(name), plain(rest.split('"').next()?)))
    });
    let button = text.split_once("<button type=\"submit\">")?.1.split('<').next()?;
    Some(Form { action: plain(action), fields: hidden.collect(), button: plain(button) })
}
