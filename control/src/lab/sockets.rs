//! What a host's own kernel says: counters of the whole host, and the state of a single connection.

use super::endpoint::Endpoint;
use super::error::{LabError, Result};

/// A connection as `ss -ti` shows it. What the kernel does not say of one is 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Socket {
    /// The line as it came.
    pub line: String,
    /// Congestion window, segments.
    pub cwnd: u64,
    /// Retransmission timeout, milliseconds.
    pub rto_ms: f64,
    /// How often the timeout has been doubled.
    pub backoff: u64,
    /// Segments that have been sent again.
    pub retransmitted: u64,
    /// Segments that have been sent, those sent again included.
    pub segments_out: u64,
    /// What the receiver's buffer is tuned by, bytes in a round trip.
    pub rcv_space: u64,
    /// Path MTU, bytes.
    pub pmtu: u64,
}

impl Socket {
    fn parse(line: &str) -> Socket {
        let value = |key: &str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix(':')).unwrap_or("0")
        };
        let number = |key: &str| value(key).parse().unwrap_or(0);
        Socket {
            line: line.to_owned(),
            cwnd: number("cwnd"),
            rto_ms: value("rto").parse().unwrap_or(0.0),
            backoff: number("backoff"),
            // "retrans:IN_FLIGHT/IN_ALL"
            retransmitted: value("retrans").rsplit('/').next().and_then(|all| all.parse().ok()).unwrap_or(0),
            segments_out: number("segs_out"),
            rcv_space: number("rcv_space"),
            pmtu: number("pmtu"),
        }
    }
}

impl Endpoint {
    /// Established connections of which `port` is either end's.
    ///
    /// # Errors
    /// As [`super::Command::ok`].
    pub fn sockets(&self, port: u16) -> Result<Vec<Socket>> {
        let filter = format!("( sport = :{port} or dport = :{port} )");
        let told = self.command("ss").words("-HtinO state established").arg(filter).ok()?;
        Ok(told.lines().map(Socket::parse).collect())
    }

    /// A counter of this host by the kernel's name in /proc/net/snmp, netstat or snmp6, for example `RetransSegs`,
    /// `TCPTimeouts` or `Ip6ReasmOKs`.
    ///
    /// # Errors
    /// [`LabError::Unexpected`] when there is none of that name.
    pub fn kernel_counter(&self, name: &str) -> Result<u64> {
        let told = self.command("cat").words("/proc/net/snmp /proc/net/netstat /proc/net/snmp6").ok()?;
        counter(&told, name)
            .ok_or_else(|| LabError::Unexpected { expected: format!("the counter {name}"), got: told })
    }
}

/// Lines come in pairs: names, then values, both behind the same first word; those of snmp6 are a name and its value.
fn counter(told: &str, name: &str) -> Option<u64> {
    let lines: Vec<&str> = told.lines().collect();
    let of_pair = |pair: &[&str]| {
        let place = pair[0].split(' ').position(|word| word == name)?;
        pair[1].split(' ').nth(place)?.parse().ok()
    };
    let of_line = |line: &&str| line.strip_prefix(name)?.trim().parse().ok();
    lines.chunks_exact(2).find_map(of_pair).or_else(|| lines.iter().find_map(of_line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_read_as_it_is_shown() {
        let line = "0 0 10.77.0.2:80 10.77.0.1:45678 cubic wscale:10,10 rto:204.5 backoff:2 rtt:0.3/0.1 mss:1448 \
                    pmtu:1500 cwnd:37 ssthresh:20 segs_out:900 retrans:1/12 rcv_space:14480 send 3Gbps";
        let socket = Socket::parse(line);
        assert_eq!((socket.cwnd, socket.rto_ms, socket.backoff), (37, 204.5, 2));
        assert_eq!((socket.retransmitted, socket.segments_out), (12, 900));
        assert_eq!((socket.rcv_space, socket.pmtu), (14_480, 1500));
        assert_eq!(Socket::parse("0 0 a b cwnd:10").retransmitted, 0, "nothing is said of none");
    }

    #[test]
    fn counters_are_found_by_name() {
        let told = "Ip: Forwarding ReasmOKs\nIp: 2 4\nTcp: InSegs RetransSegs\nTcp: 5 7\nTcpExt: TCPTimeouts\nTcpExt: 3\n";
        assert_eq!(counter(told, "RetransSegs"), Some(7));
        assert_eq!(counter(told, "TCPTimeouts"), Some(3));
        assert_eq!(counter(told, "Forwarded"), None);
    }
}
