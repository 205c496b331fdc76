//! Schema names of the lead fields that every account has.
//!
//! An account's own fields have names that begin with `mx_`. `Client::lead_fields` lists both kinds
//! (<https://apidocs.leadsquared.com/meta-data/>).
//!
//! # Examples
//! ```
//! use leadsquared::{Attributes, schema_name};
//!
//! let fields = Attributes::new().with(schema_name::FIRST_NAME, "Asha").with("mx_City", "Pune");
//! assert_eq!(fields.value(schema_name::FIRST_NAME), Some("Asha"));
//! ```

/// The lead's id, a GUID.
pub const PROSPECT_ID: &str = "ProspectID";
/// The lead's number in the account.
pub const PROSPECT_AUTO_ID: &str = "ProspectAutoId";
/// First name.
pub const FIRST_NAME: &str = "FirstName";
/// Last name.
pub const LAST_NAME: &str = "LastName";
/// The main e-mail address, by which leads are matched first.
pub const EMAIL_ADDRESS: &str = "EmailAddress";
/// The main phone number.
pub const PHONE: &str = "Phone";
/// The second phone number.
pub const MOBILE: &str = "Mobile";
/// The phone number fields that every account has.
pub const PHONE_NUMBERS: [&str; 2] = [PHONE, MOBILE];
/// Where the lead came from.
pub const SOURCE: &str = "Source";
/// Free text.
pub const NOTES: &str = "Notes";
/// The stage of the lead, such as `Prospect`.
pub const PROSPECT_STAGE: &str = "ProspectStage";
/// The id of the user who owns the lead.
pub const OWNER_ID: &str = "OwnerId";
/// The score that activities add up to.
pub const SCORE: &str = "Score";
/// The id of the user who created the lead.
pub const CREATED_BY: &str = "CreatedBy";
/// When the lead was created.
pub const CREATED_ON: &str = "CreatedOn";
/// The id of the user who changed the lead last.
pub const MODIFIED_BY: &str = "ModifiedBy";
/// When the lead was changed last.
pub const MODIFIED_ON: &str = "ModifiedOn";
/// The portal password of a registration (<https://apidocs.leadsquared.com/register/>).
pub const PORTAL_PASSWORD: &str = "mx_Portal_Password";
/// The same password once more: a registration needs both.
pub const PORTAL_CONFIRM_PASSWORD: &str = "mx_Portal_Confirm_Password";
/// No field but an instruction among the attributes: the field by which a lead is matched.
pub const SEARCH_BY: &str = "SearchBy";

/// The names that decide which lead a registration writes, and its portal password. Do not take them from a form.
const CONTROL: [&str; 5] = [EMAIL_ADDRESS, PROSPECT_ID, SEARCH_BY, PORTAL_PASSWORD, PORTAL_CONFIRM_PASSWORD];

/// Whether a name decides which lead a registration writes, or sets its portal password. The comparison ignores case,
/// because LeadSquared documents no case for its names.
///
/// ```
/// use leadsquared::schema_name::is_control;
///
/// assert!(is_control("searchby") && is_control("EmailAddress") && !is_control("FirstName"));
/// ```
pub fn is_control(name: &str) -> bool {
    CONTROL.iter().any(|control| control.eq_ignore_ascii_case(name))
}
