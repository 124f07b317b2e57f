//! TCP headers (RFC 9293 section 3.1).
//!
//! No input panics: views are built from slices that are long enough, or not at all.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{Sum, Update};
use super::ip;
use super::seq::Seq;
use super::tcp_flags::TcpFlags;
use super::tcp_options::{self, TcpOptions};
use crate::counters::Counter;
use crate::flow::quad::Addresses;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub const MAX_HEADER_LEN: usize = 60;
/// Bytes that an ICMP error quotes at least (RFC 792): both ports and the sequence number.
pub const QUOTED_LEN: usize = 8;
/// The sequence number, bytes from the header's start.
pub const SEQ_OFFSET: usize = 4;
/// The acknowledgment number, bytes from the header's start.
pub const ACK_OFFSET: usize = 8;
/// The window, bytes from the header's start.
pub const WINDOW_OFFSET: usize = 14;
/// The checksum, bytes from the header's start.
pub const CHECKSUM_OFFSET: usize = 16;

/// The control bits in the word that the data offset begins, AE included (RFC 9768 section 3.1).
const FLAGS_MASK: u16 = 0x01ff;

/// The fixed part of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TcpHeader {
    /// Source port.
    pub source_port: U16,
    /// Destination port.
    pub destination_port: U16,
    seq: U32,
    ack: U32,
    offset_flags: U16,
    /// Window, unscaled.
    pub window: U16,
    /// Checksum over pseudo-header, header and payload.
    pub checksum: U16,
    /// Urgent pointer; significant only with URG.
    pub urgent: U16,
}

impl TcpHeader {
    /// The fixed header at the start of `segment`, nothing of it checked.
    pub fn view(segment: &[u8]) -> Option<&TcpHeader> {
        Some(Self::ref_from_prefix(segment).ok()?.0)
    }

    /// The fixed header at the start of `segment`, mutable.
    pub fn view_mut(segment: &mut [u8]) -> Option<&mut TcpHeader> {
        Some(Self::mut_from_prefix(segment).ok()?.0)
    }

    /// One without options, window or urgent pointer, and no checksum yet.
    pub fn bare(source_port: u16, destination_port: u16, seq: Seq, ack: Seq, flags: TcpFlags) -> TcpHeader {
        TcpHeader {
            source_port: source_port.into(),
            destination_port: destination_port.into(),
            seq: seq.0.into(),
            ack: ack.0.into(),
            offset_flags: U16::new((HEADER_LEN as u16 / 4) << 12 | flags.0 & FLAGS_MASK),
            window: U16::ZERO,
            checksum: U16::ZERO,
            urgent: U16::ZERO,
        }
    }

    /// Sequence number.
    pub fn seq(&self) -> Seq {
        Seq(self.seq.get())
    }

    /// Acknowledgment number; significant only with ACK.
    pub fn ack(&self) -> Seq {
        Seq(self.ack.get())
    }

    /// Header with options, bytes: 0–60, valid from 20.
    pub fn header_len(&self) -> usize {
        usize::from(self.offset_flags.get() >> 12) * 4
    }

    /// Makes the header `len` bytes longer, a multiple of 4: what follows it becomes options. `None`, and nothing done, when
    /// it cannot be as long.
    pub fn grow(&mut self, len: usize) -> Option<()> {
        let header_len = self.header_len().checked_add(len).filter(|all| *all <= MAX_HEADER_LEN)?;
        let words = header_len.is_multiple_of(4).then_some(header_len as u16 / 4)?;
        self.offset_flags.set(self.offset_flags.get() & 0x0fff | words << 12);
        Some(())
    }

    /// Makes the header `len` bytes shorter, a multiple of 4: as much of its options is gone. `None`, and nothing done, when
    /// it has no such options.
    pub fn shrink(&mut self, len: usize) -> Option<()> {
        let header_len = self.header_len().checked_sub(len).filter(|all| *all >= HEADER_LEN)?;
        let words = header_len.is_multiple_of(4).then_some(header_len as u16 / 4)?;
        self.offset_flags.set(self.offset_flags.get() & 0x0fff | words << 12);
        Some(())
    }

    /// Neither port is 0.
    #[inline]
    pub fn has_ports(&self) -> bool {
        self.source_port.get() != 0 && self.destination_port.get() != 0
    }

    /// Control bits.
    pub fn flags(&self) -> TcpFlags {
        TcpFlags(self.offset_flags.get() & FLAGS_MASK)
    }

    /// Sets the control bits.
    pub fn set_flags(&mut self, flags: TcpFlags) {
        self.offset_flags.set(self.offset_flags.get() & !FLAGS_MASK | flags.0 & FLAGS_MASK);
    }

    /// Takes back the urgent pointer; the checksum follows.
    pub fn clear_urgent(&mut self) {
        let mut update = Update::NONE;
        self.edit_flags(self.flags().without(TcpFlags::URG), &mut update);
        self.update_checksum(update);
    }

    /// Sets the sequence number and notes the edit.
    pub fn edit_seq(&mut self, seq: Seq, update: &mut Update) {
        update.word32(self.seq.get(), seq.0);
        self.seq.set(seq.0);
    }

    /// Sets the acknowledgment number and notes the edit.
    pub fn edit_ack(&mut self, ack: Seq, update: &mut Update) {
        update.word32(self.ack.get(), ack.0);
        self.ack.set(ack.0);
    }

    /// Sets the control bits and takes back the urgent pointer, and notes the edits.
    pub fn edit_flags(&mut self, flags: TcpFlags, update: &mut Update) {
        let (before, urgent) = (self.offset_flags.get(), self.urgent.get());
        self.set_flags(flags);
        self.urgent.set(0);
        update.word16(before, self.offset_flags.get());
        update.word16(urgent, 0);
    }

    /// The segment goes back to where it came from, as a new one with options as long. The checksum is of what is `around`, too:
    /// pseudo-header, options and payload.
    #[inline(always)]
    pub fn turn_round(&mut self, seq: Seq, ack: Seq, flags: TcpFlags, window: u16, around: Sum) {
        let [ports, .., flags_window, _]: [[u8; 4]; HEADER_LEN / 4] = zerocopy::transmute!(*self);
        let ports = u32::from_ne_bytes(ports).rotate_left(16).to_ne_bytes();
        let offset_flags =
            u16::from_be_bytes([flags_window[0], flags_window[1]]) & !FLAGS_MASK | flags.0 & FLAGS_MASK;
        let flags_window = (u32::from(offset_flags) << 16 | u32::from(window)).to_be_bytes();
        let mut words = [ports, seq.0.to_be_bytes(), ack.0.to_be_bytes(), flags_window, [0; 4]];
        let [a, b] = (Sum::of_words(&words) + around).checksum().to_be_bytes();
        words[4] = [a, b, 0, 0];
        *self = zerocopy::transmute!(words);
    }

    /// Sets the window and notes the edit.
    pub fn edit_window(&mut self, window: u16, update: &mut Update) {
        update.word16(self.window.get(), window);
        self.window.set(window);
    }

    /// Applies edits to the checksum (RFC 1624); a wrong one stays as wrong as it was.
    pub fn update_checksum(&mut self, update: Update) {
        self.checksum.set(update.apply(self.checksum.get()));
    }
}

/// A header without ports as a value: what a TCP speaks, on a connection that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TcpRepr {
    /// Sequence number.
    pub seq: Seq,
    /// Acknowledgment number; zero without ACK.
    pub ack: Seq,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window, unscaled.
    pub window: u16,
    /// Urgent pointer; zero without URG.
    pub urgent: u16,
    /// Options.
    pub options: TcpOptions,
}

impl TcpRepr {
    /// Reads a header whose options are sound; `None` otherwise. Ports and checksum are not looked at.
    pub fn parse(segment: &[u8]) -> Option<TcpRepr> {
        let header = TcpHeader::view(segment)?;
        Some(TcpRepr {
            seq: header.seq(),
            ack: header.ack(),
            flags: header.flags(),
            window: header.window.get(),
            urgent: header.urgent.get(),
            options: TcpOptions::parse(segment.get(HEADER_LEN..header.header_len())?).ok()?,
        })
    }

    /// Bytes of the header that [`TcpRepr::emit`] writes, 20–60.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        HEADER_LEN + self.options.emitted_len()
    }

    /// Writes the header at the start of `out`, the checksum as zero, and returns its length; `None` (and nothing
    /// written) when `out` is shorter.
    #[inline(always)]
    pub fn emit(&self, source_port: u16, destination_port: u16, out: &mut [u8]) -> Option<usize> {
        self.emit_as(self.header_len(), source_port, destination_port, out)
    }

    /// The same, where [`TcpRepr::header_len`] has been asked already; with any other length it is a segment that means nothing.
    #[inline(always)]
    pub(super) fn emit_as(
        &self,
        header_len: usize,
        source_port: u16,
        destination_port: u16,
        out: &mut [u8],
    ) -> Option<usize> {
        debug_assert_eq!(header_len, self.header_len());
        let (fixed, options) = out.get_mut(..header_len)?.split_at_mut_checked(HEADER_LEN)?;
        let header = TcpHeader {
            source_port: U16::new(source_port),
            destination_port: U16::new(destination_port),
            seq: U32::new(self.seq.0),
            ack: U32::new(self.ack.0),
            offset_flags: U16::new((header_len as u16 / 4) << 12 | self.flags.0 & FLAGS_MASK),
            window: U16::new(self.window),
            checksum: U16::ZERO,
            urgent: U16::new(self.urgent),
        };
        fixed.copy_from_slice(header.as_bytes());
        // As in nearly all segments of a flow without timestamps.
        if !options.is_empty() {
            self.options.emit(options);
        }
        Some(header_len)
    }
}

/// Combinations of the five control bits that count, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Combinations(u32);

impl Combinations {
    /// What a stack sends.
    ///
    /// SYN+FIN (T/TCP is historic, RFC 6247) and SYN+RST contradict themselves. Without SYN, RST and ACK a segment can
    /// belong to no state (RFC 9293 section 3.10.7.4, fifth: "if the ACK bit is off, drop the segment"): the null, FIN and
    /// Xmas scans. FIN+RST passes: receivers read it as a RST, which comes first in the order of checks.
    pub const SOUND: Combinations = Combinations::opening(true).or(Combinations::opening(false));
    /// Those that begin a connection: SYN without ACK.
    pub const OPENING: Combinations = Combinations::opening(true);
    /// All others.
    pub const LATER: Combinations = Combinations::opening(false);

    const fn opening(opening: bool) -> Combinations {
        let (mut bits, mut flags) = (0, TcpFlags(0));
        while flags.0 < 32 {
            let contradicts =
                if flags.syn() { flags.fin() || flags.rst() } else { !flags.rst() && !flags.ack() };
            let opens = flags.syn() && !flags.ack();
            bits |= ((!contradicts && opens == opening) as u32) << flags.0;
            flags.0 += 1;
        }
        Combinations(bits)
    }

    const fn or(self, other: Combinations) -> Combinations {
        Combinations(self.0 | other.0)
    }

    /// Whether it is one of them.
    #[inline(always)]
    pub const fn has(self, flags: TcpFlags) -> bool {
        self.0 >> (flags.0 & 31) & 1 != 0
    }
}

/// Checks the segment in `bytes` (header to end of the datagram) and returns its fixed header and header length.
///
/// The checksum is not looked at. A `first_fragment` that does not hold the whole header, options included, is too
/// small to be honest (RFC 1858 section 3): every link carries 68 bytes, and hosts send 576.
#[inline]
pub fn segment(bytes: &[u8], first_fragment: bool) -> Result<(&TcpHeader, usize), Counter> {
    let cut_off = if first_fragment { Counter::DropTinyFragment } else { Counter::DropMalformedTcp };
    let header = TcpHeader::view(bytes).ok_or(cut_off)?;
    let header_len = header.header_len();
    if header_len < HEADER_LEN {
        return Err(Counter::DropMalformedTcp);
    }
    let options = bytes.get(HEADER_LEN..header_len).ok_or(cut_off)?;
    if !Combinations::SOUND.has(header.flags()) {
        return Err(Counter::DropTcpFlags);
    }
    if !header.has_ports() {
        return Err(Counter::DropTcpPortZero);
    }
    tcp_options::check(options).map_err(|_| Counter::DropTcpOptions)?;
    Ok((header, header_len))
}

/// A whole segment (header to end of payload) and what stands for the datagram around it (RFC 9293 section 3.1).
#[inline]
fn sum(segment: &[u8], addresses: &Addresses) -> Sum {
    Sum::pseudo_header(addresses, ip::PROTOCOL_TCP, segment.len() as u32) + Sum::of(segment)
}

/// Whether a whole segment carries the right checksum.
pub fn is_checksum_valid(segment: &[u8], addresses: &Addresses) -> bool {
    sum(segment, addresses).is_valid()
}

/// Writes the checksum of a whole segment; nothing happens to one shorter than a header.
#[inline(always)]
pub fn fill_checksum(segment: &mut [u8], addresses: &Addresses) {
    if let Some(header) = TcpHeader::view_mut(segment) {
        header.checksum = U16::ZERO;
        let checksum = sum(segment, addresses).checksum();
        segment[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_be_bytes());
    }
}
