//! Every call as data: host, verb, path, what it carries, and whether it may be repeated.

use crate::decode::Presented;

/// Which of the account's two hosts serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The core API: keys go in headers, as <https://apidocs.leadsquared.com/authentication/> recommends.
    Api,
    /// The portal API: keys go in the query, the only form documented there.
    Portal,
}

/// The HTTP verbs LeadSquared uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// GET.
    Get,
    /// POST.
    Post,
}

/// The credentials a call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The keys alone.
    Keys,
    /// Public key, registration token and portal id in three headers, and the keys.
    PortalAndKeys,
    /// The tenant key and the keys, all in the query.
    TenantAndKeys,
}

impl Access {
    pub(crate) fn takes_keys(self) -> bool {
        match self {
            Access::Keys | Access::PortalAndKeys | Access::TenantAndKeys => true,
        }
    }

    pub(crate) fn takes_portal_id(self) -> bool {
        match self {
            Access::PortalAndKeys => true,
            Access::Keys | Access::TenantAndKeys => false,
        }
    }

    pub(crate) fn needs(self) -> &'static [Need] {
        const PUBLIC: Need = Need { from: Endpoint::PublicAuthKey, place: Place::Header("Authorization") };
        const REGISTRATION: Need =
            Need { from: Endpoint::RegistrationToken, place: Place::Header("x-lsq-registertoken") };
        const TENANT: Need = Need { from: Endpoint::TenantAuthKey, place: Place::Query("authkey") };
        match self {
            Access::Keys => &[],
            Access::PortalAndKeys => &[PUBLIC, REGISTRATION],
            Access::TenantAndKeys => &[TENANT],
        }
    }
}

/// A derived credential that a call carries: the call it is obtained with, and where it goes.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) from: Endpoint,
    pub(crate) place: Place,
}

#[derive(Debug)]
pub(crate) enum Place {
    Header(&'static str),
    Query(&'static str),
}

/// Whether repeating a call that may have been carried out does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Harmless,
    Harmful,
}

pub(crate) struct Facts {
    pub(crate) host: Host,
    verb: Verb,
    path: &'static str,
    pub(crate) access: Access,
    pub(crate) presented: Presented,
    pub(crate) repeat: Repeat,
    page: &'static str,
}

/// Declares the calls and their facts in one table.
macro_rules! endpoints {
    ($($(#[$doc:meta])* $name:ident: $host:ident $verb:ident $path:literal $access:ident $presented:ident $repeat:ident $page:literal)*) => {
        /// A call of LeadSquared's API. Each has one method on [`Client`](crate::Client).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Endpoint {
            $($(#[$doc])* $name,)*
        }

        impl Endpoint {
            /// Every call there is: the list to check coverage against.
            pub const ALL: &'static [Endpoint] = &[$(Endpoint::$name),*];

            pub(crate) const fn facts(self) -> Facts {
                match self {
                    $(Endpoint::$name => Facts {
                        host: Host::$host,
                        verb: Verb::$verb,
                        path: $path,
                        access: Access::$access,
                        presented: Presented::$presented,
                        repeat: Repeat::$repeat,
                        page: concat!("https://apidocs.leadsquared.com/", $page, "/"),
                    },)*
                }
            }
        }
    };
}

endpoints! {
    /// Get Public Auth Key.
    PublicAuthKey: Portal Get "/api/Access/PublicToken" Keys Keys Harmless "get-public-auth-key"
    /// Get Portal Registration Token.
    RegistrationToken: Portal Get "/api/Access/GetRegisterToken" Keys Keys Harmless "get-portal-registration-token"
    /// Register, second version.
    Register: Portal Post "/api/Authentication/v2/Register" PortalAndKeys Derived Harmful "register"
    /// Portal auto login: the account's key. Path and verb are guesses, see [`Paths`].
    TenantAuthKey: Portal Get "/api/AutoLogin/GenerateTenantAuthKey" Keys Keys Harmless "portal-auto-login-generate-tenant-auth-key"
    /// Portal auto login: one lead's key.
    LeadAuthKey: Portal Post "/api/AutoLogin/Generate" TenantAndKeys Derived Harmless "portal-auto-login-generate-lead-level-auth-key"
    /// Authenticate a user.
    UserByAccessKey: Api Get "/v2/Authentication.svc/UserByAccessKey.Get" Keys Keys Harmless "user-authentication"
    /// Get a lead by e-mail.
    LeadsByEmail: Api Get "/v2/LeadManagement.svc/Leads.GetByEmailaddress" Keys Keys Harmless "get-a-lead-by-email-id"
    /// Send an e-mail to a lead.
    SendEmailToLead: Api Post "/v2/EmailMarketing.svc/SendEmailToLead" Keys Keys Harmful "send-an-email-to-a-lead"
}

impl Endpoint {
    /// The page of LeadSquared's documentation that describes it.
    pub const fn page(self) -> &'static str {
        self.facts().page
    }

    /// The verb.
    pub fn verb(self, paths: &Paths) -> Verb {
        match self {
            Endpoint::TenantAuthKey => paths.tenant_auth_key_verb,
            _ => self.facts().verb,
        }
    }

    /// The path on its host.
    pub fn path(self, paths: &Paths) -> &str {
        match self {
            Endpoint::TenantAuthKey => &paths.tenant_auth_key,
            _ => self.facts().path,
        }
    }
}

/// Paths and verbs that LeadSquared's documentation does not give, or gives only for another version of a call.
///
/// The defaults are the likeliest ones. When a call answers [`NoSuchCall`](crate::Error::NoSuchCall), ask LeadSquared's
/// support for the right one and set it here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Paths {
    /// [`Endpoint::TenantAuthKey`]: every readable copy of its page lost the line with the address.
    pub tenant_auth_key: String,
    /// The verb of [`Endpoint::TenantAuthKey`]: its page shows no body.
    pub tenant_auth_key_verb: Verb,
}

impl Default for Paths {
    fn default() -> Self {
        let default = |endpoint: Endpoint| endpoint.facts().path.to_owned();
        Self {
            tenant_auth_key: default(Endpoint::TenantAuthKey),
            tenant_auth_key_verb: Endpoint::TenantAuthKey.facts().verb,
        }
    }
}
