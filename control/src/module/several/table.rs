//! Which partial connections are held together: those of one client to one server.
//!
//! Each is in one list, its group's or that of those which a decision waits for. All memory is taken at the start, and
//! whatever happens to a member takes the same time, however many there are.

use std::net::IpAddr;

use dataplane::flow::quad::{FlowKey, Segment};
use hashbrown::HashMap;

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
    /// Port of the server, as the client named it.
    pub(super) port: u16,
    pub(super) standing: Standing,
    previous: u32,
    next: u32,
}

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

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    /// Those whose server has not answered.
    list: List,
    /// How many of them are [`Standing::Asked`].
    asked: u32,
    /// Those whose server has, in the order of their answers: apart, for all of these are told at once, and nobody is to look
    /// through any number of silent ones for them.
    held: List,
}

/// All of them.
pub(super) struct Table {
    members: Box<[Option<Member>]>,
    free: Vec<u32>,
    by_ticket: HashMap<Ticket, u32, ahash::RandomState>,
    groups: HashMap<Ends, Group, ahash::RandomState>,
    /// Those that a decision waits for.
    ready: List,
}

impl Table {
    /// With room for `capacity`, which is taken now.
    pub(super) fn new(capacity: u32) -> Table {
        let hash = ahash::RandomState::new;
        Table {
            members: vec![None; capacity as usize].into(),
            free: (0..capacity).rev().collect(),
            by_ticket: HashMap::with_capacity_and_hasher(capacity as usize, hash()),
            groups: HashMap::with_capacity_and_hasher(capacity as usize, hash()),
            ready: List::default(),
        }
    }

    /// Takes one more in, whose server is about to be asked; unless the table is full.
    pub(super) fn join(&mut self, ticket: Ticket, ends: Ends, port: u16) -> bool {
        let Some(slot) = self.free.pop() else { return false };
        let standing = Standing::Asked;
        let member = Member { ticket, ends, port, standing, previous: NONE, next: NONE };
        self.members[slot as usize] = Some(member);
        self.by_ticket.insert(ticket, slot);
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
        self.members[slot as usize].take()
    }

    /// It stands so from now on, behind all others that do.
    pub(super) fn stand(&mut self, ticket: Ticket, standing: Standing) {
        if let Some(slot) = self.by_ticket.get(&ticket).copied() {
            self.unlink(slot);
            self.append(slot, standing);
        }
    }

    /// Whether any of them is still waited for.
    pub(super) fn awaits(&self, ends: &Ends) -> bool {
        self.groups.get(ends).is_some_and(|group| group.asked > 0)
    }

    /// Whether there is exactly one.
    pub(super) fn is_alone(&self, ends: &Ends) -> bool {
        let is_one = |list: List| list.first == list.last && list.first != NONE;
        let is_none = |list: List| list.first == NONE;
        self.groups.get(ends).is_some_and(|group| {
            (is_one(group.list) && is_none(group.held)) || (is_none(group.list) && is_one(group.held))
        })
    }

    /// The client is to hear what the servers have said that have answered, in that order.
    pub(super) fn tell_held(&mut self, ends: &Ends) {
        while let Some(member) = self.groups.get(ends).and_then(|group| self.at(group.held.first)) {
            self.stand(member.ticket, Standing::Told);
        }
    }

    /// Another port than these has been chosen: who waits for an answer is refused, unless it is another connection to
    /// that port, which is forgotten; and who has one is told.
    pub(super) fn refuse_others(&mut self, ends: &Ends, chosen: u16) {
        while let Some(member) = self.groups.get(ends).and_then(|group| self.at(group.list.first)) {
            if member.port == chosen {
                self.leave(member.ticket);
            } else {
                self.stand(member.ticket, Standing::Refused);
            }
        }
        self.tell_held(ends);
    }

    /// Takes out the next that a decision waits for.
    pub(super) fn next_ready(&mut self) -> Option<Member> {
        let first = self.at(self.ready.first)?;
        self.leave(first.ticket)
    }

    /// Nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let lists = self.by_ticket.is_empty() && self.groups.is_empty() && self.ready == List::default();
        lists && self.free.len() == self.members.len()
    }

    fn at(&self, slot: u32) -> Option<Member> {
        *self.members.get(slot as usize)?
    }

    fn list(&mut self, member: &Member) -> &mut List {
        match member.standing {
            Standing::Told | Standing::Refused => &mut self.ready,
            Standing::Held => &mut self.groups.entry(member.ends).or_default().held,
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
        if standing == Standing::Asked {
            self.groups.entry(member.ends).or_default().asked += 1;
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
        if let Some(group) = self.groups.get_mut(&member.ends) {
            group.asked -= u32::from(member.standing == Standing::Asked);
            if group.list == List::default() && group.held == List::default() {
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
