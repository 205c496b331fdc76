//! An account: its users, portals and lead fields.

use std::fmt;

use leadsquared::schema_name;
use serde::{Deserialize, Serialize};

/// One LeadSquared account and the settings that its administrator made.
///
/// Serialises, so that the binary can be given one as a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tenant {
    /// Display name of the organisation.
    pub organisation: String,
    /// GUID of the organisation.
    pub org_id: String,
    /// Five digits; also the end of the tokens that LeadSquared makes.
    pub short_code: String,
    /// Country code of phone numbers that come without one.
    pub country_code: String,
    /// IANA name of the account's time zone.
    pub time_zone: String,
    /// The people who use the CRM.
    pub users: Vec<User>,
    /// The portals.
    pub portals: Vec<Portal>,
    /// The lead fields.
    pub fields: Vec<Field>,
    /// Names of the e-mail templates in the library.
    pub email_templates: Vec<EmailTemplate>,
    /// Categories that a mail may name.
    pub email_categories: Vec<String>,
    /// Whether the account may deliver mail (credits, verified domain).
    pub can_deliver_mail: bool,
    /// Activity types that exist from the start.
    pub activity_types: Vec<ActivityType>,
}

/// A user of the CRM; API keys belong to one and stop working when it is deactivated.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// GUID.
    pub id: String,
    /// Full name.
    pub name: String,
    /// The address the user signs in with.
    pub email: String,
    /// What the user may do.
    pub role: Role,
    /// `u$r` and 32 hexadecimal digits.
    pub access_key: String,
    /// 40 hexadecimal digits.
    pub secret_key: String,
    /// Keys of an inactive user are refused.
    pub active: bool,
    /// Whether the user may read leads out.
    #[serde(default = "yes")]
    pub may_export: bool,
}

fn yes() -> bool {
    true
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A user's role; only administrators may use the portal API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// May do everything.
    Administrator,
    /// Runs campaigns.
    #[serde(rename = "Marketing_User")]
    MarketingUser,
    /// Leads a sales team.
    #[serde(rename = "Sales_Manager")]
    SalesManager,
    /// Works on leads.
    #[serde(rename = "Sales_User")]
    SalesUser,
}

impl Role {
    /// The name that Authenticate a User returns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Administrator => "Administrator",
            Self::MarketingUser => "Marketing_User",
            Self::SalesManager => "Sales_Manager",
            Self::SalesUser => "Sales_User",
        }
    }
}

/// A portal of the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portal {
    /// GUID, sent as `x-lsq-portalid`.
    pub id: String,
    /// Shown on the hosted page.
    pub name: String,
}

/// A template of the e-mail library.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailTemplate {
    /// What `EmailLibraryName` names.
    pub name: String,
    /// Subject unless the call gives one.
    pub subject: String,
    /// Body as HTML.
    pub html: String,
}

/// An activity type; its code is what calls name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivityType {
    /// Built-in codes are below 200, an account's own begin there.
    pub code: u32,
    /// Shown in the lead's history.
    pub name: String,
    /// Added to the lead's score.
    #[serde(default)]
    pub score: i32,
    /// Names of the custom fields an activity of this type may carry (`mx_Custom_1` …).
    #[serde(default)]
    pub fields: Vec<String>,
}

/// What a lead field holds: <https://apidocs.leadsquared.com/meta-data/>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataType {
    /// Free text.
    #[default]
    Text,
    /// A decimal number.
    Number,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A URL.
    Website,
    /// A date, with or without time.
    Date,
    /// A time of day.
    Time,
    /// One of `options`.
    Select,
    /// `1` or `0`; written as `true` or `false`.
    Boolean,
}

impl DataType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "Text",
            Self::Number => "Number",
            Self::Email => "Email",
            Self::Phone => "Phone",
            Self::Website => "Website",
            Self::Date => "Date",
            Self::Time => "Time",
            Self::Select => "Select",
            Self::Boolean => "Boolean",
        }
    }
}

/// A lead field of the account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Field {
    /// The name that calls use, case and all.
    pub schema_name: String,
    /// The name that people see.
    pub display_name: String,
    /// What it holds.
    pub data_type: DataType,
    /// Enforced when a lead is created.
    pub mandatory: bool,
    /// No two leads may share a value; such a field identifies a lead.
    pub unique: bool,
    /// Most characters; 0 stands for no limit.
    pub max_length: usize,
    /// The choices of a [`DataType::Select`].
    pub options: Vec<String>,
    /// Whether values outside `options` are refused; LeadSquared does so for some fields and not for others.
    pub strict_options: bool,
    /// Refuses a new value once it has one.
    pub lock_after_create: bool,
    /// Kept by LeadSquared itself; what a call sends for it is ignored.
    pub kept_by_system: bool,
    /// Taken from a call, never returned by one.
    pub write_only: bool,
}

impl Default for Tenant {
    /// An academy in India: an administrator, a sales user, one portal, the standard fields and a few of its own.
    fn default() -> Self {
        Self {
            organisation: "Example Academy".to_owned(),
            org_id: "44444444-4444-4444-8444-444444444444".to_owned(),
            short_code: "12345".to_owned(),
            country_code: "91".to_owned(),
            time_zone: "Asia/Kolkata".to_owned(),
            users: vec![
                User {
                    id: "33333333-3333-4333-8333-333333333333".to_owned(),
                    name: "Example Admin".to_owned(),
                    email: "admin@example.test".to_owned(),
                    role: Role::Administrator,
                    access_key: "u$r00000000000000000000000000000a11".to_owned(),
                    secret_key: "00000000000000000000000000000000000000a1".to_owned(),
                    active: true,
                    may_export: true,
                },
                User {
                    id: "33333333-3333-4333-8333-333333333334".to_owned(),
                    name: "Example Seller".to_owned(),
                    email: "seller@example.test".to_owned(),
                    role: Role::SalesUser,
                    access_key: "u$r00000000000000000000000000005a1e".to_owned(),
                    secret_key: "000000000000000000000000000000000005a1e5".to_owned(),
                    active: true,
                    may_export: true,
                },
            ],
            portals: vec![Portal {
                id: "22222222-2222-4222-8222-222222222222".to_owned(),
                name: "Applicant portal".to_owned(),
            }],
            fields: Field::standard(),
            email_templates: vec![EmailTemplate {
                name: "Welcome".to_owned(),
                subject: "Welcome".to_owned(),
                html: "<p>Welcome to Example Academy.</p>".to_owned(),
            }],
            email_categories: vec!["Transactional".to_owned()],
            can_deliver_mail: true,
            activity_types: ActivityType::standard(),
        }
    }
}

impl Field {
    /// A text field of up to 255 characters that everything can be added to.
    pub fn text(schema_name: &str, display_name: &str) -> Self {
        Self {
            schema_name: schema_name.to_owned(),
            display_name: display_name.to_owned(),
            max_length: 255,
            ..Self::default()
        }
    }

    /// The fields of the default account; their names are those of LeadSquared's lead objects:
    /// <https://apidocs.leadsquared.com/get-a-lead-by-email-id/>.
    pub fn standard() -> Vec<Self> {
        let text = |name: &str, display: &str| Self::text(name, display);
        let of = |data_type, name: &str, display: &str| Self { data_type, ..Self::text(name, display) };
        let system = |name: &str| Self { kept_by_system: true, ..Self::text(name, name) };
        let secret = |name: &str, display: &str| Self { write_only: true, ..Self::text(name, display) };
        let select = |name: &str, display: &str, options: &[&str]| Self {
            data_type: DataType::Select,
            max_length: 100,
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Self::text(name, display)
        };
        let mut fields = vec![
            text(schema_name::FIRST_NAME, "First Name"),
            text(schema_name::LAST_NAME, "Last Name"),
            Self { unique: true, ..of(DataType::Email, schema_name::EMAIL_ADDRESS, "Email") },
            Self { unique: true, max_length: 50, ..of(DataType::Phone, schema_name::PHONE, "Phone Number") },
            Self { max_length: 50, ..of(DataType::Phone, schema_name::MOBILE, "Mobile Number") },
            text("Company", "Company"),
            of(DataType::Website, "Website", "Website"),
            text("JobTitle", "Job Title"),
            text("TimeZone", "Time Zone"),
            text(schema_name::SOURCE, "Lead Source"),
            text("SourceMedium", "Source Medium"),
            text("SourceCampaign", "Source Campaign"),
            text("SourceContent", "Source Content"),
            Self { max_length: 4000, ..text(schema_name::NOTES, "Notes") },
            of(DataType::Boolean, "DoNotEmail", "Do Not Email"),
            of(DataType::Boolean, "DoNotCall", "Do Not Call"),
            of(DataType::Boolean, "DoNotSMS", "Do Not SMS"),
            of(DataType::Boolean, "DoNotTrack", "Do Not Track"),
            select(
                schema_name::PROSPECT_STAGE,
                "Lead Stage",
                &["Prospect", "Engaged", "Applied", "Enrolled", "Disqualified"],
            ),
            text(schema_name::OWNER_ID, "Owner"),
            text("LeadType", "Lead Type"),
            text("mx_Street1", "Address 1"),
            text("mx_Street2", "Address 2"),
            text("mx_City", "City"),
            text("mx_State", "State"),
            text("mx_Country", "Country"),
            text("mx_Zip", "Zip"),
            secret(schema_name::PORTAL_PASSWORD, "Portal Password"),
            secret(schema_name::PORTAL_CONFIRM_PASSWORD, "Portal Confirm Password"),
            select("mx_Program", "Program", &["Data Science", "Design", "Finance", "Law"]),
            of(DataType::Date, "mx_Date_of_Birth", "Date of Birth"),
            Self { unique: true, max_length: 10, ..text("mx_PAN_Number", "PAN Number") },
            of(DataType::Email, "mx_Alternate_Email", "Alternate Email"),
            of(DataType::Boolean, "mx_Consent", "Consent"),
            text("mx_Unproven_Sign_In", "Unproven Sign In"),
        ];
        fields.extend(
            [
                schema_name::PROSPECT_ID,
                schema_name::PROSPECT_AUTO_ID,
                "Origin",
                "Grade",
                schema_name::SCORE,
                "Revenue",
                "EngagementScore",
                "TotalVisits",
                "PageViewsPerVisit",
                "AvgTimePerVisit",
                "RelatedProspectId",
                "ProspectActivityId_Min",
                "ProspectActivityDate_Min",
                "ProspectActivityName_Max",
                "ProspectActivityId_Max",
                "ProspectActivityDate_Max",
                schema_name::CREATED_BY,
                "CreatedByName",
                schema_name::CREATED_ON,
                schema_name::MODIFIED_BY,
                "ModifiedByName",
                schema_name::MODIFIED_ON,
                "LeadLastModifiedOn",
                "LeadConversionDate",
                "StatusCode",
                "StatusReason",
                "DeletionStatusCode",
                "IsLead",
                "NotableEvent",
                "NotableEventdate",
                "LastVisitDate",
                "OwnerIdName",
                "OwnerIdEmailAddress",
            ]
            .map(system),
        );
        fields
    }
}

impl ActivityType {
    /// Some built-in types and one of an account's own.
    pub fn standard() -> Vec<Self> {
        let of = |code, name: &str, score| Self { code, name: name.to_owned(), score, fields: Vec::new() };
        let mut types = vec![
            of(21, "Inbound Phone Call Activity", 10),
            of(22, "Outbound Phone Call Activity", 5),
            of(23, "Lead Capture", 0),
            of(97, "Dynamic Form Submission", 0),
            of(98, "Payment", 0),
            of(102, "Meeting", 0),
        ];
        types.push(Self {
            fields: vec!["Status".to_owned(), "mx_Custom_1".to_owned(), "mx_Custom_2".to_owned()],
            ..of(201, "Portal Invitation", 5)
        });
        types
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_survives_being_written_to_a_file() {
        let written = serde_json::to_string(&Tenant::default()).unwrap();
        let read: Tenant = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), written);
    }

    #[test]
    fn a_misspelt_name_in_an_account_is_refused_and_told() {
        let written = serde_json::to_value(Tenant::default()).unwrap();
        for place in ["", "/users/0", "/portals/0", "/fields/0", "/email_templates/0", "/activity_types/0"] {
            let mut misspelt = written.clone();
            misspelt.pointer_mut(place).unwrap()["nmae"] = "x".into();
            let refused = serde_json::from_value::<Tenant>(misspelt).unwrap_err().to_string();
            assert!(refused.starts_with("unknown field `nmae`"), "{place}: {refused}");
        }
    }

    #[test]
    fn a_users_debug_output_has_no_key() {
        let user = &Tenant::default().users[0];
        let printed = format!("{user:?}");
        assert!(!printed.contains(&user.access_key) && !printed.contains(&user.secret_key));
    }
}
