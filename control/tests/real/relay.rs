//! Connections offered to the relay module: every merge, both kinds of sequence numbers, both drivers, every network.

use control::lab::{Isn, Lab, Merge, Net, Pmd, Result, Setup, expect, isolated};
use serde_json::Value;

use crate::EXECUTABLE;
use crate::traffic::{Conversation, MEGABYTE, SOON, download, server_name, upload};

/// One test for each way to relay.
macro_rules! relayed {
    ($($name:ident: $merge:expr, $isn:expr, $pmd:expr;)*) => {
        $(
            #[test]
            fn $name() {
                isolated(concat!("relay::", stringify!($name)), |inside| {
                    let lab = Lab::builder(inside, EXECUTABLE).build()?;
                    relay(&lab, $merge, $isn, $pmd, &Net::UNTAGGED)
                });
            }
        )*
    };
}

relayed! {
    merged_when_established: Merge::Established, Isn::Mirror, Pmd::AfPacket;
    merged_at_the_first_response: Merge::FirstResponse, Isn::Mirror, Pmd::AfPacket;
    merged_after_bytes: Merge::AfterBytes(4096), Isn::Mirror, Pmd::AfPacket;
    never_merged: Merge::Never, Isn::Mirror, Pmd::AfPacket;
    merged_when_established_keyed: Merge::Established, Isn::Keyed, Pmd::AfPacket;
    merged_at_the_first_response_keyed: Merge::FirstResponse, Isn::Keyed, Pmd::AfPacket;
    merged_after_bytes_keyed: Merge::AfterBytes(4096), Isn::Keyed, Pmd::AfPacket;
    never_merged_keyed: Merge::Never, Isn::Keyed, Pmd::AfPacket;
    merged_when_established_over_xdp: Merge::Established, Isn::Keyed, Pmd::AfXdp;
    never_merged_over_xdp: Merge::Never, Isn::Mirror, Pmd::AfXdp;
}

#[test]
fn merged_inside_of_a_vlan() {
    isolated("relay::merged_inside_of_a_vlan", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).vlan().build()?;
        relay(&lab, Merge::FirstResponse, Isn::Keyed, Pmd::AfPacket, &Net::TAGGED)
    });
}

#[test]
fn never_merged_inside_of_a_vlan() {
    isolated("relay::never_merged_inside_of_a_vlan", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).vlan().build()?;
        relay(&lab, Merge::Never, Isn::Mirror, Pmd::AfPacket, &Net::TAGGED)
    });
}

/// The server sees the client's own address, hardware address, hop limit and sequence number.
#[test]
fn nobody_can_tell() {
    isolated("relay::nobody_can_tell", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let appliance = lab.appliance(&Setup::relay(Merge::Never, Isn::Mirror))?;
        let (sent, received) = (lab.client().capture("tcp")?, lab.server().capture("tcp")?);
        let mut talk = Conversation::open(&lab, Net::V4, 7000, 100)?;
        talk.say(100)?;
        appliance.wait_for_flow(&server_name(&lab, Net::V4, 7000), "participating", SOON)?;
        for flags in ["tcp-syn", "(tcp-syn|tcp-ack)"] {
            let filter = format!("tcp[tcpflags] & (tcp-syn|tcp-ack) == {flags}");
            let (at_client, at_server) =
                (identity(&sent.matching(&filter)?), identity(&received.matching(&filter)?));
            let same = at_client == at_server && !at_client.is_empty();
            expect(same, format!("what the client has: {at_client}"), at_server)?;
        }
        Ok(())
    });
}

/// Of a frame as tcpdump shows it: everything but its time and its IP identification, which is 0 when we make it.
fn identity(frame: &str) -> String {
    let words = frame.split_whitespace().skip(1).collect::<Vec<_>>();
    let number = words.iter().position(|word| *word == "id").map(|place| place + 1);
    let kept = words.iter().enumerate().filter(|(place, _)| Some(*place) != number).map(|(_, word)| *word);
    kept.collect::<Vec<_>>().join(" ")
}

/// Transfers, and an open connection whose path and deltas are as asked.
fn relay(lab: &Lab, merge: Merge, isn: Isn, pmd: Pmd, nets: &[Net]) -> Result<()> {
    let appliance = lab.appliance(&Setup::relay(merge, isn).pmd(pmd))?;
    for net in nets {
        let mut talk = Conversation::open(lab, *net, 7000, 3000)?;
        if let Merge::AfterBytes(bytes) = merge {
            talk.say(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        }
        let path = if merge == Merge::Never { "participating" } else { "cut_through" };
        let flow = appliance.wait_for_flow(&server_name(lab, *net, 7000), path, SOON)?;
        check_flow(&flow, merge, isn)?;
        // The connection lives on after the merge.
        talk.say(2000)?;
        drop(talk);
        download(lab, *net, MEGABYTE)?;
        upload(lab, *net, MEGABYTE)?;
    }
    Ok(())
}

fn check_flow(flow: &Value, merge: Merge, isn: Isn) -> Result<()> {
    let shown = flow.to_string();
    expect(flow["module"] == "lab", "the module's name", &shown)?;
    if merge == Merge::Never {
        return expect(flow["merges"] == 0, "no merge", &shown);
    }
    expect(flow["merges"] == 1, "one merge", &shown)?;
    let deltas = [&flow["delta_c2s"], &flow["delta_s2c"]].map(Value::as_i64);
    match isn {
        Isn::Mirror => expect(deltas == [Some(0), Some(0)], "deltas of 0", &shown),
        Isn::Keyed => {
            expect(deltas[0].zip(deltas[1]).is_some_and(|deltas| deltas != (0, 0)), "deltas", &shown)
        }
    }
}
