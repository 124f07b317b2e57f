//! What is not intercepted crosses as over a wire.

use control::lab::{Action, Lab, Net, Pmd, Result, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::{Conversation, MEGABYTE, SOON, datagram, download, server_name};

#[test]
fn what_is_not_tcp_crosses() {
    isolated("passing::what_is_not_tcp_crosses", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let _appliance = lab.appliance(&Setup::default())?;
        not_tcp(&lab, &Net::UNTAGGED)
    });
}

#[test]
fn what_is_not_tcp_crosses_over_xdp() {
    isolated("passing::what_is_not_tcp_crosses_over_xdp", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let _appliance = lab.appliance(&Setup::default().pmd(Pmd::AfXdp))?;
        not_tcp(&lab, &Net::UNTAGGED)
    });
}

#[test]
fn what_is_not_tcp_crosses_inside_of_a_vlan() {
    isolated("passing::what_is_not_tcp_crosses_inside_of_a_vlan", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).vlan().build()?;
        let _appliance = lab.appliance(&Setup::default())?;
        not_tcp(&lab, &Net::TAGGED)
    });
}

/// Echoes, datagrams, and neighbours that know each other's own hardware addresses.
fn not_tcp(lab: &Lab, nets: &[Net]) -> Result<()> {
    for net in nets {
        let server = lab.server().address(*net);
        lab.client().wait_for_echo(server, SOON)?;
        datagram(lab, *net)?;
        let hardware = lab.server().hardware_address(*net)?;
        let neighbour = lab.client().ip(&format!("neighbour show {server}"))?;
        expect(neighbour.contains(&hardware), format!("{hardware} for {server}"), neighbour)?;
    }
    Ok(())
}

#[test]
fn a_bypassed_connection_is_never_intercepted() {
    isolated("passing::a_bypassed_connection_is_never_intercepted", |inside| {
        passed_by_rule(&Lab::builder(inside, EXECUTABLE).build()?, Action::Bypass, "bypassed")
    });
}

#[test]
fn a_monitored_connection_passes() {
    isolated("passing::a_monitored_connection_passes", |inside| {
        passed_by_rule(&Lab::builder(inside, EXECUTABLE).build()?, Action::Monitor, "monitored")
    });
}

fn passed_by_rule(lab: &Lab, action: Action, path: &str) -> Result<()> {
    let appliance = lab.appliance(&Setup::default().on_port(7000, action).on_port(80, action))?;
    for net in Net::UNTAGGED {
        let mut talk = Conversation::open(lab, net, 7000, 1000)?;
        let flow = appliance.wait_for_flow(&server_name(lab, net, 7000), path, SOON)?;
        expect(flow["merges"] == 0 && flow["splits"] == 0, "neither merge nor split", flow.to_string())?;
        talk.say(1000)?;
        drop(talk);
        download(lab, net, MEGABYTE)?;
    }
    Ok(())
}
