//! SYN cookies (RFC 4987 section 3.6): the number of a SYN-ACK that shows, when somebody acknowledges it, that a SYN came and
//! what it said. Nothing is kept of it meanwhile, so a flood of SYNs takes no memory and displaces nobody.
//!
//! The number is a keyed hash of 24 bits over the flow's key, the client's number, the time and the lowest byte; and that byte:
//! what of the SYN's options has to be known later, and whether the time was odd. It is written under the highest byte of the
//! hash, so that it looks like any other. A window scale and SACK need no timestamps for this, unlike in Linux.
//!
//! SipHash-2-4, as for the control core's own numbers: a peer sees these values. Who knows neither key nor number has to guess
//! 24 bits in 34 to 69 seconds, as with the cookies of Linux and FreeBSD.

use std::time::Duration;

use crate::clock::Instant;
use crate::flow::quad::{Addresses, Quad, Segment};
use crate::packet::TcpHeaders;
use crate::siphash::SipHash;
use crate::wire::seq::Seq;
use crate::wire::tcp_options::{SynOptions, TcpOptions, Timestamps};

/// A period is 2^35 ns, some 34 s. A cookie is good for what is left of its own and for the next one.
const PERIOD_SHIFT: u32 = 35;
/// How long after the last cookie an acknowledgment may answer one.
pub const LIFE: Duration = Duration::from_nanos(2 << PERIOD_SHIFT);

/// Window scale of the answer to a SYN whose server nobody has heard.
pub const SHIFT: u8 = 7;
/// Its window: what a client may say before its server is known. A larger promise would keep the flow from merging until the
/// server has room for all of it.
pub const WINDOW: u16 = 16 * 1024;

/// What fits an Ethernet: most servers promise no larger segments, and where a client has been promised more than its server
/// takes, the flow is relayed for its whole life.
pub const MTU: u16 = 1500;

/// Segment sizes that a cookie can name, by family: the largest that is not above the client's.
const MSS: [[u16; 8]; 2] =
    [[216, 536, 1220, 1360, 1400, 1440, 1460, 8960], [536, 1220, 1340, 1380, 1400, 1420, 1440, 8940]];
/// The same of window scales. A client's that stands between two passes for the lower one, so that nobody ever sends it more
/// than it has room for.
const SHIFTS: [u8; 7] = [0, 2, 4, 6, 7, 8, 10];

/// The largest that counts (RFC 7323 section 2.3).
const MAX_SHIFT: usize = 14;
/// By the client's: how many of them are not above it.
const SHIFT_INDICES: [u8; MAX_SHIFT + 1] = {
    let mut indices = [0; MAX_SHIFT + 1];
    let mut shift = 0;
    while shift < indices.len() {
        while (indices[shift] as usize) < SHIFTS.len() && SHIFTS[indices[shift] as usize] as usize <= shift {
            indices[shift] += 1;
        }
        shift += 1;
    }
    indices
};

/// What a cookie says about the options of its SYN: an index into [`MSS`], one into [`SHIFTS`] from 1 on, or 0 without
/// scaling, and whether SACK is permitted. Timestamps come again with the acknowledgment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms(u8);

impl Terms {
    const SHIFT_AT: u8 = 3;
    const SACK: u8 = 1 << 6;
    const INDEX: u8 = 7;

    /// Of a SYN, unless its segments have to be smaller than a cookie can say.
    #[inline]
    pub fn of(syn: SynOptions, is_v6: bool) -> Option<Terms> {
        let mss = if syn.mss() == 0 { default_mss(is_v6) } else { syn.mss() };
        // Nearly every client's is among the largest.
        let size = MSS[usize::from(is_v6)].iter().rposition(|size| *size <= mss)? as u8;
        let shift = syn.window_scale().map_or(0, |shift| SHIFT_INDICES[usize::from(shift).min(MAX_SHIFT)]);
        Some(Terms(size | shift << Terms::SHIFT_AT | if syn.sack_permitted() { Terms::SACK } else { 0 }))
    }

    /// The options of a SYN that says the same; its timestamps are those of the acknowledgment.
    pub fn options(self, is_v6: bool, timestamps: Option<Timestamps>) -> TcpOptions {
        let shift = self.0 >> Terms::SHIFT_AT & Terms::INDEX;
        TcpOptions {
            mss: Some(MSS[usize::from(is_v6)][usize::from(self.0 & Terms::INDEX)]),
            window_scale: usize::from(shift).checked_sub(1).map(|index| SHIFTS[index]),
            sack_permitted: self.0 & Terms::SACK != 0,
            timestamps,
            ..TcpOptions::default()
        }
    }
}

/// RFC 9293 section 3.7.1.
const fn default_mss(is_v6: bool) -> u16 {
    if is_v6 { 1220 } else { 536 }
}

/// What a SYN is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// The SYN-ACK's number.
    pub seq: Seq,
    /// Its TSval, if the SYN has timestamps: anything that nobody can guess, as the acknowledgment brings it back.
    pub clock: u32,
}

/// Makes cookies, and knows its own.
#[derive(Clone)]
pub struct Cookies(SipHash);

/// The odd or even period, in a cookie's lowest byte.
const ODD: u8 = 1 << 7;

impl Cookies {
    /// From 128 bits of the system's generator, or of a simulation's seed.
    pub fn new(key: [u64; 2]) -> Cookies {
        Cookies(SipHash::new(key))
    }

    /// For a SYN.
    #[inline(always)]
    pub fn make(&self, now: Instant, syn: &TcpHeaders, terms: Terms) -> Cookie {
        let period = now.as_nanos() >> PERIOD_SHIFT;
        let low = terms.0 | if period % 2 == 1 { ODD } else { 0 };
        let mac = self.mac(syn, syn.seq, period, low);
        let high = mac as u32 & !0xff;
        Cookie { seq: Seq(high | u32::from(low ^ (high >> 24) as u8)), clock: (mac >> 32) as u32 }
    }

    /// What the SYN said, if `ack` acknowledges a cookie that was made for it and is still good. A segment that carries data
    /// does so as well as a bare ACK, as long as it is the client's first. The clock that it echoes, if any, has to be the
    /// cookie's: so hardly a segment of another connection is taken for one.
    pub fn check(&self, now: Instant, ack: &TcpHeaders, echo: Option<u32>) -> Option<Terms> {
        let cookie = ack.ack.retreat(1).0;
        let low = cookie as u8 ^ (cookie >> 24) as u8;
        let this = now.as_nanos() >> PERIOD_SHIFT;
        let is_odd = low & ODD != 0;
        let period = if (this % 2 == 1) == is_odd { this } else { this.checked_sub(1)? };
        let mac = self.mac(ack, ack.seq.retreat(1), period, low);
        let is_shown = |echo| echo == (mac >> 32) as u32;
        let is_ours = mac as u32 & !0xff == cookie & !0xff && echo.is_none_or(is_shown);
        is_ours.then_some(Terms(low & !ODD))
    }

    /// Of 23 bytes for IPv4, 47 for IPv6: what is beyond whole words has room in one beside the length. Of the period 16 bits above the
    /// lowest, which is in `low`: they come again after 52 days, and with them, for a minute, whoever has kept a cookie for so long.
    ///
    /// Neighbouring fields stand in different words: read together, they would have to be waited for, as they were written one by one.
    #[inline(always)]
    fn mac(&self, headers: &TcpHeaders, isn: Seq, period: u64, low: u8) -> u64 {
        let Quad { addresses, client_port, server_port } = &headers.quad;
        let Segment(segment) = headers.segment;
        let client = u64::from(*client_port) << 32 | u64::from(segment as u16) << 48;
        let server = u64::from(*server_port) << 32 | u64::from((segment >> 16) as u16) << 48;
        let said = u64::from(isn.0) | u64::from((period >> 1) as u16) << 32 | u64::from(low) << 48;
        match addresses {
            Addresses::V4(source, destination) => {
                let [source, destination] =
                    [source, destination].map(|address| u64::from(u32::from_le_bytes(*address)));
                self.0.of([source | client, destination | server], said)
            }
            Addresses::V6(source, destination) => {
                let ([a, b], [c, d]) = (halves(source), halves(destination));
                self.0.of([a, b, c, d, client | server >> 32], said)
            }
        }
    }
}

/// The two words of an address.
#[inline(always)]
fn halves(address: &[u8; 16]) -> [u64; 2] {
    let all = u128::from_le_bytes(*address);
    [all as u64, (all >> 64) as u64]
}

#[cfg(test)]
mod tests;
