//! What the ends of the one connection of a test say.

use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::TcpOptions;

/// Initial sequence numbers of both ends, and the window fields of their SYNs.
pub const C: u32 = 1000;
pub const S: u32 = 5000;
pub const SYN_WINDOW: u16 = 60_000;
/// Window scale of both ends.
pub const SHIFT: u8 = 7;

/// A segment of an endpoint: flags by letter, numbers relative to nothing.
pub fn tcp(flags: TcpFlags, seq: u32, ack: u32) -> TcpRepr {
    TcpRepr { seq: Seq(seq), ack: Seq(ack), flags, window: 500, ..TcpRepr::default() }
}

pub fn syn(seq: u32) -> TcpRepr {
    let options = TcpOptions {
        mss: Some(1460),
        window_scale: Some(SHIFT),
        sack_permitted: true,
        ..TcpOptions::default()
    };
    TcpRepr { window: SYN_WINDOW, options, ..tcp(TcpFlags::SYN, seq, 0) }
}

pub fn syn_ack(seq: u32, ack: u32) -> TcpRepr {
    TcpRepr { ack: Seq(ack), flags: TcpFlags::SYN | TcpFlags::ACK, ..syn(seq) }
}

pub fn ack(seq: u32, ack: u32) -> TcpRepr {
    tcp(TcpFlags::ACK, seq, ack)
}

pub fn fin(seq: u32, ack: u32) -> TcpRepr {
    tcp(TcpFlags::FIN | TcpFlags::ACK, seq, ack)
}

pub fn rst(seq: u32) -> TcpRepr {
    tcp(TcpFlags::RST, seq, 0)
}
