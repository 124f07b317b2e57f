//! The judge of one connection: has it ended, has it ended as planned, is it still getting anywhere.

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::quad::Quad;
use smoltcp::socket::tcp::State;

use crate::host::{Host, Side};
use crate::invariant::{Invariant, Violation, violation};
use crate::plan::{Finish, Kind, Plan};
use crate::profile::Profile;

/// Longer than any planned pause, and than a hundred lost retransmissions in a row at the longest timeout.
pub const STALL: Duration = Duration::from_secs(7_200);

/// How long an end may wait for a RST that can have been lost.
const RESET_GRACE: Duration = Duration::from_secs(20);

/// How long an end may go on whose connection has been cut: its program waits for bytes that will not come, or its RST was
/// lost.
const CUT_GRACE: Duration = Duration::from_secs(120);

/// Longer than the linger of hosts and boxes, and than smoltcp waits between two FINs.
const LAST_ACK_GRACE: Duration = Duration::from_secs(120);

/// One connection's plan and where it stands.
#[derive(Debug)]
pub struct Connection {
    pub index: usize,
    pub plan: Plan,
    pub started: bool,
    pub ended: bool,
    /// When a socket without a timer was last reminded.
    pub jogged: Instant,
    /// When either end last sent or received a byte, opened or finished.
    pub last_progress: Instant,
}

/// What the judge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    Goes,
    Ended,
    /// The RST, or the last acknowledgment, was lost and nothing would ever tell this end: take it down.
    Orphan(Side),
    /// The box has cut it, and one end has not heard of that or waits for what will not come: take both down.
    Cut,
    /// A host's own stack has no timer left for what it has sent, and reminding it has not helped; or what would have told a
    /// client that was greeted is lost, and it says nothing that would bring it again.
    Hung,
}

impl Connection {
    pub fn new(index: usize, plan: Plan) -> Connection {
        Connection {
            index,
            plan,
            started: false,
            ended: false,
            jogged: Instant::ZERO,
            last_progress: Instant::ZERO,
        }
    }

    /// Judges a connection that has started and not ended.
    pub fn judge(&self, hosts: &[Host; 2], now: Instant, profile: &Profile) -> Result<Judgement, Violation> {
        let loses = profile.loses();
        let verdict = if self.plan.kind == Kind::ClosedPort {
            self.judge_refusal(hosts, profile.may_greet())
        } else if let Some(aborter) = self.aborter() {
            Ok(self.judge_abort(hosts, aborter, now, loses))
        } else {
            self.judge_normal(hosts, now, loses)
        };
        let verdict = verdict.map_err(|v| v.at(self.describe(hosts)))?;
        if verdict == Judgement::Goes && now - self.last_progress > STALL {
            // A client that was greeted and has closed since waits for a FIN, without a timer in smoltcp. The RST that it gets
            // instead, when nobody listens, may get lost, and it says nothing that would bring another.
            let waits = profile.may_greet() && hosts[0].state(self.index) == State::FinWait2;
            // The acknowledgment of one that was greeted is lost, and it waits for a server that speaks first. Nobody asks that
            // server before the client is validated, and no timer of ours repeats a SYN-ACK (DESIGN section 4 and invariant 5).
            let states = [0, 1].map(|side| hosts[side].state(self.index));
            let is_unheard = profile.may_greet() && states == [State::Established, State::Listen];
            if waits || is_unheard || hosts.iter().any(|host| host.has_forgotten(self.index, now)) {
                return Ok(Judgement::Hung);
            }
            return violation(
                Invariant::Stall,
                format!("{}: no progress for {STALL:?}", self.describe(hosts)),
            );
        }
        Ok(verdict)
    }

    /// A connection that the box has cut. Whatever its ends have read is right; how much it is does not matter.
    pub fn judge_cut(&self, hosts: &[Host; 2], now: Instant) -> Judgement {
        let over =
            |host: &Host| matches!(host.state(self.index), State::Closed | State::TimeWait | State::Listen);
        match hosts.iter().all(over) {
            true => Judgement::Ended,
            false if now - self.last_progress > CUT_GRACE => Judgement::Cut,
            false => Judgement::Goes,
        }
    }

    /// Client → server.
    pub fn quad(&self) -> Option<Quad> {
        let end = |side: Side, port| SocketAddr::new(side.address(self.plan.ipv6).into(), port);
        Quad::between(end(Side::Client, self.plan.client_port), end(Side::Server, self.plan.server_port))
    }

    fn aborter(&self) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| matches!(self.plan.parts[*side as usize].finish, Finish::Abort(_)))
    }

    /// `greets`: the client may have been told that it has a connection before anybody was asked.
    fn judge_refusal(&self, hosts: &[Host; 2], greets: bool) -> Result<Judgement, Violation> {
        let may_open = |side: usize| greets && side == Side::Client as usize;
        if (0..2).any(|side| hosts[side].apps[self.index].opened && !may_open(side)) {
            return violation(Invariant::Ending, "opened, though nobody listens");
        }
        let refused = hosts[0].state(self.index) == State::Closed;
        Ok(if refused { Judgement::Ended } else { Judgement::Goes })
    }

    fn judge_abort(&self, hosts: &[Host; 2], aborter: Side, now: Instant, loses: bool) -> Judgement {
        if !hosts[aborter as usize].apps[self.index].aborted {
            return Judgement::Goes;
        }
        let peer = aborter.opposite();
        match hosts[peer as usize].state(self.index) {
            // A RST that overtakes the last ACK of the handshake sends a server back to where it was.
            State::Closed | State::TimeWait | State::Listen => Judgement::Ended,
            _ if loses && now - self.last_progress > RESET_GRACE => Judgement::Orphan(peer),
            _ => Judgement::Goes,
        }
    }

    fn judge_normal(&self, hosts: &[Host; 2], now: Instant, loses: bool) -> Result<Judgement, Violation> {
        let mut open = Vec::new();
        for side in Side::BOTH {
            let app = &hosts[side as usize].apps[self.index];
            let expected = self.plan.parts[side.opposite() as usize].total();
            let complete = app.finished && app.peer_finished;
            let place = || format!("{} end", side.name());
            if app.peer_finished && app.received != expected {
                let detail = format!("{}: FIN after {} of {expected} bytes", place(), app.received);
                return violation(Invariant::Bytes, detail);
            }
            let state = hosts[side as usize].state(self.index);
            if state == State::Closed && !complete {
                let detail = format!("{}: closed after {} of {expected} bytes", place(), app.received);
                return violation(Invariant::Ending, detail);
            }
            if !complete || !matches!(state, State::Closed | State::TimeWait) {
                open.push((side, complete && matches!(state, State::Closing | State::LastAck)));
            }
        }
        Ok(match open[..] {
            [] => Judgement::Ended,
            // Its last acknowledgment was lost, and all who could repeat it have had their time: a box that has
            // forgotten the flow is silent about strays.
            [(side, true)] if loses && now - self.last_progress > LAST_ACK_GRACE => Judgement::Orphan(side),
            _ => Judgement::Goes,
        })
    }

    /// One line on both ends.
    pub fn describe(&self, hosts: &[Host; 2]) -> String {
        let end = |side: Side| {
            let app = &hosts[side as usize].apps[self.index];
            format!(
                "{} {:?} sent {}/{} received {}{}{}",
                side.name(),
                hosts[side as usize].state(self.index),
                app.sent,
                self.plan.parts[side as usize].total(),
                app.received,
                if app.finished { " finished" } else { "" },
                if app.peer_finished { " peer-finished" } else { "" },
            )
        };
        let (plan, family) = (&self.plan, if self.plan.ipv6 { "IPv6" } else { "IPv4" });
        format!(
            "connection {} ({:?}, {family}, port {} to {}; {}; {}; last progress {} ms)",
            self.index,
            plan.kind,
            plan.client_port,
            plan.server_port,
            end(Side::Client),
            end(Side::Server),
            self.last_progress.as_millis(),
        )
    }
}
