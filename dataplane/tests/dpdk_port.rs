//! The seams on a real DPDK device: net_ring gives back what it was given. Needs neither root nor huge pages.
//! One test, for the EAL can be started once per process.

use dataplane::buffer::{Buffer, ChecksumHint, Pool};
use dataplane::port::dpdk::{DpdkPool, DpdkPort};
use dataplane::port::{BURST, Burst, Port};
use dpdk_bindings::{Eal, EalConfig, Memory, Mempool, PortConfig, StartedPort};

/// As a worker would, knowing the seams only: sends until refused, receives all. Returns frames sent and received.
fn fill_and_empty<P: Port>(port: &mut P, pool: &mut impl Pool<Buffer = P::Buffer>) -> (u16, u16) {
    let (mut sent, mut received) = (0_u16, 0_u16);
    let mut burst = Burst::new();
    while burst.is_empty() {
        for i in 0..BURST as u16 {
            let mut buffer = pool.take().expect("a buffer");
            buffer.extend(64).expect("room").fill(0);
            buffer.bytes_mut()[..2].copy_from_slice(&(sent + i).to_be_bytes());
            burst.push(buffer);
        }
        sent += port.transmit(&mut burst) as u16;
    }
    assert_eq!(
        burst[0].bytes()[..2],
        sent.to_be_bytes(),
        "the first that was refused is the first that stays"
    );
    burst.clear();
    while port.receive(&mut burst) > 0 {
        for buffer in burst.drain(..) {
            assert_eq!(buffer.bytes()[..2], received.to_be_bytes());
            assert_eq!(buffer.checksum_hint(), ChecksumHint::Unknown);
            received += 1;
        }
    }
    (sent, received)
}

#[test]
fn dpdk_port() {
    let mut config = EalConfig::new("dpdk_port", Memory::NoHuge { megabytes: 64 });
    config.vdevs = vec!["net_ring0".into()];
    let eal = Eal::start(&config).expect("an EAL");
    let mempool = Mempool::new(&eal, "frames", 4095, 64, 2176, None).expect("a pool");
    let started = dpdk_bindings::Port::open(&eal, "net_ring0", &PortConfig::for_workers(1), &mempool);
    let StartedPort { port, mut rx, mut tx } = started.expect("a port");
    let mut queues = DpdkPort::new(rx.remove(0), tx.remove(0));
    let mut pool = DpdkPool::new(mempool.clone());
    for _ in 0..5 {
        assert_eq!(fill_and_empty(&mut queues, &mut pool), (1023, 1023));
        assert_eq!(mempool.in_use(), 0);
    }
    assert_eq!((queues.unfit(), queues.rx_linearized()), (0, 0));
    drop((queues, pool, mempool));
    port.close().expect("all queues are back");
    eal.shutdown().expect("everything has been given back");
}
