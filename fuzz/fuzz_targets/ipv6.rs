//! A datagram from its IPv6 header on, and the walk over extension headers of any type behind it.
#![no_main]

use dataplane::wire::ipv6::{self, Chain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(Some(datagram)) = ipv6::datagram(input) {
        assert!(
            ipv6::HEADER_LEN <= datagram.l4 && datagram.l4 <= datagram.end && datagram.end <= input.len()
        );
    }
    let Some((&next, bytes)) = input.split_first() else { return };
    for end in [bytes.len(), bytes.len() / 2, usize::MAX] {
        if let Chain::Upper { at, .. } = ipv6::walk(bytes, next, end) {
            assert!(at <= ipv6::HEADER_LEN || at <= bytes.len().min(end));
            assert!(at - ipv6::HEADER_LEN <= ipv6::MAX_EXTENSION_BYTES);
        }
    }
});
