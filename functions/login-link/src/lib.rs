#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../README.md")]

mod config;
mod handler;
mod link_path;
mod links;
mod page;
mod page_id;
mod texts;

pub use config::Config;
pub use handler::answer;
pub use link_path::LinkPath;
pub use links::LoginLinks;
pub use texts::{Language, UnknownLanguage};
