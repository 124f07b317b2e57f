//! Somebody outside who splits and merges flows at random, by the appliance's own management interface.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::appliance::Appliance;
use super::error::{LabError, Result};
use super::process::Process;
use super::setup::Isn;
use super::topology::Lab;
use super::wait::LATE;

/// See there for what it does.
const SCRIPT: &str = include_str!("hand_overs.py");

/// Somebody who splits and merges whatever there is, until this is stopped or dropped.
#[derive(Debug)]
pub struct HandOvers {
    process: Process,
}

/// What has been ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ordered {
    /// Splits that were made.
    pub splits: u64,
    /// Merges that were begun.
    pub merges: u64,
    /// Orders that were refused by name: the flow had ended, or was busy with the one before.
    pub refused: u64,
}

impl HandOvers {
    /// Begins, with up to `pause` between two rounds, the same for the same `seed`. Flows with `isn` have deltas, or have
    /// none, and keep what they have.
    ///
    /// # Errors
    /// [`LabError::MissingTool`] without Python, or the script's own words.
    pub fn start(
        lab: &Lab,
        appliance: &Appliance,
        isn: Isn,
        (seed, pause): (u64, Duration),
    ) -> Result<HandOvers> {
        let deltas = if isn == Isn::Mirror { "zero" } else { "other" };
        let path = lab.client().directory().join("hand_overs.py");
        fs::write(&path, SCRIPT).map_err(LabError::io(format!("writing {}", path.display())))?;
        let script = lab.client().command("python3").arg(&path).arg(appliance.socket());
        let mut process =
            script.args([&seed.to_string(), &pause.as_secs_f64().to_string(), deltas]).spawn()?;
        process.wait_for_text("ordering", LATE)?;
        Ok(HandOvers { process })
    }

    /// Stops, and says what has been ordered.
    ///
    /// # Errors
    /// [`LabError::Failed`] with the flow whose deltas are not what they should be.
    pub fn stop(mut self) -> Result<Ordered> {
        self.process.close_stdin();
        let said = self.process.wait(LATE)?.ok()?;
        let unexpected =
            || LabError::Unexpected { expected: "a report of what was ordered".into(), got: said.clone() };
        let line = said.lines().last().ok_or_else(unexpected)?;
        let report: Value = serde_json::from_str(line).map_err(|_| unexpected())?;
        let number = |name: &str| report[name].as_u64().ok_or_else(unexpected);
        let refused = report["refused"].as_object().into_iter().flatten();
        Ok(Ordered {
            splits: number("split")?,
            merges: number("merge")?,
            refused: refused.filter_map(|(_, count)| count.as_u64()).sum(),
        })
    }
}
