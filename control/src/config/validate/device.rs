//! Device strings: what DPDK would reject late, or accept and do something else, is rejected here by name.

use std::ops::Range;

use crate::config::Devices;
use crate::config::error::{Problems, did_you_mean, nearest};
use crate::config::external;
use crate::config::validated::Device;

/// Virtual devices of DPDK 22.11 and newer that make sense as one end of a wire.
const DRIVERS: [&str; 11] = [
    "net_af_packet",
    "net_af_xdp",
    "net_bonding",
    "net_memif",
    "net_null",
    "net_pcap",
    "net_ring",
    "net_tap",
    "net_vhost",
    "net_virtio_user",
    "net_failsafe",
];

/// Drivers that serve a kernel interface, and the argument that says how many queues they open on it.
const KERNEL_DRIVERS: [(&str, &str); 2] = [("net_af_packet", "qpairs"), ("net_af_xdp", "queue_count")];

/// A PCI address or a vdev string; `None` after a problem.
pub(super) fn validate(
    port: &external::Port,
    workers: usize,
    devices: Devices,
    problems: &mut Problems,
) -> Option<Device> {
    let (text, span) = (port.device.get_ref().as_str(), port.device.span());
    if let Some(address) = pci_address(text) {
        if !devices.has_pci(&address) {
            problems.at(span, missing(port, "there is no PCI device of this address; `lspci -D` lists them"));
            return None;
        }
        return Some(Device::Pci(address));
    }
    let (name, arguments) = text.split_once(',').unwrap_or((text, ""));
    let driver = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if !driver.starts_with("net_") {
        problems.at(
            span,
            format!(
                "{text:?} is neither a PCI address such as \"0000:01:00.0\" nor a virtual device such as \
                 \"net_af_packet0,iface=eth0\""
            ),
        );
        return None;
    }
    if !DRIVERS.contains(&driver)
        && let Some(known) = nearest(driver, DRIVERS)
    {
        problems.at(span, format!("DPDK has no driver \"{driver}\"; did you mean \"{known}\"?"));
        return None;
    }
    if driver == name {
        problems.at(span, format!("number the device, so that there can be several: \"{name}0\""));
        return None;
    }
    if let Some((_, queues)) = KERNEL_DRIVERS.into_iter().find(|(name, _)| *name == driver) {
        let value =
            |key: &str| arguments.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        enough_queues(value(queues), queues, workers, span.clone(), problems)?;
        let interface = value("iface").unwrap_or_default();
        if interface.is_empty() {
            problems.at(span, format!("name the kernel interface: \"{text},iface=eth0\""));
            return None;
        }
        if !devices.has_interface(interface) {
            problems.at(span, missing(port, &no_interface(interface, &devices.interfaces())));
            return None;
        }
    }
    Some(Device::Vdev(text.to_owned()))
}

/// What is missing, by port and device.
fn missing(port: &external::Port, what: &str) -> String {
    format!("port {:?}, device {}: {what}", port.name.get_ref(), port.device.get_ref())
}

fn no_interface(wanted: &str, there: &[String]) -> String {
    let all = if there.is_empty() { "none but lo".to_owned() } else { there.join(", ") };
    let hint =
        did_you_mean(wanted, there.iter().map(String::as_str), || format!("; there is {all} (`ip link`)"));
    format!("this network namespace has no interface \"{wanted}\"{hint}")
}

fn enough_queues(
    count: Option<&str>,
    queues: &str,
    workers: usize,
    span: Range<usize>,
    problems: &mut Problems,
) -> Option<()> {
    let opened = count.map_or(Some(1), |count| count.parse().ok());
    if opened.is_none_or(|opened: usize| opened < workers) {
        problems.at(
            span,
            format!("{workers} workers need as many queues; write {queues}={workers} into the device string"),
        );
        return None;
    }
    Some(())
}

/// `[domain:]bus:device.function` in hexadecimal, with the domain added and in lower case.
fn pci_address(text: &str) -> Option<String> {
    let (front, function) = text.rsplit_once('.')?;
    let parts: Vec<&str> = front.split(':').collect();
    let (domain, bus, device) = match parts[..] {
        [bus, device] => ("0000", bus, device),
        [domain, bus, device] => (domain, bus, device),
        _ => return None,
    };
    let hexadecimal = |part: &str, len| part.len() == len && part.chars().all(|c| c.is_ascii_hexdigit());
    let good = (hexadecimal(domain, 4) || hexadecimal(domain, 8))
        && hexadecimal(bus, 2)
        && hexadecimal(device, 2)
        && u8::from_str_radix(device, 16).is_ok_and(|device| device < 32)
        && function.len() == 1
        && function.chars().all(|c| ('0'..='7').contains(&c));
    good.then(|| format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase())
}
