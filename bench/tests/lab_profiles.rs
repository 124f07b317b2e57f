//! The profiles for a lab with NICs are run against stand-ins of their generators: what they send is parsed, and meets the rules
//! that are meant for it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use dataplane::counters::Counter;

fn lab(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("lab").join(file)
}

/// Runs a program in a folder of its own, unless there is no lab here.
fn run(program: &str, arguments: &[PathBuf]) {
    if std::env::var_os(control::lab::harness::SKIP).is_some_and(|value| value == "1") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&folder).env("PYTHONDONTWRITEBYTECODE", "1");
    let output =
        command.output().unwrap_or_else(|error| panic!("{program}: {error}; `./dev setup` installs it"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_trex_sends_is_valid_and_meets_its_rule() {
    // The system's own: that is whose scapy has been installed.
    run("/usr/bin/python3", &[lab("check/check.py")]);
}

#[test]
fn pktgen_finds_the_rate_that_loses_nothing() {
    run("lua5.4", &[lab("check/pktgen.lua"), lab("pktgen/rate.lua")]);
}

/// Devices' names are DPDK's, TRex's its own; everything else in a column of counters is ours.
#[test]
fn counters_that_are_expected_exist() {
    let document = fs::read_to_string(lab("../../docs/lab-nics.md")).expect("docs/lab-nics.md");
    let mut names = 0;
    for table in document.split("| counter | expected |").skip(1) {
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let first = row.split('|').nth(1).expect("a cell");
            for name in first.split('`').skip(1).step_by(2) {
                assert!(Counter::ALL.iter().any(|counter| counter.name() == name), "{name}: no such counter");
                names += 1;
            }
        }
    }
    assert!(names > 15, "{names}");
}
