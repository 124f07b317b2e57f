//! What gets past a search, it gets past it because the receiver takes other bytes than those that were searched: the ways to do
//! that, against this machine's receiver (T. H. Ptacek and T. N. Newsham, "Insertion, Evasion, and Denial of Service", 1998).

use std::time::Duration;

use control::lab::{Action, Hook, Isn, Lab, Merge, Net, Result, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::SOON;

/// See there for what it tries.
const SMUGGLER: &str = concat!(include_str!("raw_peer.py"), include_str!("smuggle.py"));

const PATTERN: &str = "/etc/passwd";
const INSPECTION: &str = "[inspect.web]
patterns = [{ name = \"passwd\", text = \"/etc/passwd\", verdict = \"drop\", from = \"client\" }]\n";
/// Of what the client's program sends itself; nothing else of its host goes out.
const MARK: &str = "7";

/// One attempt.
#[derive(Debug)]
struct Attempt {
    name: String,
    /// What the server has read.
    read: String,
    /// All that the client has to say has been acknowledged.
    is_whole: bool,
}

impl Attempt {
    fn is_smuggled(&self) -> bool {
        self.read.contains(PATTERN)
    }
}

/// Makes every attempt once.
fn attempts(lab: &Lab, net: Net, first_port: u16) -> Result<Vec<Attempt>> {
    let address = lab.server().address(net).to_string();
    let python = |words: &[&str]| {
        ["-c", SMUGGLER].iter().chain(words).map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let mut server = lab.server().command("python3").args(python(&["serve", &address])).spawn()?;
    server.wait_for_text("listening", SOON)?;
    let client = lab.client().command("python3").args(python(&[&address, &first_port.to_string(), MARK]));
    let said = client.timeout(Duration::from_secs(240)).ok()?;
    let names: Vec<_> = said.lines().filter_map(|line| line.split_once(' ')).collect();
    control::lab::wait_until("the server to have read all", SOON * 3, || {
        Ok(server.stdout().lines().filter(|line| line.starts_with("read")).count() == names.len())
    })?;
    let read = server.stdout();
    let read = read.lines().filter_map(|line| line.strip_prefix("read")).map(|hex| text(hex.trim()));
    let attempt = |((name, whole), read): ((&str, &str), String)| Attempt {
        name: name.to_owned(),
        read,
        is_whole: whole == "whole",
    };
    Ok(names.into_iter().zip(read).map(attempt).collect())
}

fn text(hex: &str) -> String {
    let digits = hex.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    digits.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).map(char::from).collect()
}

/// Attempts that end the connection for whoever believes them: what comes behind is dropped, or goes on.
fn may_end(attempt: &Attempt) -> bool {
    attempt.name.starts_with("reset") || attempt.name.starts_with("fin")
}

#[test]
fn nothing_is_smuggled_past_a_search() {
    isolated("smuggle::nothing_is_smuggled_past_a_search", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        lab.client().rule(Hook::Output, &format!("tcp dport 7400 meta mark != {MARK} drop"))?;
        lab.server().rule(Hook::Input, "ip ttl < 10 drop")?;
        lab.server().rule(Hook::Input, "ip6 hoplimit < 10 drop")?;
        let setup = || Setup::relay(Merge::Established, Isn::Keyed).module_keys(INSPECTION).without_offer();
        let rules = ["{ destination_ports = [7400] }", "{ destination_ports = [7400] }\ninspect = \"web\""];
        let ways = [(rules[0], Action::Monitor), (rules[1], Action::Monitor), (rules[1], Action::Offer)];
        for (number, (rule, action)) in ways.into_iter().enumerate() {
            let appliance = lab.appliance(&setup().rule(rule, action))?;
            let is_searched = rule == rules[1];
            for net in Net::UNTAGGED {
                let attempts = attempts(&lab, net, 20_000 + 1000 * number as u16)?;
                let (smuggled, kept): (Vec<_>, Vec<_>) =
                    attempts.iter().partition(|attempt| attempt.is_smuggled());
                let names =
                    |attempts: &[&Attempt]| attempts.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
                eprintln!(
                    "{action:?} searched: {is_searched}: {} read, not {:?}",
                    smuggled.len(),
                    names(&kept)
                );
                if is_searched {
                    expect(smuggled.is_empty(), "nothing is smuggled", format!("{smuggled:?}"))?;
                    let cut = kept.iter().find(|attempt| !attempt.is_whole && !may_end(attempt));
                    expect(cut.is_none(), "all that is honest arrives", format!("{cut:?}"))?;
                } else {
                    let in_vain = kept.iter().find(|attempt| !attempt.name.starts_with("at_random"));
                    expect(in_vain.is_none(), "each works where nobody searches", format!("{in_vain:?}"))?;
                }
            }
            eprintln!("{}", appliance.stats()?["counters"]);
            appliance.stop()?;
        }
        Ok(())
    });
}
