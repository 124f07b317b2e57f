//! What the server hears while the client is held: the client's SYN, as far as we can keep what it promises.

use dataplane::buffer::Pool;
use dataplane::counters::Counter;
use dataplane::packet::TcpHeaders;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::packed;

use crate::core::context::{Context, Way};
use crate::module::Mark;
use crate::tcp::{Handshake, Segment};

/// What the server is offered of what the client's SYN offers: all that is relayed (DESIGN section 4), but where a mark leaves
/// no room for them the timestamps are left out. No other option is as long, and none is missed less.
#[inline(always)]
pub(crate) fn offer(syn: &Segment, mark: &Mark) -> Handshake {
    let offer = Handshake::of(syn);
    let fits = mark.is_empty() || packed(&offer.options(0, 0), mark).is_some();
    Handshake { timestamps: offer.timestamps && fits, ..offer }
}

/// The SYN, with as much of the client's options, under number `iss`, and with its module's mark.
#[inline(always)]
pub(crate) fn syn<L: Pool>(
    cx: &mut Context<'_, L>,
    way: Way,
    (frame, headers, client): (&[u8], &TcpHeaders, &Segment),
    iss: Seq,
    mark: &Mark,
) {
    if !cx.can_transmit() {
        // Its worker stands still. The timer will try again.
        return cx.counters.count(Counter::DropOrdersFull);
    }
    let offer = offer(client, mark);
    let ts_value = client.options.timestamps.map_or(0, |timestamps| timestamps.value);
    let syn = TcpRepr {
        seq: iss,
        flags: TcpFlags::SYN | offer.ecn,
        window: offer.window,
        options: offer.options(ts_value, 0),
        ..TcpRepr::default()
    };
    let template = FrameTemplate::learn(frame, headers);
    if mark.is_empty() {
        return cx.transmit(way, &template, &syn, 0, |_| {});
    }
    // A mark is no longer than what fits beside all options but timestamps.
    let options = packed(&syn.options, mark).unwrap_or_default();
    cx.transmit_with_options(way, &template, &syn, &options);
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

#[cfg(test)]
mod tests {
    use dataplane::wire::tcp_options::{MAX_BESIDE_SYN, TcpOptions, Timestamps};

    use super::*;

    #[test]
    fn a_mark_that_leaves_no_room_for_timestamps_takes_them_and_nothing_else() {
        let options = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 5, echo: 0 }),
            ..TcpOptions::default()
        };
        let tcp = TcpRepr { flags: TcpFlags::SYN, window: 9, options, ..TcpRepr::default() };
        let segment = Segment {
            seq: tcp.seq,
            ack: tcp.ack,
            flags: tcp.flags,
            window: tcp.window,
            urgent: 0,
            options: tcp.options.clone(),
            len: 0,
            congested: false,
        };
        let whole = Handshake::of(&segment);
        // The options of a tunnel are 18 bytes of IPv4 and 30 of IPv6.
        for (len, timestamps) in
            [(0, true), (18, true), (21, true), (22, false), (30, false), (MAX_BESIDE_SYN, false)]
        {
            let mark = Mark::from_iter(std::iter::repeat_n(1, len));
            let offer = offer(&segment, &mark);
            assert_eq!(offer, Handshake { timestamps, ..whole.clone() }, "{len} bytes");
            assert!(packed(&offer.options(5, 0), &mark).is_some(), "{len} bytes");
        }
    }
}
