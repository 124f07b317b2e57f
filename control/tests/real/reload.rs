//! `quadrille reload` under traffic: rules change for new connections, open ones notice nothing.

use control::lab::{Action, Appliance, Isn, Lab, Merge, Net, Result, Setup, expect, isolated, wait_for};
use rustix::process::Signal;

use crate::EXECUTABLE;
use crate::traffic::{self, Conversation, MEGABYTE, SOON, server_name};

/// Long enough to be under way while the rules change, and to change them many times.
const RELOADS: usize = 100;

fn hits(appliance: &Appliance, rule: &str) -> Result<u64> {
    let rules = appliance.query(&["rules"])?;
    let list = rules.as_array().map(Vec::as_slice).unwrap_or_default();
    let hits = list.iter().find(|entry| entry["name"] == rule).and_then(|entry| entry["hits"].as_u64());
    expect(hits.is_some(), format!("a rule named {rule}"), rules.to_string())?;
    Ok(hits.unwrap_or_default())
}

#[test]
fn a_reload_changes_the_rules_and_no_flow() {
    isolated("reload::a_reload_changes_the_rules_and_no_flow", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let offer = Setup::relay(Merge::Never, Isn::Keyed);
        let mut appliance = lab.appliance(&offer)?;
        let mut talk = Conversation::open(&lab, Net::V4, 7000, 3000)?;
        appliance.wait_for_flow(&server_name(&lab, Net::V4, 7000), "participating", SOON)?;

        // Another rule in front, and the module a different one.
        let bypass = Setup::relay(Merge::Established, Isn::Keyed).on_port(7001, Action::Bypass);
        let said = appliance.reload(&lab.config(&bypass))?.ok()?;
        expect(said.contains("reloaded: 2 rules and 1 module"), "what was reloaded", &said)?;
        talk.say(2000)?;
        let mut passing = Conversation::open(&lab, Net::V4, 7001, 2000)?;
        appliance.wait_for_flow(&server_name(&lab, Net::V4, 7001), "bypassed", SOON)?;
        expect(hits(&appliance, "bypass-0")? == 1, "one SYN", "another number")?;
        let flow = appliance.wait_for_flow(&server_name(&lab, Net::V4, 7000), "participating", SOON)?;
        expect(flow["module"] == "lab" && flow["merges"] == 0, "the flow as it was", flow.to_string())?;

        // A file with an error changes nothing.
        let broken = format!("{}\n[[rule]]\naction = \"fly\"\n", lab.config(&bypass));
        let refused = appliance.reload(&broken)?;
        expect(refused.code == Some(2), "exit code 2", &refused.status)?;
        expect(refused.stderr.contains("\"fly\" is not possible here"), "check's words", &refused.stderr)?;
        passing.say(1000)?;
        expect(hits(&appliance, "bypass-0")? == 1, "the counts go on", "another number")?;

        // SIGHUP does the same: back to the first rules.
        appliance.write_config(&lab.config(&offer))?;
        appliance.process().signal(Signal::HUP)?;
        wait_for("one rule and the default", SOON, || {
            let rules = appliance.query(&["rules"])?;
            Ok((rules.as_array().map(Vec::len) == Some(2)).then_some(()))
        })?;
        talk.say(2000)?;
        passing.say(1000)
    });
}

#[test]
fn a_hundred_reloads_under_load_leak_nothing() {
    isolated("reload::a_hundred_reloads_under_load_leak_nothing", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let setups = [
            Setup::relay(Merge::Never, Isn::Keyed),
            Setup::relay(Merge::FirstResponse, Isn::Mirror).on_port(9, Action::Drop),
        ];
        let appliance = lab.appliance(&setups[0])?;
        let mut talk = Conversation::open(&lab, Net::V6, 7000, 3000)?;
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                for _ in 0..4 {
                    traffic::download(&lab, Net::V4, 20 * MEGABYTE)?;
                    traffic::parallel(&lab, Net::V4, 50)?;
                }
                Ok(())
            });
            let mut memory = Vec::new();
            for number in 0..RELOADS {
                appliance.reload(&lab.config(&setups[(number + 1) % 2]))?.ok()?;
                memory.push(appliance.resident_bytes()?);
            }
            load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            // A snapshot and its counts are some kilobytes; so would be what each of fifty reloads leaves behind.
            let (middle, last) = (memory[RELOADS / 2], memory[RELOADS - 1]);
            expect(last < middle + (4 << 20), "no growth", format!("{middle} bytes, then {last}"))
        })?;
        talk.say(2000)?;
        drop(talk);
        let ended = appliance.stop()?;
        expect(ended.success() && ended.stdout.contains("returned"), "every buffer back", &ended.stdout)
    });
}
