//! What happened to a lead, and the kinds of things that can.

use std::collections::BTreeMap;

use leadsquared::schema_name;
use leadsquared::wire::EventType;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use time::OffsetDateTime;

use crate::dates;
use crate::failure::Failure;
use crate::leads::{self, Writer};
use crate::store::{stamp, time_of};
use crate::tenant::{ActivityType, Tenant};
use crate::webhooks;

/// An activity of a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// GUID.
    pub id: String,
    /// GUID of the lead.
    pub lead_id: String,
    /// Code of its type.
    pub code: u32,
    /// Free text.
    pub note: String,
    /// Its own fields, by schema name.
    pub fields: BTreeMap<String, String>,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub happened_at: OffsetDateTime,
    /// When it was posted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// GUID of the user whose keys posted it.
    pub created_by: String,
}

/// First code of an account's own activity types.
const FIRST_OWN_CODE: u32 = 202;

/// The account's activity types: those it started with and those that were created since.
pub(crate) fn types(db: &Connection, tenant: &Tenant) -> Result<Vec<ActivityType>, Failure> {
    let mut created = db.prepare_cached("SELECT description FROM activity_type ORDER BY code")?;
    let created = created.query_map([], |row| row.get::<_, String>(0))?;
    let mut types = tenant.activity_types.clone();
    for description in created {
        types.push(serde_json::from_str(&description?).map_err(|_| Failure::internal())?);
    }
    Ok(types)
}

/// Creates a type and returns its code.
pub(crate) fn create_type(
    db: &Connection,
    tenant: &Tenant,
    name: &str,
    score: i32,
    fields: Vec<String>,
) -> Result<u32, Failure> {
    let types = types(db, tenant)?;
    if types.iter().any(|known| known.name == name) {
        return Err(Failure::application(
            "MXDuplicateEntityNameException",
            "An activity with the same name already exists.",
        ));
    }
    let highest = types.iter().map(|known| known.code).max().unwrap_or_default();
    let code = FIRST_OWN_CODE.max(highest.saturating_add(1));
    let description = serde_json::to_string(&ActivityType { code, name: name.to_owned(), score, fields });
    let description = description.map_err(|_| Failure::internal())?;
    db.execute("INSERT INTO activity_type (code, description) VALUES (?1, ?2)", params![code, description])?;
    Ok(code)
}

/// An activity to be posted.
pub(crate) struct New {
    pub(crate) code: u32,
    pub(crate) note: String,
    pub(crate) happened_at: OffsetDateTime,
    pub(crate) fields: BTreeMap<String, String>,
}

/// Posts an activity on a lead and returns its id; the same twice makes two.
pub(crate) fn post(writer: &Writer<'_>, lead_id: &str, new: New) -> Result<String, Failure> {
    let db = writer.db;
    let lead = leads::existing(db, lead_id)?;
    let types = types(db, &writer.account.tenant)?;
    let kind = types.iter().find(|kind| kind.code == new.code).ok_or_else(invalid_code)?;
    check_fields(kind, &new.fields)?;
    let activity = Activity {
        id: writer.world.randomness.guid(),
        lead_id: lead.id.clone(),
        code: new.code,
        note: new.note,
        fields: new.fields,
        happened_at: new.happened_at,
        created_at: writer.now,
        created_by: writer.user.id.clone(),
    };
    db.prepare_cached(
        "INSERT INTO activity (id, lead_id, code, note, fields, happened_at, created_at, created_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        activity.id,
        activity.lead_id,
        activity.code,
        activity.note,
        serde_json::to_string(&activity.fields).map_err(|_| Failure::internal())?,
        stamp(activity.happened_at),
        stamp(activity.created_at),
        activity.created_by,
    ])?;
    let score: i64 = lead.field(schema_name::SCORE).and_then(|score| score.parse().ok()).unwrap_or_default();
    for (name, value) in [
        (schema_name::SCORE, (score + i64::from(kind.score)).to_string()),
        ("ProspectActivityId_Max", activity.id.clone()),
        ("ProspectActivityName_Max", kind.name.clone()),
        ("ProspectActivityDate_Max", dates::to_the_second(activity.created_at)),
    ] {
        leads::write_value(db, &lead.id, name, Some(&value))?;
    }
    if kind.score != 0 {
        webhooks::score_changed(writer, &lead, &leads::existing(db, &lead.id)?)?;
    }
    webhooks::activity_written(writer, EventType::ActivityCreate, kind, &activity)?;
    Ok(activity.id)
}

/// Writes fields over those of an activity that exists.
pub(crate) fn update(writer: &Writer<'_>, id: &str, fields: BTreeMap<String, String>) -> Result<(), Failure> {
    let db = writer.db;
    let mut activity = by_id(db, id)?.ok_or_else(unknown)?;
    let types = types(db, &writer.account.tenant)?;
    let kind = types.iter().find(|kind| kind.code == activity.code).ok_or_else(invalid_code)?;
    check_fields(kind, &fields)?;
    activity.fields.extend(fields);
    let written = serde_json::to_string(&activity.fields).map_err(|_| Failure::internal())?;
    db.prepare_cached("UPDATE activity SET fields = ?2 WHERE id = ?1")?.execute([&activity.id, &written])?;
    webhooks::activity_written(writer, EventType::ActivityUpdate, kind, &activity)
}

fn check_fields(kind: &ActivityType, fields: &BTreeMap<String, String>) -> Result<(), Failure> {
    match fields.keys().find(|name| !kind.fields.contains(name)) {
        Some(unknown) => {
            let message = format!("Field name : '{unknown}' is not a field of the activity");
            Err(Failure::application("MXInvalidActivityFieldsException", message))
        }
        None => Ok(()),
    }
}

/// The refusal of an id that no activity has.
pub(crate) fn unknown() -> Failure {
    Failure::application("MXUnknownProspectActivityException", "Activity does not exist in the system")
}

/// The refusal of a code that no type has.
pub(crate) fn invalid_code() -> Failure {
    Failure::application("MXInvalidActivityException", "Event Code is invalid or empty").marked()
}

const COLUMNS: &str = "SELECT id, lead_id, code, note, fields, happened_at, created_at, created_by FROM activity";

/// A lead's activities, newest first.
pub(crate) fn of_lead(db: &Connection, lead_id: &str) -> rusqlite::Result<Vec<Activity>> {
    let mut activities = db.prepare_cached(&format!("{COLUMNS} WHERE lead_id = ?1 ORDER BY number DESC"))?;
    activities.query_map([lead_id.to_ascii_lowercase()], read)?.collect()
}

/// The activity of that id.
pub(crate) fn by_id(db: &Connection, id: &str) -> rusqlite::Result<Option<Activity>> {
    let mut activity = db.prepare_cached(&format!("{COLUMNS} WHERE id = ?1"))?;
    activity.query_row([id.to_ascii_lowercase()], read).optional()
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Activity> {
    Ok(Activity {
        id: row.get(0)?,
        lead_id: row.get(1)?,
        code: row.get(2)?,
        note: row.get(3)?,
        fields: serde_json::from_str(&row.get::<_, String>(4)?).map_err(|_| rusqlite::Error::InvalidQuery)?,
        happened_at: time_of(row.get(5)?),
        created_at: time_of(row.get(6)?),
        created_by: row.get(7)?,
    })
}
