//! Applications that are held: kept for an operator to decide about, without a mail and without a call to LeadSquared.

use aws_sdk_dynamodb::types::CancellationReason;
use onboarding::Invitation;
use time::{Duration, OffsetDateTime};

use crate::item::{Condition, EXPIRES_AT, Item, Reader, held_key, seconds, text};
use crate::owner::{OWNER, Owner};
use crate::places::ApplicationMarker;
use crate::{FAILED, Ledger, LedgerError};

/// How long a held application waits for an operator.
pub const HELD_FOR: Duration = Duration::days(14);

/// An application to be held.
pub struct Hold<'a> {
    /// What it asks for. A password in it is sealed.
    pub invitation: &'a Invitation,
    /// Why: the cap that it went over, or `honeypot`.
    pub cause: &'a str,
    /// A hash of the network it came from, in hexadecimal, if it came from one.
    pub network: Option<&'a str>,
    /// The name of this very application.
    pub mark: &'a ApplicationMarker,
}

/// The result of holding an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldOutcome {
    /// It is held.
    Held,
    /// It was held before, and its item stays as it is.
    AlreadyHeld,
    /// The very same application went to the queue before: it is not held.
    WasAccepted,
    /// Another application with the same id is held or went to the queue. This one is not held.
    OtherPayload,
}

impl Ledger {
    /// Holds an application for [`HELD_FOR`], once.
    ///
    /// # Errors
    /// When DynamoDB refuses the request or its result is unknown. It may be held then; a repeat holds it once.
    pub async fn hold(&self, hold: &Hold<'_>, now: OffsetDateTime) -> Result<HoldOutcome, LedgerError> {
        let Hold { invitation, cause, network, mark } = *hold;
        let (pk, expires_at) = (held_key(invitation.id), now + HELD_FOR);
        let mut item = Item::from([
            ("pk".to_owned(), text(&pk)),
            ("person".to_owned(), text(invitation.person().as_str())),
            ("message".to_owned(), text(&invitation.encode())),
            ("cause".to_owned(), text(cause)),
            ("source".to_owned(), text(invitation.source.name())),
            ("held_at".to_owned(), seconds(now)),
            (OWNER.to_owned(), Owner::of(invitation).value()),
            (EXPIRES_AT.to_owned(), seconds(expires_at)),
        ]);
        item.extend(network.map(|network| ("network".to_owned(), text(network))));
        let put = self.put_if(item, Condition::absent_or_expired(now));
        let reasons = match self.transact(vec![put, self.mark(mark, true, now, expires_at)]).await {
            Ok(Ok(())) => return Ok(HoldOutcome::Held),
            Ok(Err(reasons)) => reasons,
            // Many copies at once collide with each other each time; one of them may have been held meanwhile.
            Err(LedgerError::Contended) => return self.held_meanwhile(&pk, invitation, now).await,
            Err(error) => return Err(error),
        };
        let failed = |n: usize| reasons.get(n).filter(|reason: &&CancellationReason| reason.code() == Some(FAILED));
        if failed(1).is_some_and(|marked| mark.is_other(marked)) {
            return Ok(HoldOutcome::OtherPayload);
        }
        let Some(before) = failed(0) else { return Ok(HoldOutcome::WasAccepted) };
        Ok(held_before(before.item(), invitation))
    }

    /// The result of holding an application whose writes collided each time.
    async fn held_meanwhile(
        &self,
        pk: &str,
        invitation: &Invitation,
        now: OffsetDateTime,
    ) -> Result<HoldOutcome, LedgerError> {
        let Some(item) = self.read(pk).await? else { return Err(LedgerError::Contended) };
        match (Reader { pk: pk.to_owned(), item: &item }).time(EXPIRES_AT)? > now {
            true => Ok(held_before(Some(&item), invitation)),
            false => Err(LedgerError::Contended),
        }
    }
}

/// The result of holding an application whose id already has an item.
fn held_before(item: Option<&Item>, invitation: &Invitation) -> HoldOutcome {
    let is_same = item
        .and_then(|item| item.get("message")?.as_s().ok())
        .and_then(|message| Invitation::decode(message).ok())
        .is_none_or(|before| before.payload_hash() == invitation.payload_hash());
    if is_same { HoldOutcome::AlreadyHeld } else { HoldOutcome::OtherPayload }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
    use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_types::body::SdkBody;
    use onboarding::{Action, InvitationId, Invitee, Source};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 12:00:00 UTC);

    /// A DynamoDB on which every transaction collides with another one. A read answers with this JSON.
    #[derive(Clone, Debug)]
    struct Colliding(String);

    impl HttpConnector for Colliding {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            const COLLIDED: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "CancellationReasons":[{"Code":"TransactionConflict"},{"Code":"None"}]}"#;
            let (status, body) = match request.headers().get("x-amz-target") {
                Some("DynamoDB_20120810.TransactWriteItems") => (400, COLLIDED),
                Some("DynamoDB_20120810.GetItem") => (200, &*self.0),
                other => panic!("{other:?} was not expected"),
            };
            let status = status.try_into().expect("it is a status");
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
        }
    }

    fn application() -> Invitation {
        let invitee = Invitee::Email("asha.rao@example.com".parse().unwrap());
        Invitation::new(InvitationId::of([&b"1"[..]]), Source::Form, NOW, invitee, Action::Invite)
    }

    /// Holds an application while this one is held under the same id.
    async fn hold_beside(held: Option<(&Invitation, OffsetDateTime)>) -> Result<HoldOutcome, LedgerError> {
        let answer = held.map_or_else(
            || "{}".to_owned(),
            |(held, expires_at)| {
                let message = held.encode().replace('\\', "\\\\").replace('"', "\\\"");
                let expires_at = expires_at.unix_timestamp();
                format!(r#"{{"Item":{{"message":{{"S":"{message}"}},"expires_at":{{"N":"{expires_at}"}}}}}}"#)
            },
        );
        let colliding = SharedHttpConnector::new(Colliding(answer));
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "a test"))
            .http_client(http_client_fn(move |_, _| colliding.clone()));
        let ledger = Ledger::new(Client::from_conf(config.build()), "ledger".to_owned());
        let invitation = &application();
        let owner = Owner::of(invitation);
        let mark = &ApplicationMarker { hash: "a".repeat(64), payload: invitation.payload_hash(), owner };
        ledger.hold(&Hold { invitation, cause: "network", network: None, mark }, NOW).await
    }

    #[tokio::test]
    async fn a_copy_that_collides_each_time_is_the_one_that_another_copy_stored() {
        let same = application();
        let other = Invitation { invitee: Invitee::Email("ravi@example.com".parse().unwrap()), ..same.clone() };
        let later = NOW + HELD_FOR;
        assert!(matches!(hold_beside(Some((&same, later))).await, Ok(HoldOutcome::AlreadyHeld)));
        assert!(matches!(hold_beside(Some((&other, later))).await, Ok(HoldOutcome::OtherPayload)));
    }

    #[tokio::test]
    async fn an_application_that_collides_each_time_and_is_not_stored_is_contended() {
        let same = application();
        assert!(matches!(hold_beside(None).await, Err(LedgerError::Contended)));
        assert!(matches!(hold_beside(Some((&same, NOW))).await, Err(LedgerError::Contended)));
    }
}
