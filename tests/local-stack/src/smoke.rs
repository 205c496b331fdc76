//! The main path over HTTP, as an applicant's browser takes it: form, mail, link, portal.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{Method, Request, StatusCode};
use form_urlencoded::Serializer;
use leadsquared_emulator::Mail;
use time::OffsetDateTime;

use crate::LocalStack;
use crate::flow::{Event, timeline};
use crate::http::{self, Client};

/// The applicant's address.
pub const EMAIL: &str = "asha.rao@example.com";
const NAME: &str = "Asha Rao";
const FIELDS: [(&str, &str); 6] = [
    ("email", EMAIL),
    ("first_name", "Asha"),
    ("last_name", "Rao"),
    ("phone", "+91 90000 00001"),
    ("city", "Pune"),
    ("leave_empty", ""),
];

/// The function whose log explains why an application fails.
const WORKER: &str = "InvitationFunction";

/// How long to wait for an event that follows by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much longer to wait once the worker has logged an error, because a retry may succeed.
const PATIENCE_AFTER_AN_ERROR: Duration = Duration::from_secs(3);

/// Takes one applicant from the form to the portal and returns a table of the events with their times.
///
/// # Errors
/// Within about a minute. The error says what was expected, what happened instead and what the worker has logged.
pub async fn run(stack: &LocalStack) -> anyhow::Result<String> {
    let start = OffsetDateTime::now_utc();
    apply(stack).await.context("the application was not accepted")?;
    await_event(stack, Event::Registered, "the applicant is a portal user in LeadSquared").await?;
    await_event(stack, Event::Mailed, "LeadSquared has mailed the login link").await?;
    let mail = stack.emulator().mails().into_iter().find(|mail| mail.recipients.iter().any(|address| address == EMAIL));
    let mail = mail.context("LeadSquared has mailed, but not to the applicant")?;
    open(stack, &mail).await.context("the mailed link does not open the portal")?;
    await_event(stack, Event::Opened, "the portal has signed the applicant in").await?;
    let moments = stack.moments().borrow().clone();
    Ok(timeline(&moments, start))
}

/// Fills in the form of the site and follows the redirect of the answer.
async fn apply(stack: &LocalStack) -> anyhow::Result<()> {
    let mut browser = Browser::new();
    let form = browser.get(&format!("{}/apply", stack.site_url())).await?;
    let action = attribute(&form.body, "action").context("the form has no address to post to")?;
    for (name, _) in FIELDS {
        ensure!(form.body.contains(&format!("name=\"{name}\"")), "the form has no field {name}");
    }
    let fields = Serializer::new(String::new()).extend_pairs(FIELDS).finish();
    let landed = browser.post(&action, fields).await?;
    ensure!(
        landed.status == StatusCode::OK && landed.body.contains("id=\"thank-you\""),
        "expected the thank-you page, got {} from {}:\n{}",
        landed.status,
        landed.url,
        excerpt(&landed.body)
    );
    Ok(())
}

/// Opens the link in the mail and presses the button of the page behind it.
async fn open(stack: &LocalStack, mail: &Mail) -> anyhow::Result<()> {
    let pages = format!("{}/login-links/", stack.api_url());
    let links = attributes(&mail.html, "href");
    let link = links.into_iter().find(|link| link.starts_with(&pages));
    let link = link.context("the mail has no login link")?;
    let mut browser = Browser::new();
    let page = browser.get(&link).await?;
    ensure!(
        page.status == StatusCode::OK && page.body.contains("<form method=\"post\">"),
        "expected a page with a button behind the login link, got {}:\n{}",
        page.status,
        excerpt(&page.body)
    );
    let page = browser.post(&link, String::new()).await?;
    ensure!(
        page.body.contains("id=\"signed-in-name\"") && page.body.contains(NAME),
        "expected a page that shows {NAME} signed in, got {}:\n{}",
        page.status,
        excerpt(&page.body)
    );
    Ok(())
}

/// Waits for an event that follows by itself.
async fn await_event(stack: &LocalStack, event: Event, expected: &str) -> anyhow::Result<()> {
    let mut moments = stack.moments();
    let mut deadline = Instant::now() + PATIENCE;
    let mut failed = false;
    loop {
        let happened = moments.wait_for(|moments| moments.iter().any(|moment| moment.event == event));
        if let Ok(happened) = tokio::time::timeout(Duration::from_millis(250), happened).await {
            happened.map(drop).context("the observer of LeadSquared has ended")?;
            return Ok(());
        }
        let errors = stack.logs().errors(WORKER).await?;
        if !errors.is_empty() && !std::mem::replace(&mut failed, true) {
            deadline = deadline.min(Instant::now() + PATIENCE_AFTER_AN_ERROR);
        }
        if Instant::now() > deadline {
            let log = stack.logs().lines(WORKER).await?;
            bail!("expected that {expected}, which did not happen.\n{}", explained(&errors, &log));
        }
    }
}

/// A summary of the worker's log.
fn explained(errors: &[String], log: &[String]) -> String {
    const SHOWN: usize = 10;
    if let Some(error) = errors.last() {
        return format!("The worker's last error: {error}");
    }
    if log.is_empty() {
        return "The worker was never called: is the queue its event source?".to_owned();
    }
    let last = log[log.len().saturating_sub(SHOWN)..].iter().map(|line| line.trim_end()).collect::<Vec<_>>();
    format!("The worker logged no error; its last lines are:\n  {}", last.join("\n  "))
}

/// A minimal browser: it keeps cookies and follows redirects.
struct Browser {
    client: Client,
    cookies: Vec<(String, String)>,
}

struct Page {
    url: String,
    status: StatusCode,
    body: String,
}

impl Browser {
    fn new() -> Self {
        Self { client: http::client(), cookies: Vec::new() }
    }

    async fn get(&mut self, url: &str) -> anyhow::Result<Page> {
        self.go(Method::GET, url, None).await
    }

    async fn post(&mut self, url: &str, fields: String) -> anyhow::Result<Page> {
        self.go(Method::POST, url, Some(fields)).await
    }

    async fn go(&mut self, mut method: Method, url: &str, mut fields: Option<String>) -> anyhow::Result<Page> {
        const REDIRECTS: usize = 5;
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let mut request =
                Request::builder().method(method.clone()).uri(&url).header("accept", "text/html,*/*;q=0.8");
            if fields.is_some() {
                request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            }
            if !self.cookies.is_empty() {
                let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
                request = request.header(COOKIE, pairs.join("; "));
            }
            // A link is a secret, so no error text contains it.
            let request =
                request.body(Body::from(fields.take().unwrap_or_default())).context("an address is not a URL")?;
            let response = self.client.request(request).await.context("no answer")?;
            for cookie in response.headers().get_all(SET_COOKIE) {
                let pair = cookie.to_str().ok().and_then(|cookie| cookie.split(';').next()?.split_once('='));
                let (name, value) = pair.context("a cookie without a name")?;
                self.cookies.retain(|(kept, _)| kept != name);
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
            let status = response.status();
            if let Some(location) = response.headers().get(LOCATION).filter(|_| status.is_redirection()) {
                url = target(&url, location.to_str().context("a redirect without a valid address")?);
                method = Method::GET;
                continue;
            }
            let body = to_bytes(Body::new(response.into_body()), http::LIMIT).await.context("the answer broke off")?;
            let shown = url.split('?').next().unwrap_or_default().to_owned();
            return Ok(Page { url: shown, status, body: String::from_utf8_lossy(&body).into_owned() });
        }
        bail!("more than {REDIRECTS} redirects")
    }
}

/// The target of a redirect: a full address or a path on the same host.
fn target(from: &str, location: &str) -> String {
    if !location.starts_with('/') {
        return location.to_owned();
    }
    let authority = from.find("://").map_or(0, |scheme| scheme + 3);
    let end = from[authority..].find('/').map_or(from.len(), |path| authority + path);
    format!("{}{location}", &from[..end])
}

/// The value of the first attribute with this name, as a browser reads it.
fn attribute(html: &str, name: &str) -> Option<String> {
    attributes(html, name).into_iter().next()
}

/// The values of all attributes with this name. The character references that these pages and mails use are resolved.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let opening = format!("{name}=\"");
    let values = html.split(&opening).skip(1).filter_map(|rest| rest.split('"').next());
    let unescape = |value: &str| value.replace("&#38;", "&").replace("&#x26;", "&").replace("&amp;", "&");
    values.map(unescape).collect()
}

fn excerpt(body: &str) -> String {
    const SHOWN: usize = 600;
    body.trim().chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_last_error_or_else_the_last_lines() {
        let log = ["START".to_owned(), "END\n".to_owned()];
        assert_eq!(explained(&["first".to_owned(), "last".to_owned()], &log), "The worker's last error: last");
        assert!(explained(&[], &log).ends_with("\n  START\n  END"));
        assert!(explained(&[], &[]).contains("never called"));
    }

    #[test]
    fn links_are_read_as_a_browser_reads_them() {
        let html = r#"<a href="http://h/p?a=1&amp;b=%2B">x</a> <a class="c" href="/q">y</a>"#;
        assert_eq!(attributes(html, "href"), ["http://h/p?a=1&b=%2B", "/q"]);
        assert_eq!(attribute(html, "action"), None);
    }

    #[test]
    fn redirects_lead_to_other_hosts_and_along_the_same_one() {
        assert_eq!(target("http://a:1/b?c=d", "/e"), "http://a:1/e");
        assert_eq!(target("http://a:1", "/e"), "http://a:1/e");
        assert_eq!(target("http://a:1/b", "http://f/"), "http://f/");
    }
}
