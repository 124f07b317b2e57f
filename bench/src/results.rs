//! What becomes of findings: a table each on the terminal, and in a folder one JSON file and one chart a measurement, and a page
//! of all that are there, so that one measurement can be repeated without the others.

mod chart;
mod page;

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::race::Spread;
use crate::suite::{Demand, Gate, Record};

/// Writes a record's files, and the page anew.
pub fn write(folder: &Path, record: &Record) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    let path = folder.join(format!("{}.json", record.name));
    let json = serde_json::to_string_pretty(record)? + "\n";
    fs::write(&path, json).with_context(|| format!("{}: cannot be written", path.display()))?;
    if let Some(chart) = &record.finding.chart {
        let path = folder.join(format!("{}.svg", record.name));
        fs::write(&path, chart::svg(chart)?)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    let path = folder.join("README.md");
    fs::write(&path, page::page(&records(folder)?))
        .with_context(|| format!("{}: cannot be written", path.display()))
}

/// What was found before, as far as it can be read.
pub fn past(folder: &Path) -> Vec<Record> {
    records(folder).unwrap_or_default()
}

/// All that are there, by name; without those that another version of this program has written, or nobody.
fn records(folder: &Path) -> anyhow::Result<Vec<Record>> {
    let mut paths: Vec<_> = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    paths.sort_by_key(fs::DirEntry::file_name);
    let is_json = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
    let read = |path: &Path| anyhow::Ok(serde_json::from_str(&fs::read_to_string(path)?)?);
    let known = paths.iter().map(fs::DirEntry::path).filter(|path| is_json(path)).filter_map(|path| {
        let unread =
            |why: &anyhow::Error| eprintln!("{}: {why:#}; measure it again, or remove it", path.display());
        read(&path).inspect_err(unread).ok()
    });
    Ok(known.collect())
}

/// On the terminal.
pub fn print(record: &Record) {
    println!("{}: {}", record.name, record.about);
    let head = [String::new()].into_iter().chain(record.finding.columns.iter().cloned());
    let body = record.finding.rows.iter().map(|row| {
        let values = row.values.iter().map(|value| value.as_ref().map_or_else(String::new, spread));
        [row.case.clone()].into_iter().chain(values).collect()
    });
    for line in aligned(&[head.collect()].into_iter().chain(body).collect::<Vec<_>>()) {
        println!("  {line}");
    }
    for gate in &record.finding.gates {
        println!("  {}", self::gate(gate));
    }
    if let Some(complaint) = &record.complaint {
        println!("  {complaint}");
    }
    println!("  {:.0} s, median (lowest to highest) of {} samples\n", record.seconds, record.samples);
}

/// Lines of a table whose columns are as wide as their widest cells.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A value with as many digits as mean something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

fn spread(spread: &Spread) -> String {
    match spread.low == spread.high {
        true => number(spread.median),
        false => format!("{} ({} to {})", number(spread.median), number(spread.low), number(spread.high)),
    }
}

fn gate(gate: &Gate) -> String {
    let (word, bound) = match gate.demand {
        Demand::AtLeast(bound) => ("at least", bound),
        Demand::AtMost(bound) => ("at most", bound),
    };
    let met = if gate.is_met() { "met" } else { "not met" };
    format!("{}: {}, {word} {bound} is asked: {met}", gate.what, spread(&gate.value))
}

#[cfg(test)]
mod tests {
    use super::aligned;

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("other.json"), "{}").expect("it can be written");
        assert!(super::records(folder.path()).expect("the rest is read").is_empty());
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["", "µs", "ratio"], ["IPv4", "20.4 (20 to 21)", "1.00"], ["IPv6", "", "0.99"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let lines =
            ["      µs               ratio", "IPv4  20.4 (20 to 21)  1.00", "IPv6                   0.99"];
        assert_eq!(aligned(&rows), lines);
    }
}
