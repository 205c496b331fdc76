#![doc = include_str!("../../../shared/rustdoc-links.md")]
#![doc = include_str!("../README.md")]
#![doc = include_str!("../sign-in-matrix.md")]

mod answers;
mod attempts;
mod body;
mod claim;
mod codes;
mod config;
mod cookie;
mod cost;
mod handler;
mod identity;
mod limits;
mod pace;
mod password;
mod proof;
mod route;
mod service;
mod sign_in;
mod sign_in_code;
mod upstream;
mod visitor;

pub use codes::typed as typed_code;
pub use config::Config;
pub use identity::Identities;
pub use pace::{BUDGET, wait};
pub use service::PortalAccount;
