//! Taking the socket's path: never from a living appliance, never a file that is not a socket.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

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
pub(crate) struct Claim {
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
        let (listener, claim) = bind(path, SocketType::STREAM)?;
        Ok(Server { listener: listener.into(), claim })
    }
}

/// The same for a socket of any type.
pub(crate) fn bind(path: &Path, kind: SocketType) -> Result<(OwnedFd, Claim), BindError> {
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
    stale_or_absent(path, kind)?;
    // Bound under another name and renamed: what appears at `path` already has its mode, and replaces a stale
    // socket in one step.
    let new = beside(path, ".new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(system(&new)(error)),
        _ => {}
    }
    let listener = listen(&new, kind).map_err(|errno| system(&new)(errno.into()))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(MODE)).map_err(system(&new))?;
    fs::rename(&new, path).map_err(system(path))?;
    Ok((listener, Claim { path: path.to_owned(), _lock: lock }))
}

fn system(path: &Path) -> impl FnOnce(io::Error) -> BindError {
    let path = path.to_owned();
    move |cause| BindError::System { path, cause }
}

fn unix_socket(kind: SocketType) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
}

fn listen(path: &Path, kind: SocketType) -> Result<OwnedFd, Errno> {
    let socket = unix_socket(kind)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Whether anybody listens at a socket, of whatever type.
fn answers(path: &Path, kind: SocketType) -> Result<bool, Errno> {
    match rustix::net::connect(unix_socket(kind)?, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// There is nothing at `path`, or a socket that nobody listens at.
fn stale_or_absent(path: &Path, kind: SocketType) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => match answers(path, kind) {
            Ok(false) => Ok(()),
            Ok(true) => Err(BindError::AlreadyRunning(path.to_owned())),
            Err(errno) => Err(system(path)(errno.into())),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(system(path)(error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
