//! Keep-alives: the peer's, our own, and those that are passed on.

use std::time::Duration;

use super::dialogue::Dialogue;
use crate::tcp::*;

/// Asking after two hours of silence.
fn asking() -> Limits {
    Limits { keepalive: Some(Keepalive { idle: Duration::from_secs(7200) }), ..Limits::default() }
}

#[test]
fn it_is_off_unless_it_is_asked_for() {
    assert_eq!(Limits::default().keepalive, None);
    let d = Dialogue::established("", 10_000, Limits::default());
    assert_eq!(d.block.deadline(), None);
}

#[test]
fn an_idle_peer_is_asked_without_data_and_its_answer_is_life() {
    let mut d = Dialogue::established("ts 9:0", 10_000, asking());
    d.run(
        "+7199000ms
           > -
           +1000ms
           > . 100 ack 501 <ts 7:9>
           > -
           < . 501 ack 101 <ts 10:7>
           +7199000ms
           > -
           +1000ms
           > . 100 ack 501
           : Established",
    );
}

#[test]
fn only_many_questions_without_answer_end_a_connection() {
    let mut d = Dialogue::established("", 10_000, asking());
    d.run("+7200000ms\n> . 100 ack 501");
    for _ in 1..8 {
        d.run("+75000ms\n> . 100 ack 501\n> -");
    }
    // One answer begins anew.
    d.run("< . 501 ack 101\n+7200000ms\n> . 100 ack 501");
    for _ in 1..9 {
        d.run("+74999ms\n> -\n+1ms\n> . 100 ack 501");
    }
    d.run("= -\n+75000ms\n= CLOSED|GAVE_UP\n: Closed\n> -");
    assert_eq!(d.block.deadline(), None);
}

/// MUST-26: not while anything is outstanding, nor while anything comes.
#[test]
fn nobody_is_asked_who_owes_an_acknowledgment_or_speaks() {
    let limits = Limits {
        keepalive: Some(Keepalive { idle: Duration::from_secs(10) }),
        rto_max: Duration::from_secs(60),
        user_timeout: Duration::from_secs(100_000),
        ..Limits::default()
    };
    let mut d = Dialogue::established("", 10_000, limits);
    d.run("! write 10\n> P. 101+10 ack 501");
    for _ in 0..5 {
        d.run("+60000ms\n> P. 101+10 ack 501\n> -");
    }
    d.run("< . 501 ack 111\n+9000ms\n> -\n< . 501+1 ack 111\n> . 111 ack 502\n! read 1");
    d.run("+9999ms\n> -\n+1ms\n> . 110 ack 502");
    // Data that is written while we wait is asked for by its own timer.
    d.run("! write 10\n> P. 111+10 ack 502\n< . 502 ack 121\n+9999ms\n> -\n+1ms\n> . 120 ack 502");
}

#[test]
fn half_closed_connections_are_asked_too() {
    let mut d = Dialogue::established("", 10_000, asking());
    d.run(
        "! close
           > F. 101 ack 501
           < . 501 ack 102
           : FinWait2
           +7200000ms
           > . 101 ack 501",
    );
    let mut d = Dialogue::established("", 10_000, asking());
    d.run("< F. 501 ack 101\n> . 101 ack 502\n+7200000ms\n> . 100 ack 502\n: CloseWait");
}

/// Of either form: with no data, or with the byte before RCV.NXT.
#[test]
fn the_peers_questions_are_answered_always_and_passed_on() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "< . 500 ack 101
           = KEPT_ALIVE
           > . 101 ack 501
           < . 500+1 ack 101
           = KEPT_ALIVE
           > . 101 ack 501
           > -",
    );
    // Guesses of somebody else do not use up the answers.
    for _ in 0..20 {
        d.run("< R 502");
        while d.block.poll(d.now, 7).is_some() {}
    }
    d.run("< R 502\n> -\n< . 500 ack 101\n> . 101 ack 501");
    // Two that misunderstand each other do not go on for ever, but repeated data is always acknowledged.
    for _ in 0..20 {
        d.run("< . 500 ack 101");
        while d.block.poll(d.now, 7).is_some() {}
    }
    d.forget_events();
    d.run("< . 500 ack 101\n> -\n= -\n< . 500+1 ack 101\n> . 101 ack 501");
}

#[test]
fn a_question_that_is_passed_on_is_repeated_until_it_is_answered() {
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run(
        "! alive
           > . 100 ack 501
           > -
           ! alive
           > . 100 ack 501
           +75000ms
           > . 100 ack 501
           < . 501 ack 101
           +1000000ms
           > -
           ! alive
           > . 100 ack 501",
    );
    for _ in 1..9 {
        d.run("+75000ms\n> . 100 ack 501");
    }
    d.run("+75000ms\n= CLOSED|GAVE_UP");
    // However often somebody asks, it is our own patience that ends it.
    let mut d = Dialogue::established("", 10_000, Limits::default());
    for _ in 0..100 {
        d.run("! alive\n> . 100 ack 501\n+1000ms");
        while d.block.poll(d.now, 7).is_some() {}
    }
    d.run(": Established");
    // What is outstanding asks by itself.
    let mut d = Dialogue::established("", 10_000, Limits::default());
    d.run("! write 10\n> P. 101+10 ack 501\n! alive\n> -");
}
