//! Rules for the whole workspace: template, permissions, sample events, imports and file conventions.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use aws_lambda_events::sqs::SqsEvent;
use object::{Object, ObjectSymbol};
use runtime_api::Function;
use rustc_demangle::demangle;
use serde_json::{Value, json};

use telemetry::metric::{self, Series};

use crate::{
    functions::binary,
    template::{Template, own_metrics},
    workspace::{self, packages, root},
};

#[test]
fn a_function_has_its_resource_its_events_and_its_tests() {
    let functions: BTreeSet<_> = workspace::functions().into_iter().collect();
    let template = Template::read();
    let deployed: BTreeSet<_> = template.functions().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(deployed, functions, "template.yaml (left) deploys the folders in functions/ (right)");

    for function in &functions {
        assert!(!workspace::events(function).is_empty(), "events/{function}/ has a sample event");
        let tests = format!("tests/it/{}.rs", function.replace('-', "_"));
        assert!(root().join(&tests).exists(), "{function} has black-box tests in {tests}");
    }
    for folder in fs::read_dir(root().join("events")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        if ["README.md", "dead-letters", "ledger", "queue", "schemas"].contains(&name.as_str()) {
            continue;
        }
        assert!(functions.contains(&name), "events/{name}/ belongs to a function");
    }
}

#[test]
fn the_template_sets_exactly_the_settings_that_a_function_reads() {
    let template = Template::read();
    for (function, properties) in template.functions() {
        let path = root().join("functions").join(function).join("src/config.rs");
        let config = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut code = config.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        let dependencies = dependencies(&root().join("functions").join(function).join("Cargo.toml"));
        for shared in
            ["intake", "leadsquared-account"].into_iter().filter(|name| dependencies.iter().any(|its| its == name))
        {
            let settings = fs::read_to_string(root().join("shared").join(shared).join("src/settings.rs")).unwrap();
            code += settings.split("#[cfg(test)]").next().unwrap_or_default();
        }
        code += &fs::read_to_string(root().join("shared/telemetry/src/lib.rs")).unwrap();
        code += &shared_settings(&config);
        // Lambda sets those with this prefix.
        let read: BTreeSet<_> = setting_names(&code).filter(|name| !name.starts_with("AWS_")).collect();
        let environment = template.environment(properties);
        let given: BTreeSet<_> = environment.keys().map(String::as_str).collect();
        assert_eq!(given, read, "template.yaml gives {function} (left) what its config.rs reads (right)");
    }
}

/// The sample is read as `cargo lambda watch --env-file` reads it.
#[tokio::test]
async fn a_function_starts_with_its_sample_settings_and_without_aws() {
    let mut samples = 0;
    for function in workspace::functions() {
        let Ok(text) = fs::read_to_string(root().join("functions").join(&function).join("sample.env")) else {
            continue;
        };
        samples += 1;
        let setting = |line: &str| {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{function}: {line}"));
            (name.to_owned(), value.trim_matches('\'').to_owned())
        };
        let environment: Vec<_> = text.lines().map(setting).collect();
        assert!(environment.contains(&("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:9".to_owned())), "{function}");
        let unknown = |name: &&String| !name.starts_with("AWS_") && !Template::read().gives(&function, name);
        let unknown: Vec<_> = environment.iter().map(|(name, _)| name).filter(unknown).collect();
        assert!(unknown.is_empty(), "{function} does not read {unknown:?}");
        let started = Function::start(binary(&function).await, environment).await;
        started.unwrap_or_else(|error| panic!("{function} does not start with its sample.env: {error:?}")).stop().await;
    }
    assert!(samples > 2, "functions that start without LeadSquared have a sample.env");
}

/// The code of the shared crates by which a `config.rs` reads single settings: constants such as `Fields::SETTING`, and
/// functions such as `mail_sender(variables)`.
fn shared_settings(config: &str) -> String {
    let mentions = |text: &str| {
        let is_part_of_a_name = |at: usize| config[..at].ends_with(|before: char| before.is_alphanumeric());
        config.match_indices(text).any(|(at, _)| !is_part_of_a_name(at))
    };
    let mut found = String::new();
    for path in workspace::files(&root().join("shared"), "rs") {
        let code = fs::read_to_string(path).unwrap();
        for (at, _) in code.match_indices("pub const SETTING: ") {
            let owner = code[..at].rsplit("impl ").next().unwrap().split(' ').next().unwrap();
            if mentions(&format!("{owner}::SETTING")) {
                found += code[at..].lines().next().unwrap();
                found += "\n";
            }
        }
        for (at, _) in code.match_indices("\npub fn ") {
            let function = code[at + "\npub fn ".len()..].split("\n}\n").next().unwrap();
            let name = function.split('(').next().unwrap();
            if function.contains("variables: &Variables<'_>") && mentions(&format!("{name}(variables)")) {
                found += function;
            }
        }
    }
    found
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
fn a_queue_trigger_reports_item_failures_and_hides_messages_for_longer_than_the_time_out() {
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
fn a_function_has_alarms_and_its_log_expires() {
    let template = Template::read();
    for (id, _, properties) in template.functions_by_id() {
        let logs = format!("{id}Logs");
        let group = template.resource(&logs);
        assert_eq!(group["Type"], "AWS::Logs::LogGroup", "{id} has a log group, {logs}");
        assert_eq!(group["Properties"]["RetentionInDays"], json!({"Ref": "LogRetentionDays"}), "{logs}");
        assert_eq!(properties["LoggingConfig"]["LogGroup"], json!({"Ref": logs}), "{id} logs into {logs}");
        let errors = format!("{id}Errors");
        let alarm = &template.resource(&errors)["Properties"];
        assert_eq!((&alarm["Namespace"], &alarm["MetricName"]), (&json!("AWS/Lambda"), &json!("Errors")), "{errors}");
        let of_it = json!([{"Name": "FunctionName", "Value": {"Ref": id}}]);
        assert_eq!(alarm["Dimensions"], of_it, "{errors} watches {id}");
        let throttled = template.resource("Throttled")["Properties"]["Metrics"].as_array().unwrap();
        let is_of_it = |metric: &Value| metric["MetricStat"]["Metric"]["Dimensions"] == of_it;
        assert!(throttled.iter().any(is_of_it), "Throttled watches {id}");
    }
}

#[test]
fn an_event_whose_sender_waits_for_no_answer_is_kept_when_it_fails() {
    let template = Template::read();
    for (id, _, properties) in template.functions_by_id() {
        let events = properties["Events"].as_object().into_iter().flatten();
        let mut unanswered =
            events.filter(|(_, event)| !["HttpApi", "Api", "SQS"].contains(&event["Type"].as_str().unwrap()));
        let Some((name, _)) = unanswered.next() else { continue };
        let config = &properties["EventInvokeConfig"];
        let kept = !config["DestinationConfig"]["OnFailure"].is_null() || !properties["DeadLetterQueue"].is_null();
        // A function without retries repeats its work by itself, on its schedule.
        let made_again = config["MaximumRetryAttempts"] == 0;
        assert!(kept || made_again, "{id}: {name} has an OnFailure destination, a dead letter queue or no retries");
    }
}

#[test]
fn the_first_dead_letter_raises_an_alarm() {
    let template = Template::read();
    let queues = template.dead_letter_queues();
    assert!(queues.len() >= 2, "{queues:?}");
    let watched: Vec<_> = template
        .resources("AWS::CloudWatch::Alarm")
        .map(|(_, alarm)| &alarm["Properties"])
        .filter(|alarm| alarm["MetricName"] == "ApproximateNumberOfMessagesVisible" && alarm["Threshold"] == 1)
        .map(|alarm| &alarm["Dimensions"])
        .collect();
    for queue in queues {
        let of_it = json!([{"Name": "QueueName", "Value": {"Fn::GetAtt": format!("{queue}.QueueName")}}]);
        assert!(watched.contains(&&of_it), "an alarm watches for the first message on {queue}");
    }
}

#[test]
fn an_alarm_watches_metrics_that_are_printed_and_notifies_the_topic() {
    let template = Template::read();
    let mut alarms = 0;
    for (id, alarm) in template.resources("AWS::CloudWatch::Alarm") {
        alarms += 1;
        let own_metrics = own_metrics(alarm);
        let alarm = &alarm["Properties"];
        assert_eq!(alarm["AlarmActions"], json!([{"Ref": "Alarms"}]), "{id} notifies the topic");
        assert_eq!(alarm["TreatMissingData"], "notBreaching", "{id}: without traffic there are no values");
        assert!(alarm["AlarmDescription"].is_string(), "{id} says what it means");
        for metric in own_metrics {
            let dimensions = metric["Dimensions"].as_array().into_iter().flatten();
            let dimensions: Vec<_> = dimensions.map(|dimension| dimension["Name"].as_str().unwrap()).collect();
            let is_it =
                |series: &Series<&[&str]>| metric["MetricName"] == series.name && dimensions == series.dimensions;
            assert!(metric::ALL.iter().any(is_it), "{id}: no function counts {metric}");
        }
    }
    assert!(alarms > template.functions().len(), "template.yaml has alarms");
}

/// An alarm with a shorter period would switch off and on between two attempts.
#[test]
fn an_alarm_lasts_from_one_attempt_to_the_next() {
    let template = Template::read();
    let seconds = |id: &str| {
        let alarm = &template.resource(id)["Properties"];
        assert_eq!(alarm["DatapointsToAlarm"], 1, "{id}");
        alarm["Period"].as_u64().unwrap() * alarm["EvaluationPeriods"].as_u64().unwrap()
    };
    let longest_wait = onboarding::retry::backoff(u32::MAX, u32::MAX).as_secs();
    for id in ["InvitationsWait", "OperatorNeeded"] {
        assert!(seconds(id) >= longest_wait, "{id}: attempts are up to {longest_wait} s apart");
    }
    let longest_wait = onboarding::retry::LONGEST_WAIT.as_secs();
    assert!(seconds("QuestionsWait") >= longest_wait, "questions are tried up to {longest_wait} s apart");
    let rate = template.default("KeyCheckRate");
    let hours = rate.strip_prefix("rate(").and_then(|rate| rate.strip_suffix(" hours)"));
    let hours: u64 = hours.unwrap_or_else(|| panic!("{rate} is in hours")).parse().unwrap();
    assert!(seconds("KeyCheckFailed") > hours * 60 * 60, "checks are {hours} h apart");
}

/// Its metric is recorded once a day: the alarm lasts most of a day, and ends before the next record.
#[test]
fn an_alarm_about_held_applications_is_raised_once_a_day() {
    let template = Template::read();
    for id in ["HeldWaiting", "HeldExpiring"] {
        let alarm = &template.resource(id)["Properties"];
        assert_eq!((&alarm["DatapointsToAlarm"], &alarm["Threshold"]), (&json!(1), &json!(1)), "{id}");
        let hours = alarm["Period"].as_u64().unwrap() * alarm["EvaluationPeriods"].as_u64().unwrap() / 3600;
        assert!((12..23).contains(&hours), "{id} is on for {hours} hours");
        assert!(alarm["OKActions"].is_null(), "{id} ends after a day, and not because an operator decided");
    }
}

#[test]
fn the_dashboard_shows_metrics_there_are_and_every_alarm() {
    let template = Template::read();
    let body = template.resource("Dashboard")["Properties"]["DashboardBody"]["Fn::Sub"].as_str().unwrap();
    let widgets: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("the dashboard's body: {error}"));
    let (mut shown, mut alarms) = (Vec::new(), BTreeSet::new());
    for widget in widgets["widgets"].as_array().unwrap() {
        alarms.extend(widget["properties"]["alarms"].as_array().into_iter().flatten().filter_map(Value::as_str));
        for metric in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            let search = metric[0]["expression"].as_str().map(|expression| {
                let parts: Vec<_> = expression.split('"').collect();
                // A stack's name may have hyphens:
                // https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
                assert_eq!(parts[..2], ["SEARCH('{", "${AWS::StackName}"], "the namespace is in quotes: {expression}");
                parts[3]
            });
            let ours = (metric[0] == "${AWS::StackName}").then(|| metric[1].as_str().unwrap());
            shown.extend(search.or(ours));
        }
    }
    assert!(shown.len() > 3, "{shown:?}");
    for name in shown {
        assert!(metric::ALL.iter().any(|series| series.name == name), "no function counts {name}");
    }
    let known: BTreeSet<_> =
        template.resources("AWS::CloudWatch::Alarm").map(|(id, _)| format!("${{{id}.Arn}}")).collect();
    assert_eq!(alarms, known.iter().map(String::as_str).collect(), "the dashboard (left) shows every alarm (right)");
}

/// The linker keeps only reachable code, so a binary's symbols are the calls that it can make.
#[tokio::test]
async fn a_role_permits_exactly_the_calls_of_its_function() {
    let template = Template::read();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for (function, properties) in template.functions() {
        let binary = fs::read(binary(function).await).unwrap();
        let binary = object::File::parse(&*binary).unwrap();
        let names = binary.symbols().filter_map(|symbol| symbol.name().ok());
        let names = names.filter(|name| name.contains("aws_sdk_")).map(|name| format!("{:#}", demangle(name)));
        let mut calls: BTreeSet<_> = names.filter_map(|name| action_of(&name)).collect();
        // On Lambda the credentials are in the environment, so no function calls a service to fetch them.
        calls.retain(|action| manifest.contains(&format!("\naws-sdk-{} = ", action.split(':').next().unwrap())));
        calls.extend(calls_of_lambda(properties).map(str::to_owned));
        assert_eq!(
            actions_of(&template, properties),
            calls,
            "template.yaml permits {function} (left) the calls that are linked into it, and those of Lambda (right)"
        );
    }
}

/// The IAM actions that Lambda itself needs in the function's role.
fn calls_of_lambda(function: &Value) -> impl Iterator<Item = &'static str> {
    let has_queue = function["Events"].as_object().into_iter().flatten().any(|(_, event)| event["Type"] == "SQS");
    let has_destination = !function["EventInvokeConfig"]["DestinationConfig"].is_null();
    let always =
        ["logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTelemetryRecords", "xray:PutTraceSegments"].into_iter();
    let polling = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"].into_iter();
    let destination = has_destination.then_some("sqs:SendMessage");
    always.chain(polling.filter(move |_| has_queue)).chain(destination)
}

/// The IAM action that the call of this symbol needs; none if it is no call.
fn action_of(symbol: &str) -> Option<String> {
    let path: Vec<_> = symbol.split("::").map(|part| part.trim_matches(['<', '>'])).collect();
    let (service, action) = match path[..] {
        // A transaction needs the actions of its parts.
        ["aws_sdk_dynamodb", "operation", _, "TransactWriteItems", _] => return None,
        [service, "operation", _, operation, "orchestrate"] => {
            (service, operation.trim_end_matches("Batch").to_owned())
        }
        [service @ "aws_sdk_dynamodb", "types", "_put" | "_update" | "_delete" | "_condition_check", part, "build"] => {
            (service, format!("{}Item", part.trim_end_matches("Builder")))
        }
        _ => return None,
    };
    Some(format!("{}:{action}", service.strip_prefix("aws_sdk_")?))
}

fn actions_of(template: &Template, function: &Value) -> BTreeSet<String> {
    let actions = template.statements(function).into_iter().map(|statement| &statement["Action"]);
    let actions = actions.flat_map(|action| action.as_array().cloned().unwrap_or_else(|| vec![action.clone()]));
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[test]
fn samconfig_sets_every_required_parameter_and_only_known_ones() {
    let template = Template::read();
    let parameters: BTreeSet<_> = template.names("Parameters").collect();
    let samconfig = fs::read_to_string(root().join("samconfig.toml")).unwrap();
    for stage in ["default", "dev"] {
        let table = samconfig.split(&format!("\n[{stage}.deploy.parameters.parameter_overrides]\n")).nth(1);
        let table = table.unwrap_or_else(|| panic!("samconfig.toml has a table of {stage}'s parameters"));
        let given = table.lines().take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once(" = "));
        let given: BTreeSet<_> = given.map(|(name, _)| name).collect();
        let unknown: Vec<_> = given.difference(&parameters).collect();
        assert!(unknown.is_empty(), "samconfig.toml: template.yaml has no parameters {unknown:?}");
        let missing: Vec<_> = template.required().filter(|name| !given.contains(name)).collect();
        assert!(missing.is_empty(), "samconfig.toml has no place for {missing:?} of {stage}, which must be given");
    }
}

/// The SAM CLI asks about each route of an API without the property, and a guided deployment ends at the first Enter.
#[test]
fn an_api_is_declared_public() {
    let template = Template::read();
    let apis: Vec<_> = template.resources("AWS::Serverless::HttpApi").collect();
    assert!(!apis.is_empty());
    for (id, api) in apis {
        assert_eq!(api["Properties"]["Auth"], json!({"EnableIamAuthorizer": false}), "{id}");
    }
}

#[test]
fn the_access_log_is_json_without_personal_data() {
    let template = Template::read();
    for (id, api) in template.resources("AWS::Serverless::HttpApi") {
        let format = api["Properties"]["AccessLogSettings"]["Format"].as_str().expect("an API has an access log");
        let fields: BTreeMap<String, String> =
            serde_json::from_str(format).unwrap_or_else(|error| panic!("{id}: {error}"));
        for field in fields.values() {
            let variable = field.strip_prefix("$context.").unwrap_or_else(|| panic!("{id}: {field}"));
            let personal = ["path", "identity", "authorizer", "domain", "customDomain"];
            assert!(!personal.iter().any(|name| variable.starts_with(name)), "{id} logs {field}");
        }
    }
}

/// `cargo lambda deploy` reads Cargo.toml, SAM the template.
#[test]
fn a_function_has_the_same_memory_and_time_out_in_cargo_toml_and_template() {
    let template = Template::read();
    for (function, properties) in template.functions() {
        let manifest = fs::read_to_string(root().join("functions").join(function).join("Cargo.toml")).unwrap();
        let metadata = manifest.split("\n[package.metadata.lambda.deploy]\n").nth(1);
        let metadata = metadata.unwrap_or_else(|| panic!("{function}: Cargo.toml has deployment metadata"));
        let metadata: BTreeMap<_, _> = metadata
            .lines()
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once(" = "))
            .collect();
        for (name, property) in [("memory", "MemorySize"), ("timeout", "Timeout"), ("runtime", "Runtime")] {
            let value = template.property(properties, property).to_string();
            assert_eq!(metadata.get(name), Some(&value.as_str()), "{function}: {property} in template.yaml is {value}");
        }
    }
}

/// An event that no rule matches never reaches the function.
#[test]
fn the_sample_events_of_a_bus_fit_its_rules() {
    let template = Template::read();
    let mut rules = 0;
    for (function, properties) in template.functions() {
        let events = properties["Events"].as_object().into_iter().flatten().map(|(_, event)| event);
        let patterns = events.filter(|event| event["Type"] == "EventBridgeRule");
        let patterns: Vec<_> = patterns.map(|event| &event["Properties"]["Pattern"]).collect();
        let samples = workspace::events(function).into_iter().map(|(file, text)| (file, serde_json::from_slice(&text)));
        let samples: Vec<(String, Value)> = samples.filter_map(|(file, event)| Some((file, event.ok()?))).collect();
        // Events of other transports have no source, and a schedule has no pattern.
        let from_bus =
            samples.iter().filter(|(_, event)| event["source"].as_str().is_some_and(|it| it != "aws.events"));
        for (file, event) in from_bus.clone() {
            assert!(patterns.iter().any(|pattern| fits(pattern, event)), "{function}: no rule matches {file}");
        }
        for pattern in patterns {
            rules += 1;
            assert!(from_bus.clone().any(|(_, event)| fits(pattern, event)), "{function}: a sample for {pattern}");
        }
    }
    assert!(rules > 2, "template.yaml has rules");
}

/// Whether an event matches a pattern of the kinds in the template: one of the listed values or prefixes at each place
/// (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html>). A value that is known only
/// after deployment is a secret's ARN. A condition does not hold by default.
fn fits(pattern: &Value, event: &Value) -> bool {
    let is_arn = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("arn:aws:secretsmanager:"));
    match pattern {
        Value::Object(places) if places.contains_key("Fn::If") => fits(&places["Fn::If"][2], event),
        Value::Object(places) => places.iter().all(|(name, pattern)| fits(pattern, &event[name])),
        Value::Array(values) => values.iter().any(|value| match value["prefix"].as_str() {
            Some(prefix) => event.as_str().is_some_and(|text| text.starts_with(prefix)),
            None => value == event || value.is_object() && is_arn(event),
        }),
        _ => false,
    }
}

#[test]
fn telemetry_lists_every_crate_that_logs() {
    let telemetry = fs::read_to_string(root().join("shared/telemetry/src/lib.rs")).unwrap();
    let ours = telemetry.split("WORKSPACE_CRATES").nth(1).unwrap().split("];").next().unwrap();
    let ours: Vec<_> = ours.split('"').skip(1).step_by(2).collect();
    for folder in ["functions", "shared"] {
        for package in packages(folder) {
            if dependencies(&root().join(folder).join(&package).join("Cargo.toml")).contains(&"tracing".to_owned()) {
                let target = package.replace('-', "_");
                assert!(
                    ours.iter().any(|name| target.starts_with(name)),
                    "{package} logs: shared/telemetry names {target}"
                );
            }
        }
    }
}

#[test]
fn a_policy_has_no_wildcard() {
    let template = Template::read();
    let xray = json!(["xray:PutTraceSegments", "xray:PutTelemetryRecords"]);
    for (id, function, properties) in template.functions_by_id() {
        let role = &template.target(&properties["Role"])["Properties"];
        let attached = [&role["ManagedPolicyArns"], &properties["Policies"]];
        assert!(
            attached.iter().all(|policies| policies.is_null()),
            "{function}: its role has all its permissions inline"
        );
        let logs = json!({"Fn::GetAtt": format!("{id}Logs.Arn")});
        for statement in template.statements(properties) {
            let (action, resource) = (&statement["Action"], &statement["Resource"]);
            assert!(!action.is_null() && !resource.is_null(), "{function}: {statement}");
            assert!(!action.to_string().contains('*'), "{function} has too many permissions: {action}");
            // X-Ray's actions apply to no resource.
            let is_named = !resource.to_string().contains('*') || *action == xray;
            assert!(is_named, "{function} has too many permissions: {statement}");
            if action.to_string().contains("logs:") {
                assert_eq!(*resource, logs, "{function} writes to its own log and no other");
            }
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
                assert!(bus_event::Envelope::of(event, "").is_ok(), "{file}");
            } else if function == "key-check" {
                let event: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
                let is_of_event_bridge = event["source"].is_string() && event["detail-type"].is_string();
                assert!(
                    is_of_event_bridge || event["awslogs"]["data"].is_string(),
                    "{file} is from EventBridge or a log"
                );
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

/// A panic must fail its own record and not the batch, and cargo-lambda makes panics abort by default.
#[test]
fn panics_unwind_in_what_is_deployed() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let profile = manifest.split("\n[profile.release]\n").nth(1).expect("Cargo.toml has a release profile");
    let profile = profile.split("\n[").next().unwrap_or_default();
    assert!(profile.lines().any(|line| line == "panic = \"unwind\""), "{profile}");
}

#[test]
fn no_code_is_unfinished() {
    // Joined here, so that this file does not contain them.
    let marks = [["todo", "!("], ["unimplemented", "!("], ["#[", "ignore"]].map(|parts| parts.concat());
    for path in sources() {
        let code = fs::read_to_string(&path).unwrap();
        for mark in &marks {
            assert!(!code.contains(mark), "{} holds {mark}", path.display());
        }
    }
}

#[test]
fn only_the_runtime_crate_reads_the_environment() {
    let reads = ["env::", "var"].concat();
    let is_test = |path: &Path| path.components().any(|part| part.as_os_str() == "tests");
    let shipped = sources().into_iter().filter(|path| !is_test(path.strip_prefix(root()).unwrap()));
    for path in shipped.filter(|path| *path != root().join("shared/runtime/src/lib.rs")) {
        let in_examples = path.components().any(|part| part.as_os_str() == "examples");
        let code = fs::read_to_string(&path).unwrap();
        assert!(in_examples || !code.contains(&reads), "{} reads the environment", path.display());
    }
}

/// `tests -> functions -> shared`; the LeadSquared client imports no crate of this repository and none of AWS.
#[test]
fn imports_run_one_way() {
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

/// The drawing in `shared/README.md` is the order of the crates.
#[test]
fn a_shared_crate_imports_crates_of_the_lines_below_its_own() {
    let page = fs::read_to_string(root().join("shared/README.md")).unwrap();
    let drawing = page.split_once("shared:\n\n").and_then(|(_, rest)| rest.split_once("\n```")).unwrap().0;
    let lines: Vec<Vec<&str>> = drawing.lines().map(|line| line.split(", ").collect()).collect();
    let line_of = |name: &str| lines.iter().position(|line| line.contains(&name));
    let crates = packages("shared");
    for name in &crates {
        let own = line_of(name).unwrap_or_else(|| panic!("shared/README.md draws no line with {name}"));
        let manifest = root().join("shared").join(name).join("Cargo.toml");
        for import in dependencies(&manifest).iter().filter(|import| crates.contains(import)) {
            assert!(line_of(import) > Some(own), "{name} imports {import}, which is not on a line below it");
        }
    }
}

/// The domain runs in any process: no AWS, no Lambda, no telemetry, and of our crates only the LeadSquared client.
#[test]
fn the_domain_depends_on_no_aws_no_lambda_and_no_telemetry() {
    let ours = packages("shared");
    for name in dependencies(&root().join("shared/onboarding/Cargo.toml")) {
        let is_outside = ["aws", "lambda", "metrics", "tokio"].iter().any(|outside| name.starts_with(outside));
        assert!(!is_outside, "the domain depends on {name}");
        assert!(name == "leadsquared" || !ours.contains(&name), "the domain depends on {name}");
    }
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
