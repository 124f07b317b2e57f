//! "The connection experience as if the proxy were not there" (seed 000): the same client against the same server, over a
//! wire and through the appliance. What it sees has to be the same, packet by packet.

use std::time::Duration;

use control::lab::{Command, Hook, Isn, Lab, Merge, Net, Pmd, Result, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::SOON;

/// See there for what the ports mean, and for what is compared.
const PROGRAM: &str = include_str!("experience.py");

const SILENT: u16 = 6002;
/// nft's words for the errors that the server's kernel sends, for the ports from 6100 on.
const NAMED_V4: [&str; 7] = [
    "net-unreachable",
    "host-unreachable",
    "prot-unreachable",
    "port-unreachable",
    "net-prohibited",
    "host-prohibited",
    "admin-prohibited",
];
const NAMED_V6: [&str; 6] =
    ["no-route", "admin-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route"];
/// What the programs' own errors are about is silence to the server's kernel.
const ANSWERED_BY_PROGRAM: &str = "tcp dport 10000-29999 drop";

fn run(lab: &Lab, host: &control::lab::Endpoint, what: &str) -> Command {
    let addresses = Net::UNTAGGED.map(|net| lab.server().address(net).to_string());
    host.command("python3").args(["-c", PROGRAM, what]).args(addresses).timeout(Duration::from_secs(60))
}

/// One paragraph for each port, as the client has seen it.
fn seen(lab: &Lab) -> Result<String> {
    for net in Net::UNTAGGED {
        lab.client().wait_for_echo(lab.server().address(net), SOON)?;
    }
    run(lab, lab.client(), "ask").ok()
}

fn prepare(lab: &Lab) -> Result<()> {
    let server = lab.server();
    server.silence(SILENT)?;
    server.rule(Hook::Input, ANSWERED_BY_PROGRAM)?;
    for (family, words) in [("ipv4", &NAMED_V4[..]), ("ipv6", &NAMED_V6[..])] {
        let icmp = if family == "ipv4" { "icmp" } else { "icmpv6" };
        for (word, port) in words.iter().zip(6100..) {
            let rule = format!("meta nfproto {family} tcp dport {port} reject with {icmp} type {word}");
            server.rule(Hook::Input, &rule)?;
        }
    }
    // As many errors as there are questions; and classic ECN, which is mirrored.
    server.set("net/ipv4/icmp_ratelimit", "0")?;
    server.set("net/ipv6/icmp/ratelimit", "0")?;
    [lab.client(), server].into_iter().try_for_each(|host| host.set("net/ipv4/tcp_ecn", "1"))
}

/// The paragraphs that differ, so that a failure can be read.
fn differences(wire: &str, appliance: &str) -> String {
    let [wire, ours] = [wire, appliance].map(|text| text.split("\nIPv").collect::<Vec<_>>());
    let both = wire.iter().zip(&ours).filter(|(wire, ours)| wire != ours);
    both.map(|(wire, ours)| format!("\nover the wire: IPv{wire}\nwith us: IPv{ours}")).collect()
}

#[test]
fn every_outcome_is_what_it_is_without_us() {
    isolated("experience::every_outcome_is_what_it_is_without_us", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        prepare(&lab)?;
        let mut server = run(&lab, lab.server(), "answer").spawn()?;
        server.wait_for_text("listening", SOON)?;
        let cable = lab.testpmd(Pmd::AfPacket)?;
        let wire = seen(&lab)?;
        drop(cable);
        for word in
            ["ECONNREFUSED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EACCES", "connected", "12/2"]
        {
            expect(wire.contains(word), format!("{word} over the wire"), wire.clone())?;
        }
        for isn in [Isn::Mirror, Isn::Keyed] {
            let appliance = lab.appliance(&Setup::relay(Merge::Never, isn))?;
            let got = seen(&lab)?;
            expect(got == wire, format!("no difference ({isn:?})"), differences(&wire, &got))?;
            drop(appliance);
        }
        Ok(())
    });
}
