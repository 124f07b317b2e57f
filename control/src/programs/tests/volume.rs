//! Much at once: nothing is lost, doubled or mixed up, however full the mailboxes and pipes are.

use std::collections::HashSet;
use std::io::{Read, Write};

use super::streaming::established;
use super::*;
use crate::module::Sending;

const DECISIONS: u64 = 20_000;
/// Undecided at once: as many as are allowed.
const WINDOW: usize = 64;
const BYTES: usize = 16 << 20;

/// A program that drops everything as fast as it can.
fn dropping(mut listener: Listener) {
    while let Ok(event) = listener.next() {
        if let Event::Partial(partial) = event {
            let _ = partial.drop_silently();
        }
    }
}

#[test]
fn every_offer_is_decided_once() {
    let mut core = Core::start(|settings| settings.outstanding = WINDOW);
    let listener = core.listener();
    let program = std::thread::spawn(move || dropping(listener));
    let (mut offered, mut undecided) = (0, HashSet::new());
    while offered < DECISIONS || !undecided.is_empty() {
        while offered < DECISIONS && undecided.len() < WINDOW {
            assert!(matches!(core.offer(offered), Decision::Later(_)), "there is room for offer {offered}");
            undecided.insert(offered);
            offered += 1;
        }
        let (Ticket(ticket), decision) = core.decided();
        assert_eq!(decision, Decision::Drop);
        assert!(undecided.remove(&ticket), "{ticket} has been decided twice, or was never offered");
    }
    drop(core);
    program.join().unwrap();
}

/// The byte at `place` of what the client says.
fn byte(place: usize) -> u8 {
    (place / 251 + place) as u8
}

/// A program echoes; the test is client and control core.
#[test]
fn every_byte_comes_back_in_order() {
    let (mut core, mut endpoint, mut stream) = established();
    let program = std::thread::spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..len]).unwrap();
        }
    });
    let (mut sent, mut got) = (0, 0);
    while got < BYTES {
        while sent < BYTES && endpoint.room() > 0 {
            let segment: [u8; 1448] = std::array::from_fn(|at| byte(sent + at));
            endpoint.receive(&segment);
            sent += segment.len();
        }
        core.module.decided(Instant::ZERO);
        while core.module.stirred().is_some() {}
        match endpoint.send(usize::MAX) {
            Sending::Bytes(bytes) => {
                let is_same = bytes.iter().enumerate().all(|(at, &came)| came == byte(got + at));
                assert!(is_same, "somewhere from byte {got} on");
                got += bytes.len();
            }
            _ => std::thread::yield_now(),
        }
    }
    drop(endpoint);
    core.module.decided(Instant::ZERO);
    program.join().unwrap();
}
