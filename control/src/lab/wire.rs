//! `dpdk-testpmd` between the lab's two devices: a plain wire. It shows that a lab works without an appliance, and it
//! is what an appliance's numbers are measured against.

use super::command::Command;
use super::endpoint::Net;
use super::error::{LabError, Result};
use super::pmd::Pmd;
use super::process::Process;
use super::topology::{CLIENT_SIDE, Lab, SERVER_SIDE};
use super::wait::LATE;

impl Lab {
    /// Joins the two devices by `dpdk-testpmd`, and waits until echoes cross.
    ///
    /// # Errors
    /// [`LabError::MissingTool`], [`LabError::NeedsRoot`] for af_xdp in a rootless lab, [`LabError::Timeout`] with
    /// testpmd's output.
    pub fn testpmd(&self, pmd: Pmd) -> Result<Process> {
        self.check_pmd(pmd)?;
        let queues = self.queues;
        let mut process = Command::new("dpdk-testpmd")
            .words("-l 0,1 --no-huge --no-shconf --no-pci -m 256")
            .arg(format!("--vdev={}", pmd.device(0, CLIENT_SIDE, queues)))
            .arg(format!("--vdev={}", pmd.device(1, SERVER_SIDE, queues)))
            .words("-- --forward-mode=io --total-num-mbufs=16384 --no-mlockall")
            .arg(format!("--rxq={queues}"))
            .arg(format!("--txq={queues}"))
            .spawn()?;
        let server = self.server().address(Net::V4);
        self.client().wait_for_echo(server, LATE).map_err(|error| {
            let running = process.is_running().unwrap_or(false);
            let detail =
                format!("{error}; testpmd running: {running}\n{}{}", process.stdout(), process.stderr());
            LabError::Timeout { what: format!("a wire over {}", pmd.name()), within: LATE, detail }
        })?;
        Ok(process)
    }

    pub(super) fn check_pmd(&self, pmd: Pmd) -> Result<()> {
        if pmd == Pmd::AfXdp && self.is_rootless() {
            return Err(LabError::NeedsRoot { what: "loading the XDP program of net_af_xdp".into() });
        }
        Ok(())
    }
}
