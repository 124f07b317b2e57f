//! TCP options read, written and edited in place.

use proptest::prelude::*;

use super::*;
use crate::wire::checksum::{Sum, Update};
use crate::wire::seq::Delta;

fn parse(bytes: &[u8]) -> Result<TcpOptions, BadOptions> {
    let parsed = TcpOptions::parse(bytes);
    assert_eq!(
        check(bytes),
        parsed.as_ref().map(|_| ()).map_err(|bad| *bad),
        "check disagrees about {bytes:?}"
    );
    assert_eq!(parsed, TcpOptions::parse_any(bytes), "{bytes:?}");
    parsed
}

fn emitted(options: &TcpOptions) -> Vec<u8> {
    let mut out = [0xee; MAX_LEN];
    let len = options.emit(&mut out);
    assert_eq!(len, options.emitted_len());
    assert!(len.is_multiple_of(4) && out[len..].iter().all(|byte| *byte == 0xee));
    out[..len].to_vec()
}

fn block(left: u32, right: u32) -> SackBlock {
    SackBlock { left: Seq(left), right: Seq(right) }
}

const TS: Option<Timestamps> = Some(Timestamps { value: 0x0102_0304, echo: 0x0506_0708 });

#[test]
fn layouts_are_those_of_linux() {
    let none = TcpOptions::default();
    let syn = TcpOptions {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: TS,
        ..none.clone()
    };
    let table: &[(TcpOptions, &[u8])] = &[
        (none.clone(), &[]),
        (syn.clone(), &[2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7]),
        (TcpOptions { timestamps: None, ..syn.clone() }, &[2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7]),
        (
            TcpOptions { sack_permitted: false, mss: None, ..syn.clone() },
            &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7],
        ),
        (
            TcpOptions { sack: [block(1, 2)].into_iter().collect(), ..none },
            &[1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2],
        ),
    ];
    for (options, bytes) in table {
        assert_eq!(&emitted(options), bytes);
        assert_eq!(parse(bytes).as_ref(), Ok(options));
    }
}

#[test]
fn as_many_sack_blocks_as_fit() {
    let blocks = [block(1, 2), block(3, 4), block(5, 6), block(7, 8)];
    let alone = TcpOptions { sack: blocks.into(), ..TcpOptions::default() };
    assert_eq!(parse(&emitted(&alone)), Ok(alone.clone()));
    let with_timestamps = TcpOptions { timestamps: TS, ..alone };
    let parsed = parse(&emitted(&with_timestamps)).unwrap();
    assert_eq!(parsed.sack[..], blocks[..3]);
    assert_eq!(emitted(&with_timestamps).len(), MAX_LEN);
}

#[test]
fn nothing_is_written_where_it_does_not_fit() {
    let options = TcpOptions { timestamps: TS, ..TcpOptions::default() };
    let mut out = [9; 11];
    assert_eq!((options.emit(&mut out), out), (0, [9; 11]));
}

#[test]
fn the_last_of_several_counts() {
    let twice = [2, 4, 0, 1, 3, 3, 1, 2, 4, 0, 9, 3, 3, 2];
    let parsed = parse(&twice).unwrap();
    assert_eq!((parsed.mss, parsed.window_scale), (Some(9), Some(2)));
    let stamps = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 8, 10, 0, 0, 0, 3, 0, 0, 0, 4];
    let last = Some(Timestamps { value: 3, echo: 4 });
    assert_eq!((parse(&stamps).unwrap().timestamps, timestamps(&stamps)), (last, last));
}

#[test]
fn what_is_not_understood_is_told() {
    let table: &[(&[u8], bool, bool)] = &[
        (&[30, 3, 0], false, true),
        (&[34, 2], false, true),
        (&[29, 4, 1, 1], true, false),
        (&[1, 1, 19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], true, false),
        (&[2, 4, 0, 0], false, false),
        (&[0, 30, 1], false, false),
    ];
    for (bytes, authenticated, other) in table {
        let options = parse(bytes).unwrap();
        assert_eq!((options.authenticated, options.other), (*authenticated, *other), "{bytes:?}");
        assert_eq!(options.mss, None);
    }
}

#[test]
fn contradictions_are_errors() {
    let table: &[&[u8]] = &[
        &[8],
        &[8, 0],
        &[8, 1],
        &[254, 1],
        &[254, 3],
        &[2, 3, 1],
        &[2, 4, 1],
        &[3, 4, 1, 1],
        &[4, 3, 1],
        &[5, 2],
        &[5, 9, 0, 0, 0, 0, 0, 0, 0],
        &[8, 9, 0, 0, 0, 0, 0, 0, 0],
        &[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0],
        &[19, 4, 0, 0],
        &[29, 3, 0],
        &[1; 41],
    ];
    for bytes in table {
        assert_eq!(parse(bytes), Err(BadOptions), "{bytes:?}");
    }
}

#[test]
fn timestamps_are_found_aligned_or_not() {
    let stamp = [8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    for nops in 0..=30 {
        let bytes = [&vec![1; nops][..], &stamp].concat();
        assert_eq!((timestamps_offset(&bytes), timestamps(&bytes)), (Some(nops + 2), TS));
    }
    assert_eq!(timestamps_offset(&[0, 0, 8, 10]), None);
    assert_eq!(timestamps(&[1, 1, 8, 10, 1, 2]), None);
}

/// Options that `emit` can say in full.
fn any_options() -> impl Strategy<Value = TcpOptions> {
    let timestamps = proptest::option::of((any::<u32>(), any::<u32>()))
        .prop_map(|ts| ts.map(|(value, echo)| Timestamps { value, echo }));
    let sack = proptest::collection::vec((any::<u32>(), any::<u32>()), 0..=4);
    let syn = (proptest::option::of(1u16..), proptest::option::of(any::<u8>()), any::<bool>());
    (syn, timestamps, sack).prop_map(|((mss, window_scale, sack_permitted), timestamps, sack)| {
        let mut options =
            TcpOptions { mss, window_scale, sack_permitted, timestamps, ..TcpOptions::default() };
        options.sack = sack.into_iter().map(|(left, right)| block(left, right)).collect();
        options.sack.truncate(options.sack_room());
        options
    })
}

proptest! {
    #[test]
    fn emit_then_parse_is_identity(options in any_options()) {
        prop_assert_eq!(parse(&emitted(&options)), Ok(options));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..=44)) {
        if let Ok(mut options) = parse(&bytes) {
            (options.authenticated, options.other) = (false, false);
            options.sack.truncate(options.sack_room());
            prop_assert_eq!(parse(&emitted(&options)), Ok(options));
        }
    }

    #[test]
    fn edits_keep_the_checksum_at_any_parity(
        mut options in any_options(),
        nops in 0usize..8,
        delta in any::<i32>(),
    ) {
        (options.mss, options.window_scale, options.sack_permitted) = (None, None, false);
        options.sack.truncate(options.sack.len().min(2));
        let delta = Delta(delta);
        let mut bytes = [&vec![kind::NOP; nops][..], &emitted(&options)].concat();
        bytes.truncate(MAX_LEN);
        let before = Sum::of(&bytes).checksum();
        let mut update = Update::NONE;
        edit_sack_edges(&mut bytes, &mut update, |edge| edge.minus(delta));
        edit_timestamps(&mut bytes, &mut update, |ts| Timestamps { value: ts.value ^ 7, echo: !ts.echo });
        // All NOPs or nothing: never the all-zero unit whose checksum is 0xffff.
        prop_assert_eq!(update.apply(before), Sum::of(&bytes).checksum());

        let mut expected = options;
        expected.sack.iter_mut().for_each(|b| *b = block(b.left.minus(delta).0, b.right.minus(delta).0));
        expected.timestamps = expected.timestamps.map(|t| Timestamps { value: t.value ^ 7, echo: !t.echo });
        prop_assert_eq!(parse(&bytes), Ok(expected));
    }

    #[test]
    fn edits_of_any_bytes_do_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..=44)) {
        let before = bytes.clone();
        let mut update = Update::NONE;
        edit_sack_edges(&mut bytes, &mut update, |edge| edge.advance(1));
        edit_sack_edges(&mut bytes, &mut update, |edge| edge.retreat(1));
        prop_assert_eq!(bytes, before);
    }
}
