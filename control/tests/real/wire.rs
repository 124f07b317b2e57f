//! The lab itself, with `dpdk-testpmd` as a plain wire in the appliance's place: what fails here is not the appliance.

use std::time::Duration;

use control::lab::{Connected, Hook, Lab, Net, Pmd, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::{self, MEGABYTE, SOON, download};

#[test]
fn echoes_cross_in_every_network() {
    isolated("wire::echoes_cross_in_every_network", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).vlan().build()?;
        let _wire = lab.testpmd(Pmd::AfPacket)?;
        let seen = lab.server().capture("vlan 77 and ip and icmp")?;
        for net in [Net::V4, Net::V6, Net::Vlan4, Net::Vlan6] {
            lab.client().wait_for_echo(lab.server().address(net), SOON)?;
        }
        let tagged = seen.text()?;
        expect(tagged.contains("vlan 77"), "echoes with tag 77 on the wire", tagged)
    });
}

#[test]
fn a_large_file_crosses_unchanged() {
    isolated("wire::a_large_file_crosses_unchanged", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let _wire = lab.testpmd(Pmd::AfPacket)?;
        download(&lab, Net::V4, 100 * MEGABYTE)
    });
}

#[test]
fn tcp_crosses_in_every_network() {
    isolated("wire::tcp_crosses_in_every_network", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).vlan().build()?;
        let _wire = lab.testpmd(Pmd::AfPacket)?;
        let _nginx = lab.server().nginx().port(80).port(8080).text("hello", "over the wire\n").start()?;
        for net in [Net::V4, Net::V6, Net::Vlan4, Net::Vlan6] {
            for port in [80, 8080] {
                let got = lab.client().curl(&lab.server().url(net, port, "hello")).ok()?;
                expect(got == "over the wire\n", format!("the text over {net:?}"), got)?;
            }
        }
        Ok(())
    });
}

#[test]
fn several_queues_and_client_addresses() {
    isolated("wire::several_queues_and_client_addresses", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).queues(2).further_client_hosts(3).build()?;
        let _wire = lab.testpmd(Pmd::AfPacket)?;
        let _nginx = lab.server().nginx().text("hello", "hello").start()?;
        lab.client().curl(&lab.server().url(Net::V6, 80, "hello")).ok()?;
        let url = lab.server().url(Net::V4, 80, "hello");
        for host in [1, 100, 101, 102] {
            let from = Net::V4.host(host).to_string();
            lab.client().curl(&url).args(["--interface", from.as_str()]).ok()?;
        }
        Ok(())
    });
}

#[test]
fn xdp_sockets_carry_the_same() {
    isolated("wire::xdp_sockets_carry_the_same", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).vlan().build()?;
        let _wire = lab.testpmd(Pmd::AfXdp)?;
        lab.client().wait_for_echo(lab.server().address(Net::Vlan6), SOON)?;
        download(&lab, Net::V6, 10 * MEGABYTE)
    });
}

#[test]
fn the_firewall_loses_rejects_and_keeps_silent() {
    isolated("wire::the_firewall_loses_rejects_and_keeps_silent", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let _wire = lab.testpmd(Pmd::AfPacket)?;
        let (client, server) = (lab.client(), lab.server());
        server.reject(82, "host-unreachable")?;
        server.silence(83)?;
        let outcomes = [(81, Connected::Refused), (82, Connected::Unreachable), (83, Connected::Silence)];
        for ((port, outcome), net) in outcomes.iter().zip([Net::V4, Net::V6, Net::V4]) {
            let (got, after) = client.connect(server.address(net), *port, Duration::from_secs(1))?;
            expect(
                got == *outcome,
                format!("{outcome:?} from port {port}"),
                format!("{got:?} after {after:?}"),
            )?;
        }
        server.clear_rules()?;
        server.lose(Hook::Input, 10)?;
        download(&lab, Net::V4, 5 * MEGABYTE)
    });
}

#[test]
fn every_conversation_crosses() {
    isolated("wire::every_conversation_crosses", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let _wire = lab.testpmd(Pmd::AfPacket)?;
        for net in Net::UNTAGGED {
            traffic::datagram(&lab, net)?;
            traffic::client_closes_first(&lab, net)?;
            traffic::server_closes_first(&lab, net)?;
            traffic::upload(&lab, net, MEGABYTE)?;
            traffic::Conversation::open(&lab, net, 7000, 5000)?.say(10)?;
        }
        traffic::parallel(&lab, Net::V4, 200)
    });
}
