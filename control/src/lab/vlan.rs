//! The VLAN of a lab: the kernel's own tagged interface, or its stand-in where the kernel was built without 802.1Q.
//!
//! The stand-in is a pair of veth devices inside of the host, `eth0.77` and `tag77`. Two small BPF classifiers tag what
//! comes out of `tag77` on its way to `eth0`, and untag what `eth0` receives in the VLAN. On the wire and for the
//! programs of the host it is the same; it needs root and clang.

use std::fs;

use super::command::Command;
use super::endpoint::{Endpoint, INTERFACE, Net, VLAN_ID};
use super::error::{LabError, Result};

const CLASSIFIERS: &str = include_str!("vlan_tag.c");

/// The inner end of the stand-in.
const TAGGER: &str = "tag77";

/// Gives a host its tagged interface, up and without addresses.
pub(super) fn add(endpoint: &Endpoint, rootless: bool) -> Result<()> {
    let tagged = Net::Vlan4.interface();
    let line = format!("link add link {INTERFACE} name {tagged} type vlan id {VLAN_ID}");
    let native = endpoint.command("ip").words(&line).run()?;
    if native.stderr.contains("Unknown device type") {
        if rootless {
            let what = "a VLAN on a kernel without 802.1Q (a BPF classifier stands in)".into();
            return Err(LabError::NeedsRoot { what });
        }
        stand_in(endpoint, &tagged)?;
    } else {
        native.ok()?;
    }
    endpoint.ip(&format!("link set {tagged} up")).map(drop)
}

fn stand_in(endpoint: &Endpoint, tagged: &str) -> Result<()> {
    endpoint.ip(&format!("link add {tagged} type veth peer name {TAGGER}"))?;
    endpoint.set(&format!("net/ipv6/conf/{TAGGER}/disable_ipv6"), "1")?;
    endpoint.ip(&format!("link set {TAGGER} promisc on up"))?;
    endpoint.command("ethtool").words(&format!("-K {tagged} tx off tso off gso off gro off")).ok()?;
    carry(endpoint, TAGGER, INTERFACE, &["-DPUSH"])?;
    carry(endpoint, INTERFACE, TAGGER, &[])
}

/// Redirects what the classifier matches on the way in through `from` to the way out through `to`.
fn carry(endpoint: &Endpoint, from: &str, to: &str, flags: &[&str]) -> Result<()> {
    let source = endpoint.directory().join("vlan_tag.c");
    let object = endpoint.directory().join(format!("vlan_{from}.o"));
    fs::write(&source, CLASSIFIERS).map_err(LabError::io(format!("writing {}", source.display())))?;
    Command::new("clang")
        .words(&format!("-O2 -target bpf -DVLAN_ID={VLAN_ID}"))
        .args(flags)
        .args(["-c".as_ref(), source.as_os_str(), "-o".as_ref(), object.as_os_str()])
        .ok()?;
    endpoint.command("tc").words(&format!("qdisc add dev {from} clsact")).ok()?;
    let filter = endpoint.command("tc").words(&format!("filter add dev {from} ingress bpf obj")).arg(&object);
    filter.words(&format!("sec classifier action mirred egress redirect dev {to}")).ok().map(drop)
}
