//! Opens the configured devices and deals their queues out to the workers.

use std::sync::Arc;

use arrayvec::ArrayVec;
use tracing::info;

use dataplane::clock::SystemClock;
use dataplane::flow::hash::KeyedHash;
use dataplane::flow::quad::{Addresses, Quad};
use dataplane::port::PortId;
use dataplane::port::dpdk::{DpdkPool, DpdkPort};
use dataplane::port::impaired::{Impaired, Impairment};
use dataplane::worker::steer::Steering;
use dataplane::worker::transmit::Line;
use dpdk_bindings::{EalHandle, Mempool, Port, PortConfig, Rss, StartedPort};

use crate::config::validated::Config;

use super::faults;
use super::threads::random_key;

/// All ports, started.
pub(super) struct Opened {
    /// Control handles, by port.
    pub(super) ports: Arc<[Port]>,
    /// By worker, then by port.
    pub(super) lines: Vec<Vec<Line<DpdkPort>>>,
    /// Who owns a flow.
    pub(super) steering: Steering,
    /// By port, the MTU of its pair.
    pub(super) mtu: Vec<u16>,
    /// The most buffers that devices keep beyond their closing, until the process ends.
    pub(super) kept: usize,
}

/// The AF_XDP driver never gives back what is in its fill ring, and not all of what is in its transmit ring.
const KEEPS_BUFFERS: &str = "net_af_xdp";

pub(super) fn open(eal: &EalHandle, config: &Config, pool: &Mempool) -> anyhow::Result<Opened> {
    let workers = config.cores.workers.len();
    let mut started = Vec::new();
    let mut kept = 0;
    for (index, port) in config.ports.iter().enumerate() {
        let settings = PortConfig {
            rx_descriptors: config.limits.receive_ring,
            tx_descriptors: config.limits.transmit_ring,
            mtu: port.mtu,
            ..PortConfig::for_workers(workers as u16)
        };
        let before = pool.in_use();
        let open = Port::open(eal, port.device.as_str(), &settings, pool)
            .map_err(|error| faults::at_open(config, index, error))?;
        if faults::of_port(port, open.port.info())?.driver == KEEPS_BUFFERS {
            kept += pool.in_use() - before + usize::from(config.limits.transmit_ring) * workers;
        }
        started.push(open);
    }
    let mtu = pair_mtus(config, &started)?;
    let steering = steering(workers, &started);
    let mut lines: Vec<Vec<Line<DpdkPort>>> = (0..workers).map(|_| Vec::new()).collect();
    let mut ports = Vec::new();
    for (index, StartedPort { port, rx, tx }) in started.into_iter().enumerate() {
        let settings = &config.ports[index];
        let info = faults::of_port(settings, port.info())?;
        info!(
            port = settings.name,
            driver = info.driver,
            mtu = mtu[index],
            rss = port.rss().is_some(),
            "port is up"
        );
        for ((rx, tx), lines) in rx.into_iter().zip(tx).zip(&mut lines) {
            let peer = PortId(settings.peer as u8);
            lines.push(Line::new(DpdkPort::new(rx, tx), peer, settings.pair, mtu[index]).with_mac(info.mac));
        }
        ports.push(port);
    }
    Ok(Opened { ports: ports.into(), lines, steering, mtu, kept })
}

/// The lines with the configured cables before their ports. Each queue of a port has one, with random numbers of its own.
pub(super) fn impair(
    config: &Config,
    lines: Vec<Vec<Line<DpdkPort>>>,
    pool: &Mempool,
) -> Vec<Vec<Line<Impaired<DpdkPort, DpdkPool, SystemClock>>>> {
    let clock = SystemClock::start();
    let impair = |worker: usize, port: usize, line: Line<DpdkPort>| {
        let place = (worker * config.ports.len() + port) as u64;
        let seeded = |cable: Impairment| Impairment { seed: cable.seed.wrapping_add(place << 32), ..cable };
        let cable = config.ports[port].impairment.map(seeded);
        line.map(|queues| Impaired::new(queues, cable, DpdkPool::new(pool.clone()), clock))
    };
    let worker = |(worker, lines): (usize, Vec<_>)| {
        lines.into_iter().enumerate().map(|(port, line)| impair(worker, port, line)).collect()
    };
    lines.into_iter().enumerate().map(worker).collect()
}

/// The MTU of a pair is the smaller of its ports' (DESIGN section 3).
fn pair_mtus(config: &Config, started: &[StartedPort]) -> anyhow::Result<Vec<u16>> {
    let own: Vec<u16> = started.iter().map(|started| started.port.mtu()).collect::<Result<_, _>>()?;
    Ok(config.ports.iter().enumerate().map(|(index, port)| own[index].min(own[port.peer])).collect())
}

fn steering(workers: usize, started: &[StartedPort]) -> Steering {
    if workers == 1 {
        return Steering::Single;
    }
    let rss: Option<Vec<&Rss>> = started.iter().map(|started| started.port.rss()).collect();
    let places_all =
        |rss: &Vec<&Rss>| rss.iter().all(|one| one.ipv4_tcp() && one.ipv6_tcp() && one.agrees_with(rss[0]));
    match rss.filter(places_all).and_then(|rss| rss.first().map(|rss| Rss::clone(rss))) {
        Some(rss) => Steering::Rss { queue: Arc::new(move |quad| rss_queue(&rss, quad)) },
        // Without RSS, with it for one family only, or spread differently at both ends of a pair.
        None => Steering::Hash { hash: KeyedHash::new(random_key()), workers: workers as u32 },
    }
}

/// The queue on which a device receives a quad: RSS hashes addresses and ports as they stand in the headers.
fn rss_queue(rss: &Rss, quad: &Quad) -> usize {
    let ports = [quad.client_port.to_be_bytes(), quad.server_port.to_be_bytes()];
    let mut input: ArrayVec<u8, 36> = ArrayVec::new();
    match &quad.addresses {
        Addresses::V4(source, destination) => {
            input.extend([source, destination].into_iter().flatten().copied())
        }
        Addresses::V6(source, destination) => {
            input.extend([source, destination].into_iter().flatten().copied())
        }
    }
    input.extend(ports.into_iter().flatten());
    usize::from(rss.queue_of(&input))
}
