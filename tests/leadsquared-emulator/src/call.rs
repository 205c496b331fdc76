//! The calls that the emulator answers: names, methods, paths and required credentials.

use std::fmt;

use http::Method;
use serde::{Serialize, Serializer};

/// The credentials that a call must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// A user's keys, on the host of any region.
    KeysAnywhere,
    /// A user's keys, as headers or in the query: <https://apidocs.leadsquared.com/authentication/>.
    Keys,
    /// An administrator's keys in the query.
    AdministratorKeys,
    /// `Authorization` with the public key.
    PublicKey,
    /// `Authorization` with the private key that sign-in returned.
    PrivateKey,
    /// The three headers of the portal's second version, with the public key.
    ThreeHeaders,
    /// The three headers, with the private key.
    ThreeHeadersPrivate,
    /// The three headers and an administrator's keys in the query.
    ThreeHeadersAndKeys,
}

macro_rules! calls {
    ($($(#[doc = $doc:literal])+ $call:ident $name:literal $method:ident $path:literal $access:ident;)+) => {
        /// A call of LeadSquared's API, documented by the address of its page.
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
    /// <https://apidocs.leadsquared.com/register/>, first version
    RegisterV1 "register-v1" POST "/api/Authentication/Register" PublicKey;
    /// <https://apidocs.leadsquared.com/register/>, second version
    Register "register" POST "/api/Authentication/v2/Register" ThreeHeadersAndKeys;
    /// <https://apidocs.leadsquared.com/sign-in/> and <https://apidocs.leadsquared.com/sign-in-with-otp/>, first
    /// version
    SignInV1 "sign-in-v1" POST "/api/Authentication/Signin" PublicKey;
    /// <https://apidocs.leadsquared.com/sign-in/> and <https://apidocs.leadsquared.com/sign-in-with-otp/>, second
    /// version
    SignIn "sign-in" POST "/api/Authentication/v2/Signin" ThreeHeaders;
    /// <https://apidocs.leadsquared.com/get-sign-in-otp/>, first version
    SignInCodeV1 "sign-in-code-v1" POST "/api/Authentication/SigninOTP/Get" PublicKey;
    /// <https://apidocs.leadsquared.com/get-sign-in-otp/>, second version; its path is inferred
    SignInCode "sign-in-code" POST "/api/Authentication/v2/SigninOTP/Get" ThreeHeaders;
    /// <https://apidocs.leadsquared.com/forgot-password/>, first version
    ForgotPasswordV1 "forgot-password-v1" POST "/api/Authentication/SecureForgotPassword" PublicKey;
    /// <https://apidocs.leadsquared.com/forgot-password/>, second version; its path is inferred
    ForgotPassword "forgot-password" POST "/api/Authentication/v2/SecureForgotPassword" ThreeHeaders;
    /// <https://apidocs.leadsquared.com/reset-password/>, first version
    ResetPasswordV1 "reset-password-v1" POST "/api/Authentication/ResetPassword" PublicKey;
    /// <https://apidocs.leadsquared.com/reset-password/>, second version
    ResetPassword "reset-password" POST "/api/Authentication/v2/ResetPassword" ThreeHeaders;
    /// <https://apidocs.leadsquared.com/change-password/>, first version
    ChangePasswordV1 "change-password-v1" POST "/api/Settings/ChangePassword" PrivateKey;
    /// <https://apidocs.leadsquared.com/change-password/>, second version
    ChangePassword "change-password" POST "/api/Settings/v2/ChangePassword" ThreeHeadersPrivate;
    /// <https://apidocs.leadsquared.com/portal-auto-login-generate-tenant-auth-key/>; path and method are settings
    TenantAuthKey "tenant-auth-key" GET "/api/AutoLogin/GenerateTenantAuthKey" AdministratorKeys;
    /// <https://apidocs.leadsquared.com/portal-auto-login-generate-lead-level-auth-key/>
    LeadAuthKey "lead-auth-key" POST "/api/AutoLogin/Generate" AdministratorKeys;
    /// <https://apidocs.leadsquared.com/user-authentication/>
    AuthenticateUser "authenticate-user" GET "/v2/Authentication.svc/UserByAccessKey.Get" KeysAnywhere;
    /// <https://apidocs.leadsquared.com/capture-lead/>
    CaptureLead "capture-lead" POST "/v2/LeadManagement.svc/Lead.Capture" Keys;
    /// <https://apidocs.leadsquared.com/create-a-lead/>
    CreateLead "create-lead" POST "/v2/LeadManagement.svc/Lead.Create" Keys;
    /// <https://apidocs.leadsquared.com/update-a-lead/>
    UpdateLead "update-lead" POST "/v2/LeadManagement.svc/Lead.Update" Keys;
    /// <https://apidocs.leadsquared.com/create-or-update/>
    CreateOrUpdateLead "create-or-update-lead" POST "/v2/LeadManagement.svc/Lead.CreateOrUpdate" Keys;
    /// Linked from <https://apidocs.leadsquared.com/get-lead-by-phone/>
    LeadById "lead-by-id" GET "/v2/LeadManagement.svc/Leads.GetById" Keys;
    /// <https://apidocs.leadsquared.com/get-a-lead-by-email-id/>
    LeadByEmail "lead-by-email" GET "/v2/LeadManagement.svc/Leads.GetByEmailaddress" Keys;
    /// <https://apidocs.leadsquared.com/get-lead-by-phone/>
    LeadByPhone "lead-by-phone" GET "/v2/LeadManagement.svc/RetrieveLeadByPhoneNumber" Keys;
    /// <https://apidocs.leadsquared.com/meta-data/>
    LeadFields "lead-fields" GET "/v2/LeadManagement.svc/LeadsMetaData.Get" Keys;
    /// <https://apidocs.leadsquared.com/post-an-activity-to-lead/>
    PostActivity "post-activity" POST "/v2/ProspectActivity.svc/Create" Keys;
    /// <https://apidocs.leadsquared.com/create-lead-and-activity/>
    PostLeadAndActivity "post-lead-and-activity" POST "/v2/ProspectActivity.svc/CreateCustom" Keys;
    /// <https://apidocs.leadsquared.com/get-activities-of-a-lead/>
    Activities "activities" POST "/v2/ProspectActivity.svc/Retrieve" Keys;
    /// <https://apidocs.leadsquared.com/get-activity-details/>
    ActivityDetails "activity-details" GET "/v2/ProspectActivity.svc/GetActivityDetails" Keys;
    /// <https://github.com/LeadSquared/php-library>
    ActivityTypes "activity-types" GET "/v2/ProspectActivity.svc/ActivityTypes.Get" Keys;
    /// <https://apidocs.leadsquared.com/create-new-activity-type-api/>
    CreateActivityType "create-activity-type" POST "/v2/ProspectActivity.svc/CreateType" Keys;
    /// <https://apidocs.leadsquared.com/send-an-email-to-a-lead/>
    SendEmailToLead "send-email-to-lead" POST "/v2/EmailMarketing.svc/SendEmailToLead" Keys;
    /// <https://apidocs.leadsquared.com/create-a-webhook/>
    CreateWebhook "create-webhook" POST "/v2/Webhook.svc/Create" Keys;
    /// <https://apidocs.leadsquared.com/retrieve-a-webhook/>
    Webhooks "webhooks" POST "/v2/Webhook.svc/Retrieve" Keys;
    /// <https://apidocs.leadsquared.com/update-a-webhook/>
    UpdateWebhook "update-webhook" POST "/v2/Webhook.svc/Update" Keys;
    /// <https://apidocs.leadsquared.com/delete-a-webhook/>; by GET, a POST gets 405
    DeleteWebhook "delete-webhook" GET "/v2/Webhook.svc/Delete" Keys;
}

impl Call {
    /// Whether it belongs to the portal API, which has its own hosts: <https://apidocs.leadsquared.com/portal-api/>.
    pub fn is_of_portal(self) -> bool {
        !matches!(self.access(), Access::KeysAnywhere | Access::Keys)
    }

    /// The call with this [`Call::name`].
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|call| call.name() == name)
    }
}

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Method and path of each call.
pub(crate) struct Routes {
    tenant_auth_key: (Method, String),
}

/// Why a request matches no call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    UnknownPath,
    WrongMethod,
}

impl Routes {
    pub(crate) fn new(tenant_auth_key: (Method, String)) -> Self {
        Self { tenant_auth_key }
    }

    /// Finds a call. Paths are case-insensitive, as on LeadSquared's hosts.
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
