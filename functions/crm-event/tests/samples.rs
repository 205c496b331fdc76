//! The `rules` example on the sample events: which rule fires for which, and why the others do not.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CRATE: &str = env!("CARGO_MANIFEST_DIR");

fn sample_rules() -> String {
    format!("{CRATE}/examples/rules.json")
}

fn events() -> Vec<PathBuf> {
    let files = fs::read_dir(Path::new(CRATE).join("../../events/crm-event")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn rules(arguments: &[&str], input: &str) -> Output {
    // Beside the folder of this test; `cargo test` builds examples first.
    let example = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/rules");
    let mut command = Command::new(&example);
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", example.display()));
    // One that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn each_sample_fires_the_rule_that_it_is_a_sample_of() {
    for file in events() {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let opened = "application opened: invite";
        let (status, fired): (i32, &[&str]) = match name.as_str() {
            "lead-create" | "wrong-secret" => (0, &["met at a fair: invite"]),
            "lead-update" | "field-change" | "stage-change" | "rest-api-lead-update" => (0, &[opened]),
            "form-field-for-each-member" => (0, &[opened]),
            "owner-change" => (0, &["handed to admissions: invite"]),
            "score-change" => (0, &["promising: invite"]),
            "lead-update-of-no-interest" => (0, &[]),
            "activity-create" => (0, &["fee paid: mail-link"; 2]),
            "activity-update" | "form-one-field" | "text-plain-without-event-type" => (0, &["fee paid: mail-link"]),
            "automation-lead" => (0, &[opened]),
            "automation-activity" => (0, &["fee paid: mail-link"]),
            "automation-follow-up" | "undecided-create" | "opportunity" | "merge" | "user-status-changed" => (0, &[]),
            "activity-bad-beside-good" => (1, &["fee paid: mail-link"]),
            "other-event" | "handshake-get" | "handshake-head" | "handshake-empty-post" => (1, &[]),
            other => panic!("say which rule fires for {other}"),
        };
        let output = rules(&["--rules", &sample_rules(), file.to_str().unwrap()], "");
        let text = printed(&output);
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("FIRES  "));
        let found: Vec<_> = lines.map(|line| line.splitn(3, ':').take(2).collect::<Vec<_>>().join(":")).collect();
        assert_eq!(output.status.code(), Some(status), "{name}: {text}");
        assert_eq!(found, fired, "{name}: {text}");
    }
}

#[test]
fn each_rule_says_why_it_does_not_fire() {
    let event = format!("{CRATE}/../../events/crm-event/field-change.json");
    let text = printed(&rules(&["--rules", &sample_rules(), &event], ""));
    let expected = r#"  lead 11111111-1111-4111-8111-111111111111: changed
    FIRES  application opened: invite: ProspectStage changes to "Applied"
    no     fee paid: the event is not an activity
    no     met at a fair: no lead was created
    no     handed to admissions: OwnerId did not change
    no     promising: Score did not change
"#;
    assert_eq!(text.split_once('\n').unwrap().1, expected);
}

#[test]
fn an_undecided_rule_and_an_event_that_no_rule_can_react_to_are_explained() {
    let event = |name: &str| format!("{CRATE}/../../events/crm-event/{name}.json");
    let text = printed(&rules(&["--rules", &sample_rules(), &event("undecided-create")], ""));
    let expected = "    LOOKUP met at a fair: the event does not carry Source: the worker looks the lead up, with at most \
                    10 % of the day's calls for all such events\n";
    assert!(text.contains(expected), "{text}");
    let text = printed(&rules(&["--rules", &sample_rules(), &event("user-status-changed")], ""));
    assert!(
        text.ends_with(
            "no rule reacts to this event: it is about a user of the account; the keys are checked at once\n"
        )
    );
}

#[test]
fn a_rule_that_needs_custom_fields_or_an_automation_is_pointed_out() {
    let json = r#"[
        {"name": "a", "on": "lead-create", "action": "invite", "when": [{"field": "mx_Status", "is-not": "Withdrawn"}]},
        {"name": "b", "on": "activity", "activity-name": "Fee", "action": "invite", "when": [{"field": "mx_Custom_1", "is": "x"}]},
        {"name": "c", "on": "lead-create", "action": "invite", "when": [{"field": "Source", "is": "Fair"}]}
    ]"#;
    let output = rules(&["--rules", "-", "--webhooks"], json);
    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "lead-create\n");
    assert_eq!(warnings.lines().count(), 2, "{warnings}");
    assert!(warnings.contains("WARNING a: LeadSquared sends custom fields such as mx_Status only where its support"));
    assert!(
        warnings.contains("NOTE    b: no webhook reports an activity that is known by its name only"),
        "{warnings}"
    );
}

#[test]
fn rules_come_from_standard_input_or_from_the_template() {
    let event = format!("{CRATE}/../../events/crm-event/field-change.json");
    let text = printed(&rules(&["--rules", "-", &event], r#"[{"name":"a","on":"lead-create","action":"invite"}]"#));
    assert!(text.ends_with("no     a: no lead was created\n"), "{text}");
    assert!(printed(&rules(&[&event], "")).contains("FIRES"), "the template's default is for the sample's stage");
    let refused = rules(&["--rules", "-", &event], r#"[{"name":"a"},{"name":"b"}]"#);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        printed(&refused).contains("rule 1 (a): on must be") && printed(&refused).contains("rule 2 (b): on must be")
    );
}

#[test]
fn the_webhooks_that_the_rules_need_are_printed() {
    let text = printed(&rules(&["--rules", &sample_rules(), "--webhooks"], ""));
    let expected = "lead-field-change=ProspectStage,activity-create=201,activity-update=201,lead-create,lead-owner-change,lead-score-change\n";
    assert_eq!(text, expected);
}
