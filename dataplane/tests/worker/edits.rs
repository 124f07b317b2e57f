//! What is replaced while it passes: wherever the stream is cut, and in every repetition.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{Bench, CLIENT, SERVER, frame, quad, rules};
use super::inspect::ROOMY;
use super::{ACK, OFFER, SYN, cut_through, headers};
use dataplane::buffer::Buffer;
use dataplane::counters::Counter;
use dataplane::flow::quad::Direction;
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::places::Limits;
use dataplane::inspect::{Inspection, Manner};
use dataplane::packet::is_tcp_checksum_valid;
use dataplane::policy::Action;
use dataplane::port::PortId;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::message::{Event, Order, Split};
use proptest::prelude::*;

const FIN: TcpFlags = TcpFlags(TcpFlags::ACK.0 | TcpFlags::FIN.0);

fn edit(bytes: &str, replacement: &str) -> Pattern {
    Pattern {
        name: bytes.to_owned(),
        bytes: bytes.as_bytes().to_vec(),
        direction: None,
        verdict: Verdict::Edit,
        replacement: replacement.as_bytes().to_vec(),
    }
}

fn bench(action: Action, edits: &[(&str, &str)], limits: Limits) -> Bench {
    let patterns: Vec<_> = edits.iter().map(|(bytes, with)| edit(bytes, with)).collect();
    let inspection = Inspection::new(&patterns, Manner::default()).unwrap();
    let mut bench = Bench::new(rules(action).with_inspections(vec![Arc::new(inspection)], vec![0]));
    bench.worker = bench.worker.with_inspection(limits, [7; 4]);
    bench
}

/// A monitored flow between two ends, each of which has sent its SYN at its number.
struct Flow {
    bench: Bench,
    v6: bool,
    /// The next number of each end.
    next: [u32; 2],
}

impl Flow {
    fn open(edits: &[(&str, &str)], v6: bool, isn: [u32; 2]) -> Flow {
        let mut bench = bench(Action::Monitor, edits, Limits { waiting: 512, ..ROOMY });
        let next = isn.map(|isn| isn.wrapping_add(1));
        bench.deliver(CLIENT, &frame(quad(v6), SYN, isn[0], 0, b"", &[]));
        bench.deliver(SERVER, &frame(quad(v6).reversed(), SYN | ACK, isn[1], next[0], b"", &[]));
        bench.deliver(CLIENT, &frame(quad(v6), ACK, next[0], next[1], b"", &[]));
        let mut flow = Flow { bench, v6, next };
        assert_eq!((flow.out(0).len(), flow.out(1).len()), (2, 1));
        flow
    }

    /// What end `from` says: `bytes` at `offset`, having heard `acked` bytes of the other one.
    fn segment(&self, from: usize, flags: TcpFlags, offset: usize, acked: usize, bytes: &[u8]) -> Vec<u8> {
        let quad = if from == 0 { quad(self.v6) } else { quad(self.v6).reversed() };
        let number = |of: usize, offset: usize| self.next[of].wrapping_add(offset as u32);
        frame(quad, flags, number(from, offset), number(1 - from, acked), bytes, &[])
    }

    fn say(&mut self, from: usize, offset: usize, bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let segment = self.segment(from, ACK, offset, 0, bytes);
        self.bench.deliver(PortId(from as u8), &segment);
        self.out(from)
    }

    /// What has come out towards the other end: offsets and bytes.
    fn out(&mut self, from: usize) -> Vec<(usize, Vec<u8>)> {
        let mut out = Vec::new();
        while let Some(frame) = self.bench.collect(PortId(1 - from as u8)) {
            let headers = headers(&frame);
            assert!(is_tcp_checksum_valid(&frame, &headers));
            let offset = headers.seq.0.wrapping_sub(self.next[from]) as usize;
            out.push((offset, frame[usize::from(headers.payload)..].to_vec()));
        }
        out
    }
}

fn out(all: &[(usize, &str)]) -> Vec<(usize, Vec<u8>)> {
    all.iter().map(|(offset, text)| (*offset, text.as_bytes().to_vec())).collect()
}

#[test]
fn a_pattern_is_replaced_wherever_it_is_cut_and_in_every_repetition() {
    for (v6, from) in [(false, 0), (true, 1)] {
        let mut flow = Flow::open(&[("secret", "public")], v6, [u32::MAX - 3, 7]);
        assert_eq!(flow.say(from, 0, b"a secret and"), out(&[(0, "a public and")]));
        assert_eq!(flow.say(from, 12, b" another sec"), []);
        assert_eq!(flow.say(from, 24, b"re"), []);
        assert_eq!(flow.say(from, 26, b"t."), out(&[(12, " another pub"), (24, "li"), (26, "c.")]));
        assert_eq!(flow.say(from, 26, b"t."), out(&[(26, "c.")]));
        assert_eq!(flow.say(from, 0, b"a secret and another"), out(&[(0, "a public and another")]));
        assert_eq!(flow.say(from, 4, b"cre"), out(&[(4, "bli")]));
        // What turns out to be something else passes as it came, and so does what nobody goes on with.
        assert_eq!(flow.say(from, 28, b" secr"), []);
        assert_eq!(flow.say(from, 33, b"ew"), out(&[(28, " secr"), (33, "ew")]));
        assert_eq!(flow.say(from, 35, b" s"), []);
        flow.bench.wait(Duration::from_millis(199));
        assert_eq!((flow.say(from, 35, b" s"), flow.bench.count(Counter::DropInspectHeld)), (out(&[]), 1));
        flow.bench.wait(Duration::from_millis(1));
        assert_eq!(flow.out(from), out(&[(35, " s")]));
        assert_eq!(flow.say(from, 37, b"ecret"), out(&[(37, "ecret")]));
        let counted = [Counter::InspectMatches, Counter::InspectGivenUp];
        assert_eq!(counted.map(|counter| flow.bench.count(counter)), [2, 1]);
    }
}

#[test]
fn a_fin_says_that_nothing_follows() {
    let mut flow = Flow::open(&[("secret", "public")], false, [100, 500]);
    assert_eq!(flow.say(0, 0, b"no sec"), []);
    let fin = flow.segment(0, FIN, 6, 0, b"r");
    flow.bench.deliver(CLIENT, &fin);
    assert_eq!(flow.out(0), out(&[(0, "no sec"), (6, "r")]));
    assert_eq!(flow.say(0, 7, b"et"), [], "nothing can follow");
    assert_eq!(flow.bench.count(Counter::DropAfterFin), 1);
    // One that comes before what it ends waits for its turn as data does: once it has passed, the flow cannot be split.
    assert_eq!(flow.say(1, 0, b"s"), []);
    let fin = flow.segment(1, FIN, 2, 0, b"");
    flow.bench.deliver(SERVER, &fin);
    assert_eq!((flow.out(1), flow.bench.count(Counter::DropInspectAhead)), (vec![], 1));
    // A bare one behind what waits.
    let mut flow = Flow::open(&[("secret", "public")], false, [100, 500]);
    assert_eq!(flow.say(0, 0, b"no sec"), []);
    let fin = flow.segment(0, FIN, 6, 0, b"");
    flow.bench.deliver(CLIENT, &fin);
    assert_eq!(flow.out(0), out(&[(0, "no sec"), (6, "")]));
}

#[test]
fn a_reset_sets_nothing_free_and_ends_what_waits() {
    let mut flow = Flow::open(&[("secret", "public")], false, [100, 500]);
    assert_eq!(flow.say(0, 0, b"sec"), []);
    let reset = flow.segment(0, TcpFlags::RST, 3, 0, b"");
    flow.bench.deliver(CLIENT, &reset);
    assert_eq!(flow.out(0), out(&[(3, "")]), "its receiver challenges it, and is told the right number");
    assert_eq!(flow.say(0, 3, b"ret"), out(&[(0, "pub"), (3, "lic")]));
}

#[test]
fn nothing_waits_without_room_and_nothing_is_lost_by_that() {
    let limits = Limits { waiting: 1, ..ROOMY };
    let mut bench = bench(Action::Monitor, &[("secret", "public")], limits);
    bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
    bench.deliver(SERVER, &frame(quad(false).reversed(), SYN | ACK, 500, 101, b"", &[]));
    let mut flow = Flow { bench, v6: false, next: [101, 501] };
    flow.out(0);
    assert_eq!((flow.say(0, 0, b"sec"), flow.say(0, 3, b"re")), (vec![], vec![]));
    assert_eq!(flow.bench.count(Counter::DropParkedFull), 2);
    // The sender repeats it, with other bytes.
    assert_eq!(flow.say(0, 0, b"other"), []);
    assert_eq!(flow.say(0, 5, b"t"), out(&[(0, "publi"), (5, "c")]));
}

#[test]
fn on_cut_through_the_deltas_follow() {
    let mut bench = bench(OFFER, &[("evil", "good")], ROOMY);
    cut_through(&mut bench, 1000, -300);
    bench.deliver(CLIENT, &frame(quad(false), ACK, 101, 501, b"an ev", &[]));
    assert_eq!(bench.collect(SERVER), None);
    bench.deliver(CLIENT, &frame(quad(false), ACK, 106, 501, b"il", &[]));
    for (seq, text) in [(1101, &b"an go"[..]), (1106, b"od")] {
        let came = bench.collect(SERVER).unwrap();
        let got = headers(&came);
        assert_eq!((got.seq, got.ack, &came[54..]), (Seq(seq), Seq(801), text));
        assert!(is_tcp_checksum_valid(&came, &got));
    }
    bench.deliver(SERVER, &frame(quad(false).reversed(), ACK, 801, 1108, b"", &[]));
    assert_eq!(bench.worker.kept(), 0);
}

#[test]
fn a_sender_that_does_not_go_on_is_acknowledged_by_somebody_else() {
    let mut bench = bench(OFFER, &[("secret", "public")], ROOMY);
    cut_through(&mut bench, 0, 0);
    let send = |bench: &mut Bench, seq, text: &str| {
        bench.deliver(CLIENT, &frame(quad(false), ACK, seq, 501, text.as_bytes(), &[]));
        bench.collect(SERVER).map(|frame| String::from_utf8(frame[54..].to_vec()).unwrap())
    };
    assert_eq!(send(&mut bench, 101, "a sec"), None);
    bench.wait(Duration::from_millis(9));
    assert!(bench.heard().is_none());
    bench.wait(Duration::from_millis(1));
    let Some(Event::Wanted { flow, key, edits: true, .. }) = bench.heard() else { panic!() };
    assert_eq!(send(&mut bench, 106, "ret"), None, "who takes the one takes the other");
    // The handshake of this flow was not seen: it stays, and so does what nobody has come for.
    bench.order(Order::Split(Box::new(Split::wanted(flow, key, 1 << 20))));
    let out = bench.collect(SERVER).expect("it goes on as it is");
    assert_eq!((&out[54..], bench.collect(SERVER)), (&b"a sec"[..], None));
    let counted = [Counter::InspectGivenUp, Counter::DropInspectSplit];
    assert_eq!(counted.map(|counter| bench.count(counter)), [1, 1]);
    assert_eq!(send(&mut bench, 106, "ret").as_deref(), Some("ret"));
}

#[test]
fn another_length_waits_for_the_split_from_the_pattern_on() {
    let mut flow = Flow::open(&[("evil", "good"), ("worse", "better")], false, [100, 500]);
    assert_eq!(flow.say(0, 0, b"evil, "), out(&[(0, "good, ")]));
    assert_eq!(flow.say(0, 6, b"evil wor"), []);
    assert_eq!((flow.say(0, 14, b"se"), flow.say(0, 16, b" and")), (vec![], vec![]));
    let Some(Event::Wanted { flow: of, key, edits: true, .. }) = flow.bench.heard() else {
        panic!("nothing")
    };
    while flow.bench.heard().is_some() {}
    flow.bench.order(Order::Split(Box::new(Split::wanted(of, key, 1 << 20))));
    let Some(Event::Split(split)) = flow.bench.heard() else { panic!("no split") };
    assert_eq!(split.view.track[Direction::ClientToServer.index()].end, Seq(107));
    assert_eq!(split.edited, [4, 0]);
    for text in [&b"good wor"[..], b"se", b" and"] {
        let Some(Event::Segment { frame, .. }) = flow.bench.heard() else { panic!("nothing") };
        assert_eq!(&frame.bytes()[54..], text, "what is in place is done");
    }
    // What was edited before the split is repeated as it was edited.
    assert_eq!(flow.say(0, 0, b"evil, evil"), []);
    let Some(Event::Segment { frame, .. }) = flow.bench.heard() else { panic!("nothing") };
    assert_eq!(&frame.bytes()[54..], b"good, good");
}

/// What becomes of a whole stream, searched naively.
fn model(all: &[(&str, &str)], stream: &[u8]) -> Vec<u8> {
    let mut out = stream.to_vec();
    let mut fresh = 0;
    for end in 1..=stream.len() {
        let ends = |text: &&(&str, &str)| stream[fresh..end].ends_with(text.0.as_bytes());
        if let Some((text, with)) = all.iter().filter(ends).max_by_key(|(text, _)| text.len()) {
            out[end - text.len()..end].copy_from_slice(with.as_bytes());
            fresh = end;
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Segments in any order and cut anywhere, repeated with other bytes, in both directions, over a wrap of 2^32: what goes
    /// out is one stream, that of the bytes which came first in their turn, edited. And all of it goes out.
    #[test]
    fn there_is_one_version_of_each_byte(
        steps in prop::collection::vec(
            (0usize..2, 0usize..40, prop::collection::vec(0u8..3, 1..12), any::<bool>()), 1..60),
        v6 in any::<bool>(), isn in prop::array::uniform2(prop_oneof![any::<u32>(), Just(u32::MAX - 9)]),
    ) {
        let edits = [("aba", "xyz"), ("cc", "##"), ("bacab", "12345")];
        let mut flow = Flow::open(&edits, v6, isn);
        let mut raw = [Vec::new(), Vec::new()];
        let mut came: [Vec<(usize, Vec<u8>)>; 2] = Default::default();
        for (from, back, letters, is_next) in steps {
            let bytes: Vec<u8> = letters.iter().map(|letter| b'a' + letter).collect();
            // Around what comes next, and now and then ahead of it.
            let stream = &mut raw[from];
            let offset = if is_next { stream.len() } else { (stream.len() + 5).saturating_sub(back) };
            let out = flow.say(from, offset, &bytes);
            if offset <= stream.len() {
                let new = bytes.len().min(stream.len() - offset);
                stream.extend(&bytes[new..]);
            }
            came[from].extend(out);
        }
        flow.bench.wait(Duration::from_millis(200));
        for from in [0, 1] {
            let expected = model(&edits, &raw[from]);
            came[from].extend(flow.out(from));
            let mut gone = 0;
            for (offset, bytes) in &came[from] {
                prop_assert!(*offset <= gone, "in order");
                prop_assert_eq!(bytes, &expected[*offset..offset + bytes.len()]);
                gone = gone.max(offset + bytes.len());
            }
            prop_assert_eq!(gone, expected.len());
        }
        // Each acknowledges all that it got: nothing is kept any more.
        for from in [0, 1] {
            let bare = flow.segment(from, ACK, raw[from].len(), raw[1 - from].len(), b"");
            flow.bench.deliver(PortId(from as u8), &bare);
        }
        prop_assert_eq!(flow.bench.worker.kept(), 0);
    }
}

/// Whoever sends on while its flow waits for a split that nobody makes.
#[test]
fn one_direction_does_not_take_all_the_room_of_what_waits() {
    let limits = Limits { waiting: 48, ..ROOMY };
    let mut bench = bench(Action::Monitor, &[("secret", "longer words")], limits);
    bench.deliver(CLIENT, &frame(quad(false), SYN, 100, 0, b"", &[]));
    bench.deliver(SERVER, &frame(quad(false).reversed(), SYN | ACK, 500, 101, b"", &[]));
    let mut flow = Flow { bench, v6: false, next: [101, 501] };
    flow.out(0);
    assert_eq!(flow.say(0, 0, b"it passes, secret"), []);
    for n in 0..9 {
        assert_eq!(flow.say(0, 16 + 2 * n, b"ab"), []);
    }
    assert_eq!((flow.bench.worker.waiting(), flow.bench.count(Counter::DropInspectWaiting)), (6, 4));
    // What waits is as good as before.
    assert_eq!(flow.say(0, 16, b"ab"), []);
    assert_eq!(flow.bench.count(Counter::DropInspectHeld), 1);
}

/// A refusal is about what was asked for: what has asked already, in the other direction, goes on waiting for its answer.
#[test]
fn a_refusal_drops_nothing_that_waits_in_the_other_direction() {
    let mut flow = Flow::open(&[("secret", "longer words")], false, [100, 500]);
    assert_eq!(flow.say(0, 0, b"secret"), []);
    flow.bench.wait(Duration::from_millis(400));
    assert_eq!(flow.say(1, 0, b"a secret"), []);
    flow.bench.wait(Duration::from_millis(100));
    assert_eq!((flow.bench.worker.waiting(), flow.bench.count(Counter::DropInspectSplit)), (1, 1));
    assert_eq!(flow.say(1, 8, b" and more"), []);
    assert_eq!((flow.bench.worker.waiting(), flow.bench.count(Counter::DropInspectSplit)), (2, 1));
    // The one that was refused is not the first that asks again.
    assert_eq!(flow.say(0, 0, b"secret"), []);
    assert_eq!((flow.bench.worker.waiting(), flow.bench.count(Counter::DropInspectSplit)), (2, 2));
}

/// That nobody came for what may go on without him is no reason to drop what may not.
#[test]
fn a_rest_that_nobody_came_for_delays_no_split_for_what_was_found() {
    let mut bench = bench(OFFER, &[("secret", "public"), ("evil", "better")], ROOMY);
    cut_through(&mut bench, 0, 0);
    let send = |bench: &mut Bench, seq, text: &str| {
        bench.deliver(CLIENT, &frame(quad(false), ACK, seq, 501, text.as_bytes(), &[]));
        std::iter::from_fn(|| bench.collect(SERVER)).count()
    };
    assert_eq!(send(&mut bench, 101, "a sec"), 0);
    bench.wait(Duration::from_millis(10));
    let Some(Event::Wanted { flow, key, .. }) = bench.heard() else { panic!("nothing") };
    bench.order(Order::Split(Box::new(Split::wanted(flow, key, 1 << 20))));
    assert_eq!((bench.count(Counter::InspectGivenUp), bench.collect(SERVER).is_some()), (1, true));
    while bench.heard().is_some() {}
    assert_eq!(send(&mut bench, 106, "evil"), 0);
    assert!(matches!(bench.heard(), Some(Event::Wanted { .. })), "it is asked for");
    assert_eq!((bench.worker.waiting(), bench.count(Counter::DropInspectSplit)), (1, 0));
    // The next beginning has to wait longer before somebody is asked for it.
    bench.order(Order::Split(Box::new(Split::wanted(flow, key, 1 << 20))));
    while bench.heard().is_some() {}
    assert_eq!((send(&mut bench, 106, "s"), bench.worker.waiting()), (0, 1));
    bench.wait(Duration::from_millis(50));
    assert!(bench.heard().is_none());
}
