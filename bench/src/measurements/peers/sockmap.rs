//! A proxy whose bytes the kernel carries: it accepts, connects, and puts both sockets into a map; from then on a BPF program sends
//! by the one what comes by the other. nginx and HAProxy do not do that, so it is ours, and as little as can be.
//!
//! It favours itself. A server's end is told to the client only behind the client's own, as bytes may still wait in the kernel for
//! their turn, and nobody says when they are gone. All connections here end so.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use anyhow::{Context, ensure};
use aya::Ebpf;
use aya::maps::{MapData, SockHash};
use aya::programs::SkSkb;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::LocalSet;

use super::ends::runtime;

/// In C, for clang, which is there to build the bindings.
const SOURCE: &str = include_str!("sockmap.bpf.c");
/// Connections that have not been accepted.
const BACKLOG: u32 = 4096;
/// Read at once, of what has come before the kernel took over.
const CHUNK: usize = 1 << 14;

/// The proxy's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sockmap {
    pub listen: SocketAddrV4,
    pub server: SocketAddrV4,
    /// The compiled program.
    pub object: PathBuf,
}

/// Compiles the program into a folder.
pub fn compile(folder: &Path) -> anyhow::Result<PathBuf> {
    let (source, object) = (folder.join("sockmap.bpf.c"), folder.join("sockmap.bpf.o"));
    fs::write(&source, SOURCE).with_context(|| format!("{}: cannot be written", source.display()))?;
    // Debian keeps asm/types.h where only the machine's own target looks.
    let headers = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let mut clang = Command::new("clang");
    clang
        .args(["--target=bpf", "-O2", "-g", "-idirafter", &headers, "-c"])
        .arg(&source)
        .arg("-o")
        .arg(&object);
    let output = clang.output().context("clang cannot be run")?;
    ensure!(output.status.success(), "clang: {}", String::from_utf8_lossy(&output.stderr));
    Ok(object)
}

/// As in the program: the other end's address and port in network order, our own port.
type Key = [u32; 3];

fn key(stream: &TcpStream) -> io::Result<Key> {
    let (SocketAddr::V4(peer), own) = (stream.peer_addr()?, stream.local_addr()?) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    Ok([u32::from_ne_bytes(peer.ip().octets()), u32::from(peer.port()).to_be(), own.port().into()])
}

/// The program in the kernel, and its map.
struct Kernel {
    sockets: SockHash<MapData, Key>,
    /// Ends with it.
    _program: Ebpf,
}

impl Kernel {
    fn load(object: &Path) -> anyhow::Result<Kernel> {
        let bytes = fs::read(object).with_context(|| format!("{}: cannot be read", object.display()))?;
        let mut program = Ebpf::load(&bytes).context("the kernel does not take the map")?;
        let map = program.take_map("SOCKETS").context("no map of this name")?;
        let sockets: SockHash<MapData, Key> = map.try_into()?;
        let verdict: &mut SkSkb =
            program.program_mut("verdict").context("no program of this name")?.try_into()?;
        verdict.load().context("the kernel does not take the program")?;
        verdict.attach(sockets.fd()).context("the program cannot be attached to the map")?;
        Ok(Kernel { sockets, _program: program })
    }

    /// What each receives, the other one sends. The program is asked as soon as a socket is in the map, and what finds nobody to send it is
    /// dropped: so the server, which says nothing before it has been asked, goes first.
    fn join(&mut self, client: &TcpStream, server: &TcpStream) -> anyhow::Result<()> {
        let mut insert = |key: Key, sender: &TcpStream| {
            self.sockets.insert(key, sender.as_raw_fd(), 0).context("a socket cannot be put into the map")
        };
        insert(key(client)?, server)?;
        insert(key(server)?, client)
    }
}

impl Sockmap {
    /// Carries connections until it is killed.
    pub fn run(&self) -> anyhow::Result<()> {
        let kernel = Rc::new(RefCell::new(Kernel::load(&self.object)?));
        let server = self.server.into();
        LocalSet::new().block_on(&runtime()?, async {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(self.listen.into())?;
            let listener = socket.listen(BACKLOG)?;
            loop {
                let (client, _) = listener.accept().await?;
                let kernel = Rc::clone(&kernel);
                tokio::task::spawn_local(async move {
                    if let Err(error) = carry(client, server, &kernel).await {
                        eprintln!("{error:#}");
                    }
                });
            }
        })
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, kernel: &RefCell<Kernel>) -> anyhow::Result<()> {
    let mut server = TcpStream::connect(server).await.context("the server")?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    kernel.borrow_mut().join(&client, &server)?;
    // What has come before, and is still there: the program is only asked about what comes. Then the client's end.
    pass(&mut client, &mut server).await.context("from the client")?;
    server.shutdown().await?;
    pass(&mut server, &mut client).await.context("from the server")?;
    client.shutdown().await?;
    Ok(())
}

/// Whatever the kernel leaves, up to the end.
async fn pass(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    loop {
        match from.read(&mut chunk).await? {
            0 => return Ok(()),
            count => to.write_all(&chunk[..count]).await?,
        }
    }
}
