//! What people see, to the letter.

use std::path::Path;

use super::{render, render_check, units};
use crate::api::types::{
    self, CoreStatus, Counters, EventInfo, FlowInfo, HitInfo, Link, Mbufs, PatternStats, PortStats,
    PortStatus, Stats, Status, Usage, WorkerStats,
};
use crate::config::{Devices, Machine, parse};

fn flow() -> FlowInfo {
    FlowInfo {
        client: "10.0.0.1:40001".parse().unwrap(),
        server: "10.0.0.2:80".parse().unwrap(),
        far_client: None,
        far_server: None,
        pair: 0,
        vlans: vec![],
        path: types::Path::CutThrough,
        module: Some("relay".into()),
        delta_c2s: 0,
        delta_s2c: -1200,
        bytes_c2s: 512,
        bytes_s2c: 3 << 20,
        packets_c2s: 10,
        packets_s2c: 2100,
        age_ms: 12_345,
        splits: 0,
        merges: 1,
    }
}

#[test]
fn flows_are_one_line_each() {
    let v6 = FlowInfo {
        client: "[2001:db8::1]:5".parse().unwrap(),
        server: "[2001:db8::2]:443".parse().unwrap(),
        vlans: vec![100, 7],
        path: types::Path::Bypassed,
        module: None,
        delta_c2s: i32::MAX,
        delta_s2c: 0,
        age_ms: 7_500_000,
        ..flow()
    };
    let expected = "\
CLIENT → SERVER                      VLAN   PATH         MODULE        Δ C2S  Δ S2C  BYTES C2S  BYTES S2C  SPLITS  MERGES    AGE
10.0.0.1:40001 → 10.0.0.2:80         -      cut_through  relay             0  -1200      512 B    3.0 MiB       0       1    12s
[2001:db8::1]:5 → [2001:db8::2]:443  100.7  bypassed     -       +2147483647      0      512 B    3.0 MiB       0       1  2h 5m
";
    assert_eq!(render::flows(&[flow(), v6], 100), expected);
    assert_eq!(render::flows(&[], 100), "no flows\n");
    assert!(render::flows(&vec![flow(); 2000], 2000).ends_with("(stopped after 2,000 flows)\n"));
}

#[test]
fn status_shows_ports_links_and_cores() {
    let port = |name: &str, peer: &str, link| PortStatus {
        name: name.into(),
        peer: peer.into(),
        device: format!("net_af_packet0,iface={name}"),
        driver: "net_af_packet".into(),
        link,
        mac: "02:00:00:00:00:01".into(),
    };
    let status = Status {
        version: "0.1.0".into(),
        pid: 77,
        uptime_ms: 90_061_000,
        config: "/etc/quadrille.toml".into(),
        ports: vec![
            port("client", "server", Link { up: true, speed_mbps: Some(10_000) }),
            port("server", "client", Link { up: false, speed_mbps: None }),
        ],
        cores: CoreStatus { control: 0, workers: vec![1, 2], control_alive: false, flooded: vec![2] },
        flows: 1_234_567,
        merging: true,
    };
    let expected = "\
quadrille 0.1.0, process 77, up 1d 1h, 1,234,567 flows
configuration /etc/quadrille.toml
control core 0 (stalled), workers on 1, 2 (flooded: more SYNs come than can be held)

PORT    PEER    DEVICE                       DRIVER         LINK           MAC
client  server  net_af_packet0,iface=client  net_af_packet  up, 10 Gbit/s  02:00:00:00:00:01
server  client  net_af_packet0,iface=server  net_af_packet  down           02:00:00:00:00:01
";
    assert_eq!(render::status(&status), expected);
}

fn counters<const N: usize>(list: [(&str, u64); N]) -> Counters {
    list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn stats_leave_out_what_is_zero() {
    let worker = |worker, list| WorkerStats {
        worker,
        core: worker + 1,
        counters: counters(list),
        tables: Default::default(),
    };
    let pattern =
        |name: &str, matches| PatternStats { pattern: name.into(), verdict: "reset".into(), matches };
    let stats = Stats {
        counters: counters([("received", 1500), ("drop_land", 1), ("drop_tcp_flags", 0)]),
        workers: vec![
            worker(0, [("received", 1000), ("drop_land", 0)]),
            worker(1, [("received", 500), ("drop_land", 1)]),
        ],
        control: counters([("merges", 3), ("splits", 0)]),
        ports: vec![
            PortStats { name: "client".into(), counters: counters([("rx_good_packets", 1500)]) },
            PortStats { name: "server".into(), counters: counters([("rx_good_packets", 0)]) },
        ],
        mbufs: Mbufs { total: 32_767, in_use: 4096 },
        tables: [("flows".to_owned(), Usage { used: 12, capacity: 65_536 })].into(),
        inspections: [("web".to_owned(), vec![pattern("never", 0), pattern("passwd", 1234)])].into(),
    };
    let expected = "\
COUNTER    TOTAL  WORKER 0  WORKER 1
drop_land      1         0         1
received   1,500     1,000       500

INSPECTION  PATTERN  VERDICT  MATCHES
web         passwd   reset      1,234

CONTROL CORE  TOTAL
merges            3

PORT CLIENT      TOTAL
rx_good_packets  1,500

TABLE   USED  CAPACITY  FULL
mbufs  4,096    32,767  12 %
flows     12    65,536   0 %
";
    assert_eq!(render::stats(&stats), expected);
    let idle = Stats {
        counters: Counters::new(),
        workers: vec![],
        control: Counters::new(),
        ports: vec![],
        inspections: Default::default(),
        ..stats
    };
    assert!(render::stats(&idle).starts_with("no packets yet\n\nTABLE "));
}

#[test]
fn events_tell_hand_overs_and_hits_in_the_same_columns() {
    let event = |at_ms, name: &str, hit: Option<HitInfo>| EventInfo {
        at_ms,
        client: "10.0.0.1:40000".parse().unwrap(),
        server: "[fd00::2]:80".parse().unwrap(),
        event: name.to_owned(),
        duration_us: if hit.is_none() { 1234 } else { 0 },
        reason: None,
        hit,
    };
    let hit = HitInfo {
        inspection: Some("web".to_owned()),
        pattern: 2,
        name: "passwd".to_owned(),
        from: "client".to_owned(),
        place: 1034,
        verdict: "reset".to_owned(),
    };
    let unnamed = HitInfo { inspection: None, name: "pattern[2]".to_owned(), ..hit.clone() };
    let refused = EventInfo { reason: Some("closing".to_owned()), ..event(30_000, "split_refused", None) };
    let events = [
        event(1500, "split", None),
        event(20_001, "hit", Some(hit)),
        event(20_002, "hit", Some(unnamed)),
        refused,
    ];
    let expected = "      AT  CLIENT → SERVER                EVENT              TOOK  WHAT
 1.500 s  10.0.0.1:40000 → [fd00::2]:80  split          1,234 us  -
20.001 s  10.0.0.1:40000 → [fd00::2]:80  hit                   -  web passwd [2], client's byte 1034: reset
20.002 s  10.0.0.1:40000 → [fd00::2]:80  hit                   -  (former) pattern[2], client's byte 1034: reset
30.000 s  10.0.0.1:40000 → [fd00::2]:80  split_refused  1,234 us  closing
";
    assert_eq!(render::events(&events), expected);
}

#[test]
fn check_shows_what_a_configuration_comes_to() {
    let text = r#"
        [cores]
        control = 0
        workers = [1]
        [[port]]
        name = "wan"
        device = "0000:01:00.0"
        peer = "lan"
        mtu = 1500
        [[port]]
        name = "lan"
        device = "01:00.1"
        peer = "wan"
        [[rule]]
        name = "web"
        match = { source = ["10.0.0.0/8", "fd00::1"], destination_ports = ["80-88", 443], vlan = ["none", "100.7"] }
        action = "offer"
        module = "relay"
        split = { after = "10s" }
        idle = "5m"
        [[rule]]
        action = "reject"
        match = { destination_ports = 23 }
        [module.relay]
        kind = "relay"
        merge = { after_bytes = 65536 }
        [module.spare]
        kind = "relay"
    "#;
    let config = parse("q.toml", text, &Machine { cores: vec![0, 1], devices: Devices::Unknown }).unwrap();
    let expected = "\
q.toml is valid
warning: q.toml:27:17: module.spare: no rule offers flows to this module

socket   /run/quadrille.sock
cores    control 0, workers 1, idle: spin
rings    1 queue a port with 1024 receive and 1024 transmit descriptors each; 4096 messages each way between a worker \
and the control core

ports
  ID  NAME  PEER  PAIR   MTU  DEVICE
   0  wan   lan      0  1500  0000:01:00.0
   1  lan   wan      0  1500  0000:01:00.1

memory
  FOR                BYTES  MADE UP OF
  DPDK           256.0 MiB  ordinary pages; 32,767 buffers of 2176 bytes take 128.0 MiB
  flows            9.9 MiB  65,536 for each of 1 worker
  far sides       10.4 MiB  65,536 for each of 1 worker
  inspection      20.6 MiB  16,384 flows that are searched for each of 1 worker
  held             1.9 MiB  4,096 for each of 1 worker and the control core
  rules            1.1 KiB  2, and those that a reload brings
  suspended        3.7 MiB  16,384 for each of 1 worker
  participating  288.0 MiB  4,096 flows; 256.0 MiB for all buffers, 4.0 MiB to send and 4.0 MiB to receive a leg
  history        848.0 KiB  4,096 servers and as many clients
  mailboxes      960.0 KiB  of 1 worker
  all            592.4 MiB

rules
  RULE       ACTION                                  FLOWS                           MATCH
  web        offer to relay (merged after 64.0 KiB)  split after 10s, idle up to 5m  source 10.0.0.0/8, fd00::1/128; destination port 80-88, 443; vlan \
none, 100.7
  rule[1]    reject with reset                       -                               destination port 23
  (default)  pass                                    -                               everything else
";
    assert_eq!(render_check::check(Path::new("q.toml"), &config), expected);
}

#[test]
fn numbers_are_readable() {
    assert_eq!([0, 999, 1000, 1_234_567].map(units::count), ["0", "999", "1,000", "1,234,567"]);
    let ages = [0, 999, 1000, 61_000, 3_600_000, 90_000_000].map(units::age);
    assert_eq!(ages, ["0ms", "999ms", "1s", "1m 1s", "1h 0m", "1d 1h"]);
    assert_eq!([0, 5, -5].map(units::delta), ["0", "+5", "-5"]);
    assert_eq!(
        [units::share(1, 3), units::share(u64::MAX, u64::MAX), units::share(0, 0)],
        ["33 %", "100 %", "-"]
    );
    assert_eq!([100, 2500, 100_000].map(units::speed), ["100 Mbit/s", "2.5 Gbit/s", "100 Gbit/s"]);
    assert_eq!([0, 1023, 1 << 20].map(units::bytes), ["0 B", "1023 B", "1.0 MiB"]);
}
