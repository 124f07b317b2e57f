//! What can go wrong while a lab is built or used, said so that the reader knows what to do next.

use std::io;
use std::time::Duration;

/// The result of every operation in a lab.
pub type Result<T> = std::result::Result<T, LabError>;

/// A failed operation. The text names the command, the package to install or the condition that never came true.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program that the lab runs is not installed.
    #[error("{tool} is not installed; {advice}")]
    MissingTool {
        /// The program, as it is called on a command line.
        tool: String,
        /// Which Debian package has it.
        advice: String,
    },
    /// Neither root nor unprivileged user namespaces.
    #[error(
        "a lab needs its own network namespace: run as root, or allow unprivileged user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, and on AppArmor systems \
         kernel.apparmor_restrict_unprivileged_userns=0; in a chroot there are none): {detail}"
    )]
    NoNamespaces {
        /// What `unshare` printed.
        detail: String,
    },
    /// A lab was asked for something that needs root outside of user namespaces as well.
    #[error("{what} needs root: a lab in an unprivileged user namespace cannot do it")]
    NeedsRoot {
        /// The thing asked for.
        what: String,
    },
    /// tcpdump was asked for in a user namespace of a single id.
    #[error(
        "tcpdump sets its groups, which a user namespace of one id does not allow: run as root, or give your user subordinate ids \
         (as root: apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER)"
    )]
    NoGroups,
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// The operation and its object.
        what: String,
        /// The errno.
        source: io::Error,
    },
    /// A program ended otherwise than it should.
    #[error("`{command}` ended with {status}\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// Exit code or signal.
        status: String,
        /// Both output streams.
        output: String,
    },
    /// A condition did not come true, or a program did not end, before its deadline.
    #[error("{what}: not within {within:?}\n{detail}")]
    Timeout {
        /// The condition.
        what: String,
        /// The deadline.
        within: Duration,
        /// The last thing seen.
        detail: String,
    },
    /// An observation that contradicts the scenario.
    #[error("expected {expected}, got {got}")]
    Unexpected {
        /// What the scenario calls for.
        expected: String,
        /// What was there.
        got: String,
    },
}

impl LabError {
    /// Wraps an errno with the operation that met it.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Turns a scenario's expectation into an error when it does not hold.
///
/// # Errors
/// [`LabError::Unexpected`] with both texts.
pub fn expect(holds: bool, expected: impl Into<String>, got: impl Into<String>) -> Result<()> {
    if holds { Ok(()) } else { Err(LabError::Unexpected { expected: expected.into(), got: got.into() }) }
}
