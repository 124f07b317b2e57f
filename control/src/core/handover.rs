//! Hand-overs that somebody orders: a flow that is cut through or monitored comes up, one that participates goes down
//! (DESIGN sections 5 and 6).

use crossbeam::channel::Sender;
use hashbrown::HashMap;

use dataplane::buffer::Pool;
use dataplane::clock::Instant;
use dataplane::flow::object::{Path, Record};
use dataplane::flow::quad::{FlowKey, Quad};
use dataplane::flow::table::FlowRef;
use dataplane::policy::Snapshot;
use dataplane::worker::message::{ListedFlow, Order, Split, Unsplittable};

use super::Core;
use super::journal::Happening;
use super::load::Load;
use crate::connection::Connection;
use crate::module::edit::{Before, EditSession};
use crate::module::{Module, Proxying, Session};

/// Which way a flow is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// To the control core.
    Split,
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
    #[error("several flows have these endpoints, on different VLANs or port pairs")]
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
    /// See [`Unsplittable::Window`].
    #[error(
        "a sender has been promised a larger window than a quarter of `limits.participating_bytes`: raise that"
    )]
    Window,
    /// No place among participating flows is free.
    #[error("`limits.participating` flows participate already")]
    Full,
    /// It was offered to no module.
    #[error("it was offered to no module, so nobody would look at it")]
    NoModule,
    /// It does not participate.
    #[error("it does not participate")]
    NotParticipating,
    /// Nothing on the way could make one end understand the other.
    #[error("its ends were promised different options, which cannot be reconciled without the appliance")]
    Options,
    /// Somebody has said so.
    #[error("merging is switched off: `quadrille merge --on` allows it again")]
    Off,
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
            Unsplittable::Window => Refused::Window,
        }
    }
}

/// Where the answer to an order goes. The asker may have given up.
pub type Answer = Sender<Result<(), Refused>>;

/// A split that its worker has been ordered to make.
struct Pending {
    /// Kept for it among the connections.
    place: u32,
    module: u16,
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

/// Splits under way.
pub(super) struct Pendings {
    by_flow: HashMap<(usize, FlowRef), Pending, ahash::RandomState>,
}

impl Default for Pendings {
    fn default() -> Self {
        Pendings { by_flow: HashMap::with_hasher(ahash::RandomState::new()) }
    }
}

/// Of the flows with a quad, the one that is meant.
pub(super) fn only(flows: &[(usize, ListedFlow)], quad: &Quad) -> Result<(usize, ListedFlow), Refused> {
    let mut found = flows.iter().filter(|(_, flow)| flow.key.quad == *quad && flow.path != Path::Free);
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
            (HandOver::Split, Ok((worker, flow))) if flow.record.module != Record::NO_MODULE => {
                let ListedFlow { flow, key, record, .. } = flow;
                return self.begin_split(now, worker, (flow, key, record.module), Asker::User(answer));
            }
            (HandOver::Split, Ok(_)) => Err(Refused::NoModule),
            (HandOver::Merge, Ok((worker, flow))) => self.order_merge(now, worker, flow.flow),
        };
        reply(Asker::User(answer), done);
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
        let Some(place) = self.find_place(now) else { return reply(asker, Err(Refused::Full)) };
        self.pendings.by_flow.insert((worker, flow), Pending { place, module, since: now, asker });
        let split = Split::wanted(flow, key, self.reserve());
        self.means.outboxes[worker].order(Order::Split(Box::new(split)));
    }

    /// What a sender may have been promised beyond the boundary: as much as the largest buffer that can be configured. What
    /// all flows together keep is limited besides.
    fn reserve(&self) -> u32 {
        let quarter = (self.means.settings.buffered / 4).min(u32::MAX.into()) as u32;
        quarter.max(self.means.settings.leg.receive_buffer)
    }

    /// The worker has split a flow: from now on its segments come up.
    pub(super) fn on_split(&mut self, now: Instant, worker: usize, split: &Split) {
        let Some(pending) = self.pendings.by_flow.remove(&(worker, split.flow)) else { return };
        let Pending { place, module, since, asker } = pending;
        self.means.journal.note(now, since, split.key, Happening::Split);
        let before = Before { returns: matches!(asker, Asker::Edit), edited: split.edited };
        let module = &mut self.modules[usize::from(module)];
        let session = session(module, self.rules.as_deref(), Some(split.inspection), &split.key, before);
        let cx = self.means.context(now, worker);
        let mut connection = Connection::split(&cx, worker, split, Proxying::default(), session);
        if !matches!(asker, Asker::User(_)) {
            connection.may_return();
        }
        self.by_flow.insert((worker, split.flow), place);
        self.means.load.change(Load::default(), connection.load());
        self.connections[place as usize] = Some(connection);
        self.rearm(place);
        reply(asker, Ok(()));
    }

    /// The worker has not.
    pub(super) fn on_unsplit(&mut self, worker: usize, flow: FlowRef, why: Unsplittable) {
        if let Some(Pending { place, asker, .. }) = self.pendings.by_flow.remove(&(worker, flow)) {
            self.free.push(place);
            reply(asker, Err(why.into()));
        }
    }

    fn order_merge(&mut self, now: Instant, worker: usize, flow: FlowRef) -> Result<(), Refused> {
        let place = *self.by_flow.get(&(worker, flow)).ok_or(Refused::NotParticipating)?;
        let mut done = Err(Refused::NotParticipating);
        self.on_slot(now, place, |connection, cx| done = connection.order_merge(cx));
        done
    }
}

/// Who looks at the bytes of a flow, and edits them by the rules. Where the inspection is not known (a partial connection has
/// no room for it), it is that of the first rule for its quad that asks nothing more of a SYN.
pub(super) fn session(
    module: &mut Box<dyn Module>,
    rules: Option<&Snapshot>,
    inspection: Option<u16>,
    key: &FlowKey,
    before: Before,
) -> Box<dyn Session> {
    let session = module.session(key);
    let inspection = rules.and_then(|rules| {
        let named = || rules.inspection_of(rules.decide(&key.quad, key.segment).rule);
        rules.inspections().get(usize::from(inspection.unwrap_or_else(named)))
    });
    match inspection {
        Some(inspection) => EditSession::around(session, inspection, before),
        None => session,
    }
}

fn reply(asker: Asker, done: Result<(), Refused>) {
    if let Asker::User(answer) = asker {
        // Who asked may have given up.
        let _ = answer.send(done);
    }
}
