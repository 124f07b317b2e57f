//! Both ends of all connections, in the ports' calls: what is transmitted to an end becomes its answer and waits to be received.
//!
//! A client sends SYN, ACK, request; it acknowledges the response, thinks for some rounds, sends its FIN, acknowledges the
//! server's. The server answers SYN, request and FIN. Nine segments in all, and neither end keeps anything of a connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dataplane::buffer::Buffer;
use dataplane::port::{BURST, Burst, Port};

use super::segment::{ACK, Answer, FIN, PSH, RST, SYN, Segment, seal};
use crate::measurements::rules::syns::unstamped_syn;
use crate::pooled::Pooled;
use crate::traffic::{Family, client_of};
use crate::turns::Timed;
use crate::worker::Source;

/// Initial sequence numbers: the client's is that of its SYN.
const CLIENT: u32 = 7;
const SERVER: u32 = 5000;
/// Bytes of a request, and of a response.
pub const PAYLOAD: usize = 128;
/// Rounds that a client thinks before it closes: more than a merge takes.
const THINKS: u64 = 16;
/// Quads before one is used again: long after the last connection on it has gone.
const QUADS: u32 = 1 << 22;

/// A port, and the end behind it.
pub struct End {
    role: Role,
    /// To be received, and whether the connection is to be closed after it.
    ready: VecDeque<(Pooled, bool)>,
    /// Time in the calls of this port.
    spent: Duration,
}

enum Role {
    Clients(Box<Clients>),
    Server,
}

/// What else comes from where the clients are.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// In all; after them, nobody means it.
    pub clients: u64,
    /// SYNs that nobody will hear of again, before each client's.
    pub syns_per_client: u32,
    /// From what a client is sent to the arrival of its answer.
    pub round_trip: Duration,
}

struct Clients {
    /// Of the first flow.
    syn: Vec<u8>,
    /// As many connections at once.
    most: usize,
    open: usize,
    /// In all, after which nobody begins any more.
    until: u64,
    next: u32,
    round: u64,
    /// FINs, and in which round they are sent.
    later: VecDeque<(u64, Pooled)>,
    flood: Option<Flood>,
    /// Answers of clients that are far away, and when they arrive.
    travelling: VecDeque<(Instant, (Pooled, bool))>,
    /// SYNs of the flood.
    spoofed: u64,
    started: u64,
    closed: u64,
    resets: u64,
}

/// What has become of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub started: u64,
    /// By both ends.
    pub closed: u64,
    /// That a client has seen.
    pub resets: u64,
    /// SYNs of a flood.
    pub spoofed: u64,
}

impl End {
    /// The clients' port, and the server's; so many connections at once.
    pub fn pair(family: Family, most: usize) -> [End; 2] {
        End::new(family, most, None)
    }

    /// The same, with SYNs among them that mean nothing, and as many clients as come, whatever becomes of those before.
    pub fn flooded(family: Family, flood: Flood) -> [End; 2] {
        End::new(family, usize::MAX, Some(flood))
    }

    fn new(family: Family, most: usize, flood: Option<Flood>) -> [End; 2] {
        let clients = Clients {
            syn: unstamped_syn(&family.quad(0)),
            most,
            open: 0,
            until: 0,
            next: 0,
            round: 0,
            later: VecDeque::new(),
            flood,
            travelling: VecDeque::new(),
            spoofed: 0,
            started: 0,
            closed: 0,
            resets: 0,
        };
        [Role::Clients(Box::new(clients)), Role::Server].map(|role| End {
            role,
            ready: VecDeque::new(),
            spent: Duration::ZERO,
        })
    }

    /// Clients go on until so many connections have begun since the start.
    pub fn go_on_until(&mut self, connections: u64) {
        if let Role::Clients(clients) = &mut self.role {
            clients.until = connections;
        }
    }

    /// Of the clients'.
    pub fn tally(&self) -> Tally {
        match &self.role {
            Role::Server => Tally::default(),
            Role::Clients(clients) => Tally {
                started: clients.started,
                closed: clients.closed,
                resets: clients.resets,
                spoofed: clients.spoofed,
            },
        }
    }
}

/// The server's answer.
fn serve(mut frame: Pooled, ready: &mut VecDeque<(Pooled, bool)>) {
    let heard = Segment::read(frame.bytes());
    let (flags, seq, payload) = match heard.flags {
        flags if flags & SYN != 0 => (SYN | ACK, SERVER, 0),
        flags if flags & FIN != 0 => (FIN | ACK, SERVER + 1 + PAYLOAD as u32, 0),
        flags if flags & RST == 0 && heard.payload > 0 => (PSH | ACK, SERVER + 1, PAYLOAD),
        _ => return,
    };
    heard.answer(&mut frame, Answer { flags, seq, ack: heard.end(), payload });
    ready.push_back((frame, false));
}

impl Clients {
    /// A client's answer, which takes as long as its way does.
    fn hear(&mut self, frame: Pooled, ready: &mut VecDeque<(Pooled, bool)>) {
        let Some(flood) = self.flood else { return self.answer(frame, ready) };
        if is_spoofed(frame.bytes()) {
            return;
        }
        let mut answers = VecDeque::new();
        self.answer(frame, &mut answers);
        let arrival = Instant::now() + flood.round_trip;
        self.travelling.extend(answers.into_iter().map(|answer| (arrival, answer)));
    }

    fn answer(&mut self, mut frame: Pooled, ready: &mut VecDeque<(Pooled, bool)>) {
        let heard = Segment::read(frame.bytes());
        let after_request = CLIENT + 1 + PAYLOAD as u32;
        let answer = |seq| Answer { flags: ACK, seq, ack: heard.end(), payload: 0 };
        if heard.flags & RST != 0 {
            self.resets += 1;
        } else if heard.flags & SYN != 0 {
            let answer = answer(CLIENT + 1);
            heard.answer(&mut frame, answer);
            let mut request = Pooled::copy_of(frame.bytes());
            let own = Segment::read(request.bytes());
            own.say(&mut request, Answer { flags: PSH | ACK, payload: PAYLOAD, ..answer });
            ready.push_back((frame, false));
            ready.push_back((request, false));
        } else if heard.flags & FIN != 0 {
            heard.answer(&mut frame, answer(after_request + 1));
            ready.push_back((frame, false));
            self.closed += 1;
            // Of an acknowledgment that was too slow there comes another FIN: then there are fewer merges than there were ends, and no
            // figure.
            self.open = self.open.saturating_sub(1);
        } else if heard.payload > 0 {
            heard.answer(&mut frame, answer(after_request));
            ready.push_back((frame, true));
        }
    }

    /// Its acknowledgment of the response has been received.
    fn close_after(&mut self, acknowledgment: &[u8]) {
        let mut frame = Pooled::copy_of(acknowledgment);
        let own = Segment::read(frame.bytes());
        own.say(&mut frame, Answer { flags: FIN | ACK, seq: own.seq, ack: own.ack, payload: 0 });
        self.later.push_back((self.round + THINKS, frame));
    }

    /// Of flow `n` of its family.
    fn syn(&self, n: u32) -> Pooled {
        let mut frame = Pooled::copy_of(&self.syn);
        let bytes = frame.bytes_mut();
        let (host, port) = client_of(n);
        let is_v4 = bytes[12..14] == [8, 0];
        let l4 = if is_v4 { 34 } else { 54 };
        match is_v4 {
            true => bytes[27..30].copy_from_slice(&host.to_be_bytes()[1..]),
            false => bytes[34..38].copy_from_slice(&host.to_be_bytes()),
        }
        bytes[l4..l4 + 2].copy_from_slice(&port.to_be_bytes());
        let end = bytes.len();
        seal(bytes, l4, end);
        frame
    }

    fn begin(&mut self, ready: &mut VecDeque<(Pooled, bool)>) {
        self.round += 1;
        while self.later.front().is_some_and(|(round, _)| *round <= self.round) {
            ready.extend(self.later.pop_front().map(|(_, frame)| (frame, false)));
        }
        if self.flood.is_some() {
            let now = Instant::now();
            while self.travelling.front().is_some_and(|(arrival, _)| *arrival <= now) {
                ready.extend(self.travelling.pop_front().map(|(_, answer)| answer));
            }
        }
        while self.open < self.most && self.started < self.until && ready.len() < BURST {
            let n = self.next;
            self.next = self.next.wrapping_add(1);
            match self.flood {
                Some(flood)
                    if self.started == flood.clients || !n.is_multiple_of(1 + flood.syns_per_client) =>
                {
                    self.spoofed += 1;
                    ready.push_back((self.syn(QUADS + n % QUADS), false));
                }
                _ => {
                    ready.push_back((self.syn(n % QUADS), false));
                    self.open += 1;
                    self.started += 1;
                }
            }
        }
    }
}

/// Whether the client is one of those that do not exist; without flood, nobody asks.
fn is_spoofed(frame_to_client: &[u8]) -> bool {
    let bytes = frame_to_client;
    // The end of the destination's address.
    let end = if bytes[12..14] == [8, 0] { 34 } else { 54 };
    u16::from_be_bytes([bytes[end - 2], bytes[end - 1]]) >= client_of(QUADS).0 as u16
}

impl Source for End {
    fn start(&mut self) {
        self.go_on_until(u64::MAX);
    }

    fn inject(&mut self, frame: Vec<u8>) {
        self.ready.push_back((Pooled::copy_of(&frame), false));
    }
}

impl Timed for End {
    fn spent(&self) -> Duration {
        self.spent
    }
}

impl Port for End {
    type Buffer = Pooled;

    fn receive(&mut self, burst: &mut Burst<Pooled>) -> usize {
        let start = Instant::now();
        if let Role::Clients(clients) = &mut self.role {
            clients.begin(&mut self.ready);
        }
        let n = self.ready.len().min(burst.remaining_capacity());
        for (frame, is_last) in self.ready.drain(..n) {
            if let (true, Role::Clients(clients)) = (is_last, &mut self.role) {
                clients.close_after(frame.bytes());
            }
            burst.push(frame);
        }
        self.spent += start.elapsed();
        n
    }

    fn transmit(&mut self, burst: &mut Burst<Pooled>) -> usize {
        let start = Instant::now();
        let n = burst.len();
        for frame in burst.drain(..) {
            match &mut self.role {
                Role::Clients(clients) => clients.hear(frame, &mut self.ready),
                Role::Server => serve(frame, &mut self.ready),
            }
        }
        self.spent += start.elapsed();
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamped_syn_is_the_one_that_would_be_built() {
        for family in [Family::V4, Family::V6] {
            let [client, _] = End::pair(family, 1);
            let Role::Clients(clients) = client.role else { unreachable!("the first is the clients'") };
            for n in [0, 1, 40_000, QUADS - 1] {
                assert_eq!(clients.syn(n).bytes(), unstamped_syn(&family.quad(n)), "{family:?} {n}");
            }
        }
    }

    /// Without anybody between them.
    #[test]
    fn two_ends_alone_open_and_close_their_connections() {
        let [mut client, mut server] = End::pair(Family::V6, 3);
        client.start();
        for _ in 0..100 {
            for (from, to) in [(0, 1), (1, 0)] {
                let mut burst = Burst::new();
                let ends = [&mut client, &mut server];
                let [a, b] = ends;
                let (from, to) = if from < to { (a, b) } else { (b, a) };
                from.receive(&mut burst);
                to.transmit(&mut burst);
            }
        }
        let tally = client.tally();
        assert!(tally.closed >= 9, "{tally:?}");
        assert_eq!((tally.resets, tally.started - tally.closed), (0, 3));
    }
}
