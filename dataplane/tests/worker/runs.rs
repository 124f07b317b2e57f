//! The worker reads and carries frames in runs of one kind. Nobody can tell: whether frames come in one burst, in several, or one
//! by one, each port sends the same in the same order, with the same counters, flows and tales to the control core. What no short
//! cut is for fares likewise.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::OFFER;
use super::bench::{Bench, CLIENT, DEFAULTS, SERVER};
use super::inspect::ROOMY;
use dataplane::buffer::Buffer;
use dataplane::counters::Counter;
use dataplane::flow::far::NextHop;
use dataplane::flow::hash::KeyedHash;
use dataplane::flow::object::{Record, Track, View};
use dataplane::flow::state::TcpState;
use dataplane::flow::table::FlowRef;
use dataplane::flow::terms::{Promises, Terms};
use dataplane::inspect::patterns::{Pattern, Verdict};
use dataplane::inspect::{Inspection, Manner};
use dataplane::packet::{IcmpError, TcpHeaders};
use dataplane::policy::{Action, CookieUse, Defaults, RuleSpec, Snapshot, Strays};
use dataplane::port::BURST;
use dataplane::port::sim::SimBuffer;
use dataplane::refusal::Rejection;
use dataplane::wire::seq::{Delta, Seq};
use dataplane::worker::Limits;
use dataplane::worker::message::{Event, Order};
use dataplane::worker::steer::Steering;
use proptest::prelude::*;

mod frames;

use frames::{Arrival, FAR, PLAIN, Piece, Sort, Talk, VLAN, tagged, untagged};

/// By destination port, from 80 on: what the rules say.
fn policy(strays: Strays) -> Snapshot {
    let actions = [
        OFFER,
        Action::Monitor,
        Action::Bypass,
        Action::Reject { rejection: 0 },
        Action::Reject { rejection: 1 },
        Action::Drop,
        Action::Offer { module: 1 },
        Action::Forward { hop: 0 },
        Action::Monitor,
    ];
    let rule =
        |(port, action)| RuleSpec { destination_ports: vec![port..=port], ..RuleSpec::everything(action) };
    let rules: Vec<_> = (80..).zip(actions).map(rule).collect();
    let mut searched_by = vec![Record::NO_INSPECTION; rules.len()];
    searched_by[rules.len() - 1] = 0;
    let pattern = |(text, verdict): (&str, Verdict)| Pattern {
        name: text.to_owned(),
        bytes: text.into(),
        direction: None,
        verdict,
        replacement: if verdict == Verdict::Edit { b"public".to_vec() } else { Vec::new() },
    };
    let patterns = [("text", Verdict::Event), ("evil", Verdict::Drop), ("bad", Verdict::Reset)].map(pattern);
    let patterns: Vec<_> = patterns.into_iter().chain([pattern(("secret", Verdict::Edit))]).collect();
    let inspection = Inspection::new(&patterns, Manner { window: true, ..Manner::default() }).unwrap();
    Snapshot::compile(&rules, Defaults { strays, ..DEFAULTS })
        .unwrap()
        .with_rejections(vec![Rejection::Reset, Rejection::named("host-prohibited").unwrap()])
        .with_cookies(vec![CookieUse::Never, CookieUse::Always])
        .with_hops(vec![NextHop { mac: Some([9; 6]), vlans: Some((0, 20)), port: None }])
        .with_inspections(vec![Arc::new(inspection)], searched_by)
}

static POLICIES: LazyLock<[Snapshot; 3]> =
    LazyLock::new(|| [Strays::Drop, Strays::Reset, Strays::Pass].map(policy));

/// What is made of a connection before anything of it is compared.
#[derive(Clone, Copy, PartialEq)]
enum Made {
    CutThrough,
    Suspended,
    Participating,
    Parked,
    /// By its handshake.
    Open,
    Unknown,
}

/// Connections of all kinds, of which frames will be.
fn talks() -> Vec<(Made, Talk)> {
    let untagged = [PLAIN; 2];
    let deltas = [1000, -300];
    let known = [
        (Made::CutThrough, false, 80, untagged, deltas),
        (Made::CutThrough, false, 80, untagged, [-7, 0]),
        (Made::CutThrough, false, 80, untagged, [0, 0]),
        (Made::CutThrough, true, 80, untagged, deltas),
        (Made::CutThrough, true, 80, untagged, deltas),
        (Made::CutThrough, false, 80, [VLAN; 2], deltas),
        (Made::Suspended, true, 80, untagged, [0, 0]),
        (Made::Participating, false, 80, untagged, [0, 0]),
        (Made::Parked, false, 80, untagged, [0, 0]),
        (Made::Open, false, 81, untagged, [0, 0]),
        (Made::Open, false, 87, [PLAIN, FAR], [0, 0]),
        (Made::Open, false, 88, untagged, [0, 0]),
    ];
    let unknown =
        (80..90).flat_map(|port| [false, true].map(|v6| (Made::Unknown, v6, port, untagged, [0, 0])));
    let all = known.into_iter().chain(unknown).zip(1..);
    all.map(|((made, v6, port, tags, deltas), host)| (made, Talk::new(v6, host, port, tags, deltas)))
        .collect()
}

/// One worker, or two of which each is handed what is the other's.
#[derive(Debug, Clone, Copy)]
enum Workers {
    One,
    ByHash,
    /// Only what a device's RSS cannot place is handed over.
    ByRss,
}

/// Tables of so many flows may be full.
const SCARCE: usize = 12;

/// What the property is about, but for the frames.
#[derive(Debug, Clone, Copy)]
struct Place {
    workers: Workers,
    strays: usize,
    /// In each table.
    flows: usize,
}

struct World {
    benches: Vec<Bench>,
    /// By worker, what has come out at both ports, and what the control core was told.
    out: Vec<[Vec<Vec<u8>>; 2]>,
    told: Vec<Vec<Told>>,
    /// Frames that went up.
    taken: u64,
}

/// What the control core was told: in words, and the frame that was sent along.
#[derive(Clone)]
struct Told(String, Option<Vec<u8>>);

impl World {
    fn new(place: Place) -> World {
        let hash = KeyedHash::new([5, 6, 7, 8]);
        let steering = match place.workers {
            Workers::One => Steering::Single,
            Workers::ByHash => Steering::Hash { hash, workers: 2 },
            Workers::ByRss => {
                Steering::Rss { queue: Arc::new(move |quad| (hash.of_quad(quad) >> 63) as usize) }
            }
        };
        let count = if matches!(place.workers, Workers::One) { 1 } else { 2 };
        let limits = Limits { flows: place.flows, parked: 6, far_sides: 4 };
        let benches = Bench::together(&POLICIES[place.strays], limits, 64, &steering, count);
        let with_inspection = |mut bench: Bench| {
            bench.worker = bench.worker.with_inspection(ROOMY, [7; 4]);
            bench
        };
        let benches = benches.into_iter().map(with_inspection).collect();
        let (out, told) = (vec![Default::default(); count], vec![Vec::new(); count]);
        let mut world = World { benches, out, told, taken: 0 };
        for (made, talk) in talks() {
            world.make(made, talk);
        }
        world
    }

    fn make(&mut self, made: Made, mut talk: Talk) {
        let (syn, syn_ack, ack) = (Sort::Syn(&[]), Sort::SynAck, Sort::Data(b"", b""));
        let handshake = match made {
            Made::Unknown => return,
            Made::Open => vec![(0, syn), (1, syn_ack), (0, ack)],
            _ => vec![(0, syn)],
        };
        for (from, sort) in handshake {
            let port = if from == 0 { CLIENT } else { SERVER };
            let frame = talk.frame(from, &sort, [0; 2], None);
            self.benches[0].deliver(port, &frame);
            self.benches.iter_mut().for_each(Bench::poll);
        }
        let offered = |event| if let Event::Offered { flow, .. } = event { Some(flow) } else { None };
        let offers = self.benches.iter_mut().map(|bench| bench.events.try_receive().and_then(offered));
        if let Some((worker, flow)) = (0..).zip(offers).find_map(|(at, flow)| Some((at, flow?))) {
            self.taken += 1;
            self.benches[worker].lead_on(flow, made, &talk);
        } else {
            let has_place = self.benches.iter().all(|bench| bench.worker.table().len() < SCARCE);
            assert!(made == Made::Open || !has_place, "it is offered");
        }
        self.collect();
    }

    /// What has come out.
    fn collect(&mut self) {
        for (bench, (out, told)) in self.benches.iter_mut().zip(self.out.iter_mut().zip(&mut self.told)) {
            for (port, out) in [CLIENT, SERVER].into_iter().zip(out) {
                out.extend(std::iter::from_fn(|| bench.collect(port)));
            }
            while let Some(event) = bench.events.try_receive() {
                let event = describe(&event);
                self.taken += u64::from(event.1.is_some());
                told.push(event);
            }
        }
    }

    /// All of it arrives at one worker, first what is for its first port; in as many bursts as `cuts` says.
    fn take(&mut self, worker: usize, arrivals: &[Arrival], cuts: impl Fn(usize) -> bool) {
        let worker = worker % self.benches.len();
        for (at, Arrival { port, frame, hint }) in arrivals.iter().enumerate() {
            let bench = &mut self.benches[worker];
            bench.put(*port, frame, *hint);
            if cuts(at) || at + 1 == arrivals.len() {
                bench.poll();
                self.benches.iter_mut().for_each(Bench::poll);
                self.collect();
            }
        }
        // Timers, and what waits for the rest of a pattern.
        for bench in &mut self.benches {
            bench.wait(Duration::from_millis(90));
        }
        self.collect();
    }

    /// Every frame received was sent on, went up, waits, or is counted under a name; each has one owner.
    fn check(&self) {
        let sum = |counter| self.benches.iter().map(|bench| bench.count(counter)).sum::<u64>();
        let drops = Counter::ALL.iter().filter(|counter| counter.name().starts_with("drop_"));
        let dropped: u64 = drops.map(|counter| sum(*counter)).sum();
        let waits = |bench: &Bench| bench.worker.gauges().parked as usize + bench.worker.waiting();
        let waiting: usize = self.benches.iter().map(waits).sum();
        let came = sum(Counter::Received) + sum(Counter::Originated);
        let went = sum(Counter::Transmitted) + dropped + self.taken + sum(Counter::CookiesSent);
        assert_eq!(came, went + waiting as u64);
        let in_use: usize = self.benches.iter().map(|bench| bench.pool.in_use()).sum();
        assert_eq!(in_use, waiting);
    }

    /// All that can be said of it, a line each; as if no frame had had a tag, perhaps.
    fn report(&self, without_tags: bool) -> Vec<String> {
        let show = |frame: &Vec<u8>| hex(&if without_tags { untagged(frame) } else { frame.clone() });
        let mut lines = Vec::new();
        for (worker, bench) in self.benches.iter().enumerate() {
            for (port, frames) in self.out[worker].iter().enumerate() {
                lines.extend(
                    frames.iter().map(|frame| format!("{worker}: out of port {port} {}", show(frame))),
                );
            }
            for Told(text, frame) in &self.told[worker] {
                lines.push(format!("{worker}: {text} {:?}", frame.as_ref().map(show)));
            }
            // Tags have a length of their own.
            let shown = |counter: &&Counter| !without_tags || !counter.name().ends_with("_bytes");
            for counter in Counter::ALL.iter().filter(shown) {
                lines.push(format!("{worker}: {} {}", counter.name(), bench.count(*counter)));
            }
            let table = bench.worker.table();
            for slot in table.occupied(0..table.capacity() as u32) {
                let (key, object, record) = (table.key(slot), table.object(slot), table.record(slot));
                // Beyond it, frames have the tags that they had here.
                let far = table.far(slot).filter(|_| !without_tags);
                lines.push(format!("{worker}: slot {slot} {key:?} {object:?} {record:?} {far:?}"));
            }
        }
        lines
    }
}

impl Bench {
    /// A flow that has been offered.
    fn lead_on(&mut self, flow: FlowRef, made: Made, talk: &Talk) {
        if made == Made::Suspended {
            return;
        }
        self.order(Order::Participate { flow });
        if made == Made::Participating {
            return;
        }
        self.order(Order::Park { flow, searched: false });
        assert!(matches!(self.events.try_receive(), Some(Event::Parked { .. })));
        if made == Made::Parked {
            return;
        }
        let [client, server] = talk.first().map(Seq);
        let view = View {
            track: [Track { end: client, ack: server }, Track { end: server, ack: client }],
            edges: [client.advance(5000), server.advance(5000)],
            promises: Promises::mirrored(Terms::new(Some([7, 3]), true, true)),
            tcp: TcpState::Established,
            ..View::default()
        };
        let [delta_c2s, delta_s2c] = talk.deltas.map(Delta);
        self.order(Order::Install { flow, delta_c2s, delta_s2c, view });
        self.order(Order::Resume { flow });
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn describe(event: &Event<SimBuffer>) -> Told {
    // Places are told as in frames without tags.
    let as_untagged = |headers: &TcpHeaders| {
        let TcpHeaders { l3, l4, payload, end, .. } = *headers;
        TcpHeaders { l3: 0, l4: l4 - l3, payload: payload - l3, end: end - l3, ..*headers }
    };
    let (text, frame) = match event {
        Event::Offered { flow, client_side, module, inspection, proof, headers, frame } => {
            let rule = (client_side, module, inspection, proof);
            (format!("offers {flow:?} {rule:?} {:?}", as_untagged(headers)), Some(frame))
        }
        Event::Segment { flow, direction, port, headers, frame } => {
            let headers = as_untagged(headers);
            (format!("sends up {flow:?} {direction:?} {port:?} {headers:?}"), Some(frame))
        }
        Event::Icmp { flow, quoted, error, frame } => {
            let IcmpError { l3, l4, quoted_l4, end, .. } = *error;
            let error = IcmpError { l3: 0, l4: l4 - l3, quoted_l4: quoted_l4 - l3, end: end - l3, ..*error };
            (format!("sends up {flow:?} {quoted:?} {error:?}"), Some(frame))
        }
        Event::Hit { key, hit } => (format!("has found {key:?} {hit:?}"), None),
        Event::Wanted { flow, key, module, edits } => {
            (format!("wants a split {flow:?} {key:?} {module} {edits}"), None)
        }
        _ => panic!("nobody has ordered anything, and nothing has expired"),
    };
    Told(text, frame.map(|frame| frame.bytes().to_vec()))
}

/// Which worker takes what, and in which bursts.
#[derive(Debug, Clone)]
struct Round {
    worker: usize,
    pieces: Vec<Piece>,
    cuts: u64,
}

/// No more than fits into a burst of each port: those of one port come before those of the other one.
fn arrivals(rounds: &[Round]) -> Vec<Vec<Arrival>> {
    let mut talks: Vec<Talk> = talks().into_iter().map(|(_, talk)| talk).collect();
    let each = rounds.iter().map(|round| {
        let all = round.pieces.iter().flat_map(|piece| piece.frames(&mut talks).collect::<Vec<_>>());
        let (client, server): (Vec<_>, Vec<_>) = all.partition(|arrival| arrival.port == CLIENT);
        client.into_iter().take(BURST).chain(server.into_iter().take(BURST)).collect()
    });
    each.collect()
}

fn round() -> impl Strategy<Value = Round> {
    let pieces = prop::collection::vec(Piece::any(), 1..32);
    (0usize..2, pieces, any::<u64>()).prop_map(|(worker, pieces, cuts)| Round { worker, pieces, cuts })
}

fn place() -> impl Strategy<Value = Place> {
    let workers = prop::sample::select(vec![Workers::One, Workers::One, Workers::ByHash, Workers::ByRss]);
    (workers, 0usize..3, prop_oneof![Just(64usize), SCARCE..16]).prop_map(|(workers, strays, flows)| Place {
        workers,
        strays,
        flows,
    })
}

/// What becomes of all of it, in bursts that end where `cuts` says.
fn fares(
    place: Place,
    rounds: &[Round],
    arrivals: &[Vec<Arrival>],
    cuts: fn(&Round, usize) -> bool,
) -> World {
    let mut world = World::new(place);
    for (round, arrivals) in rounds.iter().zip(arrivals) {
        world.take(round.worker, arrivals, |at| cuts(round, at));
    }
    world.check();
    world
}

/// The first line in which both differ.
fn differing(one: Vec<String>, other: Vec<String>) -> Option<(Option<String>, Option<String>)> {
    let ends = one.len().max(other.len());
    let padded = |lines: Vec<String>| lines.into_iter().map(Some).chain(std::iter::repeat(None));
    padded(one).zip(padded(other)).take(ends).find(|(one, other)| one != other)
}

proptest! {
    #[test]
    fn frames_in_one_burst_fare_as_they_do_one_by_one(
        place in place(), rounds in prop::collection::vec(round(), 1..5),
    ) {
        let arrivals = arrivals(&rounds);
        let one_by_one = fares(place, &rounds, &arrivals, |_, _| true);
        let in_bursts = fares(place, &rounds, &arrivals, |round, at| round.cuts >> at & 1 != 0);
        let at_once = fares(place, &rounds, &arrivals, |_, _| false);
        for (name, other) in [("in bursts", in_bursts), ("at once", at_once)] {
            let differing = differing(one_by_one.report(false), other.report(false));
            prop_assert!(differing.is_none(), "one by one, and {}: {:#?}", name, differing);
        }
    }

    /// Whatever is plain goes its own ways, by kinds; with a tag none of it is, and goes the long way of all others.
    #[test]
    fn plain_frames_fare_as_others_do(
        place in place(), rounds in prop::collection::vec(round(), 1..5),
    ) {
        let plain = arrivals(&rounds);
        let mut others = arrivals(&rounds);
        for arrival in others.iter_mut().flatten() {
            arrival.frame = tagged(&arrival.frame);
        }
        let [plain, others] = [plain, others].map(|arrivals| fares(place, &rounds, &arrivals, |_, _| false));
        let differing = differing(plain.report(true), others.report(true));
        prop_assert!(differing.is_none(), "{:#?}", differing);
    }
}
