//! Says which rule fires for an event, and why the others do not:
//!
//! ```sh
//! cargo run -p crm-event --example rules -- events/crm-event/field-change.json
//! cargo run -p crm-event --example rules -- --rules my-rules.json events/crm-event/*.json
//! cargo run -p crm-event --example rules -- --rules my-rules.json --webhooks
//! ```
//!
//! An event is a request as a file of `events/crm-event` holds it, or just its body.

#![expect(clippy::print_stdout, reason = "what it finds is for a person to read")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use lambda_http::Request;
use lambda_http::request::LambdaRequest;
use leadsquared::wire::webhook::{Event, WebhookRequest, What};
use onboarding::rules::Rules;
use saphyr::{LoadableYamlNode, YamlOwned};
use serde_json::Value;

/// Which rule fires for an event, and why the others do not.
#[derive(Parser)]
struct Arguments {
    /// A file with the rules as CRM_RULES has them, - for standard input; the template's default if there is none.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// The eventType that LeadSquared would append to the address, for a file that holds a body alone.
    #[arg(long, value_name = "NAME")]
    event_type: Option<String>,
    /// Print the webhooks that the rules need, as the webhooks example takes them.
    #[arg(long, conflicts_with = "events")]
    webhooks: bool,
    /// Files with an event.
    #[arg(required_unless_present = "webhooks")]
    events: Vec<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let rules = Rules::parse(&rules_text(arguments.rules.as_deref())?).context("the rules are invalid")?;
    if arguments.webhooks {
        let needed: Vec<String> = rules.webhooks().iter().map(ToString::to_string).collect();
        println!("{}", needed.join(","));
        return Ok(ExitCode::SUCCESS);
    }
    let mut status = ExitCode::SUCCESS;
    for file in &arguments.events {
        let (body, event_type) = event(file, arguments.event_type.clone())?;
        println!("{}", file.display());
        let events = WebhookRequest { body: &body, event_type: event_type.as_deref() }.events();
        let events = events.unwrap_or_else(|malformed| vec![Err(malformed)]);
        for event in events {
            match event {
                Ok(event) => explain(&rules, &event),
                Err(malformed) => {
                    println!("  MALFORMED  {malformed}");
                    status = ExitCode::FAILURE;
                }
            }
        }
    }
    Ok(status)
}

fn explain(rules: &Rules, event: &Event) {
    let what = match &event.what {
        What::Created => "created".to_owned(),
        What::Changed(_) => "changed".to_owned(),
        What::Activity { code, .. } => format!("activity {code}"),
    };
    println!("  lead {}: {what}", event.lead);
    let first = rules.first(event);
    for rule in rules.iter() {
        match (rule.judge(event), first) {
            (Ok(()), Some(first)) if first == rule => {
                println!("    FIRES  {}: {}: {rule}", rule.name, rule.action.name())
            }
            (Ok(()), _) => println!("    late   {}: it would fire, but a rule before it does", rule.name),
            (Err(objection), _) => println!("    no     {}: {objection}", rule.name),
        }
    }
}

fn rules_text(file: Option<&Path>) -> anyhow::Result<String> {
    match file {
        Some(file) if file == Path::new("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
            Ok(text)
        }
        Some(file) => fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display())),
        None => default_rules(),
    }
}

/// The template's default rules.
fn default_rules() -> anyhow::Result<String> {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml"));
    let documents = YamlOwned::load_from_str(&fs::read_to_string(file)?)?;
    let default = documents.first().and_then(|template| {
        let parameter = template.as_mapping_get("Parameters")?.as_mapping_get("CrmRules")?;
        parameter.as_mapping_get("Default")?.as_str()
    });
    default.map(str::to_owned).context("template.yaml has no default for CrmRules; name a file with --rules")
}

/// The body and the event type in a file.
fn event(file: &Path, event_type: Option<String>) -> anyhow::Result<(Vec<u8>, Option<String>)> {
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let is_request = serde_json::from_slice(&bytes).is_ok_and(|json: Value| json.get("requestContext").is_some());
    if !is_request {
        return Ok((bytes, event_type));
    }
    let request: LambdaRequest = serde_json::from_slice(&bytes)?;
    let request: Request = http_events::without_address(request).into();
    if request.body().as_ref().trim_ascii().is_empty() {
        bail!("{} is LeadSquared's handshake: it has no body", file.display());
    }
    let named = http_events::query(&request, "eventType").map(str::to_owned);
    Ok((request.body().to_vec(), event_type.or(named)))
}
