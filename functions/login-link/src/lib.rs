//! The page behind the link in the mail: a press of its button opens the portal, signed in.
//!
//! Trigger: `GET`, `HEAD` and `POST` on `/login-links` and `/login-links/{token}` of the HTTP API (payload 2.0), or a REST
//! API or Function URL.
//!
//! Looking changes nothing and asks LeadSquared nothing, however often a mail scanner does it. A press of the button uses
//! the link up with one conditional write, makes LeadSquared's key and sends the browser to the portal with it; no key is
//! ever stored. When LeadSquared does not make one, the link is given back and can be pressed again.
//!
//! A repeat is safe: of any number who press, one gets into the portal, however hurriedly they press. A link that was asked for
//! twice in the same minute of the clock is one invitation. Where this process dies with a link used up and nobody signed in, the page mails a fresh
//! one.

mod config;
mod handler;
mod links;
mod page;
mod page_id;
mod place;
mod texts;

pub use config::Config;
pub use handler::answer;
pub use links::{LoginLinks, TIMEOUTS};
pub use texts::{Language, UnknownLanguage};
