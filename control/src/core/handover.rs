//! Hand-overs that somebody orders: a flow that is cut through or monitored comes up, one that participates goes down
//! (DESIGN sections 5 and 6).

use std::time::Duration;

use crossbeam::channel::Sender;
use hashbrown::HashMap;

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::counters::Counter;
use dataplane::flow::object::{Path, Record};
use dataplane::flow::quad::{FlowKey, Quad};
use dataplane::flow::table::FlowRef;
use dataplane::inspect::hits::Hit;
use dataplane::policy::Snapshot;
use dataplane::worker::message::{ListedFlow, Order, Split, Unsplittable};

use super::Core;
use super::journal::Happening;
use crate::connection::{Awaits, Connection};
use crate::module::edit::{Before, EditSession};
use crate::module::{Session, Ticket};

/// Which way a flow is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// To the control core.
    Split,
    /// To the control core, for the module with this index, whichever it was offered to.
    SplitFor(u16),
    /// To its worker.
    Merge,
}

/// Why a hand-over does not happen, in words for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No flow has this quad.
    #[error("no such flow: `quadrille flows` lists them")]
    Unknown,
    /// Several have it.
    #[error(
        "several flows have these endpoints, on different VLANs or port pairs: choose with `--vlan` and `--pair`, which \
         `quadrille flows --json` shows"
    )]
    Ambiguous,
    /// There is none any more.
    #[error("the flow has just ended")]
    Gone,
    /// Only these two paths can be split.
    #[error("only a flow that is cut through or monitored can be split")]
    OtherPath,
    /// See [`Unsplittable::HandshakeUnseen`].
    #[error("its handshake was not seen, so nobody knows what its window fields mean")]
    HandshakeUnseen,
    /// See [`Unsplittable::Closing`].
    #[error("it is opening or closing; only a flow that is open in both directions can be split")]
    Closing,
    /// See [`Unsplittable::Fragments`].
    #[error("its segments come in IP fragments, which only its ends put together")]
    Fragments,
    /// See [`Unsplittable::Window`].
    #[error(
        "a sender has been promised a larger window than a quarter of `limits.participating_bytes`: raise that"
    )]
    Window,
    /// What flows that were split have been promised fills the memory for buffers.
    #[error(
        "what senders of other flows that were split have been promised beyond usual windows leaves no room for those of this \
         one: try again when they have used them up, merge idle ones, or raise `limits.participating_bytes`"
    )]
    Promises,
    /// No place among participating flows is free.
    #[error("`limits.participating` flows participate already")]
    Full,
    /// It was offered to no module.
    #[error(
        "it was offered to no module, so nobody would look at it: name one with `--module`, or in the rule that monitors it"
    )]
    NoModule,
    /// It is wanted, and stays wanted.
    #[error("waiting: {0}; `quadrille events` tells when")]
    Waiting(Awaits),
    /// It does not participate.
    #[error("it does not participate")]
    NotParticipating,
    /// Nothing on the way could make one end understand the other.
    #[error("its ends were promised different options, which cannot be reconciled without the appliance")]
    Options,
    /// Somebody has said so.
    #[error("merging is switched off: `quadrille merge --on` allows it again")]
    Off,
    /// Its session has not said its word, or has just said that it is in the midst of something.
    #[error(
        "its module is in the midst of something: what it has not passed on yet would be lost; try again later"
    )]
    Module,
    /// The ends have been promised windows that only we can keep.
    #[error("its module never merges, so its ends were promised windows that only the appliance can keep")]
    NeverMerges,
}

impl From<Unsplittable> for Refused {
    fn from(why: Unsplittable) -> Refused {
        match why {
            Unsplittable::Gone => Refused::Gone,
            Unsplittable::OtherPath => Refused::OtherPath,
            Unsplittable::HandshakeUnseen => Refused::HandshakeUnseen,
            Unsplittable::Closing => Refused::Closing,
            Unsplittable::Fragments => Refused::Fragments,
            Unsplittable::Window { .. } => Refused::Window,
        }
    }
}

/// Where the answer to an order goes. The asker may have given up.
pub type Answer = Sender<Result<(), Refused>>;

/// A split that its worker has been ordered to make.
struct Pending {
    /// Kept for it among the connections.
    place: u32,
    key: FlowKey,
    module: u16,
    /// What each sender may have been promised, at most.
    reserve: u32,
    since: Instant,
    asker: Asker,
}

/// Who wants a split.
pub(super) enum Asker {
    /// Somebody who hears what comes of it, and orders the merge, too.
    User(Answer),
    /// An inspection: the flow's module is to look at it.
    Inspection,
    /// An inspection that replaces something by something of another length; behind that the flow merges again.
    Edit,
}

/// Tickets of flows that were split are none that a partial connection can have: there, this is the generation of a slot.
const OF_SPLIT: u64 = 1 << 63;

/// Splits under way.
pub(super) struct Pendings {
    /// Tickets given.
    tickets: u64,
    /// Bytes that all of them may bring, beyond what every flow is given.
    reserved: u64,
    merges: Vec<Merging>,
    by_flow: HashMap<(usize, FlowRef), Pending, ahash::RandomState>,
}

/// A merge that somebody waits for.
struct Merging {
    worker: usize,
    flow: FlowRef,
    /// When they are told that it still waits.
    until: Instant,
    answer: Answer,
}

/// So long an order to merge is not answered while it may still be done.
const MERGE_PATIENCE: Duration = Duration::from_millis(500);
/// Orders to merge that are waited for; who orders more hears at once that they wait.
const MERGES_AWAITED: usize = 64;

impl Default for Pendings {
    fn default() -> Self {
        Pendings {
            tickets: 0,
            reserved: 0,
            merges: Vec::new(),
            by_flow: HashMap::with_hasher(ahash::RandomState::new()),
        }
    }
}

impl Pendings {
    /// Of the splits under way.
    pub(super) fn modules(&self) -> impl Iterator<Item = u16> {
        self.by_flow.values().map(|pending| pending.module)
    }
}

/// A flow as somebody names it: its quad, and, where that lives in several places, which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Client → server.
    pub quad: Quad,
    /// Index of its port pair.
    pub pair: Option<u8>,
    /// Its VLAN ids, outer and inner, 0 for none.
    pub vlans: Option<(u16, u16)>,
}

impl From<Quad> for Named {
    fn from(quad: Quad) -> Named {
        Named { quad, pair: None, vlans: None }
    }
}

impl Named {
    /// This may be the one.
    pub(super) fn is(&self, key: &FlowKey) -> bool {
        let vlans = (key.segment.outer_vlan(), key.segment.inner_vlan());
        key.quad == self.quad
            && self.pair.is_none_or(|pair| pair == key.segment.pair())
            && self.vlans.is_none_or(|wanted| wanted == vlans)
    }
}

/// Of the flows that have been listed, the one that is meant.
pub(super) fn only(flows: &[(usize, ListedFlow)], named: &Named) -> Result<(usize, ListedFlow), Refused> {
    let mut found = flows.iter().filter(|(_, flow)| named.is(&flow.key) && flow.path != Path::Free);
    match (found.next(), found.next()) {
        (Some(flow), None) => Ok(*flow),
        (None, _) => Err(Refused::Unknown),
        (Some(_), Some(_)) => Err(Refused::Ambiguous),
    }
}

impl<L: Pool> Core<L> {
    /// Hands a listed flow over, or says why not.
    pub(super) fn hand_over_flow(
        &mut self,
        now: Instant,
        what: HandOver,
        found: Result<(usize, ListedFlow), Refused>,
        answer: Answer,
    ) {
        let done = match (what, found) {
            (_, Err(refused)) => Err(refused),
            (HandOver::Split, Ok((_, flow))) if flow.record.module == Record::NO_MODULE => {
                Err(Refused::NoModule)
            }
            (HandOver::Split, Ok((worker, flow))) => {
                let ListedFlow { flow, key, record, .. } = flow;
                return self.begin_split(now, worker, (flow, key, record.module), Asker::User(answer));
            }
            (HandOver::SplitFor(module), Ok(_)) if self.modules.len() <= usize::from(module) => {
                Err(Refused::NoModule)
            }
            (HandOver::SplitFor(module), Ok((worker, flow))) => {
                return self.begin_split(now, worker, (flow.flow, flow.key, module), Asker::User(answer));
            }
            (HandOver::Merge, Ok((worker, flow))) => match self.order_merge(now, worker, flow.flow) {
                Ok(()) if self.pendings.merges.len() < MERGES_AWAITED => {
                    let until = now + MERGE_PATIENCE;
                    return self.pendings.merges.push(Merging { worker, flow: flow.flow, until, answer });
                }
                Ok(()) => Err(self.why_not_merged(now, worker, flow.flow)),
                refused => refused,
            },
        };
        reply(Asker::User(answer), done);
    }

    /// A flow's merge has been carried out.
    pub(super) fn on_merged(&mut self, worker: usize, flow: FlowRef) {
        if self.pendings.merges.is_empty() || self.by_flow.contains_key(&(worker, flow)) {
            return;
        }
        let is_meant = |merging: &mut Merging| (merging.worker, merging.flow) == (worker, flow);
        for Merging { answer, .. } in self.pendings.merges.extract_if(.., is_meant) {
            reply(Asker::User(answer), Ok(()));
        }
    }

    /// Those who wait for a merge hear that it waits, or that there is nothing any more to merge.
    pub(super) fn answer_waiting(&mut self, now: Instant) {
        if self.pendings.merges.is_empty() {
            return;
        }
        let by_flow = &self.by_flow;
        let is_gone = |merging: &Merging| !by_flow.contains_key(&(merging.worker, merging.flow));
        let is_due = |merging: &mut Merging| merging.until <= now || is_gone(merging);
        let due: Vec<Merging> = self.pendings.merges.extract_if(.., is_due).collect();
        for Merging { worker, flow, answer, .. } in due {
            reply(Asker::User(answer), Err(self.why_not_merged(now, worker, flow)));
        }
    }

    /// What a merge that was ordered waits for.
    fn why_not_merged(&self, now: Instant, worker: usize, flow: FlowRef) -> Refused {
        let place = self.by_flow.get(&(worker, flow));
        let connection = place.and_then(|place| self.connections[*place as usize].as_ref());
        connection.map_or(Refused::Gone, |connection| connection.why_not_merged(now, self.means.merging))
    }

    /// Orders the worker to split the flow. A place is kept for it, so that what comes up has somewhere to go.
    pub(super) fn begin_split(
        &mut self,
        now: Instant,
        worker: usize,
        (flow, key, module): (FlowRef, FlowKey, u16),
        asker: Asker,
    ) {
        if self.pendings.by_flow.contains_key(&(worker, flow)) || self.by_flow.contains_key(&(worker, flow)) {
            return reply(asker, Err(Refused::OtherPath));
        }
        let reserve = self.modest_reserve();
        if !self.has_room(reserve) {
            return self.refuse_split(now, now, key, asker, Refused::Promises);
        }
        let Some(place) = self.find_place(now) else {
            return self.refuse_split(now, now, key, asker, Refused::Full);
        };
        self.order_split(worker, flow, Pending { place, key, module, reserve, since: now, asker });
    }

    fn order_split(&mut self, worker: usize, flow: FlowRef, pending: Pending) {
        let mut split = Split::wanted(flow, pending.key, pending.reserve);
        split.module = pending.module;
        self.pendings.reserved += self.excess(pending.reserve);
        self.pendings.by_flow.insert((worker, flow), pending);
        self.means.outboxes[worker].order(Order::Split(Box::new(split)));
    }

    fn take_pending(&mut self, worker: usize, flow: FlowRef) -> Option<Pending> {
        let pending = self.pendings.by_flow.remove(&(worker, flow))?;
        self.pendings.reserved -= self.excess(pending.reserve);
        Some(pending)
    }

    /// What a sender may have been promised beyond the boundary: as much as the largest buffer that can be configured.
    fn reserve(&self) -> u32 {
        let quarter = (self.means.settings.buffered / 4).min(u32::MAX.into()) as u32;
        quarter.max(self.means.settings.leg.receive_buffer)
    }

    /// What hardly any sender is promised more than, and every flow is given. It is asked for first.
    fn modest_reserve(&self) -> u32 {
        self.means.settings.leg.receive_buffer.min(self.reserve())
    }

    /// Promises are kept: those of all flows that were split, and may be made by those that are being split, fit the memory
    /// for buffers, as far as they are more than any flow is given.
    fn has_room(&self, reserve: u32) -> bool {
        let promised = self.means.load.promised + self.pendings.reserved + self.excess(reserve);
        promised <= self.means.settings.buffered.max(self.excess(reserve))
    }

    /// What both senders of a flow may have been promised beyond what every participating flow is given without asking. That
    /// is not reserved for others either: the windows of all shrink when memory does (`load.rs`), and many idle flows with usual windows
    /// would only keep each other out.
    fn excess(&self, reserve: u32) -> u64 {
        2 * u64::from(reserve.saturating_sub(self.means.settings.leg.receive_buffer))
    }

    /// The worker has split a flow: from now on its segments come up.
    pub(super) fn on_split(&mut self, now: Instant, worker: usize, split: &Split) {
        let Some(pending) = self.take_pending(worker, split.flow) else { return };
        let Pending { place, module, since, asker, .. } = pending;
        self.means.journal.note(now, since, split.key, Happening::Split);
        let before = Before {
            returns: matches!(asker, Asker::Edit),
            edited: split.edited,
            searched: split.view.searched,
            ..Before::default()
        };
        let module = &mut self.modules[usize::from(module)];
        let (session, proxying) = (module.session_of_split(&split.key), module.proxying());
        let session = edited(session, self.rules.as_deref(), split.inspection, before);
        let cx = self.means.context(now, worker);
        let mut connection = Connection::split(&cx, worker, split, proxying, session);
        self.pendings.tickets += 1;
        connection.name(Ticket(OF_SPLIT | self.pendings.tickets));
        if let Some(ticket) = connection.ticket() {
            self.by_ticket.insert(ticket, place);
        }
        self.by_flow.insert((worker, split.flow), place);
        let (before, after) = connection.recount();
        self.means.load.change(before, after);
        self.connections[place as usize] = Some(connection);
        self.rearm(place);
        reply(asker, Ok(()));
    }

    /// The worker has not.
    pub(super) fn on_unsplit(&mut self, now: Instant, worker: usize, flow: FlowRef, why: Unsplittable) {
        let Some(pending) = self.take_pending(worker, flow) else { return };
        let largest = self.reserve();
        let why = match why {
            Unsplittable::Window { promised } if promised <= largest => {
                // It may have grown when the worker gets to it. What nobody has promised keeps nobody else out.
                let reserve = promised.saturating_add(promised / 4).min(largest);
                if self.has_room(reserve) {
                    return self.order_split(worker, flow, Pending { reserve, ..pending });
                }
                Refused::Promises
            }
            why => why.into(),
        };
        self.free.push(pending.place);
        self.refuse_split(now, pending.since, pending.key, pending.asker, why);
    }

    /// Who has ordered it hears why; where a rule or an inspection wanted it, the reason is counted, and told as far as
    /// somebody can read it. A flow that has gone, or is ours by now, is no reason to be told.
    pub(super) fn refuse_split(
        &mut self,
        now: Instant,
        since: Instant,
        key: FlowKey,
        asker: Asker,
        why: Refused,
    ) {
        if let Asker::User(_) = asker {
            return reply(asker, Err(why));
        }
        let Some(counter) = refused_split(why) else { return };
        self.means.counters.count(counter);
        match self.means.refusals.take(now, Hit::RATE) {
            true => self.means.journal.note(now, since, key, Happening::SplitRefused(why)),
            false => self.means.counters.count(Counter::EventsUntold),
        }
    }

    fn order_merge(&mut self, now: Instant, worker: usize, flow: FlowRef) -> Result<(), Refused> {
        let place = *self.by_flow.get(&(worker, flow)).ok_or(Refused::NotParticipating)?;
        let mut done = Err(Refused::NotParticipating);
        self.on_slot(now, place, |connection, cx| done = connection.order_merge(cx));
        done
    }
}

/// The name of a split that was refused for this reason, unless that is nobody's fault.
fn refused_split(why: Refused) -> Option<Counter> {
    Some(match why {
        Refused::HandshakeUnseen => Counter::SplitsRefusedHandshake,
        Refused::Closing => Counter::SplitsRefusedClosing,
        Refused::Fragments => Counter::SplitsRefusedFragments,
        Refused::Window => Counter::SplitsRefusedWindow,
        Refused::Promises => Counter::SplitsRefusedPromises,
        Refused::Full => Counter::SplitsRefusedFull,
        Refused::NoModule => Counter::SplitsRefusedNoModule,
        _ => return None,
    })
}

/// The session, in what edits by the flow's inspection.
pub(super) fn edited(
    session: Box<dyn Session>,
    rules: Option<&Snapshot>,
    inspection: u16,
    before: Before,
) -> Box<dyn Session> {
    match rules.and_then(|rules| rules.inspections().get(usize::from(inspection))) {
        Some(edits) => EditSession::around(session, edits, Before { inspection, ..before }),
        None => session,
    }
}

fn reply(asker: Asker, done: Result<(), Refused>) {
    if let Asker::User(answer) = asker {
        // Who asked may have given up.
        let _ = answer.send(done);
    }
}
