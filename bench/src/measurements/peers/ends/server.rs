//! The server: on every address of its host, IPv4 and IPv6, and on each of its ports.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Ask, MESSAGE, runtime};

/// Connections that have not been accepted.
const BACKLOG: u32 = 4096;
/// Written at once.
const CHUNK: usize = 1 << 18;

/// Serves until it is killed.
pub fn run(ports: &[u16]) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut listeners = Vec::new();
        for port in ports {
            listeners.push(tokio::spawn(serve(listen(*port)?)));
        }
        for listener in listeners {
            listener.await??;
        }
        Ok(())
    })
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    socket.set_reuseaddr(true)?;
    // IPv4, too, but where an administrator has said otherwise (net.ipv6.bindv6only).
    socket.bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    socket.listen(BACKLOG)
}

/// A connection that breaks is its client's to report.
pub(super) async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; MESSAGE];
    stream.read_exact(&mut request).await?;
    stream.write_all(&request).await?;
    // The client's word to go on, or its end.
    let goes_on = stream.read(&mut [0]).await? > 0;
    if let (Ask::Bulk(mut left), true) = (Ask::of(&request), goes_on) {
        let chunk = vec![b'.'; CHUNK];
        while left > 0 {
            let now = left.min(CHUNK as u64);
            stream.write_all(&chunk[..now as usize]).await?;
            left -= now;
        }
    }
    stream.shutdown().await
}
