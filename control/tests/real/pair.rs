//! Two appliances in line, each a process of its own: the first passes connections on and the second decides; or both are
//! the ends of a tunnel. What the client hears comes from its server through both.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use control::lab::{
    Action, Appliance, Command, Connected, Lab, LabError, Net, Result, Setup, expect, isolated, sha256,
    wait_until,
};

use crate::EXECUTABLE;
use crate::traffic::{MEGABYTE, SOON, server_name};

/// The wire between them: `qm` is the first one's device, `qn` the second one's.
const BETWEEN: [&str; 2] = ["qm", "qn"];
const PORT: u16 = 7300;
const REFUSED: u16 = 81;
const UNREACHABLE: u16 = 82;
const SILENT: u16 = 84;
/// The far end of the tunnel: nobody has these addresses, they only lead through it.
const FAR_END: [&str; 2] = ["192.0.2.1:500", "[2001:db8::1]:500"];

fn far_end(net: Net) -> &'static str {
    FAR_END[usize::from(net == Net::V6)]
}

/// The two of them, the client's first.
fn between(lab: &Lab, near: &Setup, far: &Setup) -> Result<[Appliance; 2]> {
    let [m, n] = BETWEEN;
    let ip = |line: String| Command::new("ip").words(&line).ok().map(drop);
    let queues = "numtxqueues 2 numrxqueues 2";
    ip(format!("link add {m} {queues} type veth peer name {n} {queues}"))?;
    for device in BETWEEN {
        ip(format!("link set {device} promisc on up"))?;
        Command::new("ethtool").words(&format!("-K {device} tx off tso off gso off gro off")).ok()?;
    }
    Ok([
        lab.appliance_from(&near_config(lab, near), "/run/near.sock".into())?,
        lab.appliance_from(&far_config(lab, far), "/run/far.sock".into())?,
    ])
}

fn near_config(lab: &Lab, setup: &Setup) -> String {
    lab.config(setup).replace("iface=qs", "iface=qm").replace("quadrille-lab/quadrille.sock", "near.sock")
}

fn far_config(lab: &Lab, setup: &Setup) -> String {
    lab.config(setup).replace("iface=qc", "iface=qn").replace("quadrille-lab/quadrille.sock", "far.sock")
}

/// Uploads a file to the client's own server, looks at the flow while it is open, and compares the digests.
fn upload(lab: &Lab, net: Net, look: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let (source, copy) = (lab.client().directory().join("upload"), lab.server().directory().join("copy"));
    control::lab::files::write_random(&source, 20 * MEGABYTE, 77)?;
    let family = if net == Net::V4 { 4 } else { 6 };
    let listen = format!("TCP{family}-LISTEN:{PORT},reuseaddr");
    let create = format!("CREATE:{}", copy.display());
    let mut sink = lab.server().command("socat").args(["-u", &listen, &create]).spawn()?;
    lab.server().wait_for_listener(PORT, SOON)?;
    let server = server_name(lab, net, PORT);
    let mut client =
        lab.client().command("socat").args(["-u", "-", &format!("TCP{family}:{server}")]).spawn()?;
    let file = fs::read(&source).map_err(LabError::io("reading the upload"))?;
    client.write(&file)?;
    look(&server)?;
    client.close_stdin();
    client.wait(SOON * 3)?.ok()?;
    sink.wait(SOON)?.ok()?;
    let (sent, got) = (sha256(&source)?, sha256(&copy)?);
    expect(sent == got, format!("SHA-256 {sent}"), got)
}

/// A merged flow without deltas.
fn merged(appliance: &Appliance, server: &str, far_server: Option<&str>) -> Result<()> {
    let flow = appliance.wait_for_flow(server, "cut_through", SOON)?;
    let is_as_wanted =
        flow["delta_c2s"] == 0 && flow["delta_s2c"] == 0 && flow["far_server"].as_str() == far_server;
    expect(is_as_wanted, format!("deltas of 0, far server {far_server:?}"), flow.to_string())
}

fn outcome(lab: &Lab, address: IpAddr, port: u16, wanted: Connected) -> Result<()> {
    let (got, after) = lab.client().connect(address, port, Duration::from_secs(3))?;
    expect(
        got == wanted,
        format!("{wanted:?} from {address} port {port}"),
        format!("{got:?} after {after:?}"),
    )
}

/// What a server can say without accepting, and what it says late, is what the client hears. `held` is where a flow to a
/// server of that name is seen while that one is silent.
fn refusals(lab: &Lab, held: impl Fn(Net, u16) -> Result<()>) -> Result<()> {
    lab.server().reject(UNREACHABLE, "host-unreachable")?;
    for net in Net::UNTAGGED {
        let address = lab.server().address(net);
        outcome(lab, address, REFUSED, Connected::Refused)?;
        outcome(lab, address, UNREACHABLE, Connected::Unreachable)?;
    }
    lab.server().clear_rules()?;
    for net in Net::UNTAGGED {
        lab.server().silence(SILENT)?;
        let answers = lab.client().capture(&format!("tcp and src port {SILENT}"))?;
        outcome(lab, lab.server().address(net), SILENT, Connected::Silence)?;
        held(net, SILENT)?;
        let heard = answers.text()?;
        expect(heard.trim().is_empty(), "nothing from the silent port", heard)?;
        lab.server().clear_rules()?;
    }
    Ok(())
}

/// The first bypasses or forwards, the second is offered all.
fn in_line(name: &str, first: &Setup) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let [one, two] = between(&lab, first, &Setup::default())?;
        for net in Net::UNTAGGED {
            lab.client().wait_for_echo(lab.server().address(net), SOON)?;
            upload(&lab, net, |server| {
                one.wait_for_flow(server, "bypassed", SOON)?;
                merged(&two, server, None)
            })?;
        }
        refusals(&lab, |net, port| {
            let server = server_name(&lab, net, port);
            one.wait_for_flow(&server, "bypassed", SOON)?;
            two.wait_for_flow(&server, "suspended", SOON).map(drop)
        })?;
        expect(two.counter("merges")? == 2, "the second has merged two", two.stats()?.to_string())?;
        expect(one.counter("flows_offered")? == 0, "the first has decided nothing", one.stats()?.to_string())
    });
}

#[test]
fn the_first_bypasses_and_the_second_decides() {
    let first = Setup::default().without_offer().rule("{ source_ports = \"1-65535\" }", Action::Bypass);
    in_line("pair::the_first_bypasses_and_the_second_decides", &first);
}

#[test]
fn the_first_forwards_and_the_second_decides() {
    let first =
        Setup::default().without_offer().forward("{ source_ports = \"1-65535\" }", "{ port = \"server\" }");
    in_line("pair::the_first_forwards_and_the_second_decides", &first);
}

fn write_key(path: &str, byte: u8) -> Result<()> {
    fs::write(path, [byte; 32]).map_err(LabError::io(format!("writing {path}")))?;
    fs::set_permissions(Path::new(path), fs::Permissions::from_mode(0o600))
        .map_err(LabError::io(format!("protecting {path}")))
}

const KEYS: [&str; 2] = ["/run/tunnel.key", "/run/tunnel-next.key"];

/// What goes to the far end itself is left alone: somebody tries the tunnel without a key.
fn near_end(key_file: &str) -> Setup {
    let [v4, v6] = FAR_END;
    let keys = format!("server = [{v4:?}, {v6:?}]\ntunnel = {{ role = \"enter\", key_file = {key_file:?} }}");
    Setup::default().rule("{ destination_ports = 500 }", Action::Bypass).module_keys(&keys)
}

fn far_end_setup(key_files: &[&str]) -> Setup {
    let keys = format!("tunnel = {{ role = \"leave\", key_file = {key_files:?} }}");
    let matches = "{ destination = [\"192.0.2.1\", \"2001:db8::1\"], destination_ports = 500 }";
    Setup::default().without_offer().rule(matches, Action::Offer).module_keys(&keys)
}

fn tunnel(lab: &Lab) -> Result<[Appliance; 2]> {
    write_key(KEYS[0], 1)?;
    write_key(KEYS[1], 2)?;
    let pair = between(lab, &near_end(KEYS[0]), &far_end_setup(&KEYS[..1]))?;
    Net::UNTAGGED
        .into_iter()
        .try_for_each(|net| lab.client().wait_for_echo(lab.server().address(net), SOON))?;
    Ok(pair)
}

#[test]
fn a_tunnel_is_merged_at_both_ends_and_the_server_sees_none_of_it() {
    isolated("pair::a_tunnel_is_merged_at_both_ends_and_the_server_sees_none_of_it", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let [near, far] = tunnel(&lab)?;
        for net in Net::UNTAGGED {
            let seen = lab.server().capture(&format!("tcp and dst port {PORT}"))?;
            upload(&lab, net, |server| {
                merged(&near, server, Some(far_end(net)))?;
                merged(&far, far_end(net), Some(server))
            })?;
            let seen = seen.text()?;
            let syn = seen.lines().find(|line| line.contains("Flags [S]")).unwrap_or_default();
            let (client, server) = (lab.client().address(net).to_string(), server_name(&lab, net, PORT));
            expect(syn.contains(&client), format!("a SYN from {client} to {server}"), &seen)?;
            expect(!syn.contains("exp") && !syn.contains("-253"), "no option of the tunnel", syn)?;
            // Beside a server's IPv6 address there was no room for them between the ends.
            expect(syn.contains("TS val") == (net == Net::V4), "timestamps over IPv4 only", syn)?;
        }
        for end in [&near, &far] {
            expect(end.counter("merges")? == 2, "two merges", end.stats()?.to_string())?;
        }
        Ok(())
    });
}

#[test]
fn what_a_server_says_comes_through_a_tunnel() {
    isolated("pair::what_a_server_says_comes_through_a_tunnel", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let [near, far] = tunnel(&lab)?;
        refusals(&lab, |net, port| {
            near.wait_for_flow(&server_name(&lab, net, port), "suspended", SOON)?;
            far.wait_for_flow(far_end(net), "suspended", SOON).map(drop)
        })
    });
}

/// Who has no key, or another one, gets nothing and is counted; a new key takes the place of an old one without a gap.
#[test]
fn a_tunnel_takes_only_what_is_signed_and_its_keys_can_be_replaced() {
    isolated("pair::a_tunnel_takes_only_what_is_signed_and_its_keys_can_be_replaced", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let [near, far] = tunnel(&lab)?;
        let counted =
            |name, least| wait_until(&format!("{least} {name}"), SOON, || Ok(far.counter(name)? >= least));
        for net in Net::UNTAGGED {
            let end: SocketAddr = far_end(net).parse().expect("an address and a port");
            let server = lab.server().address(net);
            lab.client().ip(&format!("route replace {} via {server}", end.ip()))?;
            outcome(&lab, end.ip(), end.port(), Connected::Silence)?;
        }
        counted("tunnel_unsigned", 2)?;
        let all = |wanted| {
            Net::UNTAGGED
                .into_iter()
                .try_for_each(|net| outcome(&lab, lab.server().address(net), REFUSED, wanted))
        };
        // Another key at the near end alone.
        near.reload(&near_config(&lab, &near_end(KEYS[1])))?.ok()?;
        all(Connected::Silence)?;
        counted("tunnel_forged", 2)?;
        // The far end takes both, whoever signs with which.
        far.reload(&far_config(&lab, &far_end_setup(&KEYS)))?.ok()?;
        all(Connected::Refused)?;
        near.reload(&near_config(&lab, &near_end(KEYS[0])))?.ok()?;
        all(Connected::Refused)
    });
}

/// Two workers at each end, and no RSS: for half of the connections the near end finds another client port, by which answers
/// come back to the flow's worker. That one is signed, and the server sees it.
#[test]
fn a_tunnel_between_two_workers_each() {
    isolated("pair::a_tunnel_between_two_workers_each", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).queues(2).build()?;
        let [near, far] = tunnel(&lab)?;
        // Ports are drawn by the client's kernel: until there has been one of each kind, which takes a few.
        let (mut kept, mut another, mut connections) = (false, false, 0);
        while connections < 40 && !(kept && another && connections > 1) {
            upload(&lab, Net::UNTAGGED[connections % 2], |server| {
                near.wait_for_flow(server, "cut_through", SOON)?;
                for flow in near.flows()? {
                    *(if flow["far_client"].is_string() { &mut another } else { &mut kept }) = true;
                }
                Ok(())
            })?;
            connections += 1;
        }
        expect(kept && another, "both kinds of client port", format!("{kept}, {another} of {connections}"))?;
        for end in [&near, &far] {
            let merges = end.counter("merges")?;
            expect(merges == connections as u64, format!("{connections} merges"), merges.to_string())?;
        }
        expect(far.counter("tunnel_forged")? == 0, "nothing forged", far.stats()?.to_string())
    });
}
