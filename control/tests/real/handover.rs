//! Flows that change hands all the time, with data in flight, while real kernels talk (DESIGN sections 5 and 6).

use control::lab::{Appliance, Hook, Isn, Lab, Merge, Net, Process, Result, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::{self, MEGABYTE, SOON};

/// See there for what it does.
const SCRIPT: &str = include_str!("handover.py");

/// Somebody who splits and merges whatever there is, until this is dropped.
fn orders(lab: &Lab, appliance: &Appliance, pause: &str) -> Result<Process> {
    let socket = appliance.socket().display().to_string();
    let mut process = lab.client().command("python3").args(["-c", SCRIPT, &socket, "1", pause]).spawn()?;
    process.wait_for_text("ordering", SOON)?;
    Ok(process)
}

/// Runs traffic while flows change hands, at least so often.
fn during(name: &str, isn: Isn, least: u64, traffic: impl FnOnce(&Lab) -> Result<()>) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let appliance = lab.appliance(&Setup::relay(Merge::Established, isn))?;
        let mut orders = orders(&lab, &appliance, if least < 1000 { "0.02" } else { "0.002" })?;
        traffic(&lab)?;
        expect(orders.is_running()?, "orders to the end", orders.stderr())?;
        let splits = appliance.counter("splits")?;
        expect(splits >= least, format!("at least {least} splits"), splits.to_string())
    });
}

#[test]
fn a_large_file_while_flows_change_hands() {
    during("handover::a_large_file_while_flows_change_hands", Isn::Keyed, 20, |lab| {
        traffic::download(lab, Net::V4, 200 * MEGABYTE)?;
        traffic::upload(lab, Net::V6, 200 * MEGABYTE)
    });
}

#[test]
fn losses_while_flows_change_hands() {
    during("handover::losses_while_flows_change_hands", Isn::Mirror, 20, |lab| {
        lab.client().lose(Hook::Input, 10)?;
        lab.server().lose(Hook::Input, 10)?;
        traffic::download(lab, Net::V4, 150 * MEGABYTE)?;
        traffic::upload(lab, Net::V6, 150 * MEGABYTE)
    });
}

/// 1 GB in one connection at 20 MB/s, of which one segment in a hundred is lost at either end.
#[test]
#[ignore = "takes a minute, and needs a machine that has nothing else to do"]
fn one_flow_changes_hands_a_thousand_times() {
    during("handover::one_flow_changes_hands_a_thousand_times", Isn::Keyed, 1000, |lab| {
        lab.client().lose(Hook::Input, 10)?;
        lab.server().lose(Hook::Input, 10)?;
        traffic::download_at(lab, Net::V4, 1000 * MEGABYTE, "20M")
    });
}
