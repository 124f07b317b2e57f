//! The merge that drains nothing (DESIGN section 5, "stall-free"): 19,600 bytes of the client's are on their way to the server, or
//! wait for the congestion window, when somebody orders the merge.

use std::time::Duration;

use control::connection::Phase;
use control::core::handover::HandOver;
use control::module::Acknowledge;
use control::module::relay::{MergeWhen, Relay};
use dataplane::counters::Counter;
use dataplane::flow::object::Path;

use crate::rig::*;

const SEGMENT: u32 = 1400;
const SENT: u32 = 14 * SEGMENT;

/// The flow, the merge ordered, and what was said to that.
fn leaving() -> Rig {
    let mut rig = Rig::established(relay(MergeWhen::AfterBytes(1 << 40)));
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
    assert!(said.iter().all(|line| line.starts_with(">S")), "an acknowledgment of ours ends here: {said:?}");
    // What the server had no congestion window for has gone now: all is acknowledged, and more.
    rig.server(ack(S + 1, C + 1 + 10 * SEGMENT), b"");
    let said = script(&rig.server(ack(S + 1, next + 4), b""));
    assert_eq!(said, [format!(">C . 5001:{} 0", next + 4), "park".into()]);
    let said = script(&rig.parked());
    assert_eq!(said, ["install 0 0", "resume"], "nothing was held");
    rig.assert_gone();
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
    assert!(said.ends_with(&[format!(">S R {next}:0 0"), "remove".into()]), "{said:?}");
    rig.assert_gone();
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
