//! One flow that changes hands a thousand times (DESIGN sections 5 and 6): 1 GB in one connection, of which one segment in a
//! hundred is lost at either end.

use std::time::Duration;

use control::lab::{Endpoint, Hook, Isn, Lab, LabError, Merge, Net, Process, Result, Setup, Socket};
use control::lab::{expect, isolated};

use crate::apps::no_other_drops;
use crate::traffic::{self, SOON};
use crate::{EXECUTABLE, shutdown};

/// See there for what it does.
const SCRIPT: &str = include_str!("thousand.py");

const PORT: u16 = 7700;

/// There and back again, as often.
const ROUNDS: usize = 1000;

const BYTES: usize = 1_000_000_000;

/// Generous, for a machine that is busy with other things.
const WITHIN: Duration = Duration::from_secs(160);

/// Between two looks at the kernels' sockets.
const LOOK: Duration = Duration::from_millis(250);

/// Both ends and who orders.
struct Play {
    listener: Process,
    connector: Process,
    orders: Process,
}

impl Play {
    /// The one that `sends` is the listener or the connector.
    fn begin(lab: &Lab, net: Net, listener_sends: bool, socket: &str) -> Result<Play> {
        let file = lab.client().directory().join("rounds");
        std::fs::write(&file, "0").map_err(LabError::io("writing the number of rounds"))?;
        let (file, rounds) = (file.display().to_string(), ROUNDS.to_string());
        let address = lab.server().address(net).to_string();
        let talk = |host: &Endpoint, role: &str, sends: bool| {
            let words = [role, &address, &PORT.to_string(), if sends { "send" } else { "take" }];
            let script = host.command("python3").args(["-c", SCRIPT]).args(words);
            script.args([&BYTES.to_string(), &file, &rounds]).spawn()
        };
        let listener = talk(lab.server(), "listen", listener_sends)?;
        lab.server().wait_for_listener(PORT, SOON)?;
        let connector = talk(lab.client(), "connect", !listener_sends)?;
        let server = traffic::server_name(lab, net, PORT);
        let orders = lab.client().command("python3").args(["-c", SCRIPT, "order", socket, &server]);
        Ok(Play { listener, connector, orders: orders.args([&file, &rounds]).spawn()? })
    }

    /// Looks at the sender's and the receiver's sockets until both ends are done.
    fn watch(&mut self, sender: &Endpoint, receiver: &Endpoint) -> Result<Vec<[Socket; 2]>> {
        let (mut seen, began) = (Vec::new(), std::time::Instant::now());
        while self.listener.is_running()? && self.connector.is_running()? {
            let [mut from, mut to] = [sender.sockets(PORT)?, receiver.sockets(PORT)?];
            seen.extend(from.pop().zip(to.pop()).map(|(from, to)| [from, to]));
            expect(began.elapsed() < WITHIN, "an end", self.orders.stderr())?;
            std::thread::sleep(LOOK);
        }
        Ok(seen)
    }
}

/// What the kernels say all along: nothing that 1 % of loss would not explain.
fn are_sane(seen: &[[Socket; 2]]) -> Result<()> {
    let [last, receiver] = seen
        .last()
        .ok_or_else(|| LabError::Unexpected { expected: "sockets".into(), got: "none was seen".into() })?;
    let share = last.retransmitted as f64 / last.segments_out.max(1) as f64;
    expect(share < 0.03, "retransmissions as many as losses, 1 %", last.line.clone())?;
    let mut windows: Vec<u64> = seen.iter().map(|[from, _]| from.cwnd).collect();
    windows.sort_unstable();
    expect(windows[windows.len() / 2] >= 10, "a congestion window that is used", format!("{windows:?}"))?;
    // A timeout now and then, where the last segments before a pause are lost; never one upon the other.
    let worst = seen.iter().map(|[from, _]| from.backoff).max();
    expect(worst <= Some(2), "no timeout that is doubled again and again", format!("{worst:?}"))?;
    expect(last.rto_ms < 1000.0, "a timeout of this path", last.line.clone())?;
    expect(receiver.rcv_space >= 14_000, "a receiver's buffer that follows", receiver.line.clone())
}

fn a_thousand_times(name: &str, net: Net, listener_sends: bool) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let appliance = lab.appliance(&Setup::relay(Merge::Established, Isn::Keyed))?;
        for host in [lab.client(), lab.server()] {
            host.lose(Hook::Input, 10)?;
            // Where BBR is the kernel's default it sends again, on a path of microseconds, several times what was lost.
            host.send_with("cubic")?;
        }
        let mut play = Play::begin(&lab, net, listener_sends, &appliance.socket().display().to_string())?;
        let (sender, receiver) = match listener_sends {
            true => (lab.server(), lab.client()),
            false => (lab.client(), lab.server()),
        };
        let seen = play.watch(sender, receiver)?;
        let [sent, taken] = [play.listener.wait(SOON)?.ok()?, play.connector.wait(SOON)?.ok()?];
        expect(sent == taken, format!("SHA-256 {sent}"), taken)?;
        let told = play.orders.wait(SOON)?;
        // The flow may end while its last merge is still under way.
        let stats = appliance.stats()?;
        let splits = stats["counters"]["splits"].as_u64().unwrap_or(0);
        expect(splits >= ROUNDS as u64, "a thousand splits", format!("{splits}; {}", told.stderr))?;
        are_sane(&seen)?;
        no_other_drops(&stats)?;
        let [last, _] = seen.last().expect("sockets were seen");
        println!("{name}: {splits} splits, {} merges undone", stats["counters"]["merges_undone"]);
        println!("{}", last.line);
        shutdown::check(appliance.stop()?)
    });
}

#[test]
fn over_ipv4_a_server_sends() {
    a_thousand_times("thousand::over_ipv4_a_server_sends", Net::V4, true);
}

#[test]
fn over_ipv6_a_client_sends() {
    a_thousand_times("thousand::over_ipv6_a_client_sends", Net::V6, false);
}
