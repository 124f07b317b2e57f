//! All findings on one page of Markdown.

use std::fmt::Write;

use super::{gate, spread};
use crate::suite::Record;

/// Of all records.
pub fn page(records: &[Record]) -> String {
    let mut page = String::from(
        "# Measurements\n\nWritten by `./dev bench`; `./dev bench --only NAME` repeats one. A figure with two more behind \
         it is the median of its samples (the lowest to the highest);\none alone was taken once. Where contenders are compared, they ran one \
         after the other in each sample, on one core where nothing else is said.\nOnly ratios travel to another machine. Each section names its run, and its \
         machine: they need not be the same ones.\n",
    );
    for record in records {
        // Writing to a string cannot fail.
        let _ = section(&mut page, record);
    }
    page
}

fn section(page: &mut String, record: &Record) -> std::fmt::Result {
    let finding = &record.finding;
    writeln!(page, "\n## {}\n\n{}. Budget: {}.\n", record.name, record.about, record.budget)?;
    if let Some(complaint) = &record.complaint {
        writeln!(page, "**Do not trust these figures: {complaint}.**\n")?;
    }
    writeln!(page, "{}\n", finding.how)?;
    writeln!(page, "| | {} |", finding.columns.join(" | "))?;
    writeln!(page, "|---|{}", "---:|".repeat(finding.columns.len()))?;
    for row in &finding.rows {
        let values: Vec<String> =
            row.values.iter().map(|value| value.as_ref().map_or_else(String::new, spread)).collect();
        writeln!(page, "| {} | {} |", row.case, values.join(" | "))?;
    }
    if !finding.gates.is_empty() {
        writeln!(page)?;
    }
    for demand in &finding.gates {
        writeln!(page, "- {}", gate(demand))?;
    }
    if finding.chart.is_some() {
        writeln!(page, "\n![{}]({}.svg)", record.about, record.name)?;
    }
    let facts: Vec<String> = record.machine.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let length = if record.is_full { "full" } else { "short" };
    writeln!(
        page,
        "\n{length} run, {} samples, {:.0} s; {}",
        record.samples,
        record.seconds,
        facts.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use crate::machine::Share;
    use crate::race::Spread;
    use crate::suite::{Demand, Finding, Gate, Record, Row};

    #[test]
    fn a_page_says_what_was_found_and_whether_to_believe_it() {
        let value = Spread { median: 0.5, low: 0.4, high: 0.625 };
        let share = Share { own: 0.5, stolen: 0.0, others: 0.0 };
        let record = Record {
            name: "thing".into(),
            about: "A thing against another".into(),
            budget: "half of it".into(),
            is_full: false,
            samples: 9,
            seconds: 1.0,
            share,
            complaint: share.complaint(),
            machine: vec![("cores".into(), "2".into())],
            finding: Finding {
                how: "By looking.".into(),
                columns: vec!["ratio".into(), "none".into()],
                rows: vec![Row { case: "one".into(), values: vec![Some(value), None] }],
                gates: vec![Gate { what: "ratio".into(), value, demand: Demand::AtLeast(0.6) }],
                chart: None,
            },
        };
        let page = super::page(&[record]);
        for line in [
            "| | ratio | none |",
            "| one | 0.50 (0.40 to 0.62) |  |",
            "- ratio: 0.50 (0.40 to 0.62), at least 0.6 is asked: not met",
        ] {
            assert!(page.lines().any(|other| other == line), "{line}\nis not in\n{page}");
        }
        assert!(page.contains("**Do not trust these figures: the machine was busy"));
    }
}
