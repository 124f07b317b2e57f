//! The store of partial connections: names, limits, memory.

use std::net::SocketAddr;

use dataplane::flow::object::Record;
use dataplane::flow::quad::Quad;
use dataplane::wire::build::FrameTemplate;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;

use super::*;

const LIMITS: Limits =
    Limits { capacity: 8, per_worker: 6, per_source: None, source_prefix: (24, 56), per_destination: None };

fn key(client: &str, server: &str) -> FlowKey {
    let quad = |text: &str| text.parse::<SocketAddr>().unwrap();
    FlowKey { quad: Quad::between(quad(client), quad(server)).unwrap(), segment: Segment::new(1, 0, 0) }
}

fn syn(key: &FlowKey) -> Vec<u8> {
    let template = FrameTemplate::new([2; 6], [1; 6], &[], 64, key.quad);
    let mut frame = [0; 200];
    let tcp = TcpRepr { flags: TcpFlags::SYN, ..TcpRepr::default() };
    let len = template.build(&tcp, b"", &mut frame).unwrap();
    frame[..len].to_vec()
}

fn insert(store: &mut Suspended, n: u32, worker: usize, key: FlowKey) -> Result<u32, Full> {
    let flow = FlowRef { slot: n, generation: 0 };
    let syn = syn(&key);
    let (module, inspection) = (0, Record::NO_INSPECTION);
    let Ok(Packet::Tcp(headers)) = packet::parse(&syn) else { panic!("a SYN") };
    let segment = read_segment(&syn, &headers).unwrap();
    let client_side = PortId(0);
    let (syn, headers, segment) = (&syn[..], &headers, &segment);
    let is_proven = false;
    let arrival =
        Arrival { worker, flow, client_side, module, inspection, is_proven, key, syn, headers, segment };
    store.insert(Instant::from_millis(n.into()), &arrival)
}

fn client(n: u32) -> FlowKey {
    key(&format!("10.{}.{}.1:4000", n >> 8, n & 0xff), "10.9.0.1:80")
}

#[test]
fn is_found_by_flow_and_ticket_and_leaves_nothing_behind() {
    let mut store = Suspended::new(LIMITS, 2);
    let slots: Vec<u32> = (0..4).map(|n| insert(&mut store, n, 1, client(n)).unwrap()).collect();
    assert_eq!(store.find(1, FlowRef { slot: 2, generation: 0 }), Some(slots[2]));
    assert_eq!(store.find(0, FlowRef { slot: 2, generation: 0 }), None, "another worker's");
    assert_eq!(store.key(slots[3]), Some(client(3)));
    let ticket = store.ticket(slots[2]);
    assert_eq!(store.by_ticket(ticket), Some(slots[2]));
    for slot in &slots {
        assert!(store.remove(*slot).is_some());
    }
    let nobody = [Ages::NOBODY; 2];
    assert_eq!((store.len(), &*store.waiting, &*store.remembered), (0, &nobody[..], &nobody[..]));
    assert!(store.index.is_empty());
    let next = insert(&mut store, 9, 1, client(9)).unwrap();
    assert_eq!(store.by_ticket(ticket), None, "tickets are not used again");
    assert_eq!(store.remove(next).map(|partial| partial.flow.slot), Some(9));
    assert!(store.remove(next).is_none());
}

#[test]
fn each_limit_has_its_name_and_the_oldest_that_uses_it_up_is_in_the_way() {
    let limits = Limits { per_source: Some(2), per_destination: Some(5), ..LIMITS };
    let mut store = Suspended::new(limits, 2);
    let server = "[fd00::1]:443";
    let of_source = |n: u32| key(&format!("[2001:db8:0:1{n:02x}::{n}]:9"), server);
    let first = insert(&mut store, 0, 0, client(0)).unwrap();
    let second = insert(&mut store, 1, 0, of_source(1)).unwrap();
    insert(&mut store, 2, 0, of_source(2)).unwrap();
    assert_eq!(insert(&mut store, 3, 0, of_source(3)), Err(Full::Source), "one /56");
    assert_eq!(store.in_the_way(Full::Source, 0, &of_source(3)), Some(second));
    store.refuse(second, 0);
    assert!(insert(&mut store, 3, 0, of_source(3)).is_ok(), "what is refused counts for no prefix");

    let others = [1, 2, 3, 4].map(|n| insert(&mut store, 10 + n, 1, client(n)).unwrap());
    assert_eq!(insert(&mut store, 20, 1, client(7)), Err(Full::Table));
    assert_eq!(store.in_the_way(Full::Table, 1, &client(7)), Some(others[0]), "of its own");
    assert_eq!(store.remembered_in_the_way(Full::Table, 1), Some(second));
    store.remove(second);
    assert_eq!(store.remembered_in_the_way(Full::Table, 1), None);
    assert_eq!(insert(&mut store, 20, 1, client(7)), Err(Full::Destination));
    assert_eq!(store.in_the_way(Full::Destination, 1, &client(7)), Some(others[0]), "of its own first");
    store.remove(first);
    assert!(insert(&mut store, 20, 1, client(7)).is_ok());
}

/// What a prefix has too much of may lie behind all who are looked at: a flood of its SYNs must not cost more than that look.
#[test]
fn a_fruitless_search_parses_no_frame() {
    let limits = Limits { capacity: 200, per_worker: 200, ..LIMITS };
    let mut store = Suspended::new(limits, 1);
    for n in 0..=SEARCHED as u32 {
        insert(&mut store, n, 0, client(n)).unwrap();
    }
    let last = client(SEARCHED as u32);
    store.parsed.set(0);
    assert_eq!(store.in_the_way(Full::Source, 0, &last), None);
    assert!(store.parsed.get() <= 1, "{} frames", store.parsed.get());
    store.remove(0);
    assert!(store.in_the_way(Full::Source, 0, &last).is_some());
}

/// Quad, segment, headers and frame are asked for one after the other while an event is handled.
#[test]
fn a_syn_is_parsed_once_while_no_other_is_looked_at() {
    let mut store = Suspended::new(LIMITS, 1);
    let slots = [1, 2].map(|n| insert(&mut store, n, 0, client(n)).unwrap());
    store.parsed.set(0);
    for _ in 0..3 {
        assert_eq!(store.key(slots[0]), Some(client(1)));
        assert_eq!(store.syn(slots[0]).map(|(_, headers)| headers.quad), Some(client(1).quad));
    }
    assert_eq!(store.parsed.get(), 1);
    assert_eq!(store.key(slots[1]), Some(client(2)));
    store.renew_syn(slots[1], &syn(&client(3)));
    assert_eq!(store.key(slots[1]), Some(client(3)), "the one that is meant now");
    store.remove(slots[1]);
    assert_eq!(store.key(slots[1]), None);
    assert_eq!(insert(&mut store, 4, 0, client(4)), Ok(slots[1]), "the same place");
    assert_eq!(store.key(slots[1]), Some(client(4)));
}

/// Whoever is oldest of all may be another worker's, any number of them.
#[test]
fn a_worker_that_is_full_makes_room_among_its_own() {
    let limits = Limits { capacity: 400, per_worker: 200, per_source: None, per_destination: None, ..LIMITS };
    let mut store = Suspended::new(limits, 2);
    for n in 0..100 {
        insert(&mut store, n, 1, client(n)).unwrap();
    }
    let first = insert(&mut store, 100, 0, client(100)).unwrap();
    for n in 101..300 {
        insert(&mut store, n, 0, client(n)).unwrap();
    }
    assert_eq!(insert(&mut store, 300, 0, client(300)), Err(Full::Table));
    assert_eq!(store.in_the_way(Full::Table, 0, &client(300)), Some(first));
    store.refuse(first, 0);
    assert_eq!(store.remembered_in_the_way(Full::Table, 0), Some(first));
}

#[test]
fn one_worker_cannot_take_all() {
    let mut store = Suspended::new(LIMITS, 2);
    for n in 0..6 {
        insert(&mut store, n, 0, client(n)).unwrap();
    }
    assert_eq!(insert(&mut store, 6, 0, client(6)), Err(Full::Table));
    assert!(insert(&mut store, 6, 1, client(6)).is_ok());
}

/// The whole of a held flow: its entry on the worker, its record, its SYN, its timers.
#[test]
fn a_hundred_thousand_take_at_most_forty_mebibytes() {
    const HELD: usize = 100_000;
    let limits = Limits { capacity: HELD, per_source: Some(256), per_destination: Some(65_536), ..LIMITS };
    let worker = dataplane::flow::table::FlowTable::bytes_for(HELD, 0);
    let all = worker + Suspended::bytes(&limits);
    assert!(all <= 40 << 20, "{all} bytes, {} each", all / HELD);
    println!("{} bytes each, {} of them the worker's", all / HELD, worker / HELD);
}
