//! Accepted flows: the module is the server (seed 000, "accept").

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control::module::{Decision, Endpoint, Module, PartialConnection, Sending, Session, Ticket};
use dataplane::counters::Counter;
use dataplane::flow::quad::FlowKey;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::wire::tcp_options::Timestamps;

use crate::rig::*;

/// What an endpoint has been told, and what it is to do.
#[derive(Default)]
struct World {
    told: Vec<String>,
    room: usize,
    says: VecDeque<Sending>,
    echoes: bool,
    stirred: VecDeque<Ticket>,
    ticket: Option<Ticket>,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<World>>);

impl Server {
    fn echo() -> Server {
        let server = Server::default();
        (server.world().echoes, server.world().room) = (true, usize::MAX);
        server
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.world().told)
    }

    /// It says something of its own accord.
    fn says(&self, what: Sending) {
        let mut world = self.world();
        world.says.push_back(what);
        let ticket = world.ticket.expect("an endpoint");
        world.stirred.push_back(ticket);
    }
}

impl Module for Server {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Accept
    }

    fn endpoint(&mut self, ticket: Ticket, _: &FlowKey) -> Option<Box<dyn Endpoint>> {
        self.world().ticket = Some(ticket);
        Some(Box::new(self.clone()))
    }

    fn stirred(&mut self) -> Option<Ticket> {
        self.world().stirred.pop_front()
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        unreachable!("it never proxies")
    }
}

impl Endpoint for Server {
    fn established(&mut self) {
        self.world().told.push("established".into());
    }

    fn room(&mut self) -> usize {
        self.world().room
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut world = self.world();
        world.room = world.room.saturating_sub(bytes.len());
        let shown =
            if bytes.len() < 20 { String::from_utf8_lossy(bytes).into() } else { bytes.len().to_string() };
        world.told.push(shown);
        if world.echoes {
            world.says.push_back(Sending::Bytes(bytes.to_vec()));
        }
    }

    fn finished(&mut self) {
        let mut world = self.world();
        world.told.push("finished".into());
        if world.echoes {
            world.says.push_back(Sending::Closed);
        }
    }

    fn send(&mut self, room: usize) -> Sending {
        let mut world = self.world();
        match world.says.front() {
            Some(Sending::Bytes(bytes)) if bytes.len() > room => Sending::Nothing,
            Some(Sending::Closed) => Sending::Closed,
            _ => world.says.pop_front().unwrap_or(Sending::Nothing),
        }
    }

    fn reset(&mut self) {
        self.world().told.push("reset".into());
    }
}

/// With the SYN-ACK sent; the number that it has.
fn greeted(server: &Server) -> (Rig, u32) {
    let mut rig = Rig::new(server.clone());
    let said = rig.offer(syn(C));
    let [Said::Participate, Said::Tcp(CLIENT, answer, _)] = &said[..] else { panic!("{said:?}") };
    let iss = answer.seq.0;
    assert_eq!(script(&said), ["participate".to_string(), format!(">C S. {iss}:1001 0")]);
    (rig, iss)
}

fn established(server: &Server) -> (Rig, u32) {
    let (mut rig, iss) = greeted(server);
    rig.client(ack(C + 1, iss.wrapping_add(1)), b"");
    assert_eq!(server.told(), ["established"]);
    (rig, iss.wrapping_add(1))
}

#[test]
fn what_the_client_says_comes_back_and_both_close() {
    let server = Server::echo();
    let (mut rig, s) = established(&server);
    let said = rig.client(ack(C + 1, s), b"hello");
    assert_eq!(script(&said), [format!(">C . {s}:1006 5")]);
    assert_eq!(server.told(), ["hello"]);
    let said = rig.client(fin(C + 6, s.wrapping_add(5)), b"");
    assert_eq!(script(&said), [format!(">C F. {}:1007 0", s.wrapping_add(5))]);
    assert_eq!(server.told(), ["finished"]);
    assert_eq!(script(&rig.client(ack(C + 7, s.wrapping_add(6)), b"")), ["remove"]);
    rig.assert_gone();
}

#[test]
fn nothing_reaches_the_endpoint_before_the_client_is_validated() {
    let server = Server::echo();
    let (mut rig, iss) = greeted(&server);
    // Data with the SYN's number, and data whose ack nobody could have guessed from the SYN-ACK.
    rig.client(ack(C + 1, iss.wrapping_add(7)), b"forged");
    assert!(server.told().is_empty());
    rig.client(ack(C + 1, iss.wrapping_add(1)), b"with the ACK");
    assert_eq!(server.told(), ["established", "with the ACK"]);
}

#[test]
fn no_option_is_answered_that_was_not_offered_and_numbers_are_ours() {
    let server = Server::echo();
    let mut rig = Rig::new(server.clone());
    let mut offer = syn(C);
    offer.options.timestamps = Some(Timestamps { value: 77, echo: 0 });
    offer.options.window_scale = None;
    offer.flags = TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR;
    let said = rig.offer(offer);
    let [_, Said::Tcp(CLIENT, answer, _)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(answer.flags, TcpFlags::SYN | TcpFlags::ACK);
    assert_eq!((answer.options.mss, answer.options.window_scale), (Some(1460), None));
    assert_eq!(answer.options.timestamps.map(|ts| ts.echo), Some(77));
    let clock = answer.options.timestamps.map_or(0, |ts| ts.value);
    let numbers = answer.seq.0.wrapping_add(1);

    let mut first = ack(C + 1, numbers);
    first.options.timestamps = Some(Timestamps { value: 78, echo: clock });
    rig.client(first, b"");
    rig.wait(Duration::from_millis(250));
    server.says(Sending::Bytes(b"220".to_vec()));
    let said = rig.wait(Duration::from_millis(1));
    let [Said::Tcp(CLIENT, greeting, payload)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(payload, b"220");
    // A clock of our own that ticks in milliseconds.
    let ticked = greeting.options.timestamps.map_or(0, |ts| ts.value).wrapping_sub(clock);
    assert!((250..260).contains(&ticked), "{ticked}");
}

#[test]
fn an_endpoint_that_does_not_read_closes_the_window_and_opens_it_again() {
    let server = Server::default();
    let (mut rig, s) = established(&server);
    let bytes = [7; 1460];
    let mut sent = 0;
    let last_window = |said: &[Said]| match said.last() {
        Some(Said::Tcp(CLIENT, tcp, _)) => Some(u32::from(tcp.window)),
        _ => None,
    };
    let mut window = None;
    // settings() give the leg 64 KiB.
    for _ in 0..44 {
        let said = rig.client(ack(C + 1 + sent, s), &bytes);
        window = last_window(&said).or(window);
        sent += 1460;
    }
    assert!(server.told().is_empty(), "it has no room");
    // The window of less than a segment that is left is not worth announcing.
    assert!(window.is_some_and(|window| window << 1 < 1460 * 2), "{window:?}");
    assert_eq!(rig.core.load().bytes, 44 * 1460);
    server.world().room = usize::MAX;
    server.says(Sending::Nothing);
    let said = rig.wait(Duration::from_millis(1));
    assert_eq!(server.told().len(), 44);
    assert!(last_window(&said).is_some_and(|window| window << 1 > 60_000), "{said:?}");
    assert_eq!(rig.core.load().bytes, 0);
}

#[test]
fn a_client_that_resets_is_heard_behind_its_bytes() {
    let server = Server::default();
    let (mut rig, s) = established(&server);
    rig.client(ack(C + 1, s), b"last words");
    assert!(rig.client(rst(C + 11), b"").is_empty());
    assert!(server.told().is_empty(), "there was no room yet");
    server.world().room = 100;
    server.says(Sending::Nothing);
    assert_eq!(script(&rig.wait(Duration::from_millis(1))), ["remove"]);
    assert_eq!(server.told(), ["last words", "reset"]);
    rig.assert_gone();

    // One that never makes room is not waited for.
    let server = Server::default();
    let (mut rig, s) = established(&server);
    rig.client(ack(C + 1, s), b"last words");
    rig.client(rst(C + 11), b"");
    assert_eq!(script(&rig.wait(Duration::from_secs(11))), ["remove"]);
    assert_eq!(server.told(), ["reset"]);
    rig.assert_gone();
}

#[test]
fn an_endpoint_may_reset_and_half_close() {
    let server = Server::echo();
    let (mut rig, s) = established(&server);
    server.says(Sending::Reset);
    assert_eq!(script(&rig.wait(Duration::from_millis(1))), [format!(">C R. {s}:1001 0")]);
    assert!(server.told().is_empty(), "it knows");
    assert_eq!(script(&rig.wait(Duration::from_secs(11))), ["remove"]);
    rig.assert_gone();

    let server = Server::default();
    let (mut rig, s) = established(&server);
    server.world().room = 100;
    server.says(Sending::Bytes(b"bye".to_vec()));
    server.says(Sending::Closed);
    assert_eq!(script(&rig.wait(Duration::from_millis(1)))[0], format!(">C F. {s}:1001 3"));
    rig.client(ack(C + 1, s.wrapping_add(4)), b"still here");
    assert_eq!(server.told(), ["still here"], "the other direction is open");
    rig.client(fin(C + 11, s.wrapping_add(4)), b"");
    assert_eq!(server.told(), ["finished"]);
    assert_eq!(script(&rig.wait(Duration::from_secs(11))).last().map(String::as_str), Some("remove"));
    rig.assert_gone();
}

#[test]
fn bytes_and_fin_outlive_the_leg_until_they_are_read() {
    let server = Server::default();
    let (mut rig, s) = established(&server);
    server.says(Sending::Closed);
    rig.wait(Duration::from_millis(1));
    rig.client(fin(C + 1, s.wrapping_add(1)), b"late");
    rig.wait(Duration::from_secs(20));
    assert_eq!(rig.core.connections().count(), 1, "TIME-WAIT is over, the endpoint has not read");
    server.world().room = 100;
    server.says(Sending::Nothing);
    assert_eq!(script(&rig.wait(Duration::from_millis(1))), ["remove"]);
    assert_eq!(server.told(), ["late", "finished"]);
    rig.assert_gone();
}

#[test]
fn a_client_that_never_completes_hears_nothing_and_is_forgotten() {
    let server = Server::echo();
    let (mut rig, _) = greeted(&server);
    let said = rig.wait(Duration::from_secs(80));
    assert_eq!(script(&said), ["remove"], "a SYN-ACK is not repeated to who has not been validated");
    assert_eq!(server.told(), ["reset"]);
    assert_eq!(rig.count(Counter::HandshakesAbandoned), 1);
    rig.assert_gone();
}

#[test]
fn a_client_that_begins_anew_is_offered_anew() {
    let server = Server::echo();
    let (mut rig, _) = greeted(&server);
    assert_eq!(script(&rig.client(syn(C + 5000), b"")), ["restart 0"]);
    assert_eq!(server.told(), ["reset"]);
    rig.assert_gone();
}

#[test]
fn a_path_that_is_too_narrow_is_honoured_and_other_errors_change_nothing() {
    let server = Server::echo();
    let (mut rig, s) = established(&server);
    let bytes = [7; 1460];
    rig.client(ack(C + 1, s), &bytes);
    server.told();
    assert!(rig.icmp(S2C, 3, 1, s).is_empty());
    // The next hop's MTU is 1280.
    rig.icmp(S2C, 3, 4, s);
    assert!(rig.icmp(C2S, 3, 1, C + 1).is_empty());
    assert_eq!(rig.count(Counter::DropForgedIcmp), 1);
    rig.wait(Duration::from_secs(2));
    assert!(server.told().is_empty(), "the flow lives");
}

#[test]
fn a_module_that_accepts_and_has_nobody_refuses() {
    let mut rig = Rig::deciding(Decision::Accept);
    assert_eq!(script(&rig.offer(syn(C))), [">C R. 0:1001 0"]);
    assert_eq!(script(&rig.client(syn(C), b"")), [">C R. 0:1001 0"]);
    assert_eq!(script(&rig.wait(Duration::from_secs(11))), ["remove"]);
    rig.assert_gone();
}

#[test]
fn idle_ones_end_at_both_ends() {
    let server = Server::echo();
    let (mut rig, s) = established(&server);
    let said = script(&rig.wait(Duration::from_secs(3601)));
    assert_eq!(said, [format!(">C R. {s}:1001 0")]);
    assert_eq!(server.told(), ["reset"]);
    assert_eq!(script(&rig.wait(Duration::from_secs(11))), ["remove"]);
    rig.assert_gone();
}
