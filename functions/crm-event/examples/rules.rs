//! Says which rule fires for an event, and why the others do not:
//!
//! ```sh
//! cargo run -p crm-event --example rules -- events/crm-event/field-change.json
//! cargo run -p crm-event --example rules -- --rules my-rules.json events/crm-event/*.json
//! cargo run -p crm-event --example rules -- --rules my-rules.json --webhooks
//! ```
//!
//! It warns of rules that need custom fields of leads, which many accounts do not send.
//!
//! An event is a request as a file of `events/crm-event` holds it, or just its body.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it finds is for a person to read")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use lambda_http::Request;
use lambda_http::request::LambdaRequest;
use leadsquared::wire::webhook::{Event, EventKind, OtherSubject, WebhookRequest};
use onboarding::rules::{RuleDecision, Rules, Verdict};
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
    /// The entityType that LeadSquared would append to the address, for a file that holds a body alone.
    #[arg(long, value_name = "NAME")]
    entity_type: Option<String>,
    /// Print the webhooks that the rules need, as the webhooks example takes them.
    #[arg(long, conflicts_with = "events")]
    webhooks: bool,
    /// Files with an event.
    #[arg(required_unless_present = "webhooks")]
    events: Vec<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let rules = rules_text(arguments.rules.as_deref())?.parse::<Rules>().context("the rules are invalid")?;
    warn(&rules);
    if arguments.webhooks {
        let needed: Vec<String> = rules.webhooks().iter().map(ToString::to_string).collect();
        println!("{}", needed.join(","));
        return Ok(ExitCode::SUCCESS);
    }
    let mut status = ExitCode::SUCCESS;
    for file in &arguments.events {
        let sent = Sent::read(file, &arguments)?;
        println!("{}", file.display());
        let request = sent.request();
        if let Some(subject) = request.other_subject() {
            println!("  no rule reacts to this event: {}", other(subject));
            continue;
        }
        let events = request.events();
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

/// Warns of rules that need something to be switched on or set up in LeadSquared.
fn warn(rules: &Rules) {
    for rule in rules.iter() {
        let fields: Vec<_> = rule.custom_lead_fields().collect();
        if !fields.is_empty() {
            eprintln!(
                "WARNING {}: LeadSquared sends custom fields such as {} only where its support has switched that on for the \
                 account. Ask for \"custom fields of leads in webhooks and automations\". Without them a change of such a \
                 field fires nothing, and a condition on one takes a look-up of the lead.",
                rule.name,
                fields.join(", ")
            );
        }
        if rule.needs_automation() {
            eprintln!(
                "NOTE    {}: no webhook reports an activity that is known by its name only. Create an automation with a \
                 webhook action; functions/crm-event/ADMINISTRATOR.md says how.",
                rule.name
            );
        }
    }
}

fn explain(rules: &Rules, event: &Event) {
    let what = match &event.kind {
        EventKind::Created => "created".to_owned(),
        EventKind::Changed(_) => "changed".to_owned(),
        EventKind::Activity { code, name, .. } => {
            format!(
                "activity {}",
                code.as_deref().or(name.as_deref()).unwrap_or("of a type that the event does not show")
            )
        }
    };
    println!("  lead {}: {what}", event.lead);
    let decision = rules.decide(event);
    for rule in rules.iter() {
        let name = &rule.name;
        match (rule.judge(event), &decision) {
            (Verdict::No(objection), _) => println!("    no     {name}: {objection}"),
            (Verdict::Fires, RuleDecision::Fires(first)) if *first == rule => {
                println!("    FIRES  {name}: {}: {rule}", rule.action.name())
            }
            (Verdict::Undecided(fields), RuleDecision::Undecided(open)) if open.contains(&rule) => println!(
                "    LOOKUP {name}: the event does not carry {}: the worker looks the lead up, with at most 10 % of the \
                 day's calls for all such events",
                fields.join(", ")
            ),
            (Verdict::Fires, RuleDecision::Undecided(open)) if open.contains(&rule) => println!(
                "    LOOKUP {name}: {}: it fires unless a rule before it does, which the worker's look-up decides",
                rule.action.name()
            ),
            (Verdict::Fires | Verdict::Undecided(_), _) => {
                println!("    late   {name}: it may fire, but a rule before it does")
            }
        }
    }
}

fn other(subject: OtherSubject) -> &'static str {
    match subject {
        OtherSubject::Opportunity => "it is about an opportunity",
        OtherSubject::Merge => "it is about merged leads",
        OtherSubject::UserStatus => "it is about a user of the account; the keys are checked at once",
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

/// What a file holds of LeadSquared's request.
struct Sent {
    body: Vec<u8>,
    event_type: Option<String>,
    entity_type: Option<String>,
}

impl Sent {
    fn read(file: &Path, arguments: &Arguments) -> anyhow::Result<Self> {
        let (event_type, entity_type) = (arguments.event_type.clone(), arguments.entity_type.clone());
        let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let is_request = serde_json::from_slice(&bytes).is_ok_and(|json: Value| json.get("requestContext").is_some());
        if !is_request {
            return Ok(Self { body: bytes, event_type, entity_type });
        }
        let request: LambdaRequest = serde_json::from_slice(&bytes)?;
        let request: Request = http_events::without_address(request).into();
        if request.body().as_ref().trim_ascii().is_empty() {
            bail!("{} is LeadSquared's handshake: it has no body", file.display());
        }
        let query = |name| http_events::query(&request, name).map(str::to_owned);
        Ok(Self {
            body: request.body().to_vec(),
            event_type: event_type.or_else(|| query("eventType")),
            entity_type: entity_type.or_else(|| query("entityType")),
        })
    }

    fn request(&self) -> WebhookRequest<'_> {
        let (event_type, entity_type) = (self.event_type.as_deref(), self.entity_type.as_deref());
        WebhookRequest { body: &self.body, event_type, entity_type }
    }
}
