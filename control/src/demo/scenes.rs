//! The scenes of the demo, each with real clients and servers.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Appliance, Connected, Lab, Net, Nginx, sha256, wait_until};

use super::narrator::{Narrator, seconds};

/// Ports of the scenes.
const REFUSING: u16 = 81;
const UNREACHABLE: u16 = 82;
const SILENT: u16 = 83;
const DROPPED: u16 = 84;
const REJECTED: u16 = 85;
const PROHIBITED: u16 = 86;
const AUTHORISED: u16 = 8080;

pub(super) const WAIT: Duration = Duration::from_secs(10);
/// How long a client of the demo waits for an answer that does not come.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The socket of the appliance, and that of its delayed listener.
fn sockets(lab: &Lab) -> [PathBuf; 2] {
    ["quadrille.sock", "program.sock"].map(|name| lab.client().directory().join(name))
}

/// The configuration with a rule for every scene.
pub(super) fn config(lab: &Lab) -> String {
    let [management, program] = sockets(lab).map(|path| path.display().to_string());
    include_str!("appliance.toml").replace("@SOCKET@", &management).replace("@PROGRAM@", &program)
}

/// Where programs connect to.
pub(super) fn program_socket(lab: &Lab) -> PathBuf {
    let [_, program] = sockets(lab);
    program
}

/// The appliance.
pub(super) fn start_appliance(lab: &Lab) -> anyhow::Result<Appliance> {
    let [management, _] = sockets(lab);
    Ok(lab.appliance_from(&config(lab), management)?)
}

/// What the program that called connect() learns.
pub(super) fn words(seen: Connected, took: Duration) -> String {
    let words = match seen {
        Connected::Yes => "connected",
        Connected::Refused => "connection refused",
        Connected::Unreachable => "unreachable",
        Connected::Silence => "no answer",
    };
    format!("client: {words}, {}", seconds(took))
}

/// What is not intercepted TCP crosses.
pub(super) fn crossing(narrator: &mut Narrator, lab: &Lab) -> anyhow::Result<()> {
    narrator.scene("What is not intercepted crosses: ARP and neighbour discovery, ping, UDP");
    for net in [Net::V4, Net::V6] {
        let server = lab.server().address(net);
        let ping = lab.client().command("ping").words("-n -c 3 -i 0.2 -W 1").arg(server.to_string()).run()?;
        let last = ping.stdout.lines().last().unwrap_or_default().to_owned();
        narrator.check(&format!("ping {server}"), ping.success(), &last);
    }
    let listener = lab.server().command("nc").words("-u -l -n -W 1 10.77.0.2 5353").spawn()?;
    let send = || lab.client().command("nc").words("-u -n -w 1 10.77.0.2 5353").stdin("a datagram\n").run();
    let mut got = String::new();
    for _ in 0..3 {
        send()?;
        got = listener.stdout();
        if !got.is_empty() {
            break;
        }
    }
    narrator.check("a UDP datagram arrives as it was sent", got == "a datagram\n", got.trim());
    Ok(())
}

/// The client's SYN is held while the server says nothing.
pub(super) fn suspended(narrator: &mut Narrator, lab: &Lab, appliance: &Appliance) -> anyhow::Result<()> {
    narrator.scene("Delayed acceptance: the server is silent, so the client hears nothing either");
    lab.server().silence(SILENT)?;
    let capture = lab.client().capture(&format!("tcp port {SILENT}"))?;
    let server = format!("10.77.0.2:{SILENT}");
    let nc = lab.client().command("nc").words("-n -v -z -w 2 10.77.0.2").arg(SILENT.to_string());
    let mut client = nc.spawn()?;
    let flow = appliance.wait_for_flow(&server, "suspended", WAIT)?;
    narrator.check("the flow is suspended while the SYN waits at the server", true, &short(&flow));
    show_flows(narrator, appliance)?;
    let finished = client.wait(PATIENCE + WAIT)?;
    narrator.check(
        "the client's connect() times out by itself",
        finished.stderr.contains("timed out"),
        &seconds(finished.elapsed),
    );
    let answers = capture.matching("src host 10.77.0.2")?;
    narrator.check("no packet was sent to the client", answers.is_empty(), answers.trim());
    Ok(())
}

/// A connection is relayed, then merged when the response has been seen.
pub(super) fn merged(narrator: &mut Narrator, lab: &Lab, appliance: &Appliance) -> anyhow::Result<()> {
    narrator.scene("Proxy, relay, merge: `quadrille flows` before and after");
    let mut client = lab.client().command("nc").words("-n 10.77.0.2 80").spawn()?;
    let before = appliance.wait_for_flow("10.77.0.2:80", "participating", WAIT)?;
    narrator.check("both handshakes are done, both legs end in our TCP stack", true, &short(&before));
    show_flows(narrator, appliance)?;
    client.write(b"GET /hello HTTP/1.1\r\nHost: demo\r\n\r\n")?;
    client.wait_for_text("hello through the appliance", WAIT)?;
    let after = appliance.wait_for_flow("10.77.0.2:80", "cut_through", WAIT)?;
    narrator.check("after the first response the worker alone carries the flow", true, &short(&after));
    show_flows(narrator, appliance)?;
    narrator.note(
        "Δ C2S is added to the client's sequence numbers, Δ S2C to the server's, and taken off their acks",
    );
    client.write(b"GET /hello HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    client.close_stdin();
    let finished = client.wait(WAIT)?;
    let responses = finished.stdout.matches("hello through the appliance").count();
    narrator.check("a second request goes through the connection object", responses == 2, "");
    Ok(())
}

/// 100 MiB through the connection object, with deltas that are not zero.
pub(super) fn download(
    narrator: &mut Narrator,
    lab: &Lab,
    appliance: &Appliance,
    nginx: &Nginx,
) -> anyhow::Result<()> {
    narrator.scene("A download of 100 MiB, its SHA-256 taken on both sides");
    let target = lab.client().directory().join("100M");
    let url = lab.server().url(Net::V4, 80, "100M");
    let curl = lab.client().curl(&url).words("--limit-rate 100M --max-time 120 --output").arg(&target);
    let mut transfer = curl.timeout(Duration::from_secs(130)).spawn()?;
    let under_way =
        |flow: &&Value| flow["path"] == "cut_through" && flow["bytes_s2c"].as_u64() > Some(1 << 20);
    wait_until("the download to be cut through", WAIT, || {
        Ok(appliance.flows()?.iter().any(|flow| under_way(&flow)))
    })?;
    show_flows(narrator, appliance)?;
    let finished = transfer.wait(Duration::from_secs(130))?;
    let rate = super::LARGE as f64 / (1 << 20) as f64 / finished.elapsed.as_secs_f64();
    narrator.check(
        "curl has the file",
        finished.success(),
        &format!("{} ({rate:.0} MiB/s)", seconds(finished.elapsed)),
    );
    let (sent, received) = (nginx.sha256("100M")?, sha256(&target)?);
    narrator.note(&format!("server {sent}"));
    narrator.note(&format!("client {received}"));
    narrator.check("both sums are the same", sent == received, "");
    Ok(())
}

/// The client sees what the server or the network says.
pub(super) fn refusals(narrator: &mut Narrator, lab: &Lab) -> anyhow::Result<()> {
    narrator.scene("Refusals reach the client as what they are");
    lab.server().reject(UNREACHABLE, "host-unreachable")?;
    for net in [Net::V4, Net::V6] {
        let server = lab.server().address(net);
        let cases = [
            (REFUSING, Connected::Refused, "nobody listens: RST"),
            (UNREACHABLE, Connected::Unreachable, "the network refuses: ICMP, host unreachable"),
        ];
        for (port, expected, told) in cases {
            let (seen, took) = lab.client().connect(server, port, PATIENCE)?;
            narrator.check(&format!("{server} port {port}: {told}"), seen == expected, &words(seen, took));
        }
    }
    Ok(())
}

/// Rules decide without any server.
pub(super) fn rules(narrator: &mut Narrator, lab: &Lab) -> anyhow::Result<()> {
    narrator.scene("Rules: drop, reject, and a destination for authorised sources only");
    let server = lab.server().address(Net::V4);
    let cases = [
        (DROPPED, Connected::Silence, "rule `drop`: silence"),
        (REJECTED, Connected::Refused, "rule `reject`: RST"),
        (PROHIBITED, Connected::Unreachable, "rule `reject` with \"admin-prohibited\": ICMP"),
        (AUTHORISED, Connected::Refused, "10.77.0.1 is not authorised for port 8080: RST"),
    ];
    for (port, expected, told) in cases {
        let (seen, took) = lab.client().connect(server, port, PATIENCE)?;
        narrator.check(told, seen == expected, &words(seen, took));
    }
    lab.client().ip("address add 10.77.0.9/24 dev eth0")?;
    let url = lab.server().url(Net::V4, AUTHORISED, "hello");
    let allowed = lab.client().curl(&url).words("--interface 10.77.0.9").run()?;
    narrator.check("10.77.0.9 is authorised: the page arrives", allowed.success(), allowed.stdout.trim());
    Ok(())
}

/// IPv6 and VLAN tags are no second class.
pub(super) fn families(narrator: &mut Narrator, lab: &Lab) -> anyhow::Result<()> {
    narrator.scene("The same over IPv6, and inside of a VLAN");
    let nets = [(Net::V6, "IPv6"), (Net::Vlan4, "IPv4 in VLAN 77"), (Net::Vlan6, "IPv6 in VLAN 77")];
    for (net, told) in nets.into_iter().filter(|(net, _)| lab.has_vlan() || !net.is_tagged()) {
        let got = lab.client().curl(&lab.server().url(net, 80, "hello")).run()?;
        narrator.check(told, got.success(), got.stdout.trim());
    }
    if !lab.has_vlan() {
        narrator.note("no VLAN: this kernel has no 802.1Q, and what stands in for it needs root");
    }
    Ok(())
}

/// The end: all buffers back, all drops named.
pub(super) fn stop(narrator: &mut Narrator, appliance: Appliance) -> anyhow::Result<()> {
    narrator.scene("SIGTERM: its counters, and every packet buffer back in its pool");
    let finished = appliance.stop()?;
    narrator.output(&finished.stdout);
    let last = finished.stdout.lines().last().unwrap_or_default();
    narrator.check("the appliance ends with exit code 0", finished.success(), last);
    Ok(())
}

pub(super) fn show_flows(narrator: &Narrator, appliance: &Appliance) -> anyhow::Result<()> {
    narrator.output(&appliance.control(&["flows"]).ok()?);
    Ok(())
}

pub(super) fn short(flow: &Value) -> String {
    let text = |key: &str| flow[key].as_str().unwrap_or("?").to_owned();
    format!(
        "{} -> {} {}, Δ {}/{}",
        text("client"),
        text("server"),
        text("path"),
        flow["delta_c2s"],
        flow["delta_s2c"]
    )
}
