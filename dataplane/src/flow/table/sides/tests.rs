//! Flows found by two keys, against a `HashMap`.

use std::collections::HashMap;
use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::clock::Instant;
use crate::flow::hash::KeyedHash;
use crate::flow::object::Path;
use crate::flow::quad::FlowKey;
use crate::flow::quad::{Quad, Segment};
use crate::flow::table::tests::key;
use crate::port::PortId;

fn side(key: FlowKey) -> FarSide {
    FarSide { key, port: PortId(1), to_server: Default::default(), to_client: Default::default() }
}

fn table(capacity: usize, far: usize) -> FlowTable {
    FlowTable::new(capacity, far, KeyedHash::new([1, 2, 3, 4]))
}

fn insert(table: &mut FlowTable, key: &FlowKey) -> u32 {
    table.insert(key, Path::Suspended, 0, Instant::ZERO).unwrap()
}

#[test]
fn a_flow_is_found_by_either_key_until_it_goes() {
    for v6 in [false, true] {
        let mut table = table(4, 2);
        let (near, far) = (key(1, v6, 5), key(2, v6, 6));
        let slot = insert(&mut table, &near);
        table.set_far(slot, side(far)).unwrap();
        let back = |key: FlowKey| FlowKey { quad: key.quad.reversed(), ..key };
        for known in [near, far] {
            assert_eq!(table.find(&known), Some((slot, Direction::ClientToServer)));
            assert_eq!(table.find(&back(known)), Some((slot, Direction::ServerToClient)));
        }
        assert_eq!(table.find(&key(2, v6, 5)), None, "the segment counts on the far side, too");
        assert_eq!((table.key(slot), table.far(slot).unwrap().key, table.len()), (near, far, 1));
        table.remove(slot);
        assert_eq!((table.find(&near), table.find(&far), table.far_sides()), (None, None, 0));
    }
}

#[test]
fn what_another_flow_is_known_by_is_refused_by_name() {
    let mut table = table(4, 1);
    let (one, two) = (insert(&mut table, &key(1, false, 0)), insert(&mut table, &key(2, false, 0)));
    assert_eq!(table.set_far(one, side(key(2, false, 0))), Err(Refused::InUse), "its own key");
    table.set_far(one, side(key(9, false, 0))).unwrap();
    assert_eq!(table.set_far(two, side(key(9, false, 0))), Err(Refused::InUse), "its far one");
    assert_eq!(table.set_far(two, side(key(8, false, 0))), Err(Refused::Full));
    table.set_far(one, side(key(8, false, 0))).unwrap();
    assert_eq!(table.find(&key(9, false, 0)), None, "the former one is gone");
    table.remove(one);
    assert_eq!(table.set_far(two, side(key(8, false, 0))), Ok(()));
    assert_eq!(table.find(&key(8, false, 0)).map(|found| found.0), Some(two));
}

#[test]
fn another_hop_for_the_same_quad_needs_no_second_key() {
    let mut table = table(2, 2);
    let slot = insert(&mut table, &key(1, true, 0));
    table.set_far(slot, side(key(1, true, 0))).unwrap();
    assert_eq!((table.index.len(), table.far_sides()), (1, 1));
    table.remove(slot);
    assert_eq!((table.index.len(), table.far_sides()), (0, 0));
}

#[test]
fn full_of_aliases_that_come_and_go_it_never_grows() {
    let mut table = table(28, 28);
    let taken = table.index.allocation_size();
    let mut slots = std::collections::VecDeque::new();
    for n in 0..10_000u32 {
        if slots.len() == 28 {
            table.remove(slots.pop_front().unwrap());
        }
        let quad = |port| {
            let client = SocketAddr::from((n.to_be_bytes(), port));
            FlowKey {
                quad: Quad::between(client, "10.0.0.2:80".parse().unwrap()).unwrap(),
                segment: Segment(0),
            }
        };
        let slot = insert(&mut table, &quad(1));
        table.set_far(slot, side(quad(2))).unwrap();
        slots.push_back(slot);
    }
    assert_eq!(table.index.allocation_size(), taken);
}

#[test]
fn the_oldest_that_is_not_settled_is_named_whatever_goes_in_between() {
    let mut table = table(6, 6);
    let slots = [0, 1, 2, 3, 4, 5].map(|n| insert(&mut table, &key(n, n % 2 == 1, 0)));
    assert_eq!(table.oldest_far(), None);
    let give = |table: &mut FlowTable, n: usize| table.set_far(slots[n], side(key(10 + n as u8, false, 0)));
    for n in 0..5 {
        give(&mut table, n).unwrap();
    }
    table.settle_far(slots[2]);
    table.settle_far(slots[2]);
    table.settle_far(slots[5]);
    assert_eq!(table.oldest_far(), Some(slots[0]));
    table.remove(slots[1]);
    // Another far side is a new one.
    give(&mut table, 0).unwrap();
    let mut order = Vec::new();
    while let Some(slot) = table.oldest_far() {
        table.settle_far(slot);
        order.push(slot);
    }
    assert_eq!((order, table.far_sides()), (vec![slots[3], slots[4], slots[0]], 4));
    table.remove(slots[2]);
    give(&mut table, 5).unwrap();
    assert_eq!(table.oldest_far(), Some(slots[5]), "the emptied queue begins anew");
}

proptest! {
    /// Any series of insertions, removals, far sides and look-ups agrees with a `HashMap` from every key to its flow.
    #[test]
    fn agrees_with_a_hash_map(
        ops in prop::collection::vec((0u8..12, 0u8..12, any::<bool>(), 0u16..2, 0u8..4), 1..300),
    ) {
        let mut table = table(8, 4);
        let mut flows: HashMap<FlowKey, (u32, Option<FlowKey>)> = HashMap::new();
        let mut oracle: HashMap<FlowKey, u32> = HashMap::new();
        for (n, m, v6, vlan, op) in ops {
            let (near, far) = (key(n, v6, vlan), key(m, v6, 0));
            match op {
                0 if !oracle.contains_key(&near) => {
                    let inserted = table.insert(&near, Path::CutThrough, 0, Instant::ZERO);
                    prop_assert_eq!(inserted.is_ok(), flows.len() < 8);
                    if let Ok(slot) = inserted {
                        flows.insert(near, (slot, None));
                        oracle.insert(near, slot);
                    }
                }
                1 => if let Some((slot, far)) = flows.remove(&near) {
                    table.remove(slot);
                    oracle.remove(&near);
                    if let Some(far) = far { oracle.remove(&far); }
                },
                2 => if let Some((_, had)) = flows.get_mut(&near) {
                    if let Some(had) = had.take() && had != near { oracle.remove(&had); }
                    let used = flows.values().filter(|(_, far)| far.is_some()).count();
                    let slot = flows[&near].0;
                    let free = far == near || !oracle.contains_key(&far);
                    let got = table.set_far(slot, side(far));
                    let expected = match (free, used < 4) {
                        (false, _) => Err(Refused::InUse),
                        (true, false) => Err(Refused::Full),
                        (true, true) => Ok(()),
                    };
                    prop_assert_eq!(got, expected);
                    if got.is_ok() {
                        flows.get_mut(&near).unwrap().1 = Some(far);
                        oracle.insert(far, slot);
                    }
                },
                _ => {}
            }
            for asked in [near, far] {
                prop_assert_eq!(table.find(&asked).map(|found| found.0), oracle.get(&asked).copied());
            }
            prop_assert_eq!((table.len(), table.index.len()), (flows.len(), oracle.len()));
        }
    }
}
