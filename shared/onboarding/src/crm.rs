//! The flow's interface to LeadSquared.

use std::cell::Cell;

use leadsquared::crm::Lead;
use leadsquared::portal::Registration;
use leadsquared::{AutoLoginKey, EmailAddress, Error, LeadId};

/// The calls of LeadSquared that an invitation needs.
///
/// [`leadsquared::Client`] implements it; tests have an implementation that fails where they choose.
#[expect(async_fn_in_trait, reason = "used with static dispatch on one thread only")]
pub trait Crm {
    /// Makes a lead a portal user. Do not repeat it blindly: see [`Error::may_have_taken_effect`].
    async fn register(&self, registration: &Registration) -> Result<LeadId, Error>;
    /// The leads with this e-mail address.
    async fn leads_by_email(&self, email: &EmailAddress) -> Result<Vec<Lead>, Error>;
    /// The lead with this id, if there is one.
    async fn lead_by_id(&self, lead: &LeadId) -> Result<Option<Lead>, Error>;
    /// A key that signs the lead in. May be repeated: every key is valid.
    async fn lead_auto_login_key(&self, lead: &LeadId) -> Result<AutoLoginKey, Error>;
}

impl Crm for leadsquared::Client {
    async fn register(&self, registration: &Registration) -> Result<LeadId, Error> {
        // The mail, or a look-up, follows.
        self.followed().register(registration).await
    }

    async fn leads_by_email(&self, email: &EmailAddress) -> Result<Vec<Lead>, Error> {
        self.leads_by_email(email).await
    }

    async fn lead_by_id(&self, lead: &LeadId) -> Result<Option<Lead>, Error> {
        self.lead_by_id(lead).await
    }

    async fn lead_auto_login_key(&self, lead: &LeadId) -> Result<AutoLoginKey, Error> {
        self.lead_auto_login_key(lead).await
    }
}

/// The calls of one attempt, counted.
pub(crate) struct Counted<'a, C> {
    crm: &'a C,
    made: Cell<u32>,
}

impl<'a, C> Counted<'a, C> {
    pub(crate) fn new(crm: &'a C) -> Self {
        Self { crm, made: Cell::new(0) }
    }

    /// How many calls were made, apart from calls that failed for everyone: for lack of a slot or a connection, or
    /// because the settings are wrong.
    pub(crate) fn made(&self) -> u32 {
        self.made.get()
    }

    fn count<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        let is_counted = match &result {
            Ok(_) => true,
            Err(error) => error.is_refusal() || error.is_unanswered(),
        };
        self.made.update(|made| made + u32::from(is_counted));
        result
    }
}

impl<C: Crm> Crm for Counted<'_, C> {
    async fn register(&self, registration: &Registration) -> Result<LeadId, Error> {
        self.count(self.crm.register(registration).await)
    }

    async fn leads_by_email(&self, email: &EmailAddress) -> Result<Vec<Lead>, Error> {
        self.count(self.crm.leads_by_email(email).await)
    }

    async fn lead_by_id(&self, lead: &LeadId) -> Result<Option<Lead>, Error> {
        self.count(self.crm.lead_by_id(lead).await)
    }

    async fn lead_auto_login_key(&self, lead: &LeadId) -> Result<AutoLoginKey, Error> {
        self.count(self.crm.lead_auto_login_key(lead).await)
    }
}
