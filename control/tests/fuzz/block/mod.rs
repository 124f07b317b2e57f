//! One TCB, and a peer and a user that do whatever the input says: any segment in any state, near the numbers that
//! matter or anywhere, any call, any time. A model of what has been said to the block judges what it says.

mod model;
mod script;

use arbitrary::{Result, Unstructured};
use control::tcp::{Block, Chunk, Events, Segment, State};
use dataplane::buffer::{Buffer, Pool};
use dataplane::clock::Instant;
use dataplane::port::sim::{SimBuffer, SimPool};
use dataplane::wire::seq::Seq;

use model::Model;
use script::Setup;

/// Steps of one script.
const STEPS: usize = 400;

/// Buffers for payload.
const POOL: usize = 512;

/// Rounds of timer and poll at one moment after which a deadline still in the past is one that fires for ever.
const ROUNDS: usize = 8;

/// The block, its surroundings, and what is known of it.
struct Rig {
    block: Block<SimBuffer>,
    model: Model,
    pool: SimPool,
    now: Instant,
    through: bool,
}

/// Runs one script. Panics when the block has broken a rule.
pub fn run(input: &[u8]) {
    let mut u = Unstructured::new(input);
    let Ok(setup) = Setup::draw(&mut u) else { return };
    let pool = SimPool::new(POOL);
    let mut rig = Rig::new(&setup, pool.clone());
    rig.settle(true);
    for _ in 0..STEPS {
        if u.is_empty() || rig.step(&mut u).is_err() {
            break;
        }
    }
    drop(rig);
    assert_eq!(pool.in_use(), 0, "buffers that have not come back");
}

impl Rig {
    fn new(setup: &Setup, pool: SimPool) -> Rig {
        let now = Instant::from_millis(1_000);
        let mut block = match &setup.syn {
            None => Block::connect(now, setup.iss, &setup.offer, setup.limits),
            Some(syn) => Block::suspended(now, syn, setup.limits),
        };
        block.set_family(setup.family);
        if setup.through && setup.syn.is_some() {
            block.withhold_acknowledgments();
        }
        Rig { model: Model::new(setup, &block), block, pool, now, through: setup.through }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=15)? {
            0..=6 => self.receive(u)?,
            7 => self.settle_after(|rig| {
                let chunk = rig.model.write(rig.block.send_space(), u.arbitrary::<u16>()?);
                rig.block.write(chunk);
                Ok(())
            })?,
            8 => self.read(u.int_in_range(1..=8)?),
            9 | 10 => self.pass_time(u)?,
            11 => self.settle_after(|rig| {
                rig.block.set_offer(script::window(u)?, u.arbitrary()?);
                Ok(())
            })?,
            12 => self.handshake(u)?,
            13 => self.end(u)?,
            _ => self.settle_after(|rig| rig.call(u))?,
        }
        Ok(())
    }

    /// A segment from the peer, or who pretends to be.
    fn receive(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (segment, held) = (script::segment(u, &self.block)?, u.ratio(1u8, 16u8)?);
        if held {
            self.block.on_ack_only(self.now, &segment);
            self.model.told(&self.block, &segment, false);
        } else {
            let chunk = self.payload(&segment, u.ratio(1u8, 8u8)?);
            self.model.told(&self.block, &segment, true);
            let events = self.block.on_segment(self.now, &segment, chunk);
            self.model.reported(&segment, events);
            if events.contains(Events::ANSWERED) && self.through {
                self.block.withhold_acknowledgments();
            }
        }
        self.settle(!segment.flags.rst());
        Ok(())
    }

    /// The payload of a segment: the peer's stream at that number, in a packet buffer or in memory.
    fn payload(&mut self, segment: &Segment, own: bool) -> Option<Chunk<SimBuffer>> {
        let bytes = self.model.peer_bytes(segment.seq, segment.len);
        if bytes.is_empty() {
            return None;
        }
        if own || bytes.len() > 1_900 {
            return Some(Chunk::owned(bytes));
        }
        // Without a buffer the data counts as lost, as it would in the appliance.
        let mut buffer = self.pool.take()?;
        buffer.extend(20 + bytes.len())?[20..].copy_from_slice(&bytes);
        Some(Chunk::packet(buffer, 20..20 + bytes.len()))
    }

    fn read(&mut self, chunks: usize) {
        for _ in 0..chunks {
            let Some(chunk) = self.block.read() else { break };
            self.model.read(chunk.bytes());
        }
        self.settle(true);
    }

    /// Time passes: to the deadline, a little beyond it, or by any amount.
    fn pass_time(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let deadline = self.block.deadline().filter(|at| *at > self.now);
        self.now = match (u.int_in_range(0..=3)?, deadline) {
            (0 | 1, Some(at)) => at,
            (2, _) => self.now + script::duration(u)?,
            _ => self.now + std::time::Duration::from_millis(u.arbitrary::<u8>()?.into()),
        };
        self.settle(true);
        Ok(())
    }

    /// The user's side of the handshake.
    fn handshake(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match self.block.state() {
            State::Suspended => {
                let (iss, offer) = (script::any_number(u)?, script::handshake(u)?);
                self.block.answer(self.now, iss, &offer);
                self.model.answered(&self.block);
            }
            State::Answered => self.block.confirm(self.now),
            _ => self.block.repeat_syn_ack(),
        }
        self.model.allow_one();
        self.settle(true);
        Ok(())
    }

    /// Seldom, or no script would get far.
    fn end(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=31)? {
            31 => {
                self.block.abort();
                self.model.allow_one();
            }
            // Before the handshake it would forget the connection.
            24.. if self.block.state().is_synchronized() || u.ratio(1u8, 8u8)? => {
                self.block.close();
                self.model.closed();
            }
            _ => {}
        }
        self.settle(true);
        Ok(())
    }

    /// Everything else that a user may call.
    fn call(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=9)? {
            0 => self.block.ask_window(),
            1 => self.block.acknowledge_now(),
            2 => self.block.set_link_mss(u.arbitrary()?),
            3 => {
                let quoted = script::number(u, &self.block)?;
                let _ = self.block.on_packet_too_big(
                    self.now,
                    quoted,
                    u.arbitrary::<u16>()?.into(),
                    u.arbitrary()?,
                );
            }
            4..=6 => {
                let upto = script::receiver_has(u, &self.block)?;
                self.block.acknowledge_through(self.now, upto);
            }
            7 => self.block.set_urgent(script::number(u, &self.block)?),
            8 => self.block.ask_if_alive(self.now),
            _ => drop(self.block.on_timer(self.now)),
        }
        Ok(())
    }

    fn settle_after(&mut self, act: impl FnOnce(&mut Rig) -> Result<()>) -> Result<()> {
        act(self)?;
        self.settle(true);
        Ok(())
    }

    /// What a caller does after anything else: lets timers fire and sends until there is nothing more. `may_reset`:
    /// unless what came was a RST.
    fn settle(&mut self, may_reset: bool) {
        for _ in 0..ROUNDS {
            let events = self.block.on_timer(self.now);
            assert!(!events.contains(Events::READABLE), "a timer has received bytes");
            self.drain(may_reset);
            self.block.check().unwrap_or_else(|broken| panic!("{broken}\n{:?}", self.block));
            self.model.check(&self.block);
            if self.block.deadline().is_none_or(|at| at > self.now) {
                return;
            }
        }
        panic!("a timer fires for ever at {:?}: {:?}", self.now, self.block);
    }

    fn drain(&mut self, may_reset: bool) {
        // A segment takes at least a byte of the queue, or is one of a few without any.
        let bound = 64 + 2 * (self.block.queued() / script::LEAST_PAYLOAD) as usize;
        for _ in 0..bound {
            let Some(out) = self.block.poll(self.now, self.now.as_millis() as u32) else { return };
            assert!(may_reset || !out.flags.rst(), "a RST was answered with a RST");
            let mut payload = vec![0; out.payload.len as usize];
            self.block.copy_payload(out.payload.start, &mut payload);
            self.model.sent(&self.block, &out, &payload);
        }
        panic!("{bound} segments at one moment, and no end: {:?}", self.block);
    }
}

/// What is `seq` in a stream that starts with number `first`: the distance, when it is not a negative one.
fn offset(first: Seq, seq: Seq) -> Option<u64> {
    let distance = seq.0.wrapping_sub(first.0);
    (distance < 1 << 31).then_some(distance.into())
}
