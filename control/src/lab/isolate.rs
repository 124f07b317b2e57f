//! A world of its own: the current executable, started again inside new network, mount and process namespaces.
//!
//! `unshare --fork --kill-child` makes it process 1 of its process namespace, so everything that it starts ends with
//! it; `setpriv --pdeathsig` ends `unshare` when the caller ends, even by SIGKILL. Nothing is left behind: no link,
//! no mount, no process, and no name in /run, which is a tmpfs inside.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{Command, Output};
use super::error::{LabError, Result};
use super::process::Finished;
use super::tools;

/// Tells the executable that it is the one inside. Its value says with which rights.
const INSIDE: &str = "QUADRILLE_LAB_INSIDE";

/// Where a lab keeps its files: on the tmpfs that only it sees.
const DIRECTORY: &str = "/run/quadrille-lab";

/// Proof of being inside: only this builds a lab, so that no lab is ever built in the machine's own namespaces.
#[derive(Debug)]
pub struct Isolated {
    rootless: bool,
    directory: PathBuf,
}

/// What became of [`Isolated::enter_or_reexec`].
#[derive(Debug)]
pub enum Entered {
    /// This process is the one inside: go on.
    Inside(Isolated),
    /// This process is the caller; the one inside has come and gone.
    Finished(Finished),
}

/// How the executable is started again.
#[derive(Debug, Clone)]
pub struct Reexec {
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// How long it may take.
    pub timeout: Duration,
    /// Where its output goes.
    pub output: Output,
}

/// The ways into namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    Root,
    /// With all the ids that `/etc/subuid` and `/etc/subgid` give the user, by the helpers of Debian's uidmap.
    SubordinateIds,
    /// With one id. Nobody inside can set groups (user_namespaces(7)), as tcpdump insists on doing.
    UserNamespace,
}

impl Rights {
    const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::SubordinateIds | Self::UserNamespace => "user-namespace",
        }
    }

    const fn unshare(self) -> &'static [&'static str] {
        match self {
            Self::Root => &["--net", "--mount"],
            Self::SubordinateIds => &["--user", "--map-root-user", "--map-auto", "--net", "--mount"],
            Self::UserNamespace => &["--user", "--map-root-user", "--net", "--mount"],
        }
    }
}

impl Isolated {
    /// Goes on inside a new world, or, in the caller, waits until that has ended.
    ///
    /// # Errors
    /// [`LabError::NoNamespaces`] when the system gives none, [`LabError::MissingTool`], [`LabError::Timeout`].
    pub fn enter_or_reexec(request: &Reexec) -> Result<Entered> {
        match env::var(INSIDE) {
            // Process 1: the variable alone could have come from anywhere.
            Ok(rights) if std::process::id() == 1 => {
                Self::furnish(rights == Rights::UserNamespace.name()).map(Entered::Inside)
            }
            _ => reexec(request).map(Entered::Finished),
        }
    }

    /// Whether only af_packet devices and no XDP programs are to be had.
    pub fn is_rootless(&self) -> bool {
        self.rootless
    }

    /// A folder on a tmpfs that only this world sees.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn furnish(rootless: bool) -> Result<Self> {
        tools::require(&["mount", "ip", "ethtool"])?;
        Command::new("mount").words("-t tmpfs -o mode=755 tmpfs /run").ok()?;
        // The devices of this network namespace instead of the machine's. Some containers refuse, and nothing that
        // the lab needs reads it.
        let _ = Command::new("mount").words("-t sysfs sysfs /sys").run()?;
        Command::new("ip").words("link set lo up").ok()?;
        // The appliance's ends of the wires must not speak: no neighbour discovery of their own.
        write_setting("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
        let directory = PathBuf::from(DIRECTORY);
        fs::create_dir_all(&directory).map_err(LabError::io(format!("creating {DIRECTORY}")))?;
        Ok(Self { rootless, directory })
    }
}

/// Writes a kernel setting of this namespace.
pub(super) fn write_setting(path: &str, value: &str) -> Result<()> {
    fs::write(path, value).map_err(LabError::io(format!("writing {value} to {path}")))
}

fn reexec(request: &Reexec) -> Result<Finished> {
    tools::require(&["unshare", "setpriv", "ip"])?;
    let rights = available_rights()?;
    let executable = env::current_exe().map_err(LabError::io("finding the own executable"))?;
    Command::new("setpriv")
        .words("--pdeathsig KILL unshare")
        .args(rights.unshare())
        .words("--pid --fork --kill-child --mount-proc --")
        .arg(executable)
        .args(&request.arguments)
        .env(INSIDE, rights.name())
        .timeout(request.timeout)
        .output(request.output)
        .run()
}

fn available_rights() -> Result<Rights> {
    let mut detail = String::new();
    for rights in [Rights::Root, Rights::SubordinateIds, Rights::UserNamespace] {
        let tried = Command::new("unshare").args(rights.unshare()).arg("true").run()?;
        if tried.success() {
            return Ok(rights);
        }
        // What is said last is about the user namespace, which anybody could have.
        detail = tried.stderr.trim().replace('\n', "; ");
    }
    Err(LabError::NoNamespaces { detail })
}
