//! Portal users with passwords, session keys, codes and login links. Most of these work once: each operation that needs
//! a user gets one of its own.

use std::time::Duration;

use anyhow::Context;
use leadsquared::portal::Registration;
use leadsquared::{Attributes, Client, Keys, Options};
use leadsquared_emulator::{Emulator, Mail};
use local_stack::steps::Steps;
use serde_json::{Value, json};

use crate::deployment::Deployment;

const PASSWORD: &str = "Otter#Lantern#72";
const NEW_PASSWORD: &str = "Heron#Lantern#73";

/// The number of login links: half of them to visit, half of them to use.
const LINKS: usize = 12;

/// The longest wait for a mail.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The secrets of new portal users, in the form that `hooks.py` reads.
pub(crate) async fn secrets(deployment: &Deployment, steps: &Steps) -> anyhow::Result<Value> {
    let step = steps.begin("Portal users with passwords, keys, codes and links");
    let portal = &portal(deployment.stack.emulator())?;
    let [signs_in, changes, resets, has_phone] = [0, 1, 2, 3].map(person);
    for (email, phone) in (0..4 + LINKS).map(person) {
        let fields = Attributes::new().with("EmailAddress", email).with("Phone", phone);
        portal.register(&Registration { register_only_new_lead: true, password: PASSWORD.into(), fields }).await?;
    }
    let sign_in = deployment.post("/sign-in", &json!({"email": changes.0, "password": PASSWORD})).await?;
    let (lead_id, temporary_password) = reset(deployment, &resets.0).await?;
    let (challenge, code) = code(deployment, &has_phone.1).await?;
    let mut links = Vec::new();
    for number in 0..LINKS {
        links.push(link(deployment, &person(4 + number).0).await?);
    }
    let (visited, used) = links.split_at(LINKS / 2);
    let secrets = json!({
        "bodies": {
            "signIn": [
                {"email": signs_in.0, "password": PASSWORD},
                {"phone": signs_in.1, "password": PASSWORD},
            ],
            "verifyCode": [{"challenge": challenge, "code": code}],
            "changePassword": [{"current_password": PASSWORD, "new_password": NEW_PASSWORD}],
            "resetPassword": [
                {"lead_id": lead_id, "temporary_password": temporary_password, "password": NEW_PASSWORD},
            ],
        },
        "links": {"showLink": visited, "probeLink": visited, "useLink": used},
        "private_key": sign_in["auth_key"],
        "signing_secret": deployment.signing_secret().await?,
    });
    step.done();
    Ok(secrets)
}

/// E-mail address and phone number of the person with this number.
fn person(number: usize) -> (String, String) {
    (format!("person{number}@example.test"), format!("+91-90000{number:05}"))
}

fn portal(emulator: &Emulator) -> anyhow::Result<Client> {
    let (access_key, secret_key) = emulator.keys();
    let options = Options::new(emulator.url(), emulator.portal_api_url(), emulator.portal_id().parse()?);
    Ok(Client::new(options, Keys { access_key: access_key.into(), secret_key: secret_key.into() })?)
}

/// Asks for a reset link; returns its lead id and temporary password.
async fn reset(deployment: &Deployment, email: &str) -> anyhow::Result<(String, String)> {
    deployment.post("/password/forgot", &json!({ "email": email })).await?;
    let mail = mail(deployment, email, "temporaryPassword=").await?;
    let query = mail.text.split_once('?').context("the mail has no link")?.1.split_whitespace().next();
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let value = pairs.find(|(other, _)| other == name).map(|(_, value)| value.into_owned());
        value.with_context(|| format!("the link has no {name}"))
    };
    Ok((value("leadId")?, value("temporaryPassword")?))
}

/// Asks for a one-time code; returns the challenge and the texted code.
async fn code(deployment: &Deployment, phone: &str) -> anyhow::Result<(Value, String)> {
    let challenge = deployment.post("/sign-in/code", &json!({ "phone": phone })).await?["challenge"].take();
    let message = deployment.stack.emulator().text_messages().pop().context("no text message was sent")?;
    Ok((challenge, message.text.chars().take_while(char::is_ascii_digit).collect()))
}

/// Asks for a login link; returns its token.
async fn link(deployment: &Deployment, email: &str) -> anyhow::Result<String> {
    deployment.post("/login-links", &json!({ "email": email })).await?;
    let mail = mail(deployment, email, "/login-links/").await?;
    let link = mail.text.split_once("/login-links/").context("the mail has no link")?.1;
    Ok(link.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Waits for the mail to this address that holds this text.
async fn mail(deployment: &Deployment, email: &str, text: &str) -> anyhow::Result<Mail> {
    let is_it = |mail: &Mail| mail.recipients.iter().any(|address| address == email) && mail.text.contains(text);
    let emulator = deployment.stack.emulator();
    let arrived = emulator.reached(|emulator| emulator.mails().iter().any(is_it));
    let failure = || format!("{email} got no mail with {text} within {LONGEST_WAIT:?}");
    tokio::time::timeout(LONGEST_WAIT, arrived).await.with_context(failure)?;
    emulator.mails().into_iter().find(is_it).with_context(failure)
}
