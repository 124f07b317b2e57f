//! Client-first: our SYN-ACK, the client's words, then the server (DESIGN section 4).

use std::time::Duration;

use control::connection::Phase;
use control::module::relay::{MergeWhen, Relay};
use dataplane::counters::Counter;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::TcpOptions;

use crate::rig::*;

const WAIT: Duration = Duration::from_secs(3);

fn client_first(merge: MergeWhen) -> Relay {
    Relay { client_first: Some(WAIT), ..relay(merge) }
}

/// Offers a SYN; returns the SYN-ACK that the client gets.
fn greet(rig: &mut Rig) -> TcpRepr {
    let said = rig.offer(syn(C));
    let [Said::Participate, Said::Tcp(CLIENT, greeting, payload)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((greeting.flags, greeting.ack.0, payload.len()), (TcpFlags::SYN | TcpFlags::ACK, C + 1, 0));
    greeting.clone()
}

/// The client acknowledges and says `words`; returns the SYN that the server gets.
fn speak(rig: &mut Rig, greeting: &TcpRepr, words: &[u8]) -> TcpRepr {
    let said = rig.client(ack(C + 1, greeting.seq.0.wrapping_add(1)), words);
    let asked = said.iter().find_map(|said| match said {
        Said::Tcp(SERVER, asked, _) => Some(asked.clone()),
        _ => None,
    });
    asked.unwrap_or_else(|| panic!("{said:?}"))
}

fn answer(asked: &TcpRepr) -> TcpRepr {
    syn_ack(S, asked.seq.0.wrapping_add(1))
}

#[test]
fn the_server_is_asked_when_the_client_has_spoken_and_gets_its_words() {
    let mut rig = Rig::new(client_first(MergeWhen::Never));
    let greeting = greet(&mut rig);
    let next = greeting.seq.0.wrapping_add(1);
    assert!(rig.client(ack(C + 1, next), b"").is_empty(), "validated, and nothing said");
    let asked = speak(&mut rig, &greeting, b"GET /");
    assert_eq!((asked.flags, asked.options.timestamps), (TcpFlags::SYN, None));
    let said = rig.server(answer(&asked), b"");
    let words: Vec<&[u8]> = said
        .iter()
        .filter_map(|said| match said {
            Said::Tcp(SERVER, _, payload) if !payload.is_empty() => Some(&payload[..]),
            _ => None,
        })
        .collect();
    assert_eq!(words, [b"GET /"]);
    let said = rig.server(ack(S + 1, asked.seq.0.wrapping_add(6)), b"200");
    assert!(matches!(&said[..], [Said::Tcp(CLIENT, _, payload), ..] if payload == b"200"), "{said:?}");
}

#[test]
fn a_client_that_waits_for_a_greeting_gets_it() {
    let mut rig = Rig::new(client_first(MergeWhen::Never));
    let greeting = greet(&mut rig);
    assert!(rig.client(ack(C + 1, greeting.seq.0.wrapping_add(1)), b"").is_empty());
    assert!(rig.wait(WAIT - Duration::from_millis(2)).is_empty());
    let said = rig.wait(Duration::from_millis(3));
    let [Said::Tcp(SERVER, asked, _)] = &said[..] else { panic!("{said:?}") };
    rig.server(answer(asked), b"");
    let said = rig.server(ack(S + 1, asked.seq.0.wrapping_add(1)), b"220");
    assert!(matches!(&said[..], [Said::Tcp(CLIENT, _, payload), ..] if payload == b"220"), "{said:?}");
}

#[test]
fn a_client_that_is_never_validated_moves_no_server() {
    let mut rig = Rig::new(client_first(MergeWhen::Never));
    let greeting = greet(&mut rig);
    assert!(rig.wait(Duration::from_secs(60)).is_empty(), "no timer of ours repeats a SYN-ACK");
    let again = rig.client(syn(C), b"");
    let [Said::Tcp(CLIENT, repeated, _)] = &again[..] else { panic!("{again:?}") };
    assert_eq!(repeated.seq, greeting.seq);
    let said = script(&rig.wait(Duration::from_secs(20)));
    assert_eq!(said, ["remove"], "silence, and nobody to reset");
    rig.assert_gone();
}

#[test]
fn whatever_the_server_says_instead_resets_a_client_that_believes_in_a_connection() {
    for refusal in 0..3 {
        let mut rig = Rig::new(client_first(MergeWhen::Never));
        let greeting = greet(&mut rig);
        let asked = speak(&mut rig, &greeting, b"hello");
        let next = asked.seq.0.wrapping_add(1);
        let said = match refusal {
            0 => rig.server(tcp(TcpFlags::RST | TcpFlags::ACK, 0, next), b""),
            1 => rig.icmp(C2S, 3, 1, asked.seq.0),
            _ => rig.wait(Duration::from_secs(80)),
        };
        let resets = |said: &Said| matches!(said, Said::Tcp(CLIENT, tcp, _) if tcp.flags.rst());
        assert!(said.iter().any(resets), "{refusal}: {:?}", script(&said));
        rig.wait(Duration::from_secs(11));
        rig.assert_gone();
    }
}

#[test]
fn an_error_about_another_number_is_a_guess() {
    let mut rig = Rig::new(client_first(MergeWhen::Never));
    let greeting = greet(&mut rig);
    let asked = speak(&mut rig, &greeting, b"hello");
    assert!(rig.icmp(C2S, 3, 1, asked.seq.0.wrapping_add(1)).is_empty());
    assert_eq!(rig.count(Counter::DropForgedIcmp), 1);
}

/// A redirect, say: the router that sends it has passed the SYN on.
#[test]
fn an_error_that_refuses_nothing_ends_nothing() {
    let mut rig = Rig::new(client_first(MergeWhen::Never));
    let greeting = greet(&mut rig);
    let asked = speak(&mut rig, &greeting, b"hello");
    assert!(rig.icmp(C2S, 5, 1, asked.seq.0).is_empty());
    let said = script(&rig.server(answer(&asked), b""));
    assert!(said.iter().any(|line| line.starts_with(">S ")), "its words still get there: {said:?}");
}

/// The timer is a millisecond late at the most: in that time its RST comes first.
#[test]
fn a_client_that_gives_up_when_its_time_is_up_has_no_server_asked() {
    for words in [&b""[..], b"GE"] {
        let mut rig = Rig::new(client_first(MergeWhen::Never));
        let greeting = greet(&mut rig);
        if words.is_empty() {
            rig.client(ack(C + 1, greeting.seq.0.wrapping_add(1)), b"");
        } else {
            speak(&mut rig, &greeting, words);
        }
        rig.now = rig.now + WAIT;
        let said = rig.client(rst(C + 1 + words.len() as u32), b"");
        let asks = |said: &Said| matches!(said, Said::Tcp(SERVER, tcp, _) if tcp.flags.syn());
        assert!(!said.iter().any(asks), "{said:?}");
        rig.wait(Duration::from_secs(11));
        rig.assert_gone();
    }
}

#[test]
fn a_client_that_gives_up_takes_the_server_with_it() {
    let mut rig = Rig::new(client_first(MergeWhen::Never));
    let greeting = greet(&mut rig);
    let asked = speak(&mut rig, &greeting, b"hello");
    let said = script(&rig.client(rst(C + 6), b""));
    assert!(said.contains(&format!(">S R {}:0 0", asked.seq.0.wrapping_add(1))), "{said:?}");
}

/// Brings a flow to the moment when it may be merged: the server's answer has been seen.
fn respond(rig: &mut Rig, asked: &TcpRepr, promised: TcpOptions) -> Phase {
    rig.server(TcpRepr { options: promised, ..answer(asked) }, b"");
    rig.server(ack(S + 1, asked.seq.0.wrapping_add(6)), b"");
    rig.core.connections().next().expect("a flow").phase()
}

#[test]
fn a_server_is_merged_with_when_what_was_promised_in_its_name_can_be_reconciled() {
    let kept = syn(0).options;
    let cases = [
        (kept.clone(), true),
        (TcpOptions { window_scale: Some(SHIFT - 1), ..kept.clone() }, true),
        (TcpOptions { window_scale: None, ..kept.clone() }, true),
        (TcpOptions { sack_permitted: false, ..kept.clone() }, true),
        (TcpOptions { mss: Some(1000), ..kept.clone() }, false),
        (TcpOptions { mss: Some(8960), ..kept.clone() }, true),
    ];
    for (promised, merges) in cases {
        let mut rig = Rig::new(client_first(MergeWhen::Established));
        let greeting = greet(&mut rig);
        assert_eq!(greeting.options.window_scale, Some(SHIFT), "what is usual");
        let asked = speak(&mut rig, &greeting, b"hello");
        let phase = respond(&mut rig, &asked, promised.clone());
        assert_eq!(phase != Phase::Relaying, merges, "{promised:?}: {phase:?}");
        assert_eq!(rig.count(Counter::MergesRefusedOptions), u64::from(!merges));

        // The next client is promised what this server has promised now.
        rig.turn_to(1);
        let greeting = greet(&mut rig);
        assert_eq!(greeting.options.window_scale, promised.window_scale);
        assert_eq!(greeting.options.mss, promised.mss.map(|mss| mss.min(1460)));
        let asked = speak(&mut rig, &greeting, b"hello");
        respond(&mut rig, &asked, promised);
        assert_eq!(rig.count(Counter::MergesRefusedOptions), u64::from(!merges), "now they agree");
    }
}
