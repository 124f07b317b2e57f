//! Client-first flows whose ends were promised different things: merged, split, merged again.

use std::time::Duration;

use control::connection::{Awaits, Phase};
use control::core::handover::{HandOver, Refused};
use control::module::relay::{MergeWhen, Relay};
use dataplane::counters::Counter;
use dataplane::flow::object::{Path, View};
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::{TcpOptions, Timestamps};

use crate::rig::*;

/// What an end shows with data before it shows its usual window, of which the other end has then still to be told.
const SMALLER: u16 = 300;
/// Milliseconds until the client speaks.
const THINKS: u32 = 20;

fn stamped(mut tcp: TcpRepr, value: u32, echo: u32) -> TcpRepr {
    tcp.options.timestamps = Some(Timestamps { value, echo });
    tcp
}

fn stamps(tcp: &TcpRepr) -> (u32, u32) {
    let ts = tcp.options.timestamps.expect("timestamps");
    (ts.value, ts.echo)
}

fn to(port: dataplane::port::PortId, said: &[Said]) -> TcpRepr {
    let found = said.iter().rev().find_map(|said| match said {
        Said::Tcp(to, tcp, _) if *to == port => Some(tcp.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{said:?}"))
}

/// A flow whose client has said "hello" and whose server has all of it.
struct Talk {
    rig: Rig,
    greeting: TcpRepr,
    asked: TcpRepr,
}

impl Talk {
    /// The client's SYN and the server's SYN-ACK have these options.
    fn new(client: TcpOptions, server: TcpOptions) -> Talk {
        let merge = MergeWhen::Established;
        let mut rig = Rig::new(Relay { client_first: Some(Duration::from_secs(3)), ..relay(merge) });
        let has_stamps = (client.timestamps.is_some(), server.timestamps.is_some());
        let greeting = to(CLIENT, &rig.offer(TcpRepr { options: client, ..syn(C) }));
        rig.wait(Duration::from_millis(THINKS.into()));
        let at_client = greeting.seq.0.wrapping_add(1);
        let says = |tcp| if has_stamps.0 { stamped(tcp, 7005, stamps(&greeting).0) } else { tcp };
        let words = says(TcpRepr { window: SMALLER, ..ack(C + 1, at_client) });
        let asked = to(SERVER, &rig.client(words, b"hello"));
        assert_eq!(asked.flags, TcpFlags::SYN);
        let next = asked.seq.0.wrapping_add(1);
        rig.server(TcpRepr { options: server, ..syn_ack(S, next) }, b"");
        rig.client(says(ack(C + 6, at_client)), b"");
        let mut done = ack(S + 1, next.wrapping_add(5));
        if has_stamps.1 {
            done = stamped(done, 6, 7005);
        }
        rig.server(done, b"");
        Talk { rig, greeting, asked }
    }

    fn phase(&self) -> Phase {
        self.rig.core.connections().next().expect("a flow").phase()
    }

    /// The worker parks: what each end is told then, the deltas, and the object's view.
    fn merge(&mut self) -> ([TcpRepr; 2], (i32, i32), View) {
        self.merge_behind(Vec::new())
    }

    /// The same; an end that has heard all before is told nothing more.
    fn merge_behind(&mut self, mut said: Vec<Said>) -> ([TcpRepr; 2], (i32, i32), View) {
        said.extend(self.rig.parked());
        let deltas = said.iter().find_map(|said| match said {
            Said::Install(c2s, s2c, _) => Some((*c2s, *s2c)),
            _ => None,
        });
        let view = self.rig.installed.take().expect("an object");
        ([to(CLIENT, &said), to(SERVER, &said)], deltas.expect("an object"), view)
    }

    /// The next number of either end as the other one counts it: the server's, the client's.
    fn next(&self) -> (u32, u32) {
        (self.greeting.seq.0.wrapping_add(1), self.asked.seq.0.wrapping_add(6))
    }
}

fn usual() -> TcpOptions {
    syn(0).options
}

#[test]
fn windows_are_shown_in_the_units_of_who_reads_them() {
    // The client was promised a shift of 7. Its own is 7, which the server reads as what it has agreed on.
    let cases = [(Some(4), 500 >> 3, 500), (Some(9), 2000, 500), (None, 500 >> 7, 64_000)];
    for (scale, at_client, at_server) in cases {
        let mut talk = Talk::new(usual(), TcpOptions { window_scale: scale, ..usual() });
        assert_eq!(talk.phase(), Phase::Parking, "{scale:?}");
        let ([client, server], (c2s, s2c), view) = talk.merge();
        assert_eq!((client.window, server.window), (at_client, at_server), "{scale:?}");
        assert_eq!(view.promises.of(C2S).shift(S2C), SHIFT);
        assert_eq!(view.promises.of(S2C).shift(S2C), scale.unwrap_or(0));

        // Split again, each leg has its own end's terms.
        talk.rig.split(c2s, s2c, view);
        let (at_client_next, at_server_next) = talk.next();
        let said = talk.rig.client(ack(C + 6, at_client_next), b"");
        assert_eq!(to(SERVER, &said).window, at_server, "{scale:?}: passes");
        let answer = talk.rig.server(ack(S + 1, at_server_next), b"abc");
        talk.rig.client(ack(C + 6, at_client_next + 3), b"");
        let ordered = talk.rig.order_hand_over(HandOver::Merge, Path::Participating);
        let ([client, server], deltas, again) = talk.merge_behind(answer);
        assert_eq!(ordered.try_recv(), Ok(Ok(())));
        assert_eq!((client.window, server.window), (at_client, at_server), "{scale:?}: merged again");
        assert_eq!((deltas, again.promises), ((c2s, s2c), view.promises));
    }
}

#[test]
fn a_server_without_sack_is_merged_with_and_gets_none() {
    let mut talk = Talk::new(usual(), TcpOptions { sack_permitted: false, ..usual() });
    let (_, _, view) = talk.merge();
    assert_eq!([C2S, S2C].map(|end| view.promises.of(end).sack()), [true, false]);
    assert!(view.is_reconciled());
}

#[test]
fn ends_that_agree_leave_nothing_to_reconcile() {
    let (_, _, view) = Talk::new(usual(), usual()).merge();
    assert!(!view.is_reconciled());
}

#[test]
fn the_clock_that_a_client_reads_never_steps_back() {
    let client = stamped(syn(C), 7000, 0).options;
    let server = stamped(syn_ack(S, 0), 5, 7005).options;
    let mut talk = Talk::new(client, server);
    let (ours, echo) = stamps(&talk.greeting);
    assert_eq!(echo, 7000);
    assert_eq!(stamps(&talk.asked), (7005, 0), "the server gets the client's own");
    // When it said 5, our clock was that far.
    let at = |value: u32| ours.wrapping_add(THINKS + value - 5);
    let ([client, server], (c2s, s2c), view) = talk.merge();
    assert_eq!((stamps(&client), stamps(&server)), ((at(6), 7005), (7005, 6)));
    assert_eq!(view.clock, at(0));

    talk.rig.split(c2s, s2c, view);
    let (at_client, at_server) = talk.next();
    let said = talk.rig.client(stamped(ack(C + 6, at_client), 7010, at(6)), b"");
    assert_eq!(stamps(&to(SERVER, &said)), (7010, 6), "passes");
    let said = talk.rig.server(stamped(ack(S + 1, at_server), 9, 7010), b"xyz");
    assert_eq!(stamps(&to(CLIENT, &said)), (at(9), 7010), "sent on");
    talk.rig.client(stamped(ack(C + 6, at_client + 3), 7020, at(9)), b"");
    let ordered = talk.rig.order_hand_over(HandOver::Merge, Path::Participating);
    // The client has heard all with the data.
    let ([client, server], _, again) = talk.merge_behind(said);
    assert_eq!(ordered.try_recv(), Ok(Ok(())));
    assert_eq!((stamps(&client), stamps(&server)), ((at(9), 7010), (7020, 9)));
    assert_eq!(again.clock, view.clock);
}

/// Nobody could make up the timestamps of a server that has none.
#[test]
fn timestamps_on_one_side_only_are_refused_by_name() {
    let mut talk = Talk::new(stamped(syn(C), 7000, 0).options, usual());
    assert_eq!((talk.phase(), talk.rig.count(Counter::MergesRefusedOptions)), (Phase::Relaying, 1));
    let (at_client, at_server) = talk.next();
    let said = talk.rig.server(ack(S + 1, at_server), b"abc");
    let ours = stamps(&talk.greeting).0;
    assert_eq!(stamps(&to(CLIENT, &said)), (ours.wrapping_add(THINKS), 7005), "our clock goes on");
    talk.rig.client(stamped(ack(C + 6, at_client + 3), 7020, ours), b"");

    // The next client is promised none.
    talk.rig.turn_to(1);
    let said = talk.rig.offer(stamped(syn(C), 7000, 0));
    assert_eq!(to(CLIENT, &said).options.timestamps, None);
}

#[test]
fn a_client_that_offers_nothing_teaches_nothing_about_its_server() {
    let bare = TcpOptions { mss: Some(1460), ..TcpOptions::default() };
    let mut talk = Talk::new(bare.clone(), bare);
    assert_eq!(talk.asked.options.window_scale, None, "the server is offered what its client was promised");
    talk.rig.turn_to(1);
    let promised = to(CLIENT, &talk.rig.offer(stamped(syn(C), 7000, 0))).options;
    assert_eq!((promised.window_scale, promised.sack_permitted), (Some(SHIFT), true));
    assert!(promised.timestamps.is_some());
}

/// The server takes less than its client was promised in its name. What the client has sent in this promise would be lost end
/// to end, and a RST behind it not obeyed: it stays here until the server has room for it.
#[test]
fn a_promise_that_the_server_has_no_room_for_is_kept_before_the_merge() {
    let module = Relay { client_first: Some(Duration::from_secs(3)), ..relay(MergeWhen::Established) };
    let mut rig = Rig::new(module);
    let greeting = to(CLIENT, &rig.offer(syn(C)));
    let next = greeting.seq.0.wrapping_add(1);
    let asked = to(SERVER, &rig.client(ack(C + 1, next), &[b'x'; 1400])).seq.0.wrapping_add(1);
    rig.server(TcpRepr { window: 2_000, ..syn_ack(S, asked) }, b"");
    let window = |n: u32| TcpRepr { window: 2_000 >> SHIFT, ..ack(S + 1, asked.wrapping_add(n)) };
    let end = u32::from(greeting.window);
    assert!(!script(&rig.server(window(1400), b"")).contains(&"park".into()));
    let answered = rig.order_hand_over(HandOver::Merge, Path::Participating);
    rig.wait(Duration::from_millis(501));
    assert_eq!(answered.try_recv(), Ok(Err(Refused::Waiting(Awaits::Room))));
    assert_eq!(rig.count(Counter::MergesAwaitedRoom), 1, "not as often as somebody has looked");
    // The client sends all that it may, and gives up.
    for sent in (1400..end).step_by(1400) {
        rig.client(ack(C + 1 + sent, next), &vec![b'x'; 1400.min(end - sent) as usize]);
    }
    assert!(rig.client(rst(C + 1 + end), b"").is_empty());
    for got in (2800..end).step_by(1400) {
        assert!(!script(&rig.server(window(got), b"")).contains(&"park".into()), "{got} of {end}");
    }
    assert_eq!(script(&rig.server(window(end), b"")), ["park"]);
    let behind_all = format!("replay ClientToServer {}", C + 1 + end);
    assert_eq!(script(&rig.parked())[2..], [behind_all, "resume".into()]);
}
