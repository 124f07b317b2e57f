//! Sequence numbers modulo 2^32 (RFC 9293 section 3.4) and the deltas between two such spaces.
//!
//! `Seq` has no `Ord`: a comparison is meaningful only between numbers less than 2^31 apart, and says so by name.

use std::fmt;

/// No window is larger: 65535 << 14 (RFC 7323 section 2.3). So nobody sends what is further ahead of an acknowledgment, and
/// nobody acknowledges, or repeats, what is further behind.
pub const MAX_WINDOW: u32 = 1 << 30;

/// A TCP sequence or acknowledgment number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// `self` comes strictly before `other`.
    pub const fn lt(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `self` comes before `other` or is the same.
    pub const fn le(self, other: Seq) -> bool {
        !other.lt(self)
    }

    /// `self` comes strictly after `other`.
    pub const fn gt(self, other: Seq) -> bool {
        other.lt(self)
    }

    /// `self` comes after `other` or is the same.
    pub const fn ge(self, other: Seq) -> bool {
        !self.lt(other)
    }

    /// The number `n` bytes later.
    pub const fn advance(self, n: u32) -> Seq {
        Seq(self.0.wrapping_add(n))
    }

    /// The number `n` bytes earlier.
    pub const fn retreat(self, n: u32) -> Seq {
        Seq(self.0.wrapping_sub(n))
    }

    /// Bytes from `self` up to `end`; 0 when `end` is not after `self`.
    pub const fn distance_to(self, end: Seq) -> u32 {
        let d = end.0.wrapping_sub(self.0);
        if (d as i32) < 0 { 0 } else { d }
    }

    /// Within `[start, start + len)`.
    pub const fn in_window(self, start: Seq, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// The later of two.
    pub const fn max(self, other: Seq) -> Seq {
        if self.lt(other) { other } else { self }
    }

    /// The earlier of two.
    pub const fn min(self, other: Seq) -> Seq {
        if self.lt(other) { self } else { other }
    }

    /// Moved by a delta: the number in the opposite leg's space.
    pub const fn plus(self, delta: Delta) -> Seq {
        Seq(self.0.wrapping_add(delta.0 as u32))
    }

    /// Moved back by a delta.
    pub const fn minus(self, delta: Delta) -> Seq {
        Seq(self.0.wrapping_sub(delta.0 as u32))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Difference of two sequence spaces, modulo 2^32, shown as signed (DESIGN section 1, seed 001 FIG. 8).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Delta(pub i32);

impl Delta {
    /// No rewriting needed.
    pub const ZERO: Delta = Delta(0);

    /// `to − from`: what has to be added to a number in `from`'s space.
    pub const fn between(to: Seq, from: Seq) -> Delta {
        Delta(to.0.wrapping_sub(from.0) as i32)
    }

    /// Whether this delta changes nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_across_the_wrap() {
        let near_end = Seq(u32::MAX - 1);
        assert!(near_end.lt(Seq(3)) && Seq(3).gt(near_end) && near_end.le(near_end));
        assert_eq!(near_end.advance(5), Seq(3));
        assert_eq!(near_end.distance_to(Seq(3)), 5);
        assert_eq!(Seq(3).distance_to(near_end), 0);
        assert_eq!(near_end.max(Seq(3)), Seq(3));
        assert_eq!(near_end.min(Seq(3)), near_end);
    }

    #[test]
    fn windows_across_the_wrap() {
        assert!(Seq(2).in_window(Seq(u32::MAX), 4));
        assert!(!Seq(3).in_window(Seq(u32::MAX), 4));
        assert!(!Seq(7).in_window(Seq(7), 0));
    }

    #[test]
    fn deltas_go_there_and_back() {
        for (to, from) in [(0, 0), (5, u32::MAX), (u32::MAX, 5), (1 << 31, 0), (0, 1 << 31)] {
            let delta = Delta::between(Seq(to), Seq(from));
            assert_eq!(Seq(from).plus(delta), Seq(to));
            assert_eq!(Seq(to).minus(delta), Seq(from));
        }
    }
}
