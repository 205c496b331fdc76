//! Activities: `ProspectActivity.svc`.

use leadsquared::schema_name;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::activities::{self, Activity, New};
use crate::admission::Admitted;
use crate::body::{self, Attribute, Text};
use crate::core_api::lead_management::{capture_lead, success};
use crate::dates;
use crate::failure::Failure;
use crate::tenant::ActivityType;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Post {
    related_prospect_id: Text,
    email_address: Text,
    first_name: Text,
    last_name: Text,
    phone: Text,
    activity_event: Text,
    activity_note: Text,
    activity_date_time: Text,
    fields: Vec<FieldValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FieldValue {
    schema_name: String,
    #[serde(default)]
    value: Text,
}

impl Post {
    fn activity(&self, call: &Admitted) -> Result<New, Failure> {
        let event = self.activity_event.as_deref();
        let event = event
            .ok_or_else(|| Failure::application("MXInvalidDataTypeException", "You have not passed ActivityEvent."))?;
        let happened_at = match self.activity_date_time.as_deref() {
            None => call.now,
            Some(text) => dates::parse(text)
                .ok_or_else(|| Failure::invalid_input("Invalid Input! Parameter Name: ActivityDateTime"))?,
        };
        let fields =
            self.fields.iter().map(|field| (field.schema_name.clone(), field.value.0.clone().unwrap_or_default()));
        Ok(New {
            code: event.parse().map_err(|_| activities::invalid_code())?,
            note: self.activity_note.0.clone().unwrap_or_default(),
            happened_at,
            fields: fields.collect(),
        })
    }
}

/// <https://apidocs.leadsquared.com/post-an-activity-to-lead/>
pub(crate) fn create(call: &Admitted) -> Result<Value, Failure> {
    let asked: Post = body::read(&call.body)?;
    let activity = asked.activity(call)?;
    let id = call.account.store.transaction(|db| {
        let lead_id = match (&asked.related_prospect_id.0, &asked.email_address.0) {
            (Some(lead_id), _) => lead_id.clone(),
            (None, Some(_)) => {
                let named = [
                    (schema_name::EMAIL_ADDRESS, &asked.email_address),
                    (schema_name::FIRST_NAME, &asked.first_name),
                    (schema_name::LAST_NAME, &asked.last_name),
                    (schema_name::PHONE, &asked.phone),
                ];
                let sent = named.into_iter().filter(|(_, value)| value.0.is_some());
                let sent = sent.map(|(name, value)| Attribute { name: name.to_owned(), value: value.clone() });
                capture_lead(call, db, sent.collect())?
            }
            (None, None) => return Err(Failure::missing("RelatedProspectId or EmailAddress is mandatory.")),
        };
        activities::post(&call.writer(db, true), &lead_id, activity)
    })?;
    Ok(success(json!({ "Id": id })))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PostWithLead {
    lead_details: Vec<Attribute>,
    activity: Post,
}

/// <https://apidocs.leadsquared.com/create-lead-and-activity/>
pub(crate) fn create_custom(call: &Admitted) -> Result<Value, Failure> {
    let asked: PostWithLead = body::read(&call.body)?;
    let activity = asked.activity.activity(call)?;
    let (id, lead_id) = call.account.store.transaction(|db| {
        let lead_id = capture_lead(call, db, asked.lead_details)?;
        Ok((activities::post(&call.writer(db, true), &lead_id, activity)?, lead_id))
    })?;
    Ok(success(json!({ "Id": id, "RelatedId": lead_id })))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Retrieve {
    parameter: Parameter,
    paging: Paging,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Parameter {
    activity_event: Text,
}

/// Numbers that come as text.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Paging {
    offset: Text,
    row_count: Text,
}

const DEFAULT_ROWS: usize = 25;
const MAX_ROWS: usize = 1000;

/// <https://apidocs.leadsquared.com/get-activities-of-a-lead/>; `Offset` counts pages.
pub(crate) fn retrieve(call: &Admitted) -> Result<Value, Failure> {
    let invalid = || Failure::invalid_input("Invalid Input! Parameter Name: activity");
    let asked: Retrieve = if call.body.is_empty() { Retrieve::default() } else { body::read(&call.body)? };
    let number = |text: &Text, default| text.as_deref().map_or(Ok(default), |text| text.parse().map_err(|_| invalid()));
    let (page, rows) = (number(&asked.paging.offset, 0)?, number(&asked.paging.row_count, DEFAULT_ROWS)?);
    if rows == 0 || rows > MAX_ROWS {
        return Err(invalid());
    }
    let db = call.account.store.connection();
    let types = activities::types(&db, &call.account.tenant)?;
    let event = asked.parameter.activity_event.as_deref();
    let mut activities = activities::of_lead(&db, call.query.get("leadid").unwrap_or_default())?;
    activities.retain(|activity| event.is_none_or(|event| activity.code.to_string() == event));
    let listed = activities.iter().skip(page.saturating_mul(rows)).take(rows).map(|activity| row(activity, &types));
    Ok(json!({ "RecordCount": activities.len(), "ProspectActivities": listed.collect::<Value>() }))
}

fn row(activity: &Activity, types: &[ActivityType]) -> Value {
    let kind = types.iter().find(|kind| kind.code == activity.code);
    let mut data = vec![json!({ "Key": "NotableEventDescription", "Value": activity.note })];
    data.extend(activity.fields.iter().map(|(name, value)| json!({ "Key": name, "Value": value })));
    let mut fields = json!(activity.fields);
    fields["ActivityEvent_Note"] = json!(activity.note);
    fields["CreatedOn"] = json!(dates::of_an_inner_field(activity.happened_at));
    json!({
        "Id": activity.id,
        "EventCode": activity.code,
        "EventName": kind.map(|kind| kind.name.as_str()),
        "ActivityScore": kind.map_or(0, |kind| kind.score),
        "CreatedOn": dates::to_the_second(activity.happened_at),
        "ModifiedOn": dates::to_the_second(activity.created_at),
        "ActivityType": 2, "IsEmailType": false, "Type": "Custom",
        "SessionId": "", "TrackLocation": "0", "Latitude": "",
        "RelatedProspectId": activity.lead_id,
        "Data": data,
        "ActivityFields": fields,
    })
}

/// <https://apidocs.leadsquared.com/get-activity-details/>
pub(crate) fn details(call: &Admitted) -> Result<Value, Failure> {
    let db = call.account.store.connection();
    let activity = activities::by_id(&db, call.query.get("activityid").unwrap_or_default())?;
    let activity = activity.ok_or_else(activities::unknown)?;
    let types = activities::types(&db, &call.account.tenant)?;
    let name = types.iter().find(|kind| kind.code == activity.code).map(|kind| kind.name.as_str());
    let field = |(name, value): (&String, &String)| json!({ "SchemaName": name, "DisplayName": name, "Value": value });
    Ok(json!({
        "ID": activity.id, "Name": name, "DisplayName": name,
        "Fields": activity.fields.iter().map(field).collect::<Value>(),
    }))
}

/// <https://github.com/LeadSquared/php-library>
pub(crate) fn types(call: &Admitted) -> Result<Value, Failure> {
    let types = activities::types(&call.account.store.connection(), &call.account.tenant)?;
    let listed = types.iter().map(
        |kind| json!({ "ActivityEvent": kind.code.to_string(), "ActivityEventName": kind.name, "Score": kind.score }),
    );
    Ok(listed.collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateType {
    #[serde(default)]
    activity_event_name: Text,
    #[serde(default)]
    score: i32,
    #[serde(default)]
    fields: Vec<FieldName>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FieldName {
    schema_name: String,
}

/// <https://apidocs.leadsquared.com/create-new-activity-type-api/>
pub(crate) fn create_type(call: &Admitted) -> Result<Value, Failure> {
    let asked: CreateType = body::read(&call.body)?;
    let name = asked.activity_event_name.as_deref();
    let name = name.ok_or_else(|| Failure::missing("ActivityEventName is mandatory."))?;
    let fields = asked.fields.into_iter().map(|field| field.schema_name).collect();
    let tenant = &call.account.tenant;
    let code = call.account.store.transaction(|db| activities::create_type(db, tenant, name, asked.score, fields))?;
    Ok(success(json!({ "Id": code.to_string() })))
}
