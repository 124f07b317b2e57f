//! What a direction may keep: it grows with need, up to its ceiling and the common one, and not before a stalled reader.

use std::time::Duration;

use control::core::context::Settings;
use control::module::relay::MergeWhen;
use control::tcp::Limits;
use dataplane::counters::Counter;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;

use crate::rig::*;

const MSS: u32 = 1460;
const HALF_RTT: Duration = Duration::from_millis(10);
const KIB: u32 = 1024;

fn roomy(buffered: u64) -> Settings {
    let leg = Limits { send_buffer: 2048 * KIB, receive_buffer: 2048 * KIB, ..Limits::default() };
    Settings { leg, buffered, ..settings() }
}

/// A client that sends whatever it may, and a server.
struct Bulk {
    rig: Rig,
    /// After the last byte sent by the client, and the right edge that it has been given.
    sent: Seq,
    edge: Seq,
    /// After the last byte that the server has.
    got: Seq,
    /// The last that it has said of it.
    acked: Seq,
    /// Its application reads.
    reads: bool,
}

impl Bulk {
    /// Both legs are up; a round trip takes 20 ms on each.
    fn new(settings: Settings) -> Bulk {
        let mut rig = Rig::with(relay(MergeWhen::Never), settings);
        rig.offer(syn(C));
        rig.wait(2 * HALF_RTT);
        rig.server(syn_ack(S, C + 1), b"");
        rig.wait(2 * HALF_RTT);
        let mut bulk =
            Bulk { rig, sent: Seq(C + 1), edge: Seq(C + 1), got: Seq(C + 1), acked: Seq(C + 1), reads: true };
        let said = bulk.rig.client(ack(C + 1, S + 1), b"");
        bulk.edge = Seq(C + 1).advance(SYN_WINDOW.into());
        bulk.hear(said);
        bulk
    }

    fn hear(&mut self, said: Vec<Said>) {
        for said in said {
            match said {
                Said::Tcp(CLIENT, tcp, _) => {
                    let edge = tcp.ack.advance(u32::from(tcp.window) << SHIFT);
                    self.edge = self.edge.max(edge);
                }
                Said::Tcp(_, tcp, payload) => {
                    let end = tcp.seq.advance(payload.len() as u32);
                    if self.reads && tcp.seq.le(self.got) {
                        self.got = self.got.max(end);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The client sends all that it may, in full segments.
    fn send(&mut self) {
        while self.sent.advance(MSS).le(self.edge) {
            let said = self.rig.client(ack(self.sent.0, S + 1), &[7; MSS as usize]);
            self.sent = self.sent.advance(MSS);
            self.hear(said);
        }
    }

    /// The server says what it has got, segment by segment but for every other one, and what it has room for.
    fn acknowledge(&mut self, window: u16) {
        while self.acked.advance(2 * MSS).lt(self.got) {
            self.acked = self.acked.advance(2 * MSS);
            let said = self.rig.server(TcpRepr { window, ..ack(S + 1, self.acked.0) }, b"");
            self.hear(said);
        }
        self.acked = self.got;
        let said = self.rig.server(TcpRepr { window, ..ack(S + 1, self.got.0) }, b"");
        self.hear(said);
    }

    fn pass(&mut self, time: Duration) {
        let said = self.rig.wait(time);
        self.hear(said);
    }

    /// A round trip of both legs. Returns what the client could send in it.
    fn round(&mut self) -> u32 {
        let before = self.sent;
        self.send();
        self.pass(4 * HALF_RTT);
        self.acknowledge(u16::MAX);
        before.distance_to(self.sent)
    }

    fn kept(&self) -> u64 {
        self.rig.core.load().bytes
    }
}

#[test]
fn a_direction_grows_while_it_is_filled_and_drained() {
    let mut bulk = Bulk::new(roomy(1 << 26));
    let rounds: Vec<u32> = (0..20).map(|_| bulk.round()).collect();
    assert!(rounds[0] <= 64 * KIB, "begins modestly: {rounds:?}");
    // A round may be short because our own leg paces what it sends; the next one then makes up for it.
    let steady = (1..20).all(|i| rounds[..i].iter().max().is_some_and(|most| rounds[i] <= 3 * most));
    assert!(steady, "step by step: {rounds:?}");
    let last = rounds[19];
    assert!(last > 1900 * KIB && last <= 2048 * KIB, "the ceiling of a leg: {rounds:?}");
}

#[test]
fn nobody_grows_when_memory_is_half_full() {
    let mut bulk = Bulk::new(roomy(512 * u64::from(KIB)));
    for _ in 0..40 {
        bulk.round();
    }
    let most = (0..40)
        .map(|_| {
            bulk.send();
            let kept = bulk.kept();
            bulk.round();
            kept
        })
        .max();
    assert!(most.is_some_and(|most| most <= 512 * u64::from(KIB) + u64::from(MSS)), "{most:?}");
    assert_eq!(
        bulk.rig.count(Counter::DropBuffersFull),
        0,
        "windows say so before anything has to be dropped"
    );
}

#[test]
fn a_reader_that_stops_for_minutes_stops_its_sender_and_memory_stays_flat() {
    let mut bulk = Bulk::new(roomy(1 << 26));
    for _ in 0..3 {
        bulk.round();
    }
    // From now on the server's application reads nothing: its window closes where it is.
    bulk.acknowledge(0);
    bulk.reads = false;
    let mut kept = Vec::new();
    for _ in 0..30 {
        bulk.send();
        // Probes go out meanwhile, and are answered as by any stack.
        for _ in 0..10 {
            bulk.pass(Duration::from_secs(1));
            bulk.acknowledge(0);
        }
        kept.push(bulk.kept());
    }
    assert_eq!(kept.first(), kept.last(), "{kept:?}");
    let offered = u64::from(bulk.got.distance_to(bulk.edge));
    assert!(kept.iter().all(|kept| *kept <= offered), "{kept:?} of {offered} offered");
    assert!(offered <= 1024 * u64::from(KIB), "what three round trips have earned: {offered}");
    // Five minutes later it goes on, and loses nothing.
    bulk.reads = true;
    let target = bulk.sent.advance(1 << 20);
    for _ in 0..200 {
        bulk.round();
        if bulk.got.ge(target) {
            return;
        }
    }
    panic!("it stands still at {:?} of {target:?}", bulk.got);
}

#[test]
fn an_idle_direction_comes_down_but_no_promise_is_broken() {
    let mut bulk = Bulk::new(roomy(1 << 26));
    for _ in 0..12 {
        bulk.round();
    }
    for _ in 0..10 {
        bulk.pass(4 * HALF_RTT);
        bulk.acknowledge(u16::MAX);
    }
    let promised = bulk.edge;
    assert!(bulk.sent.distance_to(promised) > 512 * KIB);
    bulk.pass(Duration::from_secs(20));
    // All that was promised is taken, at once.
    bulk.send();
    assert!(bulk.sent.distance_to(promised) < MSS);
    assert_eq!(bulk.rig.count(Counter::DropBuffersFull), 0);
    assert!(bulk.got.lt(bulk.sent), "the server's leg has begun anew");
    let beyond = promised.distance_to(bulk.edge);
    assert!(beyond < 64 * KIB, "and no more than the modest allowance is offered: {beyond}");
}
