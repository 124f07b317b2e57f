//! Two blocks over a channel that loses, reorders, duplicates and delays: every byte arrives, once, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;

use super::VecBuffer;
use crate::tcp::*;

/// xorshift64*: enough to shake a channel, and the seed is the whole story.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 33) % n
    }

    fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }
}

/// What a world is like that its seed does not say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    pub(super) limits: Limits,
    /// Of what may be marked, so many percent are. Without any, nobody speaks of marks.
    pub(super) marks: u64,
    /// Each end says little at a time, and nothing before that is acknowledged.
    pub(super) is_chatty: bool,
}

/// One end: a block, what it still has to write, and what it has read.
pub(super) struct End {
    pub(super) block: Block<VecBuffer>,
    to_write: Vec<u8>,
    written: usize,
    read: Vec<u8>,
    right_edge: Seq,
    is_chatty: bool,
}

impl End {
    fn new(block: Block<VecBuffer>, to_write: Vec<u8>, is_chatty: bool) -> Self {
        End { block, to_write, written: 0, read: Vec::new(), right_edge: Seq(0), is_chatty }
    }

    /// Bytes that it may write now.
    fn space(&self) -> usize {
        let most = match self.is_chatty {
            true if self.block.queued() > 0 => 0,
            true => 600,
            false => 3000,
        };
        most.min(self.block.send_space() as usize).min(self.to_write.len() - self.written)
    }

    /// The application has nothing to do before something arrives.
    fn is_idle(&self) -> bool {
        let closes = self.written == self.to_write.len() && !self.block.snd.fin_queued;
        self.space() == 0 && !closes && self.block.readable() == 0
    }

    /// Writes and reads at random, as an application does.
    fn use_it(&mut self, random: &mut Random) {
        let space = self.space();
        if space > 0 && random.percent(70) {
            let n = 1 + random.below(space as u64) as usize;
            self.block.write(Chunk::owned(self.to_write[self.written..self.written + n].to_vec()));
            self.written += n;
        }
        // A close before the handshake would forget the connection.
        if self.written == self.to_write.len() && self.block.state().is_synchronized() {
            self.block.close();
        }
        while random.percent(60)
            && let Some(chunk) = self.block.read()
        {
            self.read.extend_from_slice(chunk.bytes());
        }
    }
}

/// By which end, header, payload.
pub(super) type Sent = (usize, SegmentOut, Vec<u8>);

pub(super) struct World {
    random: Random,
    pub(super) now: Instant,
    pub(super) ends: [End; 2],
    /// In the last step.
    pub(super) sent: Vec<Sent>,
    /// By time of arrival: the end it goes to, header, payload.
    wire: BTreeMap<(u64, u64), (usize, Segment, Vec<u8>)>,
    count: u64,
    loss: u64,
    jitter: u64,
    marks: u64,
}

impl World {
    pub(super) fn with(seed: u64, manner: Manner) -> Self {
        let Manner { limits, marks, is_chatty } = manner;
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let now = Instant::from_millis(1);
        let limits = Limits {
            send_buffer: 2_000 + random.below(60_000) as u32,
            receive_buffer: 1_000 + random.below(60_000) as u32,
            max_chunks: 4 + random.below(60) as usize,
            max_reassembly_segments: 2 + random.below(60) as usize,
            linger: Duration::from_secs(1),
            // Bad luck must not end a run.
            syn_timeout: Duration::from_secs(100_000),
            user_timeout: Duration::from_secs(100_000),
            ..limits
        };
        let ecn = |flags| if marks > 0 { flags } else { TcpFlags(0) };
        let offer = Handshake {
            mss: Some(200 + random.below(1260) as u16),
            window_scale: random.percent(50).then(|| random.below(10) as u8),
            sack_permitted: random.percent(60),
            timestamps: random.percent(60),
            window: 500 + random.below(60_000) as u16,
            ecn: ecn(TcpFlags::ECE | TcpFlags::CWR),
        };
        // Half of the runs wrap around.
        let iss =
            Seq(if random.percent(50) { random.next() as u32 } else { u32::MAX - random.below(9000) as u32 });
        let mut bytes = |n: u64| (0..random.below(n)).map(|_| random.next() as u8).collect::<Vec<u8>>();
        let (there, back) = (bytes(60_000), bytes(60_000));
        let client = Block::connect(now, iss, &offer, limits);
        let syn = Segment {
            seq: iss,
            ack: Seq(0),
            flags: TcpFlags::SYN | offer.ecn,
            window: offer.window,
            urgent: 0,
            options: dataplane::wire::tcp_options::TcpOptions {
                mss: offer.mss,
                window_scale: offer.window_scale,
                sack_permitted: offer.sack_permitted,
                timestamps: offer
                    .timestamps
                    .then_some(dataplane::wire::tcp_options::Timestamps { value: 1, echo: 0 }),
                ..Default::default()
            },
            len: 0,
            congested: false,
        };
        let mut server = Block::suspended(now, &syn, limits);
        let answer = Handshake { ecn: ecn(TcpFlags::ECE), ..offer };
        server.answer(now, Seq(random.next() as u32), &answer);
        let (loss, jitter) = (random.below(25), 1 + random.below(60));
        let ends = [End::new(client, there, is_chatty), End::new(server, back, is_chatty)];
        World { random, now, ends, sent: Vec::new(), wire: BTreeMap::new(), count: 0, loss, jitter, marks }
    }

    fn transmit(&mut self) {
        self.sent.clear();
        for from in 0..2 {
            while let Some(out) = self.ends[from].block.poll(self.now, self.now.as_millis() as u32) {
                let mut payload = vec![0; out.payload.len as usize];
                self.ends[from].block.copy_payload(out.payload.start, &mut payload);
                let segment = Segment {
                    seq: out.seq,
                    ack: out.ack,
                    flags: out.flags,
                    window: out.window,
                    urgent: out.urgent,
                    options: out.tcp.options.clone(),
                    len: out.payload.len,
                    congested: out.ecn_capable && self.random.percent(self.marks),
                };
                let copies =
                    if self.random.percent(self.loss) { 0 } else { 1 + self.random.percent(5) as u64 };
                for _ in 0..copies {
                    let delay = 1 + self.random.below(self.jitter);
                    self.count += 1;
                    let at = (self.now.as_millis() + delay, self.count);
                    self.wire.insert(at, (1 - from, segment.clone(), payload.clone()));
                }
                self.sent.push((from, out, payload));
            }
        }
    }

    /// One point in time.
    pub(super) fn step(&mut self) {
        while let Some(((at, _), _)) = self.wire.first_key_value()
            && *at <= self.now.as_millis()
        {
            let (_, (to, segment, payload)) = self.wire.pop_first().expect("just seen");
            let chunk = (!payload.is_empty()).then(|| {
                let len = payload.len();
                Chunk::packet(VecBuffer(payload), 0..len)
            });
            let end = &mut self.ends[to];
            let events = end.block.on_segment(self.now, &segment, chunk);
            if events.contains(Events::ANSWERED) {
                end.block.confirm(self.now);
            }
            assert!(!events.intersects(Events::RESET | Events::REFUSED | Events::GAVE_UP), "{events:?}");
        }
        for end in &mut self.ends {
            end.block.on_timer(self.now);
            end.use_it(&mut self.random);
            let edge = end.block.offered_right_edge();
            assert!(end.right_edge == Seq(0) || edge.ge(end.right_edge), "a right edge was taken back");
            end.right_edge = edge;
            assert!(end.block.readable() <= 61_000 + 61_000, "the receive buffer overflows");
        }
        self.transmit();
        // Applications look every few milliseconds; otherwise time jumps to what happens next.
        let next = self.ends.iter().filter_map(|e| e.block.deadline()).map(|at| at.as_millis() + 1);
        let next = next.chain(self.wire.first_key_value().map(|((at, _), _)| *at)).min();
        let idle = self.ends.iter().all(|e| e.is_idle());
        let soon = self.now.as_millis() + 5;
        let next = next.map_or(soon, |at| if idle { at } else { at.min(soon) });
        self.now = Instant::from_millis(next.max(self.now.as_millis() + 1));
    }

    pub(super) fn is_done(&self) -> bool {
        self.ends
            .iter()
            .enumerate()
            .all(|(i, end)| end.read.len() == self.ends[1 - i].to_write.len() && end.block.fin_received())
    }
}

fn run(seed: u64) {
    let mut world = World::with(seed, Manner::default());
    for _ in 0..200_000 {
        world.step();
        if world.is_done() {
            break;
        }
    }
    let [client, server] = &world.ends;
    assert!(world.is_done(), "stalled: {:?} {:?}", client.block, server.block);
    assert!(client.read == server.to_write, "what the client has read");
    assert!(server.read == client.to_write, "what the server has read");
    // Both close by themselves: TIME-WAIT ends, the last FIN gets its ACK.
    for _ in 0..20_000 {
        world.step();
    }
    assert!(
        world
            .ends
            .iter()
            .all(|end| end.block.state() == State::Closed || end.block.state() == State::LastAck)
    );
}

/// `SEEDS=40000 cargo test` tries more.
#[test]
fn random_bytes_survive_a_bad_channel() {
    let seeds = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    for seed in 0..seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed} repeats this");
            std::panic::resume_unwind(panic);
        }
    }
}
