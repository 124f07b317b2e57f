//! Redis and redis-benchmark: many small requests, pipelined.

use std::net::IpAddr;
use std::time::Duration;

use crate::lab::error::{LabError, Result};
use crate::lab::process::Process;
use crate::lab::topology::Lab;

use super::{START, exchange};

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

    /// Requests of each kind that take about half of `time`, when `loss` (0 to 1) of the segments are lost.
    pub fn requests_for(time: Duration, round_trip: Duration, loss: f64) -> usize {
        // Every connection's pipeline once: as fast as the two hosts and a relay manage on a small machine.
        let least = round_trip + Duration::from_micros(1200);
        let turns = time.as_secs_f64() / 2.0 / exchange(least, loss).as_secs_f64();
        (turns.max(2.0) as usize) * CLIENTS * PIPELINE
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
        let asked = |round_trip, loss| {
            Redis::requests_for(Duration::from_secs(4), Duration::from_millis(round_trip), loss)
        };
        // 2 s of 101.2 ms, of 1.2 ms, and of 1.2 ms and a twentieth of 400 ms.
        assert_eq!(asked(100, 0.0), 19 * 320);
        assert_eq!(asked(0, 0.0), 1666 * 320);
        assert_eq!(asked(0, 0.05), 94 * 320);
    }
}
