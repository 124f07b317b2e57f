//! A datagram from its IPv4 header on, with the checksum as it comes and put right.
#![no_main]

use dataplane::wire::checksum::Sum;
use dataplane::wire::ipv4::{self, Ipv4Header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    check(input);
    let mut bytes = input.to_vec();
    let Some(header_len) = Ipv4Header::view(&bytes).map(Ipv4Header::header_len) else { return };
    if let Some(header) = bytes.get_mut(..header_len).filter(|header| header.len() >= 20) {
        header[10..12].fill(0);
        let checksum = Sum::of(header).checksum();
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        check(&bytes);

        let header = Ipv4Header::view_mut(&mut bytes).expect("viewed before");
        header.set_ttl(header.ttl ^ 0x55);
        assert_eq!(Sum::of(&bytes[..header_len]).folded(), 0xffff, "incremental differs from full");
        check(&bytes);
    }
});

fn check(bytes: &[u8]) {
    if let Ok(Some(datagram)) = ipv4::datagram(bytes) {
        assert!(
            (20..=60).contains(&datagram.l4) && datagram.l4 <= datagram.end && datagram.end <= bytes.len()
        );
        assert_eq!(Sum::of(&bytes[..datagram.l4]).folded(), 0xffff);
    }
}
