//! Serves what the servers behind the appliance do not: an echo, a page that says "maintenance", and refusals.
//!
//! `cargo run -p quadrille-listener --example serve -- SOCKET ECHO PAGE`, for example
//! `serve /run/quadrille-filter.sock 7 80`. Connections to port ECHO are accepted and echoed, those to port PAGE are asked
//! of their server first and get a page when it refuses; everything else is proxied. Prints what it does.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use quadrille_listener::{Event, Listener, Outcome, Partial, Stream, Unsent};

const PAGE: &str =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\nConnection: close\r\n\r\nmaintenance\n";

/// Back what comes, until it ends.
fn echo(mut stream: Stream) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    let mut sum = 0;
    loop {
        let len = stream.read(&mut bytes)?;
        if len == 0 {
            println!("echoed {sum} bytes");
            return stream.shutdown(Shutdown::Write);
        }
        stream.write_all(&bytes[..len])?;
        sum += len;
    }
}

/// One page, whatever is asked.
fn page(mut stream: Stream) -> io::Result<()> {
    let mut request = [0; 4096];
    let mut len = 0;
    while len < request.len() && !request[..len].windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut request[len..])? {
            0 => break,
            more => len += more,
        }
    }
    stream.write_all(PAGE.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    // Until the client has closed, too: closed with unread input, the page could be lost to a reset.
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

fn decide(partial: Partial, echo_port: u16, page_port: u16) -> Result<(), Unsent> {
    println!("{} -> {} {:?}", partial.client(), partial.server(), partial.options());
    match partial.server().port() {
        port if port == echo_port => partial.accept(),
        port if port == page_port => partial.consult(Duration::from_secs(3)),
        _ => partial.proxy(),
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = |at: usize| arguments.get(at).and_then(|port| port.parse::<u16>().ok());
    let (Some(echo_port), Some(page_port)) = (port(1), port(2)) else {
        eprintln!("usage: serve SOCKET ECHO PAGE");
        std::process::exit(2);
    };
    let mut listener = Listener::connect(&arguments[0])?;
    let mut pages = std::collections::HashSet::new();
    println!("listening");
    loop {
        match listener.next()? {
            Event::Partial(partial) => decide(partial, echo_port, page_port)?,
            Event::Answered(answered) if answered.outcome == Outcome::Accepted => answered.partial.proxy()?,
            Event::Answered(answered) => {
                println!("its server: {:?}", answered.outcome);
                pages.insert(answered.partial.id());
                answered.partial.accept()?;
            }
            Event::Stream(stream) => {
                let serve = if pages.remove(&stream.id()) { page } else { echo };
                std::thread::spawn(move || {
                    if let Err(error) = serve(stream) {
                        println!("a stream has ended: {error}");
                    }
                });
            }
            Event::Gone(gone) => {
                pages.remove(&gone.id);
                println!("{} is gone: {:?}", gone.id, gone.why);
            }
        }
    }
}
