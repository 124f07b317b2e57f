//! What lackey says, by cache line and by whose turn it was.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use crossbeam::utils::CachePadded;

/// Bytes of a line, as a power of two.
const LINE: u32 = 6;
/// What tells a reader where the marks are.
const WHERE: &str = "marks at ";

/// Two workers, and the control core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    Worker(usize),
    Core,
}

impl Party {
    const fn index(self) -> u64 {
        match self {
            Party::Worker(n) => n as u64,
            Party::Core => 2,
        }
    }
}

/// Written when a turn begins: one of the first three, by party; the last when it ends.
static MARKS: CachePadded<[AtomicU64; 4]> = CachePadded::new([const { AtomicU64::new(0) }; 4]);
const NOBODY: u64 = 3;

/// Says where the marks are: at once, or what lackey says would be in the midst of it.
pub fn announce() -> std::io::Result<()> {
    let line = format!("{WHERE}{:x}\n", MARKS.as_ptr().addr());
    std::io::stderr().write_all(line.as_bytes())
}

/// A party's turn.
pub fn turn(party: Party, work: impl FnOnce()) {
    MARKS[party.index() as usize].store(1, Ordering::SeqCst);
    work();
    MARKS[NOBODY as usize].store(1, Ordering::SeqCst);
}

/// Which parties have read a line, and which have written it: a bit for each.
#[derive(Default)]
struct Touched {
    read: u8,
    written: u8,
}

/// All lines of all turns, and how many turns have ended.
#[derive(Default)]
pub struct Lines {
    touched: HashMap<u64, Touched>,
    turns: u32,
}

const WORKERS: u8 = 0b011;
const CORE: u8 = 0b100;

impl Lines {
    /// All that lackey says.
    pub fn read(mut output: impl BufRead) -> anyhow::Result<Lines> {
        let mut lines = Lines::default();
        let mut marks = None;
        let mut turn = NOBODY;
        let mut text = Vec::new();
        while output.read_until(b'\n', &mut text)? > 0 {
            let line = text.trim_ascii_end();
            if let Some((what, address, bytes)) = access(line) {
                let mark = marks.and_then(|marks| u64::checked_sub(address, marks)).filter(|at| *at < 32);
                match mark {
                    Some(at) => {
                        turn = at / 8;
                        // A store that others must see at once is a load too.
                        lines.turns += u32::from(turn == NOBODY && what != b'L');
                    }
                    None if turn == NOBODY => {}
                    None => lines.touch(turn, what, address, bytes),
                }
            } else if let Some(address) = line.strip_prefix(WHERE.as_bytes()) {
                marks = Some(hexadecimal(address).context("an address")?);
            } else if !line.starts_with(b"I") && !line.starts_with(b"==") {
                eprintln!("{}", String::from_utf8_lossy(line));
            }
            text.clear();
        }
        Ok(lines)
    }

    /// That have begun and ended: a trace that was cut off has fewer.
    pub fn turns(&self) -> u32 {
        self.turns
    }

    fn touch(&mut self, turn: u64, what: u8, address: u64, bytes: u64) {
        for line in address >> LINE..=(address + bytes.max(1) - 1) >> LINE {
            let touched = self.touched.entry(line).or_default();
            if what != b'S' {
                touched.read |= 1 << turn;
            }
            if what != b'L' {
                touched.written |= 1 << turn;
            }
        }
    }

    fn count(&self, is_meant: impl Fn(&Touched) -> bool) -> usize {
        self.touched.values().filter(|touched| is_meant(touched)).count()
    }

    pub fn written_by_workers(&self) -> usize {
        self.count(|touched| touched.written & WORKERS != 0)
    }

    /// Written by a worker, and touched by somebody else: their addresses, and who.
    pub fn shared(&self) -> Vec<String> {
        let is_shared = |touched: &Touched| {
            touched.written & WORKERS != 0 && (touched.written | touched.read).count_ones() > 1
        };
        let shared = self.touched.iter().filter(|(_, touched)| is_shared(touched));
        let named = shared.map(|(line, Touched { read, written })| {
            format!("{:x} (written by {}, read by {})", line << LINE, names(*written), names(*read))
        });
        named.collect()
    }

    /// Written by the control core, and read by a worker.
    pub fn told_by_core(&self) -> usize {
        self.count(|touched| touched.written & CORE != 0 && touched.read & WORKERS != 0)
    }
}

/// Of the parties with a bit.
fn names(parties: u8) -> String {
    let names = ["worker 0", "worker 1", "control"].into_iter().enumerate();
    let meant = names.filter(|(at, _)| parties & 1 << at != 0).map(|(_, name)| name);
    meant.collect::<Vec<_>>().join(" and ")
}

/// A load, a store or both (`L`, `S`, `M`): ` S 1ffeffe7d8,8`.
fn access(line: &[u8]) -> Option<(u8, u64, u64)> {
    let [b' ', what @ (b'L' | b'S' | b'M'), b' ', rest @ ..] = line else { return None };
    let comma = rest.iter().position(|byte| *byte == b',')?;
    let bytes = std::str::from_utf8(&rest[comma + 1..]).ok()?.parse().ok()?;
    Some((*what, hexadecimal(&rest[..comma])?, bytes))
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(output: &str) -> Lines {
        Lines::read(output.as_bytes()).expect("it can be read")
    }

    #[test]
    fn what_one_writes_and_another_touches_is_shared() {
        let said = "==1== lackey\n S 1000,8\nmarks at 2000\n S 2000,8\n S 1000,8\n L 1040,8\n S 1078,16\n S 2018,8\n \
                    S 9999,1\n S 2008,8\n M 1044,4\n L 10a0,1\n S 2010,8\n S 3000,8\n S 2018,8\n";
        let lines = lines(said);
        // 1000, 1040 and 1080 by either worker; both touch 1040 and 1080, which are written.
        assert_eq!((lines.written_by_workers(), lines.shared().len(), lines.told_by_core()), (3, 2, 0));
        assert_eq!(lines.turns(), 2);
    }

    #[test]
    fn what_the_control_core_tells_is_read_by_workers() {
        let lines = lines(
            "marks at 2000\n S 2010,8\nI  04,3\n S 1000,8\n S 2018,8\n S 2000,8\n L 1008,8\n S 2018,8\n",
        );
        assert_eq!((lines.written_by_workers(), lines.shared().len(), lines.told_by_core()), (0, 0, 1));
    }
}
