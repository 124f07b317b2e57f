//! Dialogues with one block, written like a trace, after packetdrill and smoltcp.
//!
//! ```text
//! < S 500 win 64240 <mss 1460,sack,ws 7,ts 9:0>   a segment of the peer's comes in
//! < P. 501+1000 ack 101                           … with 1000 bytes of payload (numbers are absolute)
//! > . 101 ack 1501 [win 64240] [<options>]        the block sends this next; what is not written is not compared
//! > -                                             the block sends nothing more
//! = READABLE|ACKED                                what the events were since the last such line
//! : CloseWait                                     the state
//! < !. 501+10 ack 101                             … that has met congestion
//! > *. 101+10 ack 501                             … that may be marked so
//! +1000ms                                         time passes, stopping at every deadline until one makes output
//! ~ < …                                           the segment comes in through `on_ack_only`
//! ^ < …                                           the segment passes the block: `on_passing`
//! ! write 1000                                    a call of the user's
//! ```
//!
//! Our numbers begin at 100, the peer's at 500. Bytes are a function of their position, and are compared.

use std::time::Duration;

use arrayvec::ArrayVec;
use dataplane::clock::Instant;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{SackBlock, TcpOptions, Timestamps};

use super::VecBuffer;
use crate::tcp::*;

/// What both sides usually promise.
pub(super) fn offer() -> Handshake {
    Handshake {
        mss: Some(1000),
        window_scale: None,
        sack_permitted: false,
        timestamps: false,
        window: 10_000,
        ecn: TcpFlags(0),
    }
}

/// A block and its circumstances.
pub(super) struct Dialogue {
    pub(super) block: Block<VecBuffer>,
    pub(super) now: Instant,
    pub(super) ts_value: u32,
    pub(super) iss: Seq,
    pub(super) irs: Seq,
    events: Events,
    written: u32,
    read: u32,
}

/// The byte at `position` of either stream.
fn byte(position: u32) -> u8 {
    (position ^ (position >> 8)) as u8
}

impl Dialogue {
    fn new(block: Block<VecBuffer>) -> Self {
        let now = Instant::from_millis(1000);
        let (iss, irs) = (Seq(100), Seq(500));
        Dialogue { block, now, ts_value: 7, iss, irs, events: Events::NONE, written: 0, read: 0 }
    }

    /// Server leg: the SYN waits to be sent.
    pub(super) fn connect(offer: &Handshake, limits: Limits) -> Self {
        Self::new(Block::connect(Instant::from_millis(1000), Seq(100), offer, limits))
    }

    /// Client leg: suspended on this SYN.
    pub(super) fn suspended(syn: &str, limits: Limits) -> Self {
        Self::new(Block::suspended(Instant::from_millis(1000), &parse(syn).0, limits))
    }

    /// Established, with the usual promises extended by these options on both sides, and `window` from the peer.
    pub(super) fn established(options: &str, window: u16, limits: Limits) -> Self {
        Self::established_at(Seq(100), Seq(500), options, window, limits)
    }

    /// The same, from these initial numbers on.
    pub(super) fn established_at(iss: Seq, irs: Seq, options: &str, window: u16, limits: Limits) -> Self {
        Self::established_after(Duration::ZERO, [iss, irs], options, window, limits)
    }

    /// The same as `established`, over a path whose round trip has taken `rtt`.
    pub(super) fn established_over(rtt: Duration, options: &str, window: u16, limits: Limits) -> Self {
        Self::established_after(rtt, [Seq(100), Seq(500)], options, window, limits)
    }

    fn established_after(rtt: Duration, start: [Seq; 2], options: &str, window: u16, limits: Limits) -> Self {
        let [iss, irs] = start;
        let options = if options.is_empty() { String::new() } else { format!(",{options}") };
        let (syn, _) = parse(&format!("S {} win {window} <mss 1000{options}>", irs.0));
        let mut d = Self::new(Block::suspended(Instant::from_millis(1000), &syn, limits));
        (d.iss, d.irs) = (iss, irs);
        let scale = syn.options.window_scale;
        let ours = Handshake {
            window_scale: scale,
            sack_permitted: syn.options.sack_permitted,
            timestamps: syn.options.timestamps.is_some(),
            ..offer()
        };
        d.block.answer(d.now, iss, &ours);
        d.block.poll(d.now, 7).expect("SYN-ACK");
        d.now = d.now + rtt;
        let (ack, raw) = (iss.advance(1).0, window >> scale.unwrap_or(0));
        let stamp = if ours.timestamps { " <ts 9:7>" } else { "" };
        d.run(&format!("< . {} ack {ack} win {raw}{stamp}\n: Established\n> -", irs.advance(1).0));
        d.events = Events::NONE;
        d
    }

    /// What has happened so far does not count in the next `=`.
    pub(super) fn forget_events(&mut self) {
        self.events = Events::NONE;
    }

    /// Plays the lines; panics at the first that is not as written.
    pub(super) fn run(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.line(line);
        }
    }

    fn line(&mut self, line: &str) {
        let (kind, rest) = line.split_at(1);
        let rest = rest.trim();
        match kind {
            "<" => self.arrive(rest),
            "~" => {
                let (segment, _) = parse(rest.trim_start_matches('<').trim());
                self.events |= self.block.on_ack_only(self.now, &segment);
            }
            "^" => {
                let (segment, _) = parse(rest.trim_start_matches('<').trim());
                self.events |= self.block.on_passing(self.now, &segment);
            }
            ">" => self.expect(line, rest),
            "=" => {
                let events = std::mem::take(&mut self.events);
                assert_eq!(format!("{events:?}"), rest, "events at `{line}`");
            }
            ":" => assert_eq!(format!("{:?}", self.block.state()), rest, "state at `{line}`"),
            "+" => self.pass(Duration::from_millis(rest.trim_end_matches("ms").parse().expect(line))),
            "!" => self.call(rest),
            _ => panic!("what is `{line}`?"),
        }
    }

    fn arrive(&mut self, text: &str) {
        let (segment, len) = parse(text);
        let first = segment.seq.0.wrapping_sub(self.irs.0).wrapping_sub(1);
        // Headers before and padding after, as in a frame.
        let frame = [0xee; 54].into_iter();
        let frame = frame.chain((0..len).map(|i| byte(first.wrapping_add(i)))).chain([0xdd; 6]).collect();
        let payload = (len > 0).then(|| Chunk::packet(VecBuffer(frame), 54..54 + len as usize));
        self.events |= self.block.on_segment(self.now, &segment, payload);
    }

    fn expect(&mut self, line: &str, text: &str) {
        let out = self.block.poll(self.now, self.ts_value);
        if text == "-" {
            assert_eq!(out, None, "at `{line}`");
            return;
        }
        let out = out.unwrap_or_else(|| panic!("nothing is sent at `{line}`"));
        let (wanted, len) = parse(text);
        let got = (out.seq, out.flags, out.payload.len, out.ack);
        assert_eq!(got, (wanted.seq, wanted.flags, len, wanted.ack), "at `{line}`: {out:?}");
        assert_eq!(out.ecn_capable, text.starts_with(CAPABLE), "ECN-capable at `{line}`");
        if text.contains("win") {
            assert_eq!(out.window, wanted.window, "at `{line}`");
        }
        if text.contains('<') {
            assert_eq!(out.options, wanted.options, "at `{line}`");
        }
        if text.contains("urg") {
            assert_eq!(out.urgent, wanted.urgent, "at `{line}`");
        }
        assert_eq!(out.payload.start, out.seq);
        let mut payload = vec![0; len as usize];
        self.block.copy_payload(out.seq, &mut payload);
        let first = out.seq.0.wrapping_sub(self.iss.0).wrapping_sub(1);
        assert!(payload.iter().zip(first..).all(|(b, i)| *b == byte(i)), "payload at `{line}`");
    }

    /// Stops where a deadline makes output, so that lines after this one see it at its time.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.block.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.events |= self.block.on_timer(self.now);
            let stuck = self.block.deadline().is_none_or(|next| next <= self.now);
            if stuck || self.block.deadline() != Some(at) {
                break;
            }
        }
        self.now = self.now.max(end);
        self.events |= self.block.on_timer(self.now);
    }

    fn call(&mut self, text: &str) {
        let mut words = text.split_whitespace();
        let name = words.next().expect("a call");
        let number = words.next().map(|n| n.parse::<u32>().expect(text));
        let n = number.unwrap_or(0);
        match name {
            "write" => {
                let bytes = (self.written..self.written + n).map(byte).collect();
                self.written += n;
                self.block.write(Chunk::owned(bytes));
            }
            "read" => {
                let mut got = 0;
                while got < n
                    && let Some(chunk) = self.block.read()
                {
                    for b in chunk.bytes() {
                        assert_eq!(*b, byte(self.read), "byte {} read", self.read);
                        self.read += 1;
                        got += 1;
                    }
                }
                assert_eq!(got, n, "bytes read at `{text}`");
            }
            "close" => self.block.close(),
            "stop-passing" => self.block.stop_passing(self.now, false),
            "abort" => self.block.abort(),
            "confirm" => self.block.confirm(self.now),
            "ask" => self.block.ask_window(),
            "alive" => self.block.ask_if_alive(self.now),
            "repeat" => self.block.repeat_syn_ack(),
            "offer" => self.block.set_offer(n, false),
            "mirror" => self.block.set_offer(n, true),
            "ack" => self.block.acknowledge_now(),
            "withhold" => self.block.withhold_acknowledgments(),
            "through" => self.block.acknowledge_through(self.now, Seq(n)),
            "link" => self.block.set_link_mss(n as u16),
            // About the first segment that is outstanding, dropped at its full size.
            "mtu" => {
                let una = self.block.snd_una();
                let believed = self.block.on_packet_too_big(self.now, una, n, 1040);
                assert!(believed, "at `{text}`");
            }
            "ts" => self.ts_value = n,
            "urgent" => self.block.set_urgent(Seq(n)),
            _ => panic!("what is `{text}`?"),
        }
    }
}

/// Before the flags: the IP header says that congestion was experienced.
const CONGESTED: char = '!';

/// Before the flags: the segment may be marked so.
const CAPABLE: char = '*';

/// `FLAGS SEQ[+LEN] [ack N] [win N] [urg N] [<options>]`; the payload's length comes beside.
pub(super) fn parse(text: &str) -> (Segment, u32) {
    let (head, options) = text.split_once('<').unwrap_or((text, ""));
    let mut words = head.split_whitespace();
    let flags = words.next().expect("flags").chars().fold(TcpFlags(0), |flags, c| {
        flags
            | match c {
                'S' => TcpFlags::SYN,
                'F' => TcpFlags::FIN,
                'R' => TcpFlags::RST,
                'P' => TcpFlags::PSH,
                'U' => TcpFlags::URG,
                'E' => TcpFlags::ECE,
                'W' => TcpFlags::CWR,
                '.' => TcpFlags::ACK,
                _ => TcpFlags(0),
            }
    });
    let numbers = words.next().expect("sequence number");
    let (seq, len) = numbers.split_once('+').unwrap_or((numbers, "0"));
    let (seq, len) = (Seq(seq.parse().expect(text)), len.parse().expect(text));
    let congested = head.starts_with(CONGESTED);
    let (mut ack, mut window, mut urgent) = (Seq(0), 10_000, 0);
    while let Some(word) = words.next() {
        let value: u32 = words.next().expect(text).parse().expect(text);
        match word {
            "ack" => ack = Seq(value),
            "win" => window = value as u16,
            "urg" => urgent = value as u16,
            _ => panic!("what is `{word}` in `{text}`?"),
        }
    }
    let options = parse_options(options.trim_end_matches('>'));
    (Segment { seq, ack, flags, window, urgent, options, len, congested }, len)
}

/// `mss N,ws N,sack,ts VALUE:ECHO,blk LEFT:RIGHT`.
fn parse_options(text: &str) -> TcpOptions {
    let mut options = TcpOptions { sack: ArrayVec::new(), ..TcpOptions::default() };
    let pair = |value: &str| {
        let (a, b) = value.split_once(':').expect(text);
        (a.parse::<u32>().expect(text), b.parse::<u32>().expect(text))
    };
    for option in text.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once(' ').unwrap_or((option, ""));
        match name {
            "mss" => options.mss = Some(value.parse().expect(text)),
            "ws" => options.window_scale = Some(value.parse().expect(text)),
            "sack" => options.sack_permitted = true,
            "ts" => {
                let (value, echo) = pair(value);
                options.timestamps = Some(Timestamps { value, echo });
            }
            "blk" => {
                let (left, right) = pair(value);
                options.sack.push(SackBlock { left: Seq(left), right: Seq(right) });
            }
            _ => panic!("what is `{option}`?"),
        }
    }
    options
}
