//! An ICMP and an ICMPv6 message, with the checksum as it comes and put right.
#![no_main]

use dataplane::flow::quad::Addresses;
use dataplane::wire::checksum::Update;
use dataplane::wire::icmp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let v4 = Addresses::V4([192, 0, 2, 1], [192, 0, 2, 2]);
    let v6 = Addresses::V6([0x20; 16], [0x30; 16]);
    for addresses in [v4, v6] {
        check(input, &addresses);
        let mut message = input.to_vec();
        icmp::fill_checksum(&mut message, &addresses);
        check(&message, &addresses);
        rewrite(message, &addresses);
    }
});

fn check(message: &[u8], addresses: &Addresses) {
    if let Some(quoted) = icmp::quoted(message, addresses) {
        assert!(icmp::is_checksum_valid(message, addresses));
        assert!(icmp::HEADER_LEN + 20 <= quoted.l4 && quoted.l4 + 8 <= message.len());
        let v4 = |addresses: &Addresses| matches!(addresses, Addresses::V4(..));
        assert_eq!(v4(&quoted.quad.addresses), v4(addresses));
    }
}

/// Writing the quoted sequence number back keeps the error about the same quad, and its checksum valid.
fn rewrite(mut message: Vec<u8>, addresses: &Addresses) {
    let Some(before) = icmp::quoted(&message, addresses) else { return };
    let seq = before.seq.advance(0x8765_4321);
    let mut update = Update::NONE;
    update.word32_at(before.l4 + 4, before.seq.0, seq.0);
    message[before.l4 + 4..before.l4 + 8].copy_from_slice(&seq.0.to_be_bytes());
    icmp::update_checksum(&mut message, update);
    assert_eq!(icmp::quoted(&message, addresses), Some(icmp::Quoted { seq, ..before }));
}
