//! Changing, forgetting and resetting the password.

use futures::future::join;
use http::header::AUTHORIZATION;
use leadsquared::portal::{Identifier, PasswordReset, ResetRecipient};
use leadsquared::{Error, LeadId, Password, SessionKey, TemporaryPassword, schema_name};
use ledger::Owner;
use mail::PasswordNotice;
use web::FieldError;

use crate::answers::{Done, RequestRefusal};
use crate::body::both;
use crate::cost::Step;
use crate::identity::{owner, person};
use crate::limits::{AttemptKind, AttemptPlaces};
use crate::service::{AccountRequest, PortalAccount};
use crate::upstream::CallFailure;
use crate::{Config, cookie};

impl PortalAccount {
    /// `POST /password/change`.
    pub(crate) async fn change_password(&self, request: &AccountRequest<'_>) -> Result<Done, RequestRefusal> {
        let session = self.session(request).ok_or(RequestRefusal::NotSignedIn)?;
        let current = request.body.password("current_password");
        let (current, new) =
            both(current, self.new_password(request, "new_password")).map_err(RequestRefusal::fields)?;
        if current.expose() == new.expose() {
            let error = FieldError::new("new_password", "must differ from the current password");
            return Err(RequestRefusal::fields(vec![error]));
        }
        let places = self.admit(request, AttemptKind::Change, session.expose(), None).await?;
        self.charge(request, &places, Step::ChangePassword).await?;
        let (session, current, new) = (&session, &current, &new);
        let changed =
            self.ask(request, |client| async move { client.change_password(session, current, new).await }).await;
        if let Err(failure) = changed {
            return Err(match failure.leadsquared() {
                Some(Error::BadPortalPassword) => RequestRefusal::WrongCurrentPassword,
                Some(Error::SessionEnded) => RequestRefusal::NotSignedIn,
                Some(Error::Refused { .. }) => RequestRefusal::PasswordRefused("new_password"),
                _ => self.unknown_or_unavailable(request, &places, &failure).await,
            });
        }
        let noticed = async {
            match self.ledger.session_holder(session).await {
                Ok(Some(lead)) => self.mail_notice(request, lead).await,
                Ok(None) => tracing::info!("no notice of a changed password: the session did not begin here"),
                Err(error) => tracing::warn!(
                    error = %error,
                    "no notice of a changed password: the session's lead could not be read; no action needed"
                ),
            }
        };
        join(self.give_back(request, &places), self.in_time(request, noticed)).await;
        Ok(Done::PasswordChanged)
    }

    /// `POST /password/forgot`: the same answer for a known and an unknown person.
    pub(crate) async fn forgot_password(&self, request: &AccountRequest<'_>) -> Result<Done, RequestRefusal> {
        let who = self.config.identities.read(&request.body, self.config.default_country);
        let who = who.map_err(|error| RequestRefusal::fields(vec![error]))?;
        // The link goes to the lead's mailbox, by whatever field the person is named: a stranger may have typed the
        // other fields in a form.
        let recipient = match &who {
            Identifier::Email(_) => ResetRecipient::PortalDefault,
            Identifier::Field { .. } => ResetRecipient::Field(schema_name::EMAIL_ADDRESS),
        };
        let outcome =
            match self.admit_message(request, AttemptKind::Forgot, &person(&who), owner(&who).as_ref()).await? {
                None => Ok(()),
                Some(places) => {
                    self.charge(request, &places, Step::MailResetLink(self.phone_look_up(&who))).await?;
                    let who = &self.as_stored(request, &who).await;
                    match self.ask(request, |client| async move { client.forgot_password(who, recipient).await }).await
                    {
                        Ok(()) => Ok(()),
                        Err(failure) => self.conceal(request, &places, &failure).await,
                    }
                }
            };
        self.wait_for_floor(request).await;
        outcome.map(|()| Done::ResetMailed)
    }

    /// `POST /password/reset`.
    pub(crate) async fn reset_password(&self, request: &AccountRequest<'_>) -> Result<Done, RequestRefusal> {
        let reset = &self.read_reset(request).map_err(RequestRefusal::fields)?;
        let owner = Owner::Lead(reset.lead);
        let places = self.admit(request, AttemptKind::Reset, &reset.lead.to_string(), Some(&owner)).await?;
        self.charge(request, &places, Step::ResetPassword).await?;
        if let Err(failure) = self.ask(request, |client| async move { client.reset_password(reset).await }).await {
            let refusal = match failure.leadsquared() {
                Some(Error::BadPortalPassword | Error::NoSuchLead | Error::NotAPortalUser) => {
                    RequestRefusal::DeadResetLink
                }
                Some(Error::Refused { .. }) => RequestRefusal::PasswordRefused("password"),
                _ => self.unknown_or_unavailable(request, &places, &failure).await,
            };
            self.wait_for_floor(request).await;
            return Err(refusal);
        }
        join(self.give_back(request, &places), self.mail_notice(request, reset.lead)).await;
        Ok(Done::PasswordChanged)
    }

    fn read_reset(&self, request: &AccountRequest<'_>) -> Result<PasswordReset, Vec<FieldError>> {
        let lead = request.body.required("lead_id").and_then(|text| {
            let invalid = |_| FieldError::new("lead_id", "must be the lead id from the link in the mail");
            text.parse::<LeadId>().map_err(invalid)
        });
        let temporary_password = request.body.required("temporary_password").map(TemporaryPassword::from);
        let link = both(lead, temporary_password);
        match (link, self.new_password(request, "password")) {
            (Ok((lead, temporary_password)), Ok(password)) => Ok(PasswordReset { lead, temporary_password, password }),
            (link, password) => Err(link.err().into_iter().flatten().chain(password.err()).collect()),
        }
    }

    /// The key in the `Authorization` header, as it is or after `Bearer`; or the key in the cookie, if keys are given
    /// as cookies.
    fn session(&self, request: &AccountRequest<'_>) -> Option<SessionKey> {
        let headers = request.http.headers();
        let in_header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(|value| {
            let is_bearer = value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
            value[if is_bearer { 7 } else { 0 }..].trim()
        });
        let in_header = in_header.filter(|key| !key.is_empty()).map(SessionKey::from);
        let in_cookie = || cookie::session(headers, http_events::host(request.http));
        in_header.or_else(|| in_cookie().filter(|_| self.config.session_cookie))
    }

    fn new_password(&self, request: &AccountRequest<'_>, field: &'static str) -> Result<Password, FieldError> {
        let password = request.body.password(field)?;
        self.config.rules.check(password.expose()).map_err(|broken| FieldError::new(field, broken.to_string()))?;
        Ok(password)
    }

    /// The refusal when it is unknown whether the password was changed, or certain that it was not.
    async fn unknown_or_unavailable(
        &self,
        request: &AccountRequest<'_>,
        places: &AttemptPlaces,
        failure: &CallFailure,
    ) -> RequestRefusal {
        if failure.may_have_taken_effect() {
            return RequestRefusal::OutcomeUnknown;
        }
        if !failure.may_be_about_the_person() {
            self.give_back(request, places).await;
        }
        failure.unavailable()
    }

    /// Mails a notice that the password was changed. The change stands even if the mail fails.
    async fn mail_notice(&self, request: &AccountRequest<'_>, lead: LeadId) {
        let Config { organisation, mail_sender, .. } = &self.config;
        let notice = &PasswordNotice { organisation, sender: mail_sender };
        let sent = self.ask(request, |client| async move {
            let known = client.lead_by_id(&lead).await?.ok_or(Error::NoSuchLead)?;
            let address = known.email().ok_or(Error::NoSuchLead)?;
            notice.send(&client, &address).await
        });
        match sent.await {
            Ok(()) => tracing::info!(lead.id = %lead, "notice of a changed password mailed"),
            Err(failure) => tracing::warn!(
                lead.id = %lead,
                error = %failure,
                "no notice of a changed password: the mail could not be sent; no action needed unless this lasts"
            ),
        }
    }
}
