//! The loopback ports that the stack listens on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;

use crate::steps::Steps;

/// The ports to use on 127.0.0.1. A free port replaces each one that is absent or taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The demonstration site: form and mailbox.
    pub site: Option<u16>,
    /// The HTTP API.
    pub api: Option<u16>,
    /// The LeadSquared emulator.
    pub emulator: Option<u16>,
    /// MiniStack.
    pub ministack: Option<u16>,
}

impl Ports {
    /// The same ports at every start, so that open browser tabs keep working.
    pub const USUAL: Self = Self { site: Some(4300), api: Some(4301), emulator: Some(4302), ministack: Some(4303) };
}

/// Listens on the wanted port if it is free. Otherwise it listens on another free port and says so.
pub(crate) fn listener(wanted: Option<u16>, whose: &str, steps: &Steps) -> anyhow::Result<TcpListener> {
    let preferred = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted.unwrap_or(0)));
    let listener = preferred.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let listener = listener.context("there is no free port on 127.0.0.1")?;
    let address = listener.local_addr()?;
    if let Some(port) = wanted.filter(|port| *port != address.port()) {
        steps.say(&format!("  Port {port} is taken; {whose} is at {address} this time."));
    }
    // Tokio requires this.
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// An address that [`listener`] would use, for another process to listen on.
pub(crate) fn address(wanted: Option<u16>, whose: &str, steps: &Steps) -> anyhow::Result<SocketAddr> {
    Ok(listener(wanted, whose, steps)?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_gives_way_to_a_free_one() {
        let steps = Steps::hidden();
        let first = listener(None, "one", &steps).unwrap();
        let taken = first.local_addr().unwrap().port();
        let second = listener(Some(taken), "another", &steps).unwrap();
        assert_ne!(second.local_addr().unwrap().port(), taken);
        drop(first);
    }

    #[test]
    fn a_free_port_is_used_as_wanted() {
        // Another process may take a free port at any time, but hardly at every attempt.
        let is_used = |_| {
            let free = address(None, "it", &Steps::hidden()).unwrap().port();
            address(Some(free), "it", &Steps::hidden()).unwrap().port() == free
        };
        assert!((0..20).any(is_used));
    }

    #[test]
    fn everything_listens_on_loopback() {
        assert!(address(None, "it", &Steps::hidden()).unwrap().ip().is_loopback());
    }
}
