//! The merge that drains nothing (DESIGN section 5, "stall-free"): 19,600 bytes of the client's are on their way to the server, or
//! wait for the congestion window, when somebody orders the merge.

use std::time::Duration;

use control::connection::Phase;
use control::core::handover::HandOver;
use control::module::Acknowledge;
use control::module::relay::{MergeWhen, Relay};
use dataplane::counters::Counter;
use dataplane::flow::object::Path;
use dataplane::flow::state::TcpState;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_options::{SackBlock, TcpOptions};
use dataplane::worker::message::Event;

use crate::rig::*;

const SEGMENT: u32 = 1400;
const SENT: u32 = 14 * SEGMENT;

/// The flow, the merge ordered, and what was said to that.
fn leaving() -> Rig {
    leave(Rig::established(relay(MergeWhen::AfterBytes(1 << 40))))
}

fn leave(mut rig: Rig) -> Rig {
    for n in 0..14 {
        rig.client(ack(C + 1 + n * SEGMENT, S + 1), &[b'x'; SEGMENT as usize]);
    }
    let answered = rig.order_hand_over(HandOver::Merge, Path::Participating);
    assert!(answered.try_recv().is_err(), "it is not merged yet");
    assert_eq!(rig.core.connections().next().map(|c| c.phase()), Some(Phase::Leaving));
    assert_eq!(rig.count(Counter::MergesInMotion), 1);
    rig
}

#[test]
fn what_comes_goes_end_to_end_and_what_came_stays_ours() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    assert_eq!(script(&rig.client(ack(next, S + 1), b"next")), [format!(">S . {next}:5001 4")]);
    let said = script(&rig.server(ack(S + 1, C + 1 + SEGMENT), b""));
    let is_told = |line: &String| line.starts_with(">C") && !line.ends_with(&format!(":{next} 0"));
    assert!(!said.iter().any(is_told), "an acknowledgment of ours ends here: {said:?}");
    // What the server had no congestion window for has gone now: all is acknowledged, and more.
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    let said = script(&rig.server(ack(S + 1, next + 4), b""));
    assert_eq!(said, [format!(">C . 5001:{} 0", next + 4), "park".into()]);
    let said = script(&rig.parked());
    assert_eq!(said, ["install 0 0", "resume"], "nothing was held");
    rig.assert_gone();
}

/// Whoever orders what is being done already hears when it is done.
#[test]
fn a_flow_that_is_leaving_may_be_ordered_to() {
    let mut rig = leaving();
    let also = rig.order_hand_over(HandOver::Merge, Path::Participating);
    for got in 1..=14 {
        rig.server(ack(S + 1, C + 1 + got * SEGMENT), b"");
    }
    let parking = rig.order_hand_over(HandOver::Merge, Path::Participating);
    assert!(also.try_recv().is_err() && parking.try_recv().is_err(), "its worker does not have it yet");
    rig.parked();
    assert_eq!([also.try_recv(), parking.try_recv()], [Ok(Ok(())), Ok(Ok(()))]);
}

/// The client has been told up to the boundary, and is not told less.
#[test]
fn an_acknowledgment_with_data_is_raised_to_the_boundary() {
    let mut rig = leaving();
    let said = script(&rig.server(ack(S + 1, C + 1 + SEGMENT), b"answer"));
    assert!(said.contains(&format!(">C . 5001:{} 6", C + 1 + SENT)), "{said:?}");
}

#[test]
fn losses_below_are_repeated_by_us_and_repetitions_of_the_sender_answered() {
    let mut rig = leaving();
    let said = script(&rig.client(ack(C + 1, S + 1), &[b'x'; SEGMENT as usize]));
    assert_eq!(said, [format!(">C . 5001:{} 0", C + 1 + SENT)], "it has not heard that we have that");
    let said = script(&rig.wait(Duration::from_secs(2)));
    assert!(said.iter().any(|line| line.starts_with(&format!(">S . {}:5001 ", C + 1))), "{said:?}");
}

#[test]
fn a_fin_that_passes_is_in_the_object() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    assert_eq!(script(&rig.client(fin(next, S + 1), b"")), [format!(">S F. {next}:5001 0")]);
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    rig.server(ack(S + 1, next + 1), b"");
    assert_eq!(script(&rig.parked()), ["install 0 0", "resume"]);
}

/// The server has said its last word long ago; the client's upload goes on.
#[test]
fn a_server_that_has_closed_stays_closed() {
    let mut rig = Rig::established(relay(MergeWhen::AfterBytes(1 << 40)));
    rig.server(fin(S + 1, C + 1), b"");
    rig.client(ack(C + 1, S + 2), b"");
    for n in 0..14 {
        rig.client(ack(C + 1 + n * SEGMENT, S + 2), &[b'x'; SEGMENT as usize]);
    }
    rig.order_hand_over(HandOver::Merge, Path::Participating);
    assert_eq!(rig.core.connections().next().map(|c| c.phase()), Some(Phase::Leaving));
    let next = C + 1 + SENT;
    assert_eq!(script(&rig.client(fin(next, S + 2), b"end")), [format!(">S F. {next}:5002 3")]);
    rig.server(ack(S + 2, C + 1 + 10 * SEGMENT), b"");
    let said = script(&rig.server(ack(S + 2, next), b""));
    assert_eq!(said, [format!(">C . 5002:{next} 0"), "park".into()]);
    assert_eq!(script(&rig.parked()), ["install 0 0", "resume"]);
    assert_eq!(rig.installed.map(|view| view.tcp), Some(TcpState::BothFinServerClosed));
}

/// What is acknowledged through is its sender's to repeat: there is nothing to wait for.
#[test]
fn a_flow_that_acknowledges_through_is_merged_as_ever() {
    let module = Relay { acknowledge: Acknowledge::Through, ..relay(MergeWhen::AfterBytes(1 << 40)) };
    let mut rig = Rig::established(module);
    rig.order_hand_over(HandOver::Merge, Path::Participating);
    assert_eq!(rig.count(Counter::MergesInMotion), 0);
}

/// Who does not know the numbers must not end what is ours.
#[test]
fn a_guess_acknowledges_nothing() {
    let mut rig = leaving();
    for forged in [ack(99, C + 1 + 900_000_000), ack(S + 1, C + 1 + 900_000_000), ack(99, C + 1 + SENT)] {
        let said = script(&rig.server(forged, b""));
        assert!(!said.contains(&"park".to_owned()), "{said:?}");
    }
    let said = script(&rig.wait(Duration::from_secs(2)));
    assert!(
        said.iter().any(|line| line.starts_with(&format!(">S . {}:5001 ", C + 1))),
        "ours still: {said:?}"
    );
}

/// The server is owed what the client has said before, and would obey no RST that comes earlier.
#[test]
fn a_reset_follows_what_was_said_before_it() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    assert!(rig.client(rst(next), b"").is_empty());
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    let said = script(&rig.server(ack(S + 1, next), b""));
    assert!(said.ends_with(&[format!(">S R {next}:0 0")]), "{said:?}");
    // It has not got all of that, and asks (RFC 5961 section 3.2).
    let said = script(&rig.server(ack(S + 1, next - SEGMENT), b""));
    assert_eq!(said, [format!(">S R {}:0 0", next - SEGMENT)]);
    assert!(script(&rig.wait(Duration::from_secs(11))).contains(&"remove".to_owned()));
    rig.assert_gone();
}

/// It answers what we had acknowledged, while more of its end's bytes had passed us: its receiver, which may have nothing more to
/// say, would not look at that number.
#[test]
fn a_reset_that_bytes_have_overtaken_gets_the_number_behind_them() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    assert_eq!(script(&rig.client(ack(next, S + 1), b"more")), [format!(">S . {next}:5001 4")]);
    assert!(rig.client(rst(next), b"").is_empty());
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    let said = script(&rig.server(ack(S + 1, next + 4), b""));
    assert!(said.ends_with(&[format!(">S R. {}:5001 0", next + 4)]), "{said:?}");
}

/// The worker parks already, and knows from its object that the flow is over: who asks is answered by the other end.
#[test]
fn a_reset_while_the_worker_parks_is_in_the_object() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    assert_eq!(script(&rig.server(ack(S + 1, next), b"")).last().map(String::as_str), Some("park"));
    assert_eq!(script(&rig.client(rst(next), b"")), [format!(">S R {next}:0 0")]);
    assert_eq!(script(&rig.parked()), ["install 0 0", "resume"]);
    assert_eq!(rig.installed.map(|view| view.tcp), Some(TcpState::Reset));
    rig.assert_gone();
}

/// No frame is lost with it, so none is counted.
#[test]
fn an_answer_about_a_flow_that_has_ended_meanwhile_is_no_drop() {
    let mut rig = leaving();
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    rig.server(ack(S + 1, C + 1 + SENT), b"");
    let flow = rig.flow;
    assert!(script(&rig.tell(Event::Idle { flow })).contains(&"remove".to_owned()));
    assert!(rig.parked().is_empty());
    assert_eq!(rig.count(Counter::DropFlowGone), 0);
}

/// The server is gone, and something of the client's is ours still: the client obeys a RST with the number that it expects,
/// and that lies behind what has passed. Another number is answered again.
#[test]
fn a_reset_of_ours_comes_behind_what_has_passed() {
    let mut rig = leaving();
    rig.server(ack(S + 1, C + 1 + SEGMENT), b"answer");
    rig.client(ack(C + 1 + SENT, S + 7), b"");
    let is_reset = |said: &[String]| said.contains(&format!(">C R. {}:{} 0", S + 7, C + 1 + SENT));
    assert!((0..600).any(|_| is_reset(&script(&rig.wait(Duration::from_secs(1))))));
    let said = script(&rig.client(ack(C + 1 + SENT, S + 7), b"?"));
    assert_eq!(said, [format!(">C R {}:0 0", S + 7)], "it has not heard");
}

/// What passes is kept by nobody here, so the client may send as far as the server allows; the server's own word ends here.
#[test]
fn windows_open_while_something_is_left_below() {
    let mut rig = leaving();
    let wide = TcpRepr { window: 2_000, ..ack(S + 1, C + 1 + SEGMENT) };
    let said = rig.server(wide, b"");
    let mut edges = said.iter().filter_map(|said| match said {
        Said::Tcp(CLIENT, tcp, _) => Some(tcp.ack.advance(u32::from(tcp.window) << SHIFT)),
        _ => None,
    });
    let edge = edges.next_back().expect("the client is told");
    assert!(edge.gt(Seq(C + 1).advance(500 << SHIFT)), "{said:?}");
    assert!(edge.le(Seq(C + 1 + SEGMENT).advance(2_000 << SHIFT)), "{said:?}");
}

/// The server's answer would end here while its acknowledgments do: the leg answers, so that the client learns where it is.
#[test]
fn a_syn_is_challenged() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    assert_eq!(script(&rig.client(syn(77), b"")), [format!(">C . 5001:{next} 0")]);
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    let mut rig = leaving();
    rig.server(syn_ack(77, 0), b"");
    let said = script(&rig.client(ack(next, S + 1), b""));
    assert_eq!(said, [format!(">S . {next}:5001 0")], "nothing of the server's was ours");
}

/// The client has reset its connection and begins another one at once: by the rules, not by the object of the old one.
#[test]
fn a_syn_behind_a_reset_begins_another_flow() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    assert_eq!(script(&rig.server(ack(S + 1, next), b"")).last().map(String::as_str), Some("park"));
    assert_eq!(script(&rig.client(syn(C + 90_000), b"")), [format!(">S S {}:0 0", C + 90_000)], "not over");
    assert_eq!(script(&rig.client(rst(next), b"")), [format!(">S R {next}:0 0")]);
    assert_eq!(script(&rig.client(syn(C + 90_000), b"")), ["restart 0"]);
    rig.assert_gone();
    // A RST that waits behind what was said before it waits no longer.
    let mut rig = leaving();
    assert!(rig.client(rst(next), b"").is_empty());
    let said = script(&rig.client(syn(C + 90_000), b""));
    let sent = C + 1 + 10 * SEGMENT;
    assert_eq!(said, [format!(">S R. {sent}:5001 0"), "restart 0".into()], "what the server may expect");
    rig.assert_gone();
}

/// Below, a narrower path is ours to know; above, it is its sender's.
#[test]
fn errors_about_segments_reach_whose_they_were() {
    const TOO_BIG: (u8, u8) = (3, 4);
    let mut rig = leaving();
    let next = C + 1 + SENT;
    rig.client(ack(next, S + 1), b"next");
    rig.server(ack(S + 1, C + 1 + SEGMENT), b"answer");
    let mut told = |quoted, (kind, code), seq| script(&rig.icmp(quoted, kind, code, seq));
    assert_eq!(told(C2S, TOO_BIG, next), [">C icmp"]);
    assert_eq!(told(S2C, TOO_BIG, S + 1), [">S icmp"]);
    let said = told(C2S, TOO_BIG, C + 1 + SEGMENT);
    assert!(!said.contains(&">C icmp".to_owned()), "{said:?}");
    assert_eq!(told(C2S, (3, 1), C + 1 + SEGMENT), [">C icmp"], "anything else is for who spoke");
}

/// What the worker gets knows how far the client has come.
#[test]
fn a_segment_across_the_boundary_is_in_the_object() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    rig.client(ack(next - 100, S + 1), &[b'x'; 150]);
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    rig.server(ack(S + 1, next + 50), b"");
    let Said::Install(_, _, track) = rig.parked()[0] else { panic!("no object") };
    assert_eq!(track[0].end.0, next + 50);
}

/// What a segment to this port says: its acknowledgment, and the blocks behind that.
fn blocks(said: &[Said], port: dataplane::port::PortId) -> Vec<(u32, Vec<(u32, u32)>)> {
    let told = said.iter().filter_map(|said| match said {
        Said::Tcp(to, tcp, _) if *to == port => Some(tcp),
        _ => None,
    });
    told.map(|tcp| (tcp.ack.0, tcp.options.sack.iter().map(|b| (b.left.0, b.right.0)).collect())).collect()
}

/// What is lost above is its sender's to repeat, who would not hear of it before all below has arrived.
#[test]
fn losses_above_are_told_to_their_sender() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    // "lost" never arrives.
    rig.client(ack(next, S + 1), b"lost");
    rig.client(ack(next + 4, S + 1), b"here");
    let sacking = |left: u32, right: u32| {
        let mut tcp = ack(S + 1, C + 1 + SEGMENT);
        tcp.options.sack.push(SackBlock { left: Seq(left), right: Seq(right) });
        tcp
    };
    let said = rig.server(sacking(next + 4, next + 8), b"");
    assert_eq!(blocks(&said, CLIENT)[0], (next, vec![(next + 4, next + 8)]));
    let said = rig.server(sacking(next + 4, next + 8), b"answer");
    assert_eq!(blocks(&said, CLIENT)[0], (next, vec![(next + 4, next + 8)]), "with data, too");
    // Beyond what has passed nobody has anything, and a block that begins at the acknowledgment would look like reneging.
    for (left, right) in [(next + 4, next + 9), (next, next + 8), (C + 1 + 3 * SEGMENT, next + 8)] {
        let said = rig.server(sacking(left, right), b"");
        assert!(blocks(&said, CLIENT).iter().all(|(_, blocks)| blocks.is_empty()), "{left}");
    }
}

/// Its receiver reads no more: it learns of the end from the number that it expects.
#[test]
fn a_reset_waits_for_what_was_said_before_it_no_longer_than_it_lingers() {
    let mut rig = leaving();
    let linger = settings().leg.linger;
    assert!(rig.client(rst(C + 1 + SENT), b"").is_empty());
    let shut = TcpRepr { window: 0, ..ack(S + 1, C + 1 + SEGMENT) };
    rig.server(shut.clone(), b"");
    let is_reset = |said: &[String]| said.iter().any(|line| line.starts_with(">S R"));
    assert!(!is_reset(&script(&rig.wait(linger - Duration::from_millis(10)))));
    rig.server(shut, b"");
    let said = script(&rig.wait(Duration::from_millis(20)));
    assert!(is_reset(&said), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with(">C")), "who has reset hears nothing: {said:?}");
    rig.wait(linger + Duration::from_millis(20));
    rig.assert_gone();
}

/// The server takes the rest of an upload slowly, and sends more than half a sequence space meanwhile.
#[test]
fn one_direction_may_go_on_for_ever_while_the_other_one_waits() {
    let mut rig = leaving();
    let next = C + 1 + SENT;
    let wide = |seq: u32, acknowledged: u32| TcpRepr { window: u16::MAX, ..ack(seq, acknowledged) };
    let window = u32::from(u16::MAX) << SHIFT;
    let mut end = S + 1;
    rig.client(wide(next, end), b"");
    for _ in 0..(5u64 << 30) / u64::from(window) {
        let seq = end.wrapping_add(window - 1);
        let said = script(&rig.server(wide(seq, C + 1 + SEGMENT), b"x"));
        assert!(said.contains(&format!(">C . {seq}:{next} 1")), "{said:?}");
        end = seq.wrapping_add(1);
        assert_eq!(script(&rig.client(wide(next, end), b"")), [format!(">S . {next}:{end} 0")]);
    }
    let said = script(&rig.client(ack(C + 1, end), &[b'x'; SEGMENT as usize]));
    assert_eq!(said, [format!(">C . {end}:{next} 0")], "what the leg says has followed");
    rig.server(ack(end, C + 1 + 10 * SEGMENT), b"");
    let said = script(&rig.server(ack(end, next), b""));
    assert_eq!(said, [format!(">C . {end}:{next} 0"), "park".into()]);
    rig.parked();
    let [client, server] = rig.installed.expect("an object").track;
    assert_eq!((client.end, client.ack, server.end, server.ack), (Seq(next), Seq(end), Seq(end), Seq(next)));
}

/// The largest windows there are, and all of them lost before us but for their last byte: what lies behind, and what may come, are
/// almost half a sequence space each.
#[test]
fn one_direction_may_go_on_in_the_largest_steps() {
    const LARGEST: u32 = (u16::MAX as u32) << 14;
    let scaled = |tcp: TcpRepr| {
        let options = TcpOptions { window_scale: Some(14), ..tcp.options };
        TcpRepr { options, ..tcp }
    };
    let mut rig = Rig::new(relay(MergeWhen::AfterBytes(1 << 40)));
    rig.offer(scaled(syn(C)));
    rig.server(scaled(syn_ack(S, C + 1)), b"");
    rig.client(ack(C + 1, S + 1), b"");
    let mut rig = leave(rig);
    let next = C + 1 + SENT;
    let wide = |seq: u32, acknowledged: u32| TcpRepr { window: u16::MAX, ..ack(seq, acknowledged) };
    let mut end = S + 1;
    rig.client(wide(next, end), b"");
    for _ in 0..12 {
        let seq = end.wrapping_add(LARGEST - 1);
        let said = script(&rig.server(wide(seq, C + 1 + SEGMENT), b"x"));
        assert!(said.contains(&format!(">C . {seq}:{next} 1")), "at {end}: {said:?}");
        let again = script(&rig.server(wide(seq.wrapping_sub(LARGEST - 1), C + 1 + SEGMENT), b"x"));
        assert!(again.contains(&format!(">C . {end}:{next} 1")), "its sender repeats it: {again:?}");
        end = seq.wrapping_add(1);
        assert_eq!(script(&rig.client(wide(next, end), b"")), [format!(">S . {next}:{end} 0")]);
    }
    rig.server(wide(end, C + 1 + 10 * SEGMENT), b"");
    rig.server(wide(end, next), b"");
    rig.parked();
    let view = rig.installed.expect("an object");
    assert_eq!((view.track[1].end, view.track[0].ack), (Seq(end), Seq(end)));
    assert_eq!(view.edges[1], Seq(end.wrapping_add(LARGEST)));
}

/// The client has not heard of our acknowledgment, and repeats what is ours; what it says with that of the server's bytes and of
/// its window is the first news of both.
#[test]
fn what_a_repetition_says_counts_for_what_passes_above() {
    let mut rig = leaving();
    let (next, edge) = (C + 1 + SENT, S + 1 + 64_000);
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    rig.server(ack(edge - 1, C + 1 + 10 * SEGMENT), b"x");
    let again = [b'x'; SEGMENT as usize];
    let said = script(&rig.client(ack(C + 1, edge), &again));
    assert!(said.contains(&format!(">S . {next}:{edge} 0")), "the server is told: {said:?}");
    let said = script(&rig.client(ack(C + 1, edge), &again));
    assert!(!said.iter().any(|line| line.starts_with(">S")), "that is a duplicate of nothing: {said:?}");
    let said = script(&rig.server(ack(edge + 100, next), b"y"));
    assert_eq!(said.last().map(String::as_str), Some("park"), "{said:?}");
    rig.parked();
    let view = rig.installed.expect("an object");
    assert_eq!((view.track[0].ack, view.edges[1]), (Seq(edge), Seq(edge + 64_000)));
}

/// The same of a probe without data.
#[test]
fn what_a_probe_says_counts_for_what_passes_above() {
    let mut rig = leaving();
    let (next, edge) = (C + 1 + SENT, S + 1 + 64_000);
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    rig.server(ack(edge - 1, C + 1 + 10 * SEGMENT), b"x");
    let said = script(&rig.client(ack(next - 1, edge), b""));
    assert!(said.contains(&format!(">S . {}:{edge} 0", next - 1)), "{said:?}");
    let said = script(&rig.server(ack(edge + 100, next), b"y"));
    assert_eq!(said.last().map(String::as_str), Some("park"), "{said:?}");
}

/// As much of the server's is on its way to the client.
fn leaving_both_ways() -> Rig {
    let mut rig = Rig::established(relay(MergeWhen::AfterBytes(1 << 40)));
    for n in 0..14 {
        rig.server(ack(S + 1 + n * SEGMENT, C + 1), &[b'y'; SEGMENT as usize]);
    }
    leave(rig)
}

/// The client is in the midst of a write for which the server had no room, and does not read meanwhile. That there is room now was
/// lost on its way to it.
#[test]
fn a_probe_without_data_is_answered() {
    let mut rig = leaving_both_ways();
    let (next, server) = (C + 1 + SENT, S + 1 + SENT);
    rig.server(ack(server, C + 1 + SEGMENT), b"");
    let asks = |rig: &mut Rig, acknowledged| {
        let said = script(&rig.client(ack(next - 1, acknowledged), b""));
        let is_told = |line: &String| line.starts_with(">C") && line.ends_with(&format!(":{next} 0"));
        let is_passed = |line: &String| line.starts_with(&format!(">S . {}:", next - 1));
        (said.iter().any(is_told), said.iter().any(is_passed))
    };
    assert_eq!(asks(&mut rig, S + 1), (true, false));
    rig.client(ack(next, S + 1 + 10 * SEGMENT), b"");
    // The server is told what is acknowledged; that it is asked it does not see, for it waits for what is ours.
    assert_eq!(asks(&mut rig, server), (true, true));
    let answers = (0..50).filter(|_| asks(&mut rig, server - 1).0).count();
    assert!(answers < 10, "who asks without end is not answered without end: {answers}");
}

/// Who has all that was ours, and is asked, answers itself.
#[test]
fn a_probe_that_its_receiver_answers_is_not_answered_twice() {
    let mut rig = leaving_both_ways();
    let (client, server) = (C + 1 + SENT, S + 1 + SENT);
    rig.client(ack(client, S + 1 + 10 * SEGMENT), b"");
    rig.client(ack(client, server), b"");
    rig.server(ack(server, C + 1 + 10 * SEGMENT), b"");
    let said = script(&rig.server(ack(server - 1, C + 1 + 10 * SEGMENT), b""));
    assert_eq!(said, [format!(">S . {client}:{server} 0")], "what it acknowledges ends here");
    let said = script(&rig.server(ack(server - 1, client), b""));
    assert_eq!(said, [format!(">C . {}:{client} 0", server - 1), "park".into()]);
}
