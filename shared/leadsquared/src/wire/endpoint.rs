//! Every call as data: host, verb, path, the credentials it carries, and whether a repeat does harm.

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
    /// The public key in a header.
    Public,
    /// The public key in a header, and the keys.
    PublicAndKeys,
    /// Public key, registration token and portal id in three headers.
    Portal,
    /// The same three headers, and the keys.
    PortalAndKeys,
    /// A signed-in person's private key in a header.
    Session,
    /// The private key where the public one otherwise is, registration token and portal id.
    PortalSession,
    /// The tenant key and the keys, all in the query.
    TenantAndKeys,
}

impl Access {
    pub(crate) fn takes_keys(self) -> bool {
        match self {
            Access::Keys | Access::PublicAndKeys | Access::PortalAndKeys | Access::TenantAndKeys => true,
            Access::Public | Access::Portal | Access::Session | Access::PortalSession => false,
        }
    }

    pub(crate) fn takes_portal_id(self) -> bool {
        match self {
            Access::Portal | Access::PortalAndKeys | Access::PortalSession => true,
            Access::Keys | Access::Public | Access::PublicAndKeys | Access::Session | Access::TenantAndKeys => false,
        }
    }

    pub(crate) fn required_credentials(self) -> &'static [CredentialRequirement] {
        const PUBLIC: CredentialRequirement =
            CredentialRequirement { from: Endpoint::PublicAuthKey, part: RequestPart::Header("authorization") };
        const REGISTRATION: CredentialRequirement = CredentialRequirement {
            from: Endpoint::RegistrationToken,
            part: RequestPart::Header("x-lsq-registertoken"),
        };
        const TENANT: CredentialRequirement =
            CredentialRequirement { from: Endpoint::TenantAuthKey, part: RequestPart::Query("authkey") };
        match self {
            Access::Keys | Access::Session => &[],
            Access::Public | Access::PublicAndKeys => &[PUBLIC],
            Access::Portal | Access::PortalAndKeys => &[PUBLIC, REGISTRATION],
            Access::PortalSession => &[REGISTRATION],
            Access::TenantAndKeys => &[TENANT],
        }
    }
}

/// The credentials of a call. A 401 is about these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// The keys.
    Keys,
    /// A credential derived from the keys: public key, registration token or tenant key.
    Derived,
    /// Derived credentials, and a portal user's password or code.
    Password,
    /// A signed-in portal user's private key.
    Session,
}

/// A derived credential that a call carries: the call it is obtained with, and where it goes.
#[derive(Debug)]
pub(crate) struct CredentialRequirement {
    pub(crate) from: Endpoint,
    pub(crate) part: RequestPart,
}

#[derive(Debug)]
pub(crate) enum RequestPart {
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
    pub(crate) credential: CredentialKind,
    pub(crate) repeat: Repeat,
    page: &'static str,
}

/// Declares the calls and their facts in one table.
macro_rules! endpoints {
    ($($(#[$doc:meta])* $name:ident: $host:ident $verb:ident $path:literal $access:ident $credential:ident $repeat:ident $page:literal)*) => {
        /// A call of LeadSquared's API. Each has one method on [`Client`](crate::Client).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Endpoint {
            $($(#[$doc])* $name,)*
        }

        impl Endpoint {
            /// Every call.
            pub const ALL: &'static [Endpoint] = &[$(Endpoint::$name),*];

            /// Its name: a stable word for logs and metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Endpoint::$name => stringify!($name),)*
                }
            }

            pub(crate) const fn facts(self) -> Facts {
                match self {
                    $(Endpoint::$name => Facts {
                        host: Host::$host,
                        verb: Verb::$verb,
                        path: $path,
                        access: Access::$access,
                        credential: CredentialKind::$credential,
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
    /// Register, first version. The page lost its path; this one is from public clients.
    RegisterV1: Portal Post "/api/Authentication/Register" PublicAndKeys Derived Harmful "register"
    /// Register, second version.
    Register: Portal Post "/api/Authentication/v2/Register" PortalAndKeys Derived Harmful "register"
    /// Sign In with password, first version.
    SignInV1: Portal Post "/api/Authentication/Signin" Public Password Harmful "sign-in"
    /// Sign In with password, second version.
    SignIn: Portal Post "/api/Authentication/v2/Signin" Portal Password Harmful "sign-in"
    /// Sign In with OTP, first version: the same path as with a password.
    SignInWithCodeV1: Portal Post "/api/Authentication/Signin" Public Password Harmful "sign-in-with-otp"
    /// Sign In with OTP, second version. The path is inferred.
    SignInWithCode: Portal Post "/api/Authentication/v2/Signin" Portal Password Harmful "sign-in-with-otp"
    /// Get Sign In OTP, first version.
    SignInCodeV1: Portal Post "/api/Authentication/SigninOTP/Get" Public Derived Harmful "get-sign-in-otp"
    /// Get Sign In OTP, second version. The path is inferred.
    SignInCode: Portal Post "/api/Authentication/v2/SigninOTP/Get" Portal Derived Harmful "get-sign-in-otp"
    /// Forgot Password, first version.
    ForgotPasswordV1: Portal Post "/api/Authentication/SecureForgotPassword" Public Derived Harmful "forgot-password"
    /// Forgot Password, second version. The path is inferred.
    ForgotPassword: Portal Post "/api/Authentication/v2/SecureForgotPassword" Portal Derived Harmful "forgot-password"
    /// Reset Password, first version.
    ResetPasswordV1: Portal Post "/api/Authentication/ResetPassword" Public Password Harmful "reset-password"
    /// Reset Password, second version.
    ResetPassword: Portal Post "/api/Authentication/v2/ResetPassword" Portal Password Harmful "reset-password"
    /// Change Password, first version.
    ChangePasswordV1: Portal Post "/api/Settings/ChangePassword" Session Session Harmful "change-password"
    /// Change Password, second version.
    ChangePassword: Portal Post "/api/Settings/v2/ChangePassword" PortalSession Session Harmful "change-password"
    /// Portal auto login: the account's key. Path and verb are guesses, see [`Paths`].
    TenantAuthKey: Portal Get "/api/AutoLogin/GenerateTenantAuthKey" Keys Keys Harmless "portal-auto-login-generate-tenant-auth-key"
    /// Portal auto login: one lead's key.
    LeadAuthKey: Portal Post "/api/AutoLogin/Generate" TenantAndKeys Derived Harmless "portal-auto-login-generate-lead-level-auth-key"

    /// Authenticate a user.
    AuthenticateUser: Api Get "/v2/Authentication.svc/UserByAccessKey.Get" Keys Keys Harmless "user-authentication"

    /// Capture a lead.
    CaptureLead: Api Post "/v2/LeadManagement.svc/Lead.Capture" Keys Keys Harmful "capture-lead"
    /// Update a lead.
    UpdateLead: Api Post "/v2/LeadManagement.svc/Lead.Update" Keys Keys Harmless "update-a-lead"
    /// Create or update a lead.
    CreateOrUpdateLead: Api Post "/v2/LeadManagement.svc/Lead.CreateOrUpdate" Keys Keys Harmful "create-or-update"
    /// Get a lead by id. It has no page of its own.
    LeadById: Api Get "/v2/LeadManagement.svc/Leads.GetById" Keys Keys Harmless "get-lead-by-phone"
    /// Get a lead by e-mail.
    LeadByEmail: Api Get "/v2/LeadManagement.svc/Leads.GetByEmailaddress" Keys Keys Harmless "get-a-lead-by-email-id"
    /// Get a lead by phone.
    LeadByPhone: Api Get "/v2/LeadManagement.svc/RetrieveLeadByPhoneNumber" Keys Keys Harmless "get-lead-by-phone"
    /// Lead field metadata.
    LeadFields: Api Get "/v2/LeadManagement.svc/LeadsMetaData.Get" Keys Keys Harmless "meta-data"

    /// Post an activity on a lead.
    PostActivity: Api Post "/v2/ProspectActivity.svc/Create" Keys Keys Harmful "post-an-activity-to-lead"
    /// Create or update a lead and post an activity on it.
    PostLeadAndActivity: Api Post "/v2/ProspectActivity.svc/CreateCustom" Keys Keys Harmful "create-lead-and-activity"
    /// Get the activities of a lead.
    Activities: Api Post "/v2/ProspectActivity.svc/Retrieve" Keys Keys Harmless "get-activities-of-a-lead"
    /// Get the activity types. It is in LeadSquared's PHP library and on no page; the page given is that of creating
    /// one.
    ActivityTypes: Api Get "/v2/ProspectActivity.svc/ActivityTypes.Get" Keys Keys Harmless "create-new-activity-type-api"
    /// Create an activity type.
    CreateActivityType: Api Post "/v2/ProspectActivity.svc/CreateType" Keys Keys Harmful "create-new-activity-type-api"

    /// Send an e-mail to a lead.
    SendEmailToLead: Api Post "/v2/EmailMarketing.svc/SendEmailToLead" Keys Keys Harmful "send-an-email-to-a-lead"

    /// Create a webhook.
    CreateWebhook: Api Post "/v2/Webhook.svc/Create" Keys Keys Harmful "create-a-webhook"
    /// Retrieve webhooks.
    Webhooks: Api Post "/v2/Webhook.svc/Retrieve" Keys Keys Harmless "retrieve-a-webhook"
    /// Update a webhook.
    UpdateWebhook: Api Post "/v2/Webhook.svc/Update" Keys Keys Harmless "update-a-webhook"
    /// Delete a webhook: a GET, and a POST is answered with 405.
    DeleteWebhook: Api Get "/v2/Webhook.svc/Delete" Keys Keys Harmful "delete-a-webhook"
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
            Endpoint::RegisterV1 => &paths.register_v1,
            Endpoint::SignInCode => &paths.sign_in_code,
            Endpoint::SignInWithCode => &paths.sign_in_with_code,
            Endpoint::ForgotPassword => &paths.forgot_password,
            Endpoint::TenantAuthKey => &paths.tenant_auth_key,
            _ => self.facts().path,
        }
    }
}

/// Paths and verbs that LeadSquared's documentation does not give, or gives only for another version of a call.
///
/// The defaults are the likeliest ones. When a call fails with [`NoSuchCall`](crate::Error::NoSuchCall), ask
/// LeadSquared's support for the right one and set it here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Paths {
    /// [`Endpoint::RegisterV1`]: its page lost the path.
    pub register_v1: String,
    /// [`Endpoint::SignInCode`]: its page gives the first version's path only.
    pub sign_in_code: String,
    /// [`Endpoint::SignInWithCode`]: its page gives the first version's path only.
    pub sign_in_with_code: String,
    /// [`Endpoint::ForgotPassword`]: its page gives the first version's path only.
    pub forgot_password: String,
    /// [`Endpoint::TenantAuthKey`]: every readable copy of its page lost the line with the address.
    pub tenant_auth_key: String,
    /// The verb of [`Endpoint::TenantAuthKey`]: its page shows no body.
    pub tenant_auth_key_verb: Verb,
}

impl Default for Paths {
    fn default() -> Self {
        let default = |endpoint: Endpoint| endpoint.facts().path.to_owned();
        Self {
            register_v1: default(Endpoint::RegisterV1),
            sign_in_code: default(Endpoint::SignInCode),
            sign_in_with_code: default(Endpoint::SignInWithCode),
            forgot_password: default(Endpoint::ForgotPassword),
            tenant_auth_key: default(Endpoint::TenantAuthKey),
            tenant_auth_key_verb: Endpoint::TenantAuthKey.facts().verb,
        }
    }
}
