//! What the worker was told, read back from its orders, and one line for each of them.

use dataplane::buffer::Buffer;
use dataplane::packet::{self, Packet};
use dataplane::port::sim::SimBuffer;
use dataplane::wire::seq::Delta;
use dataplane::wire::tcp::TcpRepr;
use dataplane::wire::tcp_flags::TcpFlags;
use dataplane::worker::message::Order;

use crate::rig::{CLIENT, Said};

/// What an order says; its segments must have sound checksums.
pub fn read(order: Order<SimBuffer>) -> Said {
    match order {
        Order::Transmit { port, frame } => match packet::parse(frame.bytes()) {
            Ok(Packet::Tcp(headers)) => {
                assert!(packet::is_tcp_checksum_valid(frame.bytes(), &headers));
                let segment = &frame.bytes()[usize::from(headers.l4)..usize::from(headers.end)];
                let payload = frame.bytes()[usize::from(headers.payload)..usize::from(headers.end)].to_vec();
                Said::Tcp(port, TcpRepr::parse(segment).expect("sound options"), payload)
            }
            _ => Said::Other(port),
        },
        Order::TransmitFar { frame, .. } => match packet::parse(frame.bytes()) {
            Ok(Packet::Tcp(headers)) => {
                assert!(packet::is_tcp_checksum_valid(frame.bytes(), &headers));
                let segment = &frame.bytes()[usize::from(headers.l4)..usize::from(headers.end)];
                let payload = frame.bytes()[usize::from(headers.payload)..usize::from(headers.end)].to_vec();
                Said::Far(TcpRepr::parse(segment).expect("sound options"), payload)
            }
            other => panic!("{other:?}"),
        },
        Order::SetFarSide { far, .. } => Said::SetFar(far.key.quad, far.port),
        Order::ClearFarSide { .. } => Said::ClearFar,
        Order::Divert { far, .. } => Said::Divert(far.key.quad, far.port),
        Order::Participate { .. } => Said::Participate,
        Order::Release { path, .. } => Said::Release(path),
        Order::Park { searched, .. } => Said::Park(searched),
        Order::Install { delta_c2s: Delta(c2s), delta_s2c: Delta(s2c), view, .. } => {
            Said::Install(c2s, s2c, view.track)
        }
        Order::Replay { direction, headers, .. } => Said::Replay(direction, headers.seq),
        Order::Resume { .. } => Said::Resume,
        Order::Remove { .. } => Said::Remove,
        Order::Restart { port, .. } | Order::Readmit { port, .. } => Said::Restart(port),
        Order::Policy(_) | Order::List(_) | Order::Split(_) | Order::Flood { .. } => {
            panic!("an order that no test expects")
        }
    }
}

/// One line for each order: `>S` to the server, `>F` to it by the far side, `>C` to the client, flags, sequence, ack and length.
pub fn script(said: &[Said]) -> Vec<String> {
    let line = |said: &Said| match said {
        Said::Tcp(..) | Said::Far(..) => {
            let (to, tcp, payload) = match said {
                Said::Far(tcp, payload) => ('F', tcp, payload),
                Said::Tcp(CLIENT, tcp, payload) => ('C', tcp, payload),
                Said::Tcp(_, tcp, payload) => ('S', tcp, payload),
                _ => unreachable!("matched above"),
            };
            let mut flags = String::new();
            for (flag, letter) in [
                (TcpFlags::SYN, 'S'),
                (TcpFlags::FIN, 'F'),
                (TcpFlags::RST, 'R'),
                (TcpFlags::ECE, 'E'),
                (TcpFlags::CWR, 'W'),
                (TcpFlags::ACK, '.'),
            ] {
                if tcp.flags & flag == flag {
                    flags.push(letter);
                }
            }
            format!(">{to} {flags} {}:{} {}", tcp.seq.0, tcp.ack.0, payload.len())
        }
        Said::Other(port) => format!(">{} icmp", if *port == CLIENT { 'C' } else { 'S' }),
        Said::Install(c2s, s2c, _) => format!("install {c2s} {s2c}"),
        Said::Park(searched) => if *searched { "park searched" } else { "park" }.to_owned(),
        Said::Replay(direction, seq) => format!("replay {direction:?} {}", seq.0),
        Said::Restart(port) => format!("restart {}", port.0),
        Said::SetFar(quad, port) => format!("far {quad} by {}", port.0),
        Said::Divert(quad, port) => format!("divert {quad} by {}", port.0),
        Said::Release(path) => format!("release {path:?}"),
        other => format!("{other:?}").to_lowercase(),
    };
    said.iter().map(line).collect()
}
