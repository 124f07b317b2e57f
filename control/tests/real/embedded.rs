//! A program that embeds the appliance, with a module of its own: a request is kept back until another thread has read it,
//! and is passed, edited, or cut off at either end or at both (seed 004). Real kernels at both ends.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use control::config::{self, Machine};
use control::module::{self, Decision, Edit, Module, PartialConnection, Proxying, Session, Step, Ticket};
use dataplane::flow::quad::{Direction, FlowKey};

use control::lab::{Isn, Lab, Merge, Net, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::SOON;

/// A module of a program that embeds the appliance: it keeps requests back until another thread has read them.
struct Readers {
    stirred: mpsc::Receiver<Ticket>,
    stir: mpsc::Sender<Ticket>,
}

/// Its part in one flow.
struct Reading {
    stir: mpsc::Sender<Ticket>,
    ticket: Option<Ticket>,
    request: Vec<u8>,
}

impl Module for Readers {
    fn offered(&mut self, _: &PartialConnection<'_>) -> Decision {
        Decision::Proxy(Proxying::default())
    }

    fn stirred(&mut self) -> Option<Ticket> {
        self.stirred.try_recv().ok()
    }

    fn session(&mut self, _: &FlowKey) -> Box<dyn Session> {
        Box::new(Reading { stir: self.stir.clone(), ticket: None, request: Vec::new() })
    }
}

impl Session for Reading {
    fn named(&mut self, ticket: Ticket) -> bool {
        self.ticket = Some(ticket);
        true
    }

    fn data(&mut self, direction: Direction, bytes: &[u8]) -> (Edit, Step) {
        if direction == Direction::ServerToClient {
            return (Edit::Pass, Step::Relay);
        }
        self.request.extend_from_slice(bytes);
        if let (true, Some(ticket)) = (self.request.ends_with(b"\n"), self.ticket) {
            let stir = self.stir.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(200));
                stir.send(ticket)
            });
        }
        (Edit::Hold(SOON), Step::Relay)
    }

    fn decide(&mut self, direction: Direction) -> (Edit, Step) {
        if direction == Direction::ServerToClient || self.request.is_empty() {
            return (Edit::Hold(SOON), Step::Relay);
        }
        let request = String::from_utf8_lossy(&std::mem::take(&mut self.request)).into_owned();
        match request.trim_end() {
            "cut client" => (Edit::Hold(SOON), Step::Cut(Direction::ClientToServer)),
            "cut server" => (Edit::Hold(SOON), Step::Cut(Direction::ServerToClient)),
            "cut both" => (Edit::Hold(SOON), Step::Reset),
            "merge" => (Edit::Pass, Step::Merge),
            word if word.contains("secret") => {
                (Edit::Replace(request.replace("secret", "(nothing)").into_bytes()), Step::Relay)
            }
            _ => (Edit::Pass, Step::Relay),
        }
    }
}

/// Says each line, waits for what comes back, and prints that, or how it ended.
const TALK: &str = "
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
link = socket.create_connection((sys.argv[1], 7300), timeout=10)
for line in sys.argv[2:]:
    try:
        link.sendall(line.encode() + b'\\n')
        got = link.recv(100)
        print(got.decode().strip() if got else 'closed')
    except ConnectionResetError:
        print('reset')
        break
";

/// Answers what it reads with the same, and prints how each of its connections has ended.
const ECHO_SERVER: &str = "
import socket
listener = socket.create_server(('::', 7300), family=socket.AF_INET6, dualstack_ipv6=True)
print('listening', flush=True)
while True:
    link, _ = listener.accept()
    try:
        while True:
            got = link.recv(100)
            if not got:
                print('closed', flush=True)
                break
            link.sendall(got)
    except ConnectionResetError:
        print('reset', flush=True)
    link.close()
";

#[test]
fn a_held_request_is_passed_edited_cut_and_the_flow_merged() {
    isolated("embedded::a_held_request_is_passed_edited_cut_and_the_flow_merged", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let file = lab.client().directory().join("config.toml");
        let text = lab.config(&Setup::relay(Merge::Never, Isn::Keyed));
        std::fs::write(&file, text).map_err(control::lab::LabError::io("writing the configuration"))?;
        let config = config::load(&file, &Machine::this()).expect("a configuration");
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            let custom: module::Custom = Arc::new(|_, _| {
                let (stir, stirred) = mpsc::channel();
                Box::new(Readers { stirred, stir })
            });
            control::appliance::run_with(config, custom, |view| {
                ready.send(()).expect("somebody waits");
                Ok(view)
            })
        });
        is_ready.recv_timeout(SOON).expect("the appliance is ready");
        let mut server = lab.server().command("python3").args(["-u", "-c", ECHO_SERVER]).spawn()?;
        server.wait_for_text("listening", SOON)?;
        let ways: [(&[&str], &str); 5] = [
            (&["one", "my secret", "three"], "one\nmy (nothing)\nthree\n"),
            (&["my secret", "merge", "still the same"], "my (nothing)\nmerge\nstill the same\n"),
            (&["one", "cut client"], "one\nreset\n"),
            (&["one", "cut server"], "one\nclosed\n"),
            (&["one", "cut both"], "one\nreset\n"),
        ];
        for net in Net::UNTAGGED {
            let address = lab.server().address(net).to_string();
            for (lines, expected) in ways {
                let said = lab.client().command("python3").args(["-c", TALK, &address]).args(lines).ok()?;
                expect(said == expected, expected, said.clone())?;
            }
            // In their order: closed by the client, and cut on either side or both.
            let ends = server.stdout();
            let expected = "closed\nclosed\nclosed\nreset\nreset\n";
            expect(ends.trim_end().ends_with(expected.trim_end()), expected, ends.to_string())?;
        }
        Ok(())
    });
}
