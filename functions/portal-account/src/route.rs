//! The routes of the function.

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    SignIn,
    SendCode,
    VerifyCode,
    ChangePassword,
    ForgotPassword,
    ResetPassword,
    SignOut,
}

impl Route {
    const ALL: [Self; 7] = [
        Self::SignIn,
        Self::SendCode,
        Self::VerifyCode,
        Self::ChangePassword,
        Self::ForgotPassword,
        Self::ResetPassword,
        Self::SignOut,
    ];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::SignIn => "/sign-in",
            Self::SendCode => "/sign-in/code",
            Self::VerifyCode => "/sign-in/code/verify",
            Self::ChangePassword => "/password/change",
            Self::ForgotPassword => "/password/forgot",
            Self::ResetPassword => "/password/reset",
            Self::SignOut => "/sign-out",
        }
    }

    /// The route of a path, which may have a stage in front.
    pub(crate) fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| path.ends_with(route.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_the_end_of_a_path() {
        for (path, route) in [
            ("/sign-in", Some(Route::SignIn)),
            ("/prod/sign-in/code", Some(Route::SendCode)),
            ("/sign-in/code/verify", Some(Route::VerifyCode)),
            ("/password/reset", Some(Route::ResetPassword)),
            ("/sign-out", Some(Route::SignOut)),
            ("/reset", None),
            ("/sign-in/", None),
            ("/SIGN-IN", None),
            ("", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
