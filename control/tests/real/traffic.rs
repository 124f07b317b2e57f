//! Conversations that every wire has to carry, whoever is the wire.

use std::net::IpAddr;

use control::lab::{Endpoint, Lab, Net, Process, Result, expect, sha256, wait_until};

pub use control::lab::LATE as SOON;

/// The unit of sizes here.
pub const MEGABYTE: usize = 1_000_000;

/// `addr:port` as the appliance writes it.
pub fn server_name(lab: &Lab, net: Net, port: u16) -> String {
    std::net::SocketAddr::new(lab.server().address(net), port).to_string()
}

/// socat's word for a protocol over one of the networks: `TCP4`, `UDP6`.
fn socat_protocol(protocol: &str, net: Net) -> String {
    let family = if net.host(1).is_ipv4() { 4 } else { 6 };
    format!("{protocol}{family}")
}

/// Fetches pseudo-random bytes with curl and compares the digests.
pub fn download(lab: &Lab, net: Net, bytes: usize) -> Result<()> {
    download_at(lab, net, bytes, "1G")
}

/// The same, at so many bytes a second at most.
pub fn download_at(lab: &Lab, net: Net, bytes: usize, rate: &str) -> Result<()> {
    let nginx = lab.server().nginx().random("random", bytes).start()?;
    let copy = lab.client().directory().join("random");
    let url = lab.server().url(net, 80, "random");
    lab.client()
        .curl(&url)
        .words("--max-time 60 --limit-rate")
        .arg(rate)
        .arg("-o")
        .arg(&copy)
        .timeout(SOON * 7)
        .ok()?;
    let (sent, got) = (nginx.sha256("random")?, sha256(&copy)?);
    expect(sent == got, format!("SHA-256 {sent}"), got)
}

/// Sends pseudo-random bytes to the server and compares the digests.
pub fn upload(lab: &Lab, net: Net, bytes: usize) -> Result<()> {
    let source = lab.client().directory().join("upload");
    control::lab::files::write_random(&source, bytes, 77)?;
    let copy = lab.server().directory().join("upload");
    let listen = format!("{}-LISTEN:7300,reuseaddr", socat_protocol("TCP", net));
    let mut sink = lab.server().command("socat").arg("-u").arg(listen).arg(create(&copy)).spawn()?;
    lab.server().wait_for_listener(7300, SOON)?;
    let target = format!("{}:{}", socat_protocol("TCP", net), server_name(lab, net, 7300));
    let open = format!("OPEN:{},rdonly", source.display());
    lab.client().command("socat").arg("-u").arg(open).arg(target).timeout(SOON * 7).ok()?;
    sink.wait(SOON)?.ok()?;
    let (sent, got) = (sha256(&source)?, sha256(&copy)?);
    expect(sent == got, format!("SHA-256 {sent}"), got)
}

fn create(path: &std::path::Path) -> String {
    format!("CREATE:{}", path.display())
}

/// Makes `count` connections at once, each for a small file.
pub fn parallel(lab: &Lab, net: Net, count: usize) -> Result<()> {
    let nginx = lab.server().nginx().random("small", 10_000).start()?;
    let folder = lab.client().directory().join("parallel");
    std::fs::create_dir_all(&folder).map_err(control::lab::LabError::io("creating a folder"))?;
    let url = format!("{}?[1-{count}]", lab.server().url(net, 80, "small"));
    // A closed connection is not used again: as many connections as requests.
    let curl = lab.client().curl(&url);
    curl.words(&format!("--parallel --parallel-immediate --parallel-max {count}"))
        .args(["--header", "Connection: close", "--output"])
        .arg(folder.join("#1"))
        .timeout(SOON * 3)
        .ok()?;
    let expected = nginx.sha256("small")?;
    for number in 1..=count {
        let got = sha256(&folder.join(number.to_string()))?;
        expect(got == expected, format!("the digest of copy {number}"), got)?;
    }
    Ok(())
}

/// An echo server, and a client that has sent `bytes` bytes and got them back.
pub struct Conversation {
    _server: Process,
    client: Process,
}

impl Conversation {
    /// Opens one on the given port and leaves it open.
    pub fn open(lab: &Lab, net: Net, port: u16, bytes: usize) -> Result<Self> {
        Self::between(lab.client(), lab.server(), lab.server().address(net), port, bytes)
    }

    /// The same between any two hosts.
    pub fn between(from: &Endpoint, to: &Endpoint, address: IpAddr, port: u16, bytes: usize) -> Result<Self> {
        let family = if address.is_ipv4() { 4 } else { 6 };
        let listen = format!("TCP{family}-LISTEN:{port},reuseaddr,fork");
        let server = to.command("socat").arg(listen).arg("EXEC:cat").spawn()?;
        to.wait_for_listener(port, SOON)?;
        let client = from.command("nc").args(["-n", &address.to_string(), &port.to_string()]).spawn()?;
        let mut conversation = Self { _server: server, client };
        conversation.say(bytes)?;
        Ok(conversation)
    }

    /// Sends `bytes` more bytes and waits until they are back.
    pub fn say(&mut self, bytes: usize) -> Result<()> {
        let before = self.client.stdout().len();
        let line: Vec<u8> = (0..bytes).map(|place| b'a' + u8::try_from(place % 26).unwrap_or(0)).collect();
        self.client.write(&line)?;
        wait_until("an echo over TCP", SOON, || Ok(self.client.stdout().len() >= before + bytes))?;
        let back = self.client.stdout().split_off(before);
        expect(back.as_bytes() == line, "the same bytes back", back)
    }
}

/// The client ends its direction first; the answer comes after that.
pub fn client_closes_first(lab: &Lab, net: Net) -> Result<()> {
    let listen = format!("{}-LISTEN:7001,reuseaddr", socat_protocol("TCP", net));
    let server = lab.server().command("socat").args(["-t", "10", &listen, "SYSTEM:cat; echo answer"]);
    let _server = server.spawn()?;
    lab.server().wait_for_listener(7001, SOON)?;
    let address = lab.server().address(net).to_string();
    let nc = lab.client().command("nc").args(["-n", "-N", &address, "7001"]);
    let got = nc.stdin("question\n").timeout(SOON).ok()?;
    expect(got == "question\nanswer\n", "question and answer", got)
}

/// The server ends its direction first; the client goes on sending.
pub fn server_closes_first(lab: &Lab, net: Net) -> Result<()> {
    let address = lab.server().address(net).to_string();
    let mut server = lab.server().command("nc").args(["-n", "-l", "-N", &address, "7002"]).spawn()?;
    lab.server().wait_for_listener(7002, SOON)?;
    let target = format!("{}:{}", socat_protocol("TCP", net), server_name(lab, net, 7002));
    let mut client = lab.client().command("socat").args(["-t", "10", "-", &target]).spawn()?;
    server.write(b"greeting\n")?;
    server.close_stdin();
    client.wait_for_text("greeting", SOON)?;
    wait_for_state(lab.server(), "fin-wait-2", 7002)?;
    client.write(b"still here\n")?;
    client.close_stdin();
    client.wait(SOON)?.ok()?;
    let heard = server.wait(SOON)?.ok()?;
    expect(heard == "still here\n", "the client's last words at the server", heard)
}

fn wait_for_state(endpoint: &Endpoint, state: &str, port: u16) -> Result<()> {
    let sockets =
        endpoint.command("ss").words(&format!("-Htn state {state}")).arg(format!("sport = :{port}"));
    wait_until(&format!("a socket in {state}"), SOON, || Ok(!sockets.ok()?.trim().is_empty()))
}

/// A datagram and its echo.
pub fn datagram(lab: &Lab, net: Net) -> Result<()> {
    let listen = format!("{}-LISTEN:7400,fork", socat_protocol("UDP", net));
    let _server = lab.server().command("socat").arg(listen).arg("EXEC:cat").spawn()?;
    let sockets = lab.server().command("ss").words("-Hlun").arg("sport = :7400");
    wait_until("a UDP listener", SOON, || Ok(!sockets.ok()?.trim().is_empty()))?;
    let address = lab.server().address(net).to_string();
    // -W 1: one datagram is all there is to come.
    let nc = lab.client().command("nc").args(["-n", "-u", "-w", "3", "-W", "1", &address, "7400"]);
    let got = nc.stdin("datagram\n").ok()?;
    expect(got == "datagram\n", "the datagram back", got)
}
