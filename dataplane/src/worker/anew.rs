//! SYNs on the quads of connections that there are.
//!
//! Behind one that is over a SYN begins another. In one that is not, it passes, for its receiver to judge: who still has the
//! connection says what it expects (RFC 9293 section 3.10.7.4, RFC 5961 section 4.2). Who has forgotten it answers with a SYN-ACK.
//! Would that pass too, a connection that no rule and no module has decided about would live on the numbers and bounds of
//! another one, for as long as its port is used again in time. So its sender gets RST, the flow is forgotten, and the SYN, which
//! its client repeats, meets the rules.
//!
//! A SYN-ACK alone ends nothing: it has to acknowledge the last SYN that has passed here, and be the first thing that is heard
//! from there behind it. So whoever forges it has to know the SYN, speak from the receiver's side, and be faster than the receiver.

use super::carry::is_verified;
use super::parked::Waiting;
use super::*;
use crate::flow::object::{NONE, Traits};
use crate::flow::quad::Direction;
use crate::flow::table::FlowRef;
use crate::packet::TcpHeaders;
use crate::refusal::{self, Rejection};
use crate::wire::seq::Seq;

/// SYNs of which a worker knows at once. A flow's place follows from its slot; where two flows have the same one, the later SYN
/// takes it, and the earlier one's answer passes.
const PLACES: usize = 256;
/// In a younger flow a SYN may be a copy of its own that was late, and so may the SYN-ACK behind it.
const YOUNG: Duration = Duration::from_secs(10);

/// A SYN that has passed in a connection that is not over.
#[derive(Clone, Copy)]
struct Asked {
    flow: FlowRef,
    direction: Direction,
    /// What a SYN-ACK acknowledges at least, in the sender's numbers.
    next: Seq,
    /// Bytes behind it, which that may take or leave (RFC 7413).
    bytes: u32,
    /// Frames of the flow that its receiver had sent by then.
    heard: u64,
}

/// The last ones of a worker.
pub(super) struct Syns(Box<[Option<Asked>]>);

impl Syns {
    pub fn new() -> Syns {
        Syns(vec![None; PLACES].into())
    }

    fn place(&mut self, flow: FlowRef) -> &mut Option<Asked> {
        &mut self.0[flow.slot as usize % PLACES]
    }
}

impl<P: Port> Worker<P> {
    /// A SYN or SYN-ACK of a flow that its worker carries. Given back if it goes on as any other segment does.
    #[cold]
    #[inline(never)]
    pub(super) fn meet_syn(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) -> Option<P::Buffer> {
        if headers.flags.ack() {
            return self.meet_answer(slot, direction, headers, frame);
        }
        let tcp = self.table.object(slot).tcp;
        // A corrupt one begins nothing, as its receiver does not take it.
        let is_sound = || headers.first_fragment || is_verified(&frame, headers);
        if tcp.is_over() && is_sound() {
            self.begin_another(now, slot, direction, headers, frame);
            return None;
        }
        if !tcp.is_opening() && self.age_of(now, slot) >= YOUNG {
            self.note_syn(slot, direction, headers);
        }
        Some(frame)
    }

    /// Port reuse: a SYN on a quad whose connection is over begins another one (our lingering never judges a SYN). What has
    /// waited behind it is its own, unless it comes from the other end, which knows of the old one alone.
    fn begin_another(
        &mut self,
        now: Instant,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        frame: P::Buffer,
    ) {
        let object = self.table.object(slot);
        let port = self.side_of(object, direction);
        if object.traits.has(Traits::FAR) && direction == Direction::ServerToClient {
            // Translated already, as it had to wait: it would not be told whose it is. Its sender repeats it.
            return self.counters.count(Counter::DropFlowGone);
        }
        self.parked.set_aside(slot);
        self.forget(slot);
        self.admit(now, port, headers, frame);
        while let Some(Waiting { direction: of, frame, .. }) = self.parked.pop(NONE) {
            match of == direction {
                true => self.classify_one(now, port, frame),
                false => self.counters.count(Counter::DropFlowGone),
            }
        }
    }

    /// Who gets the SYN will answer it in one way or another. A fragment does not tell how many bytes come with it.
    fn note_syn(&mut self, slot: u32, direction: Direction, headers: &TcpHeaders) {
        let bytes = if headers.first_fragment { u16::MAX.into() } else { headers.payload_len() };
        let flow = self.table.flow_ref(slot);
        let heard = self.heard_from(slot, direction.reverse());
        let next = headers.seq.advance(1);
        *self.syns.place(flow) = Some(Asked { flow, direction, next, bytes, heard });
    }

    fn heard_from(&self, slot: u32, direction: Direction) -> u64 {
        self.table.traffic(slot).frames(direction)
    }

    /// A SYN-ACK.
    fn meet_answer(
        &mut self,
        slot: u32,
        direction: Direction,
        headers: &TcpHeaders,
        mut frame: P::Buffer,
    ) -> Option<P::Buffer> {
        let object = self.table.object(slot);
        if object.tcp.is_opening() {
            return Some(frame);
        }
        let ack = headers.ack.minus(object.other_delta(direction));
        let flow = self.table.flow_ref(slot);
        let heard = self.heard_from(slot, direction);
        let is_answer = self.syns.place(flow).is_some_and(|asked| {
            let is_about_it = ack.ge(asked.next) && ack.le(asked.next.advance(asked.bytes));
            asked.flow == flow && asked.direction != direction && asked.heard == heard && is_about_it
        });
        if !is_answer {
            return Some(frame);
        }
        // Passed on, it would be the first thing that is heard, and its repetition would not.
        if !is_verified(&frame, headers) {
            self.counters.count(Counter::DropTcpChecksum);
            return None;
        }
        self.counters.count(Counter::DropBegunAnew);
        if refusal::refuse(&mut frame, headers, &Rejection::Reset).is_some() {
            self.originate(slot, direction.reverse(), frame);
        }
        self.forget(slot);
        None
    }
}
