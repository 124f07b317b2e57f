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
    { text = \"beacon\", verdict = \"event\" },
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

/// Of all patterns: by the worker, or by the control core when a request comes together with the ACK before it.
fn matches(appliance: &Appliance) -> Result<u64> {
    let stats = appliance.stats()?;
    let inspections = stats["inspections"].as_object().into_iter().flat_map(|all| all.values());
    let patterns = inspections.filter_map(|patterns| patterns.as_array()).flatten();
    Ok(patterns.filter_map(|pattern| pattern["matches"].as_u64()).sum())
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
        let found = matches(appliance)?;
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
        let found = matches(appliance)?;
        expect(found == 0, "no match", found.to_string())
    });
}

/// Name, number, whose, and the place of each hit in the second request.
const HITS: [(&str, u64, &str, u64); 2] = [("pattern[1]", 1, "client", 5), ("passwd", 0, "client", 17)];

#[test]
fn hits_are_events() {
    each_way("inspect::hits_are_events", |lab, appliance| {
        let nginx = lab.server().nginx().text("hello", "a beacon").start()?;
        for net in Net::UNTAGGED {
            let hello = lab.client().curl(&lab.server().url(net, 80, "hello")).ok()?;
            expect(hello.contains("a beacon"), "an event alone lets it pass", hello)?;
            let address = lab.server().address(net).to_string();
            let parts = ["GET /bea", "con?file=/etc/pas", "swd HTTP/1.0\r\n\r\n"];
            let said = lab.client().command("python3").args(["-c", PARTS, &address]).args(parts).ok()?;
            expect(said.trim() == "reset", "reset", said.clone())?;
            let events = appliance.events()?;
            let hits: Vec<_> = events.iter().filter(|event| event["event"] == "hit").collect();
            let of = |from: &str| hits.iter().rev().find(|event| event["hit"]["from"] == from).copied();
            let answer = of("server").map(|event| event["hit"]["name"].clone());
            expect(answer == Some("pattern[1]".into()), "the server's", format!("{events:?}"))?;
            for (name, number, from, place) in HITS {
                let is_it = |event: &&&serde_json::Value| {
                    let hit = &event["hit"];
                    (&hit["name"], &hit["pattern"], &hit["from"])
                        == (&name.into(), &number.into(), &from.into())
                        && event["server"].as_str().is_some_and(|server| server.contains(&address))
                };
                let hit = hits.iter().rev().find(is_it).map(|event| event["hit"].clone()).unwrap_or_default();
                let is_right = hit["inspection"] == "web" && hit["place"] == place;
                expect(is_right, format!("{name} at {place}"), hit.to_string())?;
            }
        }
        drop(nginx);
        let told = appliance.control(&["events"]).ok()?;
        eprintln!("{told}");
        expect(told.contains("web passwd [0], client's byte 17: reset"), "in words", told.clone())
    });
}
