//! Lead records: the check of a write, the search for duplicates, and how a lead is read back.

use std::collections::BTreeMap;

use leadsquared::schema_name;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::body::Attribute;
use crate::dates;
use crate::failure::Failure;
use crate::settings::Switches;
use crate::store::{stamp, time_of};
use crate::tenant::{DataType, Field, Tenant, User};
use crate::webhooks;
use crate::world::{Account, World};

/// A lead as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lead {
    /// GUID, also called prospect id.
    pub id: String,
    /// `ProspectAutoId`.
    pub auto_id: i64,
    /// The fields that have a value, by schema name; portal passwords are not among them.
    pub fields: BTreeMap<String, String>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// GUID of the user whose keys created it.
    pub created_by: String,
    /// When it was last written.
    #[serde(with = "time::serde::rfc3339")]
    pub modified_at: OffsetDateTime,
    /// GUID of the user whose keys wrote it last.
    pub modified_by: String,
}

impl Lead {
    /// The value of a field.
    pub fn field(&self, schema_name: &str) -> Option<&str> {
        self.fields.get(schema_name).map(String::as_str)
    }

    /// First and last name; the e-mail address when both are empty.
    pub fn display_name(&self) -> String {
        let names = [self.field(schema_name::FIRST_NAME), self.field(schema_name::LAST_NAME)];
        let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
        if name.is_empty() { self.field(schema_name::EMAIL_ADDRESS).unwrap_or("Unnamed lead").to_owned() } else { name }
    }
}

/// A checked list of new values in the order of the call. A field without a value is emptied.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changes(Vec<(String, Option<String>)>);

impl Changes {
    /// The values of fields that identify a lead, in the order in which they were sent.
    pub(crate) fn identifiers<'a>(&'a self, tenant: &'a Tenant) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(|(name, value)| {
            let unique = tenant.fields.iter().any(|field| field.unique && field.schema_name == *name);
            value.as_deref().filter(|_| unique).map(|value| (name.as_str(), value))
        })
    }

    /// The new value of a field.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(its, _)| its == name).and_then(|(_, value)| value.as_deref())
    }
}

impl Changes {
    /// Keeps only the changes of fields for which `keep` is true.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }
}

/// Checks attributes against the account's fields. One unknown name refuses all of them.
pub(crate) fn check(tenant: &Tenant, switches: &Switches, attributes: &[Attribute]) -> Result<Changes, Failure> {
    let field_of = |name: &str| tenant.fields.iter().find(|field| field.schema_name == name);
    let unknown: Vec<&str> =
        attributes.iter().map(|attribute| attribute.name.as_str()).filter(|name| field_of(name).is_none()).collect();
    if !unknown.is_empty() {
        return Err(Failure::unknown_attributes(&unknown));
    }
    let mut changes = Vec::new();
    for attribute in attributes {
        let Some(field) = field_of(&attribute.name).filter(|field| !field.kept_by_system && !field.write_only) else {
            continue;
        };
        let value = attribute.value.as_deref().map(|value| check_value(field, tenant, switches, value)).transpose()?;
        changes.push((attribute.name.clone(), value));
    }
    Ok(Changes(changes))
}

fn check_value(field: &Field, tenant: &Tenant, switches: &Switches, value: &str) -> Result<String, Failure> {
    let invalid = || Failure::invalid_input(format!("Invalid Input! Parameter Name: {}", field.schema_name));
    if field.max_length > 0 && value.chars().count() > field.max_length {
        return Err(invalid());
    }
    if switches.refuse_markup && value.contains('<') {
        return Err(Failure::application("MXXSSException", "Potentially dangerous value."));
    }
    let valid = match field.data_type {
        DataType::Email => value.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !value.contains(char::is_whitespace)
        }),
        DataType::Number => value.parse::<f64>().is_ok_and(f64::is_finite),
        DataType::Phone => value.chars().any(|c| c.is_ascii_digit()),
        DataType::Boolean => boolean(value).is_some(),
        DataType::Date => is_date(value),
        DataType::Select if field.strict_options => {
            if !field.options.iter().any(|option| option == value) {
                let message = format!("Value does not exist in the options of {}.", field.schema_name);
                return Err(Failure::application("MXInvalidEntityReferenceException", message));
            }
            true
        }
        DataType::Select | DataType::Text | DataType::Time | DataType::Website => true,
    };
    if !valid {
        return Err(invalid());
    }
    Ok(match field.data_type {
        DataType::Boolean => boolean(value).unwrap_or_default().to_owned(),
        DataType::Phone if switches.normalise_phones => normal_phone(value, &tenant.country_code),
        _ => value.to_owned(),
    })
}

/// Calls write `true` or `false` and read `1` or `0`.
fn boolean(value: &str) -> Option<&'static str> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Some("1"),
        "false" | "0" => Some("0"),
        _ => None,
    }
}

fn is_date(value: &str) -> bool {
    dates::parse(value).or_else(|| dates::parse(&format!("{value} 00:00:00"))).is_some()
}

/// A number as `+<country>-<national>`. Numbers of ten digits or fewer get the account's country code.
fn normal_phone(value: &str, country_code: &str) -> String {
    if value.starts_with('+') && value.contains('-') {
        return value.to_owned();
    }
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    let national = match digits.strip_prefix(country_code) {
        Some(national) if value.starts_with('+') || digits.len() > 10 => national,
        _ => digits.as_str(),
    };
    format!("+{country_code}-{national}")
}

/// Writes leads in one transaction, in the name of one user, and raises webhooks.
pub(crate) struct Writer<'a> {
    pub(crate) world: &'a World,
    pub(crate) account: &'a Account,
    pub(crate) db: &'a Connection,
    pub(crate) user: &'a User,
    pub(crate) now: OffsetDateTime,
    /// Whether the writes raise webhooks.
    pub(crate) raises: bool,
}

impl Writer<'_> {
    /// Creates a lead with checked values; returns its id.
    pub(crate) fn create(&self, changes: &Changes) -> Result<String, Failure> {
        self.create_as(self.world.randomness.guid(), changes)
    }

    /// Creates a lead with this id.
    pub(crate) fn create_as(&self, id: String, changes: &Changes) -> Result<String, Failure> {
        let tenant = &self.account.tenant;
        let missing = tenant.fields.iter().find(|field| field.mandatory && changes.value(&field.schema_name).is_none());
        if let Some(field) = missing {
            return Err(Failure::missing(format!("{} is mandatory.", field.display_name)));
        }
        self.refuse_duplicates(&id, changes)?;
        self.db
            .prepare_cached(
                "INSERT INTO lead (id, created_at, created_by, modified_at, modified_by) VALUES (?1, ?2, ?3, ?2, ?3)",
            )?
            .execute(params![id, stamp(self.now), self.user.id])?;
        for (name, value) in [
            (schema_name::PROSPECT_STAGE, "Prospect"),
            ("DoNotEmail", "0"),
            ("DoNotCall", "0"),
            (schema_name::OWNER_ID, &self.user.id),
        ] {
            write_value(self.db, &id, name, Some(value))?;
        }
        write_values(self.db, &id, changes)?;
        if self.raises {
            webhooks::lead_created(self, &existing(self.db, &id)?)?;
        }
        Ok(id)
    }

    /// Writes checked values to an existing lead.
    pub(crate) fn update(&self, id: &str, changes: &Changes) -> Result<(), Failure> {
        let before = existing(self.db, id)?;
        let tenant = &self.account.tenant;
        for field in tenant.fields.iter().filter(|field| field.lock_after_create) {
            let locked = changes.value(&field.schema_name).zip(before.field(&field.schema_name));
            if locked.is_some_and(|(new, old)| new != old) {
                return Err(Failure::invalid_input(format!("{} cannot be changed.", field.display_name)));
            }
        }
        self.refuse_duplicates(id, changes)?;
        self.db
            .prepare_cached("UPDATE lead SET modified_at = ?2, modified_by = ?3 WHERE id = ?1")?
            .execute(params![before.id, stamp(self.now), self.user.id])?;
        write_values(self.db, &before.id, changes)?;
        if self.raises {
            webhooks::lead_updated(self, &before, &existing(self.db, id)?)?;
        }
        Ok(())
    }

    fn refuse_duplicates(&self, id: &str, changes: &Changes) -> Result<(), Failure> {
        for field in self.account.tenant.fields.iter().filter(|field| field.unique) {
            let Some(value) = changes.value(&field.schema_name) else { continue };
            let other = with_value(self.db, &field.schema_name, value)?;
            if other.is_some_and(|other| !other.eq_ignore_ascii_case(id)) {
                let text = &self.world.settings.texts.duplicate;
                let text = text.replace("{field}", &field.display_name).replace("{schema}", &field.schema_name);
                return Err(Failure::duplicate(text.replace("{value}", value)));
            }
        }
        Ok(())
    }
}

/// The lead with this id, or a refusal.
pub(crate) fn existing(db: &Connection, id: &str) -> Result<Lead, Failure> {
    by_id(db, id)?.ok_or_else(Failure::no_such_lead)
}

fn write_values(db: &Connection, id: &str, changes: &Changes) -> Result<(), Failure> {
    for (name, value) in &changes.0 {
        write_value(db, id, name, value.as_deref())?;
    }
    Ok(())
}

/// Writes or empties one value, including values that LeadSquared maintains itself.
pub(crate) fn write_value(db: &Connection, id: &str, name: &str, value: Option<&str>) -> rusqlite::Result<()> {
    match value {
        Some(value) => db
            .prepare_cached("INSERT OR REPLACE INTO lead_value (lead_id, field, value) VALUES (?1, ?2, ?3)")?
            .execute([id, name, value])?,
        None => db.prepare_cached("DELETE FROM lead_value WHERE lead_id = ?1 AND field = ?2")?.execute([id, name])?,
    };
    Ok(())
}

/// The oldest lead with this value in a field, case-insensitive.
pub(crate) fn with_value(db: &Connection, field: &str, value: &str) -> rusqlite::Result<Option<String>> {
    db.prepare_cached(
        "SELECT lead.id FROM lead_value JOIN lead ON lead.id = lead_id
         WHERE field = ?1 AND value = ?2 ORDER BY lead.auto_id LIMIT 1",
    )?
    .query_row([field, value], |row| row.get(0))
    .optional()
}

/// The leads whose phone or mobile number has these digits, with or without the country code.
pub(crate) fn with_phone_digits(db: &Connection, tenant: &Tenant, phone: &str) -> rusqlite::Result<Vec<String>> {
    let national = |text: &str| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        match digits.strip_prefix(tenant.country_code.as_str()) {
            Some(national) if digits.len() > 10 => national.to_owned(),
            _ => digits,
        }
    };
    let wanted = national(phone);
    let mut numbers = db.prepare_cached(
        "SELECT lead_id, value FROM lead_value JOIN lead ON lead.id = lead_id
         WHERE field IN ('Phone', 'Mobile') ORDER BY modified_at DESC, auto_id DESC",
    )?;
    let numbers = numbers.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    let mut found = Vec::new();
    for number in numbers {
        let (lead, value) = number?;
        if !wanted.is_empty() && national(&value) == wanted {
            found.push(lead);
        }
    }
    Ok(found)
}

/// The lead with this id.
pub(crate) fn by_id(db: &Connection, id: &str) -> rusqlite::Result<Option<Lead>> {
    let lead = db
        .prepare_cached("SELECT id, auto_id, created_at, created_by, modified_at, modified_by FROM lead WHERE id = ?1")?
        .query_row([id.to_ascii_lowercase()], |row| {
            Ok(Lead {
                id: row.get(0)?,
                auto_id: row.get(1)?,
                fields: BTreeMap::new(),
                created_at: time_of(row.get(2)?),
                created_by: row.get(3)?,
                modified_at: time_of(row.get(4)?),
                modified_by: row.get(5)?,
            })
        })
        .optional()?;
    let Some(mut lead) = lead else { return Ok(None) };
    let mut values = db.prepare_cached("SELECT field, value FROM lead_value WHERE lead_id = ?1")?;
    lead.fields = values.query_map([&lead.id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    Ok(Some(lead))
}

/// Every lead, oldest first.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<Lead>> {
    let mut ids = db.prepare_cached("SELECT id FROM lead ORDER BY auto_id")?;
    let ids: Vec<String> = ids.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut leads = Vec::with_capacity(ids.len());
    for id in ids {
        leads.extend(by_id(db, &id)?);
    }
    Ok(leads)
}

/// A lead as calls return it: one flat object of texts and nulls.
pub(crate) fn flat(
    tenant: &Tenant,
    users: &[User],
    lead: &Lead,
    date: fn(OffsetDateTime) -> String,
) -> Map<String, Value> {
    let user = |id: &str| users.iter().find(|user| user.id == id);
    let owner = lead.field(schema_name::OWNER_ID).and_then(user);
    let readable = tenant.fields.iter().filter(|field| !field.write_only);
    readable
        .map(|field| {
            let name = field.schema_name.as_str();
            let kept = || lead.field(name).map(str::to_owned);
            let value = match name {
                schema_name::PROSPECT_ID => Some(lead.id.clone()),
                schema_name::PROSPECT_AUTO_ID => Some(lead.auto_id.to_string()),
                schema_name::CREATED_ON => Some(date(lead.created_at)),
                schema_name::CREATED_BY => Some(lead.created_by.clone()),
                "CreatedByName" => user(&lead.created_by).map(|user| user.name.clone()),
                schema_name::MODIFIED_ON => Some(date(lead.modified_at)),
                "LeadLastModifiedOn" => {
                    let activity = lead.field("ProspectActivityDate_Max").and_then(dates::parse);
                    Some(date(activity.map_or(lead.modified_at, |activity| activity.max(lead.modified_at))))
                }
                schema_name::MODIFIED_BY => Some(lead.modified_by.clone()),
                "ModifiedByName" => user(&lead.modified_by).map(|user| user.name.clone()),
                "OwnerIdName" => owner.map(|owner| owner.name.clone()),
                "OwnerIdEmailAddress" => owner.map(|owner| owner.email.clone()),
                "Origin" => Some("API".to_owned()),
                schema_name::SCORE | "EngagementScore" | "TotalVisits" | "StatusCode" | "DeletionStatusCode" => {
                    kept().or_else(|| Some("0".to_owned()))
                }
                "IsLead" => Some("1".to_owned()),
                _ => kept(),
            };
            (name.to_owned(), value.map_or(Value::Null, Value::String))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_numbers_of_every_spelling_get_one_form() {
        for sent in ["9000000001", "919000000001", "+919000000001", "+91-9000000001", "90000 00001"] {
            assert_eq!(normal_phone(sent, "91"), "+91-9000000001", "{sent}");
        }
        assert_eq!(normal_phone("9100000001", "91"), "+91-9100000001");
    }
}
