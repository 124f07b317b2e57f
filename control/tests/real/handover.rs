//! Flows that change hands all the time, with data in flight, while real kernels and applications talk (DESIGN sections 5
//! and 6).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use control::lab::apps::postgres::Transaction;
use control::lab::apps::{Direction, Postgres, Redis, Smtp, Sshd, Web, iperf};
use control::lab::{HandOvers, Hook, Isn, Lab, Merge, Net, Result, Setup, expect, isolated};

use crate::apps::no_other_drops;
use crate::traffic::{self, MEGABYTE};
use crate::{EXECUTABLE, shutdown};

/// Between two rounds of orders, at most.
const PAUSE: Duration = Duration::from_millis(20);

/// What each application gets to work, on each network.
const SPELL: Duration = Duration::from_secs(1);

/// Generous, for a machine that is busy with other things.
const WITHIN: Duration = Duration::from_secs(100);

/// Runs `traffic` while flows change hands, at least so often: on a busy machine whoever orders may not get to it.
fn during<S>(
    name: &str,
    (isn, least): (Isn, u64),
    start: impl FnOnce(&Lab) -> Result<S>,
    traffic: impl Fn(&Lab, &S) -> Result<()>,
) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let servers = start(&lab)?;
        let appliance = lab.appliance(&Setup::relay(Merge::Established, isn))?;
        let orders = HandOvers::start(&lab, &appliance, isn, (1, PAUSE))?;
        let began = Instant::now();
        loop {
            traffic(&lab, &servers)?;
            let splits = appliance.counter("splits")?;
            if splits >= least {
                break;
            }
            expect(began.elapsed() < WITHIN, format!("at least {least} splits"), splits.to_string())?;
        }
        orders.stop()?;
        no_other_drops(&appliance.stats()?)?;
        shutdown::check(appliance.stop()?)
    });
}

/// What needs no server that stays.
fn nothing(_: &Lab) -> Result<()> {
    Ok(())
}

#[test]
fn a_large_file_while_flows_change_hands() {
    let name = "handover::a_large_file_while_flows_change_hands";
    during(name, (Isn::Keyed, 20), nothing, |lab, ()| {
        traffic::download(lab, Net::V4, 200 * MEGABYTE)?;
        traffic::upload(lab, Net::V6, 200 * MEGABYTE)
    });
}

#[test]
fn losses_while_flows_change_hands() {
    let lossy = |lab: &Lab| {
        lab.client().lose(Hook::Input, 10)?;
        lab.server().lose(Hook::Input, 10)
    };
    during("handover::losses_while_flows_change_hands", (Isn::Mirror, 20), lossy, |lab, ()| {
        traffic::download(lab, Net::V4, 150 * MEGABYTE)?;
        traffic::upload(lab, Net::V6, 150 * MEGABYTE)
    });
}

/// Runs `use_it` on IPv4 and IPv6 against what `start` has started, while its flows change hands.
fn application<S>(
    name: &str,
    start: impl FnOnce(&Lab) -> Result<S>,
    use_it: impl Fn(&Lab, &S, IpAddr) -> Result<()>,
) {
    during(name, (Isn::Keyed, 10), start, |lab, servers| {
        Net::UNTAGGED.into_iter().try_for_each(|net| use_it(lab, servers, lab.server().address(net)))
    });
}

#[test]
fn bulk_both_ways_and_in_parallel() {
    application("handover::bulk_both_ways_and_in_parallel", nothing, |lab, (), server| {
        for (direction, connections) in [(Direction::Down, 1), (Direction::Up, 1), (Direction::Down, 4)] {
            let rate = iperf::run_parallel(lab, server, direction, SPELL, connections)?;
            expect(rate > 1e6, "more than 1 Mbit/s", format!("{rate} {direction:?}"))?;
        }
        Ok(())
    });
}

#[test]
fn a_file_from_nginx() {
    let start = |lab: &Lab| Web::start(lab, &[50 * MEGABYTE]);
    application("handover::a_file_from_nginx", start, |lab, web, server| {
        web.fetch(lab, server, 50 * MEGABYTE, WITHIN).map(drop)
    });
}

#[test]
fn a_shell_and_a_copy() {
    application("handover::a_shell_and_a_copy", Sshd::start, |lab, sshd, server| {
        sshd.type_for(lab, server, SPELL)?;
        sshd.copy(lab, server, 20 * MEGABYTE, WITHIN).map(drop)
    });
}

#[test]
fn mails_to_a_server_that_speaks_first() {
    application("handover::mails_to_a_server_that_speaks_first", Smtp::start, |lab, smtp, server| {
        smtp.run(lab, server, SPELL).map(drop)
    });
}

#[test]
fn database_transactions() {
    application("handover::database_transactions", Postgres::start, |lab, postgres, server| {
        postgres.run(lab, server, (Transaction::Select, 200), WITHIN)?;
        postgres.run(lab, server, (Transaction::TpcB, 30), WITHIN)?;
        postgres.is_consistent(lab)
    });
}

#[test]
fn pipelined_requests() {
    application("handover::pipelined_requests", Redis::start, |lab, redis, server| {
        redis.run(lab, server, 100_000, WITHIN).map(drop)
    });
}
