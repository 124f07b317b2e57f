//! What the figures were taken on: they mean little without.

use control::lab::Command;

use crate::measure::CONGESTION_CONTROL;

/// Programs whose versions matter, and how each is asked.
const VERSIONS: [(&str, &str, &[&str]); 8] = [
    ("iperf3", "iperf3", &["--version"]),
    ("curl", "curl", &["--version"]),
    ("nginx", "nginx", &["-v"]),
    ("OpenSSH", "ssh", &["-V"]),
    ("PostgreSQL", "psql", &["--version"]),
    ("Redis", "redis-server", &["--version"]),
    ("aiosmtpd", "/usr/bin/python3", &["-c", "import aiosmtpd; print(aiosmtpd.__version__)"]),
    ("Python websockets", "/usr/bin/python3", &["-c", "import websockets; print(websockets.__version__)"]),
];

/// How many threads wanted a core in the last minute. Before the lab begins, these are somebody else's.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

/// Lines of text: processor, kernel, system, versions, date.
pub fn describe(load: &str) -> String {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str, split: char| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(split))
            .map(|(_, value)| value.trim().trim_matches('"').to_owned())
    };
    let unknown = || "unknown".to_owned();
    let processor = value(&file("/proc/cpuinfo"), "model name", ':').unwrap_or_else(unknown);
    let system = value(&file("/etc/os-release"), "PRETTY_NAME", '=').unwrap_or_else(unknown);
    let kernel = file("/proc/sys/kernel/osrelease");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let date = first_line("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown);
    let dpdk = first_line("pkg-config", &["--modversion", "libdpdk"]).unwrap_or_else(unknown);
    let versions: Vec<String> = VERSIONS
        .iter()
        .filter_map(|(name, program, arguments)| {
            let line = first_line(program, arguments)?;
            Some(format!("{name} {}", version(&line)?))
        })
        .collect();
    format!(
        "{date}, {cores} cores of {processor}, Linux {}, {system}\n\
         {CONGESTION_CONTROL} in both namespaces, DPDK {dpdk} over af_packet, {}\n\
         load average of the machine before: {load}\n",
        kernel.trim(),
        versions.join(", ")
    )
}

/// What a program says first, on either stream.
fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let finished = Command::new(program).args(arguments).run().ok()?;
    let said = format!("{}{}", finished.stdout, finished.stderr);
    said.lines().next().map(str::to_owned)
}

/// The first word that looks like one.
fn version(line: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let mut words = line.split(|c: char| !is_part(c) && c != '_');
    let has = |word: &&str| word.contains('.') && word.chars().any(|c| c.is_ascii_digit());
    words.find(has).map(|word| word.trim_start_matches("OpenSSH_").trim_start_matches('v'))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(version("iperf 3.12 (cJSON 1.7.15)"), Some("3.12"));
        assert_eq!(version("nginx version: nginx/1.22.1"), Some("1.22.1"));
        assert_eq!(version("OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.17"), Some("9.2p1"));
        assert_eq!(version("Redis server v=7.0.15 sha=00000000:0"), Some("7.0.15"));
        assert_eq!(version("psql (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some("15.18"));
    }
}
