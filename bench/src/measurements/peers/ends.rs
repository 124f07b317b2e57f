//! Both ends of the connections: a client that is told what to do, and a server that does what the client asks for. Each is a
//! process in its host's namespace, of one thread.

pub mod client;
pub mod server;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use control::lab::{Endpoint, LATE, Process, wait_for};
use serde::{Deserialize, Serialize};

use super::Part;

/// Of a request, and of a response.
pub const MESSAGE: usize = 128;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A response; the connection ends when its client ends it.
    Response,
    /// A response, and behind the client's next byte so many.
    Bulk(u64),
}

impl Ask {
    /// A request: the number of bytes, and nothing else of meaning.
    fn request(self) -> [u8; MESSAGE] {
        let bytes = match self {
            Ask::Response => 0,
            Ask::Bulk(bytes) => bytes,
        };
        let mut request = [b'.'; MESSAGE];
        request[..8].copy_from_slice(&bytes.to_be_bytes());
        request
    }

    fn of(request: &[u8; MESSAGE]) -> Ask {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&request[..8]);
        match u64::from_be_bytes(bytes) {
            0 => Ask::Response,
            bytes => Ask::Bulk(bytes),
        }
    }
}

/// What the client is told to do, a line of JSON each.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Order {
    /// Connections with a request and a response each, so many at once.
    Connections { target: SocketAddr, count: usize, at_once: usize },
    /// One connection, and so many bytes from the server.
    Bulk { target: SocketAddr, bytes: u64 },
    /// Connections that have had a response and stay.
    Idle { target: SocketAddr, count: usize },
    /// Ends those.
    Close,
}

/// What it came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// From the first to the last.
    pub seconds: f64,
    /// Until it was established.
    pub connect: Quantiles,
    /// From then until the response was there.
    pub request: Quantiles,
}

/// Microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
}

impl Quantiles {
    fn of(mut all: Vec<Duration>) -> Quantiles {
        let mut at = |hundredths| crate::race::percentile(&mut all, hundredths) / 1e3;
        Quantiles { p50: at(50), p99: at(99) }
    }
}

/// The client's process.
pub struct Client {
    process: Process,
    answers: usize,
}

impl Client {
    pub fn start(host: &Endpoint) -> anyhow::Result<Client> {
        let process = Part::Client.on(host)?.spawn()?;
        Ok(Client { process, answers: 0 })
    }

    /// Has it carry out an order. It gives up by itself ([`client::PATIENCE`]).
    pub fn carry_out(&mut self, order: Order) -> anyhow::Result<Report> {
        self.process.write(format!("{}\n", serde_json::to_string(&order)?).as_bytes())?;
        let answers = self.answers;
        let line = wait_for("the client's answer", client::PATIENCE + LATE, || {
            // Looked at in this order, so that the last words of one that has just ended are not missed.
            let is_over = !self.process.is_running()?;
            let said = self.process.stdout();
            let line = said.split_inclusive('\n').nth(answers).filter(|line| line.ends_with('\n'));
            Ok(line.map(str::to_owned).or_else(|| is_over.then(|| self.process.stderr())))
        })?;
        self.answers += 1;
        let answer: Result<Report, String> =
            serde_json::from_str(&line).with_context(|| format!("the client said: {line}"))?;
        match answer {
            Ok(report) => Ok(report),
            Err(why) => bail!("{why}"),
        }
    }
}

/// A thread's reactor and timers.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_it_asks_for() {
        for ask in [Ask::Response, Ask::Bulk(1), Ask::Bulk(u64::MAX)] {
            assert_eq!(Ask::of(&ask.request()), ask);
        }
    }

    #[test]
    fn quantiles_are_in_microseconds() {
        let all = (1..=100).map(Duration::from_micros).collect();
        assert_eq!(Quantiles::of(all), Quantiles { p50: 50.0, p99: 99.0 });
    }
}
