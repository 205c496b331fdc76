//! The portal key rule: a lead that is a portal user gets a key; a lead that is none is registered first.

use leadsquared::portal::Registration;
use leadsquared::schema_name::EMAIL_ADDRESS;
use leadsquared::{Attributes, AutoLoginKey, EmailAddress, Error, LeadId, Password};

use crate::Crm;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum PortalKeyError {
    /// LeadSquared made no key.
    #[error(transparent)]
    Key(Error),
    /// The lead could not be made a portal user, or it is unknown whether it was.
    #[error(transparent)]
    Register(Error),
    /// Another lead has the e-mail address. A key would open that lead's application.
    #[error("LeadSquared has another lead under this lead's e-mail address: merge the two")]
    OtherLead,
}

/// A key that signs the lead in to the portal.
///
/// A lead that is no portal user has no password that Register could overwrite, so it is registered with a random one.
/// Only the e-mail address is sent, so that the lead's own data stays as the company has it. LeadSquared finds the lead
/// by that address: if another lead has it too, Register could overwrite that lead's portal password, so it is not
/// called. Register is not repeated blindly: a repeat of this function asks for the key first. Two callers at once may both register the lead, which
/// sets one random password after another.
///
/// `after_register` gets Register's answer before the second key is asked for: LeadSquared sends a webhook on the
/// registration whether or not the answer arrives, and it must be known as ours.
///
/// # Errors
/// When LeadSquared makes no key, does not register the lead, or has another lead under the address.
pub async fn portal_key<C: Crm>(
    crm: &C,
    lead: LeadId,
    email: &EmailAddress,
    random_password: Password,
    after_register: impl AsyncFnOnce(&Result<LeadId, Error>),
) -> Result<AutoLoginKey, PortalKeyError> {
    match crm.lead_auto_login_key(&lead).await {
        Err(Error::NotAPortalUser) => {}
        other => return other.map_err(PortalKeyError::Key),
    }
    let owners = crm.leads_by_email(email).await.map_err(PortalKeyError::Key)?;
    match &*owners {
        // LeadSquared's search may need a moment to find a new lead.
        [] => return Err(PortalKeyError::Key(Error::NoSuchLead)),
        [owner] if owner.id() == lead => {}
        _ => return Err(PortalKeyError::OtherLead),
    }
    let registration = Registration {
        register_only_new_lead: false,
        password: random_password,
        fields: Attributes::new().with(EMAIL_ADDRESS, email.expose()),
    };
    let registered = crm.register(&registration).await;
    after_register(&registered).await;
    match registered.map_err(PortalKeyError::Register)? == lead {
        true => crm.lead_auto_login_key(&lead).await.map_err(PortalKeyError::Key),
        false => Err(PortalKeyError::OtherLead),
    }
}
