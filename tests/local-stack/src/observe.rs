//! Observes in LeadSquared what happens to applicants.

use std::sync::Arc;
use std::time::Duration;

use leadsquared_emulator::Emulator;

use crate::flow::{Event, Flow};

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Records registrations, mails and sign-ins when they appear, until the future is dropped.
pub(crate) async fn watch(emulator: Arc<Emulator>, flow: Flow) -> anyhow::Result<()> {
    let (mut registered, mut mailed, mut opened) = (0, 0, 0);
    loop {
        let users = emulator.portal_users();
        for user in users.get(registered..).unwrap_or_default() {
            flow.record(Event::Registered, user.registered_at);
        }
        registered = users.len();
        let mails = emulator.mails_after(mailed);
        for mail in &mails {
            flow.record(Event::Mailed, mail.sent_at);
        }
        mailed += mails.len();
        let openings = emulator.openings();
        for at in openings.get(opened..).unwrap_or_default() {
            flow.record(Event::Opened, *at);
        }
        opened = openings.len();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
