//! The split, as far as it is the worker's: the connection object goes to the control core (DESIGN section 6).

use super::message::{Event, Split, Unsplittable};
use super::*;
use crate::flow::object::{Path, Record, Track, Traits, View};
use crate::flow::quad::Direction;
use crate::flow::state::TcpState;
use crate::flow::table::FlowRef;
use crate::inspect::stream::Ended;
use crate::inspect::{Reached, Searched};

impl<P: Port> Worker<P> {
    /// From this moment on the flow's segments go up, behind the answer: the highest numbers that have passed so far are the
    /// boundary.
    pub(super) fn split(&mut self, now: Instant, mut split: Box<Split>) {
        let flow = split.flow;
        let slot = match self.splittable(flow, split.reserve) {
            Ok(slot) => slot,
            Err(why) => {
                // A larger window may be allowed yet; if it is not, what waits here goes on after its inspection's `hold`.
                if !matches!(why, Unsplittable::Window { .. }) {
                    self.refuse_closer_look(now, flow);
                }
                return self.answer(Event::Unsplit { flow, why });
            }
        };
        self.note_split(now, slot);
        let ended = self.end_streams(slot);
        let key = self.table.key(slot);
        let object = self.table.object_mut(slot);
        for direction in Direction::BOTH {
            // An acknowledgment shows what its sender has sent, which may wait here, or be lost before us: nobody has
            // searched that yet.
            let track = &mut object.track[direction.index()];
            track.end = ended[direction.index()].map_or(track.end, |ended| track.end.min(ended.gone));
        }
        object.path = Path::Participating;
        let (delta_c2s, delta_s2c) = (object.delta_c2s, object.delta_s2c);
        let (client_side, is_far) = (PortId(object.client_side), object.traits.has(Traits::FAR));
        let (track, edges) = (object.track, object.edges);
        let (promises, clock) = self.table.promises(slot);
        let record = self.table.record_mut(slot);
        record.splits = record.splits.saturating_add(1);
        if split.module != Record::NO_MODULE {
            record.module = split.module;
        }
        let (module, inspection, mss) = (record.module, record.inspection, record.mss);
        let searched = searched(inspection, &ended, &track);
        let view = View { track, edges, promises, clock, mss, tcp: TcpState::Established, searched };
        // Its rule may have an idle time for it.
        self.table.arm(slot, now);
        let edited = ended.map(|ended| ended.map_or(0, |ended| ended.edited));
        *split = Split {
            key,
            client_side,
            module,
            inspection,
            edited,
            is_far,
            delta_c2s,
            delta_s2c,
            view,
            ..*split
        };
        self.counters.count(Counter::Splits);
        self.answer(Event::Split(split));
        self.hand_up(slot);
    }

    fn splittable(&self, flow: FlowRef, reserve: u32) -> Result<u32, Unsplittable> {
        let slot = self.table.resolve(flow).ok_or(Unsplittable::Gone)?;
        let object = self.table.object(slot);
        let promised = |of: usize| object.track[of].end.distance_to(object.edges[of]);
        match (object.path, object.tcp) {
            (Path::CutThrough | Path::Monitored, _) if !object.terms.are_known() => {
                Err(Unsplittable::HandshakeUnseen)
            }
            (Path::CutThrough | Path::Monitored, _) if object.terms.has_fragments() => {
                Err(Unsplittable::Fragments)
            }
            (Path::CutThrough | Path::Monitored, TcpState::Established) => {
                let promised = promised(0).max(promised(1));
                if promised <= reserve { Ok(slot) } else { Err(Unsplittable::Window { promised }) }
            }
            (Path::CutThrough | Path::Monitored, _) => Err(Unsplittable::Closing),
            _ => Err(Unsplittable::OtherPath),
        }
    }
}

/// Where the search goes on: behind the boundary. A boundary before what has gone out (the worker has let pass what no receiver
/// takes) is none at which the search has stood.
fn searched(inspection: u16, ended: &[Option<Ended>; 2], track: &[Track; 2]) -> Option<Searched> {
    let is_searched = ended.iter().any(Option::is_some);
    let reached = |of: usize| match ended[of] {
        Some(Ended { gone, reached, .. }) if gone == track[of].end => reached,
        _ => Reached::default(),
    };
    is_searched.then(|| Searched { inspection, reached: [0, 1].map(reached) })
}
