//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::api::MAX_FLOWS;
use crate::config::DEFAULT_SOCKET;

/// Transparent TCP interception appliance.
#[derive(Debug, Parser)]
#[command(name = "quadrille", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage or bad configuration.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the appliance in the foreground
    ///
    /// Logs go to standard error; RUST_LOG=debug (or =control=trace) says more.
    Run(ConfigFile),
    /// Validate a configuration and show the ports, cores, rings and memory that it comes to
    Check(ConfigFile),
    /// Show the appliance at work between two network namespaces that it makes and removes
    Demo,
    /// Show the running appliance: ports, links, cores
    Status(Query),
    /// List flows: endpoints, path, module, deltas, bytes, splits, merges, age
    Flows(FlowQuery),
    /// Show counters, packet buffers and table sizes
    Stats(Query),
    /// List the rules in order, and how many SYNs each has decided
    Rules(Query),
    /// Split a flow: the control core and its module take part in it from now on, with data in flight
    Split(SplitQuery),
    /// Merge a flow: its worker carries it from now on. Or allow no merges at all, and allow them again
    Merge(MergeQuery),
    /// List what has happened to flows lately: every split and merge, and how long it took; and what inspections have found
    Events(EventQuery),
    /// Read the configuration again: rules, modules and policy change, flows keep what they have
    ///
    /// A configuration with errors changes nothing, is reported as by `check`, and ends with exit code 2.
    Reload(Query),
}

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// Configuration in TOML; configs/ holds one commented file per use
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Query {
    /// Answer in JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Management socket of the appliance
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub(super) socket: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct SplitQuery {
    #[command(flatten)]
    pub(super) query: Query,
    /// The flow's client, as `flows` shows it: 192.0.2.1:40000 or [2001:db8::1]:40000
    #[arg(value_name = "CLIENT")]
    pub(super) client: SocketAddr,
    /// The flow's server
    #[arg(value_name = "SERVER")]
    pub(super) server: SocketAddr,
    #[command(flatten)]
    pub(super) place: Place,
    /// The module that is to look at it, instead of that which it was offered to or its rule names
    #[arg(long, value_name = "NAME")]
    pub(super) module: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct MergeQuery {
    #[command(flatten)]
    pub(super) query: Query,
    /// No flow merges from now on; those that are cut through stay so
    #[arg(long, conflicts_with_all = ["on", "client", "server"])]
    pub(super) off: bool,
    /// Flows merge again
    #[arg(long, conflicts_with_all = ["client", "server"])]
    pub(super) on: bool,
    /// The flow's client, as `flows` shows it: 192.0.2.1:40000 or [2001:db8::1]:40000
    #[arg(value_name = "CLIENT", required_unless_present_any = ["on", "off"])]
    pub(super) client: Option<SocketAddr>,
    /// The flow's server
    #[arg(value_name = "SERVER", required_unless_present_any = ["on", "off"])]
    pub(super) server: Option<SocketAddr>,
    #[command(flatten)]
    pub(super) place: Place,
}

/// Which of several flows with the same endpoints is meant.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Of several flows with these endpoints the one on this VLAN, as `flows` shows it: 7, 100.7, or none
    #[arg(long, value_name = "ID", value_parser = vlan_ids)]
    pub(super) vlan: Option<VlanIds>,
    /// The same: the one on this port pair, as `flows --json` shows it
    #[arg(long, value_name = "N")]
    pub(super) pair: Option<u8>,
}

/// None, one, or two, the outer first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VlanIds(pub(super) Vec<u16>);

fn vlan_ids(text: &str) -> Result<VlanIds, String> {
    let id = |text: &str| text.parse().ok().filter(|id| (1..=4094).contains(id));
    let ids: Option<Vec<u16>> =
        if text == "none" { Some(Vec::new()) } else { text.split('.').map(id).collect() };
    let ids = ids.filter(|ids| ids.len() <= 2);
    ids.map(VlanIds).ok_or_else(|| "write an id (1 to 4094), OUTER.INNER for two tags, or none".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct EventQuery {
    #[command(flatten)]
    pub(super) query: Query,
    /// Only the last so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) limit: usize,
}

#[derive(Debug, Args)]
pub(super) struct FlowQuery {
    #[command(flatten)]
    pub(super) query: Query,
    /// Stop after so many flows
    #[arg(long, value_name = "N", default_value_t = MAX_FLOWS)]
    pub(super) limit: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vlan_is_named_as_flows_are_shown() {
        let ids = |text| vlan_ids(text).map(|ids| ids.0);
        assert_eq!(ids("none"), Ok(vec![]));
        assert_eq!([ids("7"), ids("100.7")], [Ok(vec![7]), Ok(vec![100, 7])]);
        for wrong in ["", "0", "4095", "1.2.3", "1.", "-", "a"] {
            assert!(ids(wrong).is_err(), "{wrong}");
        }
    }
}
