//! Urgent data keeps its place (RFC 9293 section 3.8.5): the pointer of one leg becomes that of the other.

use dataplane::buffer::Pool;
use dataplane::flow::quad::Direction;
use dataplane::wire::seq::Delta;

use super::Connection;

impl<L: Pool> Connection<L> {
    /// The receiver is told up to where the sender's bytes are urgent, before it gets them, and also while it has no room
    /// for any. To be called before bytes are read: what a module has lengthened so far moves the pointer, and what it makes
    /// of the urgent bytes themselves does not.
    pub(super) fn pass_urgent(&mut self, direction: Direction) {
        // The receiver would take a byte out of what was searched with it.
        if self.is_searched() {
            return;
        }
        let edited = self.edited[direction.index()];
        let Some([from, to]) = self.legs(direction) else { return };
        if let Some(point) = from.block.urgent() {
            let own = Delta::between(to.block.iss(), from.block.irs());
            to.block.set_urgent(point.plus(Delta(own.0.wrapping_add(edited))));
        }
    }
}
