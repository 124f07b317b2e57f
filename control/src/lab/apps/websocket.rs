//! WebSockets (RFC 6455): one connection with frames both ways.

use std::net::IpAddr;
use std::time::Duration;

use crate::lab::error::{LabError, Result};
use crate::lab::process::Process;
use crate::lab::topology::Lab;

use super::{GRACE, START, json, number};

const SCRIPT: &str = include_str!("websocket.py");

/// Debian's own, which has the modules of Debian's packages, whatever else is in front of it in `PATH`.
const PYTHON: &str = "/usr/bin/python3";

const PORT: &str = "8765";

/// A running echo server.
#[derive(Debug)]
pub struct WebSocket {
    _process: Process,
}

impl WebSocket {
    /// Starts it.
    ///
    /// # Errors
    /// [`LabError::MissingTool`] without Python's library, or its own words.
    pub fn start(lab: &Lab) -> Result<WebSocket> {
        let has_library = lab.server().command(PYTHON).args(["-c", "import websockets"]).run()?.success();
        if !has_library {
            return Err(LabError::MissingTool {
                tool: "Python's module websockets".into(),
                advice: "it is in Debian's package python3-websockets: ./dev setup, or apt-get install \
                         python3-websockets"
                    .into(),
            });
        }
        let mut process = lab.server().command(PYTHON).args(["-c", SCRIPT, "serve", PORT]).spawn()?;
        process.wait_for_text("listening", START)?;
        Ok(WebSocket { _process: process })
    }

    /// Messages a second that came back as they were sent, up to 32 under way at once.
    ///
    /// # Errors
    /// Which message did not come back as it should.
    pub fn run(&self, lab: &Lab, address: IpAddr, time: Duration) -> Result<f64> {
        let seconds = time.as_secs_f64().to_string();
        let client =
            lab.client().command(PYTHON).args(["-c", SCRIPT, "talk", &address.to_string(), PORT, &seconds]);
        number(&json(&client.timeout(time + 2 * GRACE).ok()?)?, "/per_second")
    }
}
