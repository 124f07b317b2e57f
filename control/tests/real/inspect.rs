//! Patterns in what real kernels say to each other, while their flow passes by the worker (seed 001, FIG. 7).

use control::lab::{Action, Appliance, Hook, Isn, Lab, Merge, Net, Result, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::{self, MEGABYTE};

/// What is searched for in the tests.
const INSPECTION: &str = "
[inspect.web]
window = true
patterns = [
    { name = \"passwd\", text = \"/etc/passwd\", verdict = \"reset\", from = \"client\" },
    { name = \"never\", text = \"there is no such text in the file\", verdict = \"drop\" },
]
";

/// Sends the parts of a request one after the other, each in a segment of its own, and prints what becomes of it.
const PARTS: &str = "
import socket, sys, time
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
link = socket.create_connection((sys.argv[1], 80), timeout=10)
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
try:
    for part in sys.argv[2:]:
        link.sendall(part.encode())
        time.sleep(0.1)
    print('answered' if link.recv(100) else 'closed')
except ConnectionResetError:
    print('reset')
";

/// Monitored, or cut through with deltas.
fn inspecting(lab: &Lab, action: Action) -> Result<Appliance> {
    let setup = Setup::relay(Merge::Established, Isn::Keyed).module_keys(INSPECTION).without_offer();
    let setup = setup.rule("{ destination_ports = [80, 7300] }\ninspect = \"web\"", action);
    lab.appliance(&setup)
}

fn each_way(name: &str, scenario: impl Fn(&Lab, &Appliance) -> Result<()>) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        for action in [Action::Monitor, Action::Offer] {
            let appliance = inspecting(&lab, action)?;
            scenario(&lab, &appliance)?;
            appliance.stop()?;
        }
        Ok(())
    });
}

#[test]
fn a_request_with_the_pattern_is_reset_and_another_is_answered() {
    each_way("inspect::a_request_with_the_pattern_is_reset_and_another_is_answered", |lab, appliance| {
        let nginx = lab.server().nginx().text("hello", "hello").start()?;
        for net in Net::UNTAGGED {
            let clean = lab.client().curl(&lab.server().url(net, 80, "hello")).ok()?;
            expect(clean.contains("hello"), "hello", clean)?;
            let evil = lab.client().curl(&lab.server().url(net, 80, "?f=/etc/passwd")).run()?;
            // 56: failure in receiving network data.
            expect(evil.code == Some(56), "curl's 56, connection reset", format!("{evil:?}"))?;
            let address = lab.server().address(net).to_string();
            let parts = |parts: &[&str], expected: &str| {
                let said = lab.client().command("python3").args(["-c", PARTS, &address]).args(parts).ok()?;
                expect(said.trim() == expected, expected, said.clone())
            };
            parts(&["GET /hel", "lo HTTP/1.0\r\n", "\r\n"], "answered")?;
            parts(&["GET /hello?/etc/pa", "sswd HTTP/1.0\r\n\r\n"], "reset")?;
            parts(&["GET /hello?/", "e", "t", "c/passw", "d HTTP/1.0\r\n\r\n"], "reset")?;
        }
        drop(nginx);
        eprintln!("{}", appliance.stats()?["counters"]);
        let found = appliance.counter("inspect_matches")?;
        expect(found == 6, "6 matches", found.to_string())
    });
}

#[test]
fn a_large_file_is_searched_under_loss() {
    each_way("inspect::a_large_file_is_searched_under_loss", |lab, appliance| {
        lab.client().lose(Hook::Input, 5)?;
        lab.server().lose(Hook::Input, 5)?;
        traffic::download(lab, Net::V4, 20 * MEGABYTE)?;
        traffic::upload(lab, Net::V6, 20 * MEGABYTE)?;
        eprintln!("{}", appliance.stats()?["counters"]);
        lab.client().clear_rules()?;
        lab.server().clear_rules()?;
        let found = appliance.counter("inspect_matches")?;
        expect(found == 0, "no match", found.to_string())
    });
}
