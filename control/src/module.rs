//! L7 modules: who decides about a partial connection, and who looks at the bytes of a participating one.
//!
//! A module is asked on the control core's thread and must answer at once; it is never asked about a single packet.

pub mod edit;
pub mod redirect;
pub mod relay;
mod session;
pub mod several;
pub mod tunnel;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use dataplane::clock::{Instant, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::far::NextHop;
use dataplane::flow::quad::{FlowKey, Quad};
use dataplane::refusal::Rejection;
use dataplane::wire::seq::Seq;
use dataplane::wire::tcp_options::{MAX_BESIDE_SYN, TcpOptions};

use crate::config::validated;
use crate::core::history;
use crate::programs;

pub use session::{Choice, Edit, Found, Session, Step};

/// Names a partial connection for as long as its module may speak about it; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// A held SYN, as a module sees it (seed 000: "connection request details along with the notification").
pub struct PartialConnection<'a> {
    /// By this the module names it later.
    pub ticket: Ticket,
    /// Quad (client → server) and segment.
    pub key: FlowKey,
    /// The SYN's options.
    pub options: &'a TcpOptions,
    /// The SYN verbatim, from the destination MAC on.
    pub syn: &'a [u8],
    /// When it came.
    pub at: Instant,
    /// When the module is asked.
    pub now: Instant,
    /// The client has a connection already: it was answered with a SYN cookie and has acknowledged that. What is decided counts as
    /// client-first, and what is not proxied is reset.
    pub is_connected: bool,
    pub(crate) past: &'a history::History,
}

impl PartialConnection<'_> {
    /// What is known of this server and this client from before; looked up now, for those who want to know.
    pub fn history(&self) -> History {
        self.past.of(self.now, &self.key)
    }
}

/// What is known from before of the two ends of a partial connection (seed 000: "from past activity").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// How the server (address and port) answered last, to whomever.
    pub server: Option<Past>,
    /// How the last attempt of this client (address) to connect to anybody ended.
    pub client: Option<Past>,
}

/// An outcome of former times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// What it was.
    pub outcome: Outcome,
    /// How long ago.
    pub age: Duration,
}

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// SYN-ACK.
    Accepted,
    /// RST.
    Refused,
    /// An ICMP or ICMPv6 error.
    Unreachable {
        /// ICMP type, of the flow's family.
        kind: u8,
        /// ICMP code.
        code: u8,
    },
    /// Nothing, for as long as anybody waited.
    Silent,
}

/// What a server that was asked has said, before the client hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// What it comes to.
    pub outcome: Outcome,
    /// The SYN-ACK's options.
    pub options: Option<&'a TcpOptions>,
}

/// Why a module need not think about a partial connection any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The client has given up: RST, or ICMP.
    Client,
    /// The client has begun another connection on the same quad.
    Renewed,
    /// Nobody decided or answered in time.
    Overdue,
    /// It had to make room (limits on partial connections).
    Displaced,
    /// It is settled: answered as decided, and no longer partial.
    Settled,
}

/// When the server's SYN-ACK is acknowledged (DESIGN section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerAck {
    /// When the client has acknowledged its own SYN-ACK: a spoofed SYN leaves nothing in the server's accept queue.
    #[default]
    AfterClient,
    /// At once, as in the seed: for modules that have to speak to the server early.
    AtOnce,
}

/// Which initial sequence numbers each end sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isn {
    /// The opposite end's own: both deltas stay 0 until a module edits.
    #[default]
    Mirror,
    /// The opposite end's own with a secret offset for each quad (RFC 6528), as a PIX gives to ends whose own can be
    /// guessed.
    Keyed,
}

/// When the bytes of a direction are acknowledged to their sender (seed 002, claim 20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// When they have come: they are ours to deliver.
    #[default]
    Receipt,
    /// When the receiver has acknowledged them. A merge then has nothing to drain.
    Through,
}

/// Who is asked first (DESIGN section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The server; the client hears what it says.
    #[default]
    ServerFirst,
    /// The client gets a SYN-ACK of ours; its first bytes decide about the server ([`Session::choose`]).
    ClientFirst,
}

/// A module wants to see what the server says before the client hears it; silence for so long is an answer too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consult(NonZeroU32);

impl Consult {
    /// Silence counts after `silence` since the SYN came: a millisecond at least.
    pub fn within(silence: Duration) -> Consult {
        let millis = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
        Consult(NonZeroU32::new(millis).unwrap_or(NonZeroU32::MIN))
    }

    /// How long.
    pub fn silence(self) -> Duration {
        Duration::from_millis(self.0.get().into())
    }
}

/// How to proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proxying {
    /// Who is asked first.
    pub order: Order,
    /// When the server's SYN-ACK is acknowledged.
    pub server_ack: ServerAck,
    /// Initial sequence numbers.
    pub isn: Isn,
    /// When each sender is acknowledged.
    pub acknowledge: Acknowledge,
    /// The flow will never be merged: windows need not respect the opposite end's right edge.
    pub never_merges: bool,
    /// The module is shown what the server says ([`Module::answered`]).
    pub consult: Option<Consult>,
}

/// Another way to a server than the client's SYN says. What is `None`, or of the other family, is as the SYN says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    /// The server.
    pub server: Option<SocketAddr>,
    /// The client's address towards it: one that comes back to the appliance. The client's port is kept where it is free.
    pub client: Option<IpAddr>,
    /// Where frames go next.
    pub hop: NextHop,
}

impl Target {
    /// A flow of `quad`, as the server sees it.
    pub fn quad(&self, quad: &Quad) -> Quad {
        let client = self.client.map_or(quad.client(), |ip| (ip, quad.client_port).into());
        let server = self.server.unwrap_or(quad.server());
        Quad::between(client, server)
            .or_else(|| Quad::between(quad.client(), server))
            .or_else(|| Quad::between(client, quad.server()))
            .filter(|far| is_same_family(far, quad))
            .unwrap_or(*quad)
    }
}

fn is_same_family(one: &Quad, other: &Quad) -> bool {
    one.client().is_ipv4() == other.client().is_ipv4()
}

/// Options that a module adds to a SYN for another server, written out; no more than fit beside all other options of a SYN
/// but its timestamps.
pub type Mark = ArrayVec<u8, MAX_BESIDE_SYN>;

/// A SYN on its way to another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departing {
    /// The flow as its client sees it.
    pub key: FlowKey,
    /// The client's port as the server will see it: not always the one that the client has ([`Target::client`]).
    pub client_port: u16,
    /// The SYN's number.
    pub seq: Seq,
}

/// What a module wants done with a partial connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Connect to the server, then answer the client. Of a server that has answered already: let the client hear it.
    Proxy(Proxying),
    /// The same with another server, under another client address or by another next hop. Of a server that has been asked
    /// already, the target does not count; of a client-first flow, [`Session::choose`] names it.
    ProxyTo(Proxying, Target),
    /// Silence; nothing is remembered.
    Drop,
    /// RST or an ICMP error; repeated SYNs get the same answer for a while.
    Reject(Rejection),
    /// The SYN leaves verbatim and the flow is never intercepted.
    Bypass,
    /// The SYN leaves verbatim by another next hop, all that follows goes the same way, and the flow is never intercepted.
    Forward(NextHop),
    /// The SYN leaves verbatim and the flow is observed.
    Monitor,
    /// The module is the server (seed 000: "accept"): the client gets a SYN-ACK of ours, and [`Module::endpoint`] the bytes.
    Accept,
    /// The module goes on thinking: it will say what it has decided ([`Module::decided`]), or be asked again after so long
    /// ([`Module::overdue`]).
    Later(Duration),
}

/// A module.
///
/// Of each partial connection it is asked once ([`Module::offered`]). If it wants to think, or asked to be consulted, more
/// calls with the same ticket follow, up to [`Module::gone`].
pub trait Module: Send {
    /// A SYN is held: what now?
    fn offered(&mut self, partial: &PartialConnection<'_>) -> Decision;

    /// It has thought about a partial connection for as long as it wanted to: what now? `Later` again is `Drop`.
    fn overdue(&mut self, _partial: &PartialConnection<'_>) -> Decision {
        Decision::Drop
    }

    /// The server that it wanted to be consulted about has answered; the client has heard nothing yet. While it thinks, the
    /// answer is kept: proxying is to let the client hear it.
    ///
    /// If it was silent and the module lets it be asked on, it may want to be consulted once more, after a longer silence.
    fn answered(&mut self, _partial: &PartialConnection<'_>, _answer: &Answer<'_>) -> Decision {
        Decision::Proxy(Proxying::default())
    }

    /// What it has decided meanwhile, of those it is thinking about; asked in every round until there is no more.
    fn decided(&mut self, _now: Instant) -> Option<(Ticket, Decision)> {
        None
    }

    /// Nothing more will be asked about a partial connection that it has thought about or was consulted about.
    fn gone(&mut self, _ticket: Ticket, _why: Gone) {}

    /// The SYN of a flow that it proxies to another server ([`Decision::ProxyTo`], server-first) leaves, for the first time or
    /// again: what more does it say?
    fn mark(&mut self, _departing: &Departing) -> Mark {
        Mark::default()
    }

    /// Whether an option of a SYN that it was offered, by kind and data, is meant for it alone: when the SYN leaves verbatim, for
    /// whomever, it leaves without that option.
    fn keeps(&self, _kind: u8, _data: &[u8]) -> bool {
        false
    }

    /// It has decided to accept a flow: who is its far end? The client has still to complete its handshake.
    ///
    /// A module that never decides [`Decision::Accept`] is never asked; the flow of one that has nobody is reset.
    fn endpoint(&mut self, _ticket: Ticket, _key: &FlowKey) -> Option<Box<dyn Endpoint>> {
        None
    }

    /// An accepted flow whose endpoint has something to send, has closed, or has room again after it had none; or any other
    /// whose session has something to say though nothing has come ([`Session::decide`]). Asked in every round until there is
    /// no more.
    fn stirred(&mut self) -> Option<Ticket> {
        None
    }

    /// No configuration has it any more, and nothing will be offered to it: who has connected to it for that is told. Flows that
    /// it has go on.
    fn retire(&mut self) {}

    /// What it has counted since it was asked last.
    fn counted(&mut self, _count: &mut dyn FnMut(Counter, u64)) {}

    /// How it proxies a flow that comes to it by a split: what was agreed when the flow began is no longer known.
    fn proxying(&self) -> Proxying {
        Proxying::default()
    }

    /// It has decided to proxy a flow: who will look at the bytes? The handshakes are still to come, and may fail.
    fn session(&mut self, key: &FlowKey) -> Box<dyn Session>;

    /// A flow has been split that was offered to it, or for which it was named: who will look at the bytes from here on? Both
    /// ends are established, and [`Session::established`] is not called. Nobody knows what has passed before.
    fn session_of_split(&mut self, key: &FlowKey) -> Box<dyn Session> {
        self.session(key)
    }
}

/// The far end of an accepted flow: what a server's socket is to its kernel. Sans-I/O, and called on the control core's thread.
///
/// Dropped when the flow is over, whatever the reason.
pub trait Endpoint: Send {
    /// The client has completed its handshake. Called once, before anything but [`Endpoint::reset`].
    fn established(&mut self);

    /// Bytes that it would take now. What it does not take closes the client's window; when it takes some again,
    /// [`Module::stirred`] says so.
    fn room(&mut self) -> usize;

    /// In-order bytes of the client. One call may bring more than the room there was, by less than 64 KiB: what came in one
    /// frame is not cut.
    fn receive(&mut self, bytes: &[u8]);

    /// The client has closed: this was the last of its bytes. Called once.
    fn finished(&mut self);

    /// What it wants next: at most `room` bytes, which may be none. Asked again until there is nothing, and after
    /// [`Sending::Closed`] for no more than a reset.
    fn send(&mut self, room: usize) -> Sending;

    /// The client has reset the flow, or is gone, or the flow is ended by us. Called once, and nothing after it.
    fn reset(&mut self);
}

/// What an endpoint wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sending {
    /// Nothing for now.
    Nothing,
    /// These bytes to the client.
    Bytes(Vec<u8>),
    /// A FIN behind them.
    Closed,
    /// RST.
    Reset,
}

/// What a program that embeds the appliance makes of a module: the same, or one of its own around it or instead of it.
pub type Custom = Arc<dyn Fn(&validated::Module, Box<dyn Module>) -> Box<dyn Module> + Send + Sync>;

/// Every module is what the configuration says.
pub fn as_configured() -> Custom {
    Arc::new(|_, module| module)
}

/// The module that the config describes, running. Call it before the caller is pinned: threads of modules inherit that. `key` is
/// secret, and the same for the whole run.
pub fn from_config(
    module: &validated::Module,
    clock: SystemClock,
    key: [u64; 4],
) -> Result<Box<dyn Module>, programs::StartError> {
    let server_ack = match module.server_ack {
        validated::ServerAck::AtOnce => ServerAck::AtOnce,
        validated::ServerAck::AfterClient => ServerAck::AfterClient,
    };
    let isn = match module.isn {
        validated::Isn::Mirror => Isn::Mirror,
        validated::Isn::Keyed => Isn::Keyed,
    };
    let acknowledge = match module.acknowledge {
        validated::Acknowledge::Receipt => Acknowledge::Receipt,
        validated::Acknowledge::Through => Acknowledge::Through,
    };
    let merge = match module.merge {
        validated::Merge::Established => relay::MergeWhen::Established,
        validated::Merge::FirstResponse => relay::MergeWhen::FirstResponse,
        validated::Merge::AfterBytes(n) => relay::MergeWhen::AfterBytes(n),
        validated::Merge::Never => relay::MergeWhen::Never,
    };
    let relay = relay::Relay { merge, server_ack, isn, acknowledge, client_first: module.client_first };
    let places = redirect::Places {
        servers: module.servers.clone(),
        clients: module.clients.clone(),
        hop: module.hop,
    };
    let inner: Box<dyn Module> = match (&module.kind, &module.tunnel) {
        (validated::ModuleKind::Relay, Some(validated::Tunnel { role, keys })) => {
            let keys: Vec<_> = keys.iter().map(validated::TunnelKey::bytes).collect();
            let keys = tunnel::option::Keys::new(&keys);
            let redirect = redirect::Redirect::new(relay, places, key, &module.name);
            match role {
                validated::Role::Enter => Box::new(tunnel::Enter::new(redirect, keys)),
                validated::Role::Leave => Box::new(tunnel::Leave::new(redirect, keys)),
            }
        }
        (validated::ModuleKind::Relay, None) if places.are_their_own() => Box::new(relay),
        (validated::ModuleKind::Relay, None) => {
            Box::new(redirect::Redirect::new(relay, places, key, &module.name))
        }
        (validated::ModuleKind::Program(program), _) => {
            let settings = programs::Settings::from_config(program, relay);
            Box::new(programs::Programs::start(settings, clock)?)
        }
    };
    Ok(match &module.together {
        Some(together) => Box::new(several::Several::new(inner, together.clone())),
        None => inner,
    })
}

/// A merge that had to be undone is tried again after this long, doubled each time.
pub const MERGE_RETRY: Duration = Duration::from_millis(250);
