//! What every flow is when the control core gets it, whichever way it came.

use dataplane::buffer::Pool;
use dataplane::flow::quad::FlowKey;
use dataplane::flow::table::FlowRef;
use dataplane::port::PortId;

use super::allowance::Allowance;
use super::hold::Hold;
use super::{Connection, Leg, Phase};
use crate::core::context::Context;
use crate::suspended::partial::Partial;

/// Which flow it is, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// Client → server.
    pub(super) key: FlowKey,
    pub(super) flow: FlowRef,
    pub(super) worker: usize,
    pub(super) client_side: PortId,
}

impl Origin {
    /// A partial connection's.
    pub(super) fn of(partial: &Partial, key: FlowKey) -> Origin {
        let Partial { flow, worker, client_side, .. } = *partial;
        Origin { key, flow, worker: usize::from(worker), client_side }
    }
}

impl<L: Pool> Connection<L> {
    /// A flow of which nothing is known but its client's leg: nobody is behind it, nothing has been relayed, and its client is
    /// awaited. It is too large to be carried about: where this is called it is written in its place.
    #[inline(always)]
    pub(super) fn begun(cx: &Context<'_, L>, origin: Origin, client: Leg<L::Buffer>) -> Connection<L> {
        let Origin { key, flow, worker, client_side } = origin;
        Connection {
            key,
            flow,
            worker,
            client_side,
            phase: Phase::Answered,
            proxying: None,
            session: None,
            client,
            server: None,
            local: None,
            greeted: None,
            closed: [false; 2],
            edited: [0; 2],
            clock: 0,
            allowances: [Allowance::new(cx.now, cx.settings.leg.send_buffer); 2],
            through: None,
            splitting: None,
            leaving: None,
            hold: Hold::NOTHING,
            merge_began: cx.now,
            merge_wanted: false,
            merge_retry: None,
            merge_attempts: 0,
            has_awaited_room: false,
            ending: None,
            blocked: None,
            heard: cx.now,
            expires: cx.now,
            armed: None,
            held: Default::default(),
            counted: Default::default(),
            next_syn: None,
        }
    }
}
