//! Accepted connections: the test plays the client's leg, the program has a socket.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use quadrille_listener::{NoLonger, Stream, Why};

use super::*;
use crate::module::{Endpoint, Sending};

const TICKET: Ticket = Ticket(6);

/// An accepted connection whose client's handshake is still to come.
fn accepting() -> (Core, Listener, Box<dyn Endpoint>) {
    let (mut core, mut listener) = Core::with_listener();
    let endpoint = accept(&mut core, &mut listener, TICKET);
    (core, listener, endpoint)
}

fn accept(core: &mut Core, listener: &mut Listener, ticket: Ticket) -> Box<dyn Endpoint> {
    core.offer(ticket.0);
    core.module.decided(Instant::ZERO);
    partial(listener).accept().unwrap();
    assert_eq!(core.decided(), (ticket, Decision::Accept));
    let key = with_partial(ticket.0, |partial| partial.key);
    core.module.endpoint(ticket, &key).unwrap()
}

pub(super) fn established() -> (Core, Box<dyn Endpoint>, Stream) {
    let (mut core, mut listener, mut endpoint) = accepting();
    endpoint.established();
    core.module.decided(Instant::ZERO);
    let Event::Stream(stream) = listener.next().unwrap() else { panic!("no stream") };
    assert_eq!(stream.id(), TICKET.0);
    (core, endpoint, stream)
}

/// What the endpoint wants, other than nothing.
fn wanted(core: &mut Core, endpoint: &mut dyn Endpoint, room: usize) -> Sending {
    core.until(|core| {
        core.module.decided(Instant::ZERO);
        while core.module.stirred().is_some() {}
        Some(endpoint.send(room)).filter(|sending| *sending != Sending::Nothing)
    })
}

#[test]
fn bytes_cross_both_ways_and_each_closes() {
    let (mut core, mut endpoint, mut stream) = established();
    endpoint.receive(b"GET ");
    endpoint.receive(b"/");
    core.module.decided(Instant::ZERO);
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"GET /");

    stream.write_all(b"answer").unwrap();
    core.until(|core| core.module.stirred().filter(|ticket| *ticket == TICKET));
    // No more than there is room for.
    assert_eq!(endpoint.send(0), Sending::Nothing);
    assert_eq!(endpoint.send(4), Sending::Bytes(b"answ".to_vec()));
    assert_eq!(endpoint.send(4), Sending::Bytes(b"er".to_vec()));
    assert_eq!(endpoint.send(4), Sending::Nothing);

    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(wanted(&mut core, &mut *endpoint, 10), Sending::Closed);
    endpoint.receive(b"last");
    endpoint.finished();
    core.module.decided(Instant::ZERO);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"last");
    drop((endpoint, stream));
    core.until_no_stream();
}

#[test]
fn a_socket_outlives_its_listener() {
    let (mut core, mut listener, mut endpoint) = accepting();
    endpoint.established();
    core.module.decided(Instant::ZERO);
    let Event::Stream(mut stream) = listener.next().unwrap() else { panic!("no stream") };
    drop(listener);
    core.until(|core| (!core.is_ready()).then_some(()));
    stream.write_all(b"still here").unwrap();
    assert_eq!(wanted(&mut core, &mut *endpoint, 100), Sending::Bytes(b"still here".to_vec()));
}

#[test]
fn unread_input_makes_a_reset_of_a_close() {
    let (mut core, mut endpoint, stream) = established();
    endpoint.receive(b"unread");
    core.module.decided(Instant::ZERO);
    // It has come to the socket, and nobody reads it.
    core.until(|_| rustix::io::ioctl_fionread(&stream).ok().filter(|unread| *unread == 6));
    drop(stream);
    assert_eq!(wanted(&mut core, &mut *endpoint, 100), Sending::Reset);
}

#[test]
fn what_comes_after_a_close_is_answered_with_a_reset() {
    let (mut core, mut endpoint, stream) = established();
    drop(stream);
    assert_eq!(wanted(&mut core, &mut *endpoint, 100), Sending::Closed);
    endpoint.receive(b"too late");
    core.module.decided(Instant::ZERO);
    core.until(|_| (endpoint.send(100) == Sending::Reset).then_some(()));
}

#[test]
fn a_program_that_only_stops_reading_goes_on_writing() {
    let (mut core, mut endpoint, mut stream) = established();
    stream.shutdown(Shutdown::Read).unwrap();
    for _ in 0..3 {
        endpoint.receive(b"not wanted");
        core.module.decided(Instant::ZERO);
    }
    stream.write_all(b"wanted").unwrap();
    assert_eq!(wanted(&mut core, &mut *endpoint, 100), Sending::Bytes(b"wanted".to_vec()));
}

#[test]
fn a_clients_reset_ends_both_directions_behind_its_bytes() {
    let (mut core, mut endpoint, mut stream) = established();
    endpoint.receive(b"last words");
    endpoint.reset();
    core.module.decided(Instant::ZERO);
    drop(endpoint);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"last words");
    core.until(|_| match stream.write_all(b"x") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Some(()),
        Err(error) => panic!("{error}"),
        Ok(()) => None,
    });
    core.until_no_stream();
}

/// A program that does not read takes no more than the pipe and its socket hold; once it reads, all comes.
#[test]
fn a_slow_reader_holds_up_its_client() {
    let (mut core, mut endpoint, mut stream) = established();
    let chunk: Vec<u8> = (0..1000).map(|n| n as u8).collect();
    let mut sent = 0;
    let mut quiet = 0;
    while quiet < 100 {
        core.module.decided(Instant::ZERO);
        if endpoint.room() > 0 {
            endpoint.receive(&chunk);
            (sent, quiet) = (sent + chunk.len(), 0);
        } else {
            std::thread::sleep(Duration::from_millis(1));
            quiet += 1;
        }
        assert!(sent < 4 << 20, "it is sent more and more");
    }
    while core.module.stirred().is_some() {}
    let mut read = vec![0; sent];
    stream.read_exact(&mut read).unwrap();
    assert!(read.chunks(1000).all(|part| part == chunk));
    // It has room again, and says so.
    core.until(|core| core.module.stirred().filter(|ticket| *ticket == TICKET));
    assert!(endpoint.room() > 0);
}

#[test]
fn a_fast_writer_is_held_up_by_its_client() {
    let (mut core, mut endpoint, mut stream) = established();
    stream.set_nonblocking(true).unwrap();
    let chunk = [5; 10_000];
    let mut written = 0;
    let mut quiet = 0;
    while quiet < 100 {
        match stream.write(&chunk) {
            Ok(len) => (written, quiet) = (written + len, 0),
            Err(_) => {
                std::thread::sleep(Duration::from_millis(1));
                quiet += 1;
            }
        }
        assert!(written < 4 << 20, "it is taken more and more");
    }
    let mut taken = 0;
    while taken < written {
        match wanted(&mut core, &mut *endpoint, 1460) {
            Sending::Bytes(bytes) => taken += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(taken, written);
}

#[test]
fn a_client_that_never_completes_costs_no_socket() {
    let (mut core, mut listener, mut endpoint) = accepting();
    endpoint.reset();
    drop(endpoint);
    core.module.decided(Instant::ZERO);
    let Event::Gone(gone) = listener.next().unwrap() else { panic!("not gone") };
    assert_eq!(gone, NoLonger { id: TICKET.0, why: Why::Client });
    core.until_no_stream();
}

#[test]
fn a_program_that_dies_before_the_handshake_is_over_resets_its_client() {
    let (mut core, listener, mut endpoint) = accepting();
    drop(listener);
    core.until(|core| (!core.is_ready()).then_some(()));
    endpoint.established();
    assert_eq!(wanted(&mut core, &mut *endpoint, 100), Sending::Reset);
}

#[test]
fn streams_are_bounded() {
    let (mut core, mut listener) = Core::with_listener();
    // Anybody can send SYNs: those of which nothing more is heard keep nobody out.
    let unknown = [1, 3, 5, 7, 9].map(|n| accept(&mut core, &mut listener, Ticket(n)));
    assert_eq!(core.module.streams(), 0);
    let tickets = [2, 4, 6, 8].map(Ticket);
    let mut endpoints = tickets.map(|ticket| accept(&mut core, &mut listener, ticket));
    let mut late = accept(&mut core, &mut listener, Ticket(12));
    for endpoint in &mut endpoints {
        endpoint.established();
        core.module.decided(Instant::ZERO);
        assert!(matches!(listener.next().unwrap(), Event::Stream(_)));
    }
    assert_eq!((core.module.streams(), late.send(9)), (4, Sending::Nothing));
    late.established();
    assert_eq!((late.send(9), core.count(Counter::ProgramsStreamsFull)), (Sending::Reset, 1));
    core.module.decided(Instant::ZERO);
    let Event::Gone(gone) = listener.next().unwrap() else { panic!("not gone") };
    assert_eq!(gone, NoLonger { id: 12, why: Why::Refused });
    core.offer(10);
    core.module.decided(Instant::ZERO);
    partial(&mut listener).accept().unwrap();
    assert_eq!(core.decided(), (Ticket(10), Decision::Monitor));
    assert_eq!(core.count(Counter::ProgramsStreamsFull), 1);
    core.module.decided(Instant::ZERO);
    let Event::Gone(gone) = listener.next().unwrap() else { panic!("not gone") };
    assert_eq!(gone, NoLonger { id: 10, why: Why::Refused });
    drop((endpoints, unknown));
}

#[test]
fn a_module_that_is_retired_lets_go_of_its_programs_and_keeps_its_streams() {
    let (mut core, mut listener, mut endpoint) = accepting();
    endpoint.established();
    core.module.decided(Instant::ZERO);
    let Event::Stream(mut stream) = listener.next().unwrap() else { panic!("no stream") };
    core.offer(4);
    // The end of a round, in which the thread hears of it.
    core.module.decided(Instant::ZERO);
    let undecided = partial(&mut listener);

    core.module.retire();
    // What nobody decides about any more gets the default, and so does what comes.
    assert_eq!(core.decided(), (Ticket(4), Decision::Monitor));
    assert_eq!((core.offer(6), core.count(Counter::ProgramsAbsent)), (Decision::Monitor, 1));
    assert_eq!(listener.next().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    drop(undecided);
    let socket = core.folder.path().join("filter.sock");
    assert!(!socket.exists() && Listener::connect(&socket).is_err());
    // Another one may have the place.
    let other = Programs::start(core.module.settings().clone(), SystemClock::start()).unwrap();
    stream.write_all(b"on").unwrap();
    assert_eq!(wanted(&mut core, &mut *endpoint, 9), Sending::Bytes(b"on".to_vec()));
    drop((stream, endpoint));
    // The thread goes with the last of them, and takes nothing of the other one's with it.
    core.until(|core| {
        core.module.decided(Instant::ZERO);
        while core.module.stirred().is_some() {}
        (core.module.is_over() && core.module.streams() == 0).then_some(())
    });
    assert!(socket.exists());
    drop(other);
}
