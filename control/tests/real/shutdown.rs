//! SIGTERM: exit code 0, and every packet buffer back in its pool.

use control::lab::{Finished, Isn, Lab, LabError, Merge, Net, Pmd, Result, Setup, expect, isolated};

use crate::EXECUTABLE;
use crate::traffic::{Conversation, MEGABYTE, download};

#[test]
fn clean_when_idle() {
    isolated("shutdown::clean_when_idle", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        // Twice: what the first leaves behind would be in the second one's way.
        check(lab.appliance(&Setup::default())?.stop()?)?;
        check(lab.appliance(&Setup::default())?.stop()?)
    });
}

#[test]
fn clean_after_traffic_over_xdp() {
    isolated("shutdown::clean_after_traffic_over_xdp", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let appliance = lab.appliance(&Setup::relay(Merge::Established, Isn::Keyed).pmd(Pmd::AfXdp))?;
        download(&lab, Net::V4, 10 * MEGABYTE)?;
        check(appliance.stop()?)
    });
}

#[test]
fn clean_with_connections_on_both_paths() {
    isolated("shutdown::clean_with_connections_on_both_paths", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let appliance = lab.appliance(&Setup::relay(Merge::AfterBytes(4096), Isn::Mirror))?;
        let _participating = Conversation::open(&lab, Net::V4, 7000, 100)?;
        let _merged = Conversation::open(&lab, Net::V6, 7001, 10_000)?;
        lab.server().silence(7002)?;
        let address = lab.server().address(Net::V4).to_string();
        let _suspended = lab.client().command("nc").args(["-n", &address, "7002"]).spawn()?;
        check(appliance.stop()?)
    });
}

/// Its last words include `buffers: N of N returned`.
pub fn check(stopped: Finished) -> Result<()> {
    let output = format!("{}{}", stopped.stdout, stopped.stderr);
    if stopped.code != Some(0) {
        return Err(LabError::Failed { command: stopped.command, status: stopped.status, output });
    }
    let mut lines = output.lines().rev();
    let all = lines.find_map(returned).is_some_and(|(returned, all)| returned == all && all > 0);
    expect(all, "`buffers: N of N returned`", output)
}

fn returned(line: &str) -> Option<(u64, u64)> {
    let (returned, rest) = line.split_once("buffers: ")?.1.split_once(" of ")?;
    Some((returned.trim().parse().ok()?, rest.strip_suffix(" returned")?.trim().parse().ok()?))
}

#[test]
fn last_words_are_read() {
    assert_eq!(returned("INFO buffers: 16384 of 16384 returned"), Some((16384, 16384)));
    assert_eq!(returned("buffers: 3 of 4 returned"), Some((3, 4)));
    assert_eq!(returned("no buffers"), None);
}
