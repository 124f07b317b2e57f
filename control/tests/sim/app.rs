//! The program at one end of one connection: follows its part of the plan and judges every byte that it reads.

use dataplane::clock::Instant;
use smoltcp::socket::tcp::{RecvError, Socket, State};

use crate::content::Content;
use crate::invariant::{Invariant, Violation, violation};
use crate::plan::{Finish, Part};

/// One end of one connection.
#[derive(Debug)]
pub struct App {
    part: Part,
    outgoing: Content,
    incoming: Content,
    piece: usize,
    piece_sent: u64,
    ready_at: Option<Instant>,
    read_at: Instant,
    pub sent: u64,
    pub received: u64,
    /// The handshake has completed, as far as this end knows.
    pub opened: bool,
    /// All of the peer's bytes and its FIN have been read.
    pub peer_finished: bool,
    /// This end has said its last: FIN or RST.
    pub finished: bool,
    pub aborted: bool,
}

impl App {
    pub fn new(part: Part, outgoing: Content, incoming: Content) -> App {
        App {
            part,
            outgoing,
            incoming,
            piece: 0,
            piece_sent: 0,
            ready_at: None,
            read_at: Instant::ZERO,
            sent: 0,
            received: 0,
            opened: false,
            peer_finished: false,
            finished: false,
            aborted: false,
        }
    }

    /// Does what can be done now. Returns whether anything has happened.
    pub fn step(&mut self, socket: &mut Socket, now: Instant) -> Result<bool, Violation> {
        let before = (self.sent, self.received, self.opened, self.peer_finished, self.finished);
        self.opened |= socket.may_send() || socket.may_recv();
        if self.opened && !self.aborted {
            self.read(socket, now)?;
            self.write(socket, now);
            self.finish(socket);
        }
        Ok(before != (self.sent, self.received, self.opened, self.peer_finished, self.finished))
    }

    /// When it wants to be stepped though nothing has arrived.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        let reading = self.opened && !self.aborted && !self.peer_finished;
        let reads = reading.then_some(self.read_at);
        reads.into_iter().chain(self.ready_at).filter(|at| *at > now).min()
    }

    fn read(&mut self, socket: &mut Socket, now: Instant) -> Result<(), Violation> {
        // smoltcp 0.14 forgets what was not read when TIME-WAIT is over: once the peer has finished, read it all.
        let live = matches!(socket.state(), State::Established | State::FinWait1 | State::FinWait2);
        let chunk = if live { self.part.read_chunk } else { usize::MAX };
        while now >= self.read_at || !live {
            let take = |data: &mut [u8]| {
                let n = data.len().min(chunk);
                (n, data[..n].to_vec())
            };
            let data = match socket.recv(take) {
                Ok(data) if data.is_empty() => return Ok(()),
                Ok(data) => data,
                Err(RecvError::Finished) => {
                    self.peer_finished = true;
                    return Ok(());
                }
                Err(RecvError::InvalidState) => return Ok(()),
            };
            if let Some(at) = self.incoming.first_difference(self.received, &data) {
                let detail = format!("byte {at} is not the one sent, in a read of {} bytes", data.len());
                return violation(Invariant::Bytes, detail);
            }
            self.received += data.len() as u64;
            if !self.part.read_pause.is_zero() {
                self.read_at = now + self.part.read_pause;
            }
        }
        Ok(())
    }

    fn write(&mut self, socket: &mut Socket, now: Instant) {
        while let Some(&piece) = self.part.pieces.get(self.piece) {
            if self.received < piece.after_received {
                return;
            }
            let ready_at = *self.ready_at.get_or_insert(now + piece.pause);
            if now < ready_at || !socket.can_send() {
                return;
            }
            let limit = self.abort_limit().min(piece.len - self.piece_sent);
            let (outgoing, offset) = (&self.outgoing, self.sent);
            let fill = |room: &mut [u8]| {
                let n = room.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
                outgoing.fill(offset, &mut room[..n]);
                (n, n as u64)
            };
            let n = socket.send(fill).unwrap_or(0);
            if n == 0 && piece.len > self.piece_sent {
                return;
            }
            self.sent += n;
            self.piece_sent += n;
            if self.piece_sent == piece.len {
                (self.piece, self.piece_sent, self.ready_at) = (self.piece + 1, 0, None);
            }
        }
    }

    /// What may still be sent before the planned abort.
    fn abort_limit(&self) -> u64 {
        match self.part.finish {
            Finish::Abort(at) => at.saturating_sub(self.sent + self.received),
            _ => u64::MAX,
        }
    }

    fn finish(&mut self, socket: &mut Socket) {
        let all_sent = self.piece == self.part.pieces.len();
        match self.part.finish {
            Finish::Abort(_) if self.abort_limit() == 0 => {
                socket.abort();
                (self.aborted, self.finished, self.ready_at) = (true, true, None);
            }
            Finish::Close if all_sent && !self.finished => {
                socket.close();
                self.finished = true;
            }
            Finish::CloseAfterPeer if all_sent && self.peer_finished && !self.finished => {
                socket.close();
                self.finished = true;
            }
            _ => {}
        }
    }
}
