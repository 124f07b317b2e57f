//! Redis and redis-benchmark: many small requests, pipelined.

use std::net::IpAddr;
use std::time::Duration;

use crate::lab::error::{LabError, Result};
use crate::lab::process::Process;
use crate::lab::topology::Lab;

use super::START;

const CLIENTS: usize = 20;
const PIPELINE: usize = 16;

/// A running server that keeps nothing.
#[derive(Debug)]
pub struct Redis {
    _process: Process,
}

impl Redis {
    /// Starts it.
    ///
    /// # Errors
    /// [`LabError::MissingTool`], or its own words.
    pub fn start(lab: &Lab) -> Result<Redis> {
        let server =
            lab.server().command("redis-server").words("--bind * -::* --port 6379 --protected-mode no");
        let server = server.args(["--save", "", "--appendonly", "no", "--dir"]).arg(lab.server().directory());
        let mut process = server.spawn()?;
        process.wait_for_text("Ready to accept connections", START)?;
        Ok(Redis { _process: process })
    }

    /// Requests that take about so long when nothing is lost and a round trip takes `round_trip`: the benchmark counts
    /// requests, not seconds.
    pub fn requests_for(time: Duration, round_trip: Duration) -> usize {
        // As much as the two hosts and a relay manage on a small machine.
        let ceiling = 250_000.0;
        let rate = (CLIENTS * PIPELINE) as f64 / round_trip.as_secs_f64().max(1e-6);
        let requests = rate.min(ceiling) * time.as_secs_f64() / 2.0;
        (requests as usize).max(2 * CLIENTS * PIPELINE)
    }

    /// SETs, then as many GETs, of 256 bytes; requests a second.
    ///
    /// # Errors
    /// redis-benchmark's own words, [`LabError::Timeout`] when it does not come to an end.
    pub fn run(&self, lab: &Lab, address: IpAddr, requests: usize, within: Duration) -> Result<f64> {
        let benchmark = lab.client().command("redis-benchmark").words("--csv -t set,get -d 256 -h");
        let benchmark = benchmark.arg(address.to_string());
        let benchmark = benchmark.words(&format!("-c {CLIENTS} -P {PIPELINE} -n {requests}"));
        let told = benchmark.timeout(within).ok()?;
        let rates: Vec<f64> = told.lines().filter_map(rate).collect();
        let [set, get] = rates[..] else {
            return Err(LabError::Unexpected {
                expected: "a rate for SET and one for GET".into(),
                got: told,
            });
        };
        Ok(2.0 / (1.0 / set + 1.0 / get))
    }
}

/// Of a line such as `"SET","52631.58",…`.
fn rate(line: &str) -> Option<f64> {
    let (name, rest) = line.split_once(',')?;
    let known = ["\"SET\"", "\"GET\""].contains(&name);
    known.then(|| rest.split(',').next()?.trim_matches('"').parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_found_and_the_header_is_not() {
        assert_eq!(rate("\"test\",\"rps\",\"avg_latency_ms\""), None);
        assert_eq!(rate("\"SET\",\"52631.58\",\"0.9\""), Some(52_631.58));
    }

    #[test]
    fn requests_fit_the_time() {
        let asked =
            |round_trip| Redis::requests_for(Duration::from_secs(4), Duration::from_millis(round_trip));
        assert_eq!(asked(100), 6400);
        assert_eq!(asked(0), 500_000);
    }
}
