//! `quadrille demo`: a lab of two namespaces, real clients and servers, and the appliance between them, shown step by
//! step. Everything that is printed has just happened; a step that does not turn out as told fails the demo.

mod deciding;
mod narrator;
mod scenes;

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::lab::{Entered, Isolated, Lab, Output, Reexec};

use narrator::Narrator;

/// The whole demo takes a fraction of this.
const DEADLINE: Duration = Duration::from_secs(300);

/// Bytes of the large download.
const LARGE: usize = 100 << 20;

/// Runs the demo in namespaces of its own and leaves nothing behind.
pub fn run() -> anyhow::Result<()> {
    let request = Reexec { arguments: vec!["demo".into()], timeout: DEADLINE, output: Output::Shown };
    match Isolated::enter_or_reexec(&request)? {
        Entered::Inside(isolated) => inside(isolated),
        Entered::Finished(finished) if finished.success() => Ok(()),
        Entered::Finished(finished) => bail!("the demo ended with {}", finished.status),
    }
}

fn inside(isolated: Isolated) -> anyhow::Result<()> {
    let mut narrator = Narrator::start();
    narrator.title("Quadrille between two network namespaces");
    narrator.picture(&[
        "  client namespace                appliance                server namespace",
        "  10.77.0.1  fd77::1   ── qc ── [ quadrille ] ── qs ──   10.77.0.2  fd77::2",
        "  curl, ping, nc                 DPDK af_packet            nginx, nc, nft",
    ]);
    let executable = std::env::current_exe().context("the own executable has no path")?;
    let lab = Lab::builder(isolated, executable).vlan_where_possible().build()?;
    let nginx = lab
        .server()
        .nginx()
        .port(80)
        .port(8080)
        .port(deciding::COUNTED)
        .port(deciding::SPOKEN)
        .text("hello", "hello through the appliance\n")
        .random("100M", LARGE)
        .start()?;
    narrator.note("two namespaces, two veth pairs and nginx with a file of 100 MiB are up");
    let appliance = scenes::start_appliance(&lab)?;
    narrator.note("the appliance is ready: one worker, one control core, no huge pages, no NIC");

    scenes::crossing(&mut narrator, &lab)?;
    scenes::suspended(&mut narrator, &lab, &appliance)?;
    scenes::merged(&mut narrator, &lab, &appliance)?;
    scenes::download(&mut narrator, &lab, &appliance, &nginx)?;
    scenes::refusals(&mut narrator, &lab)?;
    scenes::rules(&mut narrator, &lab)?;
    deciding::rate(&mut narrator, &lab)?;
    deciding::another_server(&mut narrator, &lab, &appliance)?;
    deciding::client_first(&mut narrator, &lab)?;
    deciding::program(&mut narrator, &lab)?;
    scenes::families(&mut narrator, &lab)?;
    deciding::reload(&mut narrator, &lab, &appliance)?;
    scenes::stop(&mut narrator, appliance)?;
    narrator.finish()
}
