//! Programs that treat a connection in their own way, on both paths and with sequence numbers of our own.

use std::time::Duration;

use control::lab::{
    Hook, Impair, Isn, Lab, LabBuilder, Merge, Net, Pmd, Process, Result, Setup, expect, isolated,
};

use crate::EXECUTABLE;
use crate::traffic::SOON;

/// See there for what its commands do.
const PEER: &str = include_str!("peer.py");

const PORT: u16 = 7500;

fn start(lab: &Lab, net: Net) -> Result<Process> {
    let address = lab.server().address(net).to_string();
    let server = lab.server().command("python3").args(["-c", PEER, "serve", &address, &PORT.to_string()]);
    let mut server = server.spawn()?;
    server.wait_for_text("listening", SOON)?;
    Ok(server)
}

fn client(lab: &Lab, net: Net, command: &str) -> control::lab::Command {
    let address = lab.server().address(net).to_string();
    let client = lab.client().command("python3").args(["-c", PEER, command, &address, &PORT.to_string()]);
    client.timeout(Duration::from_secs(60))
}

/// Runs the commands on IPv4 and IPv6, one appliance for each merge.
fn talk(builder: LabBuilder, merges: &[Merge], commands: &[&str]) -> Result<()> {
    let lab = builder.build()?;
    each_merge(&lab, merges, commands)
}

fn each_merge(lab: &Lab, merges: &[Merge], commands: &[&str]) -> Result<()> {
    for merge in merges {
        let appliance = lab.appliance(&Setup::relay(*merge, Isn::Keyed))?;
        for net in Net::UNTAGGED {
            let _server = start(lab, net)?;
            commands.iter().try_for_each(|command| client(lab, net, command).ok().map(drop))?;
        }
        let stats = appliance.stats()?;
        // Segments of a connection behind its reset, some when its port is in use again, and nothing else.
        let expected = ["drop_flow_gone", "drop_stray", "drop_foreign_handshake"];
        let counters = stats["counters"].as_object().cloned().unwrap_or_default();
        let mut drops = counters.iter().filter(|(name, count)| {
            name.starts_with("drop_") && !expected.contains(&name.as_str()) && count.as_u64() != Some(0)
        });
        expect(drops.next().is_none(), format!("no unexplained drop ({merge:?})"), stats.to_string())?;
    }
    Ok(())
}

#[test]
fn a_port_is_used_again_and_resets_cross() {
    isolated("peers::a_port_is_used_again_and_resets_cross", |inside| {
        talk(Lab::builder(inside, EXECUTABLE), &Merge::ALL, &["same_port", "resets_both_ways"])
    });
}

/// A byte out of band is where it was, whoever carries it.
#[test]
fn urgent_data_keeps_its_place() {
    isolated("peers::urgent_data_keeps_its_place", |inside| {
        talk(Lab::builder(inside, EXECUTABLE), &Merge::ALL, &["urgent"])
    });
}

/// With 100 ms on each cable the SYNs of both ends meet in the appliance, whichever comes first.
#[test]
fn both_ends_open_at_once() {
    isolated("peers::both_ends_open_at_once", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let impair = Impair { loss_percent: 0.0, round_trip: Duration::from_millis(400), seed: 1 };
        for (isn, command) in [(Isn::Mirror, "open_at_once"), (Isn::Keyed, "open_at_once_again")] {
            let appliance = lab.appliance(&Setup::relay(Merge::Never, isn).impair(impair))?;
            for net in Net::UNTAGGED {
                let _server = start(&lab, net)?;
                client(&lab, net, command).ok()?;
            }
            let crossed = appliance.counter("syn_crossed")?;
            expect(crossed == 2, "one SYN that met ours in each family", crossed.to_string())?;
        }
        Ok(())
    });
}

#[test]
fn many_short_connections() {
    isolated("peers::many_short_connections", |inside| {
        let builder = Lab::builder(inside, EXECUTABLE).further_client_hosts(3);
        talk(builder, &[Merge::Established, Merge::FirstResponse, Merge::Never], &["short"])
    });
}

#[test]
fn clients_with_other_options() {
    isolated("peers::clients_with_other_options", |inside| {
        let builder = Lab::builder(inside, EXECUTABLE);
        let commands = ["mptcp", "fast_open", "small_buffer"];
        talk(builder, &[Merge::AfterBytes(100_000), Merge::Never], &commands)
    });
}

#[test]
fn hosts_without_an_option() {
    isolated("peers::hosts_without_an_option", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        for host in [lab.client(), lab.server()] {
            for option in ["timestamps", "sack", "window_scaling"] {
                let setting = format!("net/ipv4/tcp_{option}");
                host.set(&setting, "0")?;
                each_merge(&lab, &[Merge::AfterBytes(100_000)], &["exchange"])?;
                host.set(&setting, "1")?;
            }
        }
        Ok(())
    });
}

#[test]
fn hosts_with_a_smaller_mtu() {
    isolated("peers::hosts_with_a_smaller_mtu", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        lab.server().ip("link set eth0 mtu 1300")?;
        each_merge(&lab, &[Merge::Established, Merge::Never], &["exchange"])
    });
}

/// One of twenty segments is lost at either end.
#[test]
fn heavy_losses() {
    isolated("peers::heavy_losses", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        lab.client().lose(Hook::Input, 50)?;
        lab.server().lose(Hook::Input, 50)?;
        each_merge(&lab, &Merge::ALL, &["upload"])
    });
}

/// A client that does not read holds up its server, not the appliance's buffers.
#[test]
fn a_client_that_stops_reading() {
    isolated("peers::a_client_that_stops_reading", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        for merge in [Merge::Established, Merge::Never] {
            let appliance = lab.appliance(&Setup::relay(merge, Isn::Keyed))?;
            let _server = start(&lab, Net::V4)?;
            let mut slow = client(&lab, Net::V4, "slow").spawn()?;
            slow.wait_for_text("waiting", SOON)?;
            std::thread::sleep(Duration::from_secs(2));
            let in_use = appliance.stats()?["mbufs"]["in_use"].as_u64();
            // The send buffer of one leg: 512 KiB of segments.
            expect(in_use.is_some_and(|count| count < 1000), "few buffers in use", format!("{in_use:?}"))?;
            slow.write(b"go on\n")?;
            slow.wait(SOON * 3)?.ok()?;
        }
        Ok(())
    });
}

/// Two workers, and no RSS: half of the frames come in at the worker that does not own their flow.
#[test]
fn two_workers_hand_over() {
    isolated("peers::two_workers_hand_over", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).queues(2).build()?;
        let appliance = lab.appliance(&Setup::relay(Merge::FirstResponse, Isn::Keyed))?;
        let _server = start(&lab, Net::V4)?;
        client(&lab, Net::V4, "many").ok()?;
        let stats = appliance.stats()?;
        expect(appliance.counter("handed_over")? > 0, "frames handed over", stats.to_string())?;
        expect(appliance.counter("merges")? == 50, "50 merges", stats.to_string())
    });
}

/// An XDP socket gets fragments as they are; a packet socket in a fanout group gets them reassembled, too long to pass.
#[test]
fn fragments_cross() {
    isolated("peers::fragments_cross", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let _appliance = lab.appliance(&Setup::default().pmd(Pmd::AfXdp))?;
        for net in Net::UNTAGGED {
            let address = lab.server().address(net);
            lab.client().wait_for_echo(address, SOON)?;
            lab.client().command("ping").words("-n -c 1 -W 5 -s 3000").arg(address.to_string()).ok()?;
        }
        Ok(())
    });
}
