//! Rules on the SYN itself and on how many come, with the kernel's own SYNs.

use control::lab::{Action, Isn, Lab, Merge, Net, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::{Conversation, SOON, server_name};

/// What Linux sends.
const LINUX: &str =
    "{ destination_ports = 7000, syn = { options = \"mss,sok,ts,nop,ws\", ttl = \"60-64\" } }";
/// What it does not send.
const OTHER: &str =
    "{ destination_ports = [7000, 7001], syn = { options = [\"mss\", \"mss,nop,ws,nop,nop,sok\"] } }";

#[test]
fn a_fingerprint_is_that_of_the_kernel() {
    isolated("rules::a_fingerprint_is_that_of_the_kernel", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let setup =
            Setup::relay(Merge::Never, Isn::Mirror).rule(OTHER, Action::Drop).rule(LINUX, Action::Bypass);
        let appliance = lab.appliance(&setup)?;
        for net in Net::UNTAGGED {
            let _like_linux = Conversation::open(&lab, net, 7000, 100)?;
            appliance.wait_for_flow(&server_name(&lab, net, 7000), "bypassed", SOON)?;
            let _other_port = Conversation::open(&lab, net, 7001, 100)?;
            appliance.wait_for_flow(&server_name(&lab, net, 7001), "participating", SOON)?;
        }
        Ok(())
    });
}

#[test]
fn what_is_above_a_rate_is_dropped() {
    isolated("rules::what_is_above_a_rate_is_dropped", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let few = "{ destination_ports = 9, rate = { above = 1, burst = 3, per = \"source\" } }";
        let setup =
            Setup::relay(Merge::Never, Isn::Mirror).rule(few, Action::Drop).on_port(9, Action::Reject);
        let appliance = lab.appliance(&setup)?;
        // Far more at once than a slow machine's seconds let through: refused within the rate, silence above it.
        let server = lab.server().address(Net::V4);
        let attempts = format!("for n in $(seq 40); do timeout 1 nc -z {server} 9 & done; wait");
        lab.client().command("sh").args(["-c", &attempts]).run()?;
        let (refused, dropped) =
            (appliance.counter("drop_policy_reject")?, appliance.counter("drop_policy")?);
        let shown = format!("{refused} refused and {dropped} dropped");
        expect(refused >= 3 && dropped >= 1 && refused + dropped >= 40, "some of both, forty in all", shown)
    });
}
