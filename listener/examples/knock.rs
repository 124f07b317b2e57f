//! A port-knocking filter: a port opens to a client that has tried some others in order. The knocks are dropped, so that
//! nobody can tell them from a port that nobody listens at.
//!
//! `cargo run -p quadrille-listener --example knock -- SOCKET GUARDED KNOCK…`, for example
//! `knock /run/quadrille-filter.sock 22 7001 7002 7003`. All other connections are proxied.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use quadrille_listener::{Listener, Partial, Unsent};

/// How long a client may take for the whole sequence, and how long the port stays open to it.
const WINDOW: Duration = Duration::from_secs(30);
/// Clients that are remembered; beyond, who came first is forgotten.
const CLIENTS: usize = 10_000;

struct Knocks {
    guarded: u16,
    sequence: Vec<u16>,
    /// How far each client has come, and since when.
    heard: HashMap<IpAddr, (usize, Instant)>,
}

impl Knocks {
    fn decide(&mut self, partial: Partial) -> Result<(), Unsent> {
        let (client, port) = (partial.client().ip(), partial.server().port());
        let now = Instant::now();
        if port == self.guarded {
            let is_open = self.heard.get(&client).is_some_and(|(count, since)| {
                *count == self.sequence.len() && now.duration_since(*since) < WINDOW
            });
            println!("{client}: {}", if is_open { "let in" } else { "left outside" });
            return if is_open { partial.proxy() } else { partial.drop_silently() };
        }
        if !self.sequence.contains(&port) {
            return partial.proxy();
        }
        self.knock(client, port, now);
        partial.drop_silently()
    }

    fn knock(&mut self, client: IpAddr, port: u16, now: Instant) {
        if self.heard.len() >= CLIENTS && !self.heard.contains_key(&client) {
            let first = self.heard.iter().min_by_key(|(_, (_, since))| *since).map(|(client, _)| *client);
            first.and_then(|first| self.heard.remove(&first));
        }
        let (count, since) = self.heard.entry(client).or_insert((0, now));
        if now.duration_since(*since) >= WINDOW {
            (*count, *since) = (0, now);
        }
        *count = match self.sequence.get(*count) {
            Some(next) if *next == port => *count + 1,
            // Its SYN has been dropped, so the client repeats it: the same knock.
            _ if *count > 0 && self.sequence[*count - 1] == port => *count,
            _ => usize::from(self.sequence[0] == port),
        };
        println!("{client}: {count} of {} knocks", self.sequence.len());
    }
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ports: Option<Vec<u16>> = arguments.iter().skip(1).map(|port| port.parse().ok()).collect();
    let Some([guarded, sequence @ ..]) = ports.as_deref().filter(|ports| ports.len() > 1) else {
        eprintln!("usage: knock SOCKET GUARDED KNOCK…");
        std::process::exit(2);
    };
    let mut listener = Listener::connect(&arguments[0])?;
    let mut knocks = Knocks { guarded: *guarded, sequence: sequence.to_vec(), heard: HashMap::new() };
    println!("listening");
    loop {
        knocks.decide(listener.accept()?)?;
    }
}
