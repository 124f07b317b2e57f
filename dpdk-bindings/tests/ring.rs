//! net_ring: what is transmitted on queue i of the device is received on queue i of it, through a ring of 1024.
//! One test, for the EAL can be started once per process.

use arrayvec::ArrayVec;
use dpdk_bindings::*;

const BUFFERS: u32 = 4095;

fn frame(pool: &Mempool, len: usize, seed: usize) -> Mbuf {
    let mut mbuf = pool.take().expect("a buffer");
    assert_eq!(mbuf.len(), 0);
    for (i, byte) in mbuf.extend(len).expect("room").iter_mut().enumerate() {
        *byte = (i * 31 + seed) as u8;
    }
    mbuf
}

#[test]
fn ring() {
    let mut config = EalConfig::new("ring", Memory::NoHuge { megabytes: 64 });
    config.vdevs = vec!["net_ring0".into()];
    let eal = Eal::start(&config).expect("no root, no huge pages needed");
    let pool = Mempool::new(&eal, "frames", BUFFERS, 64, 2176, None).expect("a pool");
    let StartedPort { port, mut rx, mut tx } =
        Port::open(&eal, "net_ring0", &PortConfig::for_workers(2), &pool).expect("a port");
    let sent = frame(&pool, 1514, 7);
    let bytes = sent.bytes().to_vec();
    let mut burst: ArrayVec<Mbuf, 32> = ArrayVec::new();
    burst.push(sent);
    assert_eq!(tx[0].transmit(&mut burst), 1);
    assert_eq!(rx[0].receive(&mut burst), 1);
    assert_eq!(burst[0].bytes(), bytes);
    drop(port);
}
