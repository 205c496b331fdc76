//! Rules about the whole workspace.

use std::{collections::BTreeSet, fs, path::Path};

use aws_lambda_events::sqs::SqsEvent;
use serde_json::Value;

use crate::{
    template::Template,
    workspace::{self, root},
};

#[test]
fn a_function_has_its_resource_its_events_its_tests_and_its_row() {
    let functions: BTreeSet<_> = workspace::functions().into_iter().collect();
    let template = Template::read();
    let deployed: BTreeSet<_> = template.functions().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(deployed, functions, "template.yaml (left) deploys the folders in functions/ (right)");

    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for function in &functions {
        assert!(!workspace::events(function).is_empty(), "events/{function}/ has a sample event");
        let tests = format!("tests/it/{}.rs", function.replace('-', "_"));
        assert!(root().join(&tests).exists(), "{function} has black-box tests in {tests}");
        let row = format!("| [{function}](functions/{function}) |");
        assert!(readme.lines().any(|line| line.starts_with(&row)), "README.md has a table row starting {row:?}");
    }
    for folder in fs::read_dir(root().join("events")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        if name == "schemas" {
            continue;
        }
        assert!(functions.contains(&name), "events/{name}/ belongs to a function");
    }
}

#[test]
fn a_function_is_given_exactly_the_settings_it_reads() {
    let template = Template::read();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for (function, properties) in template.functions() {
        let path = root().join("functions").join(function).join("src/config.rs");
        let config = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut code = config.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        if dependencies(&root().join("functions").join(function).join("Cargo.toml")).contains(&"account".to_owned()) {
            code += &fs::read_to_string(root().join("shared/account/src/settings.rs")).unwrap();
        }
        code += &fs::read_to_string(root().join("shared/telemetry/src/lib.rs")).unwrap();
        // Those that begin so are Lambda's own.
        let read: BTreeSet<_> = setting_names(&code).filter(|name| !name.starts_with("AWS_")).collect();
        let environment = template.environment(properties);
        let given: BTreeSet<_> = environment.keys().map(String::as_str).collect();
        assert_eq!(given, read, "template.yaml gives {function} (left) what its config.rs reads (right)");
        for name in read {
            assert!(readme.contains(&format!("`{name}`")), "README.md tells what {name} means");
        }
    }
}

/// The string literals that look like the name of an environment variable.
fn setting_names(code: &str) -> impl Iterator<Item = &str> {
    let literals = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let literals = literals.flat_map(|line| line.split('"').skip(1).step_by(2));
    literals.filter(|text| {
        text.len() > 2 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

#[test]
fn a_queue_trigger_reports_item_failures_and_outlives_its_function() {
    let template = Template::read();
    let mut triggers = 0;
    for (function, properties) in template.functions() {
        let Some(events) = properties["Events"].as_object() else { continue };
        for (name, event) in events.iter().filter(|(_, event)| event["Type"] == "SQS") {
            triggers += 1;
            let trigger = &event["Properties"];
            let reported = trigger["FunctionResponseTypes"].as_array();
            assert!(
                reported.is_some_and(|types| types.contains(&Value::from("ReportBatchItemFailures"))),
                "{function}: without ReportBatchItemFailures, Lambda ignores which records {name} failed"
            );
            let queue = &template.target(&trigger["Queue"])["Properties"];
            let timeout = properties["Timeout"].as_u64().expect("a function has its time-out");
            let visibility = queue["VisibilityTimeout"].as_u64().unwrap_or(30);
            assert!(visibility >= 6 * timeout, "{function}: {visibility} s of visibility, {timeout} s time-out");
            let dead_letters = &queue["RedrivePolicy"]["deadLetterTargetArn"];
            assert_eq!(template.target(dead_letters)["Type"], "AWS::SQS::Queue", "{function}: {name} has dead letters");
        }
    }
    assert!(triggers > 0, "template.yaml has a queue trigger");
}

#[test]
fn no_policy_has_a_wildcard() {
    let template = Template::read();
    for (function, properties) in template.functions() {
        let statements = properties["Policies"].as_array().into_iter().flatten();
        let statements: Vec<_> = statements.flat_map(|policy| policy["Statement"].as_array().unwrap()).collect();
        assert!(!statements.is_empty(), "{function} says what it may do");
        // A statement may have a condition: what counts is what it says where the condition holds.
        let statements = statements.into_iter().map(|statement| statement["Fn::If"].get(1).unwrap_or(statement));
        for part in statements.flat_map(|statement| [&statement["Action"], &statement["Resource"]]) {
            assert!(!part.is_null() && !part.to_string().contains('*'), "{function} may do too much: {part}");
        }
    }
}

#[test]
fn every_sample_event_decodes() {
    let template = Template::read();
    for function in workspace::functions() {
        for (file, event) in workspace::events(&function) {
            let text = std::str::from_utf8(&event).unwrap();
            if function == "bus-event" {
                let event = serde_json::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(bus_event::Arrival::of(event, "").is_ok(), "{file}");
            } else if function == "key-check" {
                let event: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(event["source"].is_string() && event["detail-type"].is_string(), "{file} is from EventBridge");
            } else if text.contains("\"Records\"") {
                let event: SqsEvent = serde_json::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(!event.records.is_empty(), "{file} holds a record");
                for record in event.records {
                    assert!(record.message_id.is_some() && record.body.is_some(), "{file}: {record:?}");
                }
            } else {
                let request = lambda_http::request::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
                let (method, path) = (request.method().as_str(), request.uri().path());
                let routes = template.routes(&function);
                let fits = |(its, route): &(String, String)| match route.split_once('{') {
                    _ if its != method => false,
                    // A REST API's stage is a part of the path.
                    None => path.ends_with(route),
                    Some((before, _)) => path.contains(before) && !path.ends_with(before),
                };
                assert!(routes.iter().any(fits), "{file}: {method} {path} is none of {routes:?}");
            }
        }
    }
}

#[test]
fn nothing_is_left_to_do() {
    // Put together here, so that this file does not hold them.
    let marks = [["todo", "!("], ["unimplemented", "!("], ["#[", "ignore"]].map(|parts| parts.concat());
    for path in sources() {
        let code = fs::read_to_string(&path).unwrap();
        for mark in &marks {
            assert!(!code.contains(mark), "{} holds {mark}", path.display());
        }
    }
}

#[test]
fn the_environment_is_read_in_main_alone() {
    let reads = ["env::", "var"].concat();
    let is_test = |path: &Path| path.components().any(|part| part.as_os_str() == "tests");
    let shipped = sources().into_iter().filter(|path| !is_test(path.strip_prefix(root()).unwrap()));
    for path in shipped.filter(|path| path.file_name() != Some("main.rs".as_ref())) {
        let in_examples = path.components().any(|part| part.as_os_str() == "examples");
        let code = fs::read_to_string(&path).unwrap();
        assert!(in_examples || !code.contains(&reads), "{} reads the environment", path.display());
    }
}

/// `tests -> functions -> shared`, and the client knows nothing of ours nor of AWS.
#[test]
fn the_arrows_point_one_way() {
    let functions = workspace::functions();
    let tests = packages("tests");
    let forbidden_to = |manifest: &Path, names: &mut dyn Iterator<Item = &String>| {
        let dependencies = dependencies(manifest);
        for name in names {
            assert!(!dependencies.contains(name), "{} depends on {name}", manifest.display());
        }
    };
    for function in &functions {
        let manifest = root().join("functions").join(function).join("Cargo.toml");
        forbidden_to(&manifest, &mut functions.iter().filter(|other| *other != function));
    }
    for package in packages("shared") {
        forbidden_to(&root().join("shared").join(&package).join("Cargo.toml"), &mut functions.iter().chain(&tests));
    }
    let client = dependencies(&root().join("shared/leadsquared/Cargo.toml"));
    let ours = packages("shared");
    for name in client {
        assert!(!ours.contains(&name) && !name.starts_with("aws"), "the LeadSquared client depends on {name}");
    }
}

fn packages(folder: &str) -> Vec<String> {
    let manifests = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let names = manifests.filter(|path| path.join("Cargo.toml").exists());
    names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let lines = text.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let name = |line: &str| line.split(['.', '=', ' ']).next().unwrap_or_default().to_owned();
    lines.map(name).filter(|name| !name.is_empty() && !name.starts_with('#')).collect()
}

fn sources() -> Vec<std::path::PathBuf> {
    ["functions", "shared", "tests"].iter().flat_map(|folder| workspace::files(&root().join(folder), "rs")).collect()
}
