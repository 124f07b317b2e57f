//! The split at its edges (DESIGN section 6): who is told of the end, urgent data, windows, SYNs and errors while something from
//! before is on its way. The flow is that of `splitting.rs`.

use std::time::Duration;

use control::core::context::Settings;
use control::module::relay::MergeWhen;
use control::tcp::Limits;
use dataplane::flow::object::Track;
use dataplane::flow::terms::Terms;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::rig::*;
use crate::splitting::*;

/// Nobody has spoken since the split when the flow has lived too long. There is no frame yet to make a RST of; the first one
/// that comes tells of an address for each end.
#[test]
fn who_was_not_heard_learns_of_the_end_when_it_speaks() {
    let mut rig = split();
    assert!(rig.wait(Duration::from_secs(3601)).is_empty());
    let said = script(&rig.client(ack(C + 1 + 1000, at_client(500)), b"?"));
    assert_eq!(
        said,
        [format!(">C R {}:0 0", at_client(500)), format!(">S R. {}:{} 0", at_server(1000), S + 1 + 500),]
    );
}

/// What comes first is the client's own RST: it is told nothing (invariant 5), the server is.
#[test]
fn who_was_not_heard_and_resets_is_not_answered() {
    let mut rig = split();
    assert!(rig.wait(Duration::from_secs(3601)).is_empty());
    let said = script(&rig.client(rst(C + 1 + 1000), b""));
    assert_eq!(said, [format!(">S R. {}:{} 0", at_server(1000), S + 1 + 500)]);
}

/// The client has spoken, the server has not; then the flow has lived too long. The client's own frame tells where it is.
#[test]
fn an_end_that_was_heard_is_reset_though_the_other_was_not() {
    let mut rig = split();
    rig.client(ack(C + 1 + 1000, at_client(500)), &bytes(10));
    let said = script(&rig.wait(Duration::from_secs(3601)));
    let resets = said.iter().filter(|line| line.contains(" R")).count();
    assert_eq!(resets, 2, "{said:?}");
}

/// Below the boundary a SYN is between the ends, and so is its answer; of a sender that is ours, the leg answers.
#[test]
fn a_syn_is_answered_to_who_has_sent_it() {
    let mut rig = split();
    assert_eq!(script(&rig.client(syn(77), b"")), [format!(">S S {}:0 0", 77 + 100)]);
    let challenge = script(&rig.server(ack(S + 1 + 2000, at_server(400)), b""));
    assert_eq!(challenge, [format!(">C . {}:{} 0", at_client(2000), C + 1 + 400)]);
    rig.server(ack(S + 1 + 2000, at_server(1000)), b"");
    let said = script(&rig.client(syn(77), b""));
    assert_eq!(said, [format!(">C . {}:{} 0", at_client(2000), C + 1 + 1000)]);
}

/// The pointer counts from the number of the segment in which it stands (RFC 9293 section 3.8.5).
#[test]
fn the_urgent_pointer_of_a_cut_segment_points_to_the_same_byte() {
    let pointers = |urgent| {
        let mut rig = split();
        let flags = TcpFlags::ACK | TcpFlags::URG;
        let tcp = TcpRepr { urgent, flags, ..ack(C + 1 + 900, at_client(500)) };
        let said = rig.client(tcp, &bytes(300));
        said.iter()
            .filter_map(|said| match said {
                Said::Tcp(SERVER, tcp, _) if tcp.flags.contains(TcpFlags::URG) => {
                    Some(tcp.seq.advance(tcp.urgent.into()).0)
                }
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(pointers(150), [at_server(1050); 2]);
    assert_eq!(pointers(50), [at_server(950)], "what follows is not urgent");
}

/// A segment that fills its path has no room for what our leg would say besides.
#[test]
fn what_passes_does_not_become_longer_than_its_path() {
    let mut rig = split();
    rig.server(ack(S + 1 + 2000, at_server(1000)), b"");
    rig.client(ack(C + 1 + 1000, at_client(500)), b"");
    let mut passed = |len| {
        // Something of the client's is missing, which is ours to tell the client.
        rig.client(ack(C + 1 + 1200, at_client(500)), &bytes(10));
        let said = rig.server(ack(S + 1 + 500, at_server(1000)), &bytes(len));
        let Some(Said::Tcp(CLIENT, tcp, payload)) = said.first() else { panic!("{said:?}") };
        (tcp.options.sack.len(), payload.len())
    };
    assert_eq!(passed(1460), (0, 1460));
    assert_eq!(passed(400), (1, 400));
}

/// A sender that had a large window keeps it, or it would have to slow down for as long as ours takes to grow.
#[test]
fn a_window_stays_as_large_as_it_was() {
    const WINDOW: u32 = 400_000;
    let leg = Limits { send_buffer: 1 << 20, receive_buffer: 1 << 20, ..Limits::default() };
    let rig = Rig::with(relay(MergeWhen::Established), Settings { leg, buffered: 1 << 24, ..settings() });
    let mut rig = split_in(rig, Terms::new(Some([SHIFT, SHIFT]), true, false), WINDOW);
    let wide = |tcp| TcpRepr { window: (1_000_000u32 >> SHIFT) as u16, ..tcp };
    rig.client(wide(ack(C + 1 + 1000, at_client(2000))), b"");
    rig.server(wide(ack(S + 1 + 2000, at_server(1000))), b"");
    let mut edge = Seq(C + 1 + 400 + WINDOW);
    for n in 0..100 {
        let at = 1000 + n * 1400;
        let mut said = rig.client(wide(ack(C + 1 + at, at_client(2000))), &bytes(1400));
        said.extend(rig.server(wide(ack(S + 1 + 2000, at_server(at + 1400))), b""));
        for said in said {
            if let Said::Tcp(CLIENT, tcp, _) = said {
                let given = tcp.ack.advance(u32::from(tcp.window) << SHIFT);
                assert!(given.ge(edge.retreat(1 << SHIFT)), "{edge:?} is taken back: {given:?}");
                edge = edge.max(given);
            }
        }
    }
    let acknowledged = Seq(C + 1 + 1000 + 140_000);
    assert!(acknowledged.distance_to(edge) > WINDOW - 5_000, "{}", acknowledged.distance_to(edge));
}

/// What is said of the first segment after a split is said before anything has been offered: the window is the one that its
/// receiver has, and not our buffer. An end that is idle never uses up what it was promised too much, and the flow could not
/// merge for as long (found by a thousand hand-overs of one flow).
#[test]
fn the_first_that_passes_promises_nothing_new() {
    const WINDOW: u32 = 64_000;
    let leg = Limits { receive_buffer: 4 << 20, ..Limits::default() };
    let terms = Terms::new(Some([SHIFT, SHIFT]), true, false);
    let given_to_server = |tcp: TcpRepr, payload: &[u8]| {
        let rig = Rig::with(relay(MergeWhen::Established), Settings { leg, buffered: 1 << 24, ..settings() });
        let mut rig = split_in(rig, terms, WINDOW);
        let edges = rig.client(tcp, payload).into_iter().filter_map(|said| match said {
            Said::Tcp(SERVER, tcp, _) => Some(tcp.ack.advance(u32::from(tcp.window) << SHIFT)),
            _ => None,
        });
        edges.reduce(Seq::max).expect("something has passed")
    };
    let promised = Seq(S + 1 + 500 + WINDOW);
    let whole = ack(C + 1 + 1000, at_client(500));
    let wide = TcpRepr { window: u16::MAX, ..ack(C + 1 + 1000, at_client(2000)) };
    for (tcp, payload) in
        [(whole.clone(), vec![]), (ack(C + 1 + 900, at_client(500)), bytes(300)), (whole, bytes(10))]
    {
        assert!(given_to_server(tcp.clone(), &payload).le(promised), "{tcp:?}");
    }
    // A window that the client itself has just made wider is another matter.
    assert!(given_to_server(wide, &[]).gt(promised));
}

const TERMS: fn() -> Terms = || Terms::new(Some([SHIFT, SHIFT]), true, false);

/// A boundary that a corrupt number has moved too far: the client has sent 800 bytes, and closes.
#[test]
fn a_fin_below_the_boundary_moves_it_there() {
    let mut rig = split();
    let said = script(&rig.client(fin(C + 1 + 700, at_client(2000)), &bytes(100)));
    assert_eq!(
        said,
        [
            format!(">S . {}:{} 100", at_server(700), S + 1 + 2000),
            format!(">S F. {}:{} 0", at_server(800), S + 1 + 2000),
        ]
    );
    rig.server(ack(S + 1 + 2000, at_server(700)), b"");
    let said = script(&rig.server(ack(S + 1 + 2000, at_server(801)), b""));
    assert_eq!(said, [format!(">C . {}:{} 0", at_client(2000), C + 1 + 801)]);
}

/// Unless somebody has sent more: who guesses a FIN takes nothing back.
#[test]
fn a_fin_below_what_was_sent_moves_nothing() {
    let mut rig = split();
    rig.client(ack(C + 1 + 1000, at_client(2000)), &bytes(100));
    rig.client(fin(C + 1 + 700, at_client(2000)), b"");
    rig.server(ack(S + 1 + 2000, at_server(1000)), b"");
    let said = script(&rig.client(ack(C + 1 + 1100, at_client(2000)), &bytes(10)));
    assert!(said.contains(&format!(">S . {}:{} 10", at_server(1100), S + 1 + 2000)), "{said:?}");
}

/// The server has sent 2000 bytes, the worker has seen a number beyond them. What the server says of its window is no older for
/// that.
#[test]
fn a_boundary_that_is_too_high_hides_no_window() {
    let mut view = seen(TERMS(), 64_000);
    view.track[1].end = Seq(S + 1 + 3000);
    let mut rig = split_seen(Rig::new(relay(MergeWhen::Established)), view);
    rig.client(ack(C + 1 + 1000, at_client(2000)), b"");
    rig.server(TcpRepr { window: 0, ..ack(S + 1 + 2000, at_server(1000)) }, b"");
    assert!(rig.client(ack(C + 1 + 1000, at_client(2000)), &bytes(100)).len() < 2);
    let said = script(&rig.server(ack(S + 1 + 2000, at_server(1000)), b""));
    assert!(said.contains(&format!(">S . {}:{} 100", at_server(1000), S + 1 + 2000)), "{said:?}");
}

/// Of what passes the worker sums up no more than it has to: an acknowledgment that it has seen may have been corrupt.
#[test]
fn what_is_acknowledged_is_what_was_heard_since() {
    let mut view = seen(TERMS(), 64_000);
    view.track[1].ack = Seq(C + 1 + 900);
    let mut rig = split_seen(Rig::new(relay(MergeWhen::Established)), view);
    rig.client(ack(C + 1 + 1000, at_client(500)), b"");
    let said = script(&rig.server(ack(S + 1 + 2000, at_server(400)), &bytes(10)));
    assert!(said.contains(&format!(">C . {}:{} 10", at_client(2000), C + 1 + 400)), "{said:?}");
}

/// RFC 3168: what the ends have agreed on holds behind the boundary.
#[test]
fn marks_are_echoed_and_answered_after_a_split() {
    let mut rig = split_with(TERMS().with_ecn(true));
    rig.client(ack(C + 1 + 1000, at_client(2000)), b"");
    rig.server(ack(S + 1 + 2000, at_server(1000)), b"");
    (rig.class, rig.classes) = (CE, Vec::new());
    let said = script(&rig.client(ack(C + 1 + 1000, at_client(2000)), &bytes(10)));
    assert!(said.contains(&format!(">C E. {}:{} 0", at_client(2000), C + 1 + 1010)), "{said:?}");
    assert!(rig.classes.contains(&ECT_0), "what we send may be marked: {:?}", rig.classes);
    rig.class = 0;
    rig.server(tcp(TcpFlags::ACK | TcpFlags::ECE, S + 1 + 2000, at_server(1010)), b"");
    let said = script(&rig.client(tcp(TcpFlags::ACK, C + 1 + 1010, at_client(2000)), &bytes(10)));
    assert!(said.contains(&format!(">S W. {}:{} 10", at_server(1010), S + 1 + 2000)), "{said:?}");
}

const CE: u8 = 3;
const ECT_0: u8 = 2;

/// A mark stays with the bytes that have met it.
#[test]
fn a_cut_segment_is_as_marked_as_it_came() {
    let mut rig = split();
    (rig.class, rig.classes) = (CE, Vec::new());
    rig.client(ack(C + 1 + 900, at_client(500)), &bytes(300));
    assert_eq!(rig.classes, [CE, 0], "ours is not markable: nobody has agreed to that");
}

const UNREACHABLE: (u8, u8) = (3, 1);
const TOO_BIG: (u8, u8) = (3, 4);

/// Below the boundary a segment was its sender's, above it was ours: a narrower path is a matter of whoever sends.
#[test]
fn errors_about_segments_reach_whose_they_were() {
    let mut rig = split();
    rig.client(ack(C + 1 + 1000, at_client(500)), &bytes(100));
    rig.server(ack(S + 1 + 2000, at_server(400)), &bytes(100));
    let mut told = |quoted, (kind, code), seq| script(&rig.icmp(quoted, kind, code, seq));
    assert_eq!(told(C2S, TOO_BIG, at_server(400)), [">C icmp"]);
    assert_eq!(told(S2C, TOO_BIG, at_client(500)), [">S icmp"]);
    for kind in [TOO_BIG, UNREACHABLE] {
        let expected: &[&str] = if kind == TOO_BIG { &[] } else { &[">C icmp"] };
        assert_eq!(told(C2S, kind, at_server(1000)), expected, "{kind:?}");
        let expected: &[&str] = if kind == TOO_BIG { &[] } else { &[">S icmp"] };
        assert_eq!(told(S2C, kind, at_client(2000)), expected, "{kind:?}");
    }
    assert!(told(C2S, TOO_BIG, at_server(300)).is_empty(), "that has arrived");
    assert!(told(C2S, TOO_BIG, at_server(9000)).is_empty(), "that was never sent");
}

/// The server has said nothing since the split, and nobody else can say that it is there, or has room: it is asked, by the number
/// that it has acknowledged. An acknowledgment in that would not count, so the client's goes by itself.
#[test]
fn a_keepalive_is_passed_on_until_its_receiver_is_heard() {
    let mut rig = split();
    let keepalive = ack(C + 1 + 999, at_client(2000));
    let question = format!(">S . {}:{} 0", at_server(999), S + 1 + 2000);
    let asked = script(&rig.client(keepalive.clone(), b""));
    assert_eq!(asked, [question.clone(), format!(">S . {}:{} 0", at_server(1000), S + 1 + 2000)]);
    assert_eq!(script(&rig.client(keepalive.clone(), b"")), [question], "that was lost");
    let told = script(&rig.server(ack(S + 1 + 2000, at_server(1000)), b""));
    assert_eq!(told, [format!(">C . {}:{} 0", at_client(2000), C + 1 + 1000)]);
    let told = script(&rig.client(keepalive, b""));
    assert!(told.contains(&format!(">C . {}:{} 0", at_client(2000), C + 1 + 1000)), "by the leg: {told:?}");
}

/// It asks by a number that the server has acknowledged, wherever the boundary lies.
#[test]
fn a_keepalive_below_a_boundary_that_is_too_high_is_passed_on() {
    let mut view = seen(TERMS(), 64_000);
    (view.track[0].end, view.track[1].ack) = (Seq(C + 1 + 3000), Seq(C + 1 + 1000));
    let mut rig = split_seen(Rig::new(relay(MergeWhen::Established)), view);
    let asked = script(&rig.client(ack(C + 1 + 999, at_client(2000)), b""));
    assert!(asked.contains(&format!(">S . {}:{} 0", at_server(999), S + 1 + 2000)), "{asked:?}");
    let told = script(&rig.server(ack(S + 1 + 2000, at_server(1000)), b""));
    assert_eq!(told, [format!(">C . {}:{} 0", at_client(2000), C + 1 + 1000)]);
}

/// What the server has said before it was lost on its way to us: the client asks, and its question brings the number that is
/// expected (RFC 5961 section 3.2). Nobody here could ask in the client's stead before it is heard.
#[test]
fn a_reset_behind_something_missing_is_asked_about_by_its_receiver() {
    let mut rig = split();
    assert_eq!(script(&rig.server(rst(S + 1 + 2100), b"")), [format!(">C R {}:0 0", at_client(2100))]);
    rig.client(ack(C + 1 + 1000, at_client(2000)), b"");
    let said = script(&rig.server(rst(S + 1 + 2000), b""));
    assert!(said.iter().any(|line| line.starts_with(&format!(">C R. {}:", at_client(2000)))), "{said:?}");
}

/// From then on it is the leg that asks.
#[test]
fn a_reset_behind_something_missing_is_asked_about_by_the_leg() {
    let mut rig = split();
    rig.client(ack(C + 1 + 1000, at_client(2000)), b"");
    let said = script(&rig.server(rst(S + 1 + 2100), b""));
    assert_eq!(said, [format!(">S . {}:{} 0", at_server(1000), S + 1 + 2000)]);
}

/// The client's window is shut, and the byte by which the server has probed it has passed: the boundary lies behind it. Of the
/// client's 1000 bytes all have arrived, and the server has been heard.
fn split_behind_a_probe() -> Rig {
    let mut view = seen(TERMS(), 64_000);
    view.track = [
        Track { end: Seq(C + 1 + 1000), ack: Seq(S + 1 + 2000) },
        Track { end: Seq(S + 1 + 2001), ack: Seq(C + 1 + 1000) },
    ];
    view.edges[1] = Seq(S + 1 + 2000);
    let mut rig = split_seen(Rig::new(relay(MergeWhen::Established)), view);
    rig.server(ack(S + 1 + 2000, at_server(1000)), b"p");
    rig
}

fn shut(tcp: TcpRepr) -> TcpRepr {
    TcpRepr { window: 0, ..tcp }
}

#[test]
fn a_receiver_whose_window_is_shut_is_told_in_a_number_that_it_takes() {
    let mut rig = split_behind_a_probe();
    let said = script(&rig.client(shut(ack(C + 1 + 1000, at_client(2000))), &bytes(100)));
    assert!(said.contains(&format!(">C . {}:{} 0", at_client(2000), C + 1 + 1100)), "{said:?}");
}

/// The number before the boundary is the one that it expects: it would have nothing to say to that.
#[test]
fn a_receiver_whose_window_is_shut_is_asked_by_a_number_that_it_has_taken() {
    let mut rig = split_behind_a_probe();
    rig.client(shut(ack(C + 1 + 1000, at_client(2000))), b"");
    let said = script(&rig.server(ack(S + 1 + 2001, at_server(1000)), b"q"));
    assert!(said.contains(&format!(">C . {}:{} 0", at_client(1999), C + 1 + 1000)), "{said:?}");
}

/// It obeys no other number (RFC 5961 section 3.2).
#[test]
fn a_receiver_whose_window_is_shut_is_reset_by_the_number_that_it_expects() {
    let mut rig = split_behind_a_probe();
    rig.client(shut(ack(C + 1 + 1000, at_client(2000))), b"");
    let said = script(&rig.server(rst(S + 1 + 2001), b""));
    assert!(said.iter().any(|line| line.starts_with(&format!(">C R. {}:", at_client(2000)))), "{said:?}");
}

/// What fills the window and is on its way comes before a RST of ours: its number lies behind that.
#[test]
fn a_receiver_whose_window_is_full_is_reset_behind_what_fills_it() {
    let mut view = seen(TERMS(), 64_000);
    view.edges[1] = Seq(S + 1 + 2000);
    let mut rig = split_seen(Rig::new(relay(MergeWhen::Established)), view);
    rig.client(ack(C + 1 + 1000, at_client(500)), b"");
    let said = script(&rig.wait(Duration::from_secs(3601)));
    assert!(said.iter().any(|line| line.starts_with(&format!(">C R. {}:", at_client(2000)))), "{said:?}");
}

/// Nobody would say so again before the server probes once more, which may take a minute.
#[test]
fn a_window_that_opens_is_passed_on_open() {
    let windows = |said: Vec<Said>| -> Vec<u16> {
        let told = |said| match said {
            Said::Tcp(SERVER, tcp, _) => Some(tcp.window),
            _ => None,
        };
        said.into_iter().filter_map(told).collect()
    };
    for payload in [0, 100] {
        let mut rig = split_behind_a_probe();
        let closed = windows(rig.client(shut(ack(C + 1 + 1000, at_client(2000))), b""));
        assert_eq!(closed, [0]);
        let open = windows(rig.client(ack(C + 1 + 1000, at_client(2000)), &bytes(payload)));
        assert!(open.iter().any(|window| *window > 0), "{payload}: {open:?}");
    }
}
