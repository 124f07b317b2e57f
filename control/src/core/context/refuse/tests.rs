//! Frames that the control core refuses a SYN with.

use std::time::Duration;

use dataplane::budget::Rate;
use dataplane::clock::Instant;
use dataplane::flow::quad::Quad;
use dataplane::packet::{self, Packet};
use dataplane::policy::Fallback;
use dataplane::port::sim::SimPool;
use dataplane::refusal::IcmpRejection;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::mailbox::{Receiver, mailbox};
use dataplane::worker::message::Order;
use dataplane::worker::report::Counters;

use super::*;
use crate::core::context::{Outbox, Settings};
use crate::core::secret::IsnKey;

type SimBuffer = <SimPool as Pool>::Buffer;

const PROHIBITED: Rejection =
    Rejection::Icmp(IcmpRejection { v4: (3, 13), v6: (1, 1), from_v4: None, from_v6: None });

struct Scene {
    pool: SimPool,
    outbox: Outbox<SimBuffer>,
    orders: Receiver<Order<SimBuffer>>,
    counters: Counters,
    settings: Settings,
}

impl Scene {
    fn new(buffers: usize) -> Scene {
        let (sender, orders) = mailbox(256);
        let settings = Settings {
            leg: Default::default(),
            connections: 1,
            when_full: Fallback::Drop,
            suspended: crate::suspended::Limits::of(1),
            when_suspended_full: Default::default(),
            history: std::num::NonZeroUsize::MIN,
            buffered: 0,
            held_per_flow: 1,
            held: 1,
            drain: Duration::ZERO,
            drain_up_to: 0,
            refused: Duration::ZERO,
            icmp_errors: Rate::per_second(40),
            idle_established: Duration::ZERO,
            half_closed: Duration::ZERO,
            isn_key: IsnKey::new([0; 4]),
            peers: Vec::new(),
            mtu: Vec::new(),
        };
        let counters = Counters::default();
        Scene { pool: SimPool::new(buffers), outbox: Outbox::new(sender), orders, counters, settings }
    }

    fn at<T>(&mut self, now: Instant, act: impl FnOnce(&mut Context<'_, SimPool>) -> T) -> T {
        act(&mut Context {
            now,
            pool: &mut self.pool,
            outbox: &mut self.outbox,
            counters: &mut self.counters,
            settings: &self.settings,
            history: &mut crate::core::history::History::new(std::num::NonZeroUsize::MIN),
            journal: &mut Default::default(),
            telling: &mut Default::default(),
            merging: true,
            load: &Default::default(),
            scarce: false,
        })
    }

    fn refuse(&mut self, now: Instant, frame: &[u8], rejection: &Rejection) -> Option<(PortId, Vec<u8>)> {
        self.at(now, |cx| cx.refuse(PortId(1), frame, &tcp(frame), rejection));
        match self.orders.try_receive()? {
            Order::Transmit { port, frame } => Some((port, frame.bytes().to_vec())),
            _ => panic!("not a frame"),
        }
    }
}

fn syn(seq: u32, window: u16) -> Vec<u8> {
    let quad = Quad::between("[fd00::1]:4711".parse().unwrap(), "[fd00::2]:80".parse().unwrap()).unwrap();
    let tcp = TcpRepr { seq: Seq(seq), flags: TcpFlags::SYN, window, ..TcpRepr::default() };
    let mut frame = vec![0; 200];
    let len = FrameTemplate::new([2; 6], [4; 6], &[], 64, quad).build(&tcp, b"", &mut frame).unwrap();
    frame.truncate(len);
    frame
}

fn tcp(frame: &[u8]) -> TcpHeaders {
    match packet::parse(frame) {
        Ok(Packet::Tcp(headers)) => headers,
        other => panic!("not TCP but {other:?}"),
    }
}

fn icmp(frame: &[u8]) -> IcmpError {
    match packet::parse(frame) {
        Ok(Packet::IcmpError(error)) => error,
        other => panic!("not an error about TCP but {other:?}"),
    }
}

#[test]
fn a_syn_gets_the_answer_that_was_decided() {
    let mut scene = Scene::new(4);
    let (port, reset) = scene.refuse(Instant::ZERO, &syn(7, 9), &Rejection::Reset).unwrap();
    assert_eq!(
        (port, tcp(&reset).ack, tcp(&reset).flags),
        (PortId(1), Seq(8), TcpFlags::RST | TcpFlags::ACK)
    );
    let (port, frame) = scene.refuse(Instant::ZERO, &syn(7, 9), &PROHIBITED).unwrap();
    let error = icmp(&frame);
    assert_eq!((port, error.seq, error.kind, error.code), (PortId(1), Seq(7), 1, 1));
    assert_eq!(scene.counters.get(Counter::DropModule), 2);
    assert_eq!(scene.pool.in_use(), 0);
}

#[test]
fn errors_are_limited_and_resets_are_not() {
    let mut scene = Scene::new(4);
    let mut errors = |ms| scene.refuse(Instant::from_millis(ms), &syn(7, 9), &PROHIBITED).is_some();
    assert_eq!([errors(0), errors(0), errors(0), errors(24), errors(25)], [true, true, false, false, true]);
    assert_eq!(scene.counters.get(Counter::DropIcmpLimit), 2);
    assert!(scene.refuse(Instant::from_millis(25), &syn(7, 9), &Rejection::Reset).is_some());
}

#[test]
fn without_a_buffer_there_is_silence() {
    let mut scene = Scene::new(0);
    assert_eq!(scene.refuse(Instant::ZERO, &syn(7, 9), &PROHIBITED), None);
    assert_eq!(scene.refuse(Instant::ZERO, &syn(7, 9), &Rejection::Reset), None);
    assert_eq!(scene.counters.get(Counter::BuffersExhausted), 2);
}

#[test]
fn an_error_about_our_syn_becomes_one_about_the_clients() {
    let mut scene = Scene::new(4);
    let (client, ours) = (syn(7, 9), syn(1000, 8));
    let (_, about_ours) = scene.refuse(Instant::ZERO, &ours, &PROHIBITED).unwrap();
    let (_, expected) = scene.refuse(Instant::ZERO, &client, &PROHIBITED).unwrap();
    let got =
        scene.at(Instant::ZERO, |cx| cx.requote(&about_ours, &icmp(&about_ours), &client, &tcp(&client)));
    assert_eq!(got.unwrap().bytes(), expected);
}
