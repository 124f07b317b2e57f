//! HyStart++ (RFC 9406): leaves slow start when the round trip grows, before the bottleneck's queue overflows.
//!
//! A round is over when what was sent last at its beginning is acknowledged. When the least round trip of a round is
//! clearly longer than that of the round before, the window grows at a quarter of the pace for up to five rounds
//! (*conservative* slow start); if the round trip falls again meanwhile, it was jitter and full pace resumes.

use std::time::Duration;

use dataplane::wire::seq::Seq;

use super::Acked;

// RFC 9406 section 4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_GROWTH_DIVISOR: u32 = 4;
const CSS_ROUNDS: u32 = 5;

/// How an acknowledgment lets the window grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// By all that it acknowledges.
    Standard,
    /// By that, divided.
    Conservative(u32),
    /// Not at all: slow start is over.
    Enough,
}

/// Conservative slow start.
#[derive(Debug, Clone, Copy)]
struct Conservative {
    /// The round trip that began it: one that falls below was not the queue's.
    baseline: Duration,
    /// Rounds that are over; the one it began in counts.
    rounds: u32,
}

/// What is known of the present round and the one before.
#[derive(Debug, Default)]
pub(super) struct HyStart {
    /// SND.NXT when the present round began.
    round_end: Option<Seq>,
    last_min: Option<Duration>,
    current_min: Option<Duration>,
    samples: u32,
    conservative: Option<Conservative>,
}

impl HyStart {
    /// RFC 9406 section 4.2, for one acknowledgment in slow start that the window limits: the round trips of a window that
    /// is not used say nothing about the queue that it would make.
    pub(super) fn on_ack(&mut self, acked: &Acked) -> Pace {
        let pace = self.pace();
        if let Some(rtt) = acked.rtt {
            self.current_min = Some(self.current_min.map_or(rtt, |min| min.min(rtt)));
            self.samples = self.samples.saturating_add(1);
            if self.samples >= N_RTT_SAMPLE {
                self.judge();
            }
        }
        // A mark that is not behind SND.NXT is so old that the numbers have wrapped since.
        let over = self.round_end.is_none_or(|end| acked.una.ge(end) || end.gt(acked.nxt));
        if over && self.next_round(acked.nxt) {
            return Pace::Enough;
        }
        pace
    }

    /// Whatever was measured was measured long ago.
    pub(super) fn restart(&mut self) {
        *self = HyStart::default();
    }

    fn pace(&self) -> Pace {
        self.conservative.map_or(Pace::Standard, |_| Pace::Conservative(CSS_GROWTH_DIVISOR))
    }

    /// The round has enough samples to be compared.
    fn judge(&mut self) {
        let Some(current) = self.current_min else { return };
        match self.conservative {
            Some(css) if current < css.baseline => self.conservative = None,
            Some(_) => {}
            None => {
                let Some(last) = self.last_min else { return };
                let threshold = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if current >= last + threshold {
                    self.conservative = Some(Conservative { baseline: current, rounds: 0 });
                }
            }
        }
    }

    /// Begins a round; says whether slow start is over with the one that ends.
    fn next_round(&mut self, nxt: Seq) -> bool {
        let first = self.round_end.is_none();
        self.round_end = Some(nxt);
        if first {
            // The rest of a round of which nobody saw the beginning: its samples are the next one's.
            return false;
        }
        self.last_min = self.current_min.take();
        self.samples = 0;
        let Some(css) = &mut self.conservative else { return false };
        css.rounds += 1;
        css.rounds >= CSS_ROUNDS
    }
}
