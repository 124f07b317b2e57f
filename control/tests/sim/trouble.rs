//! Trouble that is no cable's: machines that stand still, clocks that jump, windows that shrink on their way, and
//! routers with a narrow link behind them.

use std::time::Duration;

use dataplane::clock::Instant;

use crate::frame::{self, Segment};
use crate::profile::Profile;
use crate::rng::{Rng, splitmix64};

/// All stalls of a machine together are no longer.
pub const STANDS_STILL: Duration = Duration::from_secs(7 * 120);

/// When a machine stands still, from and until, in order.
#[derive(Debug, Default)]
pub struct Stalls(Vec<(Instant, Instant)>);

impl Stalls {
    /// Up to six of them, of a millisecond to two minutes.
    pub fn draw(profile: &Profile, rng: &mut Rng) -> Stalls {
        let mut stalls = Vec::new();
        let mut at = Instant::ZERO;
        for _ in 0..if profile.bad_clocks { rng.below(7) } else { 0 } {
            at = at + Duration::from_millis(rng.magnitude(8_000));
            let end = at + Duration::from_millis(rng.magnitude(120_000));
            stalls.push((at, end));
            at = end;
        }
        Stalls(stalls)
    }

    /// Until when it stands still at `now`.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        let current = self.0.iter().find(|(from, until)| *from <= now && now < *until);
        current.map(|(_, until)| *until)
    }
}

/// A clock that now and then is set forward.
#[derive(Debug, Default)]
pub struct Jumps(Vec<(Instant, Duration)>);

impl Jumps {
    pub fn draw(profile: &Profile, rng: &mut Rng) -> Jumps {
        let count = if profile.bad_clocks { rng.below(5) } else { 0 };
        let mut jump = || {
            let at = Instant::from_millis(rng.magnitude(30_000));
            (at, Duration::from_millis(rng.magnitude(60_000)))
        };
        Jumps((0..count).map(|_| jump()).collect())
    }

    /// What the clock shows beyond the true time.
    pub fn ahead(&self, now: Instant) -> Duration {
        self.0.iter().filter(|(at, _)| *at <= now).map(|(_, by)| *by).sum()
    }
}

/// A box that makes windows smaller for a while, as shapers do, and as a host does that runs out of memory.
#[derive(Debug, Clone, Copy)]
pub struct Squeeze {
    key: u64,
    period_ms: u64,
}

impl Squeeze {
    pub fn draw(profile: &Profile, rng: &mut Rng) -> Option<Squeeze> {
        profile.squeezes.then(|| Squeeze { key: rng.next(), period_ms: rng.between(20, 1_500) })
    }

    /// Makes the window of a segment as small as it is at this time.
    pub fn apply(&self, now: Instant, segment: &Segment, frame: &mut [u8]) {
        if segment.flags.syn() || segment.flags.rst() || !segment.checksum_ok {
            return;
        }
        let die = splitmix64(self.key ^ (now.as_millis() / self.period_ms));
        let window = match die % 8 {
            0 => 0,
            1 => segment.window.min(1 + (die >> 32) as u16 % 2_000),
            2 | 3 => segment.window >> (1 + (die >> 32) % 6),
            _ => return,
        };
        let at = segment.header.start + 14;
        frame[at..at + 2].copy_from_slice(&window.to_be_bytes());
        frame::fill_checksum(frame, segment);
    }
}

/// A router whose next link takes smaller packets than the ends think.
#[derive(Debug, Clone, Copy)]
pub struct Router {
    mtu: usize,
    /// One of so many reports is sent; the others fall to a rate limit.
    reports: u64,
}

impl Router {
    pub fn draw(profile: &Profile, rng: &mut Rng) -> Option<Router> {
        let mtu = rng.pick(&[576, 1_000, 1_300, 1_400, 1_480]);
        let reports = rng.pick(&[1, 1, 3]);
        profile.narrow.then_some(Router { mtu, reports })
    }

    /// What becomes of a frame: `None`, it goes on; otherwise it does not, and this is sent back, if anything is.
    pub fn refuse(&self, frame: &[u8], rng: &mut Rng) -> Option<Option<Vec<u8>>> {
        let (l3, kind) = frame::network(frame)?;
        // No link is too narrow for IPv6's least (RFC 8200 section 5).
        let mtu = if kind == 0x86dd { self.mtu.max(1_280) } else { self.mtu };
        if frame.len() - l3 <= mtu || !matches!(kind, 0x0800 | 0x86dd) {
            return None;
        }
        Some((rng.below(self.reports) == 0).then(|| report(frame, l3, kind, mtu)))
    }
}

/// ICMP "fragmentation needed" (RFC 1191 section 4) or ICMPv6 "packet too big" (RFC 4443 section 3.2).
fn report(frame: &[u8], l3: usize, kind: u16, mtu: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(120);
    out.extend(&frame[6..12]);
    out.extend(&frame[..6]);
    out.extend(&frame[12..l3]);
    let (v6, quoted) = (kind == 0x86dd, &frame[l3..]);
    let quoted = &quoted[..if v6 { 60 } else { 28 }];
    let mut message = if v6 { vec![2, 0, 0, 0] } else { vec![3, 4, 0, 0] };
    message.extend((mtu as u32).to_be_bytes());
    message.extend(quoted);
    let mut header = if v6 {
        let mut header = vec![0x60, 0, 0, 0, 0, message.len() as u8, 58, 60];
        header.extend([0xfd; 16]);
        header.extend(&quoted[8..24]);
        header
    } else {
        let total = (20 + message.len()) as u16;
        let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 10, 9, 9, 9];
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header.extend(&quoted[12..16]);
        header
    };
    let pseudo = if v6 { checksum(&header[8..], 58 + message.len() as u32) } else { 0 };
    let sum = !fold(checksum(&message, pseudo));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    if !v6 {
        let sum = !fold(checksum(&header, 0));
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    out.extend(header);
    out.extend(message);
    out
}

fn checksum(bytes: &[u8], start: u32) -> u32 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    bytes.chunks(2).map(word).sum::<u32>() + start
}

fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[test]
fn a_report_is_one_that_the_appliance_can_read() {
    use dataplane::packet::{Packet, parse};
    use dataplane::wire::build::FrameTemplate;
    use dataplane::wire::tcp::TcpRepr;

    for (from, to) in [("10.0.0.1:5000", "10.0.0.2:80"), ("[fd00::1]:5000", "[fd00::2]:80")] {
        let parse_end = |text: &str| text.parse().expect("an address");
        let quad = dataplane::flow::quad::Quad::between(parse_end(from), parse_end(to)).expect("one family");
        let template = FrameTemplate::new([2; 6], [1; 6], &[], 60, quad);
        let mut frame = vec![0; 1_600];
        let len = template.build(&TcpRepr::default(), &[7; 1_400], &mut frame).expect("it fits");
        let router = Router { mtu: 1_000, reports: 1 };
        let report = router.refuse(&frame[..len], &mut Rng::new(1)).expect("too large").expect("reported");
        let Ok(Packet::IcmpError(error)) = parse(&report) else { panic!("{:?}", parse(&report)) };
        assert_eq!(error.quad, quad);
        assert_eq!(router.refuse(&frame[..600], &mut Rng::new(1)), None);
    }
}
