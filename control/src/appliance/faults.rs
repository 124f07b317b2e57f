//! What keeps a device from being opened, said by port: what the configuration can mend names its line, and ends with
//! exit code 2; what the system refuses ends with 1.

use anyhow::{Context as _, anyhow, bail};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};

use dpdk_bindings::Error;

use crate::config::validated::{Config, Device, Port};

/// Drivers that open packet sockets.
const PACKET_SOCKETS: [&str; 2] = ["net_af_packet", "net_af_xdp"];

/// Before DPDK is started, which would say the same in many more words: whether packet sockets may be opened.
pub(super) fn check_rights(config: &Config) -> anyhow::Result<()> {
    let Some(port) = config.ports.iter().find(|port| opens_packet_socket(port)) else { return Ok(()) };
    match socket(AddressFamily::PACKET, SocketType::RAW, None) {
        Err(Errno::PERM | Errno::ACCESS) => Err(anyhow!(
            "port {:?}, device {}: this user may not open packet sockets; run as root, or give the binary the rights: \
             setcap cap_net_raw,cap_net_admin+ep {} (af_xdp: root)",
            port.name,
            port.device.as_str(),
            std::env::current_exe().unwrap_or_else(|_| "quadrille".into()).display(),
        )),
        _ => Ok(()),
    }
}

fn opens_packet_socket(port: &Port) -> bool {
    let Device::Vdev(text) = &port.device else { return false };
    PACKET_SOCKETS.iter().any(|driver| text.starts_with(driver))
}

/// Before DPDK is started: whether the huge pages are there. It would take what it gets and fail later.
pub(super) fn check_huge_pages(config: &Config) -> anyhow::Result<()> {
    let wanted = u64::from(config.memory.megabytes);
    // Kernels without huge pages have no folder; what DPDK makes of that is its own message.
    let (true, Ok(free)) = (config.memory.hugepages, free_huge_megabytes()) else { return Ok(()) };
    if free < wanted {
        bail!(
            "{wanted} MiB of huge pages are configured and {free} MiB are free: sysctl vm.nr_hugepages={} (pages of \
             2 MiB), or [memory] hugepages = false in {}",
            wanted.div_ceil(2),
            config.source
        );
    }
    Ok(())
}

/// Over all page sizes.
fn free_huge_megabytes() -> std::io::Result<u64> {
    let mut kilobytes = 0;
    for folder in std::fs::read_dir("/sys/kernel/mm/hugepages")? {
        let folder = folder?;
        let name = folder.file_name().to_string_lossy().into_owned();
        let size = name.trim_start_matches("hugepages-").trim_end_matches("kB").parse().unwrap_or(0);
        let free = std::fs::read_to_string(folder.path().join("free_hugepages"))?;
        kilobytes += size * free.trim().parse().unwrap_or(0);
    }
    Ok(kilobytes >> 10)
}

/// An error of the EAL's start: a virtual device that cannot be made, or the EAL itself.
pub(super) fn at_start(config: &Config, error: Error) -> anyhow::Error {
    let device = match &error {
        Error::NoDriver { device } | Error::DeviceProbe { device, .. } => device.clone(),
        _ => return error.into(),
    };
    match config.ports.iter().position(|port| port.device.as_str() == device) {
        Some(port) => config.device_error(port, without_device(&error)).into(),
        None => error.into(),
    }
}

/// An error of opening a port.
pub(super) fn at_open(config: &Config, port: usize, error: Error) -> anyhow::Error {
    match &error {
        Error::NoSuchDevice { .. } | Error::PortConfig { .. } => {
            config.device_error(port, without_device(&error)).into()
        }
        Error::Port { errno, .. }
            if [Errno::PERM, Errno::ACCESS].map(Errno::raw_os_error).contains(&errno.code()) =>
        {
            anyhow!("{}; run as root, or with CAP_NET_ADMIN too", without_device(&error))
                .context(place(&config.ports[port]))
        }
        _ => anyhow!(without_device(&error)).context(place(&config.ports[port])),
    }
}

/// Errors about a port that is open.
pub(super) fn of_port<T>(port: &Port, outcome: Result<T, Error>) -> anyhow::Result<T> {
    outcome.with_context(|| place(port))
}

fn place(port: &Port) -> String {
    format!("port {:?}, device {}", port.name, port.device.as_str())
}

/// The bindings' message without its beginning, which names the device once more.
fn without_device(error: &Error) -> String {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((device, rest)) if device.starts_with("device ") => rest.to_owned(),
        _ => text,
    }
}
