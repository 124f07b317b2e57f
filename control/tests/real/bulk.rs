//! Much, many, lossy and half-closed, on both paths.

use control::lab::{Hook, Isn, Lab, Merge, Net, Pmd, Result, Setup, isolated};

use crate::EXECUTABLE;
use crate::traffic::{self, MEGABYTE};

/// Runs traffic through a relay with keyed sequence numbers, the harder of the two.
fn through(name: &str, merge: Merge, pmd: Pmd, traffic: impl FnOnce(&Lab) -> Result<()>) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let _appliance = lab.appliance(&Setup::relay(merge, Isn::Keyed).pmd(pmd))?;
        traffic(&lab)
    });
}

#[test]
fn a_large_file_over_cut_through() {
    through("bulk::a_large_file_over_cut_through", Merge::Established, Pmd::AfPacket, |lab| {
        traffic::download(lab, Net::V4, 100 * MEGABYTE)
    });
}

#[test]
fn a_large_file_over_the_participating_path() {
    through("bulk::a_large_file_over_the_participating_path", Merge::Never, Pmd::AfPacket, |lab| {
        traffic::download(lab, Net::V6, 100 * MEGABYTE)
    });
}

#[test]
fn a_large_file_over_xdp() {
    through("bulk::a_large_file_over_xdp", Merge::FirstResponse, Pmd::AfXdp, |lab| {
        traffic::download(lab, Net::V4, 100 * MEGABYTE)
    });
}

#[test]
fn two_hundred_connections_at_once_merged() {
    through("bulk::two_hundred_connections_at_once_merged", Merge::FirstResponse, Pmd::AfPacket, |lab| {
        traffic::parallel(lab, Net::V4, 200)
    });
}

#[test]
fn two_hundred_connections_at_once_participating() {
    through("bulk::two_hundred_connections_at_once_participating", Merge::Never, Pmd::AfPacket, |lab| {
        traffic::parallel(lab, Net::V6, 200)
    });
}

fn half_closed(lab: &Lab) -> Result<()> {
    for net in Net::UNTAGGED {
        traffic::client_closes_first(lab, net)?;
        traffic::server_closes_first(lab, net)?;
    }
    Ok(())
}

#[test]
fn half_closed_after_a_merge() {
    through("bulk::half_closed_after_a_merge", Merge::Established, Pmd::AfPacket, half_closed);
}

#[test]
fn half_closed_while_participating() {
    through("bulk::half_closed_while_participating", Merge::Never, Pmd::AfPacket, half_closed);
}

/// One segment of a hundred is lost at either end, data and acknowledgements, SYN and FIN alike.
fn lossy(lab: &Lab) -> Result<()> {
    lab.client().lose(Hook::Input, 10)?;
    lab.server().lose(Hook::Input, 10)?;
    traffic::download(lab, Net::V4, 5 * MEGABYTE)?;
    traffic::upload(lab, Net::V6, 5 * MEGABYTE)
}

#[test]
fn losses_after_a_merge() {
    through("bulk::losses_after_a_merge", Merge::Established, Pmd::AfPacket, lossy);
}

#[test]
fn losses_around_a_merge() {
    through("bulk::losses_around_a_merge", Merge::AfterBytes(1_000_000), Pmd::AfPacket, lossy);
}

#[test]
fn losses_while_participating() {
    through("bulk::losses_while_participating", Merge::Never, Pmd::AfPacket, lossy);
}
