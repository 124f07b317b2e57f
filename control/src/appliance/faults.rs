//! What keeps a device from being opened, said by port: what the configuration can mend names its line, and ends with
//! exit code 2; what the system refuses ends with 1.

use anyhow::{Context as _, anyhow};
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
