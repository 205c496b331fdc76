//! Portal users, and what each of them holds: a password, a key, a code, a link. Most of it works once, so every operation
//! that needs somebody has somebody to itself.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use leadsquared::portal::Registration;
use leadsquared::{Attributes, Client, Keys, Options};
use leadsquared_emulator::{Emulator, Mail};
use local_stack::steps::Steps;
use serde_json::{Value, json};

use crate::stage::Stage;

const PASSWORD: &str = "Otter#Lantern#72";
const NEW_PASSWORD: &str = "Heron#Lantern#73";

/// How many links there are; half of them to look at, half to use.
const LINKS: usize = 12;

/// How long a mail may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What only the people here have, for `hooks.py`.
pub(crate) async fn secrets(stage: &Stage, steps: &Steps) -> anyhow::Result<Value> {
    let step = steps.begin("Portal users with passwords, keys, codes and links");
    let portal = &portal(stage.stack.emulator())?;
    let [signs_in, changes, resets, has_phone] = [0, 1, 2, 3].map(person);
    for (email, phone) in (0..4 + LINKS).map(person) {
        let fields = Attributes::new().with("EmailAddress", email).with("Phone", phone);
        portal.register(&Registration { register_only_new_lead: true, password: PASSWORD.into(), fields }).await?;
    }
    let sign_in = stage.post("/sign-in", &json!({"email": changes.0, "password": PASSWORD})).await?;
    let (lead_id, temporary_password) = reset(stage, &resets.0).await?;
    let (challenge, code) = code(stage, &has_phone.1).await?;
    let mut links = Vec::new();
    for number in 0..LINKS {
        links.push(link(stage, &person(4 + number).0).await?);
    }
    let (looked_at, pressed) = links.split_at(LINKS / 2);
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
        "links": {"showLink": looked_at, "probeLink": looked_at, "useLink": pressed},
        "private_key": sign_in["auth_key"],
        "signing_secret": stage.signing_secret().await?,
    });
    step.done();
    Ok(secrets)
}

/// An e-mail address and a phone number.
fn person(number: usize) -> (String, String) {
    (format!("person{number}@example.test"), format!("+91-90000{number:05}"))
}

fn portal(emulator: &Emulator) -> anyhow::Result<Client> {
    let (access_key, secret_key) = emulator.keys();
    let options = Options::new(emulator.url(), emulator.portal_api_url(), emulator.portal_id().parse()?);
    Ok(Client::new(options, Keys { access_key: access_key.into(), secret_key: secret_key.into() })?)
}

/// Lead id and temporary password.
async fn reset(stage: &Stage, email: &str) -> anyhow::Result<(String, String)> {
    stage.post("/password/forgot", &json!({ "email": email })).await?;
    let mail = mail(stage, email, "temporaryPassword=").await?;
    let query = mail.text.split_once('?').context("the mail has no link")?.1.split_whitespace().next();
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let value = pairs.find(|(other, _)| other == name).map(|(_, value)| value.into_owned());
        value.with_context(|| format!("the link has no {name}"))
    };
    Ok((value("leadId")?, value("temporaryPassword")?))
}

/// Challenge and code.
async fn code(stage: &Stage, phone: &str) -> anyhow::Result<(Value, String)> {
    let challenge = stage.post("/sign-in/code", &json!({ "phone": phone })).await?["challenge"].take();
    let message = stage.stack.emulator().text_messages().pop().context("there is no text message")?;
    Ok((challenge, message.text.chars().take_while(char::is_ascii_digit).collect()))
}

/// The last part of a login link's address.
async fn link(stage: &Stage, email: &str) -> anyhow::Result<String> {
    stage.post("/login-links", &json!({ "email": email })).await?;
    let mail = mail(stage, email, "/login-links/").await?;
    let link = mail.text.split_once("/login-links/").context("the mail has no link")?.1;
    Ok(link.split_whitespace().next().unwrap_or_default().to_owned())
}

/// The mail to this address that holds this text.
async fn mail(stage: &Stage, email: &str, text: &str) -> anyhow::Result<Mail> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let mut mails = stage.stack.emulator().mails().into_iter();
        let is_it = |mail: &Mail| mail.recipients.iter().any(|address| address == email) && mail.text.contains(text);
        if let Some(mail) = mails.find(is_it) {
            return Ok(mail);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{email} got no mail with {text} within {} s", PATIENCE.as_secs())
}
