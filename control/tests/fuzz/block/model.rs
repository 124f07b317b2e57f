//! What has been said to the block, and hence what it may say: nothing of the block's own insides.

use control::tcp::{Block, Chunk, Events, Segment, SegmentOut, State};
use dataplane::buffer::Buffer;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;

use super::offset;
use super::script::Setup;

/// The byte at `offset` of a stream; the two streams differ.
fn byte(stream: u8, offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9) >> 16) as u8 ^ stream
}

/// The judge.
pub struct Model {
    limits: control::tcp::Limits,
    /// Bytes that the user has written, and whether it has closed.
    written: u64,
    closed: bool,
    /// Bytes that the user has read.
    read: u64,
    /// First byte of the peer's stream.
    first: Option<Seq>,
    /// What the peer has sent of it: disjoint ranges of offsets, in order. FINs count.
    came: Vec<(u64, u64)>,
    /// The highest right edge that the peer can be said to have offered, as an offset in our stream.
    edge: u64,
    /// The highest right edge that we have offered.
    offered: Option<Seq>,
    /// Before the peer is validated: segments that may still be sent.
    allowance: u32,
    validated: bool,
    reset: bool,
}

impl Model {
    pub fn new<B: Buffer>(setup: &Setup, block: &Block<B>) -> Model {
        let server_leg = setup.syn.is_none();
        Model {
            limits: setup.limits,
            written: 0,
            closed: false,
            read: 0,
            first: (!server_leg).then(|| block.irs().advance(1)),
            came: Vec::new(),
            edge: 0,
            offered: None,
            allowance: 1,
            // Whom we have called ourselves needs no validation.
            validated: server_leg,
            reset: false,
        }
    }

    /// The next bytes that the user writes, at most as many as there is space for.
    pub fn write<B: Buffer>(&mut self, space: u32, wanted: u16) -> Chunk<B> {
        let n = u64::from(space).min(wanted.into());
        let bytes = (self.written..self.written + n).map(|at| byte(1, at)).collect();
        if !self.closed {
            self.written += n;
        }
        Chunk::owned(bytes)
    }

    pub fn closed(&mut self) {
        self.closed = true;
    }

    pub fn allow_one(&mut self) {
        self.allowance += 1;
    }

    /// The user has answered the SYN: the window of a SYN is a promise.
    pub fn answered<B: Buffer>(&mut self, block: &Block<B>) {
        self.edge = self.edge.max(block.peer_offer().window.into());
    }

    /// What the peer's stream holds from number `seq` on. Numbers before its first byte are those of no byte.
    pub fn peer_bytes(&self, seq: Seq, len: u32) -> Vec<u8> {
        let at = self.first.map_or(0, |first| u64::from(seq.0.wrapping_sub(first.0)));
        // As sequence numbers wrap around, so does the stream.
        (at..at + u64::from(len)).map(|at| byte(2, at & 0xffff_ffff)).collect()
    }

    /// The peer is about to be heard. `whole`: and not only for its acknowledgment.
    pub fn told<B: Buffer>(&mut self, block: &Block<B>, segment: &Segment, whole: bool) {
        self.allowance += 1;
        let flags = segment.flags;
        if flags.ack() && !flags.rst() {
            let shift = if flags.syn() { 0 } else { block.peer_offer().window_scale.unwrap_or(0).min(14) };
            let sent =
                offset(block.iss().advance(1), segment.ack).filter(|_| segment.ack.le(block.snd_nxt()));
            if let Some(acked) = sent {
                self.edge = self.edge.max(acked + (u64::from(segment.window) << shift));
            }
        }
        if whole && let Some(first) = self.first {
            // Streams here stay far below 2 GiB: what lies further back is nothing.
            let start = i64::from(segment.seq.0.wrapping_sub(first.0) as i32);
            let end = start + i64::from(segment.sequence_len());
            self.add(start.max(0) as u64, end.max(0) as u64);
        }
    }

    fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let from = self.came.partition_point(|range| range.1 < start);
        let to = from + self.came[from..].partition_point(|range| range.0 <= end);
        let (mut left, mut right) = (start, end);
        for range in self.came.drain(from..to) {
            (left, right) = (left.min(range.0), right.max(range.1));
        }
        self.came.insert(from, (left, right));
    }

    /// What the block has said about a segment.
    pub fn reported(&mut self, segment: &Segment, events: Events) {
        if events.contains(Events::ANSWERED) {
            self.first = Some(segment.seq.advance(1));
            self.edge = self.edge.max(segment.window.into());
        }
        self.validated |= events.contains(Events::ESTABLISHED);
        self.reset |= events.intersects(Events::RESET | Events::REFUSED);
    }

    /// The user has got these bytes.
    pub fn read(&mut self, bytes: &[u8]) {
        let expected = (self.read..).map(|at| byte(2, at));
        let wrong = bytes.iter().zip(expected).position(|(got, expected)| *got != expected);
        assert_eq!(
            wrong,
            None,
            "not what the peer has sent, {} bytes after offset {}",
            bytes.len(),
            self.read
        );
        self.read += bytes.len() as u64;
        assert!(self.read <= self.contiguous(), "more was read than came");
    }

    /// The first offset that has not come.
    fn contiguous(&self) -> u64 {
        self.came.first().filter(|range| range.0 == 0).map_or(0, |range| range.1)
    }

    /// Judges a segment that goes out.
    pub fn sent<B: Buffer>(&mut self, block: &Block<B>, out: &SegmentOut, payload: &[u8]) {
        if !self.validated {
            let fits = self.allowance > 0 && payload.is_empty();
            assert!(fits, "too much for an unvalidated client: {out:?}");
            self.allowance -= 1;
        }
        if out.flags.rst() || out.flags.syn() {
            return;
        }
        self.judge_data(block, out, payload);
        self.judge_ack(block, out);
        self.judge_options(block, out);
    }

    fn judge_data<B: Buffer>(&self, block: &Block<B>, out: &SegmentOut, payload: &[u8]) {
        let len = payload.len() as u64 + u64::from(out.flags.fin());
        if len == 0 {
            return;
        }
        let at = offset(block.iss().advance(1), out.seq).expect("data before the stream");
        assert!(out.seq.ge(block.snd_una()), "what the peer has acknowledged is sent again: {out:?}");
        assert!(at + payload.len() as u64 <= self.written, "bytes that nobody has written: {out:?}");
        let right = payload.iter().zip(at..).all(|(got, at)| *got == byte(1, at));
        assert!(right, "not the bytes that were written: {out:?}");
        let is_end = at + payload.len() as u64 == self.written && self.closed;
        assert!(!out.flags.fin() || is_end, "a FIN before the end: {out:?}");
        // One byte more may be a probe; the FIN takes no room in anybody's buffer.
        let edge = self.edge + 1 + u64::from(out.flags.fin());
        assert!(at + len <= edge, "beyond the peer's right edge {}: {out:?}", self.edge);
    }

    fn judge_ack<B: Buffer>(&mut self, block: &Block<B>, out: &SegmentOut) {
        assert!(out.flags.ack(), "no ACK: {out:?}");
        let first = self.first.expect("an open connection has two streams");
        let acked = offset(first, out.ack).unwrap_or_else(|| {
            panic!("an acknowledgment of nothing: {out:?} {:?}..{:?}", block.ack_number(), block.rcv_nxt())
        });
        assert!(out.ack.le(block.ack_number()), "acknowledged before the receiver has: {out:?}");
        assert!(acked <= self.contiguous(), "{acked} acknowledged, {} came: {out:?}", self.contiguous());
        let edge = out.ack.advance(u32::from(out.window) << block.offer().window_scale.unwrap_or(0).min(14));
        let shifted = block.peer_offer().window_scale.is_some() && block.offer().window_scale.is_some();
        if shifted {
            let highest = block.offered_right_edge();
            assert!(edge.le(highest), "{edge:?} is offered, {highest:?} is accepted");
            assert!(self.offered.is_none_or(|before| highest.ge(before)), "a right edge was taken back");
            self.offered = Some(highest);
        }
    }

    fn judge_options<B: Buffer>(&self, block: &Block<B>, out: &SegmentOut) {
        assert!(out.options.sack.is_empty() || block.peer_offer().sack_permitted, "SACK nobody asked for");
        assert!(
            out.options.timestamps.is_none() || block.peer_offer().timestamps,
            "timestamps nobody asked for"
        );
        let first = self.first.expect("an open connection has two streams");
        for (index, sack) in out.options.sack.iter().enumerate() {
            // D-SACK: what has come again, even from before the stream (RFC 2883 section 4).
            if index == 0 && sack.right.le(out.ack) && sack.left.lt(sack.right) {
                continue;
            }
            let (left, right) = (offset(first, sack.left), offset(first, sack.right));
            let (Some(left), Some(right)) = (left, right) else { panic!("SACK of nothing: {out:?}") };
            let held = left < right && self.came.iter().any(|range| range.0 <= left && right <= range.1);
            assert!(held, "SACK of what has not come: {out:?}");
        }
        let header = 20 + 12 * u32::from(out.options.timestamps.is_some()) + sack_len(out);
        assert!(header <= 60, "more options than fit: {out:?}");
        assert!(!out.flags.contains(TcpFlags::ECE) || block.peer_offer().ecn != TcpFlags(0), "ECE: {out:?}");
    }

    /// What holds whenever the block is at rest.
    pub fn check<B: Buffer>(&self, block: &Block<B>) {
        let state = block.state();
        if state == State::Closed {
            return assert_eq!(block.queued(), 0, "a closed block keeps bytes");
        }
        assert!(!self.reset, "reset, and not closed");
        assert!(block.queued() <= self.limits.send_buffer, "more to send than the limit");
        // The window of our SYN is a promise, whatever the buffer.
        let (readable, buffer) = (block.readable(), self.limits.receive_buffer);
        let promised = buffer.max(block.offer().window.into());
        assert!(readable <= promised, "{readable} bytes wait to be read, at most {promised} were offered");
        // Out of order, runs may overlap: what counts is what is kept.
        let ahead = block.buffered() - u64::from(block.queued()) - u64::from(readable);
        assert!(
            ahead <= u64::from(buffer.max(0xffff)),
            "{ahead} bytes are kept out of order: {:?}",
            self.limits
        );
        assert!(self.written >= u64::from(block.queued()), "bytes that nobody has written");
    }
}

fn sack_len(out: &SegmentOut) -> u32 {
    match out.options.sack.len() as u32 {
        0 => 0,
        n => 4 + 8 * n,
    }
}
