//! One partial connection: what is known of a held SYN besides the SYN itself.

use std::time::Duration;

use dataplane::clock::Instant;
use dataplane::flow::table::FlowRef;
use dataplane::port::PortId;
use dataplane::wire::seq::Seq;

use super::syns::SynId;
use crate::module::Proxying;

/// Where it is on its way to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its module thinks. Nobody has heard of it.
    Deciding,
    /// The server has been asked; the client has heard nothing.
    Asking,
    /// Refused; the answer is remembered for the SYNs that come again. Its SYN is not kept any more.
    Refused,
}

/// A partial connection. Together with its SYN, timer and places in tables it is all that a held flow takes on the
/// control core; the worker has its flow's entry.
#[derive(Debug)]
pub(crate) struct Partial {
    /// When it goes on by itself.
    pub(crate) due: Instant,
    /// When it came.
    pub(crate) at: Instant,
    /// When the SYN went to the server last.
    pub(crate) sent: Instant,
    pub(crate) flow: FlowRef,
    /// Neighbours by age, older and younger.
    pub(super) older: u32,
    pub(super) younger: u32,
    pub(crate) syn: Option<SynId>,
    /// Number of the SYN that the server has got.
    pub(crate) iss: Seq,
    pub(crate) worker: u16,
    pub(crate) module: u16,
    /// Index of the interned rejection.
    pub(crate) rejection: u16,
    pub(crate) client_side: PortId,
    /// Port pair of its segment.
    pub(super) pair: u8,
    pub(crate) phase: Phase,
    /// How often the SYN has gone to the server.
    pub(crate) asked: u8,
    /// The module knows the ticket and is told when it is void.
    pub(crate) is_known: bool,
    /// The client has answered a SYN of the server's that met its own (RFC 9293 section 3.5, figure 7).
    pub(crate) has_crossed: bool,
    pub(crate) proxying: Proxying,
}

/// RFC 6298 (2.1) and (5.5): 1, 2, 4 … s.
pub(crate) fn patience(asked: u8) -> Duration {
    const LONGEST: Duration = Duration::from_secs(60);
    Duration::from_secs(1 << asked.saturating_sub(1).min(6)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syn_is_repeated_by_rfc_6298() {
        assert_eq!([1, 2, 3, 6, 7, 200].map(|n| patience(n).as_secs()), [1, 2, 4, 32, 60, 60]);
    }
}
