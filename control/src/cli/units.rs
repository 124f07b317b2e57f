//! Numbers for people.

use crate::config::show_bytes;

/// `950 B`, `1.2 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    show_bytes(bytes)
}

/// `1,234,567`.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 worker`, `3 workers`.
pub(super) fn of(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// The two largest units: `350ms`, `12s`, `2h 5m`, `3d 0h`.
pub(super) fn age(millis: u64) -> String {
    let seconds = millis / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if seconds == 0 => format!("{millis}ms"),
        () if minutes == 0 => format!("{seconds}s"),
        () if hours == 0 => format!("{minutes}m {}s", seconds % 60),
        () if days == 0 => format!("{hours}h {}m", minutes % 60),
        () => format!("{days}d {}h", hours % 24),
    }
}

/// `0`, `+12`, `-5`.
pub(super) fn delta(delta: i32) -> String {
    if delta == 0 { "0".to_owned() } else { format!("{delta:+}") }
}

/// `0 %`, `37 %`; `-` of nothing.
pub(super) fn share(used: u64, capacity: u64) -> String {
    match (u128::from(used) * 100).checked_div(u128::from(capacity)) {
        Some(percent) => format!("{percent} %"),
        None => "-".to_owned(),
    }
}

/// `25 Gbit/s`, `100 Mbit/s`.
pub(super) fn speed(mbps: u32) -> String {
    match mbps {
        0..1000 => format!("{mbps} Mbit/s"),
        _ if mbps.is_multiple_of(1000) => format!("{} Gbit/s", mbps / 1000),
        _ => format!("{:.1} Gbit/s", f64::from(mbps) / 1000.0),
    }
}
