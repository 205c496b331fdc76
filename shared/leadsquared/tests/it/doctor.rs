//! The doctor's answers, each about one thing that is wrong.

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use leadsquared::crm::Sender;
use leadsquared::tools::doctor::{Finding, Subject, Verdict, Wanted, WantedField, examine};
use leadsquared::{Client, RateLimit};
use tokio::net::TcpSocket;

use crate::{ACCESS_KEY, PORTAL, SECRET_KEY, client, options};
use leadsquared_fake::{Fake, Reply, Request, credential};

const USER: &str = "/v2/Authentication.svc/UserByAccessKey.Get";
const MAIL: &str = "/v2/EmailMarketing.svc/SendEmailToLead";
const FIELDS: &str = "/v2/LeadManagement.svc/LeadsMetaData.Get";

fn wanted() -> Wanted {
    let fields = ["EmailAddress", "FirstName", "mx_Course"].map(|name| WantedField::from(name.to_owned())).to_vec();
    Wanted {
        fields,
        read: Vec::new(),
        sender: Some(Sender::ApiCaller),
        allowance: Some(RateLimit { calls: 20, window: Duration::from_secs(5) }),
    }
}

/// An account whose only user has `role`. It answers at every host.
fn account(role: &'static str) -> Fake {
    Fake::start(move |request| answer(request, role))
}

fn answer(request: &Request, role: &str) -> Reply {
    match request.path() {
        USER => Reply::Answer(200, user(role, request.header("host").unwrap())),
        FIELDS => {
            let fields = r#"[{"SchemaName":"EmailAddress","IsLeadIdentifier":true},{"SchemaName":"FirstName","IsMandatory":true},{"SchemaName":"mx_Course"}]"#;
            Reply::Answer(200, fields.to_owned())
        }
        MAIL => {
            let refusal = r#"{"Status":"Error","ExceptionType":"MXInvalidInputException","ExceptionMessage":"No lead found with RecipientType: LeadEmailAddress"}"#;
            Reply::Answer(500, refusal.to_owned())
        }
        _ => credential(request).unwrap_or(Reply::Answer(404, String::new())),
    }
}

fn user(role: &str, host: &str) -> String {
    format!(
        r#"{{"Id":"33333333-3333-4333-8333-333333333333","Role":"{role}","PassPhrase":"asha@example.test","OrgShortCode":"12345","LSQCommonServiceURLs":{{"api":"{host}"}}}}"#
    )
}

async fn wrong(client: &Client, wanted: &Wanted) -> Vec<Finding> {
    let findings = examine(client, wanted).await;
    let subjects: Vec<Subject> = findings.iter().map(|finding| finding.subject).collect();
    let every = [
        Subject::Keys,
        Subject::Region,
        Subject::Role,
        Subject::Portal,
        Subject::AutoLogin,
        Subject::Fields,
        Subject::ReadFields,
        Subject::Sender,
        Subject::Allowance,
    ];
    assert_eq!(subjects, every, "one finding for each");
    for finding in &findings {
        assert!(!finding.to_string().contains("asha@"), "{finding}");
        assert!(!finding.to_string().contains("0123456789abcdef"), "{finding}");
    }
    findings.into_iter().filter(Finding::is_wrong).collect()
}

/// The only faulty subject, and the text about it.
async fn only_wrong(client: &Client, wanted: &Wanted) -> (Subject, String, String) {
    let mut wrong = wrong(client, wanted).await;
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    match wrong.remove(0) {
        Finding { subject, verdict: Verdict::Wrong { what, fix } } => (subject, what, fix),
        finding => panic!("{finding:?}"),
    }
}

#[tokio::test]
async fn a_healthy_account_has_nothing_wrong() {
    let fake = account("Administrator");
    assert_eq!(wrong(&client(&fake), &wanted()).await, []);
    assert_eq!(fake.seen().len(), 6, "and it takes six calls to see");
}

#[tokio::test]
async fn wrong_keys() {
    let fake = Fake::answering(
        USER,
        401,
        r#"{"Status":"Error","ExceptionType":"x","ExceptionMessage":"Invalid User Details!"}"#,
    );
    let (subject, what, fix) = only_wrong(&client(&fake), &wanted()).await;
    assert_eq!((subject, what.as_str()), (Subject::Keys, "LeadSquared knows no active user with these keys"));
    assert!(fix.contains("copy both again"), "{fix}");
    assert_eq!(fake.seen().len(), 1, "nothing else can be asked");
}

#[tokio::test]
async fn keys_of_a_salesperson() {
    let fake = account("Sales_User");
    let (subject, _, fix) = only_wrong(&client(&fake), &wanted()).await;
    assert_eq!((subject, fix.as_str()), (Subject::Role, "create keys for an administrator and use those"));
    assert_eq!(fake.count("/api/Access/PublicToken"), 0);
}

#[tokio::test]
async fn a_wrong_host() {
    let right = account("Administrator");
    let host = right.url.authority().to_owned();
    let elsewhere = Fake::start(move |request| match request.path() {
        USER => Reply::Answer(200, user("Administrator", &host)),
        _ => Reply::Answer(401, String::new()),
    });
    let (subject, what, fix) = only_wrong(&client(&elsewhere), &wanted()).await;
    assert_eq!((subject, what), (Subject::Region, format!("the account lives at {}", right.url.authority())));
    assert_eq!(fix, format!("set the core API to {0} and the portal API to {0}", right.url));
    assert_eq!((elsewhere.seen().len(), right.seen().len()), (1, 5), "the rest is looked at where the account is");
}

#[tokio::test]
async fn a_missing_field() {
    let fake = account("Administrator");
    let mut wanted = wanted();
    wanted.fields.push("mx_Batch".to_owned().into());
    let (subject, what, fix) = only_wrong(&client(&fake), &wanted).await;
    assert_eq!(subject, Subject::Fields);
    assert!(what.contains("no lead fields named mx_Batch;"), "{what}");
    assert!(fix.contains("take them out of the mapping"), "{fix}");
}

#[tokio::test]
async fn a_sender_who_is_no_user() {
    let fake = Fake::start(|request| match request.path() {
        MAIL => {
            let refusal = r#"{"Status":"Error","ExceptionType":"MXMandatoryAttributeMissingException","ExceptionMessage":"Invalid Sender details."}"#;
            Reply::Answer(500, refusal.to_owned())
        }
        _ => answer(request, "Administrator"),
    });
    let mut wanted = wanted();
    wanted.sender = Some(Sender::UserEmail("asha@example.test".parse().unwrap()));
    let (subject, what, _) = only_wrong(&client(&fake), &wanted).await;
    assert_eq!((subject, what.as_str()), (Subject::Sender, "it is not an active user of the account"));
}

#[tokio::test]
async fn another_path_for_login_links() {
    let fake = account("Administrator");
    let mut options = options(&fake);
    options.paths.tenant_auth_key = "/api/elsewhere".to_owned();
    let (subject, what, fix) = only_wrong(&crate::client_with(options), &wanted()).await;
    assert_eq!(subject, Subject::AutoLogin);
    assert!(what.contains("HTTP 404"), "{what}");
    assert!(fix.contains("support") && fix.contains("Paths::tenant_auth_key"), "{fix}");
}

#[tokio::test]
async fn an_unreachable_host_leaves_the_keys_unchecked() {
    // Bound but not listening: the port is ours, and connections to it are refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let fake = account("Administrator");
    let mut options = options(&fake);
    options.api = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
    options.chance = Arc::new(|| 0.0);
    let findings = examine(&crate::client_with(options), &wanted()).await;
    let finding = |subject| findings.iter().find(|finding| finding.subject == subject).unwrap().to_string();
    assert!(finding(Subject::Region).starts_with("unknown  region: the core API's host could not be reached"));
    assert_eq!(finding(Subject::Keys), "unknown  keys: nothing could be asked");
}

#[tokio::test]
async fn a_limit_that_is_reached_at_once_is_not_about_the_keys() {
    let fake = Fake::answering(USER, 429, "API calls exceeded the limit of 10 in 5 second(s)");
    let (subject, _, _) = only_wrong(&client(&fake), &wanted()).await;
    assert_eq!(subject, Subject::Allowance);
}

#[tokio::test]
async fn a_subject_that_was_not_checked_is_not_reported_as_good() {
    let fake = account("Administrator");
    let findings = examine(&client(&fake), &wanted()).await;
    let unknown = findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Unknown(_)));
    let unknown: Vec<Subject> = unknown.map(|finding| finding.subject).collect();
    assert_eq!(unknown, [Subject::Portal, Subject::Allowance]);
}

#[tokio::test]
async fn another_name_of_this_machine_is_no_other_region() {
    let fake = Fake::start(|request| match request.path() {
        USER => {
            let (_, port) = request.header("host").unwrap().split_once(':').unwrap();
            Reply::Answer(200, user("Administrator", &format!("localhost:{port}")))
        }
        _ => answer(request, "Administrator"),
    });
    assert_eq!(wrong(&client(&fake), &wanted()).await, []);
}

/// Runs the example with these settings and returns its exit status and output.
fn run(api: &str, portal_api: &str, secret_key: &str) -> (Option<i32>, String, String) {
    // Beside the folder of this test; `cargo test` builds examples first.
    let example = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/doctor");
    let output = Command::new(&example)
        .args(["EmailAddress", "FirstName", "mx_Course"])
        .env_clear()
        .env("LEADSQUARED_ACCESS_KEY", ACCESS_KEY)
        .env("LEADSQUARED_SECRET_KEY", secret_key)
        .env("LEADSQUARED_API", api)
        .env("LEADSQUARED_PORTAL_API", portal_api)
        .env("LEADSQUARED_PORTAL_ID", PORTAL)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; cargo build --examples makes it", example.display()));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_example_prints_what_is_wrong_and_exits_with_1() {
    let fake = Fake::start(|request| match request.header("x-lsq-secretkey") {
        Some("wrong") => Reply::Answer(401, String::new()),
        _ => answer(request, "Administrator"),
    });
    let url = fake.url.as_str();
    let (status, found, _) = run(url, url, SECRET_KEY);
    assert_eq!(status, Some(0), "{found}");
    assert_eq!(found.lines().filter(|line| line.starts_with("good ")).count(), 7, "{found}");
    let (status, found, _) = run("http://127.0.0.1:1", url, SECRET_KEY);
    assert_eq!(status, Some(1), "nothing was looked at: {found}");
    let (status, found, _) = run(url, url, "wrong");
    assert_eq!(status, Some(1), "{found}");
    assert!(found.contains("WRONG    keys: LeadSquared knows no active user"), "{found}");
}

#[test]
fn the_example_names_the_setting_that_it_cannot_read() {
    let (status, _, error) = run("127.0.0.1:1", "no host", SECRET_KEY);
    assert_eq!(status, Some(1));
    assert!(error.contains("LEADSQUARED_PORTAL_API is no host"), "a host alone is an address: {error}");
}

#[tokio::test]
async fn a_limit_below_the_allowance() {
    let fake = Fake::start(|request| match request.path() {
        FIELDS => Reply::Answer(429, "API calls exceeded the limit of 10 in 5 second(s)".to_owned()),
        _ => answer(request, "Administrator"),
    });
    let (subject, what, _) = only_wrong(&client(&fake), &wanted()).await;
    assert_eq!(
        (subject, what.as_str()),
        (Subject::Allowance, "calls were refused by the account's limit of 10 in 5 s")
    );
}
