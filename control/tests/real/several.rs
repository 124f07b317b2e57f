//! Several ports at once (seed 000): a client that tries 445 and 139 of one server, as CIFS clients do.

use control::lab::{Connected, Isn, Lab, Merge, Net, Pmd, Process, Result, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::SOON;

/// See there for what its commands do.
const PROGRAM: &str = include_str!("several.py");

/// What a server does on 445 and 139.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Accepts,
    Refuses,
    Prohibits,
    Drops,
}

use On::{Accepts, Drops, Prohibits, Refuses};

const PORTS: [u16; 2] = [445, 139];
const SERVERS: [[On; 2]; 7] = [
    [Accepts, Refuses],
    [Refuses, Accepts],
    [Accepts, Accepts],
    [Refuses, Refuses],
    [Accepts, Drops],
    [Refuses, Drops],
    [Accepts, Prohibits],
];

/// Starts a server that does so, and tries it as a client: what comes of each port, and in which order it hears of them.
fn tried(lab: &Lab, net: Net, server: [On; 2]) -> Result<(String, String)> {
    let address = lab.server().address(net).to_string();
    lab.server().clear_rules()?;
    let mut listening = Vec::new();
    for (on, port) in server.into_iter().zip(PORTS) {
        match on {
            Accepts => listening.push(port.to_string()),
            Refuses => {}
            Prohibits => lab.server().reject(port, "admin-prohibited")?,
            Drops => lab.server().silence(port)?,
        }
    }
    let _server: Process = {
        let program = lab.server().command("python3").args(["-c", PROGRAM, "serve", &address]);
        let mut process = program.args(&listening).spawn()?;
        process.wait_for_text("listening", SOON)?;
        process
    };
    lab.client().wait_for_echo(lab.server().address(net), SOON)?;
    let client = lab.client().command("python3").args(["-c", PROGRAM, "try", &address]);
    let said = client.args(PORTS.map(|port| port.to_string())).ok()?;
    let line =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned();
    Ok((line("outcome:"), line("order:")))
}

fn setup(isn: Isn, complete: &str, more: &str) -> Setup {
    let together = format!("together = {{ ports = [445, 139], complete = \"{complete}\"{more} }}");
    Setup::relay(Merge::Established, isn).module_keys(&together)
}

/// "The connection initiator sees the same responses on a port by port basis that it would have seen [...] in the absence
/// of the proxy."
#[test]
fn each_port_is_answered_as_without_us() {
    isolated("several::each_port_is_answered_as_without_us", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        lab.server().set("net/ipv4/icmp_ratelimit", "0")?;
        lab.server().set("net/ipv6/icmp/ratelimit", "0")?;
        let all = || {
            let each = |net| SERVERS.map(|server| (net, server));
            Net::UNTAGGED.into_iter().flat_map(each).collect::<Vec<_>>()
        };
        let cable = lab.testpmd(Pmd::AfPacket)?;
        let wire = all().into_iter().map(|(net, server)| Ok(tried(&lab, net, server)?.0));
        let wire: Vec<String> = wire.collect::<Result<_>>()?;
        drop(cable);
        expect(wire[0] == "445 connected, 139 ECONNREFUSED", "one of each over the wire", &wire[0])?;
        for isn in [Isn::Mirror, Isn::Keyed] {
            let appliance = lab.appliance(&setup(isn, "each", ""))?;
            // Once is enough for those that take seconds.
            let is_tried = |server: [On; 2]| isn == Isn::Mirror || !server.contains(&Drops);
            for ((net, server), wire) in
                all().into_iter().zip(&wire).filter(|((_, server), _)| is_tried(*server))
            {
                let (outcome, _) = tried(&lab, net, server)?;
                expect(outcome == *wire, format!("{wire} of {server:?} over {net:?} ({isn:?})"), &outcome)?;
            }
            let stats = appliance.stats()?;
            expect(appliance.counter("together_refused")? == 0, "nobody refused by us", stats.to_string())?;
        }
        Ok(())
    });
}

#[test]
fn only_the_first_port_that_answers_is_completed() {
    isolated("several::only_the_first_port_that_answers_is_completed", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let wanted = |server: [On; 2]| match server {
            [Accepts, _] => "445 connected, 139 ECONNREFUSED",
            [_, Accepts] => "445 ECONNREFUSED, 139 connected",
            [_, Drops] => "445 ECONNREFUSED, 139 silent",
            _ => "445 ECONNREFUSED, 139 ECONNREFUSED",
        };
        let one_of = ["445 connected, 139 ECONNREFUSED", "445 ECONNREFUSED, 139 connected"];
        for isn in [Isn::Mirror, Isn::Keyed] {
            for net in Net::UNTAGGED {
                // What was completed before counts for a while: another appliance for each.
                let is_tried = |server: &[On; 2]| isn == Isn::Mirror || server.contains(&Accepts);
                for server in SERVERS.into_iter().filter(is_tried).filter(|server| server[1] != Prohibits) {
                    let appliance = lab.appliance(&setup(isn, "first", ""))?;
                    let (outcome, order) = tried(&lab, net, server)?;
                    let got = format!("{outcome} in the order {order}");
                    let is_it = match server {
                        [Accepts, Accepts] => one_of.contains(&outcome.as_str()),
                        _ => outcome == wanted(server),
                    };
                    expect(is_it, format!("{} of {server:?} over {net:?} ({isn:?})", wanted(server)), &got)?;
                    // 445 is tried first: it is held, or chosen, before anybody can refuse 139.
                    let in_order = server[0] != Accepts
                        || order.split(", ").next().is_some_and(|it| it.ends_with("SYN-ACK"));
                    expect(in_order, format!("the accepted port first of {server:?} over {net:?}"), &got)?;
                    if server == [Accepts, Accepts] {
                        let refused = appliance.counter("together_refused")?;
                        expect(refused == 1, "one port refused by us", refused.to_string())?;
                    }
                }
            }
        }
        Ok(())
    });
}

/// What the server has accepted at once is not heard of while it is silent on the other port.
#[test]
fn the_client_hears_nothing_of_a_port_that_is_held() {
    isolated("several::the_client_hears_nothing_of_a_port_that_is_held", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        for net in Net::UNTAGGED {
            // What the next server says to the last one's repeated SYNs is nobody's business.
            let appliance = lab.appliance(&setup(Isn::Mirror, "each", ", wait = \"1m\""))?;
            let (outcome, order) = tried(&lab, net, [Accepts, Drops])?;
            let got = format!("{outcome} in the order {order}");
            expect(outcome == "445 silent, 139 silent" && order.is_empty(), "silence", got)?;
            let flows = appliance.flows()?;
            let held = flows.iter().filter(|flow| flow["path"] == "suspended").count();
            expect(held == 2, "two partial connections", format!("{flows:?}"))?;
            // Another port is none of them.
            let (outcome, _) = lab.client().connect(lab.server().address(net), 80, SOON)?;
            expect(outcome == Connected::Refused, "another port refused", format!("{outcome:?}"))?;
        }
        Ok(())
    });
}
