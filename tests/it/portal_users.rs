//! Portal users of the emulated LeadSquared account, and the codes that they are sent.

use leadsquared::portal::Registration;
use leadsquared::{Attributes, Client, Keys, LeadId, Options, Password};
use leadsquared_emulator::Emulator;

/// A LeadSquared client with an administrator's keys.
pub(crate) fn client(emulator: &Emulator) -> Client {
    let options = Options::new(emulator.url(), emulator.portal_api_url(), emulator.portal_id().parse().unwrap());
    let (access_key, secret_key) = emulator.keys();
    Client::new(options, Keys { access_key: access_key.into(), secret_key: secret_key.into() }).unwrap()
}

/// Registers a new lead with these fields as a portal user; returns its id.
pub(crate) async fn register_with(emulator: &Emulator, fields: Attributes, password: &str) -> LeadId {
    let registration = Registration { register_only_new_lead: true, password: Password::from(password), fields };
    client(emulator).register(&registration).await.unwrap()
}

/// Registers a new lead with this address and phone number as a portal user; returns its id.
pub(crate) async fn register(emulator: &Emulator, email: &str, phone: &str, password: &str) -> String {
    let fields = Attributes::new().with("EmailAddress", email).with("Phone", phone);
    register_with(emulator, fields, password).await.to_string()
}

/// The code in a text message: the digits that it starts with.
pub(crate) fn texted_code(text: &str) -> String {
    text.chars().take_while(char::is_ascii_digit).collect()
}

/// The code in a mail: the line of the form `ABCDE-12345`.
pub(crate) fn mailed_code(text: &str) -> String {
    let code = text.lines().find(|line| line.len() == 11 && line.as_bytes()[5] == b'-');
    code.unwrap_or_else(|| panic!("no code in the mail: {text}")).to_owned()
}
