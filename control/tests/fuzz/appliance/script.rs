//! What the ends send: each remembers of every flow what the appliance has told it last, and mostly goes on from there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use dataplane::flow::quad::{Addresses, Quad};
use dataplane::packet::{Packet, parse};
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::icmp;
use dataplane::wire::ipv4::Ipv4Repr;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{SackBlock, TcpOptions, Timestamps};
use zerocopy::IntoBytes;

/// 0: the client's side, 1: the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct End(pub usize);

/// What one end knows of one flow: the number it sends next, and the one that it waits for.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    next: Seq,
    expected: Seq,
    timestamp: u32,
}

/// Both ends.
#[derive(Default)]
pub struct Ends {
    known: HashMap<(End, Quad), Numbers>,
    /// The last frame that the appliance has sent, and on which side.
    last: Option<(End, Vec<u8>)>,
}

/// Milliseconds to a quarter of an hour; the longer, the seldomer.
pub fn duration(u: &mut Unstructured<'_>) -> Result<Duration> {
    let longest = if u.ratio(1u8, 32u8)? { 12 } else { 6 };
    let (shift, factor) = (u.int_in_range(0..=longest)?, u.arbitrary::<u8>()?);
    Ok(Duration::from_millis(u64::from(factor) << shift))
}

/// A flow, client → server: few of them, so that scripts meet again. One in four is not intercepted.
fn quad(u: &mut Unstructured<'_>) -> Result<Quad> {
    let choice = u.int_in_range(0..=7u8)?;
    let address = |host: u8| -> std::net::IpAddr {
        if choice & 4 == 0 { [10, 0, 0, host].into() } else { [0xfd00, 0, 0, 0, 0, 0, 0, host.into()].into() }
    };
    let client = SocketAddr::new(address(1), 4_000 + u16::from(choice & 1));
    let server = SocketAddr::new(address(2), if choice & 3 == 3 { 443 } else { 80 });
    Ok(Quad::between(client, server).expect("one family"))
}

fn near(u: &mut Unstructured<'_>, base: Seq) -> Result<Seq> {
    Ok(match u.int_in_range(0..=11)? {
        0..=7 => base,
        8 => base.advance(u.arbitrary::<u8>()?.into()),
        9 => base.retreat(u.arbitrary::<u8>()?.into()),
        10 => base.advance(u.arbitrary::<u16>()?.into()),
        _ => Seq(u.arbitrary()?),
    })
}

impl Ends {
    /// An end sends a segment.
    pub fn segment(&mut self, u: &mut Unstructured<'_>) -> Result<(usize, Vec<u8>)> {
        let (end, quad) = (End(u.int_in_range(0..=1)?), quad(u)?);
        let known = self.known.entry((end, quad)).or_default();
        let flags = match (u.int_in_range(0..=11)?, end.0) {
            (0..=6, _) => TcpFlags::ACK,
            (7 | 8, 0) => TcpFlags::SYN,
            (7 | 8, _) => TcpFlags::SYN | TcpFlags::ACK,
            (9, _) => TcpFlags::FIN | TcpFlags::ACK,
            (10, _) if u.ratio(1u8, 4u8)? => TcpFlags::RST,
            _ => TcpFlags(u.arbitrary::<u16>()? & 0xff),
        };
        let len = match u.int_in_range(0..=2)? {
            0 => 0,
            1 => u.arbitrary::<u8>()?.into(),
            _ => u.int_in_range(0..=1_400)?,
        };
        let (seq, ack) = (near(u, known.next)?, near(u, known.expected)?);
        let tcp = TcpRepr {
            seq,
            ack: if flags.ack() { ack } else { Seq(0) },
            flags,
            window: if u.ratio(1u8, 4u8)? { u.arbitrary()? } else { 40_000 },
            urgent: if flags.contains(TcpFlags::URG) { u.arbitrary()? } else { 0 },
            options: options(u, flags, known)?,
        };
        let len = if flags.syn() && u.ratio(7u8, 8u8)? { 0 } else { len };
        if seq == known.next {
            known.next = seq.advance(len as u32 + u32::from(flags.syn()) + u32::from(flags.fin()));
        }
        let mut frame = build(end, quad, &tcp, len);
        if u.ratio(1u8, 16u8)? {
            mangle(u, &mut frame)?;
        }
        Ok((end.0, frame))
    }

    /// A router complains about the last frame of the appliance's.
    pub fn icmp_error(&mut self, u: &mut Unstructured<'_>) -> Result<Option<(usize, Vec<u8>)>> {
        let Some((End(side), about)) = &self.last else { return Ok(None) };
        let Ok(Packet::Tcp(headers)) = parse(about) else { return Ok(None) };
        let Addresses::V4(source, _) = headers.quad.addresses else { return Ok(None) };
        let quotation = &about[14..about.len().min(14 + 28)];
        let mtu = u.arbitrary::<u16>()?;
        let mut message = vec![3, u.int_in_range(0..=5)?, 0, 0, 0, 0];
        message.extend(mtu.to_be_bytes());
        message.extend(quotation);
        icmp::fill_checksum(&mut message, &headers.quad.addresses);
        let repr = Ipv4Repr {
            source: [10, 0, 0, 9],
            destination: source,
            protocol: 1,
            ttl: 60,
            traffic_class: 0,
            payload_len: message.len() as u16,
        };
        let mut frame = vec![1; 12];
        frame.extend([8, 0]);
        frame.extend(repr.header().as_bytes());
        frame.extend(message);
        Ok(Some((*side, frame)))
    }

    /// The last frame of the appliance's comes back, or goes on, with some bytes changed.
    pub fn mangled(&mut self, u: &mut Unstructured<'_>) -> Result<Option<(usize, Vec<u8>)>> {
        let Some((End(side), frame)) = &self.last else { return Ok(None) };
        let mut frame = frame.clone();
        mangle(u, &mut frame)?;
        Ok(Some((side ^ usize::from(u.arbitrary::<bool>()?), frame)))
    }

    /// What the appliance tells an end.
    pub fn learn(&mut self, end: End, frame: &[u8]) {
        self.last = Some((end, frame.to_vec()));
        let Ok(Packet::Tcp(headers)) = parse(frame) else { return };
        let Some(tcp) = TcpRepr::parse(&frame[usize::from(headers.l4)..usize::from(headers.end)]) else {
            return;
        };
        let quad = if end.0 == 0 { headers.quad.reversed() } else { headers.quad };
        let known = self.known.entry((end, quad)).or_default();
        let len = u32::from(headers.end - headers.payload);
        let taken = len + u32::from(tcp.flags.syn()) + u32::from(tcp.flags.fin());
        known.expected = tcp.seq.advance(taken);
        if tcp.flags.ack() && tcp.flags.syn() {
            known.next = tcp.ack;
        }
        known.timestamp = tcp.options.timestamps.map_or(0, |ts| ts.value);
    }
}

fn options(u: &mut Unstructured<'_>, flags: TcpFlags, known: &Numbers) -> Result<TcpOptions> {
    let mut options = TcpOptions::default();
    let unusual = u.arbitrary::<u8>()?;
    if unusual & 8 == 0 {
        let value = if unusual & 16 == 0 { 7 } else { u.arbitrary()? };
        options.timestamps = Some(Timestamps { value, echo: known.timestamp });
    }
    if flags.syn() {
        options.mss = if unusual & 1 == 0 { Some(1460) } else { u.arbitrary()? };
        options.window_scale = if unusual & 2 == 0 { Some(unusual >> 5) } else { u.arbitrary()? };
        options.sack_permitted = unusual & 4 == 0;
        return Ok(options);
    }
    for _ in 0..(unusual & 7).saturating_sub(4) {
        let left = near(u, known.expected)?;
        options.sack.push(SackBlock { left, right: left.advance(u.arbitrary::<u16>()?.into()) });
    }
    Ok(options)
}

fn build(end: End, quad: Quad, tcp: &TcpRepr, len: usize) -> Vec<u8> {
    let quad = if end.0 == 0 { quad } else { quad.reversed() };
    let macs = if end.0 == 0 { ([2; 6], [1; 6]) } else { ([1; 6], [2; 6]) };
    let template = FrameTemplate::new(macs.0, macs.1, &[], 60, quad);
    let payload = vec![tcp.seq.0 as u8; len];
    let mut frame = vec![0; 2_048];
    let len = template.build(tcp, &payload, &mut frame).unwrap_or(0);
    frame.truncate(len);
    frame
}

fn mangle(u: &mut Unstructured<'_>, frame: &mut [u8]) -> Result<()> {
    for _ in 0..u.int_in_range(1..=3)? {
        if frame.is_empty() {
            break;
        }
        let at = u.int_in_range(0..=frame.len() - 1)?;
        frame[at] = u.arbitrary()?;
    }
    Ok(())
}
