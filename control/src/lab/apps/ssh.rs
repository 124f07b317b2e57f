//! OpenSSH: an interactive session that is typed into, and a file through `cat`.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::lab::command::Command;
use crate::lab::error::{LabError, Result, expect};
use crate::lab::files::{sha256, write_random};
use crate::lab::process::Process;
use crate::lab::tools;
use crate::lab::topology::Lab;

use super::{GRACE, START, json, number};

const TYPING: &str = include_str!("typing.py");

/// An sshd with keys of its own, for root of this lab.
#[derive(Debug)]
pub struct Sshd {
    _process: Process,
    key: PathBuf,
}

/// What typing was like.
#[derive(Debug, Clone, Copy)]
pub struct Typed {
    /// Keys echoed a second, each pressed when the one before was there.
    pub per_second: f64,
    /// Key to echo, milliseconds.
    pub median_ms: f64,
    /// The same, for the slowest of a hundred.
    pub p99_ms: f64,
}

impl Sshd {
    /// Makes keys and starts the server.
    ///
    /// # Errors
    /// [`LabError::NeedsRoot`] in a user namespace, where sshd cannot change users; sshd's own words.
    pub fn start(lab: &Lab) -> Result<Sshd> {
        if lab.is_rootless() {
            return Err(LabError::NeedsRoot { what: "sshd".into() });
        }
        let folder = lab.server().directory().join("ssh");
        for made in [folder.as_path(), "/run/sshd".as_ref()] {
            fs::create_dir_all(made).map_err(LabError::io(format!("creating {}", made.display())))?;
        }
        // It writes down who logs in; nobody else needs to know. The mount is the lab's own and ends with it.
        Command::new("mount").words("-t tmpfs tmpfs /var/log").ok()?;
        let (host, key) = (folder.join("host"), folder.join("user"));
        for key in [&host, &key] {
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).ok()?;
        }
        let config = folder.join("sshd_config");
        let text = format!(
            "HostKey {host}\nAuthorizedKeysFile {key}.pub\nPidFile none\nUsePAM no\nUseDNS no\nStrictModes no\n\
             PermitRootLogin prohibit-password\nPrintMotd no\nPrintLastLog no\nMaxStartups 100\n",
            host = host.display(),
            key = key.display()
        );
        fs::write(&config, text).map_err(LabError::io("writing sshd_config"))?;
        // It wants to know its own absolute path, to start itself again for each connection.
        let sshd = tools::find("sshd")?;
        let sshd = lab.server().command(&sshd.to_string_lossy()).args(["-D", "-e", "-f"]).arg(&config);
        let mut process = sshd.spawn()?;
        process.wait_for_text("Server listening", START)?;
        Ok(Sshd { _process: process, key })
    }

    /// Options of `ssh`, up to the host.
    fn options(&self) -> Vec<String> {
        let options = [
            "BatchMode=yes",
            "UserKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=no",
            "LogLevel=ERROR",
            // From 9.5 on keys leave on a beat of 20 ms, which is not what is to be measured.
            "IgnoreUnknown=ObscureKeystrokeTiming",
            "ObscureKeystrokeTiming=no",
        ];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option.to_owned()]);
        ["-F", "/dev/null", "-i"]
            .map(str::to_owned)
            .into_iter()
            .chain([self.key.display().to_string()])
            .chain(options)
            .collect()
    }

    /// Types commands into a shell for about so long.
    ///
    /// # Errors
    /// ssh's own words, or which echo or answer was not what it should be.
    pub fn type_for(&self, lab: &Lab, address: IpAddr, time: Duration) -> Result<Typed> {
        let typing =
            lab.client().command("python3").args(["-c", TYPING, &time.as_secs_f64().to_string(), "ssh"]);
        let typing = typing.arg("-tt").args(self.options()).arg(format!("root@{address}"));
        let shell = typing.arg("TERM=dumb PS1='lab> ' exec sh -i");
        let report = json(&shell.timeout(time + 2 * GRACE).ok()?)?;
        Ok(Typed {
            per_second: number(&report, "/per_second")?,
            median_ms: number(&report, "/median_ms")?,
            p99_ms: number(&report, "/p99_ms")?,
        })
    }

    /// Sends a file of pseudo-random bytes up and fetches it again, compares digests, and gives bits a second, both
    /// directions counted.
    ///
    /// # Errors
    /// ssh's own words; [`LabError::Unexpected`] for other bytes.
    pub fn copy(&self, lab: &Lab, address: IpAddr, bytes: usize, within: Duration) -> Result<f64> {
        let folder = lab.client().directory();
        let (source, back) = (folder.join("ssh-source"), folder.join("ssh-back"));
        write_random(&source, bytes, 22)?;
        let there = lab.server().directory().join("ssh-copy");
        let script = r#"set -e; there=$1 source=$2 back=$3; shift 3; "$@" "cat > $there" < "$source"
            "$@" "cat $there" > "$back""#;
        let ssh = lab.client().command("sh").args(["-c", script, "copy"]).args([&there, &source, &back]);
        let ssh = ssh.arg("ssh").args(self.options()).arg(format!("root@{address}"));
        let finished = ssh.timeout(within).run()?;
        let elapsed = finished.elapsed;
        finished.ok()?;
        let (sent, got) = (sha256(&source)?, sha256(&back)?);
        expect(sent == got, format!("SHA-256 {sent}"), got)?;
        Ok(2.0 * 8.0 * bytes as f64 / elapsed.as_secs_f64())
    }
}
