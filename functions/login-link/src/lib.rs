#![doc = include_str!("../README.md")]

mod config;
mod handler;
mod links;
mod page;
mod page_id;
mod place;
mod texts;

pub use config::Config;
pub use handler::answer;
pub use links::LoginLinks;
pub use texts::{Language, UnknownLanguage};
