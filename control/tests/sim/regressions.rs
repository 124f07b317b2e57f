//! Runs that have failed once: (profile, seed). They are run before any other.
//!
//! A seed keeps its meaning as long as the world draws the same things in the same order.

/// Add the profile and seed of the last line of a failing run here, with what was wrong as a comment.
pub const SEEDS: &[(&str, u64)] = &[
    ("clean", 0),
    // A RST in TIME-WAIT while the reader still had bytes to read: the world was wrong.
    ("crowd", 21),
    // smoltcp: three duplicate ACKs of all but the FIN, and the FIN is never sent again.
    ("hostile", 162),
    // smoltcp: an old ACK closes the window while data is outstanding, and no timer is left.
    ("hostile", 767),
    // smoltcp: what was not read is forgotten when TIME-WAIT is over.
    ("vlan", 826),
    // Two flipped bits that cancel out in the checksum: the link was wrong.
    ("corrupt", 929),
    // A corrupt ACK taken for the first of two equal ones: the world was wrong.
    ("hostile", 12097),
    // smoltcp: a byte sent into a window that was taken back by rounding, and never again.
    ("bulk", 58287),
    // A RST that had waited in the box taken for the answer to one that crossed it: the tap was wrong.
    ("crowd", 2617),
    // smoltcp: the zero-window timer takes the place of the retransmission timer, and probes beyond what is missing.
    ("duplicate", 14568),
    // smoltcp: a FIN beyond the window, taken although the bytes before it were not.
    ("duplicate", 20310),
    // smoltcp: a keep-alive behind an outstanding FIN is read as data.
    ("duplicate", 24380),
    // A flipped bit made an ACK a RST: the entry of a live connection went after its linger.
    ("corrupt", 1765),
    // smoltcp: data beyond a closed window, and no timer once it opens.
    ("duplicate", 4756),
    // smoltcp: a zero-window probe behind an outstanding FIN, for ever.
    ("duplicate", 2182),
    // The last acknowledgment lost, and the FIN repeated only after all had lingered: the world was wrong.
    ("hostile", 6520),
    // A SYN repeated by its timer in the poll that takes the RST, on a box that stood still: the tap was wrong.
    ("clocks", 718),
    // The first of two equal acknowledgments lay outside of smoltcp's window, and the second was kept from it: the
    // world was wrong.
    ("hostile", 101_297),
    // An end that is gone loses its RSTs, and the box talks on for a while: the world was wrong.
    ("storm", 344),
    // A RST of one end's, and the silence of the sender to the other was measured on: the tap was wrong.
    ("squeezed", 109_855),
    // A tail probe before the delayed acknowledgment of two small segments.
    ("relay", 6),
    // What a small window had let through, sent again because the window grew.
    ("relay", 7),
    // Both ends are gone, and the RST that says so was lost: the world was wrong.
    ("moodier", 2080),
    // A server acknowledged at once has nothing but a FIN to repeat, and no SYN-ACK went to the client for it; that the
    // FIN was held, and the sender silent, was wrong of the judge.
    ("storm", 33_471),
    // The same, found by the rule that a repetition has to be heard.
    ("duplicate", 935),
    // Two of them in a row, on a box that hesitates longer than what lies between them: the rule was wrong.
    ("hostile", 302_336),
    // Tail probes that came too soon, one in each round trip, kept the round trip from being measured.
    ("slow", 129_909),
    // smoltcp: its acknowledgments go back with what it sends again, and neither end takes any of the other's.
    ("bulk", 180_661),
    // smoltcp: a FIN beyond the window that it remembers, within the one that its probe has offered.
    ("corrupt", 322_283),
    // A segment with a damaged port, carried on and lost, taken for the first of a new flow: the tap was wrong.
    ("hostile", 39_072),
    // A flow split while idle, of whose client a RST was the first that was heard: its server never got one.
    ("split", 273),
    // A client answered before its server was known, merged with bytes beyond its window: a RST that it did not obey.
    ("greeted", 8100),
    // A RST that came up while the worker parked, to a flow that stayed to answer for it.
    ("vlan", 528),
    // A flow cut before anybody was heard since its split, whose client resets it: its RST was answered.
    ("cut", 580),
    // A SYN-ACK to a SYN that was taken back, taken for the answer to the next one, which had the same number.
    ("together-moody", 633),
    // smoltcp: a FIN acknowledged behind a closed window, and the window is probed for ever, at one moment.
    ("greeted", 2020),
    // More frames in a ring between workers than one burst takes: one was taken out and lost.
    ("clocks", 6791),
    // A RST that answered what we had acknowledged passed behind bytes that had passed before: its receiver expected more, and was
    // never told again.
    ("held", 5_007_271),
    // All that came above a boundary was edited away: the receiver had nothing to acknowledge, and the sender was not told.
    ("resized-lossy", 5_062_087),
];
