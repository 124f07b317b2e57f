//! Acknowledge-through (seed 002, claim 20): what the receiver of a direction has acknowledged, in its sender's numbers.

use std::collections::VecDeque;

use dataplane::buffer::Pool;
use dataplane::flow::quad::Direction;
use dataplane::wire::seq::Seq;

use super::{BlockOf, Connection};
use crate::core::context::Context;
use crate::module::Acknowledge;
use crate::tcp::State;

/// Edits remembered one by one; more are taken together, and acknowledged together.
const MAX_EDITS: usize = 256;

/// Bytes of the sender's, and what a module has put in their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edited {
    /// In the sender's numbers: from, and up to.
    taken: (Seq, Seq),
    /// In the numbers of the leg towards the receiver.
    given: (Seq, Seq),
}

/// Leads back from numbers of the leg towards the receiver to those of the leg towards the sender.
#[derive(Debug)]
pub(super) struct Ledger {
    /// One and the same place in both; nothing was edited between here and the first edit.
    taken: Seq,
    given: Seq,
    edits: VecDeque<Edited>,
    /// Bytes behind all that, which a session has taken and keeps: nothing stands for them yet.
    withheld: u32,
}

impl Ledger {
    /// The bytes after both SYNs.
    pub(super) fn new(taken: Seq, given: Seq) -> Self {
        Ledger { taken, given, edits: VecDeque::new(), withheld: 0 }
    }

    /// The sender's `taken` bytes from `at` on have become `given` bytes from `into` on.
    pub(super) fn edited(&mut self, at: Seq, taken: u32, into: Seq, given: u32) {
        let edit = Edited { taken: (at, at.advance(taken)), given: (into, into.advance(given)) };
        let full = self.edits.len() >= MAX_EDITS;
        match self.edits.back_mut() {
            Some(last) if full => {
                last.taken.1 = edit.taken.1;
                last.given.1 = edit.given.1;
            }
            _ => self.edits.push_back(edit),
        }
    }

    /// What may be acknowledged to the sender when the receiver has acknowledged all before `una`. Bytes that were edited
    /// together are acknowledged together, when the receiver has the last of what became of them.
    pub(super) fn acknowledged(&mut self, una: Seq) -> Seq {
        while let Some(edit) = self.edits.front()
            && una.ge(edit.given.1)
        {
            (self.taken, self.given) = (edit.taken.1, edit.given.1);
            self.edits.pop_front();
        }
        // The anchor follows, or a long stream would leave it half a sequence space behind, where distances turn around.
        let upto = self.edits.front().map_or(una, |next| una.min(next.given.0)).max(self.given);
        self.taken = self.taken.advance(self.given.distance_to(upto));
        self.given = upto;
        self.taken
    }

    /// Between what is acknowledged and what was given last, both legs count alike.
    pub(super) fn is_even(&self) -> bool {
        self.edits.is_empty()
    }
}

impl<L: Pool> Connection<L> {
    /// Both SYNs of both legs are known, nothing else has been taken.
    pub(super) fn begin_through(&mut self) {
        let wanted = self.proxying.is_some_and(|proxying| proxying.acknowledge == Acknowledge::Through);
        let Some(server) = self.server.as_mut().filter(|_| wanted) else { return };
        self.client.block.withhold_acknowledgments();
        server.block.withhold_acknowledgments();
        self.through = self.ledgers();
    }

    /// On a flow that acknowledges through: nothing has been taken that was not given.
    pub(super) fn ledgers(&self) -> Option<Box<[Ledger; 2]>> {
        let wanted = self.proxying.is_some_and(|proxying| proxying.acknowledge == Acknowledge::Through);
        let (client, server) = (&self.client.block, &self.server.as_ref().filter(|_| wanted)?.block);
        let ledger = |from: &BlockOf<L>, to: &BlockOf<L>| Ledger::new(from.rcv_nxt(), to.snd_nxt());
        Some(Box::new([ledger(client, server), ledger(server, client)]))
    }

    /// Each sender is told of what its receiver has.
    pub(super) fn acknowledge_through(&mut self, cx: &Context<'_, L>) {
        let Some(mut ledgers) = self.through.take() else { return };
        for direction in Direction::BOTH {
            if self.splitting.as_ref().is_some_and(|splitting| !splitting.is_over(direction)) {
                continue;
            }
            if let Some([from, to]) = self.legs(direction) {
                // A client's SYN-ACK takes a number that nobody has given us.
                let una = match to.block.state() {
                    State::Suspended | State::SynSent | State::SynReceived => to.block.iss().advance(1),
                    _ => to.block.snd_una(),
                };
                let upto = ledgers[direction.index()].acknowledged(una);
                from.block.acknowledge_through(cx.now, upto);
            }
        }
        self.through = Some(ledgers);
    }

    /// A module has made `given` bytes of the `taken` bytes that were just read, and they have not been written yet. What its
    /// session keeps is not acknowledged before it has gone on and arrived.
    pub(super) fn note_edit(&mut self, direction: Direction, taken: u32, given: u32) {
        let Some(mut ledgers) = self.through.take() else { return };
        let withheld = self.withheld(direction) as u32;
        if let Some([from, to]) = self.legs(direction) {
            let ledger = &mut ledgers[direction.index()];
            let settled = (taken + ledger.withheld).saturating_sub(withheld);
            ledger.withheld = withheld;
            let at = from.block.read_to().retreat(settled + withheld);
            if settled + given > 0 {
                ledger.edited(at, settled, to.block.written_to(), given);
            }
        }
        self.through = Some(ledgers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(Seq(1000), Seq(5000))
    }

    #[test]
    fn without_edits_numbers_differ_by_a_constant() {
        let mut ledger = ledger();
        assert_eq!([5000, 5001, 5700].map(|una| ledger.acknowledged(Seq(una)).0), [1000, 1001, 1700]);
    }

    #[test]
    fn an_edit_is_acknowledged_as_a_whole() {
        // Bytes 1010..1020 became 5010..5013; what follows is as it was.
        let mut ledger = ledger();
        ledger.edited(Seq(1010), 10, Seq(5010), 3);
        let acks = [5009, 5010, 5012, 5013, 5020].map(|una| ledger.acknowledged(Seq(una)).0);
        assert_eq!(acks, [1009, 1010, 1010, 1020, 1027]);
        assert!(ledger.is_even());
    }

    #[test]
    fn insertions_never_claim_what_lies_behind_them() {
        // Two bytes became a hundred.
        let mut ledger = ledger();
        ledger.edited(Seq(1000), 2, Seq(5000), 100);
        assert_eq!(
            [5000, 5050, 5099, 5100, 5101].map(|una| ledger.acknowledged(Seq(una)).0),
            [1000, 1000, 1000, 1002, 1003]
        );
    }

    #[test]
    fn what_was_swallowed_goes_with_what_came_before_it() {
        let mut ledger = ledger();
        ledger.edited(Seq(1010), 5, Seq(5010), 0);
        assert_eq!([5009, 5010].map(|una| ledger.acknowledged(Seq(una)).0), [1009, 1015]);
    }

    #[test]
    fn more_edits_than_are_remembered_are_acknowledged_together() {
        let mut ledger = ledger();
        for n in 0..MAX_EDITS as u32 + 10 {
            ledger.edited(Seq(1000 + 2 * n), 2, Seq(5000 + n), 1);
        }
        let last_alone = MAX_EDITS as u32 - 1;
        assert_eq!(ledger.acknowledged(Seq(5000 + last_alone)), Seq(1000 + 2 * last_alone));
        assert_eq!(
            ledger.acknowledged(Seq(5000 + last_alone + 5)),
            Seq(1000 + 2 * last_alone),
            "not before all"
        );
        assert_eq!(ledger.acknowledged(Seq(5000 + last_alone + 11)), Seq(1000 + 2 * (last_alone + 11)));
        assert!(ledger.is_even());
    }

    #[test]
    fn a_stream_may_be_longer_than_half_a_sequence_space() {
        let mut ledger = Ledger::new(Seq(1000), Seq(5000));
        for sent in (0..6u64 << 30).step_by(1 << 20) {
            let [taken, given] = [1000, 5000].map(|start: u32| Seq(start.wrapping_add(sent as u32)));
            assert_eq!(ledger.acknowledged(given), taken, "after {sent} bytes");
        }
    }
}
