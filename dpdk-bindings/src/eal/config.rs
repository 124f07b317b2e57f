//! What the EAL is started with, and the arguments that this becomes.

use std::ffi::CString;

use crate::error::Error;

/// Where packet memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Huge pages that the system has set aside (`vm.nr_hugepages`); this many megabytes are taken at the start.
    Huge {
        /// Megabytes.
        megabytes: u32,
    },
    /// Ordinary pages, and no more than this many megabytes. For tests and small labs; NICs want huge pages.
    NoHuge {
        /// Megabytes.
        megabytes: u32,
    },
}

/// How much DPDK prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// And warnings.
    Warning,
    /// And what a user may want to know; DPDK's default.
    Notice,
    /// And what an engineer may want to know.
    Info,
    /// Everything, of every library and driver.
    Debug,
}

impl LogLevel {
    fn argument(self) -> &'static str {
        match self {
            LogLevel::Error => "--log-level=error",
            LogLevel::Warning => "--log-level=warning",
            LogLevel::Notice => "--log-level=notice",
            LogLevel::Info => "--log-level=info",
            LogLevel::Debug => "--log-level=*:debug",
        }
    }
}

/// What [`crate::Eal::start`] needs to know.
#[derive(Debug, Clone)]
pub struct EalConfig {
    /// The program's name in DPDK's messages.
    pub program: String,
    /// The CPU core whose memory node the starting thread gets (it is not pinned there).
    pub main_core: u16,
    /// Packet memory.
    pub memory: Memory,
    /// Virtual devices, as `net_af_packet0,iface=veth0`. They are created in this order.
    pub vdevs: Vec<String>,
    /// PCI addresses, as `0000:03:00.0`, of the NICs to take. With none, the PCI bus is not even looked at.
    pub pci: Vec<String>,
    /// Tells the files of several EAL processes of one machine apart.
    pub file_prefix: Option<String>,
    /// How much DPDK prints.
    pub log_level: LogLevel,
    /// Further arguments, for what this crate does not know about.
    pub extra: Vec<String>,
}

impl EalConfig {
    /// No devices, main core 0, warnings only.
    pub fn new(program: &str, memory: Memory) -> Self {
        EalConfig {
            program: program.into(),
            main_core: 0,
            memory,
            vdevs: Vec::new(),
            pci: Vec::new(),
            file_prefix: None,
            log_level: LogLevel::Warning,
            extra: Vec::new(),
        }
    }

    /// The argument vector, without the vdevs.
    pub(super) fn arguments(&self) -> Result<Vec<CString>, Error> {
        // As lcore 0, whatever the core's number is: DPDK knows RTE_MAX_LCORE lcores, 128 in Debian's, and machines have more cores.
        let mut list = vec![self.program.clone(), "--lcores".into(), format!("0@{}", self.main_core)];
        let megabytes = match self.memory {
            Memory::Huge { megabytes } => {
                list.push("--in-memory".into());
                megabytes
            }
            Memory::NoHuge { megabytes } => {
                list.extend(["--no-huge".into(), "--no-shconf".into()]);
                megabytes
            }
        };
        if megabytes == 0 {
            return Err(Error::EalConfig("0 megabytes of memory".into()));
        }
        // The appliance has its own telemetry; DPDK's socket would need a writable run folder.
        list.extend(["-m".into(), megabytes.to_string(), "--no-telemetry".into()]);
        if self.pci.is_empty() {
            list.push("--no-pci".into());
        }
        for address in &self.pci {
            list.extend(["-a".into(), address.clone()]);
        }
        if let Some(prefix) = &self.file_prefix {
            list.extend(["--file-prefix".into(), prefix.clone()]);
        }
        list.push(self.log_level.argument().into());
        for argument in &self.extra {
            // These print and exit the process.
            if matches!(argument.as_str(), "-h" | "--help" | "-v" | "--version") {
                return Err(Error::EalConfig(format!("extra argument {argument} would end the process")));
            }
            list.push(argument.clone());
        }
        self.check_vdevs()?;
        list.into_iter()
            .map(|a| CString::new(a).map_err(|e| Error::EalConfig(format!("a NUL byte in an argument: {e}"))))
            .collect()
    }

    fn check_vdevs(&self) -> Result<(), Error> {
        for (i, vdev) in self.vdevs.iter().enumerate() {
            let name = device_name(vdev);
            if name.is_empty() || vdev.contains('\0') {
                return Err(Error::EalConfig(format!("vdev {vdev:?} has no name, or a NUL byte")));
            }
            if self.vdevs[..i].iter().any(|other| device_name(other) == name) {
                return Err(Error::EalConfig(format!(
                    "two vdevs are named {name}; number them, as net_null0 and net_null1"
                )));
            }
        }
        Ok(())
    }
}

/// The name under which the port of a device is found: a vdev string without its arguments, a PCI address as it is.
pub fn device_name(device: &str) -> &str {
    device.split_once(',').map_or(device, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(config: &EalConfig) -> String {
        let list = config.arguments().expect("valid");
        list.iter().map(|a| a.to_str().expect("ASCII")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn memory_and_pci_become_arguments() {
        let mut config = EalConfig::new("q", Memory::NoHuge { megabytes: 64 });
        assert_eq!(
            text(&config),
            "q --lcores 0@0 --no-huge --no-shconf -m 64 --no-telemetry --no-pci --log-level=warning"
        );
        config.main_core = 200;
        config.memory = Memory::Huge { megabytes: 512 };
        config.pci = vec!["0000:03:00.0".into()];
        config.file_prefix = Some("lab".into());
        config.extra = vec!["--iova-mode=va".into()];
        assert_eq!(
            text(&config),
            "q --lcores 0@200 --in-memory -m 512 --no-telemetry -a 0000:03:00.0 --file-prefix lab --log-level=warning \
             --iova-mode=va"
        );
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let good = EalConfig::new("q", Memory::NoHuge { megabytes: 64 });
        let refused = |change: fn(&mut EalConfig)| {
            let mut config = good.clone();
            change(&mut config);
            matches!(config.arguments(), Err(Error::EalConfig(_)))
        };
        assert!(refused(|c| c.memory = Memory::Huge { megabytes: 0 }));
        assert!(refused(|c| c.vdevs = vec!["net_null0".into(), "net_null0,size=9".into()]));
        assert!(refused(|c| c.vdevs = vec![",iface=veth0".into()]));
        assert!(refused(|c| c.vdevs = vec!["net_null0,\0".into()]));
        assert!(refused(|c| c.extra = vec!["--help".into()]));
        assert!(refused(|c| c.program = "q\0".into()));
    }
}
