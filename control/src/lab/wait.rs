//! Waiting for a condition with a deadline. The lab never sleeps for a fixed time and hopes.

use std::thread;
use std::time::{Duration, Instant};

use super::error::{LabError, Result};

/// How late anything may be that has to come: spinning workers and a build beside them starve a process for many seconds,
/// and only what never comes costs so long.
pub const LATE: Duration = Duration::from_secs(60);

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);

/// Calls `probe` until it gives a value, and returns that.
///
/// # Errors
/// The probe's own error at once, or [`LabError::Timeout`] naming `what` when `within` has passed.
pub fn wait_for<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if start.elapsed() >= within {
            return Err(LabError::Timeout { what: what.into(), within, detail: String::new() });
        }
        thread::sleep(POLL);
    }
}

/// Calls `probe` until it is true.
///
/// # Errors
/// As [`wait_for`].
pub fn wait_until(what: &str, within: Duration, mut probe: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_for(what, within, || Ok(probe()?.then_some(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut looks = 0;
        let got = wait_for("three looks", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(got.unwrap(), 3);
    }

    #[test]
    fn a_condition_that_never_comes_true_is_named() {
        let error = wait_until("the moon", Duration::ZERO, || Ok(false)).unwrap_err().to_string();
        assert!(error.starts_with("the moon: not within"), "{error}");
    }
}
