//! What an inspection replaces in what real kernels say to each other, on either path.

use std::fmt::Write as _;
use std::time::Duration;

use control::lab::{
    Action, Appliance, Hook, Isn, Lab, LabError, Merge, Net, Result, Setup, expect, isolated,
};

use crate::EXECUTABLE;
use crate::traffic::SOON;

/// Whoever loses the rest of a pattern gets the time to repeat it.
const PATIENT: &str = "[inspect.web]\nhold = \"20s\"\n";
const IN_PLACE: &str =
    "patterns = [{ text = \"{{secret}}\", replace = \"[[ hush ]]\", verdict = \"edit\" }]\n";
/// What is longer and what is shorter make up for each other, so that a body has the length that its header says.
const RESIZED: &str = "patterns = [
    { text = \"{{grow}}\", replace = \"[[longer]][[]]\", verdict = \"edit\", from = \"server\" },
    { text = \"{{shrink}}\", replace = \"<>()\", verdict = \"edit\", from = \"server\" },
]\n";

fn appliance(lab: &Lab, patterns: &str, action: Action) -> Result<Appliance> {
    let setup = Setup::relay(Merge::Established, Isn::Keyed).module_keys(&format!("{PATIENT}{patterns}"));
    lab.appliance(&setup.without_offer().rule("{ destination_ports = [80] }\ninspect = \"web\"", action))
}

/// Lines of all lengths, so that segments end everywhere in what is replaced.
fn text(lines: usize, words: &[&str]) -> String {
    let mut text = String::new();
    for line in 0..lines {
        // Writing to a String cannot fail.
        let _ = write!(text, "{line}{}", ".".repeat(line * 7 % 61));
        words.iter().for_each(|word| text += word);
        text.push('\n');
    }
    text
}

/// Fetches the text twice over one connection, and compares with what should have become of it.
fn fetch_twice(lab: &Lab, net: Net, expected: &str) -> Result<()> {
    let folder = lab.client().directory().join("edited");
    std::fs::create_dir_all(&folder).map_err(LabError::io("creating a folder"))?;
    let url = format!("{}?[1-2]", lab.server().url(net, 80, "text"));
    let curl = lab.client().curl(&url).words("--max-time 60 --write-out %{num_connects} --output");
    let connects = curl.arg(folder.join("#1")).timeout(SOON * 7).ok()?;
    expect(connects == "10", "one connection for both", connects)?;
    for name in ["1", "2"] {
        let got = std::fs::read_to_string(folder.join(name)).map_err(LabError::io("reading a copy"))?;
        let differs = got.bytes().zip(expected.bytes()).position(|(a, b)| a != b);
        let around = |text: &str, at: usize| text.get(at.saturating_sub(20)..at + 30).map(str::to_owned);
        let shown = differs.map(|at| (at, around(&got, at), around(expected, at)));
        expect(
            got == expected,
            format!("{} edited bytes", expected.len()),
            format!("{} {shown:?}", got.len()),
        )?;
    }
    Ok(())
}

#[test]
fn a_body_is_edited_in_place_on_either_path_under_loss() {
    isolated("edits::a_body_is_edited_in_place_on_either_path_under_loss", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let original = text(20_000, &["{{secret}}", " and ", "{{sec", "\n"]);
        let expected = original.replace("{{secret}}", "[[ hush ]]");
        let _nginx = lab.server().nginx().text("text", &original).start()?;
        for action in [Action::Monitor, Action::Offer] {
            let appliance = appliance(&lab, IN_PLACE, action)?;
            for (net, percent) in Net::UNTAGGED.into_iter().zip([0, 3]) {
                if percent > 0 {
                    lab.client().lose(Hook::Input, percent)?;
                    lab.server().lose(Hook::Input, percent)?;
                }
                fetch_twice(&lab, net, &expected)?;
                lab.client().clear_rules()?;
                lab.server().clear_rules()?;
            }
            eprintln!("{}", appliance.stats()?["counters"]);
            appliance.stop()?;
        }
        Ok(())
    });
}

#[test]
fn a_body_changes_its_length_and_the_connection_goes_on() {
    isolated("edits::a_body_changes_its_length_and_the_connection_goes_on", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let original = text(1_000, &["{{grow}}", "-", "{{shrink}}"]);
        let expected = original.replace("{{grow}}", "[[longer]][[]]").replace("{{shrink}}", "<>()");
        let _nginx = lab.server().nginx().text("text", &original).start()?;
        let appliance = appliance(&lab, RESIZED, Action::Offer)?;
        for (net, percent) in Net::UNTAGGED.into_iter().zip([0, 2]) {
            if percent > 0 {
                lab.client().lose(Hook::Input, percent)?;
                lab.server().lose(Hook::Input, percent)?;
            }
            fetch_twice(&lab, net, &expected)?;
        }
        eprintln!("{}", appliance.stats()?["counters"]);
        let splits = appliance.counter("splits")?;
        expect(splits > 0, "splits", splits.to_string())
    });
}

#[test]
fn a_path_that_becomes_narrower_is_no_ambiguity() {
    isolated("edits::a_path_that_becomes_narrower_is_no_ambiguity", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).build()?;
        let original = text(60_000, &["{{secret}}"]);
        let expected = original.replace("{{secret}}", "[[ hush ]]");
        let nginx = lab.server().nginx().text("text", &original).start()?;
        let appliance = appliance(&lab, IN_PLACE, Action::Monitor)?;
        lab.client().lose(Hook::Input, 5)?;
        std::thread::scope(|scope| {
            let fetching = scope.spawn(|| fetch_twice(&lab, Net::V4, &expected));
            // What was lost is repeated in other pieces from now on.
            for mtu in [1200, 900, 700] {
                std::thread::sleep(Duration::from_millis(100));
                lab.server().ip(&format!("link set dev {} mtu {mtu}", Net::V4.interface()))?;
            }
            fetching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        drop(nginx);
        eprintln!("{}", appliance.stats()?["counters"]);
        Ok(())
    });
}
