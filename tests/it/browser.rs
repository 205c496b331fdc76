//! The main job as an applicant sees it, in a headless browser; without JavaScript, where nothing else is said.

use std::{
    path::PathBuf,
    process::{Command as StdCommand, Stdio},
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element, key::Key};
use hyper_util::client::legacy::connect::HttpConnector;
use local_stack::{LocalStack, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use url::Url;

use crate::{fixtures::Aws, portal_account::register};

/// Within which the mail must be there, and every page.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a driver is started that does not get its port.
const ATTEMPTS: usize = 5;

const MISSING: &str = "Chromium or its chromedriver is not on PATH: `bash tests/run` installs both";

/// What the browser does with scripts, as its settings have it.
#[derive(Clone, Copy)]
enum Scripts {
    Run = 1,
    Blocked = 2,
}

/// A browser session with a profile of its own; ends with its processes when dropped.
struct Browser {
    page: Client,
    driver: Child,
    _profile: TempDir,
}

impl Browser {
    async fn start() -> Self {
        Self::start_with(Scripts::Blocked).await
    }

    async fn start_with(scripts: Scripts) -> Self {
        let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(on_path).expect(MISSING);
        let mut started = None;
        for _ in 0..ATTEMPTS {
            started = start_driver().await;
            if started.is_some() {
                break;
            }
        }
        let (driver, port) = started.expect("chromedriver says which port it took");
        let profile = tempfile::tempdir().unwrap();
        let profile_argument = format!("--user-data-dir={}", profile.path().display());
        let options = json!({
            "binary": browser,
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", profile_argument,
            ],
            "prefs": { "profile.managed_default_content_settings.javascript": scripts as u8 },
        });
        let capabilities = json!({ "goog:chromeOptions": options }).as_object().cloned().expect("an object");
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Self { page, driver, _profile: profile }
    }

    /// The first element that the selector finds, which may be on a page that is still loading.
    async fn element(&self, selector: &str) -> Element {
        let found = self.page.wait().at_most(PATIENCE).for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("there is no {selector}: {error}"))
    }

    async fn text(&self, selector: &str) -> String {
        self.element(selector).await.text().await.unwrap()
    }

    async fn click(&self, selector: &str) {
        self.element(selector).await.click().await.unwrap();
    }

    /// Waits until the mailbox holds so many mails and opens the newest.
    async fn open_mail(&self, stack: &LocalStack, mails: usize) {
        let began = Instant::now();
        loop {
            self.page.goto(&stack.mailbox_url()).await.unwrap();
            if self.page.find_all(Locator::Css(".mails a")).await.unwrap().len() == mails {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "there are not {mails} mails: {}", self.text("main").await);
        }
        self.click(".mails a").await;
    }

    /// Follows the link in the mail that is open; where it leads.
    async fn follow_link(&self) -> Url {
        let window = self.page.window().await.unwrap();
        self.element("#mail").await.enter_frame().await.unwrap();
        let link = self.element("a").await.prop("href").await.unwrap().expect("a link leads somewhere");
        self.click("a").await;
        // Out of the frame, which the link has replaced together with the page around it.
        self.page.switch_to_window(window).await.unwrap();
        self.element("form button").await;
        link.parse().unwrap()
    }

    /// Fills in the fields of a form and presses its button.
    async fn submit(&self, form: &str, fields: &[(&str, &str)]) {
        for (field, value) in fields {
            self.element(&format!("{form} [name={field}]")).await.send_keys(value).await.unwrap();
        }
        self.click(&format!("{form} button")).await;
    }

    /// Waits for a page whose element says so: a form that is sent again leads to one that looks the same.
    async fn says(&self, selector: &str, expected: &str) {
        let began = Instant::now();
        loop {
            let text = match self.page.find(Locator::Css(selector)).await {
                // The page may be replaced between the two.
                Ok(element) => element.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if text.contains(expected) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{selector} says {text:?} and not {expected:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn close(self) {
        self.page.clone().close().await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = self.driver.id() {
            // Gone already when the session was closed; then there is nothing to end.
            let _ = StdCommand::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
        }
    }
}

/// A chromedriver and its port. None where it has ended: it takes any free port of IPv4's and then wants the same one
/// of IPv6's, which another one may have.
async fn start_driver() -> Option<(Child, String)> {
    let mut driver = Command::new(on_path("chromedriver").expect(MISSING))
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // A group of its own, which the browser joins: what is left of it is ended in one go.
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stdout.take().expect("standard output is piped")).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return Some((driver, port.trim_end_matches('.').to_owned()));
        }
    }
    driver.wait().await.unwrap();
    None
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[tokio::test]
async fn an_applicant_fills_in_the_form_and_is_signed_in_by_the_link_in_the_mailbox_or_a_fresh_one() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let browser = Browser::start().await;
    let page = &browser.page;

    page.goto(&format!("{}/apply", stack.site_url())).await.unwrap();
    for (field, value) in [("email", "asha.rao@example.com"), ("first_name", "Asha"), ("last_name", "Rao")] {
        browser.element(&format!("#{field}")).await.send_keys(value).await.unwrap();
    }
    browser.click("form button").await;
    assert!(browser.text("#thank-you").await.starts_with("Thank you"));

    browser.open_mail(&stack, 1).await;
    let link = browser.follow_link().await;
    assert_eq!(browser.text("h1").await, "Open your application");
    scan(&link).await;
    browser.click("form button").await;
    assert_eq!(browser.text("#signed-in-name").await, "Asha Rao");
    assert!(page.current_url().await.unwrap().as_str().starts_with(stack.emulator().portal_page_url().as_str()));

    // Signed out, and back at the link in the mailbox: it is used up, and two presses later they are in again.
    page.delete_all_cookies().await.unwrap();
    page.goto(link.as_str()).await.unwrap();
    assert_eq!(browser.text("h1").await, "This link does not work any more");
    browser.click("form button").await;
    assert_eq!(browser.text("h1").await, "Look into your mailbox");
    browser.open_mail(&stack, 2).await;
    assert_ne!(browser.follow_link().await, link);
    browser.click("form button").await;
    assert_eq!(browser.text("#signed-in-name").await, "Asha Rao");

    // With a password of the website's own account pages, too.
    register(stack.emulator(), "ravi@example.com", "+91-9000000002", "Kettle#Violin#58").await;
    page.goto(&format!("{}/account", stack.site_url())).await.unwrap();
    browser.submit("#sign-in", &[("who", "ravi@example.com"), ("password", "Kettle#Violin#58")]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    browser.close().await;
    no_key_is_left_anywhere(&stack).await;
    stack.shutdown().await;
}

/// Whatever LeadSquared gave out was for a moment and for one person: it is in no mail, table, queue or log.
async fn no_key_is_left_anywhere(stack: &LocalStack) {
    let mut places = Vec::new();
    for mail in stack.emulator().mails() {
        places.push(("a mail".to_owned(), format!("{} {} {}", mail.subject, mail.html, mail.text)));
    }
    for function in stack.logs().functions() {
        places.push((format!("the log of {function}"), stack.logs().lines(function).await.unwrap().join("\n")));
    }
    let aws = Aws::of(stack.ministack()).await;
    let dynamodb = aws.dynamodb();
    for table in dynamodb.list_tables().send().await.unwrap().table_names() {
        let items = dynamodb.scan().table_name(table).send().await.unwrap();
        assert!(items.last_evaluated_key().is_none(), "{table} is read to its end");
        places.push((table.clone(), format!("{:?}", items.items())));
    }
    for queue in aws.queues().await {
        let messages: Vec<_> = queue.drain().await.into_iter().filter_map(|message| message.body).collect();
        places.push((queue.url, messages.join("\n")));
    }
    // What must be there if it was looked for in the right places.
    let found = |text: &str| places.iter().filter(|(_, content)| content.contains(text)).count();
    assert!(found("/login-links/") > 0 && found("newest_link_used") > 0 && found("login link opened the portal") > 0);
    let keys = stack.emulator().issued_keys();
    assert!(keys.len() >= 6, "tenant key, lead keys, private key and those of users: {}", keys.len());
    for key in keys {
        let encoded: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
        for (place, content) in &places {
            assert!(!content.contains(&key) && !content.contains(&encoded), "a LeadSquared key is in {place}");
        }
    }
}

/// Whoever has no mouse sees where they are, and whoever sees badly can read it.
#[tokio::test]
async fn the_button_is_reached_by_the_keyboard_and_can_be_read_and_seen() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    // What the page looks like is asked for by script; it has none of its own.
    let browser = Browser::start_with(Scripts::Run).await;
    let page = &browser.page;
    page.goto(&format!("{}/login-links/of-no-use", stack.api_url())).await.unwrap();
    browser.element("body").await.send_keys(&Key::Tab.to_string()).await.unwrap();
    let look = "const button = document.activeElement, style = getComputedStyle(button), canvas = document.createElement('p');
        canvas.style.color = 'Canvas';
        document.body.append(canvas);
        return { name: button.localName, color: style.color, background: style.backgroundColor, outline: style.outlineColor,
            width: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth), text: style.fontSize,
            canvas: getComputedStyle(canvas).color };";
    let look = page.execute(look, Vec::new()).await.unwrap();
    assert_eq!(look["name"], "button", "one press of the Tab key leads to it: {look}");
    let contrast = |one: &str, other: &str| {
        let (one, other) = (luminance(&look[one]), luminance(&look[other]));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    };
    // https://www.w3.org/TR/WCAG22/#contrast-minimum, #non-text-contrast and #focus-appearance
    assert!(contrast("color", "background") >= 4.5, "{look}");
    assert!(contrast("background", "canvas") >= 3.0, "{look}");
    assert!(look["width"].as_f64().unwrap() >= 2.0 && contrast("outline", "canvas") >= 3.0, "{look}");
    browser.close().await;
    stack.shutdown().await;
}

/// How bright a colour is, from 0 to 1 (<https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>).
fn luminance(color: &Value) -> f64 {
    let color = color.as_str().unwrap();
    let parts = color.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    let parts: Vec<f64> = parts
        .unwrap_or_else(|| panic!("{color} is no opaque colour"))
        .split(", ")
        .map(|part| part.parse::<f64>().unwrap() / 255.0)
        .map(|part| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) })
        .collect();
    let [red, green, blue] = parts[..] else { panic!("{color}") };
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// Opens a link again and again as a mail scanner with a real browser does, scripts and all.
async fn scan(link: &Url) {
    let scanner = Browser::start_with(Scripts::Run).await;
    for _ in 0..3 {
        scanner.page.goto(link.as_str()).await.unwrap();
        assert_eq!(scanner.text("h1").await, "Open your application");
        scanner.page.refresh().await.unwrap();
    }
    scanner.close().await;
}

#[tokio::test]
async fn people_without_a_link_ask_for_one_on_a_phone() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    stack.emulator().add_lead(&[("EmailAddress", "ravi@example.com"), ("FirstName", "Ravi")]).unwrap();
    let browser = Browser::start().await;
    let page = &browser.page;
    page.set_window_size(360, 640).await.unwrap();

    page.goto(&format!("{}/login-links/of-no-use", stack.api_url())).await.unwrap();
    browser.click("form button").await;
    browser.element("#email").await.send_keys("Ravi@Example.com").await.unwrap();
    let (x, _, width, height) = browser.element("form button").await.rectangle().await.unwrap();
    assert!(height >= 44.0 && x >= 0.0 && x + width <= 360.0, "a button for a thumb: {x} {width} {height}");
    browser.click("form button").await;
    assert_eq!(browser.text("h1").await, "Look into your mailbox");
    browser.open_mail(&stack, 1).await;
    browser.follow_link().await;
    // A lead of the company's own, no portal user until this press.
    browser.click("form button").await;
    assert_eq!(browser.text("#signed-in-name").await, "Ravi");

    browser.close().await;
    stack.shutdown().await;
}

#[tokio::test]
async fn an_applicant_forgets_the_password_resets_changes_it_and_signs_in_with_each_and_with_a_code() {
    const EMAIL: &str = "asha.rao@example.com";
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    register(stack.emulator(), EMAIL, "+91-9000000001", "Kettle#Violin#58").await;
    let browser = Browser::start().await;
    let page = &browser.page;
    let site = stack.site_url();

    page.goto(&format!("{site}/account")).await.unwrap();
    browser.submit("#sign-in", &[("who", EMAIL), ("password", "Wrong#Violin#58")]).await;
    browser.says("#told", "These do not match an account").await;
    browser.click("#sign-in a").await;
    browser.submit("#forgot", &[("who", EMAIL)]).await;
    browser.says("#told", "on its way").await;

    page.goto(&stack.mailbox_url()).await.unwrap();
    browser.click(".mails a").await;
    let window = page.window().await.unwrap();
    browser.element("#mail").await.enter_frame().await.unwrap();
    browser.click("a").await;
    page.switch_to_window(window).await.unwrap();
    browser.submit("#reset", &[("password", "P@ssw0rd1")]).await;
    browser.says("#told", "most common passwords").await;
    browser.submit("#reset", &[("password", "Otter#Lantern#73")]).await;
    browser.says("#told", "Your password is changed").await;

    browser.submit("#sign-in", &[("who", EMAIL), ("password", "Otter#Lantern#73")]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    let passwords = [("current_password", "Otter#Lantern#73"), ("new_password", "Paper#River#91")];
    browser.submit("#change", &passwords).await;
    browser.says("#told", "Your password is changed").await;
    browser.submit("#sign-out", &[]).await;
    browser.submit("#sign-in", &[("who", EMAIL), ("password", "Paper#River#91")]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    browser.submit("#sign-out", &[]).await;

    browser.submit("#send-code", &[("phone", "90000 00001")]).await;
    browser.element("#verify").await;
    let code: String = {
        let messages = stack.emulator().text_messages();
        let message = messages.last().expect("a code was sent");
        message.text.chars().take_while(char::is_ascii_digit).collect()
    };
    browser.submit("#verify", &[("code", &code)]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    // Of the link, the two changes and nothing else there is mail.
    let subjects: Vec<_> = stack.emulator().mails().into_iter().map(|mail| mail.subject).collect();
    let notice = "Your Northfield College password was changed";
    assert_eq!(subjects, ["Reset your password", notice, notice]);

    browser.close().await;
    stack.shutdown().await;
}

#[tokio::test]
async fn an_applicant_whose_phone_is_unproven_types_a_texted_code_and_then_a_mailed_one() {
    const EMAIL: &str = "asha.rao@example.com";
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let lead = register(stack.emulator(), EMAIL, "+91-9000000001", "Kettle#Violin#58").await;
    stack.emulator().update_lead(&lead, &[("mx_Unproven_Sign_In", "unproven: identifiers")]).unwrap();
    let browser = Browser::start().await;
    browser.page.goto(&format!("{}/account", stack.site_url())).await.unwrap();
    browser.submit("#send-code", &[("phone", "90000 00001")]).await;
    browser.element("#verify").await;
    let text = stack.emulator().text_messages().pop().expect("a code was texted").text;
    let code: String = text.chars().take_while(char::is_ascii_digit).collect();
    browser.submit("#verify", &[("code", &code)]).await;
    browser.says("#told", "to the e-mail address of your application").await;
    browser.says("#mailed", "in the mailbox").await;
    let mail = stack.emulator().mails().pop().expect("a code was mailed");
    assert_eq!(mail.recipients, [EMAIL]);
    browser.submit("#verify", &[("code", "AAAAA-AAAAA")]).await;
    browser.says("#told", "This code is wrong or no longer valid").await;
    let code = mail.text.lines().find(|line| line.len() == 11 && line.contains('-')).unwrap().to_lowercase();
    browser.submit("#verify", &[("code", &code)]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    browser.close().await;
    stack.shutdown().await;
}

#[tokio::test]
async fn the_browser_runs_no_script() {
    let browser = Browser::start().await;
    browser
        .page
        .goto("data:text/html,<p>off</p><script>document.querySelector('p').textContent='on'</script>")
        .await
        .unwrap();
    assert_eq!(browser.text("p").await, "off");
    browser.close().await;
}
