//! Black-box tests of the built functions, of the template that deploys them, and of the whole system in a browser.

#![expect(clippy::unwrap_used, reason = "an unexpected value fails the test, in its helpers as well")]

mod account;
mod alarms;
mod allowance;
mod application_form;
mod aws;
mod aws_endpoint;
mod browser;
mod burst;
mod bus_event;
mod crm_event;
mod form;
mod functions;
mod held;
mod horizons;
mod http;
mod intake;
mod invitation;
mod key_check;
mod language;
mod leadsquared;
mod ledger;
mod login_link;
mod openapi;
mod operator;
mod operator_stack;
mod passwords;
mod portal_account;
mod portal_users;
mod processes;
mod proof;
mod readme;
mod retries;
mod sales_team;
mod samples;
mod sandbox;
mod senders;
mod system;
mod tcp_proxy;
mod template;
mod throttle;
mod tidy;
mod waiting;
mod workspace;
