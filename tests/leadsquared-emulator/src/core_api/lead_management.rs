//! Writing and reading leads: `LeadManagement.svc`.

use http::StatusCode;
use leadsquared::schema_name;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::admission::Admitted;
use crate::body::{self, Attribute};
use crate::dates;
use crate::failure::Failure;
use crate::leads::{self, Changes};
use crate::randomness::is_guid;
use crate::settings::PhoneLookup;
use crate::tenant::{DataType, Field};

/// An attribute list with the pseudo-attributes taken out.
struct Write {
    changes: Changes,
    search_by: Option<String>,
    prospect_id: Option<String>,
}

fn read(call: &Admitted, attributes: Vec<Attribute>) -> Result<Write, Failure> {
    let (pseudo, attributes): (Vec<_>, Vec<_>) = attributes.into_iter().partition(|attribute| {
        [schema_name::SEARCH_BY, schema_name::PROSPECT_ID, "ProspectId"].contains(&attribute.name.as_str())
    });
    let pseudo_value = |name: &str| {
        let attribute = pseudo.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name));
        attribute.and_then(|attribute| attribute.value.as_deref()).map(str::to_owned)
    };
    let search_by = pseudo_value(schema_name::SEARCH_BY);
    let is_field = |name: &str| call.account.tenant.fields.iter().any(|field| field.schema_name == name);
    if let Some(unknown) = search_by.as_deref().filter(|name| !is_field(name) && *name != "ProspectId") {
        return Err(Failure::unknown_attributes(&[unknown]));
    }
    Ok(Write {
        changes: leads::check(&call.account.tenant, &call.world.settings.switches, &attributes)?,
        search_by,
        prospect_id: pseudo_value(schema_name::PROSPECT_ID),
    })
}

/// <https://apidocs.leadsquared.com/capture-lead/>
pub(crate) fn capture(call: &Admitted) -> Result<Value, Failure> {
    let attributes = body::read(&call.body)?;
    let captured = call.account.store.transaction(|db| capture_lead(call, db, attributes));
    match captured {
        Ok(id) => Ok(success(json!({ "Id": id, "RelatedId": id }))),
        Err(failure) if call.world.settings.switches.capture_duplicate_under_ok && failure.is_duplicate() => {
            Err(Failure { status: StatusCode::OK, ..failure })
        }
        Err(failure) => Err(failure),
    }
}

/// Finds the lead by the rules of Lead.Capture, and updates it or creates one.
pub(crate) fn capture_lead(call: &Admitted, db: &Connection, attributes: Vec<Attribute>) -> Result<String, Failure> {
    let mut write = read(call, attributes)?;
    let writer = call.writer(db, true);
    let Some(known) = captured(db, &write)? else {
        // An id that no lead has is an anonymous visitor's, and becomes the lead's.
        return match write.prospect_id.filter(|id| is_guid(id)) {
            Some(visitor) if leads::by_id(db, &visitor)?.is_none() => {
                writer.create_as(visitor.to_ascii_lowercase(), &write.changes)
            }
            _ => writer.create(&write.changes),
        };
    };
    let lead = leads::existing(db, &known)?;
    let is_unique =
        |name: &str| call.account.tenant.fields.iter().any(|field| field.unique && field.schema_name == name);
    match call.query.get("leadupdatebehavior").unwrap_or_default() {
        "" => {}
        "DoNotUpdate" => return Ok(known),
        "UpdateOnlyEmptyFields" => write.changes.retain(|name| lead.field(name).is_none()),
        "DoNotUpdateUniqueFields" => write.changes.retain(|name| !is_unique(name)),
        _ => return Err(Failure::invalid_input("Invalid Input! Parameter Name: LeadUpdateBehavior")),
    }
    // A lead keeps the source it first came from.
    write.changes.retain(|name| name != schema_name::SOURCE || lead.field(name).is_none());
    writer.update(&known, &write.changes)?;
    Ok(known)
}

fn captured(db: &Connection, write: &Write) -> Result<Option<String>, Failure> {
    let (email, phone) = (write.changes.value(schema_name::EMAIL_ADDRESS), write.changes.value(schema_name::PHONE));
    let all_sent = write.prospect_id.is_some() && email.is_some() && phone.is_some();
    if let Some(search_by) = write.search_by.as_deref().filter(|_| !all_sent)
        && let Some(known) = searched(db, write, search_by)?
    {
        return Ok(Some(known));
    }
    if let Some(id) = &write.prospect_id
        && let Some(lead) = leads::by_id(db, id)?
    {
        let same_email = email.is_none_or(|email| {
            lead.field(schema_name::EMAIL_ADDRESS).is_some_and(|its| its.eq_ignore_ascii_case(email))
        });
        return Ok(same_email.then_some(lead.id));
    }
    match (email, phone) {
        // A new address with a known phone is not matched: creating it then fails as a duplicate, as users report.
        (Some(email), _) => Ok(leads::with_value(db, schema_name::EMAIL_ADDRESS, email)?),
        (None, Some(phone)) => Ok(leads::with_value(db, schema_name::PHONE, phone)?),
        (None, None) => Ok(None),
    }
}

fn searched(db: &Connection, write: &Write, search_by: &str) -> Result<Option<String>, Failure> {
    if search_by.eq_ignore_ascii_case(schema_name::PROSPECT_ID) {
        return Ok(write
            .prospect_id
            .as_deref()
            .map(|id| leads::by_id(db, id))
            .transpose()?
            .flatten()
            .map(|lead| lead.id));
    }
    match write.changes.value(search_by) {
        Some(value) => Ok(leads::with_value(db, search_by, value)?),
        None => Ok(None),
    }
}

/// <https://apidocs.leadsquared.com/create-a-lead/>
pub(crate) fn create(call: &Admitted) -> Result<Value, Failure> {
    let write = read(call, body::read(&call.body)?)?;
    let named = [schema_name::FIRST_NAME, schema_name::LAST_NAME, schema_name::EMAIL_ADDRESS, schema_name::PHONE];
    if named.iter().all(|name| write.changes.value(name).is_none()) {
        return Err(Failure::missing("FirstName, LastName, EmailAddress or Phone is mandatory."));
    }
    let id = call.account.store.transaction(|db| call.writer(db, true).create(&write.changes))?;
    Ok(success(json!({ "Id": id })))
}

/// <https://apidocs.leadsquared.com/update-a-lead/>; webhooks hear of it only with `postUpdatedLead=true`.
pub(crate) fn update(call: &Admitted) -> Result<Value, Failure> {
    let id = call.query.get("leadid").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Failure::missing("'leadId' is mandatory for updating lead"))?;
    let write = read(call, body::read(&call.body)?)?;
    call.account.store.transaction(|db| call.writer(db, posts_updates(call)).update(id, &write.changes))?;
    Ok(success(json!({ "AffectedRows": 1 })))
}

/// <https://apidocs.leadsquared.com/create-or-update/>
pub(crate) fn create_or_update(call: &Admitted) -> Result<Value, Failure> {
    let write = read(call, body::read(&call.body)?)?;
    let id = call.account.store.transaction(|db| {
        let known = match &write.search_by {
            Some(search_by) => searched(db, &write, search_by)?,
            None => by_email_then_phone(db, &write.changes)?,
        };
        match known {
            Some(known) => {
                call.writer(db, posts_updates(call)).update(&known, &write.changes)?;
                Ok(known)
            }
            None => call.writer(db, true).create(&write.changes),
        }
    })?;
    Ok(success(json!({ "Id": id, "AffectedRows": 1 })))
}

fn by_email_then_phone(db: &Connection, changes: &Changes) -> Result<Option<String>, Failure> {
    for field in [schema_name::EMAIL_ADDRESS, schema_name::PHONE] {
        if let Some(value) = changes.value(field)
            && let Some(known) = leads::with_value(db, field, value)?
        {
            return Ok(Some(known));
        }
    }
    Ok(None)
}

fn posts_updates(call: &Admitted) -> bool {
    call.query.get("postupdatedlead").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

pub(crate) fn success(message: Value) -> Value {
    json!({ "Status": "Success", "Message": message })
}

/// Linked from <https://apidocs.leadsquared.com/get-lead-by-phone/>; an unknown id gives an empty list.
pub(crate) fn by_id(call: &Admitted) -> Result<Value, Failure> {
    list(call, call.query.get("id").map(str::to_owned))
}

/// <https://apidocs.leadsquared.com/get-a-lead-by-email-id/>; a misspelt parameter gives an empty list, as there.
pub(crate) fn by_email(call: &Admitted) -> Result<Value, Failure> {
    let email = call.query.get("emailaddress").unwrap_or_default();
    let id = leads::with_value(&call.account.store.connection(), schema_name::EMAIL_ADDRESS, email)?;
    list(call, id)
}

/// <https://apidocs.leadsquared.com/get-lead-by-phone/>; of several leads, the one that was active last.
pub(crate) fn by_phone(call: &Admitted) -> Result<Value, Failure> {
    let phone = call.query.get("phone").unwrap_or_default();
    let id = {
        let db = call.account.store.connection();
        let by_digits = || leads::with_phone_digits(&db, &call.account.tenant, phone);
        match call.world.settings.switches.phone_lookup {
            PhoneLookup::AnyForm => by_digits()?.into_iter().next(),
            PhoneLookup::DigitsOnly if phone.bytes().all(|byte| byte.is_ascii_digit()) => {
                by_digits()?.into_iter().next()
            }
            PhoneLookup::DigitsOnly => None,
            PhoneLookup::StoredText => leads::with_value(&db, schema_name::PHONE, phone)?.or(leads::with_value(
                &db,
                schema_name::MOBILE,
                phone,
            )?),
        }
    };
    list(call, id)
}

fn list(call: &Admitted, id: Option<String>) -> Result<Value, Failure> {
    if !call.user.may_export {
        return Err(Failure::application("MXUnauthorizedRequestException", "Export restricted for the user"));
    }
    let users = call.account.users();
    let lead = match id {
        Some(id) => leads::by_id(&call.account.store.connection(), &id)?,
        None => None,
    };
    let flat = |lead| Value::Object(leads::flat(&call.account.tenant, &users, lead, dates::of_a_lead));
    Ok(Value::Array(lead.iter().map(flat).collect()))
}

/// <https://apidocs.leadsquared.com/meta-data/>
pub(crate) fn fields(call: &Admitted) -> Value {
    let without_options = call.query.get("excludeoptionsets") == Some("1");
    let named = call.query.get("schemaname").filter(|name| !name.is_empty());
    let fields = call.account.tenant.fields.iter().filter(|field| named.is_none_or(|name| field.schema_name == name));
    fields.map(|field| descriptor(field, without_options)).collect()
}

fn descriptor(field: &Field, without_options: bool) -> Value {
    let (render_type, rendering) = match field.data_type {
        DataType::Number | DataType::Text => (1, "Textbox"),
        DataType::Select => (3, "Dropdown"),
        DataType::Boolean => (4, "CheckBox"),
        DataType::Email => (5, "Email"),
        DataType::Phone => (6, "Phone"),
        DataType::Website => (7, "URL"),
        DataType::Date => (8, "Date"),
        DataType::Time => (9, "Time"),
    };
    let shown = !field.write_only;
    let mut descriptor = json!({
        "Entity": "1",
        "SchemaName": field.schema_name, "Name": field.schema_name, "DisplayName": field.display_name,
        "Description": field.display_name, "DataType": field.data_type.name(),
        "IsMandatory": field.mandatory, "IsLeadIdentifier": field.unique, "AllowMultiple": !field.unique,
        "MaxLength": field.max_length.to_string(), "RangeMin": "0",
        "LockAfterCreate": u8::from(field.lock_after_create),
        "EntityAttributeId": field.schema_name, "EntityAttributeType": 1,
        "RenderType": render_type, "RenderTypeTextValue": rendering,
        "IsVisible": shown, "IsSearchable": shown, "IsSortable": shown, "ShowInMailMerge": shown,
        "ShowInImport": shown, "ShowInQuickAdd": shown, "ShowInQuickSearch": shown, "UseInLeadClone": shown,
        "Txt_Row": 0, "Txt_Col": 0,
        "OwnerIdName": "System", "CreatedOn": "/Date(1417453996000+0000)/", "ModifiedOn": "/Date(1457006650000+0000)/",
    });
    if field.data_type == DataType::Select && !without_options {
        descriptor["Options"] = field.options.iter().map(|option| json!({ "Value": option })).collect();
    }
    descriptor
}
