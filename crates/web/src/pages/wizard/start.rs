//! Where a new app begins: from GitHub, from an archive, or from somebody's own machine.

use api::{ErrorBody, ErrorCode};
use askama::Template;
use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use control::{Control, DraftSource, Who};
use tokio::io::AsyncWriteExt as _;

use super::{CONNECT, INSTALL, Step, Unfinished, address, to, unfinished};
use crate::access::Asker;
use crate::answer::{self, Answer, Problem};
use crate::pages::layout::{Nav, Shell, page, page_with};

/// The largest archive that a browser may send, in bytes.
const UPLOAD_MAX: usize = 512 << 20;

/// How far GitHub is connected.
#[derive(Debug)]
enum GitHub {
    NotSetUp { operator: bool },
    NotConnected { connect: &'static str },
    NotInstalled,
    Ready { accounts: String },
    Trouble { message: String, help: String },
}

#[derive(Debug, Template)]
#[template(path = "new.html")]
struct New {
    shell: Shell,
    unfinished: Vec<Unfinished>,
    github: GitHub,
}

/// Where a new app begins.
pub(super) async fn show(shell: Shell, asker: Asker, State(control): State<Control>) -> Answer<Response> {
    let unfinished = unfinished(&control, &asker.who).await?;
    let github = github(&control, &asker.who).await;
    Ok(page(&New { shell: shell.titled("New app").at(Nav::Dashboard), unfinished, github }))
}

async fn github(control: &Control, who: &Who) -> GitHub {
    let trouble = |error: ErrorBody| GitHub::Trouble { message: error.message, help: error.help };
    let state = match control.github_state(who).await {
        Ok(state) => state,
        Err(error) => return trouble(error),
    };
    if state.app.is_none() {
        return GitHub::NotSetUp { operator: who.identity().is_some_and(|identity| identity.is_operator()) };
    }
    match control.github_installations(who).await {
        Ok(list) if list.is_empty() => GitHub::NotInstalled,
        Ok(list) => GitHub::Ready { accounts: list.into_iter().map(|it| it.account).collect::<Vec<_>>().join(", ") },
        Err(error) if error.code == ErrorCode::GithubSignIn => GitHub::NotConnected { connect: CONNECT },
        Err(error) => trouble(error),
    }
}

/// Begins with a repository: where none is connected yet, by way of GitHub, which leads back to the list of them.
pub(super) async fn begin(asker: Asker, State(control): State<Control>) -> Answer<Response> {
    let connected = !matches!(github(&control, &asker.who).await, GitHub::NotInstalled);
    let view = control.begin_draft(&asker.who, None).await?;
    if !connected {
        return Ok(Redirect::to(&format!("{INSTALL}?next={}", address(&view.id, Step::Repository))).into_response());
    }
    Ok(to(&view.id, Step::Repository))
}

/// Forgets a draft.
pub(super) async fn discard(asker: Asker, State(control): State<Control>, Path(id): Path<String>) -> Answer<Response> {
    control.delete_draft(&asker.who, &id).await?;
    Ok(Redirect::to("/new").into_response())
}

#[derive(Debug, Template)]
#[template(path = "new_upload.html")]
struct UploadPage {
    shell: Shell,
    most: usize,
    wrong: String,
    help: String,
}

impl UploadPage {
    fn new(shell: Shell, error: Option<ErrorBody>) -> Self {
        let (wrong, help) = error.map(|error| (error.message, error.help)).unwrap_or_default();
        Self { shell: shell.titled("Upload the source").at(Nav::Dashboard), most: UPLOAD_MAX >> 20, wrong, help }
    }
}

/// Asks for an archive.
pub(super) async fn upload(shell: Shell) -> Response {
    page(&UploadPage::new(shell, None))
}

/// Takes an archive, and begins with what it holds.
pub(super) async fn post_upload(
    shell: Shell,
    asker: Asker,
    State(control): State<Control>,
    request: Request,
) -> Answer<Response> {
    match take(&control, request).await {
        Ok(source) => {
            let view = control.begin_draft(&asker.who, Some(source)).await?;
            Ok(to(&view.id, Step::Template))
        }
        Err(problem) => {
            let status = answer::status(&problem.0);
            Ok(page_with(status, &UploadPage::new(shell, Some(problem.0))))
        }
    }
}

/// Receives the file of a form while it comes.
async fn take(control: &Control, request: Request) -> Answer<DraftSource> {
    let nothing = || {
        Problem(
            ErrorBody::new(ErrorCode::BadRequest, "no archive came")
                .help("choose a file that ends in .tar.gz or .zip, and send it"),
        )
    };
    let broken = |_| Problem::bad_request("the upload broke off; try again");
    let mut form = Multipart::from_request(request, control).await.map_err(|_no_form| nothing())?;
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        if field.name() != Some("archive") {
            continue;
        }
        let name = label(field.file_name().unwrap_or_default());
        if name.is_empty() {
            return Err(nothing());
        }
        let (mut writer, reader) = tokio::io::duplex(256 * 1024);
        let receiving = tokio::spawn({
            let control = control.clone();
            async move { control.upload(reader).await }
        });
        let mut sent = 0;
        let mut failed = None;
        loop {
            match field.chunk().await {
                Ok(Some(chunk)) => {
                    sent += chunk.len();
                    if sent > UPLOAD_MAX {
                        failed = Some(Problem(ErrorBody::new(
                            ErrorCode::SourceTooLarge,
                            format!("the archive is larger than {} MB", UPLOAD_MAX >> 20),
                        )));
                        break;
                    }
                    // Whoever receives has given up: it says why.
                    if writer.write_all(&chunk).await.is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    failed = Some(broken(error));
                    break;
                }
            }
        }
        drop(writer);
        let received =
            receiving.await.map_err(|_panic| Problem(ErrorBody::new(ErrorCode::Internal, "the upload could not be received")))?;
        if let Some(problem) = failed {
            return Err(problem);
        }
        let received = received?;
        if received.files == 0 {
            return Err(Problem(
                ErrorBody::new(ErrorCode::SourceRefused, "the archive is empty").help("send one that holds the app's source"),
            ));
        }
        return Ok(DraftSource::Upload { upload: received.upload, name, files: received.files, bytes: received.bytes });
    }
    Err(nothing())
}

/// A file's name for people: its last part, without what could disturb, and not endless.
fn label(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|c| !c.is_control()).take(80).collect::<String>().trim().to_owned()
}

#[derive(Debug, Template)]
#[template(path = "new_command_line.html")]
struct CommandLine {
    shell: Shell,
    own_ca: bool,
    login: String,
    remote: String,
    push: String,
}

/// The commands for who deploys from their own machine.
pub(super) async fn command_line(shell: Shell, State(control): State<Control>) -> Response {
    let platform = control.platform();
    let own_ca = platform.own_ca;
    let ca = if own_ca { " --ca adaptable-ca.pem" } else { "" };
    let git_ca = if own_ca { "-c http.sslCAInfo=adaptable-ca.pem " } else { "" };
    page(&CommandLine {
        shell: shell.titled("Command line").at(Nav::Dashboard),
        own_ca,
        login: format!("adaptable login {}{ca}", platform.url),
        remote: format!("git remote add live {}/git/my-app.git", platform.url),
        push: format!("git {git_ca}push live main"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_is_its_last_part() {
        assert_eq!(label("C:\\Users\\a\\shop.tar.gz"), "shop.tar.gz");
        assert_eq!(label("../../etc/<b>.tgz"), "<b>.tgz");
        assert_eq!(label("a\u{7}b\n.tar"), "ab.tar");
        assert_eq!(label(&"x".repeat(500)).len(), 80);
        assert_eq!(label(""), "");
    }
}
