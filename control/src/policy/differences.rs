//! What a configuration that is read again wants different and only a restart can make so.

use crate::config::validated::{Config, Device, Limits, Memory, Port, Timeouts};

/// Keys outside of `[[rule]]`, `[module]` and `[policy]` that say something else in `new`, in the order of the reference.
pub(super) fn needing_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut keys = Vec::new();
    let mut compare = |key, is_same: bool| {
        if !is_same {
            keys.push(key);
        }
    };
    compare("socket", old.socket == new.socket);
    memory(&old.memory, &new.memory, &mut compare);
    compare("cores.control", old.cores.control == new.cores.control);
    compare("cores.workers", old.cores.workers == new.cores.workers);
    compare("cores.idle", old.cores.idle == new.cores.idle);
    compare("port", are_same_ports(&old.ports, &new.ports));
    limits(&old.limits, &new.limits, &mut compare);
    timeouts(&old.timeouts, &new.timeouts, &mut compare);
    keys
}

/// The line that a port stands on is no difference.
fn are_same_ports(old: &[Port], new: &[Port]) -> bool {
    let without_place = |port: &Port| Port { place: (0, 0), ..port.clone() };
    old.iter().map(without_place).eq(new.iter().map(without_place))
}

/// Whether a port's number still means the same port: whatever else about it has changed waits for a restart.
pub(super) fn are_ports_numbered_alike(old: &[Port], new: &[Port]) -> bool {
    fn place(port: &Port) -> (&str, &Device, usize) {
        (&port.name, &port.device, port.peer)
    }
    old.iter().map(place).eq(new.iter().map(place))
}

fn memory(old: &Memory, new: &Memory, compare: &mut impl FnMut(&'static str, bool)) {
    compare("memory.hugepages", old.hugepages == new.hugepages);
    compare("memory.megabytes", old.megabytes == new.megabytes);
    compare("memory.buffers", old.buffers == new.buffers);
}

/// Compares fields that are called as their keys. With the one that is not it names all, so that none can be forgotten here.
macro_rules! each_field {
    ($table:literal, $kind:ident, $old:expr, $new:expr, $compare:expr; $($field:ident),*; $($other:ident)?) => {
        let $kind { $($field: _,)* $($other: _)? } = $old;
        $($compare(concat!($table, ".", stringify!($field)), $old.$field == $new.$field);)*
    };
}

fn limits(old: &Limits, new: &Limits, compare: &mut impl FnMut(&'static str, bool)) {
    compare("limits.source_prefix_v4", old.source_prefix.0 == new.source_prefix.0);
    compare("limits.source_prefix_v6", old.source_prefix.1 == new.source_prefix.1);
    each_field! { "limits", Limits, old, new, compare;
        flows, suspended, suspended_per_source, suspended_per_destination, history, participating, far_sides,
        inspected, inspected_bytes,
        held_packets, send_buffer, receive_buffer, participating_bytes, drain_up_to, receive_ring, transmit_ring, mailbox,
        icmp_errors, congestion; source_prefix
    }
}

fn timeouts(old: &Timeouts, new: &Timeouts, compare: &mut impl FnMut(&'static str, bool)) {
    each_field! { "timeouts", Timeouts, old, new, compare;
        syn, idle_established, half_closed, user, keepalive, linger, drain, control_stall, shutdown;
    }
}
