//! Loss and refusal with nftables, on one of the lab's hosts.

use super::endpoint::Endpoint;
use super::error::Result;

/// Where in the host's stack a rule works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// What the host receives.
    Input,
    /// What the host sends.
    Output,
}

impl Hook {
    const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

impl Endpoint {
    /// Runs an nft script.
    ///
    /// # Errors
    /// nft's own words.
    pub fn nft(&self, script: &str) -> Result<()> {
        self.command("nft").words("-f -").stdin(script).ok().map(drop)
    }

    /// Adds one rule, written as in nft, to a chain of the lab's own table.
    ///
    /// # Errors
    /// As [`Self::nft`].
    pub fn rule(&self, hook: Hook, rule: &str) -> Result<()> {
        let hook = hook.name();
        self.nft(&format!(
            "add table inet lab\n\
             add chain inet lab {hook} {{ type filter hook {hook} priority 0; }}\n\
             add rule inet lab {hook} {rule}\n"
        ))
    }

    /// Loses so many of a thousand TCP segments, at random.
    ///
    /// # Errors
    /// As [`Self::nft`].
    pub fn lose(&self, hook: Hook, per_mille: u16) -> Result<()> {
        self.rule(hook, &format!("meta l4proto tcp numgen random mod 1000 < {per_mille} drop"))
    }

    /// Answers connections to a port with an ICMP error instead of a reset; `kind` is nft's word for one that both
    /// families know: `admin-prohibited`, `port-unreachable`, `host-unreachable` or `no-route`.
    ///
    /// # Errors
    /// As [`Self::nft`].
    pub fn reject(&self, port: u16, kind: &str) -> Result<()> {
        self.rule(Hook::Input, &format!("tcp dport {port} reject with icmpx type {kind}"))
    }

    /// Answers connections to a port with nothing.
    ///
    /// # Errors
    /// As [`Self::nft`].
    pub fn silence(&self, port: u16) -> Result<()> {
        self.rule(Hook::Input, &format!("tcp dport {port} drop"))
    }

    /// Takes all rules away.
    ///
    /// # Errors
    /// As [`Self::nft`].
    pub fn clear_rules(&self) -> Result<()> {
        self.nft("add table inet lab\ndelete table inet lab\n")
    }
}
