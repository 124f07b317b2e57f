//! A wire between two devices: what one receives the other transmits, by any number of workers, until stdin ends.
//!
//! ```text
//! cargo run --example wire -- 2 net_af_packet0,iface=veth0,qpairs=2 net_af_packet1,iface=veth1,qpairs=2
//! ```
//!
//! Shows the order in which things are made and given back, and answers what a device can do in some lab.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use dpdk_bindings::{
    Eal, EalConfig, EalHandle, Mbuf, Memory, Mempool, Port, PortConfig, RxQueue, TxQueue, lcore,
};

static STOP: AtomicBool = AtomicBool::new(false);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workers, left, right] = &arguments[..] else {
        return Err("usage: wire WORKERS VDEV VDEV".into());
    };
    let workers: u16 = workers.parse()?;
    let mut config = EalConfig::new("wire", Memory::NoHuge { megabytes: 256 });
    config.vdevs = vec![left.clone(), right.clone()];
    let eal = Eal::start(&config)?;
    let pool = Mempool::new(&eal, "frames", 16383, 256, 2176, None)?;
    let config = PortConfig::for_workers(workers);
    let left = Port::open(&eal, left, &config, &pool)?;
    let right = Port::open(&eal, right, &config, &pool)?;
    for port in [&left.port, &right.port] {
        println!("{port:?} {:#?}\nrss: {:?}", port.info()?, port.rss());
    }
    let there = left.rx.into_iter().zip(right.tx);
    let back = right.rx.into_iter().zip(left.tx);
    let threads: Vec<_> = there
        .zip(back)
        .map(|(there, back)| {
            let eal = eal.handle();
            std::thread::spawn(move || run(&eal, there, back))
        })
        .collect();
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    STOP.store(true, Ordering::Relaxed);
    for (i, thread) in threads.into_iter().enumerate() {
        println!("worker {i}: frames there and back {:?}", thread.join().expect("a worker does not panic"));
    }
    for port in [left.port, right.port] {
        println!("{port:?} {:?}", port.stats()?);
        port.close()?;
    }
    println!("buffers out: {}", pool.in_use());
    drop(pool);
    Ok(eal.shutdown()?)
}

fn run(eal: &EalHandle, mut there: (RxQueue, TxQueue), mut back: (RxQueue, TxQueue)) -> [u64; 2] {
    let _lcore = lcore::register(eal).expect("room for an lcore");
    let mut burst: ArrayVec<Mbuf, 32> = ArrayVec::new();
    let mut counts = [0; 2];
    while !STOP.load(Ordering::Relaxed) {
        let mut idle = true;
        for (count, (rx, tx)) in counts.iter_mut().zip([&mut there, &mut back]) {
            *count += rx.receive(&mut burst) as u64;
            idle &= burst.is_empty();
            tx.transmit(&mut burst);
            // A wire does not wait.
            burst.clear();
        }
        if idle {
            std::thread::yield_now();
        }
    }
    counts
}
