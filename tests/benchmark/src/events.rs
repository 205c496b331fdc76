//! Events for the functions under test: each is of a person, a network and a message that have not been seen before.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::artifacts::workspace;
use crate::subjects::Input;

/// The form that takes the most work: the settings of its fields.
pub(crate) const WORST_FORM_FIELDS: &str = r#"[
    {"name":"email","attribute":"EmailAddress","kind":"email","required":true},
    {"name":"first_name","attribute":"FirstName","kind":"text","required":true,"limit":100},
    {"name":"last_name","attribute":"LastName","kind":"text","limit":100},
    {"name":"phone","attribute":"Phone","kind":"phone","required":true},
    {"name":"mobile","attribute":"Mobile","kind":"phone"},
    {"name":"guardian_phone","attribute":"mx_Guardian_Phone","kind":"phone"},
    {"name":"born","attribute":"mx_Date_of_Birth","kind":"date"},
    {"name":"programme","attribute":"mx_Programme","kind":"choice","options":["BA LLB","BBA LLB","LLM"]},
    {"name":"city","attribute":"mx_City","kind":"text","limit":100},
    {"name":"street","attribute":"mx_Street","kind":"text"},
    {"name":"statement","attribute":"mx_Statement","kind":"multiline","limit":4000},
    {"name":"terms","attribute":"mx_Terms","kind":"consent","required":true},
    {"name":"utm_source","attribute":"Source","kind":"text"},
    {"name":"utm_campaign","attribute":"SourceCampaign","kind":"text"},
    {"name":"referrer","attribute":"SourceReferrer","kind":"text"},
    {"name":"leave_empty","kind":"honeypot"}]"#;

/// A paragraph of an applicant's statement; the form has ten of them.
const PARAGRAPH: &str = "मैं कानून पढ़ना चाहती हूँ। I grew up in Thiruvananthapuram, where my mother's café — “Lakṣmī’s” — \
    has been the place for debates about land, water and rent for twenty years.\r\n";

/// Makes events, one after another.
pub(crate) struct Events {
    form: Value,
    record: Value,
    message: Value,
    last: u32,
}

impl Events {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let read = |path: &str| -> anyhow::Result<Value> {
            Ok(serde_json::from_slice(&std::fs::read(workspace().join("events").join(path))?)?)
        };
        let batch = read("invitation/one.json")?;
        let message = read("queue/v3-form-public.json")?;
        Ok(Self {
            form: read("application-form/http-api-urlencoded.json")?,
            record: batch["Records"][0].clone(),
            message: serde_json::from_str(message["Body"].as_str().unwrap_or_default())?,
            last: 0,
        })
    }

    /// An event of this kind.
    pub(crate) fn of(&mut self, input: Input) -> Vec<u8> {
        match input {
            Input::Form => self.form(),
            Input::WorstForm => self.worst_form(),
            Input::Batch(messages) => self.batch(messages),
        }
    }

    /// A plain form of a browser, with a phone number.
    fn form(&mut self) -> Vec<u8> {
        self.last += 1;
        let n = self.last;
        let fields = [
            ("email", format!("asha.rao{n}@example.com")),
            ("first_name", "Asha".to_owned()),
            ("last_name", "Rao".to_owned()),
            ("phone", format!("+91 90000 {:05}", n % 100_000)),
            ("city", "Bengaluru".to_owned()),
            ("leave_empty", String::new()),
        ];
        self.posted(&fields)
    }

    /// A form with every kind of field that the peers know too, three phone numbers, and 2,000 characters of text.
    fn worst_form(&mut self) -> Vec<u8> {
        self.last += 1;
        let n = self.last;
        let fields = [
            ("email", format!("Lakshmi.Narayanan{n}@Example.COM")),
            ("first_name", "Lakṣmī Priyadarśinī".to_owned()),
            ("last_name", "Nārāyaṇan-D’Souza".to_owned()),
            ("phone", format!("+91 90000 {:05}", n % 100_000)),
            ("mobile", format!("+91 (90001) {:05}", n % 100_000)),
            ("guardian_phone", "+44 20 7946 0958".to_owned()),
            ("born", "2007-06-30".to_owned()),
            ("programme", "BA LLB".to_owned()),
            ("city", "Thiruvananthapuram".to_owned()),
            ("street", "TC 25/1234, ‘Sōpānam’, M.G. Road, near Putharikandam Maidanam".to_owned()),
            ("statement", PARAGRAPH.repeat(10)),
            ("terms", "on".to_owned()),
            ("utm_source", "google".to_owned()),
            ("utm_campaign", "law-2027|broad|kerala".to_owned()),
            ("referrer", "https://www.example.com/law/apply?step=3&from=brochure".to_owned()),
            ("leave_empty", String::new()),
        ];
        self.posted(&fields)
    }

    fn posted(&self, fields: &[(&str, String)]) -> Vec<u8> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let [_, one, two, three] = self.last.to_be_bytes();
        let address = format!("10.{one}.{two}.{three}");
        let mut event = self.form.clone();
        event["headers"]["content-length"] = body.len().to_string().into();
        event["headers"]["x-forwarded-for"] = address.clone().into();
        event["requestContext"]["http"]["sourceIp"] = address.into();
        event["body"] = STANDARD.encode(body).into();
        event.to_string().into_bytes()
    }

    /// A batch of invitations, each of another person.
    fn batch(&mut self, messages: usize) -> Vec<u8> {
        let now = SystemTime::now();
        let milliseconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
        let received_at = OffsetDateTime::from(now).format(&Rfc3339).unwrap_or_default();
        let records: Vec<Value> = (0..messages).map(|_| self.record(&received_at, &milliseconds)).collect();
        json!({ "Records": records }).to_string().into_bytes()
    }

    fn record(&mut self, received_at: &str, milliseconds: &str) -> Value {
        self.last += 1;
        let n = self.last;
        let mut message = self.message.clone();
        message["id"] = format!("3c5df707-4479-86c5-bae2-{n:012x}").into();
        message["received_at"] = received_at.into();
        message["email"] = format!("asha.rao{n}@example.com").into();
        let mut record = self.record.clone();
        record["messageId"] = format!("00000001-1c2d-4e3f-8a4b-{n:012x}").into();
        record["attributes"]["SentTimestamp"] = milliseconds.into();
        record["attributes"]["ApproximateFirstReceiveTimestamp"] = milliseconds.into();
        record["attributes"]["MessageGroupId"] = format!("{n:064x}").into();
        record["attributes"]["MessageDeduplicationId"] = message["id"].clone();
        record["body"] = message.to_string().into();
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_events_are_of_one_person_message_or_network() {
        let mut events = Events::new().unwrap();
        let mut forms = [events.form(), events.form()].map(|form| serde_json::from_slice::<Value>(&form).unwrap());
        let [first, second] = &mut forms;
        assert_ne!(first["body"], second["body"]);
        assert_ne!(first["requestContext"]["http"]["sourceIp"], second["requestContext"]["http"]["sourceIp"]);

        let batch: Value = serde_json::from_slice(&events.batch(2)).unwrap();
        let [first, second] = [0, 1].map(|n| &batch["Records"][n]);
        for name in ["messageId", "body"] {
            assert_ne!(first[name], second[name]);
        }
        assert_ne!(first["attributes"]["MessageGroupId"], second["attributes"]["MessageGroupId"]);
    }
}
