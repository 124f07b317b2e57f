//! Clients that give up, begin anew or come back while nobody has answered them (DESIGN section 4, at its end).

use std::time::Duration;

use control::lab::{
    Appliance, Capture, Command, Hook, Isn, Lab, Merge, Net, Pmd, Process, Result, Setup, expect, isolated,
    wait_until,
};

use crate::EXECUTABLE;
use crate::traffic::{SOON, server_name};

/// See there for what its commands do.
const PROGRAM: &str = include_str!("held.py");

const PORT: u16 = 7700;

/// Both families, each with the ends' own numbers and with ours.
fn all() -> impl Iterator<Item = (Net, Isn)> {
    Net::UNTAGGED.into_iter().flat_map(|net| [(net, Isn::Mirror), (net, Isn::Keyed)])
}

/// Server and appliance; what the client is told to do comes from a test.
fn serve(lab: &Lab, net: Net) -> Result<Process> {
    let address = lab.server().address(net).to_string();
    let server = lab.server().command("python3").args(["-c", PROGRAM, "serve", &address, &PORT.to_string()]);
    let mut server = server.spawn()?;
    server.wait_for_text("listening", SOON)?;
    lab.client().wait_for_echo(lab.server().address(net), SOON)?;
    Ok(server)
}

fn client(lab: &Lab, net: Net, command: &str) -> Command {
    let address = lab.server().address(net).to_string();
    let client = lab.client().command("python3").args(["-c", PROGRAM, command, &address, &PORT.to_string()]);
    client.timeout(Duration::from_secs(60))
}

fn wait_until_gone(appliance: &Appliance) -> Result<()> {
    wait_until("an appliance without flows", SOON, || Ok(appliance.flows()?.is_empty()))
}

/// Nobody is waited for at the server.
fn wait_until_not_half_open(lab: &Lab) -> Result<()> {
    let sockets = lab.server().command("ss").words("-Htn state syn-recv");
    wait_until("a server without half-open connections", SOON, || Ok(sockets.ok()?.trim().is_empty()))
}

/// Linux says nothing when a socket that connects is closed: the next SYN has another number.
#[test]
fn a_client_that_begins_anew_gets_its_connection() {
    isolated("held::a_client_that_begins_anew_gets_its_connection", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        for (net, isn) in all() {
            let appliance = lab.appliance(&Setup::relay(Merge::Never, isn))?;
            let _server = serve(&lab, net)?;
            lab.server().silence(PORT)?;
            let mut client = client(&lab, net, "renewed").spawn()?;
            client.wait_for_text("first", SOON)?;
            appliance.wait_for_flow(&server_name(&lab, net, PORT), "suspended", SOON)?;
            client.write(b"\n")?;
            client.wait_for_text("second", SOON)?;
            lab.server().clear_rules()?;
            client.write(b"\n")?;
            client.wait(SOON * 3)?.ok()?;
        }
        Ok(())
    });
}

/// The server has a connection that nobody else knows of: it was made when there was only a wire.
#[test]
fn a_server_that_answers_with_a_bare_ack_is_connected_to() {
    isolated("held::a_server_that_answers_with_a_bare_ack_is_connected_to", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        for (net, isn) in all() {
            let wire = lab.testpmd(Pmd::AfPacket)?;
            let _server = serve(&lab, net)?;
            let mut client = client(&lab, net, "forgotten").spawn()?;
            client.wait_for_text("connected", SOON)?;
            lab.client().rule(Hook::Output, "tcp flags rst drop")?;
            client.write(b"\n")?;
            client.wait_for_text("gone", SOON)?;
            lab.client().clear_rules()?;
            drop(wire);
            let _appliance = lab.appliance(&Setup::relay(Merge::Never, isn))?;
            let seen = lab.server().capture(&format!("tcp port {PORT}"))?;
            client.write(b"\n")?;
            client.wait(SOON * 3)?.ok()?;
            let resets = seen.matching("tcp[13] = 4 or ip6[53] = 4")?;
            expect(!resets.trim().is_empty(), "a RST for the old connection", seen.text()?)?;
        }
        Ok(())
    });
}

#[test]
fn a_client_that_gives_up_while_it_is_held_is_forgotten() {
    isolated("held::a_client_that_gives_up_while_it_is_held_is_forgotten", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        lab.server().silence(PORT)?;
        for (net, isn) in all() {
            let appliance = lab.appliance(&Setup::relay(Merge::Never, isn))?;
            let _server = serve(&lab, net)?;
            let seen = lab.server().capture("(tcp[13] = 4 or ip6[53] = 4)")?;
            let mut client = client(&lab, net, "given_up").spawn()?;
            client.wait_for_text("asked", SOON)?;
            appliance.wait_for_flow(&server_name(&lab, net, PORT), "suspended", SOON)?;
            client.write(b"\n")?;
            client.wait(SOON)?.ok()?;
            wait_until_gone(&appliance)?;
            wait_until("a RST at the server", SOON, || Ok(!seen.text()?.trim().is_empty()))?;
        }
        Ok(())
    });
}

/// The client's kernel refuses the SYN-ACK, as one does that knows of no such connection any more.
#[test]
fn a_client_that_refuses_its_answer_leaves_nothing_at_the_server() {
    isolated("held::a_client_that_refuses_its_answer_leaves_nothing_at_the_server", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        for isn in [Isn::Mirror, Isn::Keyed] {
            let _appliance = lab.appliance(&Setup::relay(Merge::Never, isn))?;
            for net in Net::UNTAGGED {
                let _server = serve(&lab, net)?;
                let answers = lab.server().capture("(tcp[13] & 18 = 18 or ip6[53] & 18 = 18)")?;
                // Errors that Linux lets end a half-open connection: in IPv4 those that are not final, in IPv6 those that
                // are.
                let error = if net == Net::V4 {
                    "icmp type host-unreachable"
                } else {
                    "icmpv6 type admin-prohibited"
                };
                let family = if net == Net::V4 { "ipv4" } else { "ipv6" };
                for refusal in ["tcp reset", error] {
                    let rule = format!(
                        "meta nfproto {family} tcp sport {PORT} tcp flags & (syn | ack) == syn | ack \
                         reject with {refusal}"
                    );
                    lab.client().rule(Hook::Input, &rule)?;
                    lab.client().connect(lab.server().address(net), PORT, Duration::from_secs(1))?;
                    wait_until("a SYN-ACK", SOON, || Ok(!answers.text()?.trim().is_empty()))?;
                    wait_until_not_half_open(&lab)?;
                    lab.client().clear_rules()?;
                }
            }
        }
        Ok(())
    });
}

/// Fast Open without cookies: the client sends its first bytes with the SYN, and the server would take them.
#[test]
fn data_that_comes_with_a_syn_arrives_behind_the_handshake() {
    isolated("held::data_that_comes_with_a_syn_arrives_behind_the_handshake", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        lab.client().set("net/ipv4/tcp_fastopen", "5")?;
        lab.server().set("net/ipv4/tcp_fastopen", "514")?;
        for (net, isn) in all() {
            let _appliance = lab.appliance(&Setup::relay(Merge::Never, isn))?;
            let _server = serve(&lab, net)?;
            let sent = lab.client().capture(&format!("dst port {PORT}"))?;
            let arrived = lab.server().capture(&format!("dst port {PORT}"))?;
            client(&lab, net, "data_with_syn").ok()?;
            let syns = |capture: &Capture| {
                capture
                    .text()
                    .map(|text| text.lines().filter(|line| line.contains("[S]")).collect::<String>())
            };
            let (sent, arrived) = (syns(&sent)?, syns(&arrived)?);
            expect(sent.contains("length 12"), "data with the client's SYN", sent)?;
            expect(arrived.contains("length 0"), "none with the server's", arrived)?;
        }
        Ok(())
    });
}

/// The quad is known to whoever has closed first, and lingers here, too: neither keeps a client from it.
#[test]
fn a_port_is_used_again_during_time_wait() {
    isolated("held::a_port_is_used_again_during_time_wait", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        // Linux takes its own port again after a second at the latest, when asked to.
        lab.client().set("net/ipv4/tcp_tw_reuse", "1")?;
        for merge in [Merge::Never, Merge::Established] {
            for (net, isn) in all() {
                let appliance = lab.appliance(&Setup::relay(merge, isn))?;
                let _server = serve(&lab, net)?;
                for (command, waits) in
                    [("closed_by_server", lab.server()), ("closed_by_client", lab.client())]
                {
                    let mut client = client(&lab, net, command).spawn()?;
                    client.wait_for_text("closed", SOON)?;
                    let sockets = waits.command("ss").words("-Htn state time-wait");
                    let known = sockets.arg(format!("( sport = :{PORT} or dport = :{PORT} )"));
                    wait_until("TIME-WAIT", SOON, || Ok(!known.ok()?.trim().is_empty()))?;
                    // Linux's clock for its own TIME-WAIT has to have ticked.
                    std::thread::sleep(Duration::from_millis(1100));
                    client.write(b"\n")?;
                    client.wait(SOON * 3)?.ok()?;
                }
                let offered = appliance.counter("flows_offered")?;
                expect(offered == 4, "each SYN offered as a flow of its own", offered.to_string())?;
            }
        }
        Ok(())
    });
}

/// Segments that speak of Fast Open, as tcpdump reads their options.
fn fast_open(capture: &Capture) -> Result<usize> {
    Ok(capture.text()?.lines().filter(|line| line.contains("tfo")).count())
}

/// Over a wire the server gives a cookie and takes data with a SYN that has it. Over us the client asks for none, or shows
/// the one that it has, in vain, and its data follows the handshake.
#[test]
fn no_fast_open_cookie_crosses() {
    isolated("held::no_fast_open_cookie_crosses", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        lab.client().set("net/ipv4/tcp_fastopen", "1")?;
        lab.server().set("net/ipv4/tcp_fastopen", "2")?;
        let filter = format!("tcp port {PORT}");
        for (net, isn) in all() {
            for has_cookie in [false, true] {
                lab.client().ip("tcp_metrics flush all")?;
                if has_cookie {
                    let _wire = lab.testpmd(Pmd::AfPacket)?;
                    let _server = serve(&lab, net)?;
                    client(&lab, net, "fast_open").ok()?;
                    let known = lab.client().ip("tcp_metrics show")?;
                    expect(known.contains("fo_cookie"), "a cookie over the wire", known)?;
                }
                let _appliance = lab.appliance(&Setup::relay(Merge::Never, isn))?;
                let _server = serve(&lab, net)?;
                let (sent, arrived) = (lab.client().capture(&filter)?, lab.server().capture(&filter)?);
                client(&lab, net, "fast_open").ok()?;
                expect(fast_open(&sent)? == 2, "Fast Open in both SYNs of the client", sent.text()?)?;
                expect(fast_open(&arrived)? == 0, "none at the server", arrived.text()?)?;
                let syns = arrived.text()?;
                let mut syns = syns.lines().filter(|line| line.contains("[S]"));
                expect(syns.all(|line| line.contains("length 0")), "SYNs without data", arrived.text()?)?;
            }
        }
        Ok(())
    });
}
