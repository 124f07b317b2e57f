//! The figures, for a terminal.

use crate::cell::Sample;
use crate::measure::Measure;

/// A figure with three digits that count, or more.
pub fn figure(value: f64) -> String {
    match value {
        v if v.is_nan() => "-".into(),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn outcome(outcome: &Result<f64, String>) -> String {
    outcome.as_ref().map_or("failed".into(), |value| figure(*value))
}

/// Relayed, plain, ratio.
pub fn figures(sample: &Sample) -> [String; 3] {
    let ratio = sample.ratio().map_or("-".into(), figure);
    [outcome(&sample.relayed), outcome(&sample.plain), ratio]
}

/// A line while it runs.
pub fn progress(sample: &Sample) -> String {
    let [relayed, plain, ratio] = figures(sample);
    let (name, unit, [note, _]) = (sample.measure.name(), sample.measure.unit(), &sample.notes);
    let why = sample.failure().map(|why| format!("\n   {why}")).unwrap_or_default();
    format!("   {name:<72} relayed {relayed:>8}  plain {plain:>8} {unit:<15} ratio {ratio:>6}  {note}{why}")
}

/// A block for each measure: a line for each cell.
pub fn text(samples: &[Sample]) -> String {
    let mut out = String::new();
    for measure in Measure::ALL {
        let rows: Vec<&Sample> = samples.iter().filter(|sample| sample.measure == measure).collect();
        if rows.is_empty() {
            continue;
        }
        out += &format!("\n{}, {}\n", measure.name(), measure.unit());
        out += &format!(
            "{:>8} {:>12} {:>10} {:>10} {:>8}\n",
            "LOSS %", "ROUND TRIP", "RELAYED", "PLAIN", "RATIO"
        );
        for sample in rows {
            let [relayed, plain, ratio] = figures(sample);
            let (loss, delay) = (sample.cell.loss, format!("{} ms", sample.cell.delay));
            let notes = notes(sample);
            let line = format!("{loss:>8} {delay:>12} {relayed:>10} {plain:>10} {ratio:>8}  {notes}");
            out += line.trim_end();
            out.push('\n');
        }
    }
    out
}

/// What is said of both runs, once where it is the same.
pub fn notes(sample: &Sample) -> String {
    match &sample.notes {
        [relayed, plain] if relayed == plain => relayed.clone(),
        [relayed, plain] => format!("{relayed} / {plain}"),
    }
}
