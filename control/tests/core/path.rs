//! ICMP errors about segments that we made: whose they are, and what they may do.

use control::module::relay::MergeWhen;
use dataplane::counters::Counter;

use crate::rig::*;

/// RFC 9293 section 3.9.2.2: a narrower path is the affair of the leg whose segment did not fit; the other end need not
/// know.
#[test]
fn a_narrower_path_is_honoured_by_the_leg_that_it_is_about() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    let said = script(&rig.client(ack(C + 1, S + 1), &[7; 1460]));
    assert!(said.contains(&">S . 1001:5001 1460".into()), "{said:?}");
    let said = script(&rig.icmp(C2S, 3, 4, C + 1));
    assert_eq!(said, [">S . 1001:5001 1240", ">S . 2241:5001 220"]);
    // The other leg's path is another one.
    let said = script(&rig.server(ack(S + 1, C + 1461), &[8; 1460]));
    assert!(said.contains(&">C . 5001:2461 1460".into()), "{said:?}");
}

#[test]
fn a_report_about_what_is_not_outstanding_is_somebodys_guess() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    rig.client(ack(C + 1, S + 1), &[7; 1460]);
    for guess in [C, C + 1462, C + 50_000, C.wrapping_sub(50_000)] {
        assert!(rig.icmp(C2S, 3, 4, guess).is_empty(), "{guess}");
    }
    assert_eq!(rig.count(Counter::DropForgedIcmp), 4);
}

/// RFC 9293 section 3.9.2.2 (MUST-56): no error of ICMP ends an established connection. Whether it is one is for the end
/// to say that the segment spoke for: it gets the error.
#[test]
fn no_icmp_error_ends_an_established_connection() {
    let mut rig = Rig::established(relay(MergeWhen::Never));
    // Unreachable of every code, time exceeded, parameter problem.
    let errors = (0..16).filter(|code| *code != 4).map(|code| (3, code));
    for (kind, code) in errors.chain([(11, 0), (11, 1), (12, 0)]) {
        assert_eq!(script(&rig.icmp(C2S, kind, code, C + 1)), [">C icmp"], "{kind} {code}");
    }
    let said = script(&rig.client(ack(C + 1, S + 1), b"still here"));
    assert!(said.contains(&">S . 1001:5001 10".into()), "{said:?}");
}

/// RFC 9293 section 3.9.2.2 (MUST-55).
#[test]
fn source_quench_is_heeded_by_nobody() {
    let mut rig = Rig::new(relay(MergeWhen::Never));
    rig.offer(syn(C));
    assert!(rig.icmp(C2S, 4, 0, C).is_empty(), "it does not refuse a SYN");
    rig.server(syn_ack(S, C + 1), b"");
    rig.client(ack(C + 1, S + 1), b"");
    assert!(rig.icmp(C2S, 4, 0, C + 1).is_empty());
    assert_eq!(rig.count(Counter::DropSourceQuench), 2);
}
