//! SMTP (RFC 5321), where the server speaks first: aiosmtpd, and Python's own client.

use std::net::IpAddr;
use std::time::Duration;

use crate::lab::error::{LabError, Result};
use crate::lab::process::Process;
use crate::lab::topology::Lab;

use super::{GRACE, START, json, number};

const SCRIPT: &str = include_str!("smtp.py");

/// Debian's own, which has the modules of Debian's packages, whatever else is in front of it in `PATH`.
const PYTHON: &str = "/usr/bin/python3";

const PORT: &str = "25";

/// A running mail server.
#[derive(Debug)]
pub struct Smtp {
    _process: Process,
}

impl Smtp {
    /// Starts it.
    ///
    /// # Errors
    /// [`LabError::MissingTool`] without aiosmtpd, or its own words.
    pub fn start(lab: &Lab) -> Result<Smtp> {
        let has_library = lab.server().command(PYTHON).args(["-c", "import aiosmtpd"]).run()?.success();
        if !has_library {
            return Err(LabError::MissingTool {
                tool: "Python's module aiosmtpd".into(),
                advice: "it is in Debian's package python3-aiosmtpd: ./dev setup, or apt-get install \
                         python3-aiosmtpd"
                    .into(),
            });
        }
        let mut process = lab.server().command(PYTHON).args(["-c", SCRIPT, "serve", PORT]).spawn()?;
        process.wait_for_text("listening", START)?;
        Ok(Smtp { _process: process })
    }

    /// Mails a second that arrived as they were sent.
    ///
    /// # Errors
    /// Which mail did not arrive as it should, or which reply was not one.
    pub fn run(&self, lab: &Lab, address: IpAddr, time: Duration) -> Result<f64> {
        let seconds = time.as_secs_f64().to_string();
        let client =
            lab.client().command(PYTHON).args(["-c", SCRIPT, "send", &address.to_string(), PORT, &seconds]);
        number(&json(&client.timeout(time + 2 * GRACE).ok()?)?, "/per_second")
    }
}
