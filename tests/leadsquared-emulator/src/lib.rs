//! A LeadSquared account on one machine: the portal and core API calls that an onboarding system makes, the hosted
//! portal page that opens login links, and the mails.
//!
//! It is written from LeadSquared's public documentation (<https://apidocs.leadsquared.com/>) and independent of any
//! client. Points that the documentation leaves open are [`Switches`] and [`Texts`]. Everything runs on loopback.
//!
//! ```no_run
//! # async fn example() -> Result<(), leadsquared_emulator::StartError> {
//! use leadsquared_emulator::{Call, Effect, Emulator, Fault, Settings};
//!
//! let emulator = Emulator::start(Settings::for_tests()).await?;
//! emulator.faults().add(Fault::on(Call::Register, Effect::Cut).after_work().times(1));
//! // … let the system under test call `emulator.url()` …
//! assert_eq!(emulator.portal_users().len(), 1);
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod activities;
mod admin;
mod admission;
mod body;
mod call;
mod clock;
mod core_api;
mod dates;
mod deliveries;
mod emulator;
mod failure;
mod faults;
mod hosted_page;
mod leads;
mod limit;
mod mails;
mod passwords;
mod portal_api;
mod portal_users;
mod randomness;
mod server;
mod settings;
mod store;
mod tenant;
mod webhooks;
mod world;

pub use activities::Activity;
pub use call::Call;
pub use clock::Clock;
pub use deliveries::{Delivery, DeliveryState};
pub use emulator::{Emulator, StartError};
pub use faults::{Effect, Fault, Faults};
pub use leads::Lead;
pub use limit::{Limit, LimitRefusal};
pub use mails::{Mail, TextMessage};
pub use portal_users::PortalUser;
pub use settings::{Lifetimes, PasswordHashing, PasswordPolicy, PhoneLookup, Settings, Switches, Texts, WebhookRules};
pub use store::StoreError;
pub use tenant::{ActivityType, DataType, EmailTemplate, Field, Portal, Role, Tenant, User};
pub use webhooks::{Webhook, WebhookStatus};
pub use world::RecordedCall;
