//! CRM rules, which an administrator writes as JSON.

use std::collections::BTreeSet;

use leadsquared::wire::webhook::WebhookRequest;
use onboarding::rules::{RuleDecision, Rules, Verdict};

/// Requests of LeadSquared that rules of every kind can react to.
const REQUESTS: [&str; 3] = [
    r#"{"ProspectID":"11111111-1111-4111-8111-111111111111","Source":"Fair","mx_City":""}"#,
    r#"{"Before":{"ProspectID":"11111111-1111-4111-8111-111111111111","ProspectStage":"Fresh"},
        "After":{"ProspectID":"11111111-1111-4111-8111-111111111111","ProspectStage":"Applied"}}"#,
    r#"{"ProspectActivityId":"22222222-2222-4222-8222-222222222222","ActivityEvent":"201","ActivityEventName":"Fee",
        "RelatedProspectId":"11111111-1111-4111-8111-111111111111","Data":{"Status":"Paid"}}"#,
];

/// An input is the text of `CRM_RULES`.
pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let rules = match text.parse::<Rules>() {
        Ok(rules) => rules,
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty() && mistakes.0.iter().all(|mistake| !mistake.is_empty()));
            return;
        }
    };
    let names: BTreeSet<_> = rules.iter().map(|rule| &rule.name).collect();
    assert_eq!(names.len(), rules.iter().count(), "two rules have one name");
    assert!(rules.iter().all(|rule| !rule.name.trim().is_empty() && !rule.to_string().is_empty()));
    let webhooks = rules.webhooks();
    assert!(webhooks.iter().all(|webhook| webhooks.iter().filter(|other| *other == webhook).count() == 1));
    for body in REQUESTS {
        let request = WebhookRequest { body: body.as_bytes(), event_type: None, entity_type: None };
        for event in request.events().expect("it is a request").into_iter().flatten() {
            let first = rules.iter().find(|rule| !matches!(rule.judge(&event), Verdict::No(_)));
            match rules.decide(&event) {
                RuleDecision::NoRule => assert_eq!(first, None),
                RuleDecision::Fires(rule) => assert_eq!((Some(rule), rule.judge(&event)), (first, Verdict::Fires)),
                RuleDecision::Undecided(open) => assert_eq!(open.first().copied(), first),
            }
        }
    }
}
