//! The split, segment by segment (DESIGN section 6). Client and server have sent 1000 and 2000 bytes, of which 400 and 500 are
//! acknowledged; what the client sends has 100 added to its numbers on the way, what the server sends has 50 taken off.

use control::core::handover::HandOver;
use control::module::relay::{MergeWhen, Relay};
use control::module::{Acknowledge, Decision, Edit, Module, PartialConnection, Proxying, Session, Step};
use dataplane::flow::object::{Path, Record, Track, View};
use dataplane::flow::quad::{Direction, FlowKey, Segment};
use dataplane::flow::terms::{Promises, Terms};
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps};
use dataplane::worker::message::Event;

use crate::rig::*;

const DELTAS: (i32, i32) = (100, -50);

/// Numbers of the client's bytes, as the server sees them.
pub const fn at_server(n: u32) -> u32 {
    C + 1 + n + 100
}

/// Numbers of the server's bytes, as the client sees them.
pub const fn at_client(n: u32) -> u32 {
    S + 1 + n - 50
}

pub fn split() -> Rig {
    split_with(Terms::new(Some([SHIFT, SHIFT]), true, false))
}

pub fn split_with(terms: Terms) -> Rig {
    split_of(relay(MergeWhen::Established), terms)
}

fn split_of(module: Relay, terms: Terms) -> Rig {
    split_in(Rig::new(module), terms, 64_000)
}

/// Each sender was given a right edge so far from what it has acknowledged.
pub fn split_in(rig: Rig, terms: Terms, window: u32) -> Rig {
    split_seen(rig, seen(terms, window))
}

/// As its worker has seen it.
pub fn split_seen(mut rig: Rig, view: View) -> Rig {
    rig.split(DELTAS.0, DELTAS.1, view);
    rig
}

/// What the worker has seen.
pub fn seen(terms: Terms, window: u32) -> View {
    let sent = |start: u32, sent, ack| Track { end: Seq(start + 1 + sent), ack: Seq(ack) };
    View {
        track: [sent(C, 1000, S + 1 + 500), sent(S, 2000, C + 1 + 400)],
        edges: [Seq(C + 1 + 400 + window), Seq(S + 1 + 500 + window)],
        promises: Promises::mirrored(terms),
        mss: [1460, 1460],
        ..View::default()
    }
}

/// `n` bytes.
pub fn bytes(n: usize) -> Vec<u8> {
    vec![b'x'; n]
}

#[test]
fn what_lies_below_the_boundary_passes_as_it_came() {
    let mut rig = split();
    let again = rig.client(ack(C + 1 + 400, at_client(500)), &bytes(600));
    assert_eq!(script(&again), [format!(">S . {}:{} 600", at_server(400), S + 1 + 500)]);
    let ack_of_part = rig.server(ack(S + 1 + 2000, at_server(700)), b"");
    assert_eq!(script(&ack_of_part), [format!(">C . {}:{} 0", at_client(2000), C + 1 + 700)]);
    let duplicate = rig.server(ack(S + 1 + 2000, at_server(700)), b"");
    assert_eq!(script(&duplicate), [format!(">C . {}:{} 0", at_client(2000), C + 1 + 700)]);
}

#[test]
fn what_lies_above_is_sent_on_and_acknowledged_behind_all_below() {
    let mut rig = split();
    let said = script(&rig.client(ack(C + 1 + 1000, at_client(500)), &bytes(100)));
    assert_eq!(said, [format!(">S . {}:{} 100", at_server(1000), S + 1 + 500)]);
    // The server has everything but the last bytes below.
    let said = script(&rig.server(ack(S + 1 + 2000, at_server(900)), b""));
    assert_eq!(said, [format!(">C . {}:{} 0", at_client(2000), C + 1 + 900)]);
    let said = script(&rig.server(ack(S + 1 + 2000, at_server(1000)), b""));
    assert_eq!(
        said,
        [format!(">C . {}:{} 0", at_client(2000), C + 1 + 1100)],
        "all that is held is acknowledged now"
    );
    // From here on the client is ours.
    let said = script(&rig.client(ack(C + 1 + 1100, at_client(500)), &bytes(10)));
    assert!(said.contains(&format!(">S . {}:{} 10", at_server(1100), S + 1 + 500)), "{said:?}");
    assert!(said.contains(&format!(">C . {}:{} 0", at_client(2000), C + 1 + 1110)), "{said:?}");
}

#[test]
fn a_segment_across_the_boundary_is_cut_there() {
    let mut rig = split();
    let said = script(&rig.client(ack(C + 1 + 900, at_client(500)), &bytes(300)));
    assert_eq!(
        said,
        [
            format!(">S . {}:{} 100", at_server(900), S + 1 + 500),
            format!(">S . {}:{} 200", at_server(1000), S + 1 + 500),
        ]
    );
}

/// What the receiver has not got below the boundary is its sender's to repeat, and so is nothing above: there we do.
#[test]
fn losses_are_repeated_by_whose_they_are() {
    let mut rig = split();
    rig.client(ack(C + 1 + 1000, at_client(500)), &bytes(100));
    let second = std::time::Duration::from_secs(1);
    assert!(rig.wait(3 * second).is_empty(), "no timer of ours runs before the boundary is reached");
    rig.server(ack(S + 1 + 2000, at_server(1000)), b"");
    let said = script(&rig.wait(2 * second));
    assert_eq!(said[0], format!(">S . {}:{} 100", at_server(1000), S + 1 + 500), "{said:?}");
}

#[test]
fn nothing_is_said_to_one_end_before_the_other_is_heard() {
    let mut rig = split();
    let said = script(&rig.client(ack(C + 1 + 1000, at_client(2000)), &bytes(100)));
    assert!(said.iter().all(|line| line.starts_with(">S")), "{said:?}");
}

#[test]
fn once_all_below_is_acknowledged_the_flow_merges_again() {
    let mut rig = split();
    rig.client(ack(C + 1 + 1000, at_client(2000)), b"");
    rig.server(ack(S + 1 + 2000, at_server(1000)), b"");
    assert!(rig.client(ack(C + 1 + 1000, at_client(2000)), &bytes(5)).len() == 2);
    rig.server(ack(S + 1 + 2000, at_server(1005)), b"");
    let answered = rig.order_hand_over(HandOver::Merge, Path::Participating);
    assert!(answered.try_recv().is_err(), "it is not merged yet");
    let said = rig.parked();
    assert_eq!(script(&said)[0], "install 100 -50");
    assert_eq!(answered.try_recv(), Ok(Ok(())));
    rig.assert_gone();
}

/// How its module proxies is in force again, behind the boundary: whoever acknowledges is the receiver.
#[test]
fn what_acknowledges_through_does_so_after_a_split_and_merges_without_any_drain() {
    let through = Relay { acknowledge: Acknowledge::Through, ..relay(MergeWhen::Established) };
    let mut rig = split_of(through, Terms::new(Some([SHIFT, SHIFT]), true, false));
    rig.client(ack(C + 1 + 1000, at_client(2000)), b"");
    let said = script(&rig.client(ack(C + 1 + 1000, at_client(2000)), &bytes(100)));
    assert_eq!(said, [format!(">S . {}:{} 100", at_server(1000), S + 1 + 2000)]);
    let said = script(&rig.server(ack(S + 1 + 2000, at_server(1000)), b""));
    assert_eq!(
        said,
        [format!(">C . {}:{} 0", at_client(2000), C + 1 + 1000)],
        "all below, and nothing above"
    );
    let said = script(&rig.server(ack(S + 1 + 2000, at_server(1040)), b""));
    assert_eq!(said, [format!(">C . {}:{} 0", at_client(2000), C + 1 + 1040)], "what the server has got");
    let answered = rig.order_hand_over(HandOver::Merge, Path::Participating);
    assert!(answered.try_recv().is_err(), "it is not merged yet");
    let said = rig.parked();
    assert_eq!(script(&said)[0], "install 100 -50", "at once, though 60 bytes are on their way");
    let Said::Install(_, _, track) = said[0] else { unreachable!() };
    assert_eq!((track[0].end, track[1].ack), (Seq(C + 1 + 1100), Seq(C + 1 + 1040)));
    rig.assert_gone();
}

impl Rig {
    /// The worker wants the flow split; whether it is told to.
    pub fn want_split(&mut self, module: u16) -> bool {
        let (flow, key) = (self.flow, FlowKey { quad: self.quad, segment: Segment(0) });
        assert!(self.tell(Event::Wanted { flow, key, module, edits: false }).is_empty());
        self.ordered_split.take().is_some_and(|split| split.flow == flow)
    }
}

#[test]
fn what_an_inspection_has_found_is_split_once_if_anybody_would_look() {
    let mut rig = Rig::new(relay(MergeWhen::Established));
    assert!(!rig.want_split(Record::NO_MODULE));
    assert!(rig.want_split(0));
    assert!(!rig.want_split(0), "its worker has been told already");
}

/// Who does not know the numbers must not end a boundary.
#[test]
fn a_guess_acknowledges_nothing() {
    let mut rig = split();
    rig.client(ack(C + 1 + 1000, at_client(500)), &bytes(100));
    for forged in [ack(12_345, at_server(500_000_000)), ack(S + 1 + 2000, at_server(500_000_000))] {
        let said = script(&rig.server(forged, b""));
        assert!(said.iter().all(|line| !line.ends_with(&format!(":{} 0", C + 1 + 1100))), "{said:?}");
    }
    let said = script(&rig.server(ack(S + 1 + 2000, at_server(900)), b""));
    assert_eq!(said, [format!(">C . {}:{} 0", at_client(2000), C + 1 + 900)]);
}

/// The acknowledgment that reaches the boundary is told, though nothing was taken above it.
#[test]
fn the_last_acknowledgment_below_is_told() {
    let mut rig = split();
    rig.server(ack(S + 1 + 2000, at_server(400)), &bytes(10));
    let said = script(&rig.server(ack(S + 1 + 2010, at_server(1000)), b""));
    assert!(said.contains(&format!(">C . {}:{} 0", at_client(2010), C + 1 + 1000)), "{said:?}");
}

/// The path has become narrower for what the client has sent before the split: that is the client's to know.
#[test]
fn an_error_about_what_lies_below_is_between_the_ends() {
    let mut rig = split();
    rig.client(ack(C + 1 + 400, at_client(500)), &bytes(600));
    assert_eq!(script(&rig.icmp(C2S, 3, 4, at_server(400))), [">C icmp"]);
}

/// What we send is never older than what has passed, by its sender's clock (RFC 7323 section 5).
#[test]
fn no_clock_goes_back() {
    let stamped = |tcp: TcpRepr, value, echo| TcpRepr {
        options: TcpOptions { timestamps: Some(Timestamps { value, echo }), ..tcp.options.clone() },
        ..tcp
    };
    let mut rig = split_with(Terms::new(Some([SHIFT, SHIFT]), true, true));
    rig.client(stamped(ack(C + 1 + 400, at_client(500)), 50, 7), &bytes(600));
    rig.server(stamped(ack(S + 1 + 2000, at_server(400)), 8, 50), &bytes(10));
    rig.client(stamped(ack(C + 1 + 1000, at_client(700)), 60, 8), b"");
    let said = rig.client(stamped(ack(C + 1 + 1000, at_client(700)), 70, 8), &bytes(100));
    let values: Vec<u32> = said
        .iter()
        .filter_map(|said| match said {
            Said::Tcp(SERVER, tcp, payload) if !payload.is_empty() => Some(tcp.options.timestamps?.value),
            _ => None,
        })
        .collect();
    assert_eq!(values, [70]);
}

/// An idle flow: the first that is heard of the client is that it is gone.
#[test]
fn a_reset_at_the_boundary_reaches_the_other_end() {
    let mut rig = split();
    let said = script(&rig.client(rst(C + 1 + 1000), b""));
    assert!(said.iter().any(|line| line.starts_with(&format!(">S R. {}:", at_server(1000)))), "{said:?}");
}

/// Nothing that comes goes on.
struct Swallowing;

impl Module for Swallowing {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(Proxying::default())
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        Box::new(Swallowing)
    }
}

impl Session for Swallowing {
    fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
        (Edit::Replace(Vec::new()), Step::Relay)
    }
}

/// The client has acknowledged all below before the split, and gets nothing more that it could acknowledge.
#[test]
fn who_repeats_what_was_edited_away_has_its_receiver_asked() {
    let mut view = seen(Terms::new(Some([SHIFT, SHIFT]), true, false), 64_000);
    view.track[0].ack = Seq(S + 1 + 2000);
    let mut rig = split_seen(Rig::new(Swallowing), view);
    let said = ack(S + 1 + 2000, at_server(1000));
    assert!(!script(&rig.server(said.clone(), b"abc")).iter().any(|line| line.starts_with(">S")));
    let asked = script(&rig.server(said, b"abc"));
    assert_eq!(asked, [format!(">C . {}:{} 0", at_client(2000) - 1, C + 1 + 1000)]);
    let told = script(&rig.client(ack(C + 1 + 1000, at_client(2000)), b""));
    assert_eq!(told.last(), Some(&format!(">S . {}:{} 0", at_server(1000), S + 1 + 2003)));
}

/// What waits behind a hole that is its sender's to repair is acknowledged with that: how long it took is nobody's round trip.
#[test]
fn the_repair_of_what_was_lost_below_is_no_round_trip() {
    let mut rig = split();
    let second = std::time::Duration::from_secs(1);
    rig.client(ack(C + 1 + 1000, at_client(500)), &bytes(100));
    rig.wait(3 * second);
    rig.client(ack(C + 1 + 400, at_client(500)), &bytes(600));
    rig.server(ack(S + 1 + 2000, at_server(1100)), b"");
    rig.client(ack(C + 1 + 1100, at_client(500)), &bytes(10));
    let said = script(&rig.wait(second * 3 / 2));
    assert!(said.iter().any(|line| line.starts_with(&format!(">S . {}:", at_server(1100)))), "{said:?}");
}
