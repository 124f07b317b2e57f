//! What is measured, and the servers that it needs.

use std::net::IpAddr;
use std::time::Duration;

use clap::ValueEnum;
use control::lab::apps::postgres::Transaction;
use control::lab::apps::{Direction, Postgres, Redis, Smtp, Sshd, Web, WebSocket, iperf};
use control::lab::{Lab, Net, Result};

/// Sizes of the files that nginx serves, bytes.
const FILES: [usize; 7] = [1_000_000_000, 256_000_000, 64_000_000, 16_000_000, 4_000_000, 1_000_000, 250_000];

/// The most that ssh copies each way: it is bound by its cipher on a small machine.
const COPY: f64 = 100e6;

/// The hosts' congestion control.
pub const CONGESTION_CONTROL: &str = "cubic";

/// The server's second host number: connections to it are bypassed.
const PLAIN_HOST: u8 = 3;

/// An application as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum App {
    Iperf3,
    Curl,
    Ssh,
    Smtp,
    Pgbench,
    Redis,
    Websocket,
}

impl App {
    pub const ALL: [App; 7] =
        [App::Iperf3, App::Curl, App::Ssh, App::Smtp, App::Pgbench, App::Redis, App::Websocket];

    /// In the order in which they run: what is learned of the path first is used by those that send a given size.
    pub fn measures(self) -> &'static [Measure] {
        match self {
            App::Iperf3 => &[Measure::BulkDown, Measure::BulkUp, Measure::BulkParallel],
            App::Curl => &[Measure::File],
            App::Ssh => &[Measure::Typing, Measure::Copy],
            App::Smtp => &[Measure::Mails],
            App::Pgbench => &[Measure::Transactions],
            App::Redis => &[Measure::Requests],
            App::Websocket => &[Measure::Messages],
        }
    }
}

impl std::fmt::Display for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().map_or("?".into(), |value| value.get_name().to_owned()).as_str())
    }
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    BulkDown,
    BulkUp,
    BulkParallel,
    File,
    Typing,
    Copy,
    Mails,
    Transactions,
    Requests,
    Messages,
}

impl Measure {
    pub const ALL: [Measure; 10] = [
        Measure::BulkDown,
        Measure::BulkUp,
        Measure::BulkParallel,
        Measure::File,
        Measure::Typing,
        Measure::Copy,
        Measure::Mails,
        Measure::Transactions,
        Measure::Requests,
        Measure::Messages,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Measure::BulkDown => "iperf3, server to client",
            Measure::BulkUp => "iperf3, client to server",
            Measure::BulkParallel => "iperf3, server to client, 4 connections",
            Measure::File => "curl from nginx, SHA-256 compared",
            Measure::Typing => "ssh, keys typed one after the other's echo",
            Measure::Copy => "ssh, a file there and back, SHA-256 compared",
            Measure::Mails => "SMTP, mails of 1 to 400 kB, SHA-256 compared",
            Measure::Transactions => "pgbench -S, 8 connections",
            Measure::Requests => "redis-benchmark SET and GET, 20 connections, 16 requests in a pipeline",
            Measure::Messages => "WebSocket echo, 32 messages under way, each compared",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Measure::BulkDown | Measure::BulkUp | Measure::BulkParallel | Measure::File | Measure::Copy => {
                "Mbit/s"
            }
            Measure::Mails => "mails/s",
            Measure::Typing => "keys/s",
            Measure::Transactions => "transactions/s",
            Measure::Requests => "requests/s",
            Measure::Messages => "messages/s",
        }
    }
}

/// How much one run is to do, the same both ways through the appliance.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub time: Duration,
    pub round_trip: Duration,
    /// 0 to 1.
    pub loss: f64,
    /// Bits a second that the slower way is known to carry; of nothing known, a cautious guess.
    pub rate: f64,
}

impl Plan {
    /// Before it counts as stuck.
    fn patience(&self) -> Duration {
        self.time * 10 + Duration::from_secs(40)
    }

    /// A hundred round trips, so that slow start is not all there is to see of a long path.
    fn bulk_time(&self) -> Duration {
        self.time.max(100 * self.round_trip)
    }

    fn bytes(&self) -> f64 {
        self.rate * self.time.as_secs_f64() / 8.0
    }
}

/// The servers of all measures, each on both of the server's addresses.
pub struct Hosts {
    pub relayed: IpAddr,
    pub plain: IpAddr,
    web: Option<Web>,
    sshd: Option<Sshd>,
    smtp: Option<Smtp>,
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    websocket: Option<WebSocket>,
}

impl Hosts {
    /// Prepares both hosts and starts what `apps` need.
    pub fn start(lab: &Lab, apps: &[App], ipv6: bool) -> Result<Hosts> {
        let net = if ipv6 { Net::V6 } else { Net::V4 };
        let plain = net.host(PLAIN_HOST);
        lab.server().ip(&format!("address add {plain}/{} dev {}", net.prefix(), net.interface()))?;
        for host in [lab.client(), lab.server()] {
            // A sender that shares its algorithm with ours, on both ways: what the ratio then shows is the split loop and
            // not BBR against a loss-based sender, which is the kernel's default here and does not heed losses.
            host.send_with(CONGESTION_CONTROL)?;
            // What was learned of the path in the last run is kept for the next one to the same host otherwise.
            host.set("net/ipv4/tcp_no_metrics_save", "1")?;
        }
        let wanted = |app| apps.contains(&app);
        Ok(Hosts {
            relayed: lab.server().address(net),
            plain,
            web: wanted(App::Curl).then(|| Web::start(lab, &FILES)).transpose()?,
            sshd: wanted(App::Ssh).then(|| Sshd::start(lab)).transpose()?,
            smtp: wanted(App::Smtp).then(|| Smtp::start(lab)).transpose()?,
            postgres: wanted(App::Pgbench).then(|| Postgres::start(lab)).transpose()?,
            redis: wanted(App::Redis).then(|| Redis::start(lab)).transpose()?,
            websocket: wanted(App::Websocket).then(|| WebSocket::start(lab)).transpose()?,
        })
    }

    /// One run of one measure: the figure in its unit, and a word on its size where that varies.
    pub fn measure(&self, lab: &Lab, what: Measure, address: IpAddr, plan: &Plan) -> Result<(f64, String)> {
        let nothing = String::new();
        let figure = match what {
            Measure::BulkDown => iperf::run(lab, address, Direction::Down, plan.bulk_time())? / 1e6,
            Measure::BulkUp => iperf::run(lab, address, Direction::Up, plan.bulk_time())? / 1e6,
            Measure::BulkParallel => {
                iperf::run_parallel(lab, address, Direction::Down, plan.bulk_time(), 4)? / 1e6
            }
            Measure::File => {
                let Some(web) = &self.web else { return Ok((f64::NAN, nothing)) };
                // Half as long again as the others: the largest file should be possible wherever it can be.
                let size = web.size_up_to(plan.bytes() * 1.5);
                return Ok((web.fetch(lab, address, size, plan.patience())? / 1e6, megabytes(size)));
            }
            Measure::Typing => match &self.sshd {
                Some(sshd) => {
                    let typed = sshd.type_for(lab, address, plan.time)?;
                    return Ok((typed.per_second, format!("p99 {:.0} ms", typed.p99_ms)));
                }
                None => f64::NAN,
            },
            Measure::Copy => {
                let Some(sshd) = &self.sshd else { return Ok((f64::NAN, nothing)) };
                let size = (plan.bytes() / 4.0).clamp(100e3, COPY) as usize;
                return Ok((sshd.copy(lab, address, size, plan.patience())? / 1e6, megabytes(size)));
            }
            Measure::Mails => match &self.smtp {
                Some(smtp) => smtp.run(lab, address, plan.time)?,
                None => f64::NAN,
            },
            Measure::Transactions => match &self.postgres {
                Some(postgres) => {
                    let count = Postgres::selects_for(plan.time, plan.round_trip, plan.loss);
                    postgres.run(lab, address, (Transaction::Select, count), plan.patience())?
                }
                None => f64::NAN,
            },
            Measure::Requests => match &self.redis {
                Some(redis) => {
                    let requests = Redis::requests_for(plan.time, plan.round_trip, plan.loss);
                    redis.run(lab, address, requests, plan.patience())?
                }
                None => f64::NAN,
            },
            Measure::Messages => match &self.websocket {
                Some(websocket) => websocket.run(lab, address, plan.time)?,
                None => f64::NAN,
            },
        };
        Ok((figure, nothing))
    }
}

fn megabytes(bytes: usize) -> String {
    match bytes as f64 / 1e6 {
        size if size >= 1000.0 => format!("{:.0} GB", size / 1000.0),
        size if size >= 10.0 => format!("{size:.0} MB"),
        size => format!("{size:.1} MB"),
    }
}
