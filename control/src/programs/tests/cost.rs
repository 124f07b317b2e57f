//! What it costs: `cargo test --release -p control --no-default-features --lib programs::tests::cost -- --ignored --nocapture`.

use std::io::{Read, Write};

use super::*;
use crate::module::{Endpoint, Sending};

const DECISIONS: u64 = 100_000;
/// Undecided at once.
const WINDOW: u64 = 64;
const BYTES: usize = 200 << 20;

/// A program that drops everything as fast as it can.
fn dropping(mut listener: Listener) {
    while let Ok(event) = listener.next() {
        if let Event::Partial(partial) = event {
            let _ = partial.drop_silently();
        }
    }
}

#[test]
#[ignore = "prints figures, asserts nothing"]
fn of_decisions() {
    for window in [1, WINDOW] {
        let mut core = Core::start(|settings| settings.outstanding = WINDOW as usize);
        let listener = core.listener();
        let program = std::thread::spawn(move || dropping(listener));
        let (mut offered, mut decided) = (0, 0);
        let start = WallInstant::now();
        while decided < DECISIONS {
            while offered < DECISIONS && offered - decided < window {
                core.offer(offered);
                offered += 1;
            }
            match core.module.decided(Instant::ZERO) {
                Some(_) => decided += 1,
                None => std::thread::yield_now(),
            }
        }
        println!("{window} at once: {} ns a decision", start.elapsed().as_nanos() as u64 / DECISIONS);
        drop(core);
        program.join().unwrap();
    }
}

/// A program echoes; the test is client and control core.
#[test]
#[ignore = "prints figures, asserts nothing"]
fn of_bytes() {
    let (mut core, mut listener) = Core::with_listener();
    core.offer(2);
    core.module.decided(Instant::ZERO);
    partial(&mut listener).accept().unwrap();
    let (ticket, _) = core.decided();
    let key = with_partial(2, |partial| partial.key);
    let mut endpoint: Box<dyn Endpoint> = core.module.endpoint(ticket, &key).unwrap();
    endpoint.established();
    core.module.decided(Instant::ZERO);
    let Event::Stream(mut stream) = listener.next().unwrap() else { panic!("no stream") };
    let program = std::thread::spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..len]).unwrap();
        }
    });
    let segment = [1; 1448];
    let (mut sent, mut got) = (0, 0);
    let start = WallInstant::now();
    while got < BYTES {
        while sent < BYTES && endpoint.room() > 0 {
            endpoint.receive(&segment);
            sent += segment.len();
        }
        core.module.decided(Instant::ZERO);
        while core.module.stirred().is_some() {}
        match endpoint.send(usize::MAX) {
            Sending::Bytes(bytes) => got += bytes.len(),
            _ => std::thread::yield_now(),
        }
    }
    let rate = got as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9;
    println!("{rate:.2} Gbit/s there and as much back");
    drop(endpoint);
    core.module.decided(Instant::ZERO);
    program.join().unwrap();
}
