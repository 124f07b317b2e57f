//! What the server hears while the client is held: the client's SYN, as far as we can keep what it promises.

use dataplane::buffer::Pool;
use dataplane::counters::Counter;
use dataplane::packet::TcpHeaders;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;

use crate::connection::read_segment;
use crate::core::context::{Context, Way};
use crate::tcp::Handshake;

/// The SYN, with the client's options as far as they are relayed (DESIGN section 4), under number `iss`.
pub(crate) fn syn<L: Pool>(cx: &mut Context<'_, L>, way: Way, frame: &[u8], headers: &TcpHeaders, iss: Seq) {
    if !cx.can_transmit() {
        // Its worker stands still. The timer will try again.
        return cx.counters.count(Counter::DropOrdersFull);
    }
    let Some(client) = read_segment(frame, headers) else { return };
    let offer = Handshake::of(&client);
    let ts_value = client.options.timestamps.map_or(0, |timestamps| timestamps.value);
    let syn = TcpRepr {
        seq: iss,
        flags: TcpFlags::SYN | offer.ecn,
        window: offer.window,
        options: offer.options(ts_value, 0),
        ..TcpRepr::default()
    };
    cx.transmit(way, &FrameTemplate::learn(frame, headers), &syn, 0, |_| {});
}

/// RST with number `seq`, for a server that has our SYN.
pub(crate) fn reset<L: Pool>(
    cx: &mut Context<'_, L>,
    way: Way,
    frame: &[u8],
    headers: &TcpHeaders,
    seq: Seq,
) {
    if !cx.can_transmit() {
        return cx.counters.count(Counter::DropOrdersFull);
    }
    let reset = TcpRepr { seq, flags: TcpFlags::RST, ..TcpRepr::default() };
    cx.transmit(way, &FrameTemplate::learn(frame, headers), &reset, 0, |_| {});
}
