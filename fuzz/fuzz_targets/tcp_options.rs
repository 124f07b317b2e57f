//! Options: parse and check agree, emit then parse is identity, edits in place keep an incremental checksum.
#![no_main]

use dataplane::wire::checksum::{Sum, Update};
use dataplane::wire::tcp_options::{
    MAX_LEN, TcpOptions, Timestamps, check, edit_sack_edges, edit_timestamps, timestamps, timestamps_offset,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let parsed = TcpOptions::parse(input);
    assert_eq!(parsed.is_ok(), check(input).is_ok());
    if let Ok(options) = &parsed {
        assert_eq!(options.timestamps, timestamps(input));
        round_trip(options);
    }
    edit(input, parsed.ok());
});

fn round_trip(options: &TcpOptions) {
    let mut out = [0; MAX_LEN];
    let len = options.emit(&mut out);
    assert!(len == options.emitted_len() && len.is_multiple_of(4));
    let again = TcpOptions::parse(&out[..len]).expect("what is written can be read");
    let mut expected = options.clone();
    (expected.authenticated, expected.other) = (false, false);
    expected.sack.truncate(again.sack.len());
    assert_eq!(again, expected);
}

fn edit(input: &[u8], parsed: Option<TcpOptions>) {
    let mut edited = input.to_vec();
    let mut update = Update::NONE;
    edit_sack_edges(&mut edited, &mut update, |edge| edge.advance(0xfedc_ba98));
    edit_timestamps(&mut edited, &mut update, |ts| Timestamps { value: !ts.value, echo: ts.echo ^ 0xffff });
    // With a byte that is never zero in front, so that 0xffff is no checksum of either.
    let checksum = |bytes: &[u8]| (Sum::of(&[0x55, 0xaa]) + Sum::of(bytes)).checksum();
    assert_eq!(update.apply(checksum(input)), checksum(&edited));
    assert_eq!(timestamps_offset(input), timestamps_offset(&edited));

    if let Some(mut expected) = parsed {
        for block in &mut expected.sack {
            block.left = block.left.advance(0xfedc_ba98);
            block.right = block.right.advance(0xfedc_ba98);
        }
        expected.timestamps =
            expected.timestamps.map(|ts| Timestamps { value: !ts.value, echo: ts.echo ^ 0xffff });
        assert_eq!(TcpOptions::parse(&edited), Ok(expected));
    }
}
