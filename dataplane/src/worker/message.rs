//! What a worker and the control core tell each other. A message owns what it carries.

use arrayvec::ArrayVec;

use crate::cookie::Terms;
use crate::flow::far::FarSide;
use crate::flow::object::{Path, Record, View};
use crate::flow::quad::{Direction, FlowKey, Quad};
use crate::flow::table::{FlowRef, Refused};
use crate::flow::traffic::Traffic;
use crate::inspect::hits::Hit;
use crate::packet::{IcmpError, TcpHeaders};
use crate::policy::Installed;
use crate::port::PortId;
use crate::wire::seq::Delta;

/// Worker → control core.
pub enum Event<B> {
    /// A SYN has been suspended and is offered to a module; or the client of one that was not has acknowledged its cookie.
    Offered {
        /// The new flow.
        flow: FlowRef,
        /// Port on which the SYN came in.
        client_side: PortId,
        /// Module that the rule names.
        module: u16,
        /// Inspection that the rule names: what it has asked about the SYN, or the time, cannot be asked again.
        inspection: u16,
        /// What the SYN said, where the client has a connection already: headers and frame are of the segment that shows it.
        proof: Option<Terms>,
        /// The SYN's headers, and in them the flow's key.
        headers: TcpHeaders,
        /// The SYN, verbatim.
        frame: B,
    },
    /// A segment of a suspended or participating flow; its checksum has been verified.
    Segment {
        /// The flow.
        flow: FlowRef,
        /// Which way it travels.
        direction: Direction,
        /// Port on which it came in.
        port: PortId,
        /// Its headers.
        headers: TcpHeaders,
        /// The frame.
        frame: B,
    },
    /// An ICMP error that quotes a segment of a suspended or participating flow.
    Icmp {
        /// The flow.
        flow: FlowRef,
        /// Which way the *quoted* segment travelled.
        quoted: Direction,
        /// The error.
        error: IcmpError,
        /// The frame.
        frame: B,
    },
    /// Order `Park` is in force: no segment of the flow comes up any more, all earlier ones have.
    Parked {
        /// The flow.
        flow: FlowRef,
    },
    /// Order `Park` is not: there is no place for the flow among the searched. It goes on participating, and is searched there.
    Unparked {
        /// The flow.
        flow: FlowRef,
    },
    /// The answer to order `SetFarSide`.
    FarSide {
        /// The flow.
        flow: FlowRef,
        /// The client's port there, or why it has none.
        placed: Result<u16, Refused>,
    },
    /// The answer to order `Split`: the flow participates, and every segment from now on comes up.
    Split(Box<Split>),
    /// The answer to order `Split` when the flow stays as it is.
    Unsplit {
        /// The flow.
        flow: FlowRef,
        /// Why.
        why: Unsplittable,
    },
    /// An inspection has found what somebody should look at more closely: the flow is to be split. Told again with each
    /// repetition, for as long as it is not.
    Wanted {
        /// The flow.
        flow: FlowRef,
        /// Its key, client → server.
        key: FlowKey,
        /// Module that it was offered to, or [`Record::NO_MODULE`].
        module: u16,
        /// Nobody need look: something has to be replaced, and the worker cannot do that.
        edits: bool,
    },
    /// An inspection has found a pattern. Not every one is told ([`Hit::RATE`]).
    Hit {
        /// The flow's key, client → server.
        key: FlowKey,
        /// What, and where.
        hit: Hit,
    },
    /// A suspended or participating flow was idle for its life time; the worker has forgotten it.
    Expired {
        /// The flow.
        flow: FlowRef,
    },
    /// A participating flow has been idle for as long as its rule allows: it is to be ended.
    Idle {
        /// The flow.
        flow: FlowRef,
    },
    /// The answer to order `List`.
    Listed(Box<Listing>),
    /// The answer to order `Policy`: the rules that were in force. Every offer that they made has been reported before.
    Replaced(Box<Installed>),
}

/// Control core → worker. Orders are carried out one after the other.
pub enum Order<B> {
    /// Send a frame of the control core's own making.
    Transmit {
        /// Port that it leaves by.
        port: PortId,
        /// The frame, checksums filled in.
        frame: B,
    },
    /// Send a frame to the flow's server by its far side. It looks as the client would have sent it, but for sequence
    /// numbers, and is translated on its way out.
    TransmitFar {
        /// The flow.
        flow: FlowRef,
        /// The frame, a segment or an ICMP error about one, checksums filled in.
        frame: B,
    },
    /// Give the flow a far side; answer with [`Event::FarSide`].
    SetFarSide {
        /// The flow.
        flow: FlowRef,
        /// How it looks beyond.
        far: FarSide,
        /// The client port there.
        ports: ClientPort,
    },
    /// Give the flow a far side without asking for another port; a flow that does not get it is forgotten. No answer.
    Divert {
        /// The flow.
        flow: FlowRef,
        /// Where its frames go.
        far: FarSide,
    },
    /// The flow has no far side any more: its server is the one that the client's SYN names. No answer.
    ClearFarSide {
        /// The flow.
        flow: FlowRef,
    },
    /// The server has answered: the flow participates.
    Participate {
        /// The flow.
        flow: FlowRef,
    },
    /// The held SYN leaves verbatim and the flow passes by the worker from now on.
    Release {
        /// The flow.
        flow: FlowRef,
        /// `Bypassed` or `Monitored`.
        path: Path,
        /// The SYN.
        frame: B,
    },
    /// Keep what comes for the flow, in order; answer with [`Event::Parked`], or [`Event::Unparked`].
    Park {
        /// The flow.
        flow: FlowRef,
        /// Its bytes have been searched: it needs a place where that goes on.
        searched: bool,
    },
    /// The flow is parked and drained: here is its connection object. Not in force before [`Order::Resume`].
    Install {
        /// The flow.
        flow: FlowRef,
        /// Δ1.
        delta_c2s: Delta,
        /// Δ2.
        delta_s2c: Delta,
        /// What has been sent, acknowledged and agreed on.
        view: View,
    },
    /// A segment held by the control core goes through the object, as if it came now.
    Replay {
        /// The flow.
        flow: FlowRef,
        /// Which way it travels.
        direction: Direction,
        /// Its headers.
        headers: TcpHeaders,
        /// The frame.
        frame: B,
    },
    /// The flow, cut through or monitored, is to participate (DESIGN section 6). The asker allocates what the worker fills in
    /// and sends back as [`Event::Split`], or [`Event::Unsplit`] says why not.
    Split(Box<Split>),
    /// What was parked goes through the object, in order; the flow is cut through.
    Resume {
        /// The flow.
        flow: FlowRef,
    },
    /// Forget the flow.
    Remove {
        /// The flow.
        flow: FlowRef,
    },
    /// Forget the flow, then take this frame as if it had just come in (a SYN that begins another connection).
    Restart {
        /// The flow.
        flow: FlowRef,
        /// Port on which the frame came in.
        port: PortId,
        /// The frame.
        frame: B,
    },
    /// Take this frame as if it had just come in: a SYN whose flow went while it was on its way up.
    Readmit {
        /// Port on which the frame came in.
        port: PortId,
        /// The frame.
        frame: B,
    },
    /// More SYNs come than can be held, or no more than that. No answer.
    Flood {
        /// Cookies are for such times.
        is_on: bool,
    },
    /// Rules for SYNs from now on; flows keep what they have. Answered with [`Event::Replaced`].
    Policy(Box<Installed>),
    /// Fill in the flows from the listing's cursor on and send it back as [`Event::Listed`].
    List(Box<Listing>),
}

/// A connection object on its way to the control core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// The flow.
    pub flow: FlowRef,
    /// Bytes beyond the boundary that either sender may have been promised, at most: they will have to be kept.
    pub reserve: u32,
    /// Its key, client → server.
    pub key: FlowKey,
    /// Port of the client.
    pub client_side: PortId,
    /// As an order: the module that it is for, [`Record::NO_MODULE`] where that is known. As an answer: which it is.
    pub module: u16,
    /// Inspection that its rule names, or [`Record::NO_INSPECTION`].
    pub inspection: u16,
    /// So many bytes behind the boundary have been edited already, by direction.
    pub edited: [u32; 2],
    /// It has a far side.
    pub is_far: bool,
    /// Δ1.
    pub delta_c2s: Delta,
    /// Δ2.
    pub delta_s2c: Delta,
    /// What has been sent, acknowledged and agreed on: the boundary.
    pub view: View,
}

impl Split {
    /// An order: only the flow, its key and `reserve` say anything yet.
    pub fn wanted(flow: FlowRef, key: FlowKey, reserve: u32) -> Split {
        Split {
            flow,
            reserve,
            key,
            client_side: PortId(0),
            module: Record::NO_MODULE,
            inspection: Record::NO_INSPECTION,
            edited: [0; 2],
            is_far: false,
            delta_c2s: Delta::ZERO,
            delta_s2c: Delta::ZERO,
            view: View::default(),
        }
    }
}

/// Why a flow is not split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsplittable {
    /// There is no such flow any more.
    Gone,
    /// It is neither cut through nor monitored.
    OtherPath,
    /// Its handshake was not seen: nobody knows what its window fields mean.
    HandshakeUnseen,
    /// It is not open in both directions.
    Closing,
    /// Its segments come in fragments, which the participating path does not put together.
    Fragments,
    /// A sender has been promised a larger window than there is a buffer for, and promises are kept.
    Window {
        /// By the boundary: the larger of both promises, bytes.
        promised: u32,
    },
}

/// The client port of a far side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientPort {
    /// That of its key, or none.
    Kept,
    /// That of its key if the flow comes back to its worker by it and nobody else is known by it; else another one.
    Searched {
        /// Where the search begins: nobody should be able to guess (RFC 6056).
        from: u16,
    },
}

/// What one place in a mailbox takes, of either direction, for a buffer that is one pointer (as an mbuf is).
pub const BYTES_PER_MESSAGE: usize = {
    let (event, order) = (size_of::<Option<Event<usize>>>(), size_of::<Option<Order<usize>>>());
    if event > order { event } else { order }
};

/// Flows that fit in one listing.
pub const LISTING: usize = 64;

/// A page of the flow table. The asker allocates it, so that the worker does not.
pub struct Listing {
    /// The asker's number for this question.
    pub question: u64,
    /// Slot to go on from; `None` when all have been listed.
    pub cursor: Option<u32>,
    /// Only flows of this quad, client → server.
    pub only: Option<Quad>,
    /// The page.
    pub flows: ArrayVec<ListedFlow, LISTING>,
}

/// One flow as the worker knows it.
#[derive(Debug, Clone, Copy)]
pub struct ListedFlow {
    /// Name.
    pub flow: FlowRef,
    /// Key, client → server.
    pub key: FlowKey,
    /// Path.
    pub path: Path,
    /// Δ1.
    pub delta_c2s: Delta,
    /// Δ2.
    pub delta_s2c: Delta,
    /// Client → server as the far side sees it, when that is not the key.
    pub far: Option<Quad>,
    /// What it has carried.
    pub traffic: Traffic,
    /// What else is noted of it.
    pub record: Record,
}
