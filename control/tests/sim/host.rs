//! A host: smoltcp with ARP and ND on an Ethernet port, IPv4 and IPv6, and the apps of all its connections.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Duration;

use dataplane::clock::Instant;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration as SmolDuration, Instant as SmolInstant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr, IpEndpoint};

use crate::app::App;
use crate::crutch::Crutch;
use crate::device::Wiring;
use crate::frame::{self, Segment};
use crate::invariant::Violation;
use crate::numbers::Numbers;
use crate::plan::{FIRST_SERVER_PORT, Part, Plan};
use crate::profile::Profile;
use crate::rng::Rng;
use crate::trouble::Jumps;

/// Before a probe is sent on an idle connection, where one is.
const KEEP_ALIVE: SmolDuration = SmolDuration::from_secs(45);

thread_local! {
    /// smoltcp asks a plain function for TSval; this is where that finds the virtual time.
    static VIRTUAL_MILLIS: Cell<u32> = const { Cell::new(0) };
}

/// Which of the two hosts, and which of the middle's ports: the client's or the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Client,
    Server,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::Client, Side::Server];

    pub const fn opposite(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }

    pub fn address(self, ipv6: bool) -> IpAddress {
        let last = self as u8 + 1;
        match ipv6 {
            false => IpAddress::v4(10, 0, 0, last),
            true => IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)),
        }
    }
}

/// One end of one connection.
struct End {
    /// A set of its own: only it is polled when it has something to do, and its timer can be asked for.
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    crutch: Crutch,
    /// Where its own are moved.
    numbers: Option<Numbers>,
    rx: VecDeque<Vec<u8>>,
    /// Something has come for it, or was done to it.
    dirty: bool,
    /// When smoltcp wants to be polled; without one, it only waits for the peer.
    deadline: Option<Instant>,
}

impl End {
    fn socket(&self) -> &Socket<'static> {
        self.sockets.get::<Socket>(self.handle)
    }

    fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.dirty = true;
        self.sockets.get_mut::<Socket>(self.handle)
    }
}

/// One host.
pub struct Host {
    side: Side,
    /// Its cables do.
    reorders: bool,
    jumps: Jumps,
    /// What the ends' numbers are drawn from, where they are not smoltcp's own.
    edges: Option<Rng>,
    device: Wiring,
    interface: Interface,
    ends: Vec<End>,
    /// What is for no connection: ARP and neighbour discovery.
    rx: VecDeque<Vec<u8>>,
    nobody: SocketSet<'static>,
    /// One for each connection, in the order of the plans.
    pub apps: Vec<App>,
}

impl Host {
    pub fn new(side: Side, profile: &Profile, rng: &mut Rng) -> Host {
        let mtu = rng.pick(profile.mtus);
        // A look ahead: these dice are nobody else's.
        let jumps = Jumps::draw(profile, &mut rng.clone().fork(7));
        let edges = profile.wraps.then(|| rng.clone().fork(12));
        let mut device = Wiring { rx: VecDeque::new(), tx: Vec::new(), mtu };
        let mac = EthernetAddress([0x02, 0, 0, 0, 0, side as u8 + 1]);
        let mut config = Config::new(mac.into());
        config.random_seed = rng.next();
        let mut interface = Interface::new(config, &mut device, SmolInstant::ZERO);
        interface.update_ip_addrs(|addresses| {
            for (ipv6, prefix) in [(false, 24), (true, 64)] {
                addresses.push(IpCidr::new(side.address(ipv6), prefix)).expect("room for two addresses");
            }
        });
        Host {
            side,
            reorders: profile.jitter_us > 0,
            jumps,
            edges,
            device,
            interface,
            ends: Vec::new(),
            rx: VecDeque::new(),
            nobody: SocketSet::new(Vec::new()),
            apps: Vec::new(),
        }
    }

    /// Takes one end of a connection; a server listens from now on when `listens`.
    pub fn add(&mut self, plan: &Plan, app: App, listens: bool) {
        let mut socket = socket_for(&plan.parts[self.side as usize], self.side);
        if listens {
            socket.listen(plan.server_port).expect("a fresh socket can listen");
        }
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        let (crutch, rx) = Default::default();
        let total = plan.parts[self.side as usize].total();
        let numbers = self.edges.as_mut().map(|rng| Numbers::draw(total, rng));
        self.ends.push(End { sockets, handle, crutch, numbers, rx, dirty: true, deadline: None });
        self.apps.push(app);
    }

    /// Sends the SYN of connection `index`.
    pub fn connect(&mut self, index: usize, plan: &Plan) {
        let remote = IpEndpoint::new(self.side.opposite().address(plan.ipv6), plan.server_port);
        let local = IpEndpoint::new(self.side.address(plan.ipv6), plan.client_port);
        let socket = self.ends[index].socket_mut();
        socket.connect(self.interface.context(), remote, local).expect("a fresh socket can connect");
    }

    /// Drops connection `index` without a word to its app.
    pub fn abort(&mut self, index: usize) {
        self.ends[index].socket_mut().abort();
    }

    pub fn state(&self, index: usize) -> State {
        self.ends[index].socket().state()
    }

    /// Whether smoltcp has forgotten about connection `index`: what it has sent is not acknowledged and not sent again,
    /// or something waits to be sent and no timer runs that would find out when it can be (RFC 9293 section 3.8.6.1).
    pub fn has_forgotten(&self, index: usize, now: Instant) -> bool {
        let end = &self.ends[index];
        let waits = match end.socket().state() {
            State::FinWait1 | State::Closing | State::LastAck => true,
            State::Established | State::CloseWait => end.socket().send_queue() > 0,
            _ => return false,
        };
        end.crutch.has_forgotten(now) || waits && end.deadline.is_none() && !end.dirty
    }

    /// Wakes a socket that has forgotten about what it has sent.
    pub fn jog(&mut self, index: usize) {
        let end = &mut self.ends[index];
        end.rx.extend(end.crutch.jog());
        end.dirty = true;
    }

    /// A frame from the cable, without tags.
    pub fn deliver(&mut self, now: Instant, mut frame: Vec<u8>) {
        let Some((index, mut segment)) = self.find(&frame, self.side.opposite()) else {
            return self.rx.push_back(frame);
        };
        let end = &mut self.ends[index];
        if let Some(numbers) = &end.numbers {
            numbers.come_in(&segment, &mut frame);
            segment = frame::parse(&frame).expect("it was one");
        }
        let socket = end.sockets.get::<Socket>(end.handle);
        if end.crutch.admit(now, socket, &segment, &mut frame, self.reorders) {
            end.rx.push_back(frame);
            end.dirty = true;
        }
    }

    /// The segment in a frame that `from` has sent, and the connection that it belongs to.
    fn find(&self, frame: &[u8], from: Side) -> Option<(usize, Segment)> {
        let segment = frame::parse(frame)?;
        let server_port = match from {
            Side::Client => segment.quad.server_port,
            Side::Server => segment.quad.client_port,
        };
        let index = usize::from(server_port.wrapping_sub(FIRST_SERVER_PORT));
        (index < self.ends.len()).then_some((index, segment))
    }

    fn take_sent(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut frames = std::mem::take(&mut self.device.tx);
        for frame in &mut frames {
            if let Some((index, segment)) = self.find(frame, self.side) {
                self.ends[index].crutch.raise_number(&segment, frame);
                let capacity = self.ends[index].socket().recv_capacity();
                self.ends[index].crutch.said(now, &segment, (capacity.max(1).ilog2() + 1).saturating_sub(16));
                if let Some(numbers) = &mut self.ends[index].numbers {
                    numbers.go_out(&segment, frame);
                }
            }
        }
        frames
    }

    /// Runs stack and apps until neither has anything to do at `now`. Calls `progressed` with each connection that
    /// has moved, and returns the frames to send.
    pub fn poll(
        &mut self,
        now: Instant,
        mut progressed: impl FnMut(usize),
    ) -> Result<Vec<Vec<u8>>, Violation> {
        let shown = now + self.jumps.ahead(now);
        VIRTUAL_MILLIS.set(shown.as_millis() as u32);
        if !self.rx.is_empty() {
            std::mem::swap(&mut self.device.rx, &mut self.rx);
            self.interface.poll(smol(shown), &mut self.device, &mut self.nobody);
            // Some may have waited for an address.
            self.ends.iter_mut().for_each(|end| end.dirty = true);
        }
        for index in 0..self.ends.len() {
            let app_due = self.apps[index].wake_at(Instant::ZERO).is_some_and(|at| at <= now);
            let end = &mut self.ends[index];
            if end.dirty || app_due || end.deadline.is_some_and(|at| at <= now) {
                self.poll_end(now, index, &mut progressed)?;
            }
        }
        Ok(self.take_sent(now))
    }

    fn poll_end(
        &mut self,
        now: Instant,
        index: usize,
        progressed: &mut impl FnMut(usize),
    ) -> Result<(), Violation> {
        let ahead = self.jumps.ahead(now);
        let (end, app) = (&mut self.ends[index], &mut self.apps[index]);
        std::mem::swap(&mut self.device.rx, &mut end.rx);
        loop {
            self.interface.poll(smol(now + ahead), &mut self.device, &mut end.sockets);
            let socket = end.sockets.get_mut::<Socket>(end.handle);
            let place = || format!("connection {index}, {} end", self.side.name());
            let over = app.finished && app.peer_finished;
            if over || !app.step(socket, now).map_err(|v| v.at(place()))? {
                break;
            }
            progressed(index);
        }
        end.dirty = false;
        let at = self.interface.poll_at(smol(now + ahead), &end.sockets);
        let at = at.map(|at| Instant::from_nanos(at.total_micros().max(0) as u64 * 1000));
        let at = at.map(|at| Instant::from_nanos(at.as_nanos().saturating_sub(ahead.as_nanos() as u64)));
        // smoltcp says "now" for some sockets that cannot send (a FIN behind a closed window): look again later.
        end.deadline = at.map(|at| if at <= now { now + Duration::from_millis(10) } else { at });
        Ok(())
    }

    /// When stack or apps want to be polled next.
    pub fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        let stack = self.ends.iter().filter_map(|end| end.deadline);
        let apps = self.apps.iter().filter_map(|app| app.wake_at(now));
        stack.chain(apps).min()
    }
}

fn smol(now: Instant) -> SmolInstant {
    SmolInstant::from_micros((now.as_nanos() / 1000) as i64)
}

fn socket_for(part: &Part, side: Side) -> Socket<'static> {
    let buffer = |len| SocketBuffer::new(vec![0; len]);
    let mut socket = Socket::new(buffer(part.buffers.0), buffer(part.buffers.1));
    socket.set_nagle_enabled(part.nagle);
    if !part.delayed_ack {
        socket.set_ack_delay(None);
    }
    if part.keep_alive {
        // A byte that is none, to be answered and not to be relayed.
        socket.set_keep_alive(Some(KEEP_ALIVE));
    }
    if part.timestamps {
        // Two clocks that have nothing to do with each other, one of them about to wrap.
        socket.set_tsval_generator(Some(match side {
            Side::Client => || VIRTUAL_MILLIS.get().wrapping_add(0xffff_f000),
            Side::Server => || VIRTUAL_MILLIS.get().wrapping_add(77_777),
        }));
    }
    socket
}
