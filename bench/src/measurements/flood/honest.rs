//! Clients that mean it, among SYNs of which nobody will ever hear again.

use std::time::Duration;

use super::super::connections::cycle::Cycle;
use super::super::connections::ends::{End, Flood};
use crate::race::Spread;
use crate::traffic::Family;
use crate::worker::Beside;

/// From a client's segment to its next, by way of the server: as far as the next country.
pub const ROUND_TRIP: Duration = Duration::from_millis(10);
/// SYNs for each that is meant.
const SYNS_PER_CLIENT: u32 = 64;
/// As in a configuration that says nothing of it.
pub const HELD: usize = 16_384;

/// What a flood did.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Of a hundred connections, so many were closed by both ends.
    pub succeeded: f64,
    pub million_syns_a_second: f64,
}

/// So many honest clients meanwhile, under these rules.
pub fn flood(family: Family, clients: u64, beside: &Beside) -> Outcome {
    let flood = Flood { clients, syns_per_client: SYNS_PER_CLIENT, round_trip: ROUND_TRIP };
    let mut cycle = Cycle::new(End::flooded(family, flood), HELD, HELD, beside);
    // Each needs three round trips.
    let seconds = cycle.flood(clients, 20 * ROUND_TRIP);
    let tally = cycle.tally();
    Outcome {
        succeeded: 100.0 * tally.closed as f64 / tally.started as f64,
        million_syns_a_second: tally.spoofed as f64 / seconds / 1e6,
    }
}

/// Of all samples.
pub fn spreads(samples: &[Outcome]) -> [Spread; 2] {
    let spread = |value: fn(&Outcome) -> f64| Spread::of(samples.iter().map(value));
    [spread(|outcome| outcome.succeeded), spread(|outcome| outcome.million_syns_a_second)]
}

#[cfg(test)]
mod tests {
    use dataplane::policy::CookieUse;

    use super::super::cookies;
    use super::*;

    #[test]
    fn honest_clients_are_served_among_a_flood() {
        for when in [CookieUse::Never, CookieUse::Always] {
            let outcome = flood(Family::V6, 100, &cookies(when));
            assert!(outcome.succeeded > 0.0 && outcome.succeeded <= 100.0, "{outcome:?}");
            assert!(outcome.million_syns_a_second > 0.0, "{outcome:?}");
        }
    }
}
