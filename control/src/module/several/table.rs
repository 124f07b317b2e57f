//! Which partial connections are held together: those of one client to one server.
//!
//! Each is in one list, its group's or that of those which a decision waits for. All memory is taken at the start, and
//! whatever happens to a member takes the same time, however many there are.

use std::net::IpAddr;
use std::sync::Arc;

use dataplane::flow::quad::{FlowKey, Segment};
use dataplane::memory::lasting;
use hashbrown::HashMap;

use super::turn::Race;
use crate::module::Ticket;

/// A client and a server, whatever the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    segment: Segment,
    client: IpAddr,
    server: IpAddr,
}

impl Ends {
    /// Of a flow.
    pub(super) fn of(key: &FlowKey) -> Ends {
        Ends { segment: key.segment, client: key.quad.client().ip(), server: key.quad.server().ip() }
    }
}

/// How a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its server has been asked, and the others wait for what it says.
    Asked,
    /// Its server has said nothing for so long that nobody waits for it any more.
    Silent,
    /// Its server has answered, and the client has not heard of it.
    Held,
    /// Its server has accepted, and the client is not to hear of it before another port's turn is over.
    Willing,
    /// It is its turn: the client is to hear that its server has accepted.
    Next,
    /// The client is hearing that, and has still to complete its handshake.
    Trying,
    /// The client is to hear what its server has said.
    Told,
    /// The client is to be refused, whatever its server says.
    Refused,
}

/// A partial connection among others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) ticket: Ticket,
    pub(super) ends: Ends,
    /// Ports of client and server, as the client named them.
    ports: (u16, u16),
    pub(super) standing: Standing,
    /// It is [`Standing::Trying`], and its session will say what comes of it.
    pub(super) has_session: bool,
    previous: u32,
    next: u32,
}

impl Member {
    /// Port of the server.
    pub(super) fn port(&self) -> u16 {
        self.ports.1
    }

    fn flow(&self) -> Flow {
        (self.ends, self.ports)
    }
}

/// A flow by its ends, and their ports.
type Flow = (Ends, (u16, u16));

/// No member.
const NONE: u32 = u32::MAX;

/// Members in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct List {
    first: u32,
    last: u32,
}

impl Default for List {
    fn default() -> Self {
        List { first: NONE, last: NONE }
    }
}

#[derive(Debug, Default)]
struct Group {
    /// Those whose server has not answered.
    list: List,
    /// How many of them are [`Standing::Asked`].
    asked: u32,
    /// Those whose server has, in the order of their answers: apart, for all of these are told at once, and nobody is to look
    /// through any number of silent ones for them.
    held: List,
    /// Those that wait for their turn, in the order of their answers.
    willing: List,
    /// Whose turn it is; more than one where a turn has lasted too long.
    trying: List,
    /// The one that is [`Standing::Next`].
    next: Option<Ticket>,
    /// In all of these.
    members: u32,
    /// Of those that are trying.
    race: Option<Arc<Race>>,
}

/// All of them.
pub(super) struct Table {
    members: Box<[Option<Member>]>,
    free: Vec<u32>,
    by_ticket: HashMap<Ticket, u32, ahash::RandomState>,
    by_flow: HashMap<Flow, u32, ahash::RandomState>,
    groups: HashMap<Ends, Group, ahash::RandomState>,
    /// Those that a decision waits for.
    ready: List,
}

impl Table {
    /// With room for `capacity`, which is taken now.
    pub(super) fn new(capacity: u32) -> Table {
        let hash = ahash::RandomState::new;
        let places = lasting(capacity as usize);
        Table {
            members: vec![None; capacity as usize].into(),
            free: (0..capacity).rev().collect(),
            by_ticket: HashMap::with_capacity_and_hasher(places, hash()),
            by_flow: HashMap::with_capacity_and_hasher(places, hash()),
            groups: HashMap::with_capacity_and_hasher(places, hash()),
            ready: List::default(),
        }
    }

    /// Takes one more in, whose server is about to be asked; unless the table is full.
    pub(super) fn join(&mut self, ticket: Ticket, key: &FlowKey) -> bool {
        let Some(slot) = self.free.pop() else { return false };
        let standing = Standing::Asked;
        let (ends, ports) = (Ends::of(key), (key.quad.client_port, key.quad.server_port));
        let (has_session, previous, next) = (false, NONE, NONE);
        let member = Member { ticket, ends, ports, standing, has_session, previous, next };
        self.members[slot as usize] = Some(member);
        self.by_ticket.insert(ticket, slot);
        self.by_flow.insert(member.flow(), slot);
        self.append(slot, standing);
        true
    }

    /// The one with this ticket.
    pub(super) fn get(&self, ticket: Ticket) -> Option<Member> {
        self.members[*self.by_ticket.get(&ticket)? as usize]
    }

    /// Takes it out, wherever it stands.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Member> {
        let slot = self.by_ticket.remove(&ticket)?;
        self.unlink(slot);
        self.free.push(slot);
        let member = self.members[slot as usize].take()?;
        // Its client may have begun anew meanwhile.
        if self.by_flow.get(&member.flow()) == Some(&slot) {
            self.by_flow.remove(&member.flow());
        }
        Some(member)
    }

    /// It stands so from now on, behind all others that do.
    pub(super) fn stand(&mut self, ticket: Ticket, standing: Standing) {
        if let Some(slot) = self.by_ticket.get(&ticket).copied() {
            self.unlink(slot);
            self.append(slot, standing);
        }
    }

    /// Whether any of them is still waited for.
    #[cfg(test)]
    pub(super) fn awaits(&self, ends: &Ends) -> bool {
        self.groups.get(ends).is_some_and(|group| group.asked > 0) || self.has_turn(ends)
    }

    /// Whether there is exactly one.
    pub(super) fn is_alone(&self, ends: &Ends) -> bool {
        self.groups.get(ends).is_some_and(|group| group.members == 1)
    }

    /// Whether it is anybody's turn.
    pub(super) fn has_turn(&self, ends: &Ends) -> bool {
        self.groups.get(ends).is_some_and(|group| group.trying.first != NONE || group.next.is_some())
    }

    /// Whether it is the turn of `port`.
    pub(super) fn is_turn_of(&self, ends: &Ends, port: u16) -> bool {
        self.first_of(ends, |group| group.trying.first).is_some_and(|member| member.port() == port)
    }

    /// A flow whose turn it is gets its session: the member's name, and what decides about its turn.
    pub(super) fn begin(&mut self, key: &FlowKey) -> Option<(Ticket, Arc<Race>)> {
        let flow = (Ends::of(key), (key.quad.client_port, key.quad.server_port));
        let member = self.members[*self.by_flow.get(&flow)? as usize].as_mut()?;
        if member.standing != Standing::Trying || std::mem::replace(&mut member.has_session, true) {
            return None;
        }
        let race = self.groups.get_mut(&flow.0)?.race.get_or_insert_default();
        Some((member.ticket, Arc::clone(race)))
    }

    /// Somebody has answered, or is waited for no more, or their turn is over. If it is nobody's turn, it is that of the next
    /// whose server has accepted; if there is none, and nobody is waited for, all that is held is told.
    pub(super) fn advance(&mut self, ends: &Ends) {
        if self.has_turn(ends) {
            return;
        }
        let Some(group) = self.groups.get(ends) else { return };
        if let Some(willing) = self.at(group.willing.first) {
            self.stand(willing.ticket, Standing::Next);
        } else if group.asked == 0 {
            self.tell_held(ends);
        }
    }

    /// The client is to hear what the servers have said that have answered, in that order.
    fn tell_held(&mut self, ends: &Ends) {
        while let Some(member) = self.groups.get(ends).and_then(|group| self.at(group.held.first)) {
            self.stand(member.ticket, Standing::Told);
        }
    }

    /// `chosen` has been completed. On another port, who waits for an answer or for a turn is refused, and who has been refused
    /// by the server is told so. Another connection to that port is let go on. Those whose turn it was are forgotten: their
    /// sessions know.
    pub(super) fn refuse_others(&mut self, ends: &Ends, chosen: u16) {
        while let Some(member) = self.first_of(ends, |group| group.list.first) {
            if member.port() == chosen {
                self.leave(member.ticket);
            } else {
                self.stand(member.ticket, Standing::Refused);
            }
        }
        let next = self.groups.get(ends).and_then(|group| group.next).and_then(|next| self.get(next));
        if let Some(member) = next {
            self.stand_by_port(&member, chosen);
        }
        while let Some(member) = self.first_of(ends, |group| group.willing.first) {
            self.stand_by_port(&member, chosen);
        }
        while let Some(member) = self.first_of(ends, |group| group.trying.first) {
            self.leave(member.ticket);
        }
        self.tell_held(ends);
    }

    fn stand_by_port(&mut self, member: &Member, chosen: u16) {
        let standing = if member.port() == chosen { Standing::Told } else { Standing::Refused };
        self.stand(member.ticket, standing);
    }

    fn first_of(&self, ends: &Ends, list: impl Fn(&Group) -> u32) -> Option<Member> {
        self.at(list(self.groups.get(ends)?))
    }

    /// The next that a decision waits for. It is taken out, unless its turn begins.
    pub(super) fn next_ready(&mut self) -> Option<Member> {
        let first = self.at(self.ready.first)?;
        if first.standing == Standing::Next {
            self.stand(first.ticket, Standing::Trying);
            return Some(first);
        }
        self.leave(first.ticket)
    }

    /// Nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let lists = self.by_ticket.is_empty()
            && self.by_flow.is_empty()
            && self.groups.is_empty()
            && self.ready == List::default();
        lists && self.free.len() == self.members.len()
    }

    fn at(&self, slot: u32) -> Option<Member> {
        *self.members.get(slot as usize)?
    }

    fn list(&mut self, member: &Member) -> &mut List {
        match member.standing {
            Standing::Told | Standing::Refused | Standing::Next => &mut self.ready,
            Standing::Held => &mut self.groups.entry(member.ends).or_default().held,
            Standing::Willing => &mut self.groups.entry(member.ends).or_default().willing,
            Standing::Trying => &mut self.groups.entry(member.ends).or_default().trying,
            Standing::Asked | Standing::Silent => &mut self.groups.entry(member.ends).or_default().list,
        }
    }

    fn append(&mut self, slot: u32, standing: Standing) {
        let Some(mut member) = self.at(slot) else { return };
        member.standing = standing;
        let list = self.list(&member);
        let last = std::mem::replace(&mut list.last, slot);
        if last == NONE {
            list.first = slot;
        }
        if !matches!(standing, Standing::Told | Standing::Refused) {
            let group = self.groups.entry(member.ends).or_default();
            group.members += 1;
            group.asked += u32::from(standing == Standing::Asked);
            if standing == Standing::Next {
                group.next = Some(member.ticket);
            }
        }
        self.link(last, |last| last.next = slot);
        (member.previous, member.next) = (last, NONE);
        self.members[slot as usize] = Some(member);
    }

    fn unlink(&mut self, slot: u32) {
        let Some(member) = self.at(slot) else { return };
        let list = self.list(&member);
        if member.previous == NONE {
            list.first = member.next;
        }
        if member.next == NONE {
            list.last = member.previous;
        }
        self.link(member.previous, |previous| previous.next = member.next);
        self.link(member.next, |next| next.previous = member.previous);
        if !matches!(member.standing, Standing::Told | Standing::Refused)
            && let Some(group) = self.groups.get_mut(&member.ends)
        {
            group.members -= 1;
            group.asked -= u32::from(member.standing == Standing::Asked);
            if member.standing == Standing::Next {
                group.next = None;
            }
            if group.members == 0 {
                self.groups.remove(&member.ends);
            }
        }
    }

    fn link(&mut self, slot: u32, change: impl FnOnce(&mut Member)) {
        if let Some(Some(member)) = self.members.get_mut(slot as usize) {
            change(member);
        }
    }
}
