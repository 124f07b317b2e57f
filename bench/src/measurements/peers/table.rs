//! What was seen, as a table.

use control::lab::Net;

use super::contender::Contender;
use super::inside::{BULK, CONNECTIONS, Cost, Lane, Sample, Seen};
use super::proxies::Proxy;
use crate::race::Spread;
use crate::suite::{Demand, Finding, Gate, Row};

const HOW: &str = "Client, server and router are network namespaces, joined by veths without offloads, so that no frame is longer than \
    1518 bytes and every checksum is computed; all hosts send with CUBIC. The contenders: a veth from client to server; the router's \
    kernel; HAProxy and nginx on the router, with one thread, which end both connections; a proxy of a hundred lines there that accepts, \
    connects, and leaves the bytes to the kernel by a BPF program and a sockmap (`peers/sockmap.rs`), because neither of the two can; `quadrille` between two veths of its own, through \
    af_packet: control core and worker have a core each, on which they sleep, up to 50 µs at a time, when there is nothing to do (which is \
    in the latencies). Cut through, a flow is merged when the server has first answered; 99 in 100 \
    were, or there is no figure. Contenders take turns within each sample, and share the machine's cores with both ends.\n\n\
    *Connections*: the client connects, sends 128 bytes, gets 128 back, ends, and waits for the other end, 4000 times, 64 at once. \
    *Latencies* are the client's, of 400, one after the other: *connect* until established (a proxy accepts before it has asked the server), \
    *request* from then to the whole response. *Bulk* is one connection and 128 MiB from server to client.\n\n\
    *Own* is processor time of the contender's process. Over veths that is no clean cut: a frame is received by the next host's \
    kernel in the turn of whoever sent it, so that the server's TCP is part of a proxy's time and of ours, and what fills our packet socket is part \
    of the client's. So *all* is what every process of the lab took, less what it took over the bare veth in the same sample; it is all that \
    can be said of forwarding, which has no process, and the fairer ratio. What the kernel's own threads do is in neither, but for the \
    sockmap's *all*, for they send what it redirects: that is what the whole machine took, others' processes included, in ticks of the \
    kernel's clock. The appliance does not count its idle rounds: \
    its time is what its threads ran, looking in vain included; *at rest* is what that comes to without any traffic. *In memory* is what \
    `connections` measures, worker and control core together, by turns with the others.\n\n\
    *Idle* connections have had one response. The process had one connection before, and no others; its resident memory (VmRSS) with all, \
    and its growth for each. A proxy's sockets are the kernel's memory and not in it; the appliance has none, and takes its tables at start.";

const COLUMNS: [&str; 15] = [
    "connections a second",
    "a CPU second, own",
    "× HAProxy",
    "all, µs a connection",
    "× HAProxy, by all",
    "connect p50, µs",
    "p99",
    "request p50, µs",
    "p99",
    "Gbit/s",
    "CPU s/GB, own",
    "CPU s/GB, all",
    "MiB with idle ones",
    "KiB an idle one",
    "at rest, % of a core",
];

/// More than that of all processor time, and others are in the figures.
const QUIET: f64 = 0.05;

const HAPROXY: Contender = Contender::Proxy(Proxy::Haproxy { splice: false });

/// Nothing of all that was measured.
pub fn nothing(why: &str) -> Finding {
    let row = Row { case: format!("not measured: {why}"), values: vec![None; COLUMNS.len()] };
    Finding {
        how: HOW.into(),
        columns: COLUMNS.map(Into::into).into(),
        rows: vec![row],
        ..Finding::default()
    }
}

/// A row for each lane, and one for connections in memory.
pub fn finding(seen: &Seen) -> Finding {
    let mut finding =
        Finding { how: how(seen), columns: COLUMNS.map(Into::into).into(), ..Finding::default() };
    finding.rows = seen.lanes.iter().map(|lane| row(lane, &seen.lanes)).collect();
    let haproxy = of(&seen.lanes, HAPROXY, Net::V4);
    let times =
        |(nanoseconds, sample): (&f64, &Sample)| sample.many_cost.own.map(|own| own * 1e9 / nanoseconds);
    let against: Option<Vec<f64>> = seen.in_memory.iter().zip(haproxy).map(times).collect();
    let against = against.and_then(spread);
    let mut values = vec![None; COLUMNS.len()];
    values[1] = spread(seen.in_memory.iter().map(|nanoseconds| 1e9 / nanoseconds).collect());
    values[2] = against;
    finding.rows.push(Row { case: "IPv4, Quadrille in memory, as in `connections`".into(), values });
    finding.gates.extend(against.map(|value| {
        let what =
            "connections a CPU second in memory, without any port, × HAProxy's own with sockets over veths"
                .into();
        Gate { what, value, demand: Demand::AtLeast(12.0) }
    }));
    finding
}

fn how(seen: &Seen) -> String {
    let (idle, others) = (seen.idle, seen.others * 100.0);
    let others = format!("processes outside of the lab had {others:.0} % of all processor time meanwhile");
    let others = match seen.others <= QUIET {
        true => format!("All the while, {others}."),
        false => format!("**Do not trust these figures: {others}.**"),
    };
    format!("{HOW} There were {idle} of them.\n\n{others}")
}

/// Of what was measured at least once.
fn spread(values: Vec<f64>) -> Option<Spread> {
    (!values.is_empty()).then(|| Spread::of(values))
}

/// The samples of a contender that has all of them.
fn of(lanes: &[Lane], contender: Contender, net: Net) -> &[Sample] {
    let is_it = |lane: &&Lane| (lane.contender, lane.net) == (contender, net) && lane.failure.is_none();
    lanes.iter().find(is_it).map_or(&[], |lane| &lane.samples)
}

fn row(lane: &Lane, lanes: &[Lane]) -> Row {
    let family = if lane.net == Net::V4 { "IPv4" } else { "IPv6" };
    let case = format!("{family}, {}", lane.contender.name());
    if let Some(why) = &lane.failure {
        return Row { case: format!("{case}: not measured, {why}"), values: vec![None; COLUMNS.len()] };
    }
    let each = |value: &dyn Fn(&Sample) -> Option<f64>| {
        spread(lane.samples.iter().map(value).collect::<Option<Vec<f64>>>()?)
    };
    // Of the same sample of another.
    let beside = |contender, value: &dyn Fn(&Sample, &Sample) -> Option<f64>| {
        let pairs = lane.samples.iter().zip(of(lanes, contender, lane.net));
        spread(pairs.map(|(own, other)| value(own, other)).collect::<Option<Vec<f64>>>()?)
    };
    // What is compared is of one kind.
    let whole = |cost: &Cost| if lane.contender.has_kernel_threads() { cost.machine } else { cost.lab };
    let beyond_the_wire = |value: &dyn Fn(&Sample) -> f64| match lane.contender {
        Contender::Direct => None,
        _ => beside(Contender::Direct, &|own, wire| Some(value(own) - value(wire))),
    };
    let wire = of(lanes, Contender::Direct, lane.net);
    let by_all = match lane.contender {
        Contender::Direct => None,
        _ => {
            let sides = lane.samples.iter().zip(of(lanes, HAPROXY, lane.net)).zip(wire);
            let all = |sample: &Sample| whole(&sample.many_cost);
            let ratio = |((own, haproxy), wire)| (all(haproxy) - all(wire)) / (all(own) - all(wire));
            spread(sides.map(ratio).collect())
        }
    };
    let idle =
        lane.idle.map(|idle| [idle.resident / f64::from(1 << 20), idle.each / 1024.0, idle.at_rest * 100.0]);
    let [resident, growth, at_rest] = [0, 1, 2].map(|at| idle.map(|idle: [f64; 3]| Spread::of([idle[at]])));
    let values = [
        each(&|sample| Some(CONNECTIONS as f64 / sample.many.seconds)),
        each(&|sample| Some(1.0 / sample.many_cost.own?)),
        beside(HAPROXY, &|own, haproxy| Some(haproxy.many_cost.own? / own.many_cost.own?)),
        beyond_the_wire(&|sample| whole(&sample.many_cost) * 1e6),
        by_all,
        each(&|sample| Some(sample.alone.connect.p50)),
        each(&|sample| Some(sample.alone.connect.p99)),
        each(&|sample| Some(sample.alone.request.p50)),
        each(&|sample| Some(sample.alone.request.p99)),
        each(&|sample| Some(BULK as f64 * 8.0 / 1e9 / sample.bulk.seconds)),
        each(&|sample| Some(sample.bulk_cost.own? * 1e9)),
        beyond_the_wire(&|sample| whole(&sample.bulk_cost) * 1e9),
        resident,
        growth,
        at_rest,
    ];
    Row { case, values: values.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurements::peers::inside::Idle;

    fn lane(contender: Contender, own: Option<f64>, all: f64) -> Lane {
        let sample = Sample {
            many_cost: Cost { own, lab: all, machine: all },
            bulk_cost: Cost { own, lab: all, machine: all },
            ..Sample { many: report(2.0), bulk: report(1.0), ..Sample::default() }
        };
        let idle = own.map(|_| Idle { resident: f64::from(3 << 20), each: 512.0, at_rest: 0.25 });
        Lane { contender, net: Net::V4, samples: vec![sample; 3], idle, failure: None }
    }

    fn report(seconds: f64) -> crate::measurements::peers::ends::Report {
        crate::measurements::peers::ends::Report { seconds, ..Default::default() }
    }

    /// To three places: figures of this kind are not exact.
    fn medians(row: &Row) -> Vec<Option<f64>> {
        row.values.iter().map(|value| value.map(|spread| (spread.median * 1e3).round() / 1e3)).collect()
    }

    #[test]
    fn contenders_are_seen_beside_haproxy_and_the_wire() {
        let lanes = vec![
            lane(Contender::Direct, None, 50e-6),
            lane(HAPROXY, Some(40e-6), 90e-6),
            lane(Contender::CutThrough, Some(20e-6), 80e-6),
        ];
        let finding = finding(&Seen { lanes, in_memory: vec![2000.0; 3], idle: 10, others: 0.0 });
        let [wire, haproxy, ours, memory] = [0, 1, 2, 3].map(|row| medians(&finding.rows[row]));
        assert_eq!(wire[..4], [Some(2000.0), None, None, None]);
        assert_eq!((haproxy[1], haproxy[2]), (Some(25_000.0), Some(1.0)));
        assert_eq!((ours[1], ours[2]), (Some(50_000.0), Some(2.0)));
        assert_eq!(ours[3..5], [Some(30.0), Some(1.333)]);
        assert_eq!(ours[12..], [Some(3.0), Some(0.5), Some(25.0)]);
        assert_eq!((memory[1], memory[2]), (Some(500_000.0), Some(20.0)));
        assert!(finding.gates[0].is_met());
    }

    #[test]
    fn who_could_not_be_measured_says_why() {
        let mut haproxy = lane(HAPROXY, Some(1.0), 1.0);
        haproxy.failure = Some("haproxy is not installed".into());
        let lanes =
            vec![lane(Contender::Direct, None, 1.0), haproxy, lane(Contender::CutThrough, Some(1.0), 2.0)];
        let finding = finding(&Seen { lanes, in_memory: vec![1.0; 3], idle: 10, others: 0.0 });
        assert!(finding.rows[1].case.ends_with("not measured, haproxy is not installed"));
        assert_eq!(medians(&finding.rows[2])[2], None, "beside nobody");
        assert!(finding.gates.is_empty());
    }
}
