//! Both ends of all connections, in the ports' calls: what is transmitted to an end becomes its answer and waits to be received.
//!
//! A client sends SYN, ACK, request; it acknowledges the response, thinks for some rounds, sends its FIN, acknowledges the
//! server's. The server answers SYN, request and FIN. Nine segments in all, and neither end keeps anything of a connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dataplane::buffer::Buffer;
use dataplane::port::{BURST, Burst, Port};

use super::segment::{ACK, Answer, FIN, PSH, RST, SYN, Segment, seal};
use crate::measurements::rules::syns::syn;
use crate::pooled::Pooled;
use crate::traffic::{Family, client_of};

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
    pub spent: Duration,
}

enum Role {
    Clients(Clients),
    Server,
}

struct Clients {
    /// Of the first flow.
    syn: Vec<u8>,
    /// As many connections at once.
    most: usize,
    open: usize,
    next: u32,
    round: u64,
    /// FINs, and in which round they are sent.
    later: VecDeque<(u64, Pooled)>,
    closed: u64,
    resets: u64,
}

impl End {
    /// The clients' port, and the server's.
    pub fn pair(family: Family, most: usize) -> [End; 2] {
        let clients = Clients {
            syn: syn(&family.quad(0)),
            most,
            open: 0,
            next: 0,
            round: 0,
            later: VecDeque::new(),
            closed: 0,
            resets: 0,
        };
        [Role::Clients(clients), Role::Server].map(|role| End {
            role,
            ready: VecDeque::new(),
            spent: Duration::ZERO,
        })
    }

    /// Connections that were closed by both ends; and RSTs that a client has seen.
    pub fn closed(&self) -> (u64, u64) {
        match &self.role {
            Role::Clients(clients) => (clients.closed, clients.resets),
            Role::Server => (0, 0),
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
    /// A client's answer.
    fn hear(&mut self, mut frame: Pooled, ready: &mut VecDeque<(Pooled, bool)>) {
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
            self.open -= 1;
        } else if heard.payload > 0 {
            heard.answer(&mut frame, answer(after_request));
            ready.push_back((frame, true));
        }
    }

    /// Its acknowledgment of the response has been received.
    fn close_after(&mut self, acknowledgment: &[u8]) {
        let mut frame = Pooled::copy_of(acknowledgment);
        let own = Segment::read(frame.bytes());
        let ack = SERVER + 1 + PAYLOAD as u32;
        own.say(&mut frame, Answer { flags: FIN | ACK, seq: own.seq, ack, payload: 0 });
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
        while self.open < self.most && ready.len() < BURST {
            ready.push_back((self.syn(self.next % QUADS), false));
            self.next = self.next.wrapping_add(1);
            self.open += 1;
        }
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
                assert_eq!(clients.syn(n).bytes(), syn(&family.quad(n)), "{family:?} {n}");
            }
        }
    }

    /// Without anybody between them.
    #[test]
    fn two_ends_alone_open_and_close_their_connections() {
        let [mut client, mut server] = End::pair(Family::V6, 3);
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
        let (closed, resets) = client.closed();
        assert!(closed >= 9, "{closed}");
        assert_eq!(resets, 0);
    }
}
