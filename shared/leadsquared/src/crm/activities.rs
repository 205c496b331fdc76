//! Activities: what happened to a lead.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use time::UtcDateTime;

use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::{ActivityId, Attributes, LeadId, date_time};
use crate::wire::{Endpoint, Success, lenient};

/// An activity to post (<https://apidocs.leadsquared.com/post-an-activity-to-lead/>). `Debug` hides note and values.
#[derive(Clone, PartialEq, Eq)]
pub struct NewActivity {
    /// The code of its type; an account's own types start around 200.
    pub event: u32,
    /// Free text.
    pub note: String,
    /// When it happened. Default: now.
    pub at: Option<UtcDateTime>,
    /// Its fields by schema name, such as `mx_Custom_1`.
    pub fields: Vec<(String, String)>,
}

impl fmt::Debug for NewActivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewActivity").field("event", &self.event).field("at", &self.at).finish_non_exhaustive()
    }
}

/// An activity as LeadSquared stores it. `Debug` hides its data.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Activity {
    /// Its id.
    pub id: ActivityId,
    /// The code of its type.
    #[serde(deserialize_with = "code")]
    pub event_code: u32,
    /// The name of its type.
    #[serde(default, deserialize_with = "lenient::text")]
    pub event_name: String,
    /// When it happened.
    #[serde(deserialize_with = "at")]
    pub created_on: UtcDateTime,
    /// What it says.
    #[serde(default, deserialize_with = "lenient::list")]
    pub data: Vec<ActivityValue>,
}

/// One entry of an activity's data.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ActivityValue {
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub key: String,
    /// Its value.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub value: Option<String>,
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity")
            .field("id", &self.id)
            .field("event_code", &self.event_code)
            .field("created_on", &self.created_on)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ActivityValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActivityValue({})", self.key)
    }
}

/// One page of a lead's activities.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ActivityPage {
    /// How many activities match, on all pages.
    pub record_count: u64,
    /// The activities of this page.
    #[serde(rename = "ProspectActivities", deserialize_with = "lenient::list")]
    pub activities: Vec<Activity>,
}

/// Which of a lead's activities to get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActivityQuery {
    /// Only activities of this type. Default: every type.
    pub event: Option<u32>,
    /// The page, from 0; LeadSquared calls it "Offset".
    pub page: u32,
    /// How many on a page, at most 1000. Default: 25.
    pub rows: Option<u32>,
}

/// An activity type to create (<https://apidocs.leadsquared.com/create-new-activity-type-api/>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewActivityType {
    /// Its name. No other type may have it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it adds to a lead's score.
    pub score: i32,
    /// Whether it goes from the company to the lead.
    pub outbound: bool,
    /// Display names of its text fields, which become `mx_Custom_1` and so on.
    pub text_fields: Vec<String>,
}

impl Client {
    /// Post an activity on a lead (<https://apidocs.leadsquared.com/post-an-activity-to-lead/>). A repeat is a second
    /// activity: look first.
    ///
    /// # Errors
    /// [`Error::Refused`] for an unknown type or field.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::LeadId;
    /// use leadsquared::crm::{ActivityQuery, NewActivity};
    ///
    /// # leadsquared_fake::run(async |client| {
    /// let lead: LeadId = "11111111-1111-4111-8111-111111111111".parse()?;
    /// let activity = NewActivity {
    ///     event: 201,
    ///     note: "Paid the application fee".to_owned(),
    ///     at: None,
    ///     fields: vec![("mx_Custom_1".to_owned(), "1500".to_owned())],
    /// };
    /// client.post_activity(&lead, &activity).await?;
    /// let page = client.activities(&lead, &ActivityQuery::default()).await?;
    /// println!("{} activities", page.record_count);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn post_activity(&self, lead: &LeadId, activity: &NewActivity) -> Result<ActivityId, Error> {
        let body = PostBody { related_prospect_id: Some(*lead), ..PostBody::of(activity) };
        self.activity_posted(Call::new(Endpoint::PostActivity).body(&body)).await
    }

    /// Create or update a lead and post an activity on it
    /// (<https://apidocs.leadsquared.com/create-lead-and-activity/>).
    ///
    /// # Errors
    /// As for [`post_activity`](Self::post_activity) and [`capture_lead`](Self::capture_lead).
    pub async fn post_lead_and_activity(&self, lead: &Attributes, activity: &NewActivity) -> Result<ActivityId, Error> {
        let body = LeadAndActivity { lead_details: lead, activity: PostBody::of(activity) };
        self.activity_posted(Call::new(Endpoint::PostLeadAndActivity).fields(lead).body(&body)).await
    }

    /// Get the activities of a lead, a page at a time (<https://apidocs.leadsquared.com/get-activities-of-a-lead/>).
    ///
    /// # Errors
    /// As for every call.
    pub async fn activities(&self, lead: &LeadId, query: &ActivityQuery) -> Result<ActivityPage, Error> {
        let body = RetrieveBody {
            parameter: query.event.map(|activity_event| RetrieveParameter { activity_event }),
            paging: RetrievePaging { offset: query.page.to_string(), row_count: query.rows.unwrap_or(25).to_string() },
        };
        self.call(Call::new(Endpoint::Activities).query("leadId", lead).body(&body)).await
    }

    /// Create an activity type; returns its code (<https://apidocs.leadsquared.com/create-new-activity-type-api/>).
    ///
    /// # Errors
    /// As for every call.
    pub async fn create_activity_type(&self, new: &NewActivityType) -> Result<u32, Error> {
        let fields = (1..).zip(&new.text_fields).map(|(number, display_name)| TypeField {
            schema_name: format!("mx_Custom_{number}"),
            display_name,
            data_type: "String",
            is_mandatory: false,
            show_in_form: true,
            sequence: number,
        });
        let body = TypeBody {
            activity_event_name: &new.name,
            score: new.score,
            description: &new.description,
            direction: u8::from(new.outbound),
            fields: fields.collect(),
        };
        let created: Success<CreatedType> = self.call(Call::new(Endpoint::CreateActivityType).body(&body)).await?;
        Ok(created.message.id)
    }

    /// The activity types of the account by code. The call is on no page but in LeadSquared's PHP library
    /// (<https://github.com/LeadSquared/php-library>). The names in its answer are inferred.
    ///
    /// # Errors
    /// As for every call.
    pub async fn activity_types(&self) -> Result<BTreeMap<u32, String>, Error> {
        let types: Vec<ActivityType> = self.call(Call::new(Endpoint::ActivityTypes)).await?;
        Ok(types.into_iter().map(|found| (found.activity_event, found.activity_event_name)).collect())
    }

    async fn activity_posted(&self, call: Call<'_>) -> Result<ActivityId, Error> {
        let posted: Success<Posted> = self.call(call).await?;
        Ok(posted.message.id)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PostBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    related_prospect_id: Option<LeadId>,
    activity_event: u32,
    activity_note: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity_date_time: Option<String>,
    fields: Vec<FieldBody<'a>>,
}

/// Unlike a lead's, an activity's fields are named by `SchemaName`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FieldBody<'a> {
    schema_name: &'a str,
    value: &'a str,
}

impl<'a> PostBody<'a> {
    fn of(activity: &'a NewActivity) -> Self {
        Self {
            related_prospect_id: None,
            activity_event: activity.event,
            activity_note: &activity.note,
            activity_date_time: activity.at.map(date_time::write),
            fields: activity.fields.iter().map(|(schema_name, value)| FieldBody { schema_name, value }).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LeadAndActivity<'a> {
    lead_details: &'a Attributes,
    activity: PostBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RetrieveBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<RetrieveParameter>,
    paging: RetrievePaging,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RetrieveParameter {
    activity_event: u32,
}

/// Numbers as text, as in the samples.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RetrievePaging {
    offset: String,
    row_count: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TypeBody<'a> {
    activity_event_name: &'a str,
    score: i32,
    description: &'a str,
    direction: u8,
    fields: Vec<TypeField<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TypeField<'a> {
    schema_name: String,
    display_name: &'a str,
    data_type: &'static str,
    is_mandatory: bool,
    show_in_form: bool,
    sequence: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Posted {
    id: ActivityId,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreatedType {
    #[serde(deserialize_with = "code")]
    id: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ActivityType {
    #[serde(deserialize_with = "code")]
    activity_event: u32,
    #[serde(default, deserialize_with = "lenient::text")]
    activity_event_name: String,
}

/// LeadSquared writes the code of a type as a number in some answers and as a text in others.
fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let code = match Value::deserialize(deserializer)? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64().and_then(|number| number.try_into().ok()),
        _ => None,
    };
    code.ok_or_else(|| serde::de::Error::custom("not an activity code"))
}

fn at<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UtcDateTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    date_time::read(&text).ok_or_else(|| serde::de::Error::custom("not a date-time"))
}
