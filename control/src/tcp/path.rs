//! How large a segment the path takes: what ICMP says (RFC 1191, RFC 8201), as far as it can be believed (RFC 5927), what
//! silence says (RFC 4821 and RFC 8899 in spirit), and larger segments tried again later.
//!
//! All sizes are in terms of the MSS option: IP datagram less 40 or 60 bytes, TCP options included.

use std::time::Duration;

use dataplane::buffer::Buffer;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;

use super::block::Block;
use super::congestion::Congestion;

/// A peer that announces less than this gets it nonetheless: beside 40 bytes of options it leaves 8 of payload. It is
/// Linux's bound (`tcp_min_snd_mss`, CVE-2019-11479), and not a larger one, because hosts that announce 54 or 86 exist
/// (uIP behind one small frame buffer) and lose what is larger. What small segments can cost us is bounded by the
/// number of segments that a leg may have outstanding.
pub(super) const MIN_MSS: u16 = 48;

/// RFC 1191 section 6.3 and RFC 8201 section 4: a larger size is tried this long after the last reduction.
const RAISE_AFTER: Duration = Duration::from_secs(600);

/// The same after a reduction that no router has asked for: the path may only have been down.
const RAISE_AFTER_SILENCE: Duration = Duration::from_secs(60);

/// So many timeouts in a row of a full segment make a path suspect to swallow what is too large …
const SUSPICIOUS_TIMEOUTS: u8 = 2;

/// … and so many one that has carried segments of that size before: it is more likely down than changed.
const SUSPICIOUS_TIMEOUTS_OF_PROVEN: u8 = 4;

/// IP version of a leg: how long headers are, and which bounds hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4: 40 bytes of headers.
    V4,
    /// IPv6: 60 bytes of headers.
    V6,
}

/// RFC 1191 section 7.1: sizes of datagrams that links are known for, for routers that do not say theirs.
const PLATEAUS: [u16; 11] = [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];

impl Family {
    /// Bytes of IP and TCP header without options.
    pub const fn headers(self) -> u16 {
        match self {
            Family::V4 => 40,
            Family::V6 => 60,
        }
    }

    /// No path is narrower: RFC 791 section 3.1, RFC 8200 section 5.
    pub const fn least_mtu(self) -> u16 {
        match self {
            Family::V4 => 68,
            Family::V6 => 1280,
        }
    }

    /// RFC 9293 section 3.7.1 (MUST-15): the segment size of a peer that has not said any.
    pub(crate) const fn default_mss(self) -> u16 {
        match self {
            Family::V4 => 536,
            Family::V6 => 1220,
        }
    }

    /// Where a path that swallows full segments is left: RFC 4821 section 7.2's initial value, then what every host and
    /// link must take.
    const fn refuges(self) -> &'static [u16] {
        match self {
            Family::V4 => &[1024, 536],
            Family::V6 => &[1220],
        }
    }
}

/// A segment larger than what the path is known to take.
#[derive(Debug, Clone, Copy)]
struct Probe {
    start: Seq,
    end: Seq,
    mss: u16,
}

/// What is known of a leg's path.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) family: Family,
    /// What segments keep to.
    mss: u16,
    /// What our own link takes.
    link: u16,
    /// When a larger size may be tried.
    raise_at: Option<Instant>,
    /// The next segment with enough to carry is to be one of this size.
    wanted: Option<u16>,
    probe: Option<Probe>,
    /// The end of a full segment sent once, and its size.
    candidate: Option<(Seq, u16)>,
    /// A size that has been acknowledged since the last reduction.
    acked: u16,
    /// A reduction that contradicts what has been acknowledged: it waits for a timeout of what it quotes.
    pending: Option<(Seq, u16)>,
    /// Timeouts in a row of the same full segment.
    timeouts: u8,
}

impl Default for Path {
    fn default() -> Self {
        Path {
            family: Family::V4,
            mss: u16::MAX,
            link: u16::MAX,
            raise_at: None,
            wanted: None,
            probe: None,
            candidate: None,
            acked: 0,
            pending: None,
            timeouts: 0,
        }
    }
}

impl Path {
    /// The size that a router's report means: RFC 1191 sections 4 and 5, RFC 8201 section 4. `None` for one that no router
    /// can mean.
    ///
    /// `mtu` is its next hop's, 0 from a router older than RFC 1191; `datagram` is the length of what it has dropped.
    fn reported(&self, mtu: u32, datagram: u16, present: u16) -> Option<u16> {
        let headers = self.family.headers();
        let mtu = match (self.family, u16::try_from(mtu).unwrap_or(u16::MAX)) {
            (Family::V4, 0) => {
                let dropped = datagram.min(present.saturating_add(headers));
                PLATEAUS.into_iter().find(|plateau| *plateau < dropped)?
            }
            (family, mtu) if mtu < family.least_mtu() => return None,
            (_, mtu) => mtu,
        };
        Some((mtu - headers).max(MIN_MSS))
    }

    /// The next size up: the next plateau, or all that link and peer take.
    fn larger(&self, ceiling: u16) -> u16 {
        let plateaus = PLATEAUS.into_iter().rev().map(|mtu| mtu.saturating_sub(self.family.headers()));
        plateaus.into_iter().find(|mss| *mss > self.mss).map_or(ceiling, |mss| mss.min(ceiling))
    }
}

impl<B: Buffer> Block<B> {
    /// The leg's IP version. To be said before the handshake; IPv4 otherwise.
    pub fn set_family(&mut self, family: Family) {
        self.path.family = family;
    }

    /// Our own link takes no segments larger than an MSS of `mss`, and never will.
    pub fn set_link_mss(&mut self, mss: u16) {
        self.path.link = self.path.link.min(mss.max(MIN_MSS));
        self.narrow_path(self.path.link);
    }

    /// A router has dropped the segment `quoted`, a datagram of `datagram` bytes, for its next hop takes no more than
    /// `mtu` (0: it does not say). The caller has checked that `quoted` is outstanding (RFC 5927 section 4.1).
    ///
    /// What would be larger than the present size is never believed. What contradicts sizes that have been acknowledged
    /// has to wait until the segment has timed out (RFC 5927 section 7.2): who guesses the numbers of one connection
    /// cannot make it slow. `false` for a report that no router can mean.
    pub fn on_packet_too_big(&mut self, now: Instant, quoted: Seq, mtu: u32, datagram: u16) -> bool {
        let present = self.path.mss.min(self.peer_mss());
        let Some(mss) = self.path.reported(mtu, datagram, present) else { return false };
        if mss >= present {
            if self.path.probe.is_some_and(|probe| probe.start.le(quoted) && quoted.lt(probe.end)) {
                self.give_up_probe(now);
                self.resend_larger_than(self.segment_size());
            }
        } else if self.path.acked > mss {
            self.path.pending = Some((quoted, mss));
        } else {
            self.path.raise_at = Some(now + RAISE_AFTER);
            self.narrow_path(mss);
        }
        true
    }

    /// Segments become smaller, never larger; what is outstanding in larger ones is sent again.
    fn narrow_path(&mut self, mss: u16) {
        let path = &mut self.path;
        (path.pending, path.wanted, path.probe, path.candidate) = (None, None, None, None);
        (path.acked, path.timeouts) = (0, 0);
        if mss >= path.mss {
            return;
        }
        path.mss = mss;
        self.congestion.set_segment_size(self.segment_size());
        if self.state.sends_data() {
            self.resend_larger_than(self.segment_size());
        }
    }

    /// The retransmission timer has expired: what is outstanding may have been too large for a path that does not say so.
    pub(super) fn suspect_path(&mut self, now: Instant) {
        if let Some((_, mss)) = self.path.pending.take() {
            self.path.raise_at = Some(now + RAISE_AFTER);
            return self.narrow_path(mss);
        }
        if self.path.probe.is_some() {
            return self.give_up_probe(now);
        }
        let full = self.segment_size();
        if self.snd.flight.records().next().is_none_or(|first| first.start.distance_to(first.end) < full) {
            return;
        }
        self.path.timeouts = self.path.timeouts.saturating_add(1);
        let present = self.path.mss.min(self.peer_mss());
        let refuge = self.path.family.refuges().iter().find(|mss| **mss < present);
        let is_proven = self.path.acked >= present;
        let patience = if is_proven { SUSPICIOUS_TIMEOUTS_OF_PROVEN } else { SUSPICIOUS_TIMEOUTS };
        if self.path.timeouts >= patience
            && let Some(refuge) = refuge
        {
            self.path.raise_at = Some(now + RAISE_AFTER_SILENCE);
            self.narrow_path(*refuge);
        }
    }

    /// A segment goes out.
    pub(super) fn note_size_sent(&mut self, now: Instant, start: Seq, len: u32, retransmission: bool) {
        let end = start.advance(len);
        let full = self.segment_size();
        if retransmission {
            // In smaller pieces it proves nothing any more.
            self.path.candidate = self.path.candidate.filter(|(known, _)| known.le(start) || len >= full);
            if self.path.probe.is_some_and(|probe| start.lt(probe.end) && end.gt(probe.start)) {
                self.give_up_probe(now);
            }
        } else if len > full {
            let mss = self.path.wanted.take().unwrap_or(self.path.mss);
            self.path.probe = Some(Probe { start, end, mss });
        } else if len == full && self.path.candidate.is_none() {
            self.path.candidate = Some((end, self.path.mss.min(self.peer_mss())));
        }
    }

    /// SND.UNA has advanced: what was acknowledged has passed the path.
    #[inline(always)]
    pub(super) fn note_size_acked(&mut self, now: Instant) {
        let una = self.snd.una;
        self.path.timeouts = 0;
        self.path.pending = self.path.pending.filter(|(quoted, _)| una.le(*quoted));
        if let Some((end, mss)) = self.path.candidate
            && end.le(una)
        {
            self.path.candidate = None;
            self.path.acked = mss;
        }
        let ceiling = self.peer_mss().min(self.path.link);
        if let Some(probe) = self.path.probe
            && probe.end.le(una)
        {
            self.path.probe = None;
            self.path.mss = probe.mss;
            self.path.acked = probe.mss;
            self.path.candidate = None;
            self.congestion.set_segment_size(self.segment_size());
        }
        if self.path.mss >= ceiling {
            self.path.raise_at = None;
        }
        if self.path.probe.is_none() && self.path.raise_at.is_some_and(|at| at <= now) {
            self.path.wanted = Some(self.path.larger(ceiling));
        }
    }

    /// The probe was too large. Its loss counts as any other: it comes once in ten minutes.
    fn give_up_probe(&mut self, now: Instant) {
        self.path.probe = None;
        self.path.wanted = None;
        self.path.raise_at = Some(now + RAISE_AFTER);
    }

    /// Bytes of payload for new data of which `available` can be sent: one segment larger than usual, when its time has
    /// come and there is enough to fill it.
    pub(super) fn fresh_limit(&self, available: u32) -> u32 {
        let usual = self.payload_limit();
        let spare = self.segment_size() - usual;
        if spare > 0 {
            // SACK blocks take its place: it would not be told from an ordinary one.
            return usual;
        }
        let probe = self.path.wanted.map(|mss| self.payload_within(mss));
        probe.filter(|probe| *probe <= available).unwrap_or(usual)
    }

    /// Bytes of payload in a full segment without SACK blocks (RFC 6691: the MSS less the options).
    pub(super) fn segment_size(&self) -> u32 {
        self.payload_within(self.peer_mss().min(self.path.mss))
    }

    fn payload_within(&self, mss: u16) -> u32 {
        u32::from(mss) - if self.timestamps { 12 } else { 0 }
    }

    /// Bytes of payload that the peer can put into a segment, by what we have promised.
    pub(super) fn peer_segment_size(&self) -> u32 {
        u32::from(self.offer.mss.unwrap_or(self.path.family.default_mss()))
    }

    fn peer_mss(&self) -> u16 {
        self.peer.mss.unwrap_or(self.path.family.default_mss()).max(MIN_MSS)
    }
}
