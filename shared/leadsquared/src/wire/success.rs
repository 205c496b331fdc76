//! The envelope of the core API's answers.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// `{"Status":"Success","Message":…}`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Success<T = IgnoredAny> {
    pub(crate) message: T,
}
