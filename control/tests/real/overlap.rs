//! Segments that contradict each other, read by this machine's kernel and by our TCB: the same bytes.
//!
//! Segments begin at even and end before odd numbers, so that none continues another one: whether the kernel coalesces those
//! depends on its memory. `tcp/tests/overlap.rs` has them, against a model.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use control::lab::{LabError, Result, expect, isolated};
use control::tcp::{Block, Chunk, Handshake, Limits, Segment, State};
use dataplane::clock::Instant;
use dataplane::port::sim::SimBuffer;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::TcpOptions;

/// See there.
const RECEIVER: &str = include_str!("receiver.py");

const CASES: usize = 2000;
const FIRST: Seq = Seq(0xffff_ff00);

/// Where a segment begins, and its bytes.
type Piece = (usize, Vec<u8>);

/// A linear congruential generator: the cases are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.below(256) as u8).collect()
    }
}

/// Overlapping segments behind a hole, and what fills all holes.
fn pieces(random: &mut Random) -> Vec<Piece> {
    let size = [40, 200, 2000][random.below(3)];
    let mut pieces: Vec<Piece> = (0..2 + random.below(14))
        .map(|_| {
            let start = 2 + 2 * random.below(size / 2);
            let len = 1 + 2 * random.below(size / 6);
            (start, random.bytes(len))
        })
        .collect();
    let mut covered: Vec<_> = pieces.iter().map(|(start, bytes)| (*start, start + bytes.len())).collect();
    covered.sort_unstable();
    let mut next = 0;
    for (start, end) in covered {
        if start > next {
            pieces.push((next, random.bytes(start - next)));
        }
        next = next.max(end);
    }
    pieces
}

fn segment(seq: Seq, flags: TcpFlags, len: usize) -> Segment {
    Segment {
        seq,
        ack: Seq(101),
        flags,
        window: 65_000,
        urgent: 0,
        options: TcpOptions::default(),
        len: len as u32,
        congested: false,
    }
}

fn read_by_us(pieces: &[Piece]) -> Vec<u8> {
    let now = Instant::ZERO;
    let syn = segment(FIRST.retreat(1), TcpFlags::SYN, 0);
    let mut block: Block<SimBuffer> = Block::suspended(now, &syn, Limits::default());
    block.answer(now, Seq(100), &Handshake { window: 65_000, ..Handshake::default() });
    block.on_segment(now, &segment(FIRST, TcpFlags::ACK, 0), None);
    assert_eq!(block.state(), State::Established);
    for (start, bytes) in pieces {
        let seq = FIRST.advance(*start as u32);
        block.on_segment(now, &segment(seq, TcpFlags::ACK, bytes.len()), Some(Chunk::owned(bytes.clone())));
    }
    std::iter::from_fn(|| block.read()).flat_map(|chunk| chunk.bytes().to_vec()).collect()
}

/// What the kernel has read, case by case, in hexadecimal.
fn read_by_linux(cases: &[Vec<Piece>]) -> Result<String> {
    let mut script = String::new();
    for pieces in cases {
        for (start, bytes) in pieces {
            let _ = write!(script, "{start}:{} ", hex(bytes));
        }
        let length = pieces.iter().map(|(start, bytes)| start + bytes.len()).max();
        let _ = writeln!(script, "{}", length.unwrap_or(0));
    }
    let mut python = Command::new("python3");
    python.args(["-c", RECEIVER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().map_err(LabError::io("starting python3"))?;
    let mut input = python.stdin.take().expect("it is piped");
    let feeder = std::thread::spawn(move || input.write_all(script.as_bytes()));
    let output = python.wait_with_output().map_err(LabError::io("waiting for python3"))?;
    let fed = feeder.join().is_ok_and(|result| result.is_ok());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    expect(fed && output.status.success(), "the receiver ends well", text.clone())?;
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn contradicting_segments_are_read_as_this_kernel_reads_them() {
    isolated("overlap::contradicting_segments_are_read_as_this_kernel_reads_them", |_inside| {
        let mut random = Random(9293);
        let cases: Vec<_> = (0..CASES).map(|_| pieces(&mut random)).collect();
        let read = read_by_linux(&cases)?;
        expect(read.lines().count() == CASES, "an answer to each case", read.lines().count().to_string())?;
        for (pieces, linux) in cases.iter().zip(read.lines()) {
            let places: Vec<_> = pieces.iter().map(|(at, bytes)| *at..at + bytes.len()).collect();
            expect(hex(&read_by_us(pieces)) == linux, "the kernel's bytes", format!("{places:?}"))?;
        }
        Ok(())
    });
}
