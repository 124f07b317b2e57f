//! What is outstanding: a record for each segment sent, and what is known of it (RFC 6675's scoreboard, with the
//! transmission times that RFC 8985 section 5.2 asks for).
//!
//! Records are contiguous from SND.UNA to SND.NXT, a FIN included. Neighbours that the peer has SACKed become one record,
//! so that an acknowledgment costs what is new in it, however often the peer repeats the rest. Their number is bounded: a
//! SACK block that would cut a record is believed only while there is room (CVE-2019-11477 and its kin).

use std::ops::Range;
use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::SackBlock;

use crate::tcp::few::Few;

/// Records of one leg: 4 MiB in segments of 1 KiB. More is not sent at once.
const MAX_RECORDS: usize = 4096;

/// Consecutive sequence space that was sent together, last at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tcp) struct Sent {
    pub(in crate::tcp) start: Seq,
    pub(in crate::tcp) end: Seq,
    /// When it was sent last.
    pub(in crate::tcp) at: Instant,
    /// The peer holds it, by its own word.
    pub(in crate::tcp) sacked: bool,
    /// It is believed lost and has to be sent again.
    pub(in crate::tcp) lost: bool,
    /// It has been sent more than once: an acknowledgment could be of any transmission.
    pub(in crate::tcp) resent: bool,
}

impl Sent {
    pub(in crate::tcp) fn len(&self) -> u32 {
        self.start.distance_to(self.end)
    }

    /// Its last transmission came before that of what ends at `end` (RFC 8985 section 6.1, `RACK_sent_after`).
    pub(super) fn is_before(&self, (at, end): (Instant, Seq)) -> bool {
        self.at < at || self.at == at && self.end.lt(end)
    }
}

/// What one acknowledgment says for the first time.
#[derive(Debug, Clone, Copy)]
pub(in crate::tcp) struct Delivery {
    now: Instant,
    /// Below this a round trip cannot be: an acknowledgment of a retransmission that came sooner is of the original.
    least_rtt: Duration,
    /// Data sent before the present loss recovery lies below.
    high: Seq,
    /// The highest number that was delivered before (RACK.fack).
    pub(super) fack: Seq,
    /// When the last loss recovery began.
    began: Instant,
    /// Bytes that have left the network.
    pub(in crate::tcp) bytes: u32,
    /// Bytes acknowledged cumulatively.
    pub(in crate::tcp) acked: u32,
    /// Bytes acknowledged selectively.
    pub(in crate::tcp) sacked: u32,
    /// Of what was sent last among it: when, and its end.
    pub(super) newest: Option<(Instant, Seq)>,
    /// When the latest and the earliest of what was sent only once had been sent; the earliest of what is acknowledged
    /// cumulatively, so that it covers a delayed acknowledgment.
    latest: Option<Instant>,
    earliest: Option<Instant>,
    /// Something of it was sent once, and before the present loss recovery.
    pub(in crate::tcp) original: bool,
    /// Something of it was sent more than once.
    pub(in crate::tcp) resent: bool,
    /// The first of what is acknowledged cumulatively was sent more than once: the rest may have waited for it.
    waited: Option<bool>,
    /// Bytes that were sent again, and arrived sooner than the repetition could have.
    pub(super) early: u32,
    /// Something sent once came later than what was sent after it.
    pub(super) reordered: bool,
}

impl Delivery {
    pub(in crate::tcp) fn new(
        now: Instant,
        least_rtt: Duration,
        high: Seq,
        fack: Seq,
        began: Instant,
    ) -> Self {
        Delivery {
            now,
            least_rtt,
            high,
            fack,
            began,
            bytes: 0,
            acked: 0,
            sacked: 0,
            newest: None,
            latest: None,
            earliest: None,
            original: false,
            resent: false,
            waited: None,
            early: 0,
            reordered: false,
        }
    }

    /// All that was outstanding has arrived: `sent`, once.
    pub(super) fn whole(now: Instant, sent: &Sent) -> Self {
        let (bytes, at) = (sent.len(), Some(sent.at));
        Delivery {
            bytes,
            acked: bytes,
            newest: Some((sent.at, sent.end)),
            latest: at,
            earliest: at,
            // Of use to who doubts a timeout, and there was none.
            original: true,
            waited: Some(false),
            ..Delivery::new(now, Duration::ZERO, sent.end, sent.end, now)
        }
    }

    /// The shortest round trip in it, of what was sent only once (Karn's algorithm). None when something else is
    /// acknowledged with it: the rest may have been waiting for that.
    pub(in crate::tcp) fn rtt(&self) -> Option<Duration> {
        self.latest.filter(|_| !self.resent).map(|at| self.now.since(at))
    }

    /// The round trip for the retransmission timeout: the peer's delay counts. What was sent once and had nothing missing
    /// before it is a sample even if something behind it was sent again: else tail probes that come too soon, one in
    /// each round trip, would keep the round trip from being known for longer, and themselves from coming later.
    pub(in crate::tcp) fn patient_rtt(&self) -> Option<Duration> {
        self.earliest.filter(|_| self.waited == Some(false)).map(|at| self.now.since(at))
    }

    /// `record` (or as much of it as is meant) has arrived.
    fn note(&mut self, record: &Sent, cumulative: bool) {
        self.bytes += record.len();
        if cumulative {
            self.waited.get_or_insert(record.resent);
        }
        if record.resent {
            self.resent = true;
        } else {
            self.original |= record.end.le(self.high);
            self.latest = self.latest.max(Some(record.at));
            if cumulative {
                self.earliest = Some(self.earliest.map_or(record.at, |at| at.min(record.at)));
            }
        }
        // RFC 8985 section 6.2 step 2: the original's acknowledgment says nothing of when the repetition arrived …
        let ambiguous = record.resent && self.now.since(record.at) < self.least_rtt;
        // … but that the original was only late. Else a path on which everything late is sent again at once would never
        // be known for one that reorders.
        self.reordered |= (!record.resent || ambiguous) && record.end.lt(self.fack);
        self.fack = self.fack.max(record.end);
        if ambiguous && record.at >= self.began {
            self.early += record.len();
        }
        if !ambiguous && self.newest.is_none_or(|newest| !record.is_before(newest)) {
            self.newest = Some((record.at, record.end));
        }
    }
}

/// The records, and their sums.
#[derive(Debug, Default)]
pub(in crate::tcp) struct Flight {
    records: Few<Sent>,
    sacked: u32,
    lost: u32,
    /// No record before it is marked lost.
    lost_from: Seq,
    /// Records that were SACKed since nothing was.
    sacked_segments: u32,
    /// Bytes that duplicate acknowledgments of a peer without SACK stand for: they have arrived, nobody knows which.
    duplicates: u32,
}

impl Flight {
    /// Bytes between SND.UNA and SND.NXT.
    pub(in crate::tcp) fn outstanding(&self) -> u32 {
        match (self.records.front(), self.records.back()) {
            (Some(first), Some(last)) => first.start.distance_to(last.end),
            _ => 0,
        }
    }

    /// RFC 6675 section 4, `pipe`: bytes that are in the network, as far as is known.
    pub(in crate::tcp) fn pipe(&self) -> u32 {
        self.outstanding().saturating_sub(self.sacked + self.lost + self.duplicates)
    }

    /// Bytes that wait to be sent again.
    pub(in crate::tcp) fn lost(&self) -> u32 {
        self.lost
    }

    /// Bytes that the peer holds beyond a hole.
    pub(in crate::tcp) fn sacked(&self) -> u32 {
        self.sacked
    }

    pub(super) fn sacked_segments(&self) -> u32 {
        self.sacked_segments
    }

    /// No further record fits.
    pub(in crate::tcp) fn is_full(&self) -> bool {
        self.records.len() >= MAX_RECORDS
    }

    /// The records, in the order of their numbers.
    pub(in crate::tcp) fn records(&self) -> impl DoubleEndedIterator<Item = &Sent> {
        self.records.iter()
    }

    /// How many there are.
    pub(in crate::tcp) fn count(&self) -> usize {
        self.records.len()
    }

    pub(in crate::tcp) fn clear(&mut self) {
        *self = Flight::default();
    }

    /// `[start, end)` goes out for the first time; it follows what is outstanding.
    pub(in crate::tcp) fn push(&mut self, now: Instant, start: Seq, end: Seq) {
        debug_assert!(self.records.back().is_none_or(|last| last.end == start), "records are contiguous");
        self.records.push_back(Sent { start, end, at: now, sacked: false, lost: false, resent: false });
    }

    /// `[start, end)`, which was sent before, goes out again.
    pub(in crate::tcp) fn resend(&mut self, now: Instant, start: Seq, end: Seq) {
        self.cut(start);
        self.cut(end);
        let range = self.range(start, end);
        for record in self.records.range_mut(range.clone()).filter(|record| !record.sacked) {
            if std::mem::take(&mut record.lost) {
                self.lost -= record.start.distance_to(record.end);
            }
            record.resent = true;
            record.at = now;
        }
        self.unite(range);
    }

    /// How long any of it will have taken says nothing: as of what has been sent more than once (Karn's algorithm).
    pub(in crate::tcp) fn forget_times(&mut self) {
        self.records.iter_mut().for_each(|record| record.resent = true);
    }

    /// All before `una` is acknowledged.
    pub(in crate::tcp) fn acknowledge(&mut self, una: Seq, delivery: &mut Delivery) {
        while let Some(first) = self.records.front_mut()
            && first.start.lt(una)
        {
            let mut gone = *first;
            gone.end = gone.end.min(una);
            if gone.end == first.end {
                self.records.pop_front();
            } else {
                first.start = una;
            }
            delivery.acked += gone.len();
            if gone.lost {
                self.lost -= gone.len();
            }
            if gone.sacked {
                self.sacked -= gone.len();
            } else {
                delivery.note(&gone, true);
            }
        }
        if self.sacked == 0 {
            self.sacked_segments = 0;
        }
        self.records.give_back();
    }

    /// Takes the only record, if it ends at `una`, and nothing is known of it but that it was sent once.
    #[inline(always)]
    pub(super) fn take_only(&mut self, una: Seq) -> Option<Sent> {
        let only = *self.records.front().filter(|_| self.records.len() == 1)?;
        let is_plain = !(only.sacked || only.lost || only.resent) && self.duplicates == 0;
        if !is_plain || only.end != una {
            return None;
        }
        self.records.pop_front();
        self.records.give_back();
        self.sacked_segments = 0;
        Some(only)
    }

    /// The peer holds the block. What lies outside of what is outstanding says nothing.
    pub(in crate::tcp) fn sack(&mut self, block: SackBlock, delivery: &mut Delivery) {
        if !self.can_be(block) {
            return;
        }
        for edge in [block.left, block.right] {
            if !self.is_full() {
                self.cut(edge);
            }
        }
        let range = self.range(block.left, block.right);
        for record in self.records.range_mut(range.clone()) {
            let whole = record.start.ge(block.left) && record.end.le(block.right);
            if record.sacked || !whole {
                continue;
            }
            record.sacked = true;
            let len = record.len();
            if std::mem::take(&mut record.lost) {
                self.lost -= len;
            }
            self.sacked += len;
            self.sacked_segments += 1;
            delivery.sacked += len;
            delivery.note(record, false);
        }
        let around = range.start.saturating_sub(1)..(range.end + 1).min(self.records.len());
        self.unite(around);
    }

    fn can_be(&self, block: SackBlock) -> bool {
        let (Some(first), Some(last)) = (self.records.front(), self.records.back()) else { return false };
        block.left.lt(block.right) && block.left.gt(first.start) && block.right.le(last.end)
    }

    /// A peer without SACK has acknowledged the same again: a segment of `size` bytes has arrived.
    pub(in crate::tcp) fn count_duplicate(&mut self, size: u32) {
        let most = self.outstanding().saturating_sub(size);
        self.duplicates = self.duplicates.max((self.duplicates + size).min(most));
    }

    /// Bytes that the peer without SACK has got in disorder.
    pub(in crate::tcp) fn duplicates(&self) -> u32 {
        self.duplicates
    }

    /// `acked` bytes more are acknowledged: one segment of them was missing, the others had been counted.
    pub(in crate::tcp) fn forget_duplicates(&mut self, acked: u32, size: u32) {
        self.duplicates = self.duplicates.saturating_sub(acked.saturating_sub(size)).min(self.outstanding());
    }

    /// The peer's duplicates say nothing any more.
    pub(in crate::tcp) fn clear_duplicates(&mut self) {
        self.duplicates = 0;
    }

    /// Marks what `is_lost` says, in order, until it says `None`, and returns the bytes that were not marked before. It is
    /// not asked about what is SACKed or marked.
    pub(in crate::tcp) fn mark_lost(&mut self, mut is_lost: impl FnMut(&Sent) -> Option<bool>) -> u32 {
        let before = self.lost;
        for record in self.records.iter_mut().filter(|record| !record.sacked && !record.lost) {
            let Some(lost) = is_lost(record) else { break };
            if lost {
                record.lost = true;
                self.lost_from = if self.lost == 0 { record.start } else { self.lost_from.min(record.start) };
                self.lost += record.len();
            }
        }
        self.lost - before
    }

    /// The first record is to be sent again, whatever it is. Returns the bytes that were not marked before.
    pub(in crate::tcp) fn mark_first_lost(&mut self) -> u32 {
        let first = self.records.front().map(|record| record.start);
        self.mark_lost(|record| (Some(record.start) == first).then_some(true))
    }

    /// Nothing is believed lost any more.
    pub(in crate::tcp) fn forget_losses(&mut self) {
        self.lost = 0;
        self.records.iter_mut().for_each(|record| record.lost = false);
    }

    /// The peer has thrown away what it had SACKed (RFC 2018 section 8): the first record says so itself.
    pub(in crate::tcp) fn forget_sacks_if_reneged(&mut self) {
        if self.records.front().is_some_and(|first| first.sacked) {
            self.sacked = 0;
            self.sacked_segments = 0;
            self.records.iter_mut().for_each(|record| record.sacked = false);
        }
    }

    /// The first stretch that has to be sent again, `limit` bytes of it at most; small neighbours go together.
    pub(in crate::tcp) fn next_lost(&mut self, limit: u32) -> Option<(Seq, Seq)> {
        if self.lost == 0 {
            return None;
        }
        let from = self.records.partition_point(|record| record.end.le(self.lost_from));
        let mut stretch = self.records.iter().skip(from).skip_while(|record| !record.lost);
        let first = stretch.next()?;
        let (start, mut end) = (first.start, first.end);
        for record in stretch.take_while(|record| record.lost) {
            if start.distance_to(end) >= limit {
                break;
            }
            end = record.end;
        }
        self.lost_from = start;
        Some((start, end.min(start.advance(limit))))
    }

    /// What was sent last, `limit` bytes of it at most: the end of the flight.
    pub(in crate::tcp) fn tail(&self, limit: u32) -> Option<(Seq, Seq)> {
        let last = self.records.back()?;
        Some((last.start.max(last.end.retreat(limit)), last.end))
    }

    /// Indices of the records that overlap `[start, end)`.
    fn range(&self, start: Seq, end: Seq) -> Range<usize> {
        let from = self.records.partition_point(|record| record.end.le(start));
        let to = self.records.partition_point(|record| record.start.lt(end));
        from..to.max(from)
    }

    /// Makes `at` an edge between records, if it lies in one.
    fn cut(&mut self, at: Seq) {
        let index = self.records.partition_point(|record| record.end.le(at));
        let Some(record) = self.records.range_mut(index..index + 1).next() else { return };
        if record.sacked || !record.start.lt(at) {
            return;
        }
        let mut rest = *record;
        record.end = at;
        rest.start = at;
        self.records.many().insert(index + 1, rest);
    }

    /// Neighbours within `range` of which the same is known become one.
    fn unite(&mut self, range: Range<usize>) {
        if range.len() < 2 {
            return;
        }
        let records = self.records.many();
        let mut kept = range.start;
        for index in range.start + 1..range.end {
            let record = records[index];
            let last = &mut records[kept];
            let alike = (last.sacked && record.sacked)
                || (last.at, last.sacked, last.lost, last.resent)
                    == (record.at, record.sacked, record.lost, record.resent);
            if alike {
                last.end = record.end;
            } else {
                kept += 1;
                records[kept] = record;
            }
        }
        if kept + 1 < range.end {
            records.drain(kept + 1..range.end);
        }
    }
}
