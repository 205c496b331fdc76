//! The whole system in a headless browser, as an applicant sees it; without JavaScript unless a test needs it.

use std::{
    path::PathBuf,
    process::{Command as StdCommand, Stdio},
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

use crate::{
    aws::Aws,
    portal_users::{mailed_code, register, texted_code},
    waiting::{LONGEST_WAIT, poll_until},
};

/// How often chromedriver is started when it does not get its port.
const ATTEMPTS: usize = 5;

const MISSING: &str = "Chromium or its chromedriver is not on PATH: `bash tests/run` installs both";

/// Whether the browser runs scripts; the values are those of Chromium's setting.
#[derive(Clone, Copy)]
enum Scripts {
    Run = 1,
    Blocked = 2,
}

/// A browser session with its own profile. Its processes end when it is dropped.
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
        let (driver, port) = started.expect("chromedriver prints its port");
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

    /// Waits for the first element of this selector: the page may still be loading.
    async fn element(&self, selector: &str) -> Element {
        let found = self.page.wait().at_most(LONGEST_WAIT).for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("there is no {selector}: {error}"))
    }

    async fn text(&self, selector: &str) -> String {
        self.element(selector).await.text().await.unwrap()
    }

    async fn click(&self, selector: &str) {
        self.element(selector).await.click().await.unwrap();
    }

    /// Waits until the mailbox shows this number of mails, and opens the newest.
    async fn open_mail(&self, stack: &LocalStack, mails: usize) {
        let are_shown = async || {
            self.page.goto(&stack.mailbox_url()).await.unwrap();
            self.page.find_all(Locator::Css(".mails a")).await.unwrap().len() == mails
        };
        poll_until(&format!("{mails} mails in the mailbox"), are_shown).await;
        self.click(".mails a").await;
    }

    /// Follows the link in the open mail; returns its address.
    async fn follow_link(&self) -> Url {
        let window = self.page.window().await.unwrap();
        self.element("#mail").await.enter_frame().await.unwrap();
        let link = self.element("a").await.prop("href").await.unwrap().expect("a link leads somewhere");
        // The link replaces the page around the frame, sometimes before the driver has answered.
        let clicked = self.element("a").await.click().await;
        assert!(clicked.is_ok() || format!("{clicked:?}").contains("frame detached"), "{clicked:?}");
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

    /// Waits for a page on which this element has this text. The page before it may have the same element.
    async fn says(&self, selector: &str, expected: &str) {
        let is_shown = async || match self.page.find(Locator::Css(selector)).await {
            // The page may be replaced between the two requests.
            Ok(element) => element.text().await.unwrap_or_default().contains(expected),
            Err(_) => false,
        };
        poll_until(&format!("{selector} says {expected:?}"), is_shown).await;
    }

    async fn close(self) {
        self.page.clone().close().await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = self.driver.id() {
            // When the session was closed, its processes have already ended.
            let _ = StdCommand::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
        }
    }
}

/// Starts a chromedriver; returns it with its port. Returns none when it ends: it takes a free IPv4 port and then needs
/// the same IPv6 port, which another process may have.
async fn start_driver() -> Option<(Child, String)> {
    let mut driver = Command::new(on_path("chromedriver").expect(MISSING))
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // The browser joins this process group: one signal ends them all.
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
async fn an_applicant_posts_the_form_and_signs_in_with_the_mailed_link_and_with_a_fresh_one() {
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

    // After signing out, the used link no longer works. Its page mails a fresh one.
    page.delete_all_cookies().await.unwrap();
    page.goto(link.as_str()).await.unwrap();
    assert_eq!(browser.text("h1").await, "This link does not work any more");
    browser.click("form button").await;
    browser.says("h1", "Check your e-mail").await;
    browser.open_mail(&stack, 2).await;
    assert_ne!(browser.follow_link().await, link);
    browser.click("form button").await;
    assert_eq!(browser.text("#signed-in-name").await, "Asha Rao");

    // The website's own account pages sign in with a password.
    register(stack.emulator(), "ravi@example.com", "+91-9000000002", "Kettle#Violin#58").await;
    page.goto(&format!("{}/account", stack.site_url())).await.unwrap();
    browser.submit("#sign-in", &[("who", "ravi@example.com"), ("password", "Kettle#Violin#58")]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    browser.close().await;
    assert_no_key_is_stored(&stack).await;
    stack.shutdown().await;
}

/// Asserts that no key of LeadSquared is in a mail, table, queue or log.
async fn assert_no_key_is_stored(stack: &LocalStack) {
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
    // These texts are found if the right places are searched.
    let found = |text: &str| places.iter().filter(|(_, content)| content.contains(text)).count();
    assert!(found("/login-links/") > 0 && found("newest_link_used") > 0 && found("login link opened the portal") > 0);
    let keys = stack.emulator().issued_keys();
    assert!(keys.len() >= 6, "tenant key, lead keys, private key and the keys of users: {}", keys.len());
    for key in keys {
        let encoded: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
        for (place, content) in &places {
            assert!(!content.contains(&key) && !content.contains(&encoded), "a LeadSquared key is in {place}");
        }
    }
}

/// For applicants who use a keyboard only, and for those with weak eyesight.
#[tokio::test]
async fn the_button_is_reachable_by_keyboard_and_has_enough_contrast() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    // The test reads the styles by script; the page itself has none.
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
    assert_eq!(look["name"], "button", "one press of the Tab key focuses it: {look}");
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

/// The relative luminance of a colour, from 0 to 1 (<https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>).
fn luminance(color: &Value) -> f64 {
    let color = color.as_str().unwrap();
    let parts = color.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    let parts: Vec<f64> = parts
        .unwrap_or_else(|| panic!("{color} is not an opaque colour"))
        .split(", ")
        .map(|part| part.parse::<f64>().unwrap() / 255.0)
        .map(|part| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) })
        .collect();
    let [red, green, blue] = parts[..] else { panic!("{color}") };
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// Opens a link several times as a mail scanner does, with a browser that runs scripts.
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
async fn a_person_without_a_link_asks_for_one_on_a_phone() {
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    stack.emulator().add_lead(&[("EmailAddress", "ravi@example.com"), ("FirstName", "Ravi")]).unwrap();
    let browser = Browser::start().await;
    let page = &browser.page;
    page.set_window_size(360, 640).await.unwrap();

    page.goto(&format!("{}/login-links/of-no-use", stack.api_url())).await.unwrap();
    browser.click("form button").await;
    browser.element("#email").await.send_keys("Ravi@Example.com").await.unwrap();
    let (x, _, width, height) = browser.element("form button").await.rectangle().await.unwrap();
    assert!(
        height >= 44.0 && x >= 0.0 && x + width <= 360.0,
        "the button is large enough for a thumb: {x} {width} {height}"
    );
    browser.click("form button").await;
    browser.says("h1", "Check your e-mail").await;
    browser.open_mail(&stack, 1).await;
    browser.follow_link().await;
    // The lead becomes a portal user with this press.
    browser.click("form button").await;
    assert_eq!(browser.text("#signed-in-name").await, "Ravi");

    browser.close().await;
    stack.shutdown().await;
}

#[tokio::test]
async fn an_applicant_resets_and_changes_the_password_and_signs_in_with_each_and_with_a_code() {
    const EMAIL: &str = "asha.rao@example.com";
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    register(stack.emulator(), EMAIL, "+91-9000000001", "Kettle#Violin#58").await;
    let browser = Browser::start().await;
    let page = &browser.page;
    let site = stack.site_url();

    page.goto(&format!("{site}/account")).await.unwrap();
    browser.submit("#sign-in", &[("who", EMAIL), ("password", "Wrong#Violin#58")]).await;
    browser.says("#notice", "These do not match an account").await;
    browser.click("#sign-in a").await;
    browser.submit("#forgot", &[("who", EMAIL)]).await;
    browser.says("#notice", "on its way").await;

    page.goto(&stack.mailbox_url()).await.unwrap();
    browser.click(".mails a").await;
    let window = page.window().await.unwrap();
    browser.element("#mail").await.enter_frame().await.unwrap();
    browser.click("a").await;
    page.switch_to_window(window).await.unwrap();
    browser.submit("#reset", &[("password", "P@ssw0rd1")]).await;
    browser.says("#notice", "most common passwords").await;
    browser.submit("#reset", &[("password", "Otter#Lantern#73")]).await;
    browser.says("#notice", "Your password is changed").await;

    browser.submit("#sign-in", &[("who", EMAIL), ("password", "Otter#Lantern#73")]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    let passwords = [("current_password", "Otter#Lantern#73"), ("new_password", "Paper#River#91")];
    browser.submit("#change", &passwords).await;
    browser.says("#notice", "Your password is changed").await;
    browser.submit("#sign-out", &[]).await;
    browser.submit("#sign-in", &[("who", EMAIL), ("password", "Paper#River#91")]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    browser.submit("#sign-out", &[]).await;

    browser.submit("#send-code", &[("phone", "90000 00001")]).await;
    browser.element("#verify").await;
    let code = texted_code(&stack.emulator().text_messages().pop().expect("a code was texted").text);
    browser.submit("#verify", &[("code", &code)]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    // One mail for the link and one for each of the two changes.
    let subjects: Vec<_> = stack.emulator().mails().into_iter().map(|mail| mail.subject).collect();
    let notice = "Your Northfield College password was changed";
    assert_eq!(subjects, ["Reset your password", notice, notice]);

    browser.close().await;
    stack.shutdown().await;
}

#[tokio::test]
async fn an_applicant_with_an_unproven_phone_enters_a_texted_code_and_then_a_mailed_one() {
    const EMAIL: &str = "asha.rao@example.com";
    let stack = LocalStack::start(Options::default()).await.unwrap_or_else(|error| panic!("{error:#}"));
    let lead = register(stack.emulator(), EMAIL, "+91-9000000001", "Kettle#Violin#58").await;
    stack.emulator().update_lead(&lead, &[("mx_Unproven_Sign_In", "unproven: identifiers")]).unwrap();
    let browser = Browser::start().await;
    browser.page.goto(&format!("{}/account", stack.site_url())).await.unwrap();
    browser.submit("#send-code", &[("phone", "90000 00001")]).await;
    browser.element("#verify").await;
    let code = texted_code(&stack.emulator().text_messages().pop().expect("a code was texted").text);
    browser.submit("#verify", &[("code", &code)]).await;
    browser.says("#notice", "to the e-mail address of your application").await;
    browser.says("#mailed", "in the mailbox").await;
    let mail = stack.emulator().mails().pop().expect("a code was mailed");
    assert_eq!(mail.recipients, [EMAIL]);
    browser.submit("#verify", &[("code", "AAAAA-AAAAA")]).await;
    browser.says("#notice", "This code is wrong or no longer valid").await;
    let code = mailed_code(&mail.text).to_lowercase();
    browser.submit("#verify", &[("code", &code)]).await;
    assert_eq!(browser.text("#signed-in").await, "You are signed in");
    browser.close().await;
    stack.shutdown().await;
}

#[tokio::test]
async fn the_browser_runs_no_scripts_by_default() {
    let browser = Browser::start().await;
    browser
        .page
        .goto("data:text/html,<p>off</p><script>document.querySelector('p').textContent='on'</script>")
        .await
        .unwrap();
    assert_eq!(browser.text("p").await, "off");
    browser.close().await;
}
