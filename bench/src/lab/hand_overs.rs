//! Applications whose flows change hands at random, beside the same flows left alone, by turns.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use control::lab::{Appliance, HandOvers, Impair, Isn, Lab, Merge, Net, Result, Setup};

use crate::cell::{Cell, EXPECTED_DROPS, finish, one_line};
use crate::measure::{Hosts, Measure, Plan};
use crate::table::figure;
use crate::{Arguments, say};

/// Between two rounds of orders, at most.
const PAUSE: Duration = Duration::from_millis(20);

/// Splits in each round without which a ratio says nothing: the flow was as good as left alone.
const LEAST_SPLITS: u64 = 1;

/// Bits a second with which the size of a file is chosen before a path is known.
const MODEST: f64 = 20e6;

/// One way of an application: left alone, or handed over.
#[derive(Debug, Clone, Default)]
struct Side {
    /// In the measure's unit, summed over rounds; the first error in one line.
    figure: f64,
    error: Option<String>,
    note: String,
    /// Orders that the appliance has refused: the flow had ended, or was busy with the one before.
    refused: u64,
    /// Counters of the appliance, and segments that both hosts have sent again.
    splits: u64,
    merges: u64,
    in_motion: u64,
    undone: u64,
    dropped: u64,
    sent_again: u64,
}

/// An application on one path and one network.
struct Row {
    net: Net,
    measure: Measure,
    alone: Side,
    handed: Side,
}

impl Row {
    /// What there is instead of a ratio: a run has failed, or the flows have hardly changed hands.
    fn fault(&self, rounds: u32) -> Option<String> {
        let Side { splits, .. } = self.handed;
        if self.handed.error.is_some() || self.alone.error.is_some() {
            return Some("failed".into());
        }
        let splits_shown = if splits == 1 { "1 split".to_owned() } else { format!("{splits} splits") };
        (splits < LEAST_SPLITS * u64::from(rounds)).then(|| format!("{splits_shown}: too few"))
    }
}

/// Runs everything on every path, and gives the tables; whether every row has its ratio is the second.
pub fn run(lab: &Lab, hosts: &Hosts, asked: &Arguments) -> Result<(String, bool)> {
    let (mut text, mut all_well) = (String::new(), true);
    let cells = asked.loss.iter().flat_map(|loss| {
        asked.delay.iter().map(|delay| Cell { loss: *loss, delay: *delay }).collect::<Vec<_>>()
    });
    for cell in cells {
        say(&format!("── {cell}"));
        let path = Impair {
            loss_percent: cell.loss,
            round_trip: Duration::from_millis(cell.delay),
            seed: asked.seed,
        };
        let appliance = lab.appliance(&Setup::relay(Merge::Established, Isn::Keyed).impair(path))?;
        let mut rows = Vec::new();
        for net in Net::UNTAGGED {
            lab.client().wait_for_echo(lab.server().address(net), Duration::from_secs(20))?;
            rows.extend(on_network(lab, hosts, asked, (&appliance, cell, net))?);
        }
        finish(appliance)?;
        all_well &= rows.iter().all(|row| row.fault(asked.rounds).is_none());
        let _ = write!(text, "{}", table(cell, &rows, asked.rounds));
    }
    Ok((text, all_well))
}

fn on_network(
    lab: &Lab,
    hosts: &Hosts,
    asked: &Arguments,
    (appliance, cell, net): (&Appliance, Cell, Net),
) -> Result<Vec<Row>> {
    let (time, loss) = (Duration::from_secs(asked.seconds), cell.loss / 100.0);
    let round_trip = Duration::from_millis(cell.delay);
    let mut plan = Plan { time, round_trip, loss, rate: MODEST };
    if cell.loss == 0.0 && cell.delay == 0 {
        // The largest file that there is.
        plan.rate = f64::INFINITY;
    }
    let mut rows = Vec::new();
    let wanted = |measure: &Measure| asked.apps.iter().any(|app| app.measures().contains(measure));
    for measure in Measure::ALL.into_iter().filter(wanted) {
        let mut row = Row { net, measure, alone: Side::default(), handed: Side::default() };
        for round in 0..u64::from(asked.rounds) {
            let address = lab.server().address(net);
            row.alone.add(lab, hosts, appliance, (measure, address, &plan), None)?;
            let seed = asked.seed + round;
            row.handed.add(lab, hosts, appliance, (measure, address, &plan), Some(seed))?;
        }
        if measure == Measure::BulkDown && plan.rate.is_finite() && row.handed.figure > 0.0 {
            plan.rate = row.handed.figure.min(row.alone.figure) * 1e6 / f64::from(asked.rounds);
        }
        say(&progress(&row, asked.rounds));
        rows.push(row);
    }
    Ok(rows)
}

impl Side {
    /// One run, with somebody who hands flows over when there is a seed.
    fn add(
        &mut self,
        lab: &Lab,
        hosts: &Hosts,
        appliance: &Appliance,
        (measure, address, plan): (Measure, IpAddr, &Plan),
        seed: Option<u64>,
    ) -> Result<()> {
        let before = Side::counters(lab, appliance)?;
        let orders = match seed {
            Some(seed) => Some(HandOvers::start(lab, appliance, Isn::Keyed, (seed, PAUSE))?),
            None => None,
        };
        match hosts.measure(lab, measure, address, plan) {
            Ok((figure, note)) => (self.figure, self.note) = (self.figure + figure, note),
            Err(error) => self.error = Some(one_line(&error)),
        }
        match orders.map(HandOvers::stop) {
            Some(Ok(ordered)) => self.refused += ordered.refused,
            Some(Err(error)) => self.error = Some(one_line(&error)),
            None => {}
        }
        let after = Side::counters(lab, appliance)?;
        self.splits += after.splits - before.splits;
        self.merges += after.merges - before.merges;
        self.in_motion += after.in_motion - before.in_motion;
        self.undone += after.undone - before.undone;
        self.dropped += after.dropped - before.dropped;
        self.sent_again += after.sent_again - before.sent_again;
        Ok(())
    }

    fn counters(lab: &Lab, appliance: &Appliance) -> Result<Side> {
        let stats = appliance.stats()?;
        let counter = |name: &str| stats["counters"][name].as_u64().unwrap_or(0);
        let drops = stats["counters"].as_object().into_iter().flatten();
        let drops = drops
            .filter(|(name, _)| name.starts_with("drop_") && !EXPECTED_DROPS.contains(&name.as_str()))
            .filter_map(|(_, count)| count.as_u64());
        Ok(Side {
            splits: counter("splits"),
            merges: counter("merges"),
            in_motion: counter("merges_in_motion"),
            undone: counter("merges_undone"),
            dropped: drops.sum(),
            sent_again: lab.client().kernel_counter("RetransSegs")?
                + lab.server().kernel_counter("RetransSegs")?,
            ..Side::default()
        })
    }

    fn shown(&self, rounds: u32) -> String {
        match self.error {
            Some(_) => "failed".into(),
            None => figure(self.figure / f64::from(rounds)),
        }
    }
}

/// Or why there is none.
fn ratio(row: &Row, rounds: u32) -> String {
    row.fault(rounds).unwrap_or_else(|| figure(row.handed.figure / row.alone.figure))
}

fn family(net: Net) -> &'static str {
    if net == Net::V4 { "IPv4" } else { "IPv6" }
}

fn progress(row: &Row, rounds: u32) -> String {
    let (handed, alone) = (row.handed.shown(rounds), row.alone.shown(rounds));
    let Side { splits, merges, in_motion, undone, dropped, sent_again, refused, .. } = row.handed;
    let (name, unit, family) = (row.measure.name(), row.measure.unit(), family(row.net));
    let ratio = ratio(row, rounds);
    let whys = [&row.handed, &row.alone].into_iter().filter_map(|side| side.error.as_ref());
    let whys: String = whys.map(|why| format!("\n   {why}")).collect();
    format!(
        "   {family} {name:<72} handed over {handed:>8}  left alone {alone:>8} {unit:<15} ratio {ratio:>6}; {splits} splits, \
         {merges} merges, {in_motion} of them in motion, {undone} undone, {refused} orders refused; {sent_again} sent again, {} alone; {dropped} \
         dropped{whys}",
        row.alone.sent_again
    )
}

fn table(cell: Cell, rows: &[Row], rounds: u32) -> String {
    let mut out = format!(
        "\n{}: loss {} % each way, round trip {} ms\n\n\
         | application | handed over / left alone (**ratio**) | splits | merges | in motion | undone | sent again by the \
         hosts, handed over / left alone | dropped | errors |\n|---|---|---|---|---|---|---|---|---|\n",
        if cell.loss == 0.0 && cell.delay == 0 { "A clean path" } else { "A path" },
        cell.loss,
        cell.delay
    );
    for row in rows {
        let (handed, alone) = (&row.handed, &row.alone);
        let errors = [handed, alone].into_iter().filter_map(|side| side.error.as_deref());
        let errors: Vec<&str> = errors.collect();
        let note = if handed.note.is_empty() { String::new() } else { format!("; {}", handed.note) };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {}, {} | {} / {} {} (**{}**){note} | {} | {} | {} | {} | {} / {} | {} | {} |",
            row.measure.name(),
            family(row.net),
            handed.shown(rounds),
            alone.shown(rounds),
            row.measure.unit(),
            ratio(row, rounds),
            handed.splits,
            handed.merges,
            handed.in_motion,
            handed.undone,
            handed.sent_again,
            alone.sent_again,
            handed.dropped,
            if errors.is_empty() { "none".into() } else { errors.join("; ") },
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(splits: u64, error: Option<&str>) -> Row {
        let side = Side { figure: 10.0, ..Side::default() };
        let handed = Side { splits, error: error.map(str::to_owned), ..side.clone() };
        Row { net: Net::V4, measure: Measure::BulkDown, alone: side, handed }
    }

    #[test]
    fn where_nothing_was_split_there_is_no_ratio() {
        let cases = [
            (row(0, None), 1, "0 splits: too few"),
            (row(1, None), 1, "1.00"),
            (row(1, None), 2, "1 split: too few"),
            (row(9, Some("curl: 56")), 1, "failed"),
        ];
        for (row, rounds, expected) in cases {
            assert_eq!(ratio(&row, rounds), expected);
            assert_eq!(row.fault(rounds).is_none(), expected == "1.00");
            let table = table(Cell { loss: 0.0, delay: 0 }, &[row], rounds);
            assert!(table.contains(&format!("(**{expected}**)")), "{table}");
        }
    }
}
