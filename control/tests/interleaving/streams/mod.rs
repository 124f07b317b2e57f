//! Any sequence of data, loss, duplicates, reordering, splits, merges, edits, timeouts, FINs and RSTs, over numbers that pass 2^31 and
//! 2^32, against a plain model of two byte streams. Real worker, real control core; what fails is shrunk to few moves.
mod end;
mod scribe;
mod world;

use proptest::prelude::*;

use self::world::{Move, Side, World};

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
        1 => side().prop_map(Move::Ask),
        1 => side().prop_map(Move::Close),
        1 => side().prop_map(Move::Reset),
    ];
    prop::collection::vec(one, 0..80)
}

/// Where both ends' numbers begin: so many bytes before an edge.
fn isn() -> impl Strategy<Value = u32> {
    (prop_oneof![Just(0u32), Just(1 << 31)], 0..2_000u32).prop_map(|(edge, before)| edge.wrapping_sub(before))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::number("QUADRILLE_CASES", 512) as u32, failure_persistence: None, max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn two_streams_of_bytes(isns in (isn(), isn()), moves in moves()) {
        play(isns, &moves, false);
    }

    #[test]
    fn two_streams_that_a_module_edits(isns in (isn(), isn()), moves in moves()) {
        play(isns, &moves, true);
    }
}

fn play(isns: (u32, u32), moves: &[Move], may_be_edited: bool) {
    let mut world = World::new([isns.0, isns.1], may_be_edited);
    moves.iter().for_each(|next| world.take(*next));
    world.finish();
}

/// Bytes that passed before a split keep their numbers, whatever is edited behind them.
#[test]
fn a_repetition_of_what_has_passed_before_an_edit() {
    use Move::{Lose, Pass, Split, Write};
    use Side::{Client, Server};
    let pass = Pass { out: false, side: Client };
    let written = [162, 203, 256, 220, 311, 380, 362, 156].map(|len| Write(Client, len));
    let mut moves = vec![Write(Server, 1), pass, pass, Lose { out: true, side: Server }];
    moves.splice(1..1, written.iter().copied().take(2));
    moves.push(Split);
    moves.extend(written.iter().copied().skip(2));
    play((0, 0), &moves, true);
}

#[test]
fn a_reset_crosses_on_every_path() {
    use Side::{Client, Server};
    for moves in
        [&[Move::Reset(Client)][..], &[Move::Split, Move::Reset(Client)], &[Move::Reset(Server), Move::Split]]
    {
        let before = [Move::Write(Client, 700), Move::Write(Server, 700), Move::Wait(10)];
        play((0, 0), &[&before, moves].concat(), false);
    }
}

/// What is on its way to the receiver of a RST may make its number one of before; the receiver asks, and must be answered.
#[test]
fn a_reset_from_below_a_boundary_is_repeated_to_who_asks() {
    use Side::{Client, Server};
    let written = [Move::Write(Client, 1), Move::Write(Client, 1), Move::Write(Server, 1)];
    let passed = Move::Duplicate { out: false, side: Server };
    let end = [passed, Move::Reset(Client), Move::Pass { out: false, side: Client }, Move::Split];
    play((0, 0), &[&written[..], &end].concat(), false);
}

/// The FIN that answers the reset end's own has come with it, and was held: somebody has to acknowledge it, or to reset.
#[test]
fn a_reset_and_a_fin_that_a_drain_has_held() {
    use Side::{Client, Server};
    let passed = Move::Duplicate { out: false, side: Server };
    let closed = [Move::Split, Move::Close(Server), Move::Write(Client, 1), passed];
    let end = [Move::Pass { out: true, side: Client }, Move::Reset(Server), Move::Merge, Move::Close(Client)];
    play((0, 0), &[closed, end].concat(), false);
}

/// The client has not heard that all has arrived, of which a module has left out so much that the repetition lies before the
/// first byte.
#[test]
fn a_repetition_from_before_a_merge_may_lie_before_the_beginning() {
    use Move::{Close, Duplicate, Merge, Pass, Reorder, Split, Wait, Write};
    use Side::{Client, Server};
    let pass = Pass { out: false, side: Client };
    let reorder = Reorder { out: false, side: Client };
    let moves = [
        Close(Server),
        Write(Client, 259),
        Wait(1),
        Wait(1),
        Write(Client, 120),
        reorder,
        Split,
        Write(Client, 350),
        Write(Client, 241),
        pass,
        Write(Client, 88),
        Write(Client, 128),
        Write(Client, 237),
        Write(Client, 256),
        pass,
        Write(Client, 273),
        Write(Client, 98),
        Duplicate { out: false, side: Server },
        pass,
        Pass { out: true, side: Client },
        reorder,
        Merge,
    ];
    play((0, 0), &moves, true);
}

/// Both ends have closed, and the acknowledgment of the server's FIN is lost; then the client resets what is over.
#[test]
fn a_reset_of_what_is_over_but_for_a_lost_acknowledgment() {
    use Move::{Close, Duplicate, Lose, Pass, Reorder, Reset, Split, Wait, Write};
    use Side::{Client, Server};
    let into = |side| Pass { out: false, side };
    let out = |side| Pass { out: true, side };
    let moves = [
        Write(Client, 1),
        Close(Client),
        Split,
        into(Client),
        Write(Server, 1),
        Write(Server, 1),
        out(Server),
        Wait(1),
        into(Client),
        Close(Server),
        Duplicate { out: true, side: Server },
        Write(Client, 1),
        into(Server),
        Lose { out: true, side: Server },
        Split,
        into(Server),
        into(Server),
        Reorder { out: false, side: Server },
        Write(Client, 1),
        out(Server),
        out(Server),
        Reset(Client),
        into(Server),
        Lose { out: true, side: Server },
    ];
    play((0, 0), &moves, false);
}

/// Its RST is lost on the way to the server, which has nothing to say for longer than one usually waits.
#[test]
fn a_reset_is_lost_and_nobody_speaks() {
    use Side::{Client, Server};
    let lost = [Move::Pass { out: false, side: Client }, Move::Lose { out: true, side: Server }];
    let waits = [Move::Wait(2_000); 6];
    play((0, 0), &[&[Move::Reset(Client), Move::Split][..], &lost, &waits].concat(), false);
}

/// A server with much on its way hears of a RST below a boundary: its questions come faster than they are answered.
#[test]
fn a_reset_from_below_a_boundary_is_asked_about_often() {
    use Move::{Duplicate, Lose, Pass, Reset, Split, Wait, Write};
    use Side::{Client, Server};
    let into = |side| Pass { out: false, side };
    let said = [Write(Client, 1), Reset(Client), into(Client), Write(Server, 1)];
    let split = [Duplicate { out: false, side: Server }, Split, Lose { out: false, side: Client }];
    let again = [Pass { out: true, side: Client }, into(Client), Write(Server, 1), Write(Server, 301)];
    let waits = [Wait(1_538), Wait(1_621), Wait(1_841)];
    play((0, 0), &[&said[..], &split, &again, &waits].concat(), true);
}

/// The client's byte is on its way past us when its FIN comes, so that the server's goes out before the client's may be acknowledged. The
/// one acknowledgment of both is lost.
#[test]
fn a_fin_is_acknowledged_by_who_has_heard_nothing_of_its_own() {
    use Move::{Close, Lose, Pass, Split, Wait, Write};
    use Side::{Client, Server};
    let into = |side| Pass { out: false, side };
    let out = |side| Pass { out: true, side };
    let passed = [Close(Server), Write(Client, 1), into(Client), Wait(1), Close(Client)];
    let reorder = Move::Reorder { out: false, side: Client };
    let split = [Lose { out: false, side: Server }, Split, reorder];
    let closed = [into(Client), into(Server), out(Server), into(Server), out(Client)];
    let lost = [reorder, Lose { out: true, side: Client }];
    play((0, 0), &[&passed[..], &split, &closed, &lost].concat(), true);
}

/// Both ends are silent when the flow is split, and hear of each other when one of them asks (`World::finish`).
#[test]
fn who_asks_after_a_split_is_answered() {
    play((0, 0), &[Move::Split], false);
    play((0, 0), &[Move::Split, Move::Ask(Side::Server)], false);
}
