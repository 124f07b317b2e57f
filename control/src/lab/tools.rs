//! Where the programs are that the lab runs, and which Debian package has the one that is not there.

use std::env;
use std::path::PathBuf;

use super::error::{LabError, Result};

/// Searched after `PATH`, which for an ordinary user often lacks the administrator's folders.
const ALSO_SEARCHED: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// Program and Debian package.
const PACKAGES: [(&str, &str); 28] = [
    ("arping", "iputils-arping"),
    ("clang", "clang"),
    ("cmp", "diffutils"),
    ("curl", "curl"),
    ("dpdk-testpmd", "dpdk-dev"),
    ("ethtool", "ethtool"),
    ("haproxy", "haproxy"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("mount", "mount"),
    ("nc", "netcat-openbsd"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("ping", "iputils-ping"),
    ("python3", "python3"),
    ("redis-benchmark", "redis-tools"),
    ("redis-server", "redis-server"),
    ("setpriv", "util-linux"),
    ("sha256sum", "coreutils"),
    ("socat", "socat"),
    ("ss", "iproute2"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("tc", "iproute2"),
    ("tcpdump", "tcpdump"),
    ("timeout", "coreutils"),
    ("unshare", "util-linux"),
];

/// The absolute path of a program; a name with a slash is taken as it is.
///
/// # Errors
/// [`LabError::MissingTool`] with the package to install.
pub fn find(tool: &str) -> Result<PathBuf> {
    if tool.contains('/') {
        return Ok(PathBuf::from(tool));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(ALSO_SEARCHED.iter().map(PathBuf::from))
        .map(|folder| folder.join(tool))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| LabError::MissingTool { tool: tool.into(), advice: advice(tool) })
}

/// Checks for all the given programs, so that a scenario complains before it has built anything.
///
/// # Errors
/// [`LabError::MissingTool`] for the first that is not there.
pub fn require(tools: &[&str]) -> Result<()> {
    tools.iter().try_for_each(|tool| find(tool).map(drop))
}

fn advice(tool: &str) -> String {
    match PACKAGES.iter().find(|(name, _)| *name == tool) {
        Some((_, package)) => {
            format!("it is in Debian's package {package}: ./dev setup, or apt-get install {package}")
        }
        None => "no Debian package is known to the lab for it".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        assert!(advice("nft").contains("apt-get install nftables"));
        let error = find("no-such-program-anywhere").unwrap_err().to_string();
        assert!(error.contains("no-such-program-anywhere is not installed"), "{error}");
    }

    #[test]
    fn the_shell_is_found_by_absolute_path() {
        assert!(find("sh").unwrap().is_absolute());
    }
}
