//! A segment from its TCP header on: read as a value and written again, it reads the same.
#![no_main]

use dataplane::flow::quad::Addresses;
use dataplane::wire::tcp::{self, TcpRepr};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let repr = TcpRepr::parse(input);
    for first_fragment in [false, true] {
        let Ok((header, header_len)) = tcp::segment(input, first_fragment) else { continue };
        assert!((20..=60).contains(&header_len) && header_len <= input.len());
        let repr = repr.as_ref().expect("what passes the checks can be read");
        assert_eq!((header.seq(), header.ack(), header.flags()), (repr.seq, repr.ack, repr.flags));

        let mut out = [0; tcp::MAX_HEADER_LEN];
        let (source, destination) = (header.source_port.get(), header.destination_port.get());
        let len = repr.emit(source, destination, &mut out).expect("60 bytes hold any header");
        assert_eq!(len, repr.header_len());
        let addresses = Addresses::V4([1, 2, 3, 4], [5, 6, 7, 8]);
        tcp::fill_checksum(&mut out[..len], &addresses);
        assert!(tcp::is_checksum_valid(&out[..len], &addresses));
        let (again, _) = tcp::segment(&out[..len], false).expect("what is written passes the checks");
        assert_eq!(
            (again.source_port, again.destination_port),
            (header.source_port, header.destination_port)
        );

        // Written options are those that were understood, with as many SACK blocks as fit.
        let mut expected = repr.clone();
        (expected.options.authenticated, expected.options.other) = (false, false);
        let again = TcpRepr::parse(&out[..len]).expect("what is written can be read");
        expected.options.sack.truncate(again.options.sack.len());
        assert_eq!(again, expected);
    }
});
