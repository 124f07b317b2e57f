//! What becomes of each TCP option (DESIGN section 4, docs/tcp-options.md), from the bytes of a SYN on.

use control::module::Isn;
use control::module::relay::{MergeWhen, Relay};
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps};

use crate::rig::*;

const MSS: &[u8] = &[2, 4, 5, 180];
const WINDOW_SCALE: &[u8] = &[1, 3, 3, 7];
const SACK_PERMITTED: &[u8] = &[1, 1, 4, 2];
const TIMESTAMPS: &[u8] = &[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0];

/// What nobody in between can carry on: kind, and an option of it as a SYN has it.
const STRIPPED: &[(&str, &[u8])] = &[
    ("echo, obsolete", &[6, 6, 0, 0, 0, 1]),
    ("partial order, obsolete", &[9, 2]),
    ("alternate checksum, obsolete", &[14, 3, 1]),
    ("SCPS capabilities", &[20, 4, 0x80, 1]),
    ("quick-start", &[27, 8, 0, 0, 0, 0, 0, 0]),
    ("user timeout", &[28, 4, 0, 30]),
    ("MPTCP capable", &[30, 4, 0x01, 0x81]),
    ("Fast Open, asking for a cookie", &[34, 2]),
    ("Fast Open, with a cookie", &[34, 10, 1, 2, 3, 4, 5, 6, 7, 8]),
    ("encryption negotiation", &[69, 3, 1]),
    ("accurate ECN, order 0", &[172, 5, 0, 0, 1]),
    ("accurate ECN, order 1", &[174, 5, 0, 0, 1]),
    ("experiment 1", &[253, 4, 0xf9, 0x89]),
    ("experiment 2", &[254, 4, 0xf9, 0x89]),
    ("unassigned", &[99, 4, 1, 2]),
];

fn rig() -> Rig {
    Rig::new(relay(MergeWhen::Never))
}

fn bare_syn() -> TcpRepr {
    TcpRepr { options: TcpOptions::default(), ..syn(C) }
}

/// The only segment, and what it carries.
fn only(said: Vec<Said>) -> (TcpRepr, Vec<u8>) {
    match <[Said; 1]>::try_from(said) {
        Ok([Said::Tcp(_, tcp, payload)]) => (tcp, payload),
        other => panic!("{other:?}"),
    }
}

fn to_client(said: Vec<Said>) -> TcpRepr {
    let segment = said.into_iter().find_map(|said| match said {
        Said::Tcp(CLIENT, tcp, _) => Some(tcp),
        _ => None,
    });
    segment.expect("a segment to the client")
}

#[test]
fn what_is_understood_is_mirrored_both_ways() {
    let mut rig = rig();
    let options = [MSS, WINDOW_SCALE, SACK_PERMITTED, TIMESTAMPS].concat();
    let (sent, _) = only(rig.with_options(&options).offer(bare_syn()));
    let expected = TcpOptions {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { value: 9, echo: 0 }),
        ..TcpOptions::default()
    };
    assert_eq!((sent.options, sent.window, sent.seq), (expected, SYN_WINDOW, Seq(C)));
    // The server has less: the client gets what the server has.
    let answer = TcpRepr {
        options: TcpOptions { mss: Some(1200), window_scale: Some(2), ..TcpOptions::default() },
        window: 30_000,
        ..syn_ack(S, C + 1)
    };
    let got = to_client(rig.server(answer.clone(), b""));
    assert_eq!((got.options, got.window, got.seq), (answer.options, 30_000, Seq(S)));
}

#[test]
fn what_a_server_answers_unasked_is_not_passed_on() {
    let mut rig = rig();
    rig.with_options(MSS).offer(bare_syn());
    let answer = syn_ack(S, C + 1);
    assert!(answer.options.sack_permitted && answer.options.window_scale.is_some());
    let got = to_client(rig.server(answer, b""));
    assert_eq!(got.options, TcpOptions { mss: Some(1460), ..TcpOptions::default() });
}

#[test]
fn a_client_without_options_gets_none() {
    let mut rig = rig();
    let (sent, _) = only(rig.with_options(&[]).offer(bare_syn()));
    assert_eq!(sent.options, TcpOptions::default());
    assert_eq!(to_client(rig.server(syn_ack(S, C + 1), b"")).options, TcpOptions::default());
}

#[test]
fn what_is_not_understood_does_not_leave_a_proxied_syn() {
    for (name, option) in STRIPPED {
        let mut rig = rig();
        let options = [MSS, option].concat();
        let (sent, _) = only(rig.with_options(&options).offer(bare_syn()));
        assert_eq!(sent.options, TcpOptions { mss: Some(1460), ..TcpOptions::default() }, "{name}");
        // Nor does the server's own get to a client that would take it for an answer.
        let answer = TcpRepr { options: TcpOptions::default(), ..syn_ack(S, C + 1) };
        let got = to_client(rig.with_options(&options).server(answer, b""));
        assert!(!got.options.other, "{name}: {got:?}");
        assert_eq!(script(&rig.client(ack(C + 1, S + 1), b"GET"))[1], ">S . 1001:5001 3", "{name}");
    }
}

#[test]
fn nor_does_it_leave_with_data_but_the_data_does() {
    for (name, option) in STRIPPED {
        let mut rig = Rig::established(relay(MergeWhen::Never));
        let said = rig.with_options(option).client(ack(C + 1, S + 1), b"GET");
        let Some(Said::Tcp(SERVER, sent, payload)) = said.last() else { panic!("{name}: {said:?}") };
        assert_eq!((&sent.options, payload.as_slice()), (&TcpOptions::default(), &b"GET"[..]), "{name}");
    }
}

#[test]
fn data_on_a_syn_is_repeated_behind_the_handshake() {
    // RFC 7413 section 4.2.1: a client whose data was not acknowledged sends it again.
    let mut rig = rig();
    let cookie = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let (sent, payload) = only(rig.with_options(&cookie).offer_with(bare_syn(), b"GET /"));
    assert_eq!((sent.options.other, payload.len()), (false, 0));
    let got = to_client(rig.server(syn_ack(S, C + 1), b""));
    assert_eq!(got.ack, Seq(C + 1), "the SYN alone");
    let said = script(&rig.client(ack(C + 1, S + 1), b"GET /"));
    assert!(said.contains(&">S . 1001:5001 5".into()), "{said:?}");
}

#[test]
fn authenticated_flows_are_let_go() {
    let md5 = [[19, 18].as_slice(), &[7; 16]].concat();
    let ao = [[29, 16, 1, 1].as_slice(), &[7; 12]].concat();
    for option in [md5, ao] {
        for isn in [Isn::Mirror, Isn::Keyed] {
            let mut rig = Rig::new(Relay { isn, ..relay(MergeWhen::Established) });
            // The worker holds the SYN verbatim and sends it now.
            let said = rig.with_options(&[MSS, &option].concat()).offer(bare_syn());
            assert_eq!(script(&said), ["release Bypassed"]);
            rig.assert_gone();
        }
    }
}

#[test]
fn classic_ecn_is_mirrored_and_accurate_ecn_is_offered_as_classic() {
    let classic = TcpFlags::ECE | TcpFlags::CWR;
    for asked in [classic, classic | TcpFlags::AE] {
        let mut rig = rig();
        let (sent, _) = only(rig.offer(TcpRepr { flags: TcpFlags::SYN | asked, ..syn(C) }));
        assert_eq!(sent.flags, TcpFlags::SYN | classic, "RFC 9768 section 3.1.2: an older server falls back");
        let answer = syn_ack(S, C + 1);
        let got = to_client(rig.server(TcpRepr { flags: answer.flags | TcpFlags::ECE, ..answer }, b""));
        assert_eq!(got.flags, TcpFlags::SYN | TcpFlags::ACK | TcpFlags::ECE);
    }
    let mut rig = rig();
    rig.offer(TcpRepr { flags: TcpFlags::SYN | classic, ..syn(C) });
    let got = to_client(rig.server(syn_ack(S, C + 1), b""));
    assert_eq!(got.flags, TcpFlags::SYN | TcpFlags::ACK, "a server that has none answers for us");
}

#[test]
fn a_shift_beyond_fourteen_is_fourteen() {
    // RFC 7323 section 2.3: it must be taken as 14, and we must not say more.
    let mut rig = rig();
    let (sent, _) = only(rig.with_options(&[MSS, &[1, 3, 3, 200]].concat()).offer(bare_syn()));
    assert_eq!(sent.options.window_scale, Some(14));
}
