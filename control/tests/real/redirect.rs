//! Connections that go on to another server, under another client address, or by another next hop: a third host behind
//! the server's wire, with a MAC address of its own, gets them, and the client notices nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use control::lab::{
    Appliance, Command, Connected, Isn, Lab, Merge, Net, Process, Result, Setup, expect, isolated, sha256,
    wait_until,
};

use crate::EXECUTABLE;
use crate::traffic::{MEGABYTE, SOON};

/// The third host's namespace, MAC address and host number.
const OTHER: &str = "other";
const MAC: &str = "02:00:00:00:00:99";
const OTHER_HOST: u8 = 9;
/// Host number of the appliance's own address.
const SERVICE_HOST: u8 = 5;
const PORT: u16 = 7300;
const OTHER_PORT: u16 = 7399;
/// See there for what its commands do.
const PEER: &str = include_str!("peer.py");

fn other(program: &str) -> Command {
    Command::in_namespace(OTHER, program)
}

fn other_ip(line: &str) -> Result<()> {
    other("ip").words(line).ok().map(drop)
}

/// A third host on the wire of the server's `device`, with addresses in the untagged networks.
fn add_other(lab: &Lab, device: &str) -> Result<()> {
    Command::new("ip").words(&format!("netns add {OTHER}")).ok()?;
    let link = format!("link add link {device} name o0 address {MAC} type macvlan mode bridge");
    lab.server().ip(&link)?;
    lab.server().ip(&format!("link set o0 netns {OTHER}"))?;
    other("ethtool").words("-K o0 tx off tso off gso off gro off").ok()?;
    for scope in ["all", "default", "o0"] {
        let settings =
            [("ipv6", "disable_ipv6", "0"), ("ipv6", "accept_dad", "0"), ("ipv4", "arp_ignore", "1")];
        for (family, setting, value) in settings {
            let script = format!("echo {value} > /proc/sys/net/{family}/conf/{scope}/{setting}");
            other("sh").arg("-c").arg(script).ok()?;
        }
    }
    other_ip("link set lo up")?;
    other_ip("link set o0 up")?;
    for net in Net::UNTAGGED {
        let nodad = if net == Net::V6 { "nodad" } else { "" };
        other_ip(&format!("address add {}/{} dev o0 {nodad}", net.host(OTHER_HOST), net.prefix()))?;
    }
    Ok(())
}

/// Receives one connection at `address` into `copy`.
fn sink(address: IpAddr, port: u16, copy: &Path) -> Result<Process> {
    let listen = match address {
        IpAddr::V4(ip) => format!("TCP4-LISTEN:{port},bind={ip},reuseaddr"),
        IpAddr::V6(ip) => format!("TCP6-LISTEN:{port},bind=[{ip}],reuseaddr"),
    };
    let sink = other("socat").arg("-u").arg(listen).arg(format!("CREATE:{}", copy.display())).spawn()?;
    let sockets = other("ss").words("-Hltn").arg(format!("sport = :{port}"));
    wait_until("a listener on the third host", SOON, || Ok(!sockets.ok()?.trim().is_empty()))?;
    Ok(sink)
}

/// Uploads a file to the client's own server, looks at the flow while it is open, and compares the digests.
fn upload(
    lab: &Lab,
    net: Net,
    (at, port): (IpAddr, u16),
    bytes: usize,
    look: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let (source, copy) = (lab.client().directory().join("upload"), lab.server().directory().join("copy"));
    control::lab::files::write_random(&source, bytes, 77)?;
    let mut sink = sink(at, port, &copy)?;
    let family = if net == Net::V4 { 4 } else { 6 };
    let target = format!("TCP{family}:{}", SocketAddr::new(lab.server().address(net), PORT));
    let mut client = lab.client().command("socat").args(["-u", "-", &target]).spawn()?;
    let file = std::fs::read(&source).map_err(control::lab::LabError::io("reading the upload"))?;
    client.write(&file)?;
    look()?;
    client.close_stdin();
    client.wait(SOON * 3)?.ok()?;
    sink.wait(SOON)?.ok()?;
    let (sent, got) = (sha256(&source)?, sha256(&copy)?);
    expect(sent == got, format!("SHA-256 {sent}"), got)
}

/// No frame was dropped for a reason that the lab has not given.
fn nothing_dropped(appliance: &Appliance) -> Result<()> {
    let stats = appliance.stats()?;
    let counters = stats["counters"].as_object().cloned().unwrap_or_default();
    let expected = ["drop_flow_gone", "drop_stray"];
    let drop = counters.iter().find(|(name, count)| {
        name.starts_with("drop_") && !expected.contains(&name.as_str()) && count.as_u64() != Some(0)
    });
    expect(drop.is_none(), "no unexplained drop", format!("{drop:?}"))
}

fn to_other_server(merge: Merge, isn: Isn, replaced: bool) -> Setup {
    let server = |net: Net| format!("\"{}\"", SocketAddr::new(net.host(OTHER_HOST), OTHER_PORT));
    let client = |net: Net| format!("\"{}\"", net.host(SERVICE_HOST));
    let clients =
        if replaced { format!("[{}, {}]", client(Net::V4), client(Net::V6)) } else { "\"keep\"".to_owned() };
    Setup::relay(merge, isn).module_keys(&format!(
        "server = [{}, {}]\nclient = {clients}\nnext_hop = {{ mac = \"{MAC}\" }}",
        server(Net::V4),
        server(Net::V6)
    ))
}

/// Both families, both paths, the client's address kept and replaced.
fn goes_to_another_server(name: &str, merge: Merge, isn: Isn) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        add_other(&lab, "eth0")?;
        for replaced in [false, true] {
            let appliance = lab.appliance(&to_other_server(merge, isn, replaced))?;
            for net in Net::UNTAGGED {
                let path = if merge == Merge::Never { "participating" } else { "cut_through" };
                let at = (net.host(OTHER_HOST), OTHER_PORT);
                upload(&lab, net, at, 20 * MEGABYTE, || {
                    let own = SocketAddr::new(lab.server().address(net), PORT).to_string();
                    let flow = appliance.wait_for_flow(&own, path, SOON)?;
                    let far = SocketAddr::new(net.host(OTHER_HOST), OTHER_PORT).to_string();
                    expect(flow["far_server"] == far, format!("far server {far}"), flow.to_string())?;
                    let client = flow["far_client"].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
                    let wanted = replaced.then(|| net.host(SERVICE_HOST));
                    expect(
                        client.map(|client| client.ip()) == wanted,
                        format!("far client {wanted:?}"),
                        flow.to_string(),
                    )?;
                    // The third host's own view.
                    let seen = wanted.unwrap_or(lab.client().address(net));
                    let peers = other("ss").words("-Htn state established").ok()?;
                    expect(peers.contains(&format!("{seen}")), format!("a connection from {seen}"), peers)
                })?;
            }
            if replaced {
                // Found by ARP and neighbour discovery, and alive.
                for net in Net::UNTAGGED {
                    lab.server().wait_for_echo(net.host(SERVICE_HOST), SOON)?;
                }
            }
            nothing_dropped(&appliance)?;
            appliance.stop()?.ok()?;
        }
        Ok(())
    });
}

#[test]
fn another_server_merged() {
    goes_to_another_server("redirect::another_server_merged", Merge::Established, Isn::Keyed);
}

#[test]
fn another_server_never_merged() {
    goes_to_another_server("redirect::another_server_never_merged", Merge::Never, Isn::Mirror);
}

/// With bytes of both directions under way, and sequence numbers of our own.
#[test]
fn another_server_merged_in_the_middle() {
    isolated("redirect::another_server_merged_in_the_middle", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        add_other(&lab, "eth0")?;
        for replaced in [false, true] {
            let setup = to_other_server(Merge::FirstResponse, Isn::Keyed, replaced);
            let appliance = lab.appliance(&setup)?;
            for net in Net::UNTAGGED {
                let (at, port) = (net.host(OTHER_HOST).to_string(), OTHER_PORT.to_string());
                let mut server = other("python3").args(["-c", PEER, "serve", &at, &port]).spawn()?;
                server.wait_for_text("listening", SOON)?;
                let (own, port) = (lab.server().address(net).to_string(), PORT.to_string());
                let client = lab.client().command("python3").args(["-c", PEER, "exchange", &own, &port]);
                client.timeout(SOON * 3).ok()?;
            }
            expect(appliance.counter("merges")? > 0, "merges", appliance.stats()?.to_string())?;
            nothing_dropped(&appliance)?;
            appliance.stop()?.ok()?;
        }
        Ok(())
    });
}

/// What the other server, or its network, says instead of SYN-ACK, the client hears as if it came from its own server.
#[test]
fn refusals_of_another_server() {
    isolated("redirect::refusals_of_another_server", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        add_other(&lab, "eth0")?;
        for replaced in [false, true] {
            let _appliance = lab.appliance(&to_other_server(Merge::Established, Isn::Mirror, replaced))?;
            for (wanted, rule) in [
                (Connected::Refused, None),
                (Connected::Unreachable, Some("reject with icmpx type host-unreachable")),
            ] {
                if let Some(rule) = rule {
                    let script = format!(
                        "add table inet lab\nadd chain inet lab input {{ type filter hook input priority 0; }}\n\
                         add rule inet lab input tcp dport {OTHER_PORT} {rule}\n"
                    );
                    other("nft").words("-f -").stdin(script).ok()?;
                }
                for net in Net::UNTAGGED {
                    let within = Duration::from_secs(3);
                    let (got, _) = lab.client().connect(lab.server().address(net), PORT, within)?;
                    expect(got == wanted, format!("{wanted:?} over {net:?}"), format!("{got:?}"))?;
                }
            }
            other("nft").words("flush ruleset").ok()?;
        }
        Ok(())
    });
}

/// The third host has the server's own address too, and hears of the connection because its MAC is named.
fn has_the_servers_address_too(net: Net, lab: &Lab) -> Result<()> {
    let nodad = if net == Net::V6 { "nodad" } else { "" };
    let length = if net == Net::V6 { 128 } else { 32 };
    other_ip(&format!("address add {}/{length} dev lo {nodad}", lab.server().address(net)))
}

#[test]
fn forwarded_by_mac() {
    isolated("redirect::forwarded_by_mac", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        add_other(&lab, "eth0")?;
        let hop = format!("{{ mac = \"{MAC}\" }}");
        let setup = Setup::default().forward(&format!("{{ destination_ports = {PORT} }}"), &hop);
        let appliance = lab.appliance(&setup)?;
        for net in Net::UNTAGGED {
            has_the_servers_address_too(net, &lab)?;
            let own = lab.server().address(net);
            upload(&lab, net, (own, PORT), 20 * MEGABYTE, || {
                appliance.wait_for_flow(&SocketAddr::new(own, PORT).to_string(), "bypassed", SOON).map(drop)
            })?;
        }
        expect(appliance.counter("flows_forwarded")? == 2, "two flows forwarded", appliance.log())?;
        nothing_dropped(&appliance)
    });
}

/// Untagged on the client's side, in VLAN 77 beyond the appliance.
#[test]
fn forwarded_into_a_vlan() {
    isolated("redirect::forwarded_into_a_vlan", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).vlan().build()?;
        add_other(&lab, &Net::Vlan4.interface())?;
        let hop = format!("{{ mac = \"{MAC}\", vlan = 77 }}");
        let setup = Setup::default().forward(&format!("{{ destination_ports = {PORT} }}"), &hop);
        let appliance = lab.appliance(&setup)?;
        let client = lab.client().hardware_address(Net::V4)?;
        for net in Net::UNTAGGED {
            has_the_servers_address_too(net, &lab)?;
            // In the VLAN nobody answers for the client's untagged address.
            other_ip(&format!("neigh replace {} lladdr {client} dev o0", lab.client().address(net)))?;
            upload(&lab, net, (lab.server().address(net), PORT), 20 * MEGABYTE, || Ok(()))?;
        }
        expect(appliance.counter("flows_forwarded")? == 2, "two flows forwarded", appliance.log())?;
        nothing_dropped(&appliance)
    });
}

/// Two workers and no RSS: the far side comes back to the worker that owns the flow, by a client port that fits.
#[test]
fn another_server_with_two_workers() {
    isolated("redirect::another_server_with_two_workers", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).queues(2).build()?;
        add_other(&lab, "eth0")?;
        let appliance = lab.appliance(&to_other_server(Merge::Established, Isn::Keyed, true))?;
        for round in 0..4 {
            let net = Net::UNTAGGED[round % 2];
            upload(&lab, net, (net.host(OTHER_HOST), OTHER_PORT), MEGABYTE, || Ok(()))?;
        }
        expect(appliance.counter("merges")? == 4, "four merges", appliance.stats()?.to_string())?;
        nothing_dropped(&appliance)
    });
}
