//! Links that open the portal already signed in.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::client::{Call, Client};
use crate::error::Error;
use crate::values::{AutoLoginKey, LeadId, LoginLink, PortalId};
use crate::wire::Endpoint;

impl Client {
    /// Portal auto login, lead-level key: valid for four hours, or less if LeadSquared has shortened it for the account
    /// (<https://apidocs.leadsquared.com/portal-auto-login-generate-lead-level-auth-key/>).
    ///
    /// The client fetches the tenant key for it, and keeps that key until ten minutes before its four hours end.
    ///
    /// # Errors
    /// Among others: [`Error::NoSuchLead`] and [`Error::NotAPortalUser`], as far as LeadSquared's texts distinguish
    /// them.
    ///
    /// # Examples
    /// ```
    /// use leadsquared::LeadId;
    /// use leadsquared::portal::auto_login_link;
    ///
    /// # leadsquared_fake::run(async |client| {
    /// let lead: LeadId = "11111111-1111-4111-8111-111111111111".parse()?;
    /// let key = client.lead_auto_login_key(&lead).await?;
    /// let page = "https://apply.example.com/".parse()?;
    /// let link = auto_login_link(&page, &lead, &client.options().portal_id, &key);
    /// assert!(link.expose().starts_with("https://apply.example.com/?leadId=11111111"));
    /// # Ok(())
    /// # });
    /// ```
    pub async fn lead_auto_login_key(&self, lead: &LeadId) -> Result<AutoLoginKey, Error> {
        let body = LeadAndPortal { lead_id: lead, portal_id: &self.options().portal_id };
        let key: LeadAuthKey = self.call(Call::new(Endpoint::LeadAuthKey).body(&body)).await?;
        Ok(key.auth_key)
    }

    /// Portal auto login, tenant key: valid for four hours
    /// (<https://apidocs.leadsquared.com/portal-auto-login-generate-tenant-auth-key/>).
    ///
    /// [`lead_auto_login_key`](Self::lead_auto_login_key) fetches and keeps it.
    ///
    /// # Errors
    /// [`Error::NoSuchCall`] when the path in [`Paths`](crate::wire::Paths) is not this account's.
    pub async fn tenant_auth_key(&self) -> Result<SecretString, Error> {
        self.call::<String>(Call::new(Endpoint::TenantAuthKey)).await.map(SecretString::from)
    }
}

/// The link that opens `portal_page` signed in as `lead` (<https://apidocs.leadsquared.com/portal-auto-login/>).
///
/// The page's own query stays in front. Every value is percent-encoded: keys contain `+`, `/` and `=`.
pub fn auto_login_link(portal_page: &Url, lead: &LeadId, portal: &PortalId, key: &AutoLoginKey) -> LoginLink {
    let mut link = portal_page.clone();
    link.query_pairs_mut()
        .append_pair("leadId", &lead.to_string())
        .append_pair("portalId", &portal.to_string())
        .append_pair("authKey", key.expose());
    String::from(link).into()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LeadAndPortal<'a> {
    lead_id: &'a LeadId,
    portal_id: &'a PortalId,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LeadAuthKey {
    auth_key: AutoLoginKey,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAD: &str = "11111111-1111-4111-8111-111111111111";
    const PORTAL: &str = "22222222-2222-4222-8222-222222222222";

    #[test]
    fn a_link_carries_lead_portal_and_key_each_encoded() {
        let page: Url = "https://apply.example.test/home?lang=en#top".parse().unwrap();
        let link = auto_login_link(&page, &LEAD.parse().unwrap(), &PORTAL.parse().unwrap(), &"a+b/c==".into());
        let expected = format!(
            "https://apply.example.test/home?lang=en&leadId={LEAD}&portalId={PORTAL}&authKey=a%2Bb%2Fc%3D%3D#top"
        );
        assert_eq!(link.expose(), expected);
        assert_eq!(format!("{link:?}"), "LoginLink(hidden)");
    }

    proptest! {
        #[test]
        fn any_key_survives_the_way_through_a_link(key in ".{0,60}|[A-Za-z0-9+/=$&#%]{1,300}") {
            let page: Url = "https://apply.example.test/".parse().unwrap();
            let link = auto_login_link(&page, &LEAD.parse().unwrap(), &PORTAL.parse().unwrap(), &key.as_str().into());
            let link: Url = link.expose().parse().unwrap();
            let found = link.query_pairs().find(|(name, _)| name == "authKey").map(|(_, value)| value.into_owned());
            prop_assert_eq!(found, Some(key));
        }
    }
}
