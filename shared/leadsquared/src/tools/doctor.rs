//! Examines an account: what is wrong with its settings, and how to fix it.

use std::fmt;

use url::Url;

use crate::admission::RateLimit;
use crate::client::Client;
use crate::crm::{Content, EmailToLead, LeadField, Recipient, Sender, User};
use crate::error::{Error, ErrorKind};
use crate::hosts::is_loopback;
use crate::values::{EmailAddress, schema_name};
use crate::wire::Endpoint;

/// What the account is going to be used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The lead fields that are going to be written.
    pub fields: Vec<WantedField>,
    /// The lead fields that are going to be read, by schema name.
    pub read: Vec<String>,
    /// The sender of mails to leads, if there are going to be any.
    pub sender: Option<Sender>,
    /// The most calls that are going to be made.
    pub allowance: Option<RateLimit>,
}

/// A lead field that is going to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedField {
    /// Its schema name.
    pub name: String,
    /// What is going to be written there.
    pub content: FieldContent,
}

/// The kind of content that is going to be written to a lead field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FieldContent {
    /// Unknown: any field will do.
    #[default]
    Unknown,
    /// Any text, up to so many characters.
    Text(usize),
    /// An e-mail address.
    EmailAddress,
    /// A phone number.
    Phone,
    /// A date.
    Date,
    /// `true` or `false`.
    Flag,
    /// One of these.
    Choice(Vec<String>),
}

impl From<String> for WantedField {
    fn from(name: String) -> Self {
        Self { name, content: FieldContent::Unknown }
    }
}

/// The result of one examination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was examined.
    pub subject: Subject,
    /// The result.
    pub verdict: Verdict,
}

/// What is examined, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// Does LeadSquared know the keys?
    Keys,
    /// Are the hosts those of the account's region?
    Region,
    /// May the keys' user use the portal calls?
    Role,
    /// Can the credentials of the portal calls be fetched?
    Portal,
    /// Can login links be made?
    AutoLogin,
    /// Does the account have the wanted fields, do they accept what is going to be written, and are no others
    /// mandatory?
    Fields,
    /// Does the account have the fields that are going to be read?
    ReadFields,
    /// Can mails be sent from the wanted sender?
    Sender,
    /// Does the account permit the wanted number of calls?
    Allowance,
}

/// The result of an examination. The texts are for a person to read. They contain no secret and no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be.
    Good(String),
    /// It is not as it should be.
    Wrong {
        /// What is wrong.
        what: String,
        /// How to fix it.
        fix: String,
    },
    /// It could not be examined, for this reason.
    Unknown(String),
}

impl Subject {
    const ALL: [Self; 9] = [
        Self::Keys,
        Self::Region,
        Self::Role,
        Self::Portal,
        Self::AutoLogin,
        Self::Fields,
        Self::ReadFields,
        Self::Sender,
        Self::Allowance,
    ];
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Subject::Keys => "keys",
            Subject::Region => "region",
            Subject::Role => "role",
            Subject::Portal => "portal",
            Subject::AutoLogin => "login links",
            Subject::Fields => "fields",
            Subject::ReadFields => "fields that are read",
            Subject::Sender => "mail sender",
            Subject::Allowance => "allowance",
        })
    }
}

impl Finding {
    /// Whether there is something to fix.
    pub fn is_wrong(&self) -> bool {
        matches!(self.verdict, Verdict::Wrong { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.subject;
        match &self.verdict {
            Verdict::Good(how) => write!(f, "good     {subject}: {how}"),
            Verdict::Wrong { what, fix } => write!(f, "WRONG    {subject}: {what}\n         -> {fix}"),
            Verdict::Unknown(why) => write!(f, "unknown  {subject}: {why}"),
        }
    }
}

/// Examines everything that can be examined without a change to the account, in six calls at most.
///
/// After a wrong host, the examination continues at the right one. There is one finding for each [`Subject`], in that
/// order. A subject that could not be examined is [`Verdict::Unknown`].
///
/// # Examples
/// ```
/// use leadsquared::tools::doctor::{Wanted, WantedField, examine};
///
/// # leadsquared_fake::run(async |client| {
/// let fields = vec![WantedField::from("EmailAddress".to_owned())];
/// for finding in examine(&client, &Wanted { fields, ..Wanted::default() }).await {
///     println!("{finding}");
/// }
/// # Ok(())
/// # });
/// ```
pub async fn examine(client: &Client, wanted: &Wanted) -> Vec<Finding> {
    let mut limit_refusal = None;
    let mut findings = Vec::new();
    let mut find = |subject, verdict| findings.push(Finding { subject, verdict });

    let user = match client.authenticate_user().await {
        Ok(user) => user,
        Err(error) => return without_user(&error, wanted),
    };
    let account = user.org_short_code.as_deref().unwrap_or("without a number");
    find(Subject::Keys, Verdict::Good(format!("LeadSquared knows them; they belong to account {account}")));
    let (client, verdict) = region(client, &user);
    find(Subject::Region, verdict);

    if user.is_administrator() {
        find(Subject::Role, Verdict::Good("the keys' user is an administrator".to_owned()));
        let portal = match client.public_auth_key().await {
            Ok(_) => client.registration_token().await.map(drop),
            Err(error) => Err(error),
        };
        limit_refusal = LimitRefusal::of(portal.as_ref().err()).or(limit_refusal);
        find(
            Subject::Portal,
            match portal {
                // No call checks the portal's id without a change to the account.
                Ok(()) => Verdict::Unknown(format!(
                    "its credentials can be fetched; only the first registration shows whether {} is its id",
                    client.options().portal_id
                )),
                Err(error) => verdict_of(&error, Endpoint::PublicAuthKey),
            },
        );
        let tenant_key = client.tenant_auth_key().await.map(drop);
        limit_refusal = LimitRefusal::of(tenant_key.as_ref().err()).or(limit_refusal);
        find(Subject::AutoLogin, login_links(tenant_key));
    } else {
        let what = "the keys' user is not an administrator, and portal calls work for no other role".to_owned();
        let fix = "create keys for an administrator and use those".to_owned();
        find(Subject::Role, Verdict::Wrong { what, fix });
        for subject in [Subject::Portal, Subject::AutoLogin] {
            find(subject, Verdict::Unknown("it takes an administrator's keys to see".to_owned()));
        }
    }

    let fields = client.lead_fields().await;
    limit_refusal = LimitRefusal::of(fields.as_ref().err()).or(limit_refusal);
    find(
        Subject::Fields,
        match &fields {
            Ok(known) => compare(known, &wanted.fields),
            Err(error) => verdict_of(error, Endpoint::LeadFields),
        },
    );
    find(
        Subject::ReadFields,
        match &fields {
            Ok(known) => readable(known, &wanted.read),
            Err(_) => Verdict::Unknown("the account's fields could not be fetched".to_owned()),
        },
    );
    let verdict = match &wanted.sender {
        Some(from) => {
            let refusal = refusal_of_a_test_mail(&client, from).await;
            limit_refusal = LimitRefusal::of(refusal.as_ref()).or(limit_refusal);
            sender(refusal)
        }
        None => Verdict::Unknown("no sender of mails was named".to_owned()),
    };
    find(Subject::Sender, verdict);
    find(Subject::Allowance, allowance(limit_refusal, wanted.allowance));
    findings
}

/// The findings if LeadSquared does not say whose keys these are.
fn without_user(error: &Error, wanted: &Wanted) -> Vec<Finding> {
    let (blamed, verdict) = match error {
        Error::BadKeys => {
            let what = "LeadSquared knows no active user with these keys".to_owned();
            let fix =
                "copy both again from My Account > Settings > API and Webhooks; an access key usually has a '$' in it, \
                 which shells and .env files swallow unless it is quoted"
                    .to_owned();
            (Subject::Keys, Verdict::Wrong { what, fix })
        }
        Error::Unreachable(_) => {
            let why = "the core API's host could not be reached; if that lasts, check its name, and that this machine may \
                       connect to it";
            (Subject::Region, Verdict::Unknown(why.to_owned()))
        }
        Error::WrongHost { .. } | Error::NoSuchCall { .. } => {
            (Subject::Region, verdict_of(error, Endpoint::AuthenticateUser))
        }
        Error::RateLimited { limit } => {
            (Subject::Allowance, allowance(Some(LimitRefusal { named: *limit }), wanted.allowance))
        }
        error => (Subject::Keys, verdict_of(error, Endpoint::AuthenticateUser)),
    };
    let why = match error {
        Error::BadKeys => "nothing can be asked without keys that work",
        _ => "nothing could be asked",
    };
    let of = |subject| {
        let verdict = if subject == blamed { verdict.clone() } else { Verdict::Unknown(why.to_owned()) };
        Finding { subject, verdict }
    };
    Subject::ALL.map(of).to_vec()
}

/// The account's region, and a client for its hosts.
fn region(client: &Client, user: &User) -> (Client, Verdict) {
    let options = client.options();
    let Some(hosts) = user.hosts() else {
        return (
            client.clone(),
            Verdict::Unknown("LeadSquared named a host of an unknown kind for the account".to_owned()),
        );
    };
    if is_same_place(&hosts.api, &options.api) && is_same_place(&hosts.portal_api, &options.portal_api) {
        return (client.clone(), Verdict::Good(format!("the account lives at {}", user.api_host())));
    }
    let what = format!("the account lives at {}", user.api_host());
    let fix = format!("set the core API to {} and the portal API to {}", hosts.api, hosts.portal_api);
    (client.with_hosts(hosts).unwrap_or_else(|_| client.clone()), Verdict::Wrong { what, fix })
}

/// Whether two addresses are one place. A server on this machine has several names.
fn is_same_place(one: &Url, other: &Url) -> bool {
    one == other
        || is_loopback(one) && is_loopback(other) && one.port_or_known_default() == other.port_or_known_default()
}

fn login_links(tenant_key: Result<(), Error>) -> Verdict {
    match tenant_key {
        Ok(()) => Verdict::Good("their key can be fetched".to_owned()),
        Err(Error::NoSuchCall { status, .. }) => Verdict::Wrong {
            what: format!(
                "LeadSquared has moved the call that fetches their key (HTTP {status}); its page does not show the new address"
            ),
            fix: "ask LeadSquared's support for path and verb of \"Generate tenant auth key\" and set \
                   Paths::tenant_auth_key and Paths::tenant_auth_key_verb"
                .to_owned(),
        },
        Err(error) => verdict_of(&error, Endpoint::TenantAuthKey),
    }
}

/// Why LeadSquared refuses a mail to a lead that does not exist. It checks the sender first, then the lead: nothing is
/// sent. No call finds a user by address (<https://apidocs.leadsquared.com/send-an-email-to-a-lead/>; a live account
/// showed the order).
async fn refusal_of_a_test_mail(client: &Client, sender: &Sender) -> Option<Error> {
    // No real address has this ending: https://www.rfc-editor.org/rfc/rfc2606#section-2.
    let no_lead = "no-lead@nowhere.invalid".to_owned();
    let no_lead = EmailAddress::try_from(no_lead).expect("it has the form of an address");
    let content = Content::Html {
        html: "<p>A test without a recipient.</p>".to_owned(),
        text: "A test without a recipient.".to_owned(),
    };
    let mut mail = EmailToLead::new(Recipient::LeadEmail(no_lead), "A test without a recipient", content);
    mail.sender = sender.clone();
    client.send_email_to_lead(&mail).await.err()
}

fn sender(refusal: Option<Error>) -> Verdict {
    match refusal {
        Some(Error::NoSuchLead) => Verdict::Good("it is a user of the account".to_owned()),
        Some(Error::BadSender) => Verdict::Wrong {
            what: "it is not an active user of the account".to_owned(),
            fix: "name the address that a LeadSquared user signs in with, or none to send as the keys' own user"
                .to_owned(),
        },
        Some(Error::MailNotDeliverable) => Verdict::Wrong {
            what: "the account cannot deliver mail".to_owned(),
            fix: "look at its mail credits and its sending domain".to_owned(),
        },
        Some(error) => verdict_of(&error, Endpoint::SendEmailToLead),
        None => Verdict::Unknown("LeadSquared accepted a mail to an address without a lead".to_owned()),
    }
}

fn compare(known: &[LeadField], wanted: &[WantedField]) -> Verdict {
    let find = |name: &str| known.iter().find(|field| field.schema_name == name);
    let missing = missing(known, wanted.iter().map(|wanted| &wanted.name));
    if !missing.is_empty() {
        let what = format!(
            "the account has no lead fields named {}; one of them is enough for LeadSquared to refuse a lead",
            missing.join(", ")
        );
        let fix =
            "create them under My Account > Settings > Leads > Lead Fields, or take them out of the mapping".to_owned();
        return Verdict::Wrong { what, fix };
    }
    let misfits: Vec<String> =
        wanted.iter().filter_map(|wanted| misfit(find(&wanted.name)?, &wanted.content)).collect();
    if !misfits.is_empty() {
        let fix = "give each of these another field, or let the form ask for what the field takes".to_owned();
        return Verdict::Wrong { what: misfits.join("; "), fix };
    }
    let insisted: Vec<&str> = known
        .iter()
        .filter(|field| field.is_mandatory && !wanted.iter().any(|wanted| wanted.name == field.schema_name))
        .map(|field| field.schema_name.as_str())
        .collect();
    if !insisted.is_empty() {
        let what = format!("the account insists on {}, which nothing supplies", insisted.join(", "));
        return Verdict::Wrong {
            what,
            fix: "ask for them in the form, or make them optional in LeadSquared".to_owned(),
        };
    }
    if !wanted.is_empty()
        && !wanted.iter().any(|WantedField { name, .. }| {
            name == schema_name::EMAIL_ADDRESS || find(name).is_some_and(|field| field.is_lead_identifier)
        })
    {
        let what = "none of the wanted fields identifies a lead, and registration takes one that does".to_owned();
        return Verdict::Wrong { what, fix: "add EmailAddress to the mapping".to_owned() };
    }
    Verdict::Good(format!("the account has all {} of them", wanted.len()))
}

fn readable(known: &[LeadField], read: &[String]) -> Verdict {
    let missing = missing(known, read.iter());
    if missing.is_empty() {
        return Verdict::Good(format!("the account has all {} of them", read.len()));
    }
    let what = format!("the account has no lead fields named {}, so their values are never known", missing.join(", "));
    Verdict::Wrong { what, fix: "correct their names, or create them in LeadSquared".to_owned() }
}

/// The names of which the account has no field. A name in other letter case is beside it.
fn missing<'a>(known: &[LeadField], names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let names = names.filter(|name| !known.iter().any(|field| field.schema_name == **name));
    let with_similar = |name: &String| match known.iter().find(|field| field.schema_name.eq_ignore_ascii_case(name)) {
        Some(similar) => format!("{name} (there is {})", similar.schema_name),
        None => name.clone(),
    };
    names.map(with_similar).collect()
}

/// Why a field would refuse the content that is going to be written to it. A type that is not documented is not
/// checked.
fn misfit(field: &LeadField, content: &FieldContent) -> Option<String> {
    let LeadField { schema_name, data_type, max_length, options, .. } = field;
    let (written, fits): (_, &[&str]) = match content {
        FieldContent::Unknown => return None,
        FieldContent::Text(_) => ("any text", &["Text", "Website"]),
        FieldContent::EmailAddress => ("an e-mail address", &["Text", "Email"]),
        FieldContent::Phone => ("a phone number", &["Text", "Phone"]),
        FieldContent::Date => ("a date", &["Text", "Date"]),
        FieldContent::Flag => ("true or false", &["Text", "Boolean"]),
        FieldContent::Choice(choices) if choices.iter().all(|choice| choice.parse::<f64>().is_ok()) => {
            ("one of these numbers", &["Text", "Select", "Number"])
        }
        FieldContent::Choice(_) => ("one of the form's choices", &["Text", "Select"]),
    };
    const DOCUMENTED: [&str; 9] = ["Text", "Number", "Email", "Phone", "Website", "Date", "Time", "Select", "Boolean"];
    if DOCUMENTED.contains(&data_type.as_str()) && !fits.contains(&data_type.as_str()) {
        return Some(format!("{schema_name} is of the type {data_type}, and {written} is going to be written there"));
    }
    if let (FieldContent::Choice(choices), "Select") = (content, data_type.as_str()) {
        let strange: Vec<&str> = choices.iter().filter(|it| !options.contains(it)).map(String::as_str).collect();
        if !strange.is_empty() {
            return Some(format!("{schema_name} does not have the options {}", strange.join(", ")));
        }
    }
    let longest = match content {
        FieldContent::Text(longest) => *longest,
        FieldContent::Choice(choices) => choices.iter().map(|choice| choice.chars().count()).max().unwrap_or_default(),
        _ => 0,
    };
    let room = max_length.filter(|room| *room > 0)?;
    (longest > room as usize).then(|| {
        format!("{schema_name} has room for {room} characters, and up to {longest} are going to be written there")
    })
}

/// A call that LeadSquared refused because the account's limit was reached.
#[derive(Clone, Copy)]
struct LimitRefusal {
    /// The limit, if the refusal named it.
    named: Option<RateLimit>,
}

impl LimitRefusal {
    fn of(error: Option<&Error>) -> Option<Self> {
        match error {
            Some(Error::RateLimited { limit }) => Some(Self { named: *limit }),
            _ => None,
        }
    }
}

/// Compares the limit with the wanted allowance. LeadSquared shows the limit only in a refusal. A limit that other
/// programs reached is no fault of the settings, unless it happens often.
fn allowance(refusal: Option<LimitRefusal>, wanted: Option<RateLimit>) -> Verdict {
    let rate = |limit: RateLimit| f64::from(limit.calls) / limit.window.as_secs_f64();
    let refused = |refusal: LimitRefusal| match refusal.named {
        Some(RateLimit { calls, window }) => {
            format!("calls were refused by the account's limit of {calls} in {} s", window.as_secs())
        }
        None => "calls were refused by the account's limit".to_owned(),
    };
    match (refusal, wanted) {
        (Some(refusal), Some(wanted)) if refusal.named.is_some_and(|limit| rate(wanted) > rate(limit)) => {
            Verdict::Wrong { what: refused(refusal), fix: "set the allowance to no more than that".to_owned() }
        }
        (Some(refusal), _) => Verdict::Unknown(format!(
            "{}, which others use as well; if that happens often, set the allowance lower, so that other programs and \
             LeadSquared's users find room beside it",
            refused(refusal)
        )),
        (None, Some(wanted)) => Verdict::Unknown(format!(
            "no call was refused; LeadSquared shows the limit only when it is exceeded, so check that the plan permits {} calls in {} s",
            wanted.calls,
            wanted.window.as_secs()
        )),
        (None, None) => {
            Verdict::Unknown("no call was refused; LeadSquared shows the limit only when it is exceeded".to_owned())
        }
    }
}

fn verdict_of(error: &Error, endpoint: Endpoint) -> Verdict {
    match error.kind() {
        ErrorKind::Transient | ErrorKind::Unknown => Verdict::Unknown(format!("{error}; ask again in a minute")),
        ErrorKind::Configuration | ErrorKind::Refusal => {
            Verdict::Wrong { what: error.to_string(), fix: format!("see {}", endpoint.page()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn field(json: &str) -> LeadField {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn fields_are_compared_both_ways() {
        let known = [
            field(r#"{"SchemaName":"EmailAddress","IsLeadIdentifier":true}"#),
            field(r#"{"SchemaName":"mx_City"}"#),
            field(r#"{"SchemaName":"FirstName","IsMandatory":true}"#),
        ];
        let verdict = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|name| WantedField::from((*name).to_owned())).collect();
            match compare(&known, &wanted) {
                Verdict::Good(how) => how,
                Verdict::Wrong { what, .. } | Verdict::Unknown(what) => what,
            }
        };
        assert_eq!(verdict(&["EmailAddress", "FirstName"]), "the account has all 2 of them");
        assert!(verdict(&["EmailAddress", "mx_city", "mx_Foo"]).contains("mx_city (there is mx_City), mx_Foo;"));
        assert!(verdict(&["EmailAddress"]).contains("insists on FirstName"));
        assert!(verdict(&["FirstName", "mx_City"]).contains("none of the wanted fields identifies a lead"));
    }

    #[test]
    fn a_field_that_is_read_must_exist() {
        let known = [field(r#"{"SchemaName":"ProspectStage"}"#), field(r#"{"SchemaName":"mx_City"}"#)];
        let verdict = |read: &[&str]| readable(&known, &read.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert!(matches!(verdict(&["ProspectStage", "mx_City"]), Verdict::Good(_)));
        let Verdict::Wrong { what, .. } = verdict(&["mx_city", "mx_City", "mx_Cty"]) else { panic!("two are missing") };
        assert!(what.contains("no lead fields named mx_city (there is mx_City), mx_Cty,"), "{what}");
    }

    #[test]
    fn a_field_is_checked_for_the_content_it_will_hold() {
        let choice =
            |choices: &[&str]| FieldContent::Choice(choices.iter().map(|choice| (*choice).to_owned()).collect());
        let text = r#"{"SchemaName":"mx_A","DataType":"Text","MaxLength":"50"}"#;
        let select = r#"{"SchemaName":"mx_A","DataType":"Select","Options":[{"Value":"Law"},{"Value":"Physics"}]}"#;
        let of_type = |name: &str| format!(r#"{{"SchemaName":"mx_A","DataType":"{name}"}}"#);
        for (json, content, expected) in [
            (text, FieldContent::Text(50), None),
            (
                text,
                FieldContent::Text(51),
                Some("mx_A has room for 50 characters, and up to 51 are going to be written there"),
            ),
            (text, FieldContent::Phone, None),
            (text, choice(&["Law", "Chess"]), None),
            (select, choice(&["Law", "Physics"]), None),
            (select, choice(&["Law", "Chess"]), Some("mx_A does not have the options Chess")),
            (
                select,
                FieldContent::Text(5),
                Some("mx_A is of the type Select, and any text is going to be written there"),
            ),
            (&of_type("Date"), FieldContent::Date, None),
            (
                &of_type("Date"),
                FieldContent::Text(5),
                Some("mx_A is of the type Date, and any text is going to be written there"),
            ),
            (&of_type("Boolean"), FieldContent::Flag, None),
            (
                &of_type("Number"),
                FieldContent::Flag,
                Some("mx_A is of the type Number, and true or false is going to be written there"),
            ),
            (&of_type("Number"), choice(&["1", "2.5"]), None),
            (&of_type("Number"), FieldContent::Unknown, None),
            (&of_type("Hologram"), FieldContent::Text(5000), None),
        ] {
            assert_eq!(misfit(&field(json), &content).as_deref(), expected, "{json} {content:?}");
        }
    }

    #[test]
    fn a_mail_without_a_recipient_shows_whether_the_sender_is_accepted() {
        let is_wrong = |refusal| matches!(sender(refusal), Verdict::Wrong { .. });
        assert!(matches!(sender(Some(Error::NoSuchLead)), Verdict::Good(_)));
        assert!(is_wrong(Some(Error::BadSender)) && is_wrong(Some(Error::MailNotDeliverable)));
        assert!(!is_wrong(Some(Error::OutOfTime)) && !is_wrong(None));
    }

    #[test]
    fn the_limit_in_a_refusal_is_compared_with_the_wanted_one() {
        let limit = |calls| RateLimit { calls, window: Duration::from_secs(5) };
        let is_wrong = |verdict| matches!(verdict, Verdict::Wrong { .. });
        assert!(!is_wrong(allowance(None, Some(limit(25)))));
        assert!(!is_wrong(allowance(None, None)));
        let refusal = |named| Some(LimitRefusal { named });
        assert!(is_wrong(allowance(refusal(Some(limit(10))), Some(limit(25)))));
        assert!(!is_wrong(allowance(refusal(Some(limit(10))), Some(limit(10)))), "others were there as well");
        assert!(!is_wrong(allowance(refusal(None), Some(limit(10)))));
    }
}
