#![doc = include_str!("../README.md")]
#![doc = include_str!("../sign-in-matrix.md")]

mod answers;
mod body;
mod claim;
mod codes;
mod config;
mod cookie;
mod handler;
mod identity;
mod limits;
mod networks;
mod pace;
mod proof;
mod sessions;
mod store;
mod upstream;
mod visitor;

pub use config::{Config, TIMEOUTS};
pub use handler::PortalAccount;
pub use identity::{Identities, InvalidIdentities};
pub use pace::{BUDGET, wait};
pub use store::Store;
