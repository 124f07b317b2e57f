//! net_null: an endless source and a sink, and what happens when an EAL is dropped too early.
//! One test, for the EAL can be started once per process.

use arrayvec::ArrayVec;
use dpdk_bindings::{Eal, EalConfig, Error, Mbuf, Memory, Mempool, Port, PortConfig, StartedPort};

#[test]
fn null() {
    let affinity = || std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
    let allowed = |status: String| status.lines().find(|l| l.starts_with("Cpus_allowed:")).map(String::from);
    let before = allowed(affinity());
    let mut config = EalConfig::new("null", Memory::NoHuge { megabytes: 64 });
    config.vdevs = vec!["net_null0,size=128,copy=1".into()];
    let eal = Eal::start(&config).expect("needs neither root nor huge pages");
    assert_eq!(allowed(affinity()), before, "the starting thread is not left pinned");

    let pool = Mempool::new(&eal, "frames", 1023, 32, 2176, None).expect("a pool");
    let StartedPort { port, mut rx, mut tx } =
        Port::open(&eal, &config.vdevs[0], &PortConfig::for_workers(2), &pool).expect("a port");
    let rss = port.rss().expect("net_null has a table, though nothing to spread");
    assert_eq!(rss.key()[..4], [0x6d, 0x5a, 0x6d, 0x5a]);
    assert!(rss.ipv4_tcp() && rss.ipv6_tcp() && rss.agrees_with(rss));
    assert!(rss.queue_of(&[10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2]) < 2);

    // Between the pool and the sink until the pool has been round several times.
    let mut burst: ArrayVec<Mbuf, 32> = ArrayVec::new();
    for round in 0..200 {
        let queue = round % 2;
        assert_eq!(rx[queue].receive(&mut burst), 32);
        assert!(burst.iter().all(|mbuf| mbuf.len() == 128 && mbuf.is_single_segment()));
        assert_eq!(tx[queue].transmit(&mut burst), 32);
    }
    assert_eq!(pool.in_use(), 0);
    let stats = port.stats().expect("statistics");
    assert_eq!((stats.rx_packets, stats.tx_packets), (6400, 6400));

    // An exhausted pool: no frame, no panic, and reception goes on once buffers are back.
    let held: Vec<Mbuf> = std::iter::from_fn(|| pool.take()).collect();
    assert_eq!(held.len(), 1023);
    assert_eq!(rx[0].receive(&mut burst), 0);
    drop(held);
    assert_eq!(rx[0].receive(&mut burst), 32);

    // The port is closed and the pool's handle dropped, but frames are out: the EAL stays, and they stay valid.
    drop((rx, tx, port, pool));
    let Err(error) = eal.shutdown() else { panic!("32 frames are out") };
    assert_eq!(error, Error::EalInUse { handles: 0, buffers: 32 });
    assert!(error.to_string().contains("32 buffers are out"), "{error}");
    burst[31].bytes_mut().fill(0xa5);
    assert_eq!(burst[31].bytes(), [0xa5; 128]);
}
