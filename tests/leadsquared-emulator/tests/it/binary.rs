//! The binary: its arguments and files.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use leadsquared_emulator::Call;
use serde_json::{Value, json};

use crate::{assert_refused, http_client};

fn emulator() -> Command {
    Command::new(env!("CARGO_BIN_EXE_leadsquared-emulator"))
}

fn run(arguments: &[&str]) -> Output {
    emulator().args(arguments).output().unwrap()
}

fn write(folder: &Path, name: &str, json: &Value) -> String {
    let file = folder.join(name);
    std::fs::write(&file, json.to_string()).unwrap();
    file.into_os_string().into_string().unwrap()
}

/// A running emulator, which ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the emulator; returns a function that finds a printed value by the name on its line.
fn start(arguments: &[&str]) -> (Running, impl Fn(&str) -> String + use<>) {
    let mut running = Running(emulator().args(arguments).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = Vec::new();
    for line in BufReader::new(running.0.stdout.take().unwrap()).lines() {
        lines.push(line.unwrap());
        if lines.last().unwrap().starts_with("Press") {
            break;
        }
    }
    let said = move |name: &str| {
        let line = lines.iter().find_map(|line| line.trim().strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} is not in {lines:?}")).trim().to_owned()
    };
    (running, said)
}

#[test]
fn printed_accounts_and_settings_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for (print, take) in [("--print-account", "--account"), ("--print-settings", "--settings")] {
        let printed = run(&[print]);
        assert!(printed.status.success());
        let file = write(folder.path(), "file.json", &serde_json::from_slice(&printed.stdout).unwrap());
        assert_eq!(run(&[take, &file, print]), printed);
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = emulator().arg("--print-account").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.success(), String::from_utf8(ended.stderr).unwrap()), (true, String::new()));
}

#[tokio::test]
async fn a_settings_file_changes_switches_wordings_limit_and_paths() {
    let folder = tempfile::tempdir().unwrap();
    let settings = write(
        folder.path(),
        "settings.json",
        &json!({
            "portal_port": 0,
            "limit": {"calls": 2, "refusal": "Forbidden"},
            "switches": {"portal_takes_key_headers": true},
            "texts": {"bad_keys": "No such user."},
            "tenant_auth_key": {"method": "POST", "path": "/api/Access/TenantKey"},
        }),
    );
    let (_running, said) = start(&["--settings", &settings]);
    let http = http_client();
    let send = async |method, host: &str, path: &str, secret_key: &str| {
        let request = http.request(method, format!("{}{path}", said(host).trim_end_matches('/')));
        let request = request.header("x-lsq-accesskey", said("access key")).header("x-lsq-secretkey", secret_key);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let secret_key = said("secret key");
    let call = Call::LeadById;
    let refused = send(call.method(), "core API", call.path(), "wrong").await;
    assert_refused(refused, 401, "MXUnAuthorizedAccessException", "No such user.");
    assert_eq!(send(http::Method::POST, "portal API", "/api/Access/TenantKey", &secret_key).await.0, 200);
    assert_eq!(send(http::Method::POST, "core API", "/api/Access/TenantKey", &secret_key).await.0, 404);
    assert_eq!(send(call.method(), "core API", call.path(), &secret_key).await.0, 200);
    let spent = send(call.method(), "core API", call.path(), &secret_key).await;
    let text = "API calls exceeded the limit of 2 in 5 second(s)";
    assert_refused(spent, 403, "MXAPIRateLimitExceededException", text);
}

#[test]
fn an_unusable_file_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    for argument in ["--account", "--settings"] {
        let missing = run(&[argument, "/nowhere.json"]);
        let said = String::from_utf8(missing.stderr).unwrap();
        assert!(!missing.status.success() && said.starts_with("could not read the file /nowhere.json: "), "{said}");
        let misspelt = run(&[argument, &write(folder.path(), "file.json", &json!({"swithces": {}}))]);
        let said = String::from_utf8(misspelt.stderr).unwrap();
        assert!(!misspelt.status.success() && said.contains("unknown field `swithces`"), "{said}");
    }
}
