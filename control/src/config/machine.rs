//! What a configuration is proven against; an argument, so that tests run on machines that they do not have.

use std::path::Path;

use rustix::net::{AddressFamily, SocketType, netdevice, socket};

/// The machine, as far as a configuration can contradict it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Ids of the cores that this process may run on, ascending.
    pub cores: Vec<usize>,
    /// Interfaces and NICs.
    pub devices: Devices,
}

/// Interfaces and NICs of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// Nobody has looked: all are taken to be there.
    Unknown,
    /// Those of this process' network namespace, and of the PCI bus.
    Here,
}

impl Devices {
    /// Whether the kernel has an interface of this name, or alternative name, in this network namespace.
    pub(super) fn has_interface(self, name: &str) -> bool {
        // A machine that gives no socket to ask with is not one to judge the name by.
        let known = |socket| netdevice::name_to_index(socket, name).is_ok();
        self == Devices::Unknown || socket(AddressFamily::UNIX, SocketType::DGRAM, None).map_or(true, known)
    }

    /// The interfaces that there are, for messages.
    pub(super) fn interfaces(self) -> Vec<String> {
        let table = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
        let names = table.lines().filter_map(|line| line.split_once(':'));
        let mut names: Vec<String> = names.map(|(name, _)| name.trim().to_owned()).collect();
        names.retain(|name| name != "lo");
        names.sort_unstable();
        names
    }

    /// Whether the PCI bus has this full address.
    pub(super) fn has_pci(self, address: &str) -> bool {
        self == Devices::Unknown || Path::new("/sys/bus/pci/devices").join(address).exists()
    }
}

impl Machine {
    /// The machine that this process runs on. A container's cpuset and `taskset` count: what the process may not
    /// use does not exist for it.
    pub fn this() -> Machine {
        let ids = core_affinity::get_core_ids().unwrap_or_default();
        let mut cores: Vec<usize> = ids.into_iter().map(|core| core.id).collect();
        cores.sort_unstable();
        Machine { cores, devices: Devices::Here }
    }

    /// `0-3, 8`: for messages.
    pub fn core_list(&self) -> String {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for &core in &self.cores {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == core => *last = core,
                _ => ranges.push((core, core)),
            }
        }
        let show = |(first, last): &(usize, usize)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}-{last}"),
        };
        ranges.iter().map(show).collect::<Vec<_>>().join(", ")
    }
}
