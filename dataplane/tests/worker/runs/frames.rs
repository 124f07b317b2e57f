//! Frames of all sorts: of connections that the worker knows, of others, and of none.

use dataplane::buffer::ChecksumHint;
use dataplane::flow::quad::Quad;
use dataplane::port::PortId;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::checksum::Sum;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::{TcpHeader, TcpRepr};
use dataplane::wire::tcp_flags::TcpFlags;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::bench::{CLIENT, SERVER, icmp_error};
use super::super::{ACK, SYN};

pub type Tags = &'static [(u16, u16)];

pub const PLAIN: Tags = &[];
pub const VLAN: Tags = &[(0x8100, 7)];
/// Beyond the far side of a flow.
pub const FAR: Tags = &[(0x8100, 20)];
const PRIORITY: Tags = &[(0x8100, 0xe000)];
const QINQ: Tags = &[(0x88a8, 9), (0x8100, 7)];

/// A connection between two ends, and how much each has sent.
#[derive(Clone)]
pub struct Talk {
    pub quad: Quad,
    /// Of what either end sends.
    tags: [Tags; 2],
    /// What it is rewritten by.
    pub deltas: [i32; 2],
    sent: [u32; 2],
}

impl Talk {
    /// `host` is the client's, and its port.
    pub fn new(v6: bool, host: u16, server_port: u16, tags: [Tags; 2], deltas: [i32; 2]) -> Talk {
        let (client, server) = match v6 {
            false => (format!("10.0.0.{host}:{}", 4000 + host), format!("10.0.1.1:{server_port}")),
            true => (format!("[fd00::{host}]:{}", 4000 + host), format!("[fd00::1:1]:{server_port}")),
        };
        let quad = Quad::between(client.parse().unwrap(), server.parse().unwrap()).unwrap();
        Talk { quad, tags, deltas, sent: [0; 2] }
    }

    /// The number of each end's first byte, as its own frames have it. The client's view of the server's is 501.
    pub fn first(&self) -> [u32; 2] {
        [101, 501u32.wrapping_sub_signed(self.deltas[1])]
    }

    /// What an end's next segment says: its sequence number, and its acknowledgment of all that the other one has sent.
    fn next(&self, from: usize) -> [u32; 2] {
        let first = self.first();
        let seq = first[from].wrapping_add(self.sent[from]);
        let other = first[1 - from].wrapping_add(self.sent[1 - from]);
        [seq, other.wrapping_add_signed(self.deltas[1 - from])]
    }

    /// A sound frame.
    pub fn frame(&mut self, from: usize, sort: &Sort, shift: [u32; 2], tags: Option<Tags>) -> Vec<u8> {
        let (flags, options, payload) = sort.parts();
        let [seq, ack] = self.next(from);
        if shift[0] == 0 && !flags.syn() {
            self.sent[from] = self.sent[from].wrapping_add(payload.len() as u32 + u32::from(flags.fin()));
        }
        // A SYN is one before what comes first, however often it is repeated.
        let seq = if flags.syn() { self.first()[from].wrapping_sub(1) } else { seq };
        let quad = if from == 0 { self.quad } else { self.quad.reversed() };
        let template = FrameTemplate::new([0xc; 6], [0xa; 6], tags.unwrap_or(self.tags[from]), 61, quad);
        let ack = if flags.ack() { ack.wrapping_add(shift[1]) } else { 0 };
        let seq = Seq(seq.wrapping_add(shift[0]));
        let tcp = TcpRepr { seq, ack: Seq(ack), flags, window: 1000, ..TcpRepr::default() };
        let behind = [options, payload].concat();
        let mut bytes = [0; 1700];
        let len = template.build(&tcp, &behind, &mut bytes).expect("it fits");
        let header = TcpHeader::view_mut(&mut bytes[template.l4()..]).unwrap();
        header.grow(options.len()).expect("whole words");
        template.fill_checksum(&mut bytes[..len]);
        bytes[..len].to_vec()
    }
}

/// What a segment is.
#[derive(Debug, Clone)]
pub enum Sort {
    Syn(&'static [u8]),
    SynAck,
    /// With options, and this text.
    Data(&'static [u8], &'static [u8]),
    Fin,
    Rst,
    /// Bits that do not go together, and those that mean nothing here.
    Flags(u16),
}

const TIMESTAMPS: &[u8] = &[1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 2, 0];
const SACK: &[u8] = &[1, 1, 5, 10, 0, 0, 0, 120, 0, 0, 0, 130];
/// As most clients send them: with timestamps, without, and with a segment size only.
const USUAL: [&[u8]; 3] = [
    &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 3, 7],
    &[2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2],
    &[2, 4, 5, 0xb4],
];
/// Sound in another order, Fast Open, a signature; a length that is wrong, an option beyond the header.
const UNUSUAL: [&[u8]; 6] = [
    &[],
    &[1, 1, 4, 2, 3, 3, 20, 1, 2, 4, 0, 0],
    &[34, 2, 1, 1],
    &[19, 18, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1, 1],
    &[2, 3, 5, 0xb4],
    &[1, 1, 8, 10],
];

impl Sort {
    fn parts(&self) -> (TcpFlags, &'static [u8], &'static [u8]) {
        match *self {
            Sort::Syn(options) => (SYN, options, b""),
            Sort::SynAck => (SYN | ACK, USUAL[0], b""),
            Sort::Data(options, text) => (ACK, options, text),
            Sort::Fin => (ACK | TcpFlags::FIN, b"", b""),
            Sort::Rst => (TcpFlags::RST | ACK, b"", b""),
            Sort::Flags(bits) => (TcpFlags(bits), b"", b""),
        }
    }

    fn any() -> impl Strategy<Value = Sort> {
        // Some of these are looked for in flows that are searched, whole or in parts.
        let text = || select(vec![b"" as &[u8], b"text", b"evil", b"ev", b"il", b"bad", b"secret", b"sec"]);
        let options = select(vec![TIMESTAMPS, TIMESTAMPS, SACK, SACK, UNUSUAL[5]]);
        prop_oneof![
            12 => text().prop_map(|text| Sort::Data(b"", text)),
            4 => (options, text()).prop_map(|(options, text)| Sort::Data(options, text)),
            4 => select(USUAL.to_vec()).prop_map(Sort::Syn),
            2 => select(UNUSUAL.to_vec()).prop_map(Sort::Syn),
            1 => Just(Sort::SynAck),
            2 => Just(Sort::Fin),
            1 => Just(Sort::Rst),
            1 => (0u16..0x200).prop_map(Sort::Flags),
        ]
    }
}

/// What has become of a sound frame before it arrives.
#[derive(Debug, Clone)]
enum Fate {
    Sound,
    /// A bit of its TCP header or its text is wrong.
    TcpChecksum(usize),
    IpChecksum,
    Cut(usize),
    DataOffset(u8),
    PortZero,
    TtlZero,
    /// From and to the same address.
    Loop,
    /// IPv4 options, or an extension header.
    Extended,
    FirstFragment,
    LaterFragment(u8),
    Padded(usize),
    TooLong,
    /// Its place is taken by an ICMP error about it, from the other side.
    Error,
    Group,
    Udp,
    Arp,
}

impl Fate {
    fn any() -> impl Strategy<Value = Fate> {
        let others = prop_oneof![
            3 => (0usize..64).prop_map(Fate::TcpChecksum),
            1 => Just(Fate::IpChecksum),
            2 => (0usize..70).prop_map(Fate::Cut),
            1 => (0u8..16).prop_map(Fate::DataOffset),
            1 => Just(Fate::PortZero),
            1 => Just(Fate::TtlZero),
            1 => Just(Fate::Loop),
            3 => Just(Fate::Extended),
            3 => Just(Fate::FirstFragment),
            2 => (0u8..4).prop_map(Fate::LaterFragment),
            2 => (1usize..9).prop_map(Fate::Padded),
            1 => Just(Fate::TooLong),
            3 => Just(Fate::Error),
            1 => Just(Fate::Group),
            1 => Just(Fate::Udp),
            1 => Just(Fate::Arp),
        ];
        prop_oneof![4 => Just(Fate::Sound), 1 => others]
    }

    fn befall(&self, frame: &mut Vec<u8>) {
        let ip = frame.windows(2).position(|word| word == [8, 0] || word == [0x86, 0xdd]).unwrap() + 2;
        let is_v4 = frame[ip - 2] == 8;
        let tcp = ip + if is_v4 { 20 } else { 40 };
        match *self {
            Fate::Sound => {}
            Fate::TcpChecksum(at) => {
                let at = (tcp + 4 + at).min(frame.len() - 1);
                frame[at] ^= 0x10;
            }
            // An IPv6 header has none; there it is the version.
            Fate::IpChecksum => frame[ip + if is_v4 { 10 } else { 0 }] ^= 0x40,
            Fate::Cut(len) => frame.truncate(len),
            Fate::DataOffset(words) => frame[tcp + 12] = words << 4,
            Fate::PortZero => frame[tcp..tcp + 2].fill(0),
            Fate::TtlZero => frame[ip + if is_v4 { 8 } else { 7 }] = 0,
            Fate::Loop if is_v4 => frame.copy_within(ip + 12..ip + 16, ip + 16),
            Fate::Loop => frame.copy_within(ip + 8..ip + 24, ip + 24),
            Fate::Extended if is_v4 => insert(frame, ip, 20, &[1, 1, 1, 0]),
            // Hop by hop, with padding.
            Fate::Extended => insert(frame, ip, 0, &[6, 0, 1, 4, 0, 0, 0, 0]),
            Fate::FirstFragment if is_v4 => frame[ip + 6] = 0x20,
            Fate::FirstFragment => insert(frame, ip, 44, &[6, 0, 0, 1, 0, 0, 0, 9]),
            Fate::LaterFragment(at) if is_v4 => frame[ip + 7] = at,
            Fate::LaterFragment(at) => insert(frame, ip, 44, &[6, 0, 0, at << 3, 0, 0, 0, 9]),
            Fate::Padded(len) => frame.extend(vec![0; len]),
            Fate::TooLong => {
                let more = ip + 1501 - frame.len();
                insert_len(frame, ip, more);
                frame.extend(vec![0; more]);
            }
            Fate::Error if ip == 14 => *frame = icmp_error(frame),
            Fate::Error => {}
            Fate::Group => frame[0] = 3,
            Fate::Udp => frame[ip + if is_v4 { 9 } else { 6 }] = 17,
            Fate::Arp => frame[ip - 2..ip].copy_from_slice(&[8, 6]),
        }
        if is_v4 && !matches!(self, Fate::IpChecksum) {
            sum_up(frame, ip);
        }
    }
}

/// Where the link header's type stands, behind its tags.
fn type_at(frame: &[u8]) -> usize {
    let is_tag = |at: &usize| matches!(frame.get(*at..*at + 2), Some([0x81, 0] | [0x88, 0xa8]));
    [12, 16].iter().take_while(|at| is_tag(at)).last().map_or(12, |at| at + 4)
}

/// With a tag around all others that says nothing, as its id is 0; a frame that has no room for one stays as it is. Nothing becomes
/// of it that would not have become of it without, but no short cut is for frames with tags.
pub fn tagged(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame.len() >= 14 && type_at(&frame) < 20 {
        frame.splice(12..12, [0x81, 0, 0, 0]);
    }
    frame
}

/// Without its tags.
pub fn untagged(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.drain(12.min(frame.len())..type_at(&frame).min(frame.len()));
    frame
}

/// So many bytes more are in the datagram.
fn insert_len(frame: &mut [u8], ip: usize, more: usize) {
    let at = ip + if frame[ip] >> 4 == 4 { 2 } else { 4 };
    let len = u16::from_be_bytes([frame[at], frame[at + 1]]) + more as u16;
    frame[at..at + 2].copy_from_slice(&len.to_be_bytes());
}

/// Options for an IPv4 header, or an extension header of this number.
fn insert(frame: &mut Vec<u8>, ip: usize, number: u8, bytes: &[u8]) {
    insert_len(frame, ip, bytes.len());
    let at = if frame[ip] >> 4 == 4 {
        frame[ip] += bytes.len() as u8 / 4;
        ip + 20
    } else {
        frame[ip + 6] = number;
        ip + 40
    };
    frame.splice(at..at, bytes.iter().copied());
}

fn sum_up(frame: &mut [u8], ip: usize) {
    let len = frame.get(ip).map_or(0, |first| usize::from(first & 0xf) * 4);
    let Some(header) = frame.get_mut(ip..ip + len).filter(|header| header.len() >= 20) else { return };
    header[10..12].fill(0);
    let sum = Sum::of(header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Frames of one sort, of a connection or of several beside each other.
#[derive(Debug, Clone)]
pub struct Piece {
    talk: usize,
    is_back: bool,
    sort: Sort,
    /// Added to both numbers.
    shift: [u32; 2],
    /// Others than its own.
    tags: Option<Tags>,
    fate: Fate,
    hint: ChecksumHint,
    is_wrong_side: bool,
    times: usize,
    is_of_several: bool,
}

/// What arrives.
pub struct Arrival {
    pub port: PortId,
    pub frame: Vec<u8>,
    pub hint: ChecksumHint,
}

impl Piece {
    pub fn any() -> impl Strategy<Value = Piece> {
        let shift = || {
            let off = prop_oneof![1u32..2000, (1u32..2000).prop_map(u32::wrapping_neg), any::<u32>()];
            prop_oneof![9 => Just(0), 1 => off]
        };
        let tags = select(vec![PLAIN, VLAN, FAR, PRIORITY, QINQ]);
        let hint = select(vec![ChecksumHint::Good, ChecksumHint::Bad]);
        let rarely = |one_of: u32| (0..one_of).prop_map(|n| n == 0);
        let of = (0usize..64, any::<bool>(), rarely(20), rarely(2));
        let like = (Sort::any(), [shift(), shift()], Fate::any());
        let outside = (
            prop_oneof![9 => Just(None), 1 => tags.prop_map(Some)],
            prop_oneof![9 => Just(ChecksumHint::Unknown), 1 => hint],
            prop_oneof![2 => Just(1usize), 1 => 2usize..8],
        );
        let piece = (of, like, outside);
        piece.prop_map(|((talk, is_back, is_wrong_side, is_of_several), (sort, shift, fate), outside)| {
            let (tags, hint, times) = outside;
            Piece { talk, is_back, sort, shift, tags, fate, hint, is_wrong_side, times, is_of_several }
        })
    }

    /// Its frames, as the ends of their connections send them now.
    pub fn frames<'a>(&'a self, talks: &'a mut [Talk]) -> impl Iterator<Item = Arrival> + 'a {
        let count = talks.len();
        (0..self.times).map(move |n| {
            let talk = &mut talks[(self.talk + if self.is_of_several { n } else { 0 }) % count];
            let from = usize::from(self.is_back);
            let mut frame = talk.frame(from, &self.sort, self.shift, self.tags);
            self.fate.befall(&mut frame);
            let is_turned = self.is_wrong_side ^ matches!(self.fate, Fate::Error);
            let port = if self.is_back ^ is_turned { SERVER } else { CLIENT };
            Arrival { port, frame, hint: self.hint }
        })
    }
}
