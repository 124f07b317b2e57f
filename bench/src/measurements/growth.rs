//! One thing after another, measured at several sizes of something else: flows, rules.

use crate::race::{Contender, Length, Samples, race};
use crate::suite::{Chart, Finding, Row, Series};

/// A table with a column for each size, and a chart of what everything takes by what it takes at the first.
pub struct Growth {
    sizes: Vec<u32>,
    /// What they are sizes of.
    of: &'static str,
    pub finding: Finding,
    series: Vec<Series>,
}

/// 1000 is 1 k.
pub fn short(size: u32) -> String {
    match size {
        1_000_000.. => format!("{} M", size / 1_000_000),
        1000.. => format!("{} k", size / 1000),
        _ => size.to_string(),
    }
}

impl Growth {
    /// Ascending sizes; at least one.
    pub fn new(how: &str, of: &'static str, sizes: &[u32]) -> Growth {
        let columns = sizes.iter().map(|size| format!("{} {of}", short(*size))).chain(["ratio".to_owned()]);
        let finding = Finding { how: how.into(), columns: columns.collect(), ..Finding::default() };
        Growth { sizes: sizes.to_vec(), of, finding, series: Vec::new() }
    }

    /// A row; `alone` is what the contender of a size has taken, by all times of a sample.
    pub fn add(&mut self, case: String, samples: &Samples, alone: impl Fn(&[f64], usize) -> f64) {
        let sizes = 0..self.sizes.len();
        let columns = sizes.clone().map(|size| samples.spread(|times| alone(times, size)));
        let by_first = |size| samples.spread(|times| alone(times, size) / alone(times, 0));
        let values = columns.chain([by_first(self.sizes.len() - 1)]).map(Some).collect();
        self.finding.rows.push(Row { case, values });
        let points = sizes.map(|size| (f64::from(self.sizes[size]), by_first(size))).collect();
        self.series.push(Series { name: String::new(), points });
    }

    /// Shows the row that was added last in the chart, too.
    pub fn show(&mut self, name: &str) {
        let last = self.series.last_mut().expect("a row has been added");
        last.name = name.into();
    }

    /// What was found.
    pub fn finish(self, title: &str) -> Finding {
        let Growth { sizes, of, finding, series } = self;
        let y = format!("by what it takes with {} {of}", short(sizes[0]));
        let series = series.into_iter().filter(|series| !series.name.is_empty()).collect();
        Finding { chart: Some(Chart { title: title.into(), x: of.into(), y, series }), ..finding }
    }
}

/// A port alone, and the contenders of all sizes behind one like it.
pub fn against<C: Contender>(length: Length, port: &mut dyn Contender, sizes: &mut [C]) -> Samples {
    let mut all: Vec<&mut dyn Contender> = vec![port];
    all.extend(sizes.iter_mut().map(|contender| contender as &mut dyn Contender));
    race(length, &mut all)
}

/// What those have taken without their port.
pub fn behind_port(times: &[f64], size: usize) -> f64 {
    times[1 + size] - times[0]
}

/// The same of contenders that have no port, or have subtracted theirs.
pub fn alone<C: Contender>(length: Length, sizes: &mut [C]) -> Samples {
    let mut all: Vec<_> = sizes.iter_mut().map(|contender| contender as &mut dyn Contender).collect();
    race(length, &mut all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::Spread;

    #[test]
    fn sizes_are_seen_beside_the_first() {
        struct Takes(f64);
        impl Contender for Takes {
            fn round(&mut self) -> usize {
                unreachable!("it knows what it takes")
            }
            fn nanoseconds(&mut self, _: usize) -> f64 {
                self.0
            }
        }
        let length = Length { samples: 1, units: 1 };
        let samples = against(length, &mut Takes(5.0), &mut [Takes(15.0), Takes(25.0)]);
        let mut growth = Growth::new("by looking", "rules", &[10, 1000]);
        growth.add("one".into(), &samples, behind_port);
        growth.show("one");
        growth.add("another".into(), &samples, |times, size| times[size]);
        let finding = growth.finish("title");
        assert_eq!(finding.columns, ["10 rules", "1 k rules", "ratio"]);
        assert_eq!(finding.rows[0].values, [10.0, 20.0, 2.0].map(|value| Some(Spread::of([value]))));
        let chart = finding.chart.expect("there is one");
        assert_eq!(chart.series.len(), 1);
        assert_eq!(chart.series[0].points[1], (1000.0, Spread::of([2.0])));
    }
}
