//! The client against a server that answers as recorded, and against one that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod connections;
mod contract;
mod corpus;
mod doctor;
mod floors;
mod policy;
mod secrecy;
mod webhook_setup;

use leadsquared::{Client, Error, Keys, Options};
use leadsquared_fake::Fake;

const ACCESS_KEY: &str = "u$r0123456789abcdef0123456789abcdef";
const SECRET_KEY: &str = "s3cret+/=0123456789abcdef0123456789abcdef";
const LEAD: &str = "11111111-1111-4111-8111-111111111111";
const PORTAL: &str = "22222222-2222-4222-8222-222222222222";

fn options(fake: &Fake) -> Options {
    Options::new(fake.url.clone(), fake.url.clone(), PORTAL.parse().unwrap())
}

fn client(fake: &Fake) -> Client {
    client_with(options(fake))
}

fn client_with(options: Options) -> Client {
    Client::new(options, keys()).unwrap()
}

fn keys() -> Keys {
    Keys { access_key: ACCESS_KEY.into(), secret_key: SECRET_KEY.into() }
}

/// The texts that must never be printed. The samples in `contract/` contain all of them.
const PRIVATE: [&str; 9] = [
    "0123456789abcdef",
    "accessKey",
    "asha@example.test",
    "9000000001",
    "Example@Pass1",
    "+key/",
    "lead-key",
    "registration-token",
    "tenant-key",
];

/// Checks that neither an error nor its sources print a private text.
fn assert_hides_secrets(error: &Error) {
    let mut text = format!("{error:?} {error:#?}");
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        text.push_str(&error.to_string());
        cause = error.source();
    }
    for private in PRIVATE {
        assert!(!text.contains(private), "{text}");
    }
}
