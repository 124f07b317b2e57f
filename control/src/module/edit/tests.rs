//! However a stream is cut, and whoever's hands it goes through, the same is found and becomes of it.

use super::*;
use Direction::{ClientToServer as C, ServerToClient as S};
use dataplane::inspect::Manner;
use dataplane::inspect::kept::Kept;
use dataplane::inspect::patterns::Pattern;
use dataplane::inspect::stream::{Outcome, Part, Stream};
use dataplane::wire::seq::Seq;
use proptest::prelude::*;
use std::time::Duration;

/// Says to merge at every word, and makes capitals of what the server says.
struct Inner;

impl Session for Inner {
    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
        match direction {
            C => (Edit::Pass, Step::Merge),
            S => (Edit::Replace(bytes.to_ascii_uppercase()), Step::Merge),
        }
    }
}

fn session(all: &[(&str, &str)]) -> Box<dyn Session> {
    around(Box::new(Inner), all)
}

fn around(inner: Box<dyn Session>, all: &[(&str, &str)]) -> Box<dyn Session> {
    let edit = |(bytes, with): &(&str, &str)| Pattern {
        name: (*bytes).to_owned(),
        bytes: bytes.as_bytes().to_vec(),
        direction: None,
        verdict: Verdict::Edit,
        replacement: with.as_bytes().to_vec(),
    };
    let patterns: Vec<_> = all.iter().map(edit).collect();
    let inspection = Inspection::new(&patterns, Manner::default()).unwrap();
    EditSession::around(inner, &Arc::new(inspection), Before::default())
}

#[test]
fn a_pattern_is_replaced_across_pieces_and_nothing_merges_while_its_beginning_is_kept() {
    let mut session = session(&[("evil", "better"), ("EVIL", "-")]);
    let replaced = |text: &str| Edit::Replace(text.as_bytes().to_vec());
    session.tick(Instant::from_millis(1000));
    assert_eq!(session.data(C, b"plain"), (Edit::Pass, Step::Merge));
    assert_eq!(session.data(C, b"an evil ev"), (replaced("an better "), Step::Relay));
    assert_eq!(session.keeps(C), Some((2, Instant::from_millis(1200))));
    assert_eq!(session.data(S, b"evil"), (replaced("-"), Step::Relay), "the other direction waits, too");
    session.tick(Instant::from_millis(1100));
    assert_eq!(session.data(C, b"i"), (replaced(""), Step::Relay));
    assert_eq!(session.keeps(C), Some((3, Instant::from_millis(1200))), "of the first byte");
    assert_eq!(session.data(C, b"l."), (replaced("better."), Step::Merge));
    assert_eq!(session.keeps(C), None);
    assert_eq!(session.data(C, b"eev"), (replaced("e"), Step::Relay));
    assert_eq!(session.let_go(C), (b"ev".to_vec(), Step::Merge));
    assert_eq!(session.data(C, b"il"), (Edit::Pass, Step::Merge));
}

#[test]
fn a_flow_that_was_split_for_an_edit_merges_behind_it() {
    let patterns = [Pattern {
        name: String::new(),
        bytes: b"evil".to_vec(),
        direction: Some(C),
        verdict: Verdict::Edit,
        replacement: Vec::new(),
    }];
    struct Quiet;
    impl Session for Quiet {
        fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
            (Edit::Pass, Step::Relay)
        }
    }
    let inspection = Arc::new(Inspection::new(&patterns, Manner::default()).unwrap());
    for (returns, step) in [(true, Step::Merge), (false, Step::Relay)] {
        let before = Before { returns, edited: [2, 0], ..Before::default() };
        let mut session = EditSession::around(Box::new(Quiet), &inspection, before);
        assert_eq!(session.data(C, b"e"), (Edit::Pass, step), "the end of something");
        assert_eq!(session.data(C, b"vevil!"), (Edit::Replace(b"v!".to_vec()), step));
    }
    assert_eq!(inspection.hits.of(0), 2);
}

/// Keeps the client's first word back until it is asked.
struct Doubtful;

impl Session for Doubtful {
    fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
        (Edit::Hold(Duration::from_secs(1)), Step::Relay)
    }

    fn decide(&mut self, _: Direction) -> (Edit, Step) {
        (Edit::Pass, Step::Merge)
    }
}

#[test]
fn what_was_held_is_edited_when_it_passes() {
    let mut session = around(Box::new(Doubtful), &[("evil", "better")]);
    let held = (Edit::Hold(Duration::from_secs(1)), Step::Relay);
    assert_eq!([session.data(C, b"an ev"), session.data(C, b"il man")], [held.clone(), held]);
    assert_eq!(session.keeps(C), None, "that is with the leg");
    assert_eq!(session.decide(C), (Edit::Replace(b"an better man".to_vec()), Step::Merge));
}

#[test]
fn what_is_searched_for_is_found_here_too() {
    let all = [("evil", Verdict::Reset), ("odd", Verdict::Split)].map(|(bytes, verdict)| Pattern {
        name: bytes.to_owned(),
        bytes: bytes.as_bytes().to_vec(),
        direction: None,
        verdict,
        replacement: Vec::new(),
    });
    let inspection = Arc::new(Inspection::new(&all, Manner::default()).unwrap());
    let before = Before { returns: true, inspection: 7, ..Before::default() };
    let mut session = EditSession::around(Box::new(Doubtless), &inspection, before);
    assert_eq!(session.data(C, b"ev"), (Edit::Pass, Step::Merge));
    assert_eq!(session.data(S, b"odd"), (Edit::Pass, Step::Relay), "somebody is to look at it");
    assert_eq!(session.data(C, b"il"), (Edit::Replace(Vec::new()), Step::Reset));
    assert_eq!([inspection.hits.of(0), inspection.hits.of(1)], [1, 1]);
    let hit = |pattern, direction| Hit {
        verdict: inspection.verdict(pattern),
        inspection: 7,
        pattern,
        direction,
        place: 0,
    };
    let found = session.found().unwrap();
    assert_eq!((found.hits, found.more), (vec![hit(1, S), hit(0, C)], 0));
    assert!(session.found().unwrap().hits.is_empty(), "once");
    session.data(S, "an odd ".repeat(dataplane::inspect::hits::Hit::MOST + 3).as_bytes());
    let found = session.found().unwrap();
    assert_eq!(
        (found.hits.len(), found.more),
        (dataplane::inspect::hits::Hit::MOST, 3),
        "nobody is told more"
    );
    assert_eq!([found.hits[0].place, found.hits[99].place], [3 + 3, 3 + 99 * 7 + 3]);
}

/// Lets everything pass.
struct Doubtless;

impl Session for Doubtless {
    fn data(&mut self, _: Direction, _: &[u8]) -> (Edit, Step) {
        (Edit::Pass, Step::Relay)
    }
}

/// A worker searches the piece, as it passes.
fn pass(inspection: &Inspection, reached: Reached, bytes: &[u8], hit: &mut dyn FnMut(u64)) -> Reached {
    let (mut kept, at) = (Kept::new(4 << 10), Seq(u32::MAX - 3));
    let mut stream = Stream::resume(at, inspection, C, reached);
    let part = Part { at, bytes, is_last: false };
    let outcome = stream.take(&mut kept, inspection, C, &part, &mut |_, place| hit(place));
    assert_eq!(outcome, Outcome::Pass { restored: false });
    let end = at.advance(bytes.len() as u32);
    stream.go(&kept, inspection.patterns(C), end, None);
    stream.end(&mut kept).reached
}

proptest! {
    /// However often a flow changes hands, what is found is what is found in one piece, at the same places.
    #[test]
    fn a_search_goes_on_across_hand_overs(text in "[abc]{1,40}", cuts in prop::collection::vec(1usize..6, 1..40)) {
        let all = ["abca", "cc", "bab"].map(|bytes| Pattern {
            name: String::new(),
            bytes: bytes.as_bytes().to_vec(),
            direction: None,
            verdict: Verdict::Event,
            replacement: Vec::new(),
        });
        let inspection = Arc::new(Inspection::new(&all, Manner::default()).unwrap());
        let mut whole = Vec::new();
        pass(&inspection, Reached::default(), text.as_bytes(), &mut |place| whole.push(place));
        let (mut found, mut reached, mut rest) = (Vec::new(), Reached::default(), text.as_bytes());
        for (number, cut) in cuts.into_iter().cycle().enumerate() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            if number % 2 == 0 {
                reached = pass(&inspection, reached, piece, &mut |place| found.push(place));
                continue;
            }
            let searched = Some(Searched { inspection: 0, reached: [reached; 2] });
            let before = Before { searched, ..Before::default() };
            let mut session = EditSession::around(Box::new(Doubtless), &inspection, before);
            session.data(C, piece);
            found.extend(session.found().unwrap().hits.iter().map(|hit| hit.place));
            reached = session.searched().unwrap().reached[C.index()];
        }
        prop_assert_eq!(found, whole);
    }

    /// However a stream is cut, the same becomes of it.
    #[test]
    fn a_stream_may_be_cut_anywhere(text in "[abc]{0,40}", cuts in prop::collection::vec(1usize..6, 1..40)) {
        let all = [("abca", "1"), ("cc", "22"), ("bab", "")];
        let run = |cuts: &[usize]| {
            let (mut session, mut out) = (session(&all), Vec::new());
            let (mut rest, mut cuts) = (text.as_bytes(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                match session.data(C, piece).0 {
                    Edit::Pass => out.extend(piece),
                    Edit::Replace(bytes) => out.extend(bytes),
                    Edit::Hold(_) => unreachable!("nobody holds"),
                }
                rest = later;
            }
            out.extend(session.let_go(C).0);
            out
        };
        prop_assert_eq!(run(&cuts), run(&[40]));
    }
}
