//! What may be seen from outside: log set-up, and a type that cannot print what it holds.

mod private;

pub use private::Private;

/// Starts logging the way Lambda asks for it: JSON or text, and the level, from Lambda's own log settings.
///
/// Call once, first thing in `main`.
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
}
