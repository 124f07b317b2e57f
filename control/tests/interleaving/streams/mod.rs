//! Any sequence of data, loss, duplicates, reordering, splits, merges, timeouts and FINs, over numbers that pass 2^31 and
//! 2^32, against a plain model of two byte streams. Real worker, real control core; what fails is shrunk to few moves.
mod end;
mod world;

use self::world::{Move, Side, World};
use proptest::prelude::*;

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (side(), 1..400u32).prop_map(|(side, len)| Move::Write(side, len)),
        8 => (any::<bool>(), side()).prop_map(|(out, side)| Move::Pass { out, side }),
        2 => (any::<bool>(), side()).prop_map(|(out, side)| Move::Lose { out, side }),
        2 => (any::<bool>(), side()).prop_map(|(out, side)| Move::Duplicate { out, side }),
        2 => (any::<bool>(), side()).prop_map(|(out, side)| Move::Reorder { out, side }),
        3 => Just(Move::Split),
        3 => Just(Move::Merge),
        2 => (1..2_000u64).prop_map(Move::Wait),
        1 => side().prop_map(Move::Close),
    ];
    prop::collection::vec(one, 0..80)
}

/// Where both ends' numbers begin: so many bytes before an edge.
fn isn() -> impl Strategy<Value = u32> {
    (prop_oneof![Just(0u32), Just(1 << 31)], 0..2_000u32).prop_map(|(edge, before)| edge.wrapping_sub(before))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::number("QUADRILLE_CASES", 512) as u32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_streams_of_bytes(isns in (isn(), isn()), moves in moves()) {
        let mut world = World::new([isns.0, isns.1]);
        moves.iter().for_each(|next| world.take(*next));
        world.finish();
    }
}
