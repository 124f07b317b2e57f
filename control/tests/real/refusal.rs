//! Connections that do not come about: the client gets what the server or the network says, or what a rule says.

use std::time::Duration;

use control::lab::{Action, Connected, Isn, Lab, Merge, Net, Result, Setup, expect, isolated, wait_until};

use crate::EXECUTABLE;
use crate::traffic::{SOON, server_name};

/// The server is asked only once: well below a client's first retransmission of its SYN, 1 s.
const AT_ONCE: Duration = Duration::from_millis(800);

fn relayed(lab: &Lab) -> Result<control::lab::Appliance> {
    lab.appliance(&Setup::relay(Merge::Established, Isn::Mirror))
}

fn outcome(lab: &Lab, net: Net, port: u16, wanted: Connected) -> Result<Duration> {
    let (got, after) = lab.client().connect(lab.server().address(net), port, Duration::from_secs(2))?;
    expect(
        got == wanted,
        format!("{wanted:?} from port {port} over {net:?}"),
        format!("{got:?} after {after:?}"),
    )?;
    Ok(after)
}

/// A connection that comes about, so that address resolution is out of the measured time.
fn warm_up(lab: &Lab) -> Result<()> {
    Net::UNTAGGED.into_iter().try_for_each(|net| lab.client().wait_for_echo(lab.server().address(net), SOON))
}

#[test]
fn a_closed_port_refuses_at_once() {
    isolated("refusal::a_closed_port_refuses_at_once", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let _appliance = relayed(&lab)?;
        warm_up(&lab)?;
        for net in Net::UNTAGGED {
            let after = outcome(&lab, net, 81, Connected::Refused)?;
            expect(after < AT_ONCE, format!("a refusal within {AT_ONCE:?}"), format!("{after:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn an_icmp_error_reaches_the_client() {
    isolated("refusal::an_icmp_error_reaches_the_client", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let _appliance = relayed(&lab)?;
        warm_up(&lab)?;
        lab.server().reject(82, "host-unreachable")?;
        lab.server().reject(83, "admin-prohibited")?;
        for net in Net::UNTAGGED {
            for port in [82, 83] {
                outcome(&lab, net, port, Connected::Unreachable)?;
            }
        }
        Ok(())
    });
}

/// The client retransmits its SYN as it would without us, and nobody answers it.
#[test]
fn silence_stays_silence() {
    isolated("refusal::silence_stays_silence", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let appliance = relayed(&lab)?;
        warm_up(&lab)?;
        lab.server().silence(84)?;
        let answers = lab.client().capture("tcp and src port 84")?;
        for net in Net::UNTAGGED {
            outcome(&lab, net, 84, Connected::Silence)?;
            appliance.wait_for_flow(&server_name(&lab, net, 84), "suspended", SOON)?;
        }
        let heard = answers.text()?;
        expect(heard.trim().is_empty(), "no segment from port 84", heard)
    });
}

/// A server that comes back while the client still tries is connected to.
#[test]
fn a_server_that_was_silent_can_still_answer() {
    isolated("refusal::a_server_that_was_silent_can_still_answer", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let appliance = relayed(&lab)?;
        let _nginx = lab.server().nginx().text("hello", "at last\n").start()?;
        lab.server().silence(80)?;
        let mut curl = lab.client().curl(&lab.server().url(Net::V4, 80, "hello")).spawn()?;
        appliance.wait_for_flow(&server_name(&lab, Net::V4, 80), "suspended", SOON)?;
        lab.server().clear_rules()?;
        let got = curl.wait(SOON * 2)?.ok()?;
        expect(got == "at last\n", "the text", got)
    });
}

/// The client's kernel knows the error for one about its SYN, whose checksums and quotation it has looked at.
#[test]
fn a_rule_rejects_with_an_icmp_error() {
    isolated("refusal::a_rule_rejects_with_an_icmp_error", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).vlan().build()?;
        let words = ["net-unreachable", "host-unreachable", "admin-prohibited", "ttl-exceeded"];
        let setup = words
            .iter()
            .zip(8081..)
            .fold(Setup::default(), |setup, (word, port)| setup.on_port(port, Action::RejectWith(word)));
        let _appliance = lab.appliance(&setup)?;
        for net in Net::UNTAGGED.into_iter().chain(Net::TAGGED) {
            lab.client().wait_for_echo(lab.server().address(net), SOON)?;
            for (word, port) in words.iter().zip(8081..) {
                let after = outcome(&lab, net, port, Connected::Unreachable)?;
                expect(after < AT_ONCE, format!("{word} within {AT_ONCE:?}"), format!("{after:?}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn rules_drop_and_reject_what_the_server_would_have_taken() {
    isolated("refusal::rules_drop_and_reject_what_the_server_would_have_taken", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let setup = Setup::default().on_port(8081, Action::Drop).on_port(8082, Action::Reject);
        let appliance = lab.appliance(&setup)?;
        let _nginx = lab.server().nginx().port(80).port(8081).port(8082).text("hello", "hello").start()?;
        warm_up(&lab)?;
        let seen = lab.server().capture("tcp and dst portrange 8081-8082")?;
        for net in Net::UNTAGGED {
            outcome(&lab, net, 80, Connected::Yes)?;
            outcome(&lab, net, 8081, Connected::Silence)?;
            let after = outcome(&lab, net, 8082, Connected::Refused)?;
            expect(after < AT_ONCE, format!("a reset within {AT_ONCE:?}"), format!("{after:?}"))?;
        }
        let segments = seen.text()?;
        expect(segments.trim().is_empty(), "nothing at the server", segments)?;
        wait_until("a counted drop", SOON, || {
            let stats = appliance.stats()?;
            let counters = stats["counters"].as_object().cloned().unwrap_or_default();
            Ok(counters.iter().any(|(name, value)| name.starts_with("drop_") && value.as_u64() > Some(0)))
        })
    });
}
