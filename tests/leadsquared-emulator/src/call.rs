//! The calls that the emulator answers: names, addresses and what each must be signed with.

use std::fmt;

use http::Method;

/// What a call must carry to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// A user's keys, on whichever region's host.
    KeysAnywhere,
    /// A user's keys, as headers or in the query: <https://apidocs.leadsquared.com/authentication/>.
    Keys,
    /// An administrator's keys in the query.
    AdministratorKeys,
    /// `Authorization` with the public key.
    PublicKey,
    /// The three headers of the portal's second version, with the public key.
    ThreeHeaders,
    /// The three headers and an administrator's keys in the query.
    ThreeHeadersAndKeys,
}

macro_rules! calls {
    ($($(#[doc = $doc:literal])+ $call:ident $name:literal $method:ident $path:literal $access:ident;)+) => {
        /// A call of LeadSquared's API; its documentation names the page that describes it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Call {
            $($(#[doc = $doc])+ $call,)+
        }

        impl Call {
            /// Every call, in the order of the documentation's menu.
            pub const ALL: &[Self] = &[$(Self::$call),+];

            /// A short name, as used by fault switches and in the list of calls.
            pub fn name(self) -> &'static str {
                match self { $(Self::$call => $name),+ }
            }

            /// The HTTP method.
            pub fn method(self) -> Method {
                match self { $(Self::$call => Method::$method),+ }
            }

            /// The path on the host.
            pub fn path(self) -> &'static str {
                match self { $(Self::$call => $path),+ }
            }

            pub(crate) fn access(self) -> Access {
                match self { $(Self::$call => Access::$access),+ }
            }
        }
    };
}

calls! {
    /// <https://apidocs.leadsquared.com/get-public-auth-key/>
    PublicAuthKey "public-auth-key" GET "/api/Access/PublicToken" AdministratorKeys;
    /// <https://apidocs.leadsquared.com/get-portal-registration-token/>
    RegistrationToken "registration-token" GET "/api/Access/GetRegisterToken" AdministratorKeys;
    /// <https://apidocs.leadsquared.com/register/>, second version
    Register "register" POST "/api/Authentication/v2/Register" ThreeHeadersAndKeys;
    /// <https://apidocs.leadsquared.com/portal-auto-login-generate-tenant-auth-key/>; path and method are assumed and a setting
    TenantAuthKey "tenant-auth-key" GET "/api/AutoLogin/GenerateTenantAuthKey" AdministratorKeys;
    /// <https://apidocs.leadsquared.com/portal-auto-login-generate-lead-level-auth-key/>
    LeadAuthKey "lead-auth-key" POST "/api/AutoLogin/Generate" AdministratorKeys;
    /// <https://apidocs.leadsquared.com/user-authentication/>
    AuthenticateUser "authenticate-user" GET "/v2/Authentication.svc/UserByAccessKey.Get" KeysAnywhere;
    /// Linked from <https://apidocs.leadsquared.com/get-lead-by-phone/>
    LeadById "lead-by-id" GET "/v2/LeadManagement.svc/Leads.GetById" Keys;
    /// <https://apidocs.leadsquared.com/get-a-lead-by-email-id/>
    LeadByEmail "lead-by-email" GET "/v2/LeadManagement.svc/Leads.GetByEmailaddress" Keys;
    /// <https://apidocs.leadsquared.com/send-an-email-to-a-lead/>
    SendEmailToLead "send-email-to-lead" POST "/v2/EmailMarketing.svc/SendEmailToLead" Keys;
}

impl Call {
    /// The call of that [`Call::name`].
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|call| call.name() == name)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where each call is served.
pub(crate) struct Routes {
    tenant_auth_key: (Method, String),
}

/// Why an address is none of ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    UnknownPath,
    WrongMethod,
}

impl Routes {
    pub(crate) fn new(tenant_auth_key: (Method, String)) -> Self {
        Self { tenant_auth_key }
    }

    /// Finds a call; paths compare without case, as on LeadSquared's hosts.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<Call, NoRoute> {
        let path = path.trim_end_matches('/');
        let mut answer = Err(NoRoute::UnknownPath);
        for call in Call::ALL {
            let (right_method, right_path) = self.address(*call);
            if right_path.eq_ignore_ascii_case(path) {
                if right_method == *method {
                    return Ok(*call);
                }
                answer = Err(NoRoute::WrongMethod);
            }
        }
        answer
    }

    fn address(&self, call: Call) -> (Method, &str) {
        match call {
            Call::TenantAuthKey => (self.tenant_auth_key.0.clone(), self.tenant_auth_key.1.as_str()),
            other => (other.method(), other.path()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_found_at_its_address_in_any_case_and_by_its_name() {
        let routes = Routes::new((Method::POST, "/api/Elsewhere".to_owned()));
        for call in Call::ALL.iter().copied().filter(|call| *call != Call::TenantAuthKey) {
            assert_eq!(routes.find(&call.method(), call.path()), Ok(call));
            assert_eq!(routes.find(&call.method(), &call.path().to_uppercase()), Ok(call));
            assert_eq!(routes.find(&Method::DELETE, call.path()), Err(NoRoute::WrongMethod));
            assert_eq!(Call::named(call.name()), Some(call));
        }
        assert_eq!(routes.find(&Method::POST, "/api/elsewhere"), Ok(Call::TenantAuthKey));
        assert_eq!(routes.find(&Method::GET, Call::TenantAuthKey.path()), Err(NoRoute::UnknownPath));
    }
}
