//! What one connection is going to do, both ends, drawn before the world starts.

use std::time::Duration;

use dataplane::clock::Instant;

use crate::profile::Profile;
use crate::rng::Rng;

/// Server port of connection 0; the others follow.
pub const FIRST_SERVER_PORT: u16 = 1_000;

/// The shapes that connections come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    RequestResponse,
    ServerFirst,
    BothAtOnce,
    HalfClose,
    OneWay,
    Idle,
    SlowReader,
    Empty,
    ClientAborts,
    ServerAborts,
    ClosedPort,
}

const KINDS: [Kind; 11] = [
    Kind::RequestResponse,
    Kind::ServerFirst,
    Kind::BothAtOnce,
    Kind::HalfClose,
    Kind::OneWay,
    Kind::Idle,
    Kind::SlowReader,
    Kind::Empty,
    Kind::ClientAborts,
    Kind::ServerAborts,
    Kind::ClosedPort,
];

/// `len` bytes, sent `pause` after so many bytes have come in.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub after_received: u64,
    pub pause: Duration,
    pub len: u64,
}

/// How an end finishes once it has sent everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// FIN at once (a half-close, while the peer still sends).
    Close,
    /// FIN when the peer's FIN has come.
    CloseAfterPeer,
    /// RST, as soon as so many bytes were sent and received.
    Abort(u64),
}

/// One end's part.
#[derive(Debug, Clone)]
pub struct Part {
    pub pieces: Vec<Piece>,
    pub finish: Finish,
    /// At most so many bytes are read at once, and then nothing for so long.
    pub read_chunk: usize,
    pub read_pause: Duration,
    /// Receive and transmit buffer, bytes.
    pub buffers: (usize, usize),
    pub timestamps: bool,
    pub delayed_ack: bool,
    pub nagle: bool,
    pub keep_alive: bool,
}

impl Part {
    /// Bytes that this end sends when nobody aborts.
    pub fn total(&self) -> u64 {
        self.pieces.iter().map(|p| p.len).sum()
    }
}

/// One connection.
#[derive(Debug, Clone)]
pub struct Plan {
    pub kind: Kind,
    pub ipv6: bool,
    pub start: Instant,
    pub client_port: u16,
    pub server_port: u16,
    /// Client, server.
    pub parts: [Part; 2],
}

impl Plan {
    /// The plan of connection number `index`. Every connection has a server port of its own: a smoltcp listener is
    /// one connection, and a duplicate SYN would take the listener next to it.
    pub fn draw(index: usize, profile: &Profile, rng: &mut Rng) -> Plan {
        let kind = match rng.pick(&KINDS) {
            _ if profile.half_closes => Kind::HalfClose,
            kind => kind,
        };
        let mut parts = [Self::part(profile, rng), Self::part(profile, rng)];
        // smoltcp 0.14 sends keep-alives behind an outstanding FIN, as a byte of data: only where no FIN gets lost.
        parts[0].keep_alive = kind == Kind::Idle && !profile.loses() && profile.jitter_us == 0;
        Self::script(kind, profile.bytes, &mut parts, rng);
        Plan {
            kind,
            ipv6: rng.chance(400_000),
            start: Instant::from_millis(rng.below(2_000)),
            client_port: 40_000 + index as u16,
            server_port: FIRST_SERVER_PORT + index as u16,
            parts,
        }
    }

    fn part(profile: &Profile, rng: &mut Rng) -> Part {
        Part {
            pieces: Vec::new(),
            finish: Finish::CloseAfterPeer,
            read_chunk: usize::MAX,
            read_pause: Duration::ZERO,
            buffers: (
                2_000 + rng.magnitude(profile.window) as usize,
                2_000 + rng.magnitude(profile.window) as usize,
            ),
            timestamps: rng.chance(600_000),
            delayed_ack: rng.chance(500_000),
            nagle: rng.chance(500_000),
            keep_alive: false,
        }
    }

    fn script(kind: Kind, bytes: u64, [client, server]: &mut [Part; 2], rng: &mut Rng) {
        let now = |len| Piece { after_received: 0, pause: Duration::ZERO, len };
        client.finish = Finish::Close;
        match kind {
            Kind::RequestResponse => dialogue(client, server, bytes, rng),
            Kind::ServerFirst => dialogue(server, client, bytes, rng),
            Kind::BothAtOnce => {
                client.pieces = vec![now(rng.magnitude(bytes))];
                server.pieces = vec![now(rng.magnitude(bytes))];
                server.finish = Finish::Close;
            }
            Kind::HalfClose => {
                client.pieces = vec![now(rng.magnitude(bytes))];
                let after_received = client.total();
                let pause = Duration::from_millis(rng.below(3_000));
                server.pieces = vec![Piece { after_received, pause, len: rng.magnitude(bytes) }];
            }
            Kind::OneWay => {
                let sender = if rng.chance(500_000) { &mut *client } else { &mut *server };
                sender.pieces = vec![now(bytes)];
                server.finish = Finish::Close;
            }
            Kind::Idle => {
                dialogue(client, server, bytes.min(5_000), rng);
                let pause = Duration::from_millis(rng.between(5_000, 120_000));
                let after_received = server.total();
                client.pieces.push(Piece { after_received, pause, len: rng.magnitude(1_000) });
            }
            Kind::SlowReader => {
                dialogue(client, server, bytes, rng);
                let reader = if rng.chance(500_000) { client } else { server };
                reader.read_chunk = rng.between(200, 3_000) as usize;
                reader.read_pause = Duration::from_millis(rng.magnitude(1_500));
                // A scaled window is rounded down: smoltcp 0.14 takes back up to a unit of what it has offered, and
                // when that closes the window it stops retransmitting what was sent meanwhile. Unscaled is exact.
                reader.buffers.0 = reader.buffers.0.min(65_535);
            }
            Kind::Empty => {
                server.finish = rng.pick(&[Finish::Close, Finish::CloseAfterPeer]);
            }
            Kind::ClientAborts | Kind::ServerAborts => {
                dialogue(client, server, bytes, rng);
                let moment = Finish::Abort(rng.below(client.total() + server.total()));
                *if kind == Kind::ClientAborts { &mut client.finish } else { &mut server.finish } = moment;
            }
            Kind::ClosedPort => {}
        }
    }
}

/// Several rounds: `first` speaks, `second` answers when it has all of it.
fn dialogue(first: &mut Part, second: &mut Part, bytes: u64, rng: &mut Rng) {
    let rounds = rng.magnitude(8);
    for _ in 0..rounds {
        let mut pause = || if rng.chance(300_000) { rng.magnitude(2_000) } else { 0 };
        let pauses = [Duration::from_millis(pause()), Duration::from_millis(pause())];
        let lens = [rng.magnitude(bytes / rounds), rng.magnitude(bytes / rounds)];
        first.pieces.push(Piece { after_received: second.total(), pause: pauses[0], len: lens[0] });
        second.pieces.push(Piece { after_received: first.total(), pause: pauses[1], len: lens[1] });
    }
}
