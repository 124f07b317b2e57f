//! No cache line that a worker writes on the packet path is touched by anybody else: seen by tracing every load and store.

use std::process::Command;

#[test]
fn workers_write_no_line_that_somebody_else_touches() {
    if std::env::var_os(control::lab::harness::SKIP).is_some_and(|value| value == "1") {
        return;
    }
    let bench = env!("CARGO_BIN_EXE_bench");
    let output =
        Command::new(bench).args(["--only", "sharing", "--dry"]).output().expect("it has been built");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).join("\n");
    assert!(output.status.success(), "{said}");
}
