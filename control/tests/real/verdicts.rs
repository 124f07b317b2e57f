//! Who has a flow split, and for whom: rules and orders, with real kernels at both ends (seed 004).

use control::lab::{Action, Appliance, Isn, Lab, Merge, Net, Result, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::{self, MEGABYTE, SOON, server_name};

/// Lines that come back as they are, one at a time, for as long as the client has some.
const ECHO: &str = "TCP-LISTEN:7300,reuseaddr,fork";

fn appliance(lab: &Lab, keys: &str, action: Action) -> Result<Appliance> {
    let setup = Setup::relay(Merge::Established, Isn::Keyed).without_offer();
    lab.appliance(&setup.rule(&format!("{{ destination_ports = [80, 7300] }}\n{keys}"), action))
}

fn with(name: &str, keys: &str, action: Action, scenario: impl FnOnce(&Lab, &Appliance) -> Result<()>) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let appliance = appliance(&lab, keys, action)?;
        scenario(&lab, &appliance)
    });
}

/// Monitored and cut-through flows alike, each once, in the middle of a transfer.
#[test]
fn a_rule_splits_each_flow_after_so_many_bytes() {
    isolated("verdicts::a_rule_splits_each_flow_after_so_many_bytes", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        for (action, keys) in [
            (Action::Monitor, "module = \"lab\"\nsplit = { after_bytes = \"1 MiB\" }"),
            (Action::Offer, "split = { after_bytes = \"1 MiB\" }"),
        ] {
            let appliance = appliance(&lab, keys, action)?;
            let nginx = lab.server().nginx().random("small", 100_000).start()?;
            lab.client().curl(&lab.server().url(Net::V6, 80, "small")).args(["-o", "/dev/null"]).ok()?;
            drop(nginx);
            let splits = appliance.counter("splits")?;
            expect(splits == 0, "no split of a short flow", splits.to_string())?;
            traffic::download_at(&lab, Net::V4, 10 * MEGABYTE, "10M")?;
            traffic::download_at(&lab, Net::V6, 10 * MEGABYTE, "10M")?;
            let splits = appliance.counter("splits")?;
            expect(splits == 2, "one split of each long flow", splits.to_string())?;
            appliance.stop()?;
        }
        Ok(())
    });
}

/// Nothing passes; the flow is split all the same, and goes on.
#[test]
fn a_rule_splits_an_idle_flow_after_so_long() {
    let keys = "module = \"lab\"\nsplit = { after = \"300ms\" }";
    with("verdicts::a_rule_splits_an_idle_flow_after_so_long", keys, Action::Monitor, |lab, appliance| {
        let echo = lab.server().command("socat").args([ECHO, "EXEC:cat"]).spawn()?;
        lab.server().wait_for_listener(7300, SOON)?;
        let server = server_name(lab, Net::V4, 7300);
        let say = format!("(echo one; sleep 2; echo two; sleep 1) | socat -t2 - TCP4:{server}");
        let mut client = lab.client().command("sh").args(["-c", &say]).spawn()?;
        appliance.wait_for_flow(&server, "participating", SOON)?;
        let said = client.wait(SOON)?.ok()?;
        expect(said == "one\ntwo\n", "both lines", said.clone())?;
        drop(echo);
        Ok(())
    });
}

/// A monitored flow has no module; the order names one, and says when it is merged.
#[test]
fn an_order_names_the_module() {
    with("verdicts::an_order_names_the_module", "", Action::Monitor, |lab, appliance| {
        let echo = lab.server().command("socat").args([ECHO, "EXEC:cat"]).spawn()?;
        lab.server().wait_for_listener(7300, SOON)?;
        let server = server_name(lab, Net::V4, 7300);
        let say = format!("(echo one; sleep 4; echo two; sleep 1) | socat -t2 - TCP4:{server}");
        let mut client = lab.client().command("sh").args(["-c", &say]).spawn()?;
        let flow = appliance.wait_for_flow(&server, "monitored", SOON)?;
        let name = flow["client"].as_str().unwrap_or_default().to_owned();
        let refused = appliance.control(&["split", &name, &server]).run()?;
        expect(refused.stderr.contains("`--module`"), "a word about --module", refused.stderr.clone())?;
        let refused = appliance.control(&["split", &name, &server, "--module", "lap"]).run()?;
        expect(refused.code == Some(1), "no such module", refused.stderr.clone())?;
        appliance.control(&["split", &name, &server, "--module", "lab"]).ok()?;
        let flow = appliance.wait_for_flow(&server, "participating", SOON)?;
        expect(flow["module"] == "lab", "the module that was named", flow.to_string())?;
        // Neither end has said anything since.
        let waiting = appliance.control(&["merge", &name, &server]).run()?;
        let says_so = waiting.code == Some(1) && waiting.stderr.contains("waiting");
        expect(says_so, "exit code 1, and that it waits", format!("{waiting:?}"))?;
        appliance.wait_for_flow(&server, "cut_through", SOON)?;
        let said = client.wait(SOON)?.ok()?;
        expect(said == "one\ntwo\n", "both lines", said.clone())?;
        drop(echo);
        Ok(())
    });
}
