//! Taking back a reduction that was a mistake: nothing was lost, only late (RFC 3708, RFC 5682 section 3.4).

use dataplane::buffer::Buffer;
use dataplane::wire::seq::{MAX_WINDOW, Seq};
use dataplane::wire::tcp_options::SackBlock;

use super::{Frto, Phase};
use crate::tcp::block::Block;
use crate::tcp::congestion::Congestion;

/// What the last recovery has sent again, and how much of that was needless: by the peer's own report (DSACK), or because
/// it was acknowledged sooner than a round trip takes (as the Eifel detection of RFC 3522, without its timestamps: ours
/// belong to the endpoint that we speak for). Both can be about the same bytes, so they are counted apart.
#[derive(Debug, Default)]
pub(super) struct Undo {
    /// SND.UNA when it began. It outlasts the recovery: the last reports come after its end.
    since: Option<Seq>,
    resent: u32,
    reported: u32,
    early: u32,
}

impl Undo {
    pub(super) fn begin(&mut self, una: Seq) {
        *self = Undo { since: Some(una), resent: 0, reported: 0, early: 0 };
    }

    pub(super) fn on_resent(&mut self, bytes: u32) {
        if self.since.is_some() {
            self.resent = self.resent.saturating_add(bytes);
        }
    }

    /// `bytes` that were sent again had arrived before. True when that was all.
    fn take_early(&mut self, bytes: u32) -> bool {
        self.early = self.early.saturating_add(bytes);
        self.since.is_some() && self.resent > 0 && self.early >= self.resent
    }

    /// The peer has got `block` twice. True when that was all that was sent again.
    fn take(&mut self, block: SackBlock, nxt: Seq) -> bool {
        let Some(since) = self.since else { return false };
        if block.left.lt(since) || block.right.gt(nxt) {
            return false;
        }
        self.reported = self.reported.saturating_add(block.left.distance_to(block.right));
        self.resent > 0 && self.reported >= self.resent
    }
}

impl<B: Buffer> Block<B> {
    /// RFC 2883: the peer has got something twice.
    pub(super) fn take_dsack(&mut self, block: SackBlock) {
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        // Something beyond all reason says nothing (it could be of an earlier round of the sequence space).
        if block.left.distance_to(nxt) > MAX_WINDOW {
            return;
        }
        self.snd.recovery.rack.take_dsack(una, nxt);
        // That a probe was needless says nothing about a recovery that began after it.
        if self.snd.recovery.probed == Some(block) {
            return;
        }
        if self.snd.recovery.undo.take(block, nxt) {
            self.undo_recovery();
        }
    }

    /// What was sent again is acknowledged, too soon to be the answer to that.
    pub(super) fn take_early(&mut self, bytes: u32) {
        if bytes > 0 && self.snd.recovery.undo.take_early(bytes) {
            self.undo_recovery();
        }
    }

    /// The window is what it was before, and nothing is lost.
    pub(super) fn undo_recovery(&mut self) {
        self.congestion.undo();
        self.snd.flight.forget_losses();
        self.ecn.on_undo();
        let recovery = &mut self.snd.recovery;
        recovery.undo = Undo::default();
        recovery.phase = Phase::Open;
        recovery.frto = Frto::Off;
        recovery.force = false;
        recovery.expired = false;
        recovery.repeated = self.snd.una.retreat(1);
    }
}
