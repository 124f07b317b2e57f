//! How `cargo test` runs a scenario: the test binary starts itself again in a world of its own, for one test.

use std::env;
use std::fs::File;
use std::time::Duration;

use super::command::Output;
use super::error::{LabError, Result};
use super::isolate::{Entered, Isolated, Reexec};

/// Set to 1 where neither root nor user namespaces can be had, and real packets are tested elsewhere.
pub const SKIP: &str = "QUADRILLE_SKIP_LAB";

/// No scenario takes longer.
const DEADLINE: Duration = Duration::from_secs(180);

/// Runs the test `name` (its full path below the test crate) inside a lab of its own.
///
/// In an unprivileged user namespace, a scenario that needs root says so and is passed by.
/// Tests of one binary take turns: two busy workers beside each other on a small machine measure nothing.
///
/// # Panics
/// When the scenario fails, when it does not exist under that name, or when this machine gives no namespaces.
pub fn isolated(name: &str, scenario: impl FnOnce(Isolated) -> Result<()>) {
    if env::var_os(SKIP).is_some_and(|value| value == "1") {
        eprintln!("{name}: not run, {SKIP}=1");
        return;
    }
    if let Err(error) = run(name, scenario) {
        panic!("{name}: {error}");
    }
}

fn run(name: &str, scenario: impl FnOnce(Isolated) -> Result<()>) -> Result<()> {
    let passed = format!("scenario {name}: passed");
    let passed_by = format!("scenario {name}: not run without root");
    let _turn = if std::process::id() == 1 { None } else { Some(take_turn()?) };
    let arguments = ["--exact", name, "--nocapture", "--test-threads=1", "--include-ignored"];
    let arguments = arguments.map(Into::into).to_vec();
    match Isolated::enter_or_reexec(&Reexec { arguments, timeout: DEADLINE, output: Output::Collected })? {
        Entered::Inside(isolated) => {
            let rootless = isolated.is_rootless();
            match scenario(isolated) {
                // The rest of the suite still says something; a run as root says it all.
                Err(error @ LabError::NeedsRoot { .. }) if rootless => println!("{error}\n{passed_by}"),
                other => other.map(|()| println!("{passed}"))?,
            }
            Ok(())
        }
        Entered::Finished(finished) if finished.success() && finished.stdout.contains(&passed_by) => {
            eprint!("{}", finished.stdout);
            Ok(())
        }
        // A misspelt name runs no test at all, and libtest calls that a success.
        Entered::Finished(finished) if finished.success() && finished.stdout.contains(&passed) => Ok(()),
        Entered::Finished(finished) => Err(LabError::Failed {
            command: format!("the scenario in its own namespaces ({:.1?})", finished.elapsed),
            status: finished.status,
            output: format!("{}{}", finished.stdout, finished.stderr),
        }),
    }
}

/// An advisory lock on the test binary itself, released when the file is dropped.
fn take_turn() -> Result<File> {
    let executable = env::current_exe().map_err(LabError::io("finding the test binary"))?;
    let file = File::open(&executable).map_err(LabError::io("opening the test binary"))?;
    file.lock().map_err(LabError::io("locking the test binary"))?;
    Ok(file)
}
