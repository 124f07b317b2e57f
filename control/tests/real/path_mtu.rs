//! Paths that are narrower beyond the appliance: routers say so about segments that it has rewritten, or made (RFC 1191,
//! RFC 8201), and where they may, they cut.

use control::lab::{
    Appliance, Hook, Isn, Lab, LabError, Merge, Net, Pmd, Result, Routed, Setup, expect, isolated,
};

use crate::EXECUTABLE;
use crate::traffic::{Conversation, SOON, server_name};

/// See there: a stream of which each segment is cut by its sender's kernel.
const CUTTER: &str = concat!(include_str!("raw_peer.py"), include_str!("fragments.py"));

const PORT: u16 = 7000;

/// Of the last link before either host.
const NARROW: u16 = 1300;

/// Bytes there and back: full segments both ways.
const MUCH: usize = 100_000;

/// Two hosts behind routers, an appliance between those, and a conversation on each network whose deltas are not zero.
fn with_conversations(
    name: &str,
    play: impl Fn(&Lab, &Appliance, &Routed, Net, &mut Conversation) -> Result<()>,
) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let routed = lab.routed()?;
        let appliance = lab.appliance(&Setup::relay(Merge::Established, Isn::Keyed))?;
        let mut conversations = Vec::new();
        for (net, port) in Net::UNTAGGED.into_iter().zip(PORT..) {
            let address = routed.far_address(net);
            let conversation = Conversation::between(routed.near(), routed.far(), address, port, MUCH)?;
            let flow = appliance.wait_for_flow(&server(&routed, net), "cut_through", SOON)?;
            expect(flow["delta_c2s"] != 0 && flow["delta_s2c"] != 0, "deltas", flow.to_string())?;
            conversations.push((net, conversation));
        }
        routed.narrow_the_ends(&lab, NARROW)?;
        for (net, mut conversation) in conversations {
            play(&lab, &appliance, &routed, net, &mut conversation)?;
        }
        Ok(())
    });
}

fn port(net: Net) -> u16 {
    if net == Net::V4 { PORT } else { PORT + 1 }
}

fn server(routed: &Routed, net: Net) -> String {
    std::net::SocketAddr::new(routed.far_address(net), port(net)).to_string()
}

/// Splits the conversation, or merges it.
fn order(appliance: &Appliance, routed: &Routed, net: Net, verb: &str) -> Result<()> {
    let [before, after] = match verb {
        "split" => ["cut_through", "participating"],
        _ => ["participating", "cut_through"],
    };
    let server = server(routed, net);
    let flow = appliance.wait_for_flow(&server, before, SOON)?;
    appliance.control(&[verb, flow["client"].as_str().unwrap_or_default(), &server]).ok()?;
    appliance.wait_for_flow(&server, after, SOON).map(drop)
}

/// The path MTU that the kernels of both hosts have for their end of the conversation.
fn told(routed: &Routed, net: Net) -> Result<[u64; 2]> {
    let of = |host: &control::lab::Endpoint| {
        Ok::<u64, control::lab::LabError>(host.sockets(port(net))?.first().map_or(0, |socket| socket.pmtu))
    };
    Ok([of(routed.near())?, of(routed.far())?])
}

fn expect_told(routed: &Routed, net: Net, mtu: [u16; 2]) -> Result<()> {
    let told = told(routed, net)?;
    expect(told == mtu.map(u64::from), format!("path MTUs {mtu:?} at {net:?}"), format!("{told:?}"))
}

#[test]
fn both_ends_are_told_on_cut_through() {
    let name = "path_mtu::both_ends_are_told_on_cut_through";
    with_conversations(name, |_, _, routed, net, conversation| {
        conversation.say(MUCH)?;
        expect_told(routed, net, [NARROW; 2])
    });
}

/// Whoever made the segments is told: the appliance, and neither end. After a merge it is the ends' own again.
#[test]
fn the_appliance_is_told_while_it_takes_part() {
    let name = "path_mtu::the_appliance_is_told_while_it_takes_part";
    with_conversations(name, |_, appliance, routed, net, conversation| {
        order(appliance, routed, net, "split")?;
        // What shows that nothing from before the split is under way any more.
        conversation.say(10)?;
        conversation.say(MUCH)?;
        expect_told(routed, net, [1500; 2])?;
        order(appliance, routed, net, "merge")?;
        conversation.say(MUCH)?;
        expect_told(routed, net, [NARROW; 2])?;
        order(appliance, routed, net, "split")?;
        conversation.say(MUCH)
    });
}

/// Datagrams that may be cut arrive in fragments: the first one holds the header that is rewritten, the others follow it.
#[test]
fn fragments_cross_on_cut_through() {
    isolated("path_mtu::fragments_cross_on_cut_through", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let routed = lab.routed()?;
        // Its datagrams do not forbid it.
        routed.near().set("net/ipv4/ip_no_pmtu_disc", "1")?;
        // DPDK's af_packet has the kernel put them together before it looks.
        let setup = Setup::relay(Merge::Established, Isn::Keyed).pmd(Pmd::AfXdp);
        let appliance = lab.appliance(&setup)?;
        let address = routed.far_address(Net::V4);
        let mut conversation = Conversation::between(routed.near(), routed.far(), address, PORT, 10)?;
        appliance.wait_for_flow(&server(&routed, Net::V4), "cut_through", SOON)?;
        routed.narrow_the_middle(&lab, NARROW)?;
        conversation.say(MUCH)?;
        let whole = routed.far().kernel_counter("ReasmOKs")?;
        let cut = lab.client().kernel_counter("FragOKs")?;
        expect(whole >= 30, format!("the {cut} datagrams that were cut, put together"), whole.to_string())
    });
}

/// Nobody but a sender cuts in IPv6, and a TCP does not.
#[test]
fn fragments_of_ipv6_cross_on_cut_through() {
    const MARK: &str = "7";
    const COUNT: usize = 40;
    // More than a frame: no kernel cuts what fits into one. A receiver takes whatever its window has room for.
    const LENGTH: usize = 2000;
    isolated("path_mtu::fragments_of_ipv6_cross_on_cut_through", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let setup = Setup::relay(Merge::Established, Isn::Keyed).pmd(Pmd::AfXdp);
        let appliance = lab.appliance(&setup)?;
        lab.client().rule(Hook::Output, &format!("tcp dport {PORT} meta mark != {MARK} drop"))?;
        let copy = lab.server().directory().join("copy");
        let (listen, create) = (format!("TCP6-LISTEN:{PORT}"), format!("CREATE:{}", copy.display()));
        let mut sink = lab.server().command("socat").args(["-u", &listen, &create]).spawn()?;
        lab.server().wait_for_listener(PORT, SOON)?;
        let address = lab.server().address(Net::V6).to_string();
        let numbers = [PORT.to_string(), MARK.into(), COUNT.to_string(), LENGTH.to_string()];
        let cutter = lab.client().command("python3").args(["-c", CUTTER, &address]).args(numbers);
        let mut cutter = cutter.spawn()?;
        cutter.wait_for_text("open", SOON)?;
        let flow = appliance.wait_for_flow(&server_name(&lab, Net::V6, PORT), "cut_through", SOON)?;
        expect(flow["delta_c2s"] != 0, "a delta", flow.to_string())?;
        cutter.write(b"go\n")?;
        cutter.wait(SOON)?.ok()?;
        sink.wait(SOON)?.ok()?;
        let came = std::fs::read(&copy).map_err(LabError::io("reading the copy"))?;
        let sent: Vec<u8> = (0..COUNT).flat_map(|m| (0..LENGTH).map(move |n| (m + n) as u8)).collect();
        expect(came == sent, format!("the {} bytes that were sent", sent.len()), came.len().to_string())?;
        let [cut, whole] =
            [lab.client().kernel_counter("Ip6FragOKs")?, lab.server().kernel_counter("Ip6ReasmOKs")?];
        expect(
            cut.min(whole) >= COUNT as u64,
            "each segment cut, and put together",
            format!("{cut}, {whole}"),
        )
    });
}
