//! Tests of the `webhooks` example. The workspace's own tests check its effect on an account against the emulator.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{ACCESS_KEY, PORTAL, SECRET_KEY};
use leadsquared_fake::{Fake, Reply};

/// Runs the example; its exit status and all that it prints.
fn run(api: &str, arguments: &[&str]) -> (Option<i32>, String) {
    // Beside the folder of this test; `cargo test` builds examples first.
    let example = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/webhooks");
    let mut command = Command::new(&example);
    command.args(arguments).env_clear().env("LEADSQUARED_ACCESS_KEY", ACCESS_KEY);
    command.env("LEADSQUARED_SECRET_KEY", SECRET_KEY).env("LEADSQUARED_PORTAL_ID", PORTAL);
    command.env("LEADSQUARED_API", api).env("LEADSQUARED_PORTAL_API", api);
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", example.display()));
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

/// A separate file for each test, below cargo's folder for tests.
fn file(name: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("webhooks-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_secret_is_made_once_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let file = file("made");
    let (status, first) = run("unused", &["secret", "--secret-file", &file]);
    assert_eq!(status, Some(0), "{first}");
    let secret = fs::read_to_string(&file).unwrap();
    assert_eq!(secret.trim().len(), 64);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(run("unused", &["secret", "--secret-file", &file]), (Some(0), first.clone()), "and not again");
    assert!(!first.contains(secret.trim()), "only its hash is printed");
}

#[test]
fn a_plan_shows_what_is_missing_and_writes_nothing() {
    let file = file("known");
    fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
    let fake = Fake::start(|request| match request.path() {
        "/v2/Webhook.svc/Retrieve" => Reply::Answer(200, r#"{"RecordCount":0,"Response":[]}"#.to_owned()),
        _ => Reply::Answer(404, String::new()),
    });
    let url = "https://api.example.com/crm-events";
    let events = "lead-create,activity-create=201";
    let (status, printed) = run(fake.url.as_str(), &["plan", "--secret-file", &file, "--url", url, "--events", events]);
    assert_eq!(status, Some(0), "{printed}");
    // printf 0123456789abcdef0123456789abcdef | sha256sum
    assert!(printed.contains("\n3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9\n"), "{printed}");
    assert!(printed.ends_with("create     lead-create\ncreate     activity-create=201\n"), "{printed}");
    assert_eq!(fake.seen().len(), 3, "one list for each state");
}

#[test]
fn an_unusable_secret_file_or_event_is_reported() {
    let short = file("short");
    fs::write(&short, "hunter2").unwrap();
    let plan = |file: &str, events: &str| {
        run("unused", &["plan", "--secret-file", file, "--url", "https://api.example.com/", "--events", events])
    };
    let (_, printed) = plan(&short, "lead-create");
    assert!(printed.contains("at least 32 visible ASCII characters") && !printed.contains("hunter2"), "{printed}");
    let (_, printed) = plan(&file("none"), "lead-create");
    assert!(printed.contains("the command `secret` makes one"), "{printed}");
    let (_, printed) = plan(&short, "lead-craete");
    assert!(printed.contains("must be lead-create, lead-update,"), "{printed}");
}
