//! Cookies of SYNs, acknowledged rightly and wrongly.

use proptest::prelude::*;

use super::*;
use crate::flow::quad::{Quad, Segment};
use crate::wire::tcp_flags::TcpFlags;

fn headers(v6: bool, seq: u32, ack: u32) -> TcpHeaders {
    let (client, server) = match v6 {
        false => ("10.0.0.1:4711", "10.0.0.2:80"),
        true => ("[fd00::1]:4711", "[fd00::2]:80"),
    };
    TcpHeaders {
        quad: Quad::between(client.parse().unwrap(), server.parse().unwrap()).unwrap(),
        segment: Segment(7),
        l3: 14,
        l4: 34,
        payload: 54,
        end: 54,
        seq: Seq(seq),
        ack: Seq(ack),
        flags: TcpFlags::ACK,
        window: 0,
        first_fragment: false,
    }
}

/// As written in a SYN.
fn terms(options: &TcpOptions, v6: bool) -> Option<Terms> {
    let mut bytes = [0; 40];
    let len = options.emit(&mut bytes);
    Terms::of(SynOptions::find(&bytes[..len]).unwrap(), v6)
}

/// The segment that acknowledges a cookie.
fn answer(syn: &TcpHeaders, cookie: Cookie) -> TcpHeaders {
    TcpHeaders { seq: syn.seq.advance(1), ack: cookie.seq.advance(1), ..*syn }
}

fn after(periods: u64) -> Instant {
    Instant::ZERO + Duration::from_nanos(periods << PERIOD_SHIFT)
}

fn syn_options() -> impl Strategy<Value = TcpOptions> {
    let mss = proptest::option::of(prop_oneof![any::<u16>(), 500u16..1500]);
    (mss, proptest::option::of(0u8..=14), any::<bool>()).prop_map(|(mss, window_scale, sack_permitted)| {
        TcpOptions { mss, window_scale, sack_permitted, ..TcpOptions::default() }
    })
}

proptest! {
    #[test]
    fn what_comes_back_promises_no_more_than_the_syn(
        options in syn_options(), v6 in any::<bool>(), isn in any::<u32>(), time in any::<u32>(),
    ) {
        let cookies = Cookies::new([1, 2]);
        let now = Instant::from_millis(time.into());
        let syn = headers(v6, isn, 0);
        let (least, mss) = (MSS[usize::from(v6)][0], options.mss.filter(|mss| *mss != 0));
        let Some(terms) = terms(&options, v6) else {
            prop_assert!(mss.is_some_and(|mss| mss < least));
            return Ok(());
        };
        let cookie = cookies.make(now, &syn, terms);
        prop_assert_eq!(cookies.check(now, &answer(&syn, cookie), Some(cookie.clock)), Some(terms));
        let said = terms.options(v6, None);
        prop_assert_eq!(said.sack_permitted, options.sack_permitted);
        prop_assert_eq!(said.window_scale.is_some(), options.window_scale.is_some());
        prop_assert!(said.window_scale <= options.window_scale);
        prop_assert!(said.mss <= Some(mss.unwrap_or(default_mss(v6))));
    }

    #[test]
    fn nothing_else_is_a_cookie(
        v6 in any::<bool>(), isn in any::<u32>(), ack in any::<u32>(), other in 1u32..,
    ) {
        let cookies = Cookies::new([1, 2]);
        let syn = headers(v6, isn, 0);
        let cookie = cookies.make(Instant::ZERO, &syn, Terms(5));
        let good = answer(&syn, cookie);
        // Of 2^24 one is right; `ack` is another one unless it is that.
        if Seq(ack) != good.ack {
            prop_assert_eq!(cookies.check(Instant::ZERO, &TcpHeaders { ack: Seq(ack), ..good }, None), None);
        }
        prop_assert_eq!(cookies.check(Instant::ZERO, &good, Some(cookie.clock ^ other)), None);
        let wrong = TcpHeaders { seq: good.seq.advance(other), ..good };
        prop_assert_eq!(cookies.check(Instant::ZERO, &wrong, None), None);
        let segment = Segment(7 ^ other);
        prop_assert_eq!(cookies.check(Instant::ZERO, &TcpHeaders { segment, ..good }, None), None);
        prop_assert_eq!(Cookies::new([1, other.into()]).check(Instant::ZERO, &good, None).filter(|_| other != 2), None);
    }
}

#[test]
fn common_clients_get_what_they_asked_for() {
    for (v6, mss, shift) in
        [(false, 1460, 7), (false, 1460, 8), (true, 1440, 6), (true, 1220, 7), (false, 536, 0)]
    {
        let options = TcpOptions {
            mss: Some(mss),
            window_scale: Some(shift),
            sack_permitted: true,
            ..TcpOptions::default()
        };
        assert_eq!(terms(&options, v6).unwrap().options(v6, None), options);
    }
    let none = terms(&TcpOptions::default(), true).unwrap().options(true, None);
    assert_eq!(none, TcpOptions { mss: Some(1220), ..TcpOptions::default() });
}

#[test]
fn good_for_its_own_period_and_the_next_and_never_again() {
    let cookies = Cookies::new([3, 4]);
    for made in [0, 1, 2, 7] {
        let syn = headers(false, 1000, 0);
        let good = answer(&syn, cookies.make(after(made), &syn, Terms(9)));
        let found: Vec<u64> =
            (0..12).filter(|period| cookies.check(after(*period), &good, None).is_some()).collect();
        assert_eq!(found, [made, made + 1], "before it was made nobody can have it");
    }
}

/// Whatever a cookie is about, one bit of it makes another one.
#[test]
fn every_bit_counts() {
    for v6 in [false, true] {
        let cookies = Cookies::new([3, 4]);
        let syn = headers(v6, 1000, 0);
        let mac = |headers: &TcpHeaders, period, low| cookies.mac(headers, headers.seq, period, low);
        let mut macs = std::collections::HashSet::from([mac(&syn, 0, 0)]);
        let mut differs = |mac: u64| assert!(macs.insert(mac), "IPv6: {v6}, {} before it", macs.len());
        let flipped = |change: &dyn Fn(&mut TcpHeaders)| {
            let mut other = syn;
            change(&mut other);
            mac(&other, 0, 0)
        };
        for bit in 0..16 {
            differs(flipped(&|headers| headers.quad.client_port ^= 1 << bit));
            differs(flipped(&|headers| headers.quad.server_port ^= 1 << bit));
            // The lowest one is in the lowest byte.
            differs(mac(&syn, 2 << bit, 0));
        }
        for bit in 0..32 {
            differs(flipped(&|headers| headers.segment.0 ^= 1 << bit));
            differs(flipped(&|headers| headers.seq.0 ^= 1 << bit));
        }
        for bit in 0..8 {
            differs(mac(&syn, 0, 1 << bit));
        }
        for bit in 0..if v6 { 128 } else { 32 } {
            let (byte, bit) = (bit / 8, 1 << (bit % 8));
            let end = |headers: &mut TcpHeaders, server: bool| match (&mut headers.quad.addresses, server) {
                (Addresses::V4(end, _), false) | (Addresses::V4(_, end), true) => end[byte] ^= bit,
                (Addresses::V6(end, _), false) | (Addresses::V6(_, end), true) => end[byte] ^= bit,
            };
            differs(flipped(&|headers| end(headers, false)));
            differs(flipped(&|headers| end(headers, true)));
        }
    }
}

#[test]
fn both_ends_ports_and_family_count() {
    let cookies = Cookies::new([3, 4]);
    let syn = headers(false, 1000, 0);
    let good = answer(&syn, cookies.make(Instant::ZERO, &syn, Terms(0)));
    let change = |change: fn(&mut Quad)| {
        let mut other = good;
        change(&mut other.quad);
        cookies.check(Instant::ZERO, &other, None)
    };
    assert_eq!(change(|_| ()), Some(Terms(0)));
    assert_eq!(change(|quad| quad.client_port += 1), None);
    assert_eq!(change(|quad| quad.server_port += 1), None);
    assert_eq!(change(|quad| quad.addresses = quad.addresses.reversed()), None);
    assert_eq!(change(|quad| *quad = quad.reversed()), None);
    assert_eq!(change(|quad| quad.addresses = Addresses::V6([10; 16], [10; 16])), None);
}
