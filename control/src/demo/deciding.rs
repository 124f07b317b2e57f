//! Scenes of delayed acceptance: who decides about a held SYN, and who serves it then.

use std::path::PathBuf;

use crate::lab::{Appliance, Command, Connected, Lab, Net};

use super::narrator::Narrator;
use super::scenes::{PATIENCE, WAIT, config, program_socket, short, words};

/// Ports of the scenes; nginx listens at these two.
pub(super) const COUNTED: u16 = 87;
pub(super) const SPOKEN: u16 = 89;
const ELSEWHERE: u16 = 88;
const ECHO: u16 = 90;
/// Nobody listens there.
const PAGE: u16 = 91;
/// Of the other server: its host number and port.
const OTHER_HOST: u8 = 3;
const OTHER_PORT: u16 = 8090;

/// A rule that counts.
pub(super) fn rate(narrator: &mut Narrator, lab: &Lab) -> anyhow::Result<()> {
    narrator.scene("A rule with a rate: three connections at once are served, what is above is refused");
    let server = lab.server().address(Net::V4);
    let mut tried = Vec::new();
    for _ in 0..6 {
        tried.push(lab.client().connect(server, COUNTED, PATIENCE)?.0);
    }
    let count = |wanted| tried.iter().filter(|seen| **seen == wanted).count();
    let (served, refused) = (count(Connected::Yes), count(Connected::Refused));
    narrator.check(
        "six attempts, rate = { above = 1, burst = 3, per = \"source\" }",
        served >= 3 && refused > 0 && served + refused == tried.len(),
        &format!("client: {served} connected, {refused} refused"),
    );
    Ok(())
}

/// The client's SYN names one server, another one gets it.
pub(super) fn another_server(
    narrator: &mut Narrator,
    lab: &Lab,
    appliance: &Appliance,
) -> anyhow::Result<()> {
    narrator.scene("Another server than the client's SYN names, and the client cannot tell");
    for net in [Net::V4, Net::V6] {
        let (own, other) = (lab.server().address(net), net.host(OTHER_HOST));
        let nodad = if net == Net::V6 { "nodad" } else { "" };
        lab.server().ip(&format!("address add {other}/{} dev eth0 {nodad}", net.prefix()))?;
        let listen = format!("-n -l {other} {OTHER_PORT}");
        let mut server = lab.server().command("nc").words(&listen).spawn()?;
        lab.server().wait_for_listener(OTHER_PORT, WAIT)?;
        let mut client = lab.client().command("nc").words(&format!("-n -N {own} {ELSEWHERE}")).spawn()?;
        server.write(format!("I am {other}\n").as_bytes())?;
        client.wait_for_text(&format!("I am {other}"), WAIT)?;
        let at = std::net::SocketAddr::new(own, ELSEWHERE).to_string();
        let flow = appliance.wait_for_flow(&at, "cut_through", WAIT)?;
        let far = flow["far_server"].as_str().unwrap_or("nobody").to_owned();
        let is_far = far == std::net::SocketAddr::new(other, OTHER_PORT).to_string();
        let said = client.stdout();
        let seen = format!("client of {at} reads \"{}\"", said.trim());
        narrator.check(&format!("the flow goes to {far}"), is_far, &seen);
        client.close_stdin();
        server.close_stdin();
    }
    Ok(())
}

/// The client speaks before any server is asked.
pub(super) fn client_first(narrator: &mut Narrator, lab: &Lab) -> anyhow::Result<()> {
    narrator.scene("Client-first: the server hears of a client when that has said something");
    let at_server = lab.server().capture(&format!("tcp dst port {SPOKEN}"))?;
    let server = lab.server().address(Net::V6).to_string();
    let nc = lab.client().command("nc").words("-n -v").args([server, SPOKEN.to_string()]);
    let mut client = nc.spawn()?;
    client.wait_for_text("succeeded", WAIT)?;
    let before = flags(&at_server.text()?);
    narrator.check("the client is connected, the server sees no packet", before.is_empty(), &before);
    client.write(b"GET /hello HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    client.wait_for_text("hello through the appliance", WAIT)?;
    let after = flags(&at_server.text()?);
    let seen = format!("server sees {after}");
    narrator.check(
        "the client has said what it wants: SYN, then ACK and request",
        after == "[S] [P.]",
        &seen,
    );
    Ok(())
}

/// The flags of the first packets that a capture tells of, as tcpdump writes them.
fn flags(capture: &str) -> String {
    let flags = capture.lines().filter_map(|line| line.split("Flags ").nth(1)?.split(',').next());
    flags.take(2).collect::<Vec<_>>().join(" ")
}

/// The example of the listener crate, where cargo puts it.
fn example() -> Option<PathBuf> {
    let folder = std::env::current_exe().ok()?.parent()?.join("examples");
    Some(folder.join("serve")).filter(|path| path.is_file())
}

/// A program of its own process decides and serves.
pub(super) fn program(narrator: &mut Narrator, lab: &Lab) -> anyhow::Result<()> {
    narrator.scene("A program outside decides about held connections, and serves them itself");
    let Some(example) = example() else {
        narrator.note("left out: listener/examples/serve.rs is not built; `./dev demo` builds it");
        return Ok(());
    };
    let server = lab.server().address(Net::V4);
    let (seen, took) = lab.client().connect(server, ECHO, PATIENCE)?;
    let absent = "no program yet: the default that the config says, `reject`";
    narrator.check(absent, seen == Connected::Refused, &words(seen, took));

    let ports = [ECHO.to_string(), PAGE.to_string()];
    let mut program = Command::new(example).arg(program_socket(lab)).args(ports).spawn()?;
    program.wait_for_text("listening", WAIT)?;
    for net in [Net::V4, Net::V6] {
        let server = lab.server().address(net).to_string();
        let nc = lab.client().command("nc").words("-n -N -w 5").args([&server, &ECHO.to_string()]);
        let got = nc.stdin("is there anybody?\n").run()?;
        let accepts = format!("the program accepts {server} port {ECHO} and echoes");
        let seen = format!("client reads \"{}\"", got.stdout.trim());
        narrator.check(&accepts, got.stdout == "is there anybody?\n", &seen);
    }
    let curl = lab.client().command("curl").words("-s -w %{http_code} --noproxy * --max-time 10");
    let page = curl.arg(lab.server().url(Net::V4, PAGE, "")).run()?;
    let seen = format!("client reads \"{}\"", page.stdout.replace('\n', " "));
    let told = format!("port {PAGE}: the server refuses, so the program answers in its place");
    narrator.check(&told, page.stdout == "maintenance\n503", &seen);
    for line in program.stdout().lines() {
        narrator.output(line.split(" Options").next().unwrap_or(line));
    }
    Ok(())
}

/// Other rules for new connections; what is open goes on.
pub(super) fn reload(narrator: &mut Narrator, lab: &Lab, appliance: &Appliance) -> anyhow::Result<()> {
    narrator.scene("Reload: other rules for new connections, and open ones do not notice");
    let server = lab.server().address(Net::V6);
    let mut client = lab.client().command("nc").words("-n -N").args([&server.to_string(), "80"]).spawn()?;
    let open = appliance.wait_for_flow(&format!("[{server}]:80"), "participating", WAIT)?;
    narrator.check("a connection to port 80 is open", true, &short(&open));
    let closed =
        "[[rule]]\nname = \"closed\"\nmatch = { destination_ports = [80] }\naction = \"reject\"\n\n[[rule]]";
    let said = appliance.reload(&config(lab).replacen("[[rule]]", closed, 1))?.ok()?;
    narrator.output(said.trim());
    let (seen, took) = lab.client().connect(server, 80, PATIENCE)?;
    narrator.check("a new one meets the new rule: RST", seen == Connected::Refused, &words(seen, took));
    client.write(b"GET /hello HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    client.wait_for_text("hello through the appliance", WAIT)?;
    narrator.check("the open one gets its page", true, "client reads \"hello through the appliance\"");
    Ok(())
}
