//! Both halves and the client crate; the test plays the control core.

mod deciding;
mod streaming;
mod volume;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant as WallInstant};

use dataplane::clock::{Instant, SystemClock};
use dataplane::counters::Counter;
use dataplane::flow::quad::{FlowKey, Quad, Segment};
use dataplane::wire::tcp_options::TcpOptions;
use quadrille_listener::{Event, Listener};
use tempfile::TempDir;

use super::{Programs, Settings};
use crate::core::history::History;
use crate::module::relay::{MergeWhen, Relay};
use crate::module::{Acknowledge, Decision, Isn, Module, Outcome, PartialConnection, ServerAck, Ticket};

/// For what happens on the other thread; far more than it takes.
const SOON: Duration = Duration::from_secs(20);

const RELAY: Relay = Relay {
    merge: MergeWhen::Never,
    server_ack: ServerAck::AtOnce,
    isn: Isn::Keyed,
    acknowledge: Acknowledge::Receipt,
    client_first: None,
};

/// A control core with one module, and a folder for its socket.
struct Core {
    module: Programs,
    folder: TempDir,
}

impl Core {
    fn start(change: impl FnOnce(&mut Settings)) -> Core {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            socket: folder.path().join("filter.sock"),
            deadline: Duration::from_millis(700),
            default: Decision::Monitor,
            outstanding: 8,
            streams: 4,
            relay: RELAY,
        };
        change(&mut settings);
        Core { module: Programs::start(settings, SystemClock::start()).unwrap(), folder }
    }

    /// With one program.
    fn with_listener() -> (Core, Listener) {
        let mut core = Core::start(|_| {});
        let listener = core.listener();
        (core, listener)
    }

    fn listener(&mut self) -> Listener {
        let listener = Listener::connect(self.folder.path().join("filter.sock")).unwrap();
        // The hello is answered before the thread is told that offers may come.
        self.until(|core| core.is_ready().then_some(()));
        listener
    }

    fn is_ready(&self) -> bool {
        self.module.ready() > 0
    }

    /// Lets rounds pass until something has come about.
    fn until<T>(&mut self, mut something: impl FnMut(&mut Core) -> Option<T>) -> T {
        let start = WallInstant::now();
        loop {
            if let Some(done) = something(self) {
                return done;
            }
            assert!(start.elapsed() < SOON, "nothing has come about");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Lets rounds pass until no stream is open. The thread hears at the end of a round what endpoints have done.
    fn until_no_stream(&mut self) {
        self.until(|core| {
            assert_eq!(core.module.decided(Instant::ZERO), None);
            (core.module.streams() == 0).then_some(())
        });
    }

    fn offer(&mut self, ticket: u64) -> Decision {
        with_partial(ticket, |partial| self.module.offered(partial))
    }

    fn decided(&mut self) -> (Ticket, Decision) {
        self.until(|core| core.module.decided(Instant::ZERO))
    }

    fn count(&mut self, wanted: Counter) -> u64 {
        let mut sum = 0;
        self.module.counted(&mut |counter, n| sum += if counter == wanted { n } else { 0 });
        sum
    }
}

fn with_partial<T>(ticket: u64, look: impl FnOnce(&PartialConnection<'_>) -> T) -> T {
    let quad = match ticket % 2 {
        0 => ["10.0.0.1:4000", "10.0.0.2:80"],
        _ => ["[fd00::1]:4001", "[fd00::2]:443"],
    };
    let [client, server] = quad.map(|end| end.parse().unwrap());
    let options = TcpOptions { mss: Some(1440), sack_permitted: true, ..TcpOptions::default() };
    let key = FlowKey { quad: Quad::between(client, server).unwrap(), segment: Segment::new(2, 0, 77) };
    let mut past = History::new(NonZeroUsize::MIN);
    past.remember(Instant::ZERO, &key, false, Outcome::Unreachable { kind: 3, code: 1 }, None);
    let now = Instant::from_millis(2000);
    look(&PartialConnection {
        ticket: Ticket(ticket),
        key,
        options: &options,
        syn: &[9; 74],
        at: now,
        now,
        is_connected: false,
        past: &past,
    })
}

fn partial(listener: &mut Listener) -> quadrille_listener::Partial {
    match listener.next().unwrap() {
        Event::Partial(partial) => partial,
        other => panic!("{other:?}"),
    }
}
