//! Black-box tests of the built functions, of the template they are deployed with, and of the whole in a browser.

#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, in its helpers as well")]

mod account;
mod alarms;
mod allowance;
mod application_form;
mod browser;
mod burst;
mod bus_event;
mod crm_event;
mod doorway;
mod fixtures;
mod held;
mod horizons;
mod intake;
mod invitation;
mod key_check;
mod leadsquared;
mod ledger;
mod login_link;
mod openapi;
mod operator;
mod passwords;
mod portal_account;
mod proof;
mod retries;
mod runtime_api;
mod sales_team;
mod stage;
mod system;
mod template;
mod throttle;
mod tidy;
mod workspace;
