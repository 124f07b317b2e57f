//! What always holds inside the control core, between any two polls: for tests, simulation and fuzzing to assert.

use dataplane::buffer::Pool;

use super::Core;

impl<L: Pool> Core<L> {
    /// Whether each flow is in order, and has a timer.
    #[doc(hidden)]
    pub fn check(&self) -> Result<(), String> {
        for (slot, place) in self.connections.iter().enumerate() {
            let Some(connection) = place else { continue };
            connection.check()?;
            if !self.timers.is_armed(slot as u32) {
                return Err(format!("{}: no timer is set: {connection:?}", connection.key().quad));
            }
        }
        Ok(())
    }
}
