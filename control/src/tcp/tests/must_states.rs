//! Every synchronized state against RST, SYN, injected acknowledgments and data (RFC 9293 section 3.10.7.4, RFC 5961).

use super::dialogue::Dialogue;
use crate::tcp::*;

/// A connection in `state`, and its SND.NXT and RCV.NXT.
fn in_state(state: State) -> (Dialogue, u32, u32) {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    let (script, snd, rcv) = match state {
        State::Established => ("", 101, 501),
        State::FinWait1 => ("! close\n> F. 101 ack 501", 102, 501),
        State::FinWait2 => ("! close\n> F. 101 ack 501\n< . 501 ack 102", 102, 501),
        State::CloseWait => ("< F. 501 ack 101\n> . 101 ack 502", 101, 502),
        State::Closing => ("! close\n> F. 101 ack 501\n< F. 501 ack 101\n> . 102 ack 502", 102, 502),
        State::LastAck => ("< F. 501 ack 101\n> . 101 ack 502\n! close\n> F. 101 ack 502", 102, 502),
        State::TimeWait => ("! close\n> F. 101 ack 501\n< F. 501 ack 102\n> . 102 ack 502", 102, 502),
        _ => panic!("not synchronized: {state:?}"),
    };
    d.run(script);
    assert_eq!(d.block.state(), state);
    d.forget_events();
    (d, snd, rcv)
}

fn synchronized() -> impl Iterator<Item = State> {
    State::ALL.into_iter().filter(|state| state.is_synchronized())
}

/// RFC 5961 section 3.2, in every state: outside of the window nothing, inside a challenge, exactly at RCV.NXT the end.
#[test]
fn a_reset_counts_with_the_exact_number_only() {
    for state in synchronized() {
        let (mut d, snd, rcv) = in_state(state);
        for outside in [rcv - 1, rcv.wrapping_sub(100_000), rcv + 100_000, rcv + (1 << 31)] {
            d.run(&format!("< R {outside}\n> -\n= -\n: {state:?}"));
        }
        for inside in [rcv + 1, rcv + 5000] {
            d.run(&format!("< R {inside}\n> . {snd} ack {rcv}\n> -\n= -\n: {state:?}"));
        }
        // TIME-WAIT ends in silence: everything had been said (section 3.10.7.4, second step).
        let events = if state == State::TimeWait { "CLOSED" } else { "RESET|CLOSED" };
        d.run(&format!("< R {rcv}\n= {events}\n: Closed\n> -"));
    }
}

/// RFC 5961 section 4.2: whatever its number, a SYN is challenged, and TIME-WAIT leaves it to those who know.
#[test]
fn a_syn_is_challenged_in_every_state() {
    for state in synchronized() {
        let (mut d, snd, rcv) = in_state(state);
        for seq in [500, rcv - 1, rcv, rcv + 1, rcv + 1_000_000] {
            d.run(&format!("< S. {seq} ack {snd}\n> . {snd} ack {rcv}\n= -\n: {state:?}"));
        }
        let (events, answer) = match state {
            State::TimeWait => ("NEW_SYN", "-".to_owned()),
            _ => ("-", format!(". {snd} ack {rcv}")),
        };
        for seq in [rcv, 4_000_000] {
            d.run(&format!("< S {seq}\n> {answer}\n= {events}\n: {state:?}"));
        }
    }
}

/// RFC 5961 section 5.2, RFC 9293 MAY-12: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT, or nothing of the segment counts.
#[test]
fn data_with_an_impossible_acknowledgment_is_not_taken() {
    for state in [State::Established, State::FinWait1, State::FinWait2] {
        let (mut d, snd, rcv) = in_state(state);
        let una = d.block.snd_una().0;
        for ack in [snd + 1, snd + 100_000, una.wrapping_sub(10_001), una + (1 << 31)] {
            d.run(&format!("< . {rcv}+10 ack {ack}\n> . {snd} ack {rcv}\n= -\n: {state:?}"));
            assert_eq!(d.block.last_stop(), Some(Stop::AckInvalid));
        }
        assert_eq!(d.block.readable(), 0);
        // The oldest that is possible.
        d.run(&format!("< . {rcv}+10 ack {}\n> . {snd} ack {}", una.wrapping_sub(10_000), rcv + 10));
        assert_eq!(d.block.readable(), 10);
    }
}

/// First step: what lies outside of the window is answered with where we are, and changes nothing.
#[test]
fn what_lies_outside_of_the_window_is_acknowledged_and_dropped() {
    for state in synchronized() {
        let (mut d, snd, rcv) = in_state(state);
        let una = d.block.snd_una().0;
        for seq in [rcv - 200, rcv + 100_000, rcv + (1 << 31)] {
            d.run(&format!("< . {seq}+100 ack {una}\n> . {snd} ack {rcv}\n> -"));
            assert_eq!(d.block.last_stop(), Some(Stop::OutsideWindow), "{state:?} {seq}");
        }
        assert_eq!((d.block.rcv_nxt().0, d.block.readable()), (rcv, 0));
    }
}

/// Seventh step: after the peer's FIN there is no text; before it there is, whoever has closed.
#[test]
fn text_is_taken_until_the_peer_has_closed() {
    for state in synchronized() {
        let (mut d, snd, rcv) = in_state(state);
        let takes = matches!(state, State::Established | State::FinWait1 | State::FinWait2);
        d.run(&format!("< P. {rcv}+50 ack {}", d.block.snd_una().0));
        assert_eq!(d.block.readable(), if takes { 50 } else { 0 }, "{state:?}");
        if takes {
            d.run(&format!("> . {snd} ack {}", rcv + 50));
        }
    }
}

/// Eighth step: a FIN moves each state as figure 5 says, and a repeated one is acknowledged.
#[test]
fn a_fin_moves_every_state_on() {
    for (state, next) in [
        (State::Established, State::CloseWait),
        (State::FinWait1, State::Closing),
        (State::FinWait2, State::TimeWait),
        (State::CloseWait, State::CloseWait),
        (State::Closing, State::Closing),
        (State::LastAck, State::LastAck),
        (State::TimeWait, State::TimeWait),
    ] {
        let (mut d, snd, rcv) = in_state(state);
        let una = d.block.snd_una().0;
        let (fin, ack) = if rcv == 501 { (501, 502) } else { (501, rcv) };
        for _ in 0..2 {
            d.run(&format!("< F. {fin} ack {una}\n: {next:?}\n> . {snd} ack {ack}\n> -"));
        }
    }
}

/// Section 3.10.7.4, second step, for a passive OPEN (MUST-11): the client's RST ends the handshake and nothing is said.
/// The server leg, an active OPEN, is refused.
#[test]
fn a_reset_before_the_handshake_is_told_from_a_refusal() {
    let mut d = Dialogue::suspended("S 500 <mss 1000>", Limits::default());
    d.block.answer(d.now, dataplane::wire::seq::Seq(100), &super::dialogue::offer());
    d.run("> S. 100 ack 501\n< R 502\n> -\n= -\n: SynReceived\n< R 501\n= RESET|CLOSED\n> -");
    let mut d = Dialogue::connect(&super::dialogue::offer(), Limits::default());
    d.run("> S 100\n< R 0\n< R. 0 ack 100\n= -\n: SynSent\n< R. 0 ack 101\n= REFUSED|CLOSED\n> -");
}

/// MUST-12: the user can tell an orderly end from an abort, whatever was waiting.
#[test]
fn an_orderly_end_is_told_from_an_abort() {
    let (mut d, ..) = in_state(State::Established);
    d.run("< FP. 501+10 ack 101\n= READABLE|PEER_FIN");
    assert!(d.block.fin_received());
    let (mut d, ..) = in_state(State::Established);
    d.run("< P. 501+10 ack 101\n< R 511\n= READABLE|RESET|CLOSED");
    assert!(!d.block.fin_received());
}

/// Challenges are counted for each connection: a shared budget would tell an attacker, on a connection of its own, whether
/// its guess about another one was right (CVE-2016-5696).
#[test]
fn challenges_of_one_connection_are_no_other_ones() {
    let (mut one, ..) = in_state(State::Established);
    let (mut other, ..) = in_state(State::Established);
    for _ in 0..20 {
        one.run("< R 502");
        while one.block.poll(one.now, 7).is_some() {}
    }
    one.run("< R 502\n> -");
    other.run("< R 502\n> . 101 ack 501");
}
