//! Bytes that are kept back, and each verdict about them, segment by segment (seed 004).

use std::time::Duration;

use control::connection::Phase;
use control::module::{Edit, Step};
use dataplane::counters::Counter;
use dataplane::flow::object::{Track, View};
use dataplane::flow::terms::{Promises, Terms};
use dataplane::wire::seq::Seq;

use crate::keeper::{Keeper, PATIENCE};
use crate::rig::*;

const MOMENT: Duration = Duration::from_millis(1);

fn begun() -> (Keeper, Rig) {
    let keeper = Keeper::default();
    let rig = Rig::established(keeper.clone());
    (keeper, rig)
}

/// A flow of which all that has passed is acknowledged, split by order. Nobody has been heard since.
fn split(keeper: &Keeper) -> Rig {
    split_after(keeper, 1000)
}

/// The same; the server has acknowledged so many of the client's 1000 bytes.
fn split_after(keeper: &Keeper, acknowledged: u32) -> Rig {
    split_between(keeper, acknowledged, 2000)
}

/// And the client so many of the server's 2000.
fn split_between(keeper: &Keeper, acknowledged: u32, by_client: u32) -> Rig {
    let mut rig = Rig::new(keeper.clone());
    let track = |end: u32, ack: u32| Track { end: Seq(end), ack: Seq(ack) };
    let view = View {
        track: [track(C + 1001, S + 1 + by_client), track(S + 2001, C + 1 + acknowledged)],
        edges: [Seq(C + 1 + acknowledged + 64_000), Seq(S + 1 + by_client + 64_000)],
        promises: Promises::mirrored(Terms::new(Some([SHIFT, SHIFT]), true, false)),
        mss: [1460, 1460],
        ..View::default()
    };
    rig.split(0, 0, view);
    rig
}

#[test]
fn what_is_held_is_ours_and_goes_nowhere() {
    let (keeper, mut rig) = begun();
    assert_eq!(script(&rig.client(ack(C + 1, S + 1), b"GET")), [">C . 5001:1004 0"]);
    assert_eq!(script(&rig.client(ack(C + 4, S + 1), b" /x")), [">C . 5001:1007 0"]);
    assert_eq!(keeper.seen(), ["GET", " /x"], "each byte is shown once");
    let flow = rig.core.connections().next().expect("a flow");
    assert_eq!(flow.held_bytes(C2S), 6);
    assert_eq!(rig.count(Counter::VerdictsAwaited), 1);
}

#[test]
fn held_bytes_pass_when_the_session_says_so_though_nothing_comes() {
    let (keeper, mut rig) = begun();
    rig.client(ack(C + 1, S + 1), b"GET");
    rig.client(ack(C + 4, S + 1), b" /x");
    keeper.later(C2S, Edit::Pass, Step::Relay);
    let said = script(&rig.wait(MOMENT));
    assert_eq!(said, [">S . 1001:5001 6"]);
    assert_eq!(rig.core.connections().next().expect("a flow").held_bytes(C2S), 6, "until it is acknowledged");
    // From here on it is as ever, and the time that was set is forgotten.
    keeper.at_once(Edit::Pass, Step::Relay);
    assert!(script(&rig.client(ack(C + 7, S + 1), b"!")).contains(&">S . 1007:5001 1".into()));
    rig.server(ack(S + 1, C + 8), b"");
    assert!(rig.wait(2 * PATIENCE).is_empty());
}

#[test]
fn what_comes_behind_held_bytes_may_release_them() {
    let (keeper, mut rig) = begun();
    rig.client(ack(C + 1, S + 1), b"GET");
    keeper.at_once(Edit::Pass, Step::Relay);
    assert!(script(&rig.client(ack(C + 4, S + 1), b" /x")).contains(&">S . 1001:5001 6".into()));
}

#[test]
fn held_bytes_are_replaced_as_a_whole_and_numbers_follow() {
    let (keeper, mut rig) = begun();
    rig.client(ack(C + 1, S + 1), b"GET");
    rig.client(ack(C + 4, S + 1), b" /x");
    keeper.later(C2S, Edit::Replace(b"HEAD /index".to_vec()), Step::Merge);
    assert_eq!(script(&rig.wait(MOMENT)), [">S . 1001:5001 11"]);
    // The client may still send what it was promised before its bytes became more, and now there is room for that.
    let said = script(&rig.server(ack(S + 1, C + 12), b""));
    assert_eq!(said, [">C . 5001:1007 0", "park"]);
    assert_eq!(script(&rig.parked())[0], "install 5 0");
    rig.assert_gone();
}

#[test]
fn nothing_is_acknowledged_through_before_the_verdict() {
    let keeper = Keeper::through();
    let mut rig = Rig::established(keeper.clone());
    assert!(rig.client(ack(C + 1, S + 1), b"GET").is_empty());
    keeper.later(C2S, Edit::Replace(b"HEAD".to_vec()), Step::Relay);
    assert_eq!(script(&rig.wait(MOMENT)), [">S . 1001:5001 4"]);
    assert_eq!(script(&rig.server(ack(S + 1, C + 5), b"")), [">C . 5001:1004 0"]);
}

#[test]
fn a_sender_is_told_no_more_than_there_is_room_for() {
    let (_, mut rig) = begun();
    let mut said = Vec::new();
    for n in 0..40 {
        said = rig.client(ack(C + 1 + n * 1460, S + 1), &[b'x'; 1460]);
    }
    // All but the last segment, which is not inside the window that is given.
    let Some(Said::Tcp(CLIENT, tcp, _)) = said.last() else { panic!("{said:?}") };
    let edge = tcp.ack.advance(u32::from(tcp.window) << SHIFT);
    assert!(edge.le(Seq(C + 1).advance(65_536)), "{tcp:?}");
}

#[test]
fn a_fin_waits_behind_held_bytes_and_the_session_hears_of_it() {
    let (keeper, mut rig) = begun();
    rig.client(fin(C + 1, S + 1), b"GET");
    assert_eq!(keeper.seen(), ["GET", "end"]);
    keeper.later(C2S, Edit::Pass, Step::Relay);
    assert_eq!(script(&rig.wait(MOMENT)), [">S F. 1001:5001 3"]);
}

#[test]
fn a_silent_session_is_asked_once_and_then_the_flow_ends() {
    let (keeper, mut rig) = begun();
    rig.client(ack(C + 1, S + 1), b"GET");
    rig.wait(PATIENCE / 2);
    // Sending on buys no time.
    rig.client(ack(C + 4, S + 1), b"!");
    let said = script(&rig.wait(PATIENCE / 2 + 2 * MOMENT));
    assert_eq!(said, [">C R. 5001:1005 0", ">S R. 1001:5001 0"]);
    assert_eq!(rig.count(Counter::VerdictsOverdue), 1);

    rig.turn_to(1);
    rig.establish();
    keeper.when_overdue(Edit::Pass, Step::Relay);
    rig.client(ack(C + 1, S + 1), b"GET");
    assert_eq!(script(&rig.wait(PATIENCE + 2 * MOMENT)), [">S . 1001:5001 3"]);
}

#[test]
fn the_client_is_cut_and_the_server_closed_in_order() {
    let (keeper, mut rig) = begun();
    keeper.at_once(Edit::Pass, Step::Relay);
    rig.client(ack(C + 1, S + 1), b"GET");
    rig.client(ack(C + 4, S + 1), b"bad");
    keeper.later(C2S, Edit::Hold(PATIENCE), Step::Cut(C2S));
    let said = script(&rig.wait(MOMENT));
    assert_eq!(said, [">C R. 5001:1007 0", ">S F. 1004:5001 0"], "what is held goes nowhere");
    assert_eq!(rig.count(Counter::FlowsCut), 1);
    // The server has its say, to nobody, and closes.
    assert_eq!(script(&rig.server(ack(S + 1, C + 5), b"200")), [">S . 1005:5004 0"]);
    // The client, should it not have heard, is told again.
    assert_eq!(script(&rig.client(ack(C + 7, S + 1), b"")), [">C R 5001:0 0"]);
    assert_eq!(script(&rig.server(fin(S + 4, C + 5), b"")), [">S . 1005:5005 0"]);
    rig.wait(Duration::from_secs(60));
    rig.assert_gone();
}

#[test]
fn the_server_is_cut_and_the_client_closed_behind_what_it_was_sent() {
    let (keeper, mut rig) = begun();
    keeper.at_once(Edit::Pass, Step::Relay);
    rig.client(ack(C + 1, S + 1), b"GET");
    keeper.at_once(Edit::Pass, Step::Cut(S2C));
    let said = script(&rig.server(ack(S + 1, C + 4), b"200 secret"));
    assert!(said.contains(&">C F. 5001:1004 10".into()), "{said:?}");
    assert!(said.contains(&">S R. 1004:5011 0".into()), "{said:?}");
}

/// A server that goes on talking to nobody gets a RST in the end.
#[test]
fn an_end_that_does_not_close_is_cut_too() {
    let (keeper, mut rig) = begun();
    rig.client(ack(C + 1, S + 1), b"bad");
    keeper.later(C2S, Edit::Hold(PATIENCE), Step::Cut(C2S));
    rig.wait(MOMENT);
    rig.server(ack(S + 1, C + 2), b"200");
    let said = script(&rig.wait(Duration::from_secs(61)));
    assert_eq!(said, [">S R. 1002:5004 0"]);
}

#[test]
fn a_flow_that_was_split_is_merged_by_its_sessions_word() {
    let keeper = Keeper::default();
    let mut rig = split(&keeper);
    let said = script(&rig.client(ack(C + 1001, S + 2001), b"GET"));
    assert_eq!(said, [">S . 2001:7001 0"], "nothing to the client");
    keeper.later(C2S, Edit::Pass, Step::Merge);
    assert_eq!(script(&rig.wait(MOMENT)), [">S . 2001:7001 3"]);
    let said = script(&rig.server(ack(S + 2001, C + 1004), b""));
    assert!(said.contains(&"park".into()), "{said:?}");
    assert_eq!(script(&rig.parked())[0], "install 0 0");
}

/// A server that has said nothing since a split is known by the way to it alone.
#[test]
fn a_request_on_an_idle_flow_that_was_split_is_cut() {
    let keeper = Keeper::default();
    let mut rig = split(&keeper);
    rig.client(ack(C + 1001, S + 2001), b"bad");
    keeper.later(C2S, Edit::Hold(PATIENCE), Step::Cut(C2S));
    assert_eq!(script(&rig.wait(MOMENT)), [">C R. 7001:2001 0", ">S F. 2001:7001 0"]);
}

/// Nobody else could repeat to the server what the client has sent before.
#[test]
fn nobody_is_cut_who_may_have_to_repeat() {
    let keeper = Keeper::default();
    let mut rig = split_after(&keeper, 500);
    rig.client(ack(C + 1001, S + 2001), b"bad");
    keeper.later(C2S, Edit::Hold(PATIENCE), Step::Cut(C2S));
    assert!(rig.wait(MOMENT).is_empty());
    let said = script(&rig.client(ack(C + 501, S + 2001), &[b'x'; 500]));
    assert_eq!(said, [">S . 1501:7001 500"], "which it does");
    let said = script(&rig.server(ack(S + 2001, C + 1001), b""));
    assert!(said.contains(&">S F. 2001:7001 0".into()), "{said:?}");
    assert!(said.iter().any(|line| line.starts_with(">C R")), "{said:?}");
}

/// What a session makes of the bytes above a boundary changes no number below.
#[test]
fn an_edit_above_the_boundary_moves_nothing_below() {
    let keeper = Keeper::default();
    let mut rig = split_between(&keeper, 500, 1000);
    assert_eq!(script(&rig.client(ack(C + 1001, S + 1001), b"bad")), Vec::<String>::new());
    keeper.later(C2S, Edit::Replace(b"much better".to_vec()), Step::Relay);
    assert_eq!(script(&rig.wait(MOMENT)), [">S . 2001:6001 11"]);
    let again = rig.client(ack(C + 501, S + 1001), &[b'x'; 500]);
    assert_eq!(script(&again), [">S . 1501:6001 500"], "as it was sent");
    // Nobody would look at an acknowledgment with an older number.
    assert_eq!(script(&rig.client(ack(C + 1004, S + 1501), b"")), [">S . 2012:6501 0"]);
    let said = script(&rig.server(ack(S + 2001, C + 1001), b""));
    assert!(said.contains(&">C . 7001:2004 0".into()), "what was taken is acknowledged: {said:?}");
    let said = script(&rig.server(ack(S + 2001, C + 1012), b"ok"));
    assert!(said.contains(&">C . 7001:2004 2".into()), "{said:?}");
}

#[test]
fn both_ends_of_a_flow_that_was_split_are_reset_though_one_was_never_heard() {
    let keeper = Keeper::default();
    let mut rig = split(&keeper);
    keeper.at_once(Edit::Hold(PATIENCE), Step::Reset);
    let said = script(&rig.client(ack(C + 1001, S + 2001), b"bad"));
    assert_eq!(said, [">C R. 7001:2001 0", ">S R. 2001:7001 0"]);
    assert!(matches!(rig.core.connections().next().map(|flow| flow.phase()), Some(Phase::Ended { .. })));
}
