//! iperf3: bulk connections in one direction for a given time.

use std::net::IpAddr;
use std::time::Duration;

use crate::lab::error::Result;
use crate::lab::topology::Lab;

use super::{GRACE, START, json, number};

const PORT: u16 = 5201;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The server.
    Down,
    /// The client.
    Up,
}

/// Bits a second that the receiver got.
///
/// # Errors
/// iperf3's own words.
pub fn run(lab: &Lab, address: IpAddr, direction: Direction, time: Duration) -> Result<f64> {
    run_parallel(lab, address, direction, time, 1)
}

/// The same, of so many connections together.
///
/// # Errors
/// As [`run`].
pub fn run_parallel(
    lab: &Lab,
    address: IpAddr,
    direction: Direction,
    time: Duration,
    connections: usize,
) -> Result<f64> {
    // One server for each client: one whose client was lost would go on waiting for it.
    let _server = lab.server().command("iperf3").words(&format!("-s -1 -p {PORT}")).spawn()?;
    lab.server().wait_for_listener(PORT, START)?;
    let mut client = lab.client().command("iperf3").words(&format!("-J -p {PORT} --connect-timeout 10000"));
    client = client.arg("-c").arg(address.to_string()).arg("-t").arg(time.as_secs().max(1).to_string());
    client = client.arg("-P").arg(connections.to_string());
    if direction == Direction::Down {
        client = client.arg("-R");
    }
    let report = json(&client.timeout(time + GRACE).ok()?)?;
    number(&report, "/end/sum_received/bits_per_second")
}
