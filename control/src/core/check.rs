//! What always holds inside the control core, between any two polls: for tests, simulation and fuzzing to assert.

use dataplane::buffer::Pool;

use super::{Core, tick};

impl<L: Pool> Core<L> {
    /// Whether each flow is in order, and has a timer that fires as early as it thinks; nobody else has one.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), String> {
        for (slot, place) in self.connections.iter().enumerate() {
            let slot = slot as u32;
            let Some(connection) = place else {
                if self.timers.is_armed(slot) {
                    return Err(format!("a timer is set for {slot}, where there is no flow"));
                }
                continue;
            };
            connection.check()?;
            if !connection.armed().is_some_and(|at| self.timers.fires_by(slot, tick(at))) {
                return Err(format!(
                    "{}: its timer is not set, or late: {connection:?}",
                    connection.key().quad
                ));
            }
        }
        Ok(())
    }
}
