//! Documents that repeat what the code knows. `QUADRILLE_WRITE_DOCS=1 cargo test -p control --test documents` writes
//! them anew.

#[path = "documents/paths.rs"]
mod paths;

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

const RFC_9293: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rfc9293.md");

/// The numbers that appendix B of RFC 9293 has, of each kind.
const REQUIREMENTS: [(&str, u32); 4] = [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)];

/// Where the tests are that the table names in short.
const FOLDERS: [(&str, &str); 8] = [
    ("tcp/", "control/src/tcp/tests/"),
    ("core/", "control/tests/core/"),
    ("real/", "control/tests/real/"),
    ("config/", "control/src/config/tests/"),
    ("src/", "control/src/"),
    ("worker/", "dataplane/tests/worker/"),
    ("packet/", "dataplane/src/packet/tests/"),
    ("wire/", "dataplane/src/wire/"),
];

/// The tests that a text names as `file.rs::function`.
fn named_tests(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::"))
}

/// `None` when there is such a test, else what is wrong.
fn missing(file: &str, function: &str) -> Option<String> {
    let folder = FOLDERS.iter().find_map(|(short, long)| Some((long, file.strip_prefix(short)?)));
    let Some((folder, rest)) = folder else { return Some(format!("{file}: no folder of that name")) };
    let path = format!("{}/../{folder}{rest}.rs", env!("CARGO_MANIFEST_DIR"));
    let Ok(source) = fs::read_to_string(&path) else { return Some(format!("{file}.rs does not exist")) };
    let Some(at) = source.find(&format!("fn {function}(")) else {
        return Some(format!("{file}.rs has no {function}"));
    };
    // An attribute stands on the line above; a property has no other mark than its macro's block.
    let before: Vec<&str> = source[..at].lines().rev().skip_while(|line| line.trim().is_empty()).collect();
    let is_test = before.first().is_some_and(|line| line.trim() == "#[test]");
    (!is_test).then(|| format!("{file}.rs: {function} is no test"))
}

#[test]
fn every_requirement_of_rfc_9293_has_a_test_or_a_reason() {
    let document = fs::read_to_string(RFC_9293).expect("docs/rfc9293.md");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('-'))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let mut problems = Vec::new();
    for (kind, count) in REQUIREMENTS {
        for number in (1..=count).map(|n| format!("{kind}-{n}")) {
            let found: Vec<_> = rows.iter().filter(|row| row[0].split(", ").any(|n| n == number)).collect();
            match found[..] {
                [row] if row.len() == 4 && row.iter().all(|cell| !cell.is_empty()) => {}
                [_] => problems.push(format!("{number}: its row is not complete")),
                _ => problems.push(format!("{number} stands in {} rows", found.len())),
            }
        }
    }
    let named: Vec<_> = named_tests(&document).collect();
    assert!(named.len() > 100, "only {} tests are named", named.len());
    problems.extend(named.into_iter().filter_map(|(file, function)| missing(file, function)));
    assert!(problems.is_empty(), "docs/rfc9293.md:\n{}", problems.join("\n"));
}

const OPTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tcp-options.md");

/// Kinds and flags that the table has to speak of.
const OPTION_KINDS: [&str; 19] = [
    "0", "1", "2", "3", "4", "5", "8", "19", "20", "27", "28", "29", "30", "34", "69", "172", "174", "253",
    "254",
];

#[test]
fn every_tcp_option_has_its_row_and_every_row_a_test() {
    let document = fs::read_to_string(OPTIONS).expect("docs/tcp-options.md");
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| kind");
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(is_row)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let mut problems = Vec::new();
    for kind in OPTION_KINDS {
        if rows.iter().filter(|row| row[0].split(", ").any(|k| k == kind)).count() != 1 {
            problems.push(format!("kind {kind} does not stand in one row"));
        }
    }
    for row in &rows {
        let complete = row.len() == 7 && row.iter().all(|cell| !cell.is_empty());
        if !complete || named_tests(row[row.len() - 1]).count() == 0 {
            problems.push(format!("{}: the row is not complete, or names no test", row[0]));
        }
    }
    problems.extend(named_tests(&document).filter_map(|(file, function)| missing(file, function)));
    assert!(problems.is_empty(), "docs/tcp-options.md:\n{}", problems.join("\n"));
}

/// A file of the repository.
macro_rules! repository {
    ($path:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../", $path)
    };
}

const HAND_OVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/hand-overs.md");
const INSPECTION: &str = repository!("docs/inspection.md");
const DELAYED_ACCEPTANCE: &str = repository!("docs/delayed-acceptance.md");
/// Where the actions are that can be ordered: those of modules, and those of programs.
const DECISIONS: &str = repository!("control/src/module.rs");
const PROGRAMS_ACTIONS: &str = repository!("listener/src/partial.rs");

/// The actions in the code's own names: variants of `Decision`, and the methods by which a program gives a `Partial` away.
fn actions() -> Vec<String> {
    let module = fs::read_to_string(DECISIONS).expect("module.rs");
    let decision = module.split("pub enum Decision {").nth(1).and_then(|rest| rest.split("\n}").next());
    let variants = decision.expect("the enum").lines().filter_map(|line| {
        let name =
            line.strip_prefix("    ").filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))?;
        name.split(|c: char| !c.is_ascii_alphanumeric()).next().map(str::to_owned)
    });
    let partial = fs::read_to_string(PROGRAMS_ACTIONS).expect("partial.rs");
    let methods = partial.lines().filter_map(|line| {
        let (name, arguments) = line.trim().strip_prefix("pub fn ")?.split_once('(')?;
        (arguments.starts_with("self,") || arguments.starts_with("self)")).then(|| name.to_owned())
    });
    variants.chain(methods).collect()
}

/// What a renderer would stumble over: arrows from or to nobody, blocks without an end.
fn diagram_faults(diagram: &str) -> Vec<String> {
    let lines = || diagram.lines().map(str::trim);
    let known: Vec<&str> = lines()
        .filter_map(|line| line.strip_prefix("participant ")?.split_once(" as "))
        .map(|(short, _)| short)
        .collect();
    let mut faults = Vec::new();
    for line in lines() {
        if let Some((from, rest)) = line.split_once("->>") {
            let (to, said) = rest.split_once(": ").unwrap_or((rest, ""));
            if !known.contains(&from) || !known.contains(&to) || said.is_empty() || said.contains([';', '#'])
            {
                faults.push(line.to_owned());
            }
        }
    }
    let blocks = lines().filter(|line| line.starts_with("alt ")).count();
    if blocks != lines().filter(|line| *line == "end").count() || !diagram.starts_with("sequenceDiagram\n") {
        faults.push("a block without its end, or no sequence diagram".into());
    }
    faults
}

/// What stands behind `word` up to the end of its paragraph or the next such word.
fn paragraph<'a>(section: &'a str, word: &str) -> &'a str {
    let rest = section.split(word).nth(1).unwrap_or("");
    rest.split("\n\n").next().and_then(|rest| rest.split("\nShown by: ").next()).unwrap_or("")
}

/// What is wrong with a document whose every section has a diagram, counters and tests; and how many sections it has.
fn faults_of_ways(document: &str) -> (usize, Vec<String>) {
    let mut problems: Vec<String> =
        named_tests(document).filter_map(|(file, function)| missing(file, function)).collect();
    let sections: Vec<&str> = document.split("\n### ").skip(1).collect();
    for section in &sections {
        let title = section.lines().next().unwrap_or_default();
        let diagrams: Vec<&str> =
            section.split("```mermaid\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        let faults = diagrams.iter().flat_map(|diagram| diagram_faults(diagram));
        problems.extend(faults.map(|fault| format!("{title}: {fault}")));
        let counters: Vec<&str> = paragraph(section, "\nCounted: ").split('`').skip(1).step_by(2).collect();
        let unknown = counters.iter().filter(|name| Counter::ALL.iter().all(|known| known.name() != **name));
        problems.extend(unknown.map(|name| format!("{title}: there is no counter {name}")));
        let tests = named_tests(paragraph(section, "\nShown by: ")).count();
        if diagrams.len() != 1 || counters.is_empty() || tests == 0 {
            problems.push(format!("{title}: a diagram, a counter or a test is missing"));
        }
    }
    (sections.len(), problems)
}

#[test]
fn every_way_of_delayed_acceptance_has_its_diagram_counter_and_test() {
    let document = fs::read_to_string(DELAYED_ACCEPTANCE).expect("docs/delayed-acceptance.md");
    let (sections, mut problems) = faults_of_ways(&document);
    let unnamed = |action: &String| !document.contains(&format!("`{action}"));
    problems.extend(actions().into_iter().filter(unnamed).map(|action| format!("nothing about {action}")));
    assert!(sections >= 25, "only {sections} ways are shown");
    assert!(problems.is_empty(), "docs/delayed-acceptance.md:\n{}", problems.join("\n"));
}

#[test]
fn every_way_of_an_inspected_segment_has_its_diagram_counter_and_test() {
    let document = fs::read_to_string(INSPECTION).expect("docs/inspection.md");
    let (sections, problems) = faults_of_ways(&document);
    assert!(sections >= 3, "only {sections} ways are shown");
    assert!(problems.is_empty(), "docs/inspection.md:\n{}", problems.join("\n"));
}

#[test]
fn every_hand_over_has_its_diagram_counter_and_test() {
    let document = fs::read_to_string(HAND_OVERS).expect("docs/hand-overs.md");
    let (sections, problems) = faults_of_ways(&document);
    assert!(sections >= 4, "only {sections} ways are shown");
    assert!(problems.is_empty(), "docs/hand-overs.md:\n{}", problems.join("\n"));
}
