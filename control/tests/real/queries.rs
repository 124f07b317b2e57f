//! What a running appliance tells of itself, as JSON and as a table: shapes, units, and that both say the same.

use control::api::{EventInfo, FlowInfo, Stats};
use control::config::show_bytes;
use control::lab::{
    Action, Appliance, Isn, Lab, LabError, Merge, Net, Result, Setup, expect, isolated, wait_for,
};
use dataplane::counters::Counter;
use serde_json::Value;

use crate::EXECUTABLE;
use crate::traffic::{Conversation, SOON, server_name};

/// A socket for IPv6 listens on IPv4, too.
const PORTS: [(Net, u16); 2] = [(Net::V4, 7000), (Net::V6, 7001)];

/// What the client says once in each [`LINE`].
const INSPECTION: &str = "
[inspect.words]
patterns = [{ name = \"end\", text = \"xyz\", verdict = \"count\", from = \"client\" }]
";
const RULE: &str = "{ destination_ports = [\"7000-7001\"] }\ninspect = \"words\"\nidle = \"5m\"";
/// The letters from a to z.
const LINE: usize = 26;

/// DESIGN section 8.
const FLOW_NUMBERS: [&str; 9] = [
    "delta_c2s",
    "delta_s2c",
    "bytes_c2s",
    "bytes_s2c",
    "packets_c2s",
    "packets_s2c",
    "age_ms",
    "splits",
    "merges",
];

/// The rows of the table that begins with the column `first`, each as many cells as there are columns.
fn table(text: &str, first: &str) -> Result<Vec<Vec<String>>> {
    let wrong = |got: &str| LabError::Unexpected {
        expected: format!("a table from {first} on"),
        got: got.to_owned(),
    };
    let begins = |line: &&str| cells(line).first().is_some_and(|cell| cell.0 == first);
    let mut lines = text.lines().skip_while(|line| !begins(line)).take_while(|line| !line.is_empty());
    let header = cells(lines.next().ok_or_else(|| wrong(text))?);
    let mut rows = Vec::new();
    for line in lines {
        let row = cells(line);
        // Aligned to the left or to the right: one of its edges stands where the title's does.
        let is_aligned =
            |(cell, title): (&Cell, &Cell)| cell.1.start == title.1.start || cell.1.end == title.1.end;
        if row.len() != header.len() || !row.iter().zip(&header).all(is_aligned) {
            return Err(wrong(text));
        }
        rows.push(row.into_iter().map(|(text, _)| text).collect());
    }
    Ok(rows)
}

/// A text, and the columns that it takes.
type Cell = (String, std::ops::Range<usize>);

/// What stands in a line, two spaces or more between.
fn cells(line: &str) -> Vec<Cell> {
    let (mut cells, mut at) = (Vec::new(), 0);
    for part in line.split("  ") {
        let text = part.trim();
        let start = at + part.chars().take_while(|c| *c == ' ').count();
        if !text.is_empty() {
            cells.push((text.to_owned(), start..start + text.chars().count()));
        }
        at += part.chars().count() + 2;
    }
    cells
}

fn parsed<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T> {
    serde_json::from_value(value.clone())
        .map_err(|error| LabError::Unexpected { expected: error.to_string(), got: value.to_string() })
}

/// An inspected conversation on each network that is cut through, has been split, and is cut through again.
fn with_conversations(name: &str, look: impl Fn(&Lab, &Appliance) -> Result<()>) {
    isolated(name, |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let setup = Setup::relay(Merge::Established, Isn::Keyed).module_keys(INSPECTION).without_offer();
        let appliance = lab.appliance(&setup.rule(RULE, Action::Offer))?;
        let mut open = Vec::new();
        for (net, port) in PORTS {
            let mut conversation = Conversation::open(&lab, net, port, 1)?;
            let server = server_name(&lab, net, port);
            let flow = appliance.wait_for_flow(&server, "cut_through", SOON)?;
            conversation.say(LINE)?;
            let client = flow["client"].as_str().unwrap_or_default();
            appliance.control(&["split", client, &server]).ok()?;
            conversation.say(LINE)?;
            appliance.control(&["merge", client, &server]).ok()?;
            appliance.wait_for_flow(&server, "cut_through", SOON)?;
            conversation.say(LINE)?;
            open.push(conversation);
        }
        look(&lab, &appliance)
    });
}

#[test]
fn flows_tell_what_has_passed() {
    with_conversations("queries::flows_tell_what_has_passed", |lab, appliance| {
        // A table between two answers that say the same, ages aside.
        let (listed, rows) = wait_for("flows at rest", SOON, || {
            let counted = |flows: &[Value]| {
                flows
                    .iter()
                    .map(|flow| flow["packets_c2s"].as_u64().zip(flow["packets_s2c"].as_u64()))
                    .collect::<Vec<_>>()
            };
            let before = appliance.flows()?;
            let text = appliance.control(&["flows"]).ok()?;
            Ok((counted(&before) == counted(&appliance.flows()?)).then_some((before, text)))
        })?;
        let uptime = appliance.status()?["uptime_ms"].as_u64().unwrap_or(0);
        let rows = table(&rows, "CLIENT → SERVER")?;
        expect(listed.len() == 2 && rows.len() == 2, "two flows", format!("{rows:?}"))?;
        for ((net, port), header) in PORTS.into_iter().zip([20 + 32, 40 + 32]) {
            let server = server_name(lab, net, port);
            let raw =
                listed.iter().find(|flow| flow["server"] == server.as_str()).cloned().unwrap_or_default();
            expect(FLOW_NUMBERS.iter().all(|name| raw[name].is_i64()), "numbers", raw.to_string())?;
            let flow: FlowInfo = parsed(&raw)?;
            let is_as_ordered = flow.splits == 1 && flow.merges == 2 && flow.module.as_deref() == Some("lab");
            expect(
                is_as_ordered && flow.age_ms <= uptime,
                "a split and two merges of `lab`",
                raw.to_string(),
            )?;
            // Bytes are those of IP packets: frames would have 14 more each.
            for (bytes, packets) in [(flow.bytes_c2s, flow.packets_c2s), (flow.bytes_s2c, flow.packets_s2c)] {
                let least = 3 * LINE as u64 + packets * header;
                let range = least..least + packets * 14;
                expect(
                    range.contains(&bytes),
                    format!("{range:?} bytes in {packets} packets"),
                    raw.to_string(),
                )?;
            }
            let row = rows.iter().find(|row| row[0] == format!("{} → {server}", flow.client));
            let expected = [
                "-".to_owned(),
                "cut_through".to_owned(),
                "lab".to_owned(),
                format!("{:+}", flow.delta_c2s),
                format!("{:+}", flow.delta_s2c),
                show_bytes(flow.bytes_c2s),
                show_bytes(flow.bytes_s2c),
                "1".to_owned(),
                "2".to_owned(),
            ];
            expect(
                row.is_some_and(|row| row[1..10] == expected),
                format!("{expected:?}"),
                format!("{rows:?}"),
            )?;
        }
        Ok(())
    });
}

#[test]
fn events_tell_each_hand_over() {
    with_conversations("queries::events_tell_each_hand_over", |_, appliance| {
        let raw = appliance.query(&["events"])?;
        let rows = table(&appliance.control(&["events"]).ok()?, "AT")?;
        let uptime = appliance.status()?["uptime_ms"].as_u64().unwrap_or(0);
        let events: Vec<EventInfo> = parsed(&raw)?;
        expect(events.is_sorted_by_key(|event| event.at_ms), "the newest last", raw.to_string())?;
        // Microseconds of what was over at so many milliseconds.
        let is_possible =
            |event: &EventInfo| event.at_ms <= uptime && event.duration_us <= event.at_ms * 1000;
        expect(events.iter().all(is_possible), format!("times up to {uptime} ms"), raw.to_string())?;
        expect(rows.len() == events.len(), "a line for each event", format!("{rows:?}"))?;
        for (event, row) in events.iter().zip(&rows) {
            let at = format!("{}.{:03} s", event.at_ms / 1000, event.at_ms % 1000);
            let shown = [at, format!("{} → {}", event.client, event.server), event.event.clone()];
            let took = row[3].replace(',', "");
            let expected = match &event.hit {
                Some(_) => ("-".to_owned(), true),
                None => (format!("{} us", event.duration_us), false),
            };
            let same = row[..3] == shown && (took, row[4].contains("words end")) == expected;
            expect(same, format!("{event:?}"), format!("{row:?}"))?;
        }
        for flow in appliance.flows()? {
            let named = |names: &[&str]| {
                let of_it = events.iter().filter(|event| flow["client"] == event.client.to_string());
                of_it.filter(|event| names.contains(&event.event.as_str())).count()
            };
            let told = (named(&["split"]), named(&["merged", "merged_in_motion"]));
            expect(told == (1, 2), "a split and two merges", format!("{flow}: {raw}"))?;
            expect(named(&["hit"]) == 3, "three matches of `end`", format!("{flow}: {raw}"))?;
        }
        Ok(())
    });
}

#[test]
fn stats_tell_every_counter_and_table() {
    with_conversations("queries::stats_tell_every_counter_and_table", |_, appliance| {
        // What is counted since the last report comes with the next.
        let raw = wait_for("the matches of flows that passed", SOON, || {
            let stats = appliance.stats()?;
            Ok((stats["counters"]["inspect_matches"] == 4).then_some(stats))
        })?;
        let text = appliance.control(&["stats"]).ok()?;
        let stats: Stats = parsed(&raw)?;
        let names = Counter::ALL.iter().map(|counter| counter.name());
        let unknown: Vec<_> = names.filter(|name| !stats.counters.contains_key(*name)).collect();
        expect(unknown.is_empty(), "every counter of docs/counters.md", format!("{unknown:?}"))?;
        let told = ["splits", "merges"].map(|name| stats.counters[name]);
        expect(told == [2, 4], "two splits and four merges", format!("{told:?}"))?;
        let patterns = format!("{:?}", stats.inspections);
        let end = stats.inspections.get("words").and_then(|patterns| patterns.first());
        let is_end =
            end.is_some_and(|end| (&*end.pattern, &*end.verdict, end.matches) == ("end", "event", 6));
        expect(is_end && stats.inspections.len() == 1, "six matches of `end`", patterns)?;
        expect(stats.mbufs.in_use <= stats.mbufs.total, "buffers", format!("{:?}", stats.mbufs))?;
        let tables = format!("{:?}", stats.tables);
        let is_full = stats.tables.values().any(|usage| usage.used > usage.capacity);
        expect(
            !is_full && stats.tables["flows"].used == 2,
            "two flows, and nothing beyond its limit",
            tables,
        )?;
        let number = |cell: &str| cell.replace(',', "").parse::<u64>().unwrap_or(0);
        let shown = table(&text, "COUNTER")?;
        // Counters never go back.
        for worker in &stats.workers {
            for (name, count) in worker.counters.iter().filter(|(_, count)| **count > 0) {
                let row = shown.iter().find(|row| row[0] == *name);
                let is_shown = row.is_some_and(|row| number(&row[2 + worker.worker]) >= *count);
                expect(is_shown, format!("{name} {count}"), text.clone())?;
            }
        }
        expect(table(&text, "INSPECTION")? == [["words", "end", "event", "6"]], "the pattern", text.clone())?;
        let tables: Vec<String> = table(&text, "TABLE")?.into_iter().map(|row| row[0].clone()).collect();
        let names = std::iter::once("mbufs").chain(stats.tables.keys().map(String::as_str));
        expect(names.eq(tables.iter().map(String::as_str)), "every table", text.clone())
    });
}

#[test]
fn rules_tell_what_they_ask_of_their_flows() {
    with_conversations("queries::rules_tell_what_they_ask_of_their_flows", |_, appliance| {
        let rules = appliance.query(&["rules"])?;
        let rule = &rules[0];
        let asked = (&rule["inspect"], &rule["idle_ms"], &rule["split"], &rule["module"], &rule["hits"]);
        let expected = (&"words".into(), &300_000.into(), &Value::Null, &"lab".into(), &2.into());
        expect(asked == expected, format!("{expected:?}"), rules.to_string())?;
        let rows = table(&appliance.control(&["rules"]).ok()?, "#")?;
        let expected = [
            "0",
            "offer-0",
            "offer to lab",
            "searched by words, idle up to 5m",
            "2",
            "destination port 7000-7001",
        ];
        expect(rows[0] == expected && rows.len() == 2, format!("{expected:?}"), format!("{rows:?}"))
    });
}
