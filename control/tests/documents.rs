//! Documents that repeat what the code knows. `QUADRILLE_WRITE_DOCS=1 cargo test -p control --test documents` writes
//! them anew.

use std::fs;
use std::path::Path;

use dataplane::counters::Counter;

const COUNTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/counters.md");

/// The table for the counters that `wanted` picks, in the order of the code.
fn table(wanted: impl Fn(&Counter) -> bool) -> String {
    let rows = Counter::ALL.iter().filter(|counter| wanted(counter));
    let rows = rows.map(|counter| format!("| `{}` | {} |\n", counter.name(), counter.help().trim()));
    format!("| counter | counts |\n|---|---|\n{}", rows.collect::<String>())
}

fn counters() -> String {
    let is_drop = |counter: &Counter| counter.name().starts_with("drop_");
    format!(
        "# Counters\n\n\
         What `quadrille stats` shows and `quadrille run` prints when it ends. `stats` leaves out what is 0; \
         `stats --json` has\nall of them: `counters` is the sum, `workers` each worker's, `control` the control \
         core's. They count from the start of\nthe process and never go back.\n\n\
         Written by `control/tests/documents.rs` from `dataplane/src/counters.rs`.\n\n\
         ## Traffic and flows\n\n{}\n\
         ## Drops\n\n\
         Every frame that is received and not forwarded is counted under one of these, or as `terminated`.\n\n{}",
        table(|counter| !is_drop(counter)),
        table(is_drop)
    )
}

#[test]
fn counters_are_documented() {
    let expected = counters();
    if std::env::var_os("QUADRILLE_WRITE_DOCS").is_some() {
        fs::write(Path::new(COUNTERS), &expected).unwrap();
    }
    let found = fs::read_to_string(COUNTERS).unwrap_or_default();
    assert!(found == expected, "docs/counters.md is out of date; QUADRILLE_WRITE_DOCS=1 writes it anew");
}
