//! The portal API, one file per area: <https://apidocs.leadsquared.com/portal-api/>.

pub(crate) mod access;
pub(crate) mod auto_login;
pub(crate) mod one_time_code;
pub(crate) mod password;
pub(crate) mod register;
pub(crate) mod sign_in;
