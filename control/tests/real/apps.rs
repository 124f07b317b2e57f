//! Applications over a path that loses and delays, relayed for their whole life.

use std::net::IpAddr;
use std::time::Duration;

use control::lab::apps::postgres::Transaction;
use control::lab::apps::{Direction, Postgres, Redis, Sshd, Web, WebSocket, iperf};
use control::lab::{Impair, Isn, Lab, Merge, Net, Result, Setup, expect, isolated};
use serde_json::Value;

use crate::traffic::MEGABYTE;
use crate::{EXECUTABLE, shutdown};

/// What each application gets to work, on each network.
const SPELL: Duration = Duration::from_secs(1);

/// Generous, for a machine that is busy with other things.
const WITHIN: Duration = Duration::from_secs(150);

/// Behind the end of a connection, and nothing else.
const EXPECTED_DROPS: [&str; 2] = ["drop_flow_gone", "drop_stray"];

/// Runs `use_it` on IPv4 and IPv6 against what `start` has started, over 1 % of loss and 10 ms.
fn over_a_bad_path<S>(
    name: &str,
    start: impl FnOnce(&Lab) -> Result<S>,
    use_it: impl Fn(&Lab, &S, IpAddr) -> Result<()>,
) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let servers = start(&lab)?;
        let path = Impair { loss_percent: 1.0, round_trip: Duration::from_millis(10), seed: 1 };
        let appliance = lab.appliance(&Setup::relay(Merge::Never, Isn::Keyed).impair(path))?;
        for net in Net::UNTAGGED {
            use_it(&lab, &servers, lab.server().address(net))?;
        }
        let stats = appliance.stats()?;
        expect(stats["counters"]["impaired_lost"].as_u64() > Some(0), "losses", stats.to_string())?;
        expect(stats["counters"]["flows_proxied"].as_u64() >= Some(2), "proxied flows", stats.to_string())?;
        no_other_drops(&stats)?;
        shutdown::check(appliance.stop()?)
    });
}

/// Every drop has a reason that a scenario without an attack can have.
pub fn no_other_drops(stats: &Value) -> Result<()> {
    let counters = stats["counters"].as_object().cloned().unwrap_or_default();
    let unexplained: Vec<_> = counters
        .into_iter()
        .filter(|(name, count)| name.starts_with("drop_") && count.as_u64() != Some(0))
        .filter(|(name, _)| !EXPECTED_DROPS.contains(&name.as_str()))
        .collect();
    expect(unexplained.is_empty(), "no unexplained drop", format!("{unexplained:?}"))
}

#[test]
fn bulk_both_ways() {
    over_a_bad_path(
        "apps::bulk_both_ways",
        |_| Ok(()),
        |lab, (), server| {
            for direction in [Direction::Down, Direction::Up] {
                let rate = iperf::run(lab, server, direction, SPELL)?;
                expect(rate > 1e6, "more than 1 Mbit/s", format!("{rate} {direction:?}"))?;
            }
            Ok(())
        },
    );
}

#[test]
fn a_file_from_nginx() {
    let start = |lab: &Lab| Web::start(lab, &[20 * MEGABYTE]);
    over_a_bad_path("apps::a_file_from_nginx", start, |lab, web, server| {
        web.fetch(lab, server, 20 * MEGABYTE, WITHIN).map(drop)
    });
}

#[test]
fn a_shell_and_a_copy() {
    over_a_bad_path("apps::a_shell_and_a_copy", Sshd::start, |lab, sshd, server| {
        sshd.type_for(lab, server, SPELL)?;
        sshd.copy(lab, server, 5 * MEGABYTE, WITHIN).map(drop)
    });
}

#[test]
fn database_transactions() {
    over_a_bad_path("apps::database_transactions", Postgres::start, |lab, postgres, server| {
        postgres.run(lab, server, (Transaction::Select, 50), WITHIN)?;
        postgres.run(lab, server, (Transaction::TpcB, 10), WITHIN)?;
        postgres.is_consistent(lab)
    });
}

#[test]
fn pipelined_requests() {
    over_a_bad_path("apps::pipelined_requests", Redis::start, |lab, redis, server| {
        redis.run(lab, server, 20_000, WITHIN).map(drop)
    });
}

#[test]
fn web_socket_messages() {
    over_a_bad_path("apps::web_socket_messages", WebSocket::start, |lab, peer, server| {
        peer.run(lab, server, SPELL).map(drop)
    });
}
