//! Proportional rate reduction: how the window comes down during a recovery (RFC 6937).

/// The state of section 3.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::tcp) struct Prr {
    /// RecoverFS: outstanding when the recovery began.
    outstanding: u32,
    delivered: u64,
    out: u64,
}

impl Prr {
    pub(super) fn new(outstanding: u32) -> Self {
        Prr { outstanding: outstanding.max(1), delivered: 0, out: 0 }
    }

    /// `bytes` are sent.
    pub(super) fn on_sent(&mut self, bytes: u32) {
        self.out += u64::from(bytes);
    }

    /// The congestion window after an acknowledgment that says that `delivered` bytes have arrived, with `pipe` bytes in
    /// the network. `safe` when it brought progress and no further loss (the slow start reduction bound, else the
    /// conservative one).
    pub(super) fn window(
        &mut self,
        delivered: u32,
        pipe: u32,
        threshold: u32,
        segment: u32,
        safe: bool,
    ) -> u32 {
        self.delivered += u64::from(delivered);
        let may_send = if pipe > threshold {
            let share = (self.delivered * u64::from(threshold)).div_ceil(u64::from(self.outstanding));
            share.saturating_sub(self.out)
        } else {
            let bound = self.delivered.saturating_sub(self.out);
            let bound = if safe { bound.max(u64::from(delivered)) + u64::from(segment) } else { bound };
            u64::from(threshold - pipe).min(bound)
        };
        pipe.saturating_add(may_send.min(u64::from(u32::MAX)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One segment in twenty is lost: for every two that arrive one is sent, and the window ends at the threshold.
    #[test]
    fn comes_down_in_proportion() {
        let mut prr = Prr::new(20_000);
        let (mut pipe, mut sent) = (19_000u32, 0u32);
        for _ in 0..19 {
            pipe -= 1000;
            let window = prr.window(1000, pipe, 10_000, 1000, false);
            let burst = window.saturating_sub(pipe) / 1000 * 1000;
            prr.on_sent(burst);
            pipe += burst;
            sent += burst;
        }
        assert!((9_000..=10_000).contains(&pipe), "{pipe}");
        assert_eq!(sent, pipe);
    }

    /// Most of a window is lost: what arrives is replaced, one segment more when there is progress.
    #[test]
    fn does_not_fall_behind_and_does_not_burst() {
        let mut prr = Prr::new(20_000);
        assert_eq!(prr.window(1000, 2000, 10_000, 1000, false), 3000);
        prr.on_sent(1000);
        assert_eq!(prr.window(1000, 2000, 10_000, 1000, true), 4000);
    }
}
