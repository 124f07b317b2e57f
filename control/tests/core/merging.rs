//! The merge, order by order (DESIGN section 5, seed 001).

use std::time::Duration;

use control::connection::Phase;
use control::core::handover::{HandOver, Refused};
use control::module::relay::{MergeWhen, Relay};
use control::module::{Decision, Edit, Isn, Module, PartialConnection, Proxying, Session, Step};
use dataplane::counters::Counter;
use dataplane::flow::object::Path;
use dataplane::flow::quad::{Direction, FlowKey};
use dataplane::flow::state::TcpState;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps};

use crate::rig::*;

fn phase(rig: &Rig) -> Phase {
    rig.core.connections().next().expect("a flow").phase()
}

#[test]
fn an_idle_flow_merges_with_what_is_held_behind_the_announcements() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    let said = script(&rig.establish());
    assert_eq!(said.last().map(String::as_str), Some("park"), "{said:?}");
    assert!(rig.client(ack(C + 1, S + 1), b"GET").is_empty());
    let said = rig.parked();
    assert_eq!(
        script(&said),
        ["install 0 0", ">C . 5001:1001 0", ">S . 1001:5001 0", "replay ClientToServer 1001", "resume"]
    );
    let Said::Install(_, _, track) = said[0] else { unreachable!() };
    assert_eq!((track[0].end, track[0].ack), (Seq(C + 1), Seq(S + 1)));
    assert_eq!((track[1].end, track[1].ack), (Seq(S + 1), Seq(C + 1)));
    rig.assert_gone();
}

#[test]
fn the_announced_windows_are_scaled_though_a_syn_acks_is_not() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    rig.establish();
    let said = rig.parked();
    let windows: Vec<_> = said
        .iter()
        .filter_map(|said| match said {
            Said::Tcp(port, tcp, _) => Some((*port, tcp.window)),
            _ => None,
        })
        .collect();
    // All that the server has ever said is its SYN-ACK's unscaled window.
    assert_eq!(windows, [(CLIENT, SYN_WINDOW >> SHIFT), (SERVER, 500)]);
}

/// RFC 7323 section 3.2: no segment but a SYN carries what the SYN-ACK has refused, nor do those that a merge announces.
#[test]
fn timestamps_that_the_server_refuses_are_not_announced() {
    let stamped = |tcp: TcpRepr| {
        let timestamps = Some(Timestamps { value: 7, echo: 0 });
        TcpRepr { options: TcpOptions { timestamps, ..tcp.options }, ..tcp }
    };
    for (answer, expected) in [(syn_ack(S, C + 1), 0), (stamped(syn_ack(S, C + 1)), 2)] {
        let mut rig = Rig::new(relay(MergeWhen::Established));
        rig.offer(stamped(syn(C)));
        rig.server(answer, b"");
        let acknowledgment = ack(C + 1, S + 1);
        rig.client(if expected == 0 { acknowledgment } else { stamped(acknowledgment) }, b"");
        let said = rig.parked();
        let announced = said
            .iter()
            .filter(|said| matches!(said, Said::Tcp(_, tcp, _) if tcp.options.timestamps.is_some()));
        assert_eq!(announced.count(), expected, "{said:?}");
    }
}

#[test]
fn keyed_numbers_become_deltas() {
    let mut rig = Rig::new(Relay { isn: Isn::Keyed, ..relay(MergeWhen::Established) });
    let said = rig.offer(syn(C));
    let [Said::Tcp(_, ours, _)] = &said[..] else { panic!("{said:?}") };
    let to_server = ours.seq.0;
    let said = rig.server(syn_ack(S, to_server.wrapping_add(1)), b"");
    let [_, Said::Tcp(_, ours, _)] = &said[..] else { panic!("{said:?}") };
    let to_client = ours.seq.0;
    rig.client(ack(C + 1, to_client.wrapping_add(1)), b"");
    let said = rig.parked();
    let Said::Install(c2s, s2c, _) = said[0] else { panic!("{said:?}") };
    assert_eq!((c2s, s2c), (to_server.wrapping_sub(C) as i32, to_client.wrapping_sub(S) as i32));
}

#[test]
fn a_drain_waits_for_the_acknowledgment_and_is_undone_without_loss() {
    let mut rig = Rig::established(relay(MergeWhen::FirstResponse));
    rig.client(ack(C + 1, S + 1), b"GET");
    // The response makes the module say so; it is relayed first.
    let said = script(&rig.server(ack(S + 1, C + 4), b"200"));
    assert!(said.contains(&">C . 5001:1004 3".into()), "{said:?}");
    assert!(matches!(phase(&rig), Phase::Draining { .. }));
    // More of the client is held, not acknowledged, while what it has got is not.
    assert!(rig.client(ack(C + 4, S + 1), b" /").is_empty());
    let said = script(&rig.wait(Duration::from_millis(160)));
    assert!(said.contains(&">S . 1004:5004 2".into()), "what was held goes on: {said:?}");
    assert_eq!((phase(&rig), rig.count(Counter::MergesUndone)), (Phase::Relaying, 1));
    // Later, with everything acknowledged, it merges.
    rig.server(ack(S + 4, C + 6), b"");
    rig.client(ack(C + 6, S + 4), b"");
    let said = script(&rig.wait(Duration::from_millis(260)));
    assert_eq!(said.last().map(String::as_str), Some("park"), "{said:?}");
}

#[test]
fn what_comes_beyond_the_limit_is_dropped_by_name() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    rig.establish();
    for n in 0..6 {
        rig.client(ack(C + 1 + n, S + 1), b"x");
    }
    assert_eq!(rig.count(Counter::DropHeldFull), 2);
    let replayed = script(&rig.parked()).iter().filter(|line| line.starts_with("replay")).count();
    assert_eq!(replayed, 4);
}

#[test]
fn a_reset_stays_behind_held_data() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    rig.establish();
    rig.server(ack(S + 1, C + 1), b"bye");
    rig.server(rst(S + 4), b"");
    let said = script(&rig.parked());
    assert_eq!(said[3..], ["replay ServerToClient 5001", "replay ServerToClient 5004", "resume"]);
}

/// The client has closed. The merge waits until its FIN has arrived, and what the worker gets says who may still speak.
#[test]
fn a_flow_with_one_side_closed_merges_when_its_fin_has_arrived() {
    let mut rig = Rig::established(relay(MergeWhen::AfterBytes(1)));
    rig.client(fin(C + 1, S + 1), b"GET");
    rig.server(ack(S + 1, C + 4), b"200");
    rig.client(ack(C + 5, S + 4), b"");
    assert_eq!(phase(&rig), Phase::Relaying, "the server has not got the FIN");
    let said = script(&rig.server(ack(S + 4, C + 5), b""));
    assert_eq!(said.last().map(String::as_str), Some("park"), "{said:?}");
    // Its last words come meanwhile.
    assert!(rig.server(fin(S + 4, C + 5), b"bye").is_empty());
    let said = script(&rig.parked());
    // The client has acknowledged the response, and with it heard of all that there is to hear.
    assert_eq!(said, ["install 0 0", ">S . 1005:5004 0", "replay ServerToClient 5004", "resume"]);
    let view = rig.installed.expect("an object");
    assert_eq!((view.tcp, view.track[0].end), (TcpState::ClientClosed, Seq(C + 5)));
    assert_eq!(view.track[1].ack, Seq(C + 5));
    rig.assert_gone();
}

#[test]
fn a_server_that_has_closed_may_be_merged_too() {
    let mut rig = Rig::established(relay(MergeWhen::AfterBytes(1)));
    rig.server(fin(S + 1, C + 1), b"200");
    rig.client(ack(C + 1, S + 5), b"bye");
    let said = script(&rig.server(ack(S + 5, C + 4), b""));
    assert_eq!(said.last().map(String::as_str), Some("park"), "{said:?}");
    rig.parked();
    assert_eq!(rig.installed.map(|view| view.tcp), Some(TcpState::ServerClosed));
}

/// Keeps something back, or has begun what it has to end.
struct InTheMidst;

impl Module for InTheMidst {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(Proxying::default())
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        Box::new(InTheMidst)
    }
}

impl Session for InTheMidst {
    fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
        (Edit::Pass, Step::Relay)
    }

    fn may_leave(&self) -> bool {
        false
    }
}

#[test]
fn a_module_in_the_midst_of_something_is_not_left_behind() {
    let mut rig = Rig::established(InTheMidst);
    let answered = rig.order_hand_over(HandOver::Merge, Path::Participating);
    assert_eq!(answered.try_recv(), Ok(Err(Refused::Module)));
    assert_eq!(phase(&rig), Phase::Relaying);
}

#[test]
fn no_sender_is_promised_more_than_the_receiver_has() {
    let mut rig = Rig::established(relay(MergeWhen::FirstResponse));
    // The client's receiver has 500 << 7 bytes; the server may never be told more.
    let said = rig.server(ack(S + 1, C + 1), &[0; 1000]);
    let mut edges = said.iter().filter_map(|said| match said {
        Said::Tcp(SERVER, tcp, _) => Some(tcp.ack.advance(u32::from(tcp.window) << SHIFT)),
        _ => None,
    });
    assert!(edges.all(|edge| edge.le(Seq(S + 1).advance(500 << SHIFT))), "{said:?}");
}
