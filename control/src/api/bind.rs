//! Taking the socket's path: never from a living appliance, never a file that is not a socket.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Owner and group: an operator's group may be given the socket, nobody else may ask.
const MODE: u32 = 0o660;

/// Why the socket is not ours.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another appliance listens.
    #[error(
        "an appliance is already running behind {}: stop it, or set another `socket` in the configuration",
        .0.display()
    )]
    AlreadyRunning(PathBuf),
    /// Something else is in the way.
    #[error(
        "{} is there already and is not a socket: remove it, or set another `socket` in the configuration",
        .0.display()
    )]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("cannot listen at {}: {cause}; set a `socket` that this user may create", path.display())]
    System {
        /// The socket, or the file beside it that failed.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

/// A bound socket, not yet answering. Dropping it removes the socket.
#[derive(Debug)]
pub struct Server {
    pub(super) listener: UnixListener,
    pub(super) claim: Claim,
}

/// The path is ours as long as this lives.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    /// Held until after the socket is gone. The file itself stays: removing a lock file lets two hold it.
    _lock: File,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Nobody is left to tell, and a stale socket does no harm: the next start removes it.
        let _ = fs::remove_file(&self.path);
    }
}

impl Server {
    /// Listens at `path`, with mode 0660. Its folder is made when missing; a socket that nobody listens at is replaced.
    pub fn bind(path: &Path) -> Result<Server, BindError> {
        let system = |path: &Path| {
            let path = path.to_owned();
            move |cause| BindError::System { path, cause }
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(system(folder))?;
        }
        // Two that start at the same moment would both find the old socket stale, and the second would unlink the
        // first one's new socket.
        let lock_path = beside(path, ".lock");
        let lock = File::create(&lock_path).map_err(system(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BindError::AlreadyRunning(path.to_owned())),
            Err(TryLockError::Error(cause)) => return Err(system(&lock_path)(cause)),
        }
        stale_or_absent(path)?;
        // Bound under another name and renamed: what appears at `path` already has its mode, and replaces a stale
        // socket in one step.
        let new = beside(path, ".new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(system(&new)(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&new).map_err(system(&new))?;
        fs::set_permissions(&new, fs::Permissions::from_mode(MODE)).map_err(system(&new))?;
        fs::rename(&new, path).map_err(system(path))?;
        Ok(Server { listener, claim: Claim { path: path.to_owned(), _lock: lock } })
    }
}

/// There is nothing at `path`, or a socket that nobody listens at.
fn stale_or_absent(path: &Path) -> Result<(), BindError> {
    let system = |cause| BindError::System { path: path.to_owned(), cause };
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Ok(_) => Err(BindError::AlreadyRunning(path.to_owned())),
            Err(error) => Err(system(error)),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(system(error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
