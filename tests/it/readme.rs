//! Checks the READMEs against the code and the template: contract tables under fixed headings, and links.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;
use telemetry::metric;

use crate::{
    template::Template,
    workspace::{self, root},
};

const FRONT_PAGE: &str = "README.md";
const FUNCTIONS: &str = "functions/README.md";
const OPERATING: &str = "functions/OPERATING.md";
const SHARED: &str = "shared/README.md";
const RUSTDOC_LINKS: &str = "shared/rustdoc-links.md";

/// The cells of the first table under a heading, row by row, without the header.
pub(crate) fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let section = section(page, heading);
    let rows = section.lines().skip_while(|line| !line.starts_with("| ")).take_while(|line| line.starts_with("| "));
    let cells = |row: &str| row.trim_matches(['|', ' ']).split(" | ").map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.skip(2).map(cells).collect();
    assert!(!rows.is_empty(), "{page} has a table under {heading:?}");
    rows
}

/// The text from a heading of the second level to the next one.
fn section(page: &str, heading: &str) -> String {
    let text = read(page);
    let after = text.split(&format!("\n## {heading}\n")).nth(1);
    let after = after.unwrap_or_else(|| panic!("{page} has a heading {heading:?}"));
    after.split("\n## ").next().unwrap().to_owned()
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The names in backquotes in a cell.
pub(crate) fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The texts of the links in the first column.
fn linked(rows: &[Vec<String>]) -> BTreeSet<String> {
    let text = |cell: &str| cell.strip_prefix('[').and_then(|cell| cell.split(']').next()).map(str::to_owned);
    rows.iter().filter_map(|row| text(&row[0])).collect()
}

/// The names in backquotes in the first column, each of which stands there once.
fn named(rows: &[Vec<String>]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in rows.iter().flat_map(|row| names(&row[0])) {
        assert!(found.insert(name.clone()), "{name} has one row");
    }
    found
}

fn owned<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_front_page_is_short_and_lists_every_function() {
    let lines = read(FRONT_PAGE).lines().count();
    assert!(lines <= 150, "{FRONT_PAGE} has {lines} lines");
    let functions: BTreeSet<_> = workspace::functions().into_iter().collect();
    assert_eq!(linked(&table(FRONT_PAGE, "Functions")), functions, "{FRONT_PAGE} (left) lists functions/ (right)");
}

#[test]
fn the_map_of_shared_crates_lists_every_crate() {
    let crates: BTreeSet<_> = workspace::packages("shared").into_iter().collect();
    assert_eq!(linked(&table(SHARED, "Crates")), crates, "{SHARED} (left) lists shared/ (right)");
}

#[test]
fn a_readme_is_the_front_page_of_its_crate_documentation() {
    for folder in ["functions", "shared"] {
        for package in workspace::packages(folder) {
            let package = root().join(folder).join(package);
            let library = fs::read_to_string(package.join("src/lib.rs")).unwrap();
            let first = library.lines().find(|line| !line.contains("rustdoc-links.md"));
            let readme = Some("#![doc = include_str!(\"../README.md\")]");
            assert_eq!(first, readme, "{}/src/lib.rs begins with its README", package.display());
        }
    }
}

#[test]
fn the_settings_table_says_exactly_which_function_reads_what_from_which_parameter() {
    let template = Template::read();
    let rows = table(FUNCTIONS, "Settings");
    named(&rows);
    for (function, properties) in template.functions() {
        let reads = |row: &&Vec<String>| row[2] == "all" || row[2].split(", ").any(|name| name == function);
        let documented: BTreeMap<_, _> =
            rows.iter().filter(reads).map(|row| (names(&row[0]).pop_first().unwrap(), names(&row[1]))).collect();
        let environment = template.environment(properties);
        let given: BTreeSet<_> = environment.keys().cloned().collect();
        let read: BTreeSet<_> = documented.keys().cloned().collect();
        assert_eq!(read, given, "{FUNCTIONS} (left) has what template.yaml gives {function} (right)");
        for (name, parameters) in documented {
            let sources = template.parameters_of(&environment[&name]);
            assert!(parameters.is_subset(&sources), "{name} of {function} is not set by {parameters:?}");
            assert_eq!(parameters.is_empty(), sources.is_empty(), "{name} of {function} is set by {sources:?}");
        }
    }
}

#[test]
fn the_settings_of_a_function_page_are_settings_that_it_reads() {
    let template = Template::read();
    for (function, properties) in template.functions() {
        let page = format!("functions/{function}/README.md");
        if !root().join(&page).exists() || !section(&page, "Settings").contains("\n| --- ") {
            continue;
        }
        let given: BTreeSet<_> = template.environment(properties).keys().cloned().collect();
        let unknown: Vec<_> = named(&table(&page, "Settings")).difference(&given).cloned().collect();
        assert!(unknown.is_empty(), "{page}: {function} does not read {unknown:?}");
    }
}

#[test]
fn the_parameters_table_has_every_parameter_with_its_default() {
    let template = Template::read();
    let rows = table(OPERATING, "Parameters");
    let parameters = owned(template.names("Parameters"));
    assert_eq!(named(&rows), parameters, "{OPERATING} (left) has the parameters of template.yaml (right)");
    let required = owned(template.required());
    for row in rows {
        let name = names(&row[0]).pop_first().unwrap();
        let default = (!required.contains(&name)).then(|| template.default(&name));
        let expected = match default.as_deref() {
            None => "required".to_owned(),
            Some("") => "empty".to_owned(),
            Some(json) if json.starts_with('[') => "in the template".to_owned(),
            Some(value) => format!("`{value}`"),
        };
        assert_eq!(row[1], expected, "{OPERATING}: the default of {name}");
    }
}

#[test]
fn the_alarms_table_has_every_alarm() {
    const ANY_FUNCTION: &str = "…FunctionErrors";
    let template = Template::read();
    let mut documented = named(&table(OPERATING, "Alarms"));
    assert!(documented.remove(ANY_FUNCTION), "{OPERATING} has a row for {ANY_FUNCTION}");
    let alarms: BTreeSet<_> = template.resources("AWS::CloudWatch::Alarm").map(|(id, _)| id.clone()).collect();
    let of_functions: BTreeSet<_> =
        template.functions_by_id().into_iter().map(|(id, ..)| format!("{id}Errors")).collect();
    let unknown: Vec<_> = documented.difference(&alarms).collect();
    assert!(unknown.is_empty(), "{OPERATING}: template.yaml has no alarms {unknown:?}");
    let missing: Vec<_> = alarms.difference(&documented).filter(|id| !of_functions.contains(*id)).collect();
    assert!(missing.is_empty(), "{OPERATING} says what to do about {missing:?}");
}

#[test]
fn the_metrics_table_has_every_metric_with_its_dimensions() {
    let template = Template::read();
    let rows = table(OPERATING, "Metrics");
    let filters = template.resources("AWS::Logs::MetricFilter").map(|(id, _)| (id.clone(), BTreeSet::new()));
    let printed = metric::ALL.iter().map(|series| {
        let dimensions = series.dimensions.iter().map(|name| (*name).to_owned());
        (series.name.to_owned(), dimensions.collect())
    });
    let metrics: BTreeMap<String, BTreeSet<String>> = filters.chain(printed).collect();
    let documented: BTreeMap<_, _> =
        rows.iter().map(|row| (names(&row[0]).pop_first().unwrap(), names(&row[2]))).collect();
    assert_eq!(documented, metrics, "{OPERATING} (left) has the metrics there are (right)");
    assert_eq!(rows.len(), documented.len(), "each metric has one row");
}

#[test]
fn the_rights_to_deploy_cover_every_kind_of_resource() {
    let template = Template::read();
    let documented = named(&table(OPERATING, "Rights to deploy"));
    for kind in template.resource_types() {
        let service = kind.rsplit_once("::").unwrap().0;
        // SAM makes these into resources of other services.
        let services = match service {
            "AWS::Serverless" => ["AWS::Lambda", "AWS::ApiGatewayV2", "AWS::Events"].as_slice(),
            _ => &[service],
        };
        for service in services {
            assert!(documented.contains(*service), "{OPERATING} has the rights to deploy {kind}");
        }
    }
}

#[test]
fn the_deploy_section_names_parameters_and_outputs_there_are() {
    let template = Template::read();
    let parameters: BTreeSet<_> = template.names("Parameters").collect();
    let outputs: BTreeSet<_> = template.names("Outputs").collect();
    // A name in backquotes or angle brackets with a capital within it is one of the template's: `FormFields`,
    // <KeysSecretArn>.
    let is_name = |word: &&str| {
        word.starts_with(|letter: char| letter.is_ascii_uppercase())
            && word[1..].contains(|letter: char| letter.is_ascii_uppercase())
            && word.contains(|letter: char| letter.is_ascii_lowercase())
    };
    let vendors = ["LeadSquared", "CloudFormation"];
    let deploy = section(OPERATING, "Deploy");
    let words = deploy.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(is_name);
    let mut count = 0;
    for name in words.filter(|word| !vendors.contains(word)) {
        let is_known = parameters.contains(name) || outputs.contains(name);
        assert!(is_known, "{OPERATING}, Deploy: template.yaml has no parameter and no output {name}");
        count += 1;
    }
    assert!(count > 5, "the section names parameters and outputs");
}

/// On the command line of a deployment a value is lost with the next one.
#[test]
fn no_page_sets_parameters_on_the_command_line_of_a_deployment() {
    for page in workspace::pages() {
        let text = fs::read_to_string(&page).unwrap();
        for before in text.split("--parameter-overrides").collect::<Vec<_>>().split_last().unwrap().1 {
            assert!(before.trim_end().ends_with("sam build"), "{} sets parameters in samconfig.toml", page.display());
        }
    }
}

/// The link definitions of a page: label and target.
fn definitions(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "))
}

/// The targets of a page's links without a label.
fn inline_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn a_page_defines_the_links_that_it_uses_and_no_others() {
    let known = read(RUSTDOC_LINKS);
    let known: BTreeSet<_> = definitions(&known).map(|(label, _)| label.to_lowercase()).collect();
    assert!(known.len() > 50, "{RUSTDOC_LINKS} has {} links", known.len());
    for page in workspace::pages().into_iter().filter(|page| !page.ends_with(RUSTDOC_LINKS)) {
        let text = fs::read_to_string(&page).unwrap();
        let body: Vec<_> = text.lines().filter(|line| !line.starts_with('[') || !line.contains("]: ")).collect();
        let body = body.join("\n").split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let defined: BTreeSet<_> = definitions(&text).map(|(label, _)| label.to_lowercase()).collect();
        let is_text = |after: usize| body[after..].starts_with(['[', '(']);
        let used = |label: &&String| {
            let label = format!("[{label}]");
            body.match_indices(&label).any(|(at, _)| !is_text(at + label.len()))
        };
        let unknown: Vec<_> = defined.difference(&known).collect();
        assert!(unknown.is_empty(), "{}: {RUSTDOC_LINKS} says where {unknown:?} is in rustdoc", page.display());
        let used: BTreeSet<_> = known.iter().filter(used).cloned().collect();
        assert_eq!(defined, used, "{} defines (left) what it uses (right)", page.display());
        let inline: Vec<_> =
            inline_targets(&text).filter(|target| !target.starts_with('#') && !target.contains("://")).collect();
        assert!(
            inline.is_empty(),
            "{}: {inline:?} need a label, which rustdoc can give another target",
            page.display()
        );
    }
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    let mut links = 0;
    for page in workspace::pages() {
        let text = fs::read_to_string(&page).unwrap();
        let targets = inline_targets(&text).chain(definitions(&text).map(|(_, target)| target));
        for target in targets.filter(|target| !target.contains("://")) {
            links += 1;
            if page.ends_with(RUSTDOC_LINKS) && !target.starts_with("../../../") {
                continue; // a page of rustdoc, which `tests/rustdoc-links` looks for
            }
            let target = if page.ends_with(RUSTDOC_LINKS) { &target["../../".len()..] } else { target };
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(file.exists(), "{}: {target} is not there", page.display());
            assert!(anchor.is_empty() || anchors(&file).contains(anchor), "{}: {target} is no heading", page.display());
        }
    }
    assert!(links > 50, "{links} links");
}

/// What GitHub makes of a page's headings.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |letter: char| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter),
        _ => None,
    };
    headings.map(|heading| heading.to_lowercase().chars().filter_map(kept).collect()).collect()
}

/// The problem types in the API's document.
pub(crate) fn problem_types(document: &Value) -> BTreeSet<String> {
    let types = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap();
    types.iter().map(|kind| kind.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_table_of_field_kinds_has_every_kind() {
    const PAGE: &str = "functions/application-form/README.md";
    let fields = section(PAGE, "Fields");
    let rows =
        fields.lines().skip_while(|line| !line.starts_with("| kind |")).take_while(|line| line.starts_with("| "));
    let documented: BTreeSet<_> = rows.flat_map(|row| names(row.split(" | ").next().unwrap())).collect();
    // The error lists the kinds that there are.
    let error = serde_json::from_str::<forms::FieldKind>("\"unknown\"").unwrap_err().to_string();
    let mut kinds = names(&error);
    assert!(kinds.remove("unknown"), "{error}");
    assert_eq!(documented, kinds, "{PAGE} (left) has the kinds of FieldKind (right)");
}

#[test]
fn the_table_of_outcomes_has_every_outcome_and_cause() {
    use onboarding::{Outcome, Rejection, Suppression};
    let suppressed = [
        Suppression::MailCap,
        Suppression::UnknownPerson,
        Suppression::NoEmailAddress,
        Suppression::NoRecipient,
        Suppression::NoRuleApplies,
    ];
    let rejected = [
        Rejection::IdentityMismatch,
        Rejection::NoSuchLead,
        Rejection::IdReused,
        Rejection::MailUnknown,
        Rejection::MailRefused,
        Rejection::Content { failure: "…" },
        Rejection::Refused { exception_type: "…".to_owned() },
    ];
    // A new variant does not compile here, and belongs into the lists above.
    for suppression in suppressed {
        match suppression {
            Suppression::MailCap
            | Suppression::UnknownPerson
            | Suppression::NoEmailAddress
            | Suppression::NoRecipient
            | Suppression::NoRuleApplies => {}
        }
    }
    for rejection in &rejected {
        match rejection {
            Rejection::IdentityMismatch
            | Rejection::NoSuchLead
            | Rejection::IdReused
            | Rejection::MailUnknown
            | Rejection::MailRefused
            | Rejection::Content { .. }
            | Rejection::Refused { .. } => {}
        }
    }
    let outcomes = [Outcome::Invited, Outcome::InvitedExisting, Outcome::AlreadyInvited].into_iter();
    let outcomes = outcomes.chain(suppressed.map(Outcome::Suppressed)).chain(rejected.map(Outcome::Rejected));
    let with_cause = outcomes.map(|outcome| match outcome.cause() {
        Some(cause) => format!("`{}`, `{cause}`", outcome.name()),
        None => format!("`{}`", outcome.name()),
    });
    // The cause of `exhausted` is the name of any failure. Intake ends the last two.
    let others = ["`exhausted`", "`suppressed`, `honeypot`", "`held`, then `accepted` or `discarded`"];
    let all: BTreeSet<String> = with_cause.chain(owned(others)).collect();
    let documented: BTreeSet<_> = table(OPERATING, "Outcomes").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(documented, all, "{OPERATING} (left) has the outcomes of the code (right)");
}

#[test]
fn every_language_of_the_pages_is_allowed_and_named() {
    let tags = owned(login_link::Language::ALL.map(login_link::Language::tag));
    let allowed = Template::read().allowed("PageLanguage");
    assert_eq!(allowed, tags, "template.yaml (left) allows the languages of login-link (right)");
    let texts = [
        (OPERATING, table(OPERATING, "Parameters")),
        ("functions/login-link/README.md", table("functions/login-link/README.md", "Settings")),
    ];
    for (page, rows) in texts {
        let row = rows.iter().find(|row| row.iter().any(|cell| cell.contains("`PageLanguage`")));
        let named = names(row.and_then(|row| row.last()).unwrap_or_else(|| panic!("{page} has PageLanguage")));
        assert_eq!(named, tags, "{page} (left) names the languages of login-link (right)");
    }
    let document = crate::openapi::document();
    let described = document["components"]["parameters"]["Accept-Language"]["description"].as_str().unwrap();
    assert!(tags.is_subset(&names(described)), "openapi.yaml: {described}");
}

#[test]
fn the_problem_types_table_has_those_of_the_document() {
    let documented = named(&table(FUNCTIONS, "Problem types"));
    let described = problem_types(&crate::openapi::document());
    assert_eq!(documented, described, "{FUNCTIONS} (left) has the problem types of openapi.yaml (right)");
}
