//! Calls on the CRM: leads and their fields, activities, e-mail, users, webhooks.

mod activities;
mod lead_fields;
mod leads;
mod mail;
mod users;
mod webhooks;

pub use activities::{Activity, ActivityPage, ActivityQuery, ActivityValue, NewActivity, NewActivityType};
pub use lead_fields::LeadField;
pub use leads::{Lead, Notify, SearchBy, UpdateBehavior};
pub use mail::{Content, EmailToLead, Recipient, Sender, SentEmail};
pub use users::User;
pub use webhooks::{InvalidWebhookEvent, NewWebhook, Webhook, WebhookEvent, WebhookState};
