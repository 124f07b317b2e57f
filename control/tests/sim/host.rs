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
use crate::plan::{FIRST_SERVER_PORT, Part, Plan};
use crate::rng::Rng;

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

/// One host.
pub struct Host {
    side: Side,
    /// Its cables do.
    reorders: bool,
    device: Wiring,
    interface: Interface,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
    crutches: Vec<Crutch>,
    /// One for each connection, in the order of the plans.
    pub apps: Vec<App>,
}

impl Host {
    pub fn new(side: Side, reorders: bool, rng: &mut Rng) -> Host {
        let mtu = rng.pick(&[1514, 1514, 1414, 1294]);
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
        let sockets = SocketSet::new(Vec::new());
        Host {
            side,
            reorders,
            device,
            interface,
            sockets,
            handles: Vec::new(),
            crutches: Vec::new(),
            apps: Vec::new(),
        }
    }

    /// Takes one end of a connection; a server listens from now on when `listens`.
    pub fn add(&mut self, plan: &Plan, app: App, listens: bool) {
        let mut socket = socket_for(&plan.parts[self.side as usize], self.side);
        if listens {
            socket.listen(plan.server_port).expect("a fresh socket can listen");
        }
        self.handles.push(self.sockets.add(socket));
        self.crutches.push(Crutch::default());
        self.apps.push(app);
    }

    /// Sends the SYN of connection `index`.
    pub fn connect(&mut self, index: usize, plan: &Plan) {
        let remote = IpEndpoint::new(self.side.opposite().address(plan.ipv6), plan.server_port);
        let local = IpEndpoint::new(self.side.address(plan.ipv6), plan.client_port);
        let socket = self.sockets.get_mut::<Socket>(self.handles[index]);
        socket.connect(self.interface.context(), remote, local).expect("a fresh socket can connect");
    }

    /// Drops connection `index` without a word to its app.
    pub fn abort(&mut self, index: usize) {
        self.sockets.get_mut::<Socket>(self.handles[index]).abort();
    }

    pub fn state(&self, index: usize) -> State {
        self.sockets.get::<Socket>(self.handles[index]).state()
    }

    /// A frame from the cable, without tags.
    pub fn deliver(&mut self, mut frame: Vec<u8>) {
        if self.admit(&mut frame) {
            self.device.rx.push_back(frame);
        }
    }

    fn admit(&mut self, frame: &mut [u8]) -> bool {
        let Some((index, segment)) = self.find(frame, self.side.opposite()) else { return true };
        let crutch = &mut self.crutches[index];
        let socket = self.sockets.get::<Socket>(self.handles[index]);
        crutch.admit(socket, &segment, frame, self.reorders)
    }

    /// The segment in a frame that `from` has sent, and the connection that it belongs to.
    fn find(&self, frame: &[u8], from: Side) -> Option<(usize, Segment)> {
        let segment = frame::parse(frame)?;
        let server_port = match from {
            Side::Client => segment.quad.server_port,
            Side::Server => segment.quad.client_port,
        };
        let index = usize::from(server_port.wrapping_sub(FIRST_SERVER_PORT));
        (index < self.crutches.len()).then_some((index, segment))
    }

    fn take_sent(&mut self) -> Vec<Vec<u8>> {
        let frames = std::mem::take(&mut self.device.tx);
        for frame in &frames {
            if let Some((index, segment)) = self.find(frame, self.side) {
                let capacity = self.sockets.get::<Socket>(self.handles[index]).recv_capacity();
                self.crutches[index].said(&segment, (capacity.max(1).ilog2() + 1).saturating_sub(16));
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
        VIRTUAL_MILLIS.set(now.as_millis() as u32);
        loop {
            self.interface.poll(smol(now), &mut self.device, &mut self.sockets);
            let mut moved = false;
            for (index, app) in self.apps.iter_mut().enumerate() {
                if app.finished && app.peer_finished {
                    continue;
                }
                let socket = self.sockets.get_mut::<Socket>(self.handles[index]);
                let place = || format!("connection {index}, {} end", self.side.name());
                if app.step(socket, now).map_err(|v| v.at(place()))? {
                    moved = true;
                    progressed(index);
                }
            }
            if !moved {
                return Ok(self.take_sent());
            }
        }
    }

    /// When stack or apps want to be polled next.
    pub fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        // smoltcp says "now" for some sockets that cannot send (a FIN behind a closed window): look again later.
        let earliest = now + Duration::from_millis(10);
        let stack = self.interface.poll_at(smol(now), &self.sockets);
        let stack = stack.map(|at| Instant::from_nanos(at.total_micros().max(0) as u64 * 1000));
        let stack = stack.map(|at| if at <= now { earliest } else { at });
        let apps = self.apps.iter().filter_map(|app| app.wake_at(now));
        stack.into_iter().chain(apps).min()
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
