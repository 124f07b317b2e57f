//! What was seen on both sides of the middle, in tcpdump's manner, and a digest of all of it.

use std::collections::VecDeque;
use std::fmt::Write;

use dataplane::clock::Instant;

use crate::frame;
use crate::rng::splitmix64;
use crate::tap::Point;

/// Frames that a failing run shows.
pub const KEPT: usize = 200;

struct Entry {
    at: Instant,
    point: Point,
    note: &'static str,
    frame: Vec<u8>,
}

/// The last frames seen; all of them on standard output when `live`.
pub struct Trace {
    live: bool,
    entries: VecDeque<Entry>,
    pub frames: u64,
    /// Equal digests: equal runs.
    pub digest: u64,
}

impl Trace {
    pub fn new(live: bool) -> Trace {
        Trace { live, entries: VecDeque::with_capacity(KEPT), frames: 0, digest: 0 }
    }

    /// Takes down a frame; `note` says what became of it when that is not obvious.
    pub fn record(&mut self, at: Instant, point: Point, note: &'static str, frame: &[u8]) {
        self.frames += 1;
        self.digest = splitmix64(self.digest ^ at.as_nanos() ^ (point.side as u64) << 62);
        for word in frame.chunks(8) {
            let word = word.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
            self.digest = (self.digest ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at, point, note, frame: frame.to_vec() });
        if let (true, Some(entry)) = (self.live, self.entries.back()) {
            println!("{}", line(entry));
        }
    }

    /// The last frames, one a line.
    pub fn tail(&self) -> String {
        self.entries.iter().fold(String::new(), |text, entry| text + &line(entry) + "\n")
    }
}

fn line(entry: &Entry) -> String {
    let nanos = entry.at.as_nanos();
    let (side, way) = (entry.point.side.name(), if entry.point.inwards { "in " } else { "out" });
    let time = format!("{}.{:06}", nanos / 1_000_000_000, nanos / 1000 % 1_000_000);
    let text = describe(&entry.frame);
    format!(
        "{time:>11} {side} {way} {text}{}{}",
        if entry.note.is_empty() { "" } else { "  *** " },
        entry.note
    )
}

/// One frame as tcpdump would put it, with absolute sequence numbers.
pub fn describe(bytes: &[u8]) -> String {
    let Some(segment) = frame::parse(bytes) else {
        let kind = frame::network(bytes).map_or(0, |(_, kind)| kind);
        let name = match kind {
            0x0806 => "ARP",
            0x86dd => "IPv6, not TCP",
            0x0800 => "IPv4, not TCP",
            _ => "other",
        };
        return format!("{name}, {} bytes", bytes.len());
    };
    let mut text = format!("{}: {:?} seq {}", segment.quad, segment.flags, segment.seq);
    let len = segment.payload.len();
    if len > 0 {
        let _ = write!(text, ":{}", segment.seq.wrapping_add(len as u32));
    }
    if segment.flags.ack() {
        let _ = write!(text, " ack {}", segment.ack);
    }
    let _ = write!(text, " win {}", segment.window);
    options(&bytes[segment.header.start + 20..segment.header.end], &mut text);
    let _ = write!(text, " len {len}");
    if !segment.checksum_ok {
        text.push_str(" BAD CHECKSUM");
    }
    text
}

fn options(mut rest: &[u8], text: &mut String) {
    let word = |at: &[u8]| at.iter().fold(0u32, |n, byte| n << 8 | u32::from(*byte));
    while let Some((&kind, after)) = rest.split_first() {
        if kind == 1 {
            rest = after;
            continue;
        }
        let Some(&len) = after.first() else { return };
        let Some(body) = after.get(1..usize::from(len).saturating_sub(1)) else { return };
        let _ = match (kind, body.len()) {
            (0, _) => return,
            (2, 2) => write!(text, " mss {}", word(body)),
            (3, 1) => write!(text, " wscale {}", body[0]),
            (4, 0) => write!(text, " sackOK"),
            (8, 8) => write!(text, " ts {}:{}", word(&body[..4]), word(&body[4..])),
            (5, n) if n % 8 == 0 => {
                body.chunks(8).try_for_each(|b| write!(text, " sack {}:{}", word(&b[..4]), word(&b[4..])))
            }
            _ => write!(text, " option {kind}"),
        };
        rest = &after[usize::from(len) - 1..];
    }
}
