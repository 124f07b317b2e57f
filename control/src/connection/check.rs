//! What always holds inside a connection, between any two events: for tests, simulation and fuzzing to assert.

use dataplane::buffer::Pool;
use dataplane::clock::Instant;

use super::{Connection, Phase};

impl<L: Pool> Connection<L> {
    /// Whether both legs are in order, and its timer fires in time.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.phase == Phase::Done {
            return Err(format!("{}: a connection that is over is kept", self.key.quad));
        }
        if Instant::earlier(self.armed, self.deadline()) != self.armed {
            let [armed, due] = [self.armed, self.deadline()].map(|at| at.map(Instant::as_millis));
            return Err(format!("{}: due at {due:?} ms, its timer fires at {armed:?} ms", self.key.quad));
        }
        for (name, leg) in [("client", Some(&self.client)), ("server", self.server.as_ref())] {
            let Some(leg) = leg else { continue };
            leg.block.check().map_err(|what| format!("{}, {name} leg: {what}", self.key.quad))?;
        }
        Ok(())
    }
}
