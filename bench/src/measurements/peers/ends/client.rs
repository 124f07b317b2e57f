//! The client: carries out orders, one after the other.

use std::cell::Cell;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use super::{Ask, MESSAGE, Order, Quantiles, Report, runtime};

/// For an order.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that are opened at once, of those that stay.
const OPENING: usize = 64;
/// Read at once.
const CHUNK: usize = 1 << 18;

/// What an exchange took.
struct Times {
    connect: Duration,
    request: Duration,
}

/// Until its input ends.
pub fn run() -> anyhow::Result<()> {
    let runtime = runtime()?;
    let mut idle = Vec::new();
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let work = async { tokio::time::timeout(PATIENCE, carry_out(order, &mut idle)).await };
        let answer = match LocalSet::new().block_on(&runtime, work) {
            Ok(result) => result.map_err(|error| format!("{error:#}")),
            Err(_) => Err(format!("not done within {PATIENCE:?}: {order:?}")),
        };
        println!("{}", serde_json::to_string(&answer)?);
        io::stdout().flush()?;
    }
    Ok(())
}

async fn carry_out(order: Order, idle: &mut Vec<TcpStream>) -> anyhow::Result<Report> {
    match order {
        Order::Connections { target, count, at_once } => connections(target, count, at_once).await,
        Order::Bulk { target, bytes } => bulk(target, bytes).await,
        Order::Idle { target, count } => {
            let start = Instant::now();
            *idle = open(target, count).await?;
            Ok(Report { seconds: start.elapsed().as_secs_f64(), ..Report::default() })
        }
        Order::Close => {
            // Both ends know of it before what is between them goes: a server that does not would answer no SYN of the same quad.
            for stream in idle.drain(..) {
                end(stream).await?;
            }
            Ok(Report::default())
        }
    }
}

async fn exchange(target: SocketAddr, ask: Ask) -> anyhow::Result<(TcpStream, Times)> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(target).await.context("connecting")?;
    let connect = start.elapsed();
    stream.set_nodelay(true)?;
    let request = ask.request();
    stream.write_all(&request).await.context("sending a request")?;
    let mut response = [0; MESSAGE];
    stream.read_exact(&mut response).await.context("waiting for a response")?;
    ensure!(response == request, "another response than what was sent");
    Ok((stream, Times { connect, request: start.elapsed() - connect }))
}

/// Ends a connection, and waits until the other end has, too.
async fn end(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.shutdown().await.context("ending a connection")?;
    let more = stream.read(&mut [0]).await.context("waiting for the server's end")?;
    ensure!(more == 0, "more than the response");
    Ok(())
}

async fn connections(target: SocketAddr, count: usize, at_once: usize) -> anyhow::Result<Report> {
    let left = Rc::new(Cell::new(count));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let left = Rc::clone(&left);
        tasks.spawn_local(async move {
            let mut taken = Vec::new();
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                let (stream, times) = exchange(target, Ask::Response).await?;
                taken.push(times);
                end(stream).await?;
            }
            anyhow::Ok(taken)
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(taken) = tasks.join_next().await {
        all.extend(taken??);
    }
    let seconds = start.elapsed().as_secs_f64();
    let quantiles = |time: fn(&Times) -> Duration| Quantiles::of(all.iter().map(time).collect());
    Ok(Report { seconds, connect: quantiles(|all| all.connect), request: quantiles(|all| all.request) })
}

async fn bulk(target: SocketAddr, bytes: u64) -> anyhow::Result<Report> {
    let (mut stream, _) = exchange(target, Ask::Bulk(bytes)).await?;
    let start = Instant::now();
    stream.write_all(b"!").await.context("asking for bulk")?;
    let mut chunk = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let count = stream.read(&mut chunk).await.context("reading bulk")?;
        ensure!(count > 0, "the connection ended {left} bytes too early");
        left -= count as u64;
    }
    let seconds = start.elapsed().as_secs_f64();
    end(stream).await?;
    Ok(Report { seconds, ..Report::default() })
}

async fn open(target: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let mut tasks = JoinSet::new();
        for _ in 0..OPENING.min(count - streams.len()) {
            tasks.spawn_local(exchange(target, Ask::Response));
        }
        while let Some(opened) = tasks.join_next().await {
            streams.push(opened??.0);
        }
    }
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurements::peers::ends::server;

    #[test]
    fn a_client_and_a_server_understand_each_other() {
        let all_of_it = async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let target = listener.local_addr()?;
            tokio::spawn(server::serve(listener));
            let mut idle = Vec::new();
            let few = carry_out(Order::Connections { target, count: 20, at_once: 3 }, &mut idle).await?;
            assert!(few.seconds > 0.0 && few.connect.p50 > 0.0 && few.request.p99 >= few.request.p50);
            carry_out(Order::Bulk { target, bytes: 1_000_003 }, &mut idle).await?;
            carry_out(Order::Idle { target, count: 70 }, &mut idle).await?;
            assert_eq!(idle.len(), 70);
            carry_out(Order::Close, &mut idle).await?;
            assert!(idle.is_empty());
            anyhow::Ok(())
        };
        let runtime = runtime().expect("a reactor");
        LocalSet::new().block_on(&runtime, all_of_it).expect("both go on");
    }

    #[test]
    fn nobody_there_is_an_error() {
        let runtime = runtime().expect("a reactor");
        let refused = async {
            // Bound and not listened on: a port that nobody else gets meanwhile.
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind("127.0.0.1:0".parse()?)?;
            connections(socket.local_addr()?, 1, 1).await
        };
        let error = LocalSet::new().block_on(&runtime, refused).expect_err("nobody listens");
        assert!(format!("{error:#}").contains("connecting"), "{error:#}");
    }
}
