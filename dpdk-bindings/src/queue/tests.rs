//! Frames as devices rarely make them, through net_ring: in several segments, shared, with the VLAN tag taken out.
//! One test, for the EAL can be started once per process; no other unit test starts it.

use arrayvec::ArrayVec;

use crate::ffi;
use crate::{
    Eal, EalConfig, Mbuf, Memory, Mempool, Port, PortConfig, RxChecksum, RxQueue, StartedPort, TxQueue,
};

struct World {
    pool: Mempool,
    rx: RxQueue,
    tx: TxQueue,
}

impl World {
    fn frame(&self, len: usize, fill: u8) -> Mbuf {
        let mut mbuf = self.pool.take().expect("a buffer");
        mbuf.extend(len).expect("room").fill(fill);
        mbuf
    }

    /// What reception makes of a frame.
    fn through(&mut self, mbuf: Mbuf) -> Option<Mbuf> {
        let mut burst: ArrayVec<Mbuf, 4> = ArrayVec::new();
        burst.push(mbuf);
        assert_eq!(self.tx.transmit(&mut burst), 1);
        self.rx.receive(&mut burst);
        let received = burst.pop();
        assert!(burst.is_empty() && received.iter().all(Mbuf::is_single_segment));
        received
    }
}

fn set<T>(mbuf: &Mbuf, offset: usize, value: T) {
    // SAFETY: the offset and type of a field of an mbuf that the caller owns.
    unsafe { mbuf.as_ptr().byte_add(offset).cast::<T>().write(value) }
}

/// A frame in two segments of the given lengths.
fn chained(world: &World, first: usize, second: usize) -> Mbuf {
    let (head, tail) = (world.frame(first, 1), world.frame(second, 2));
    set(&head, ffi::QDR_MBUF_NEXT, tail.as_ptr());
    set(&head, ffi::QDR_MBUF_NB_SEGS, 2_u16);
    set(&head, ffi::QDR_MBUF_PKT_LEN, (first + second) as u32);
    // The chain owns it now.
    std::mem::forget(tail);
    head
}

#[test]
fn odd_frames() {
    let mut config = EalConfig::new("odd_frames", Memory::NoHuge { megabytes: 32 });
    config.vdevs = vec!["net_ring0".into()];
    let eal = Eal::start(&config).expect("an EAL");
    let pool = Mempool::new(&eal, "frames", 255, 0, 2176, None).expect("a pool");
    let started = Port::open(&eal, "net_ring0", &PortConfig::for_workers(1), &pool);
    let StartedPort { port, mut rx, mut tx } = started.expect("a port");
    let mut world = World { pool, rx: rx.remove(0), tx: tx.remove(0) };
    segments(&mut world);
    shared(&mut world);
    stripped_tags(&mut world);
    checksums(&mut world);
    assert_eq!(world.pool.in_use(), 0);
    drop(world);
    port.close().expect("all queues are back");
    eal.shutdown().expect("everything has been given back");
}

fn segments(world: &mut World) {
    let mbuf = chained(world, 1000, 1048);
    let whole = world.through(mbuf).expect("fits into one buffer");
    assert_eq!(whole.bytes(), [[1; 1000].as_slice(), [2; 1048].as_slice()].concat());
    assert_eq!((world.rx.linearized(), world.rx.dropped()), (1, 0));
    assert_eq!(world.pool.in_use(), 1, "the second buffer is back");
    drop(whole);
    let mbuf = chained(world, 1000, 1049);
    assert!(world.through(mbuf).is_none());
    assert_eq!((world.rx.linearized(), world.rx.dropped()), (1, 1));
    assert_eq!(world.pool.in_use(), 0);
}

fn shared(world: &mut World) {
    let mbuf = world.frame(60, 3);
    let raw = mbuf.as_ptr();
    set(&mbuf, ffi::QDR_MBUF_REFCNT, 2_u16);
    assert!(world.through(mbuf).is_none(), "somebody else could write to it");
    assert_eq!((world.rx.dropped(), world.pool.in_use()), (2, 1));
    // SAFETY: the reference that the dropping left is ours.
    unsafe { ffi::qdr_mbuf_free(raw) };
    assert_eq!(world.pool.in_use(), 0);
}

fn stripped_tags(world: &mut World) {
    let mut mbuf = world.frame(60, 4);
    mbuf.bytes_mut()[12..14].copy_from_slice(&[0x08, 0x00]);
    set(&mbuf, ffi::QDR_MBUF_OL_FLAGS, ffi::QDR_RX_VLAN_STRIPPED);
    set(&mbuf, ffi::QDR_MBUF_VLAN_TCI, 0xa005_u16);
    let tagged = world.through(mbuf).expect("a frame");
    assert_eq!(tagged.len(), 64);
    assert_eq!(tagged.bytes()[..12], [4; 12]);
    assert_eq!(tagged.bytes()[12..18], [0x81, 0x00, 0xa0, 0x05, 0x08, 0x00]);
    let again = world.through(tagged).expect("a frame");
    assert_eq!(again.len(), 64, "put back once");
}

fn checksums(world: &mut World) {
    let rows = [
        (0, RxChecksum::Unknown),
        (ffi::QDR_RX_L4_CKSUM_GOOD, RxChecksum::Good),
        (ffi::QDR_RX_L4_CKSUM_BAD, RxChecksum::Bad),
        // Both bits: no checksum in the frame, integrity known. Not a verified TCP checksum.
        (ffi::QDR_RX_L4_CKSUM_MASK, RxChecksum::Unknown),
    ];
    for (flags, expected) in rows {
        let mbuf = world.frame(60, 5);
        set(&mbuf, ffi::QDR_MBUF_OL_FLAGS, flags);
        assert_eq!(world.through(mbuf).expect("a frame").rx_checksum(), expected);
    }
}
