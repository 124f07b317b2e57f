//! net_ring: what is transmitted on queue i of the device is received on queue i of it, through a ring of 1024.
//! One test, for the EAL can be started once per process.

use arrayvec::ArrayVec;
use dpdk_bindings::{
    Eal, EalConfig, Errno, Error, Mbuf, Memory, Mempool, Port, PortConfig, StartedPort, lcore,
};
use dpdk_bindings::{RxChecksum, RxQueue, TxQueue};

const BUFFERS: u32 = 4095;
const RING: usize = 1023;

type Burst = ArrayVec<Mbuf, 32>;

fn frame(pool: &Mempool, len: usize, seed: usize) -> Mbuf {
    let mut mbuf = pool.take().expect("a buffer");
    assert_eq!(mbuf.len(), 0);
    for (i, byte) in mbuf.extend(len).expect("room").iter_mut().enumerate() {
        *byte = (i * 31 + seed) as u8;
    }
    mbuf
}

fn content(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + seed) as u8).collect()
}

#[test]
fn ring() {
    let mut config = EalConfig::new("ring", Memory::NoHuge { megabytes: 64 });
    config.vdevs = vec!["net_ring0".into(), "net_ring1".into()];
    let eal = Eal::start(&config).expect("needs neither root nor huge pages");
    assert!(matches!(Eal::start(&config), Err(Error::EalStartedBefore)));

    let pool = Mempool::new(&eal, "frames", BUFFERS, 64, 2176, None).expect("a pool");
    let full = pool.available();
    assert_eq!((full, pool.in_use()), (BUFFERS as usize, 0));
    let same_name = Mempool::new(&eal, "frames", BUFFERS, 64, 2176, None).expect_err("the name is taken");
    assert!(matches!(&same_name, Error::Pool { errno, .. } if errno.code() == 17), "{same_name}");

    let StartedPort { port, mut rx, mut tx } =
        Port::open(&eal, "net_ring0", &PortConfig::for_workers(2), &pool).expect("a port");
    assert!(port.rss().is_none(), "a ring does not hash");
    a_buffer_and_its_room(&pool);
    frames_arrive_bit_exact_on_their_queue(&pool, &mut rx, &mut tx);
    a_full_ring_refuses_and_nothing_is_lost(&pool, &port, &mut rx[0], &mut tx[0]);
    a_dropped_list_frees_each_frame_once(&pool, &mut rx[1], &mut tx[1]);
    queues_move_between_threads(&eal, &pool, &mut rx[1], &mut tx[1]);
    a_port_has_one_owner(&eal, &pool);

    // Frames left in a ring at the end, and refused ones still owned: closing frees the first kind and not the other.
    let mut burst: Burst = (0..32).map(|i| frame(&pool, 60, i)).collect();
    assert_eq!(tx[1].transmit(&mut burst), 32);
    burst.push(frame(&pool, 60, 0));
    let error = port.close().expect_err("queues are out");
    assert_eq!(error, Error::QueuesInUse { device: "net_ring0".into(), queues: 4 });
    assert_eq!(pool.in_use(), 33);
    drop((rx, tx));
    assert_eq!(pool.in_use(), 1);
    let closed =
        Port::open(&eal, "net_ring0", &PortConfig::for_workers(1), &pool).expect_err("closed for good");
    assert!(matches!(closed, Error::NoSuchDevice { .. }), "{closed}");

    drop(pool);
    drop(burst);
    eal.shutdown().expect("everything has been given back");
}

fn a_buffer_and_its_room(pool: &Mempool) {
    let mut mbuf = frame(pool, 100, 3);
    assert!(mbuf.is_single_segment());
    assert_eq!(mbuf.rx_checksum(), RxChecksum::Unknown);
    mbuf.truncate(200);
    assert_eq!(mbuf.len(), 100);
    mbuf.truncate(40);
    assert_eq!(mbuf.bytes(), content(40, 3));
    assert_eq!(mbuf.tailroom(), usize::from(pool.frame_room()) - 40);
    assert!(mbuf.extend(mbuf.tailroom() + 1).is_none());
    assert!(mbuf.extend(usize::MAX).is_none());
    assert_eq!(mbuf.len(), 40);
    mbuf.extend(2008).expect("all of the tailroom").fill(9);
    assert_eq!((mbuf.len(), mbuf.tailroom()), (2048, 0));
    assert!(!mbuf.move_start(-129) && !mbuf.move_start(2049), "beyond the headroom, beyond the end");
    assert!(mbuf.move_start(-128) && mbuf.len() == 2176 && mbuf.bytes()[128..].len() == 2048);
    assert!(mbuf.move_start(128) && mbuf.len() == 2048);
    assert_eq!(mbuf.bytes()[..40], content(40, 3));
    let mut none: ArrayVec<Mbuf, 4> = ArrayVec::new();
    assert_eq!(pool.take_bulk(&mut none, 9), 4, "as many as the list has room for");
    assert_eq!(pool.in_use(), 5);
    drop((mbuf, none));
    assert_eq!(pool.in_use(), 0);
    let mut all: Vec<Mbuf> = std::iter::from_fn(|| pool.take()).collect();
    assert_eq!((all.len(), pool.available()), (BUFFERS as usize, 0));
    let mut one: ArrayVec<Mbuf, 4> = all.pop().into_iter().collect();
    assert_eq!(pool.take_bulk(&mut one, 1), 0, "none left");
}

fn frames_arrive_bit_exact_on_their_queue(pool: &Mempool, rx: &mut [RxQueue], tx: &mut [TxQueue]) {
    let lens = [60, 61, 590, 1514, 2048];
    for (queue, tx) in tx.iter_mut().enumerate() {
        let mut burst: Burst =
            lens.iter().enumerate().map(|(i, &len)| frame(pool, len, i + 7 * queue)).collect();
        assert_eq!(tx.transmit(&mut burst), lens.len());
        assert!(burst.is_empty());
    }
    for (queue, rx) in rx.iter_mut().enumerate() {
        let mut burst = Burst::new();
        assert_eq!(rx.receive(&mut burst), lens.len());
        for (i, (mbuf, len)) in burst.iter().zip(lens).enumerate() {
            assert_eq!(mbuf.bytes(), content(len, i + 7 * queue));
        }
        assert_eq!(rx.receive(&mut burst), 0);
        assert_eq!((rx.linearized(), rx.dropped()), (0, 0));
    }
    assert_eq!(pool.in_use(), 0);
}

fn a_full_ring_refuses_and_nothing_is_lost(pool: &Mempool, port: &Port, rx: &mut RxQueue, tx: &mut TxQueue) {
    let before = port.stats().expect("statistics");
    let mut number = 0;
    let mut burst = Burst::new();
    loop {
        while !burst.is_full() {
            burst.push(frame(pool, 64, number));
            number += 1;
        }
        if tx.transmit(&mut burst) < 32 {
            break;
        }
    }
    // 32 bursts of 32 into a ring of 1023: the last frame of the last burst is refused, and is still what it was.
    assert_eq!((number, burst.len()), (RING + 1, 1));
    assert_eq!(burst[0].bytes(), content(64, RING));
    assert_eq!(pool.in_use(), RING + 1);
    // Refused as a whole, several times, among others: the order stays.
    burst.extend((0..5).map(|i| frame(pool, 64, 2000 + i)));
    for _ in 0..3 {
        assert_eq!(tx.transmit(&mut burst), 0);
    }
    assert_eq!(burst[1].bytes(), content(64, 2000));
    assert_eq!(pool.in_use(), RING + 6);

    // Room for four: the first four go, in order; the two others stay.
    let mut received: ArrayVec<Mbuf, 4> = ArrayVec::new();
    assert_eq!(rx.receive(&mut received), 4);
    assert_eq!(rx.receive(&mut received), 0, "no room in the list, so nothing is taken");
    assert_eq!(tx.transmit(&mut burst), 4);
    assert_eq!(burst.len(), 2);
    assert_eq!(burst[0].bytes(), content(64, 2003));
    drop(received);
    assert_eq!(pool.in_use(), RING + 2);
    drop(burst);
    assert_eq!(pool.in_use(), RING);

    let mut expected = (4..=RING).chain(2000..2003);
    let mut received = Burst::new();
    while rx.receive(&mut received) > 0 {
        for mbuf in received.drain(..) {
            assert_eq!(mbuf.bytes(), content(64, expected.next().expect("no frame twice")));
        }
    }
    assert_eq!(expected.next(), None);
    assert_eq!(pool.in_use(), 0);

    let after = port.stats().expect("statistics");
    assert_eq!(after.tx_packets - before.tx_packets, RING as u64 + 4);
    assert_eq!(after.rx_packets - before.rx_packets, RING as u64 + 4);
    let extended = port.extended_stats().expect("extended statistics");
    let value = |name: &str| extended.iter().find(|(n, _)| n == name).map(|&(_, v)| v);
    assert_eq!(value("tx_good_packets"), Some(after.tx_packets));
    assert_eq!(value("rx_q0_packets").map(|n| n > RING as u64), Some(true));
}

fn a_dropped_list_frees_each_frame_once(pool: &Mempool, rx: &mut RxQueue, tx: &mut TxQueue) {
    // More than one ring's worth, dropped half sent: were a frame freed twice, the same buffer would be handed out
    // twice below; were one lost, there would be one less.
    for round in 0..40 {
        let mut burst: Burst = (0..32).map(|i| frame(pool, 64, round * 32 + i)).collect();
        tx.transmit(&mut burst);
    }
    assert_eq!(pool.in_use(), RING);
    let mut received = Burst::new();
    while rx.receive(&mut received) > 0 {
        received.clear();
    }
    let mut all: Vec<Mbuf> = std::iter::from_fn(|| pool.take()).collect();
    assert_eq!(all.len(), BUFFERS as usize);
    for mbuf in &mut all {
        mbuf.extend(1).expect("room");
    }
    let mut places: Vec<_> = all.iter().map(|mbuf| mbuf.bytes().as_ptr()).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), BUFFERS as usize);
    drop(all);
    assert_eq!(pool.in_use(), 0);
}

fn queues_move_between_threads(eal: &Eal, pool: &Mempool, rx: &mut RxQueue, tx: &mut TxQueue) {
    let handle = eal.handle();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let lcore = lcore::register(&handle).expect("room for an lcore");
            assert_eq!(lcore::current(), Some(lcore.id()));
            assert!(matches!(lcore::register(&handle), Err(Error::LcoreRegistered(_))));
            let mut burst: Burst = (0..32).map(|i| frame(pool, 64, i)).collect();
            assert_eq!(tx.transmit(&mut burst), 32);
            lcore.id()
        });
        assert_ne!(Some(sender.join().expect("no panic")), lcore::current());
        scope.spawn(|| {
            assert_eq!(lcore::current(), None, "not registered, and may receive and free all the same");
            let mut burst = Burst::new();
            assert_eq!(rx.receive(&mut burst), 32);
        });
    });
    assert_eq!(pool.in_use(), 0);
    assert!(
        matches!(lcore::register(&handle), Err(Error::LcoreRegistered(_))),
        "the EAL's own thread is one"
    );
}

fn a_port_has_one_owner(eal: &Eal, pool: &Mempool) {
    let open =
        |device, config: &PortConfig| Port::open(eal, device, config, pool).map(|_| ()).expect_err("refused");
    let good = PortConfig::for_workers(1);
    assert_eq!(open("net_ring0", &good), Error::AlreadyOpen { device: "net_ring0".into() });
    let message = open("net_ring7", &good).to_string();
    assert!(message.contains("net_ring7") && message.contains("vdevs"), "{message}");
    let message = open("net_ring1", &PortConfig::for_workers(99)).to_string();
    assert_eq!(message, "device net_ring1: 99 RX queues were asked for; it can have 1 to 16");
    let message = open("net_ring1", &PortConfig { mtu: Some(9000), ..good.clone() }).to_string();
    assert_eq!(
        message,
        "device net_ring1: an MTU of 9000 needs 9022 bytes a buffer, and pool frames has 2048"
    );

    // Refused for its configuration, the device can still be opened with a better one.
    let info = Port::probe(eal, "net_ring1").expect("a device");
    assert_eq!((info.driver.as_str(), info.max_rx_queues, info.rss_table_size), ("net_ring", 16, 0));
    let StartedPort { port, rx, tx } = Port::open(eal, "net_ring1", &good, pool).expect("a port");
    assert!(port.link().expect("a link").up);
    port.set_link(false).expect("rings have links");
    assert!(!port.link().expect("a link").up);
    assert_eq!(port.mtu().expect("an MTU"), 1500);
    let unsupported = port.set_mtu(1400).expect_err("rings have no MTU to set");
    assert!(
        matches!(&unsupported, Error::Port { errno, .. } if Errno::is_unsupported(*errno)),
        "{unsupported}"
    );
    drop((rx, tx));
    port.close().expect("all queues are back");
}
