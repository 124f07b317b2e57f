//! Whatever a peer and a network do: the bounds hold, and only congestion and idleness make a window smaller.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Ack { after: u64, bytes: u32, flight: u32, rtt: Option<u64>, limited: bool },
    Round { rtt: u64 },
    Congestion { flight: u32, window: u32 },
    Timeout { flight: u32, again: bool },
    Idle,
    Undo,
    Segment(u32),
}

fn bytes() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..10_000, 0u32..10_000_000, any::<u32>()]
}

fn nanos() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..1_000_000, 0u64..10_000_000_000, any::<u64>()]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (nanos(), bytes(), bytes(), proptest::option::of(nanos()), any::<bool>())
            .prop_map(|(after, bytes, flight, rtt, limited)| Event::Ack { after, bytes, flight, rtt, limited }),
        8 => (0u64..2000).prop_map(|rtt| Event::Round { rtt }),
        3 => (bytes(), bytes()).prop_map(|(flight, window)| Event::Congestion { flight, window }),
        2 => (bytes(), any::<bool>()).prop_map(|(flight, again)| Event::Timeout { flight, again }),
        1 => Just(Event::Idle),
        1 => Just(Event::Undo),
        1 => (0u32..70_000).prop_map(Event::Segment),
    ]
}

fn play(path: &mut Path, event: &Event, segment: &mut u32) {
    let before = (path.window(), path.controller.threshold());
    let mut grows = true;
    match *event {
        Event::Ack { after, bytes, flight, rtt, limited } => {
            path.now = path.now + Duration::from_nanos(after);
            path.una = path.una.advance(bytes);
            let (now, una, rtt) = (path.now, path.una, rtt.map(Duration::from_nanos));
            path.controller.on_ack(&Acked { now, bytes, flight, rtt, limited, una, nxt: una });
            assert!(limited || path.window() == before.0, "growth that the window did not limit");
            // Slow start doubles at most, avoidance adds half of the window or a segment.
            assert!(path.window() <= before.0.saturating_mul(2).max(before.0 + 8 * *segment));
        }
        Event::Round { rtt } => {
            // A window of gigabytes would take a while to acknowledge.
            if path.window() < 4_000_000 {
                path.round(MS(rtt));
            }
        }
        Event::Congestion { flight, window } => {
            path.controller.on_congestion(path.now, flight);
            assert_eq!(path.window(), before.0, "how the window comes down is the caller's business");
            path.controller.set_window(window);
            path.controller.set_window(path.controller.threshold());
            grows = false;
        }
        Event::Timeout { flight, again } => {
            path.controller.on_timeout(path.now, flight, again);
            assert_eq!(path.window(), *segment);
            assert!(!again || path.controller.threshold() == before.1);
            grows = false;
        }
        Event::Idle => {
            path.controller.on_idle(path.now);
            assert!(path.window() <= before.0 && path.controller.threshold() >= before.1);
            grows = false;
        }
        Event::Undo => path.controller.undo(),
        Event::Segment(bytes) => {
            path.controller.set_segment_size(bytes);
            *segment = bytes.max(1);
            grows = path.window() != before.0.min(10 * *segment);
        }
    }
    assert!(
        !grows || path.window() >= before.0 || matches!(event, Event::Segment(_)),
        "smaller without a reason"
    );
    assert!((*segment..=MAX_WINDOW).contains(&path.window()), "window {}", path.window());
    assert!((2 * *segment..=MAX_WINDOW).contains(&path.controller.threshold()));
}

proptest! {
    #[test]
    fn bounds_hold(events in proptest::collection::vec(event(), 1..120)) {
        for algorithm in BOTH {
            let mut path = Path::new(algorithm);
            let mut segment = SEGMENT;
            for event in &events {
                play(&mut path, event, &mut segment);
            }
        }
    }
}
