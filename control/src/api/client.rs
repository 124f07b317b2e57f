//! Asking a running appliance: blocking, one question per connection.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Request, Response};

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer, bytes: [`super::MAX_FLOWS`] flows and room to spare.
const MAX_RESPONSE: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No socket, or nobody behind it.
    #[error(
        "no appliance listens at {}: start one with `quadrille run --config …`, or name its socket with --socket",
        .0.display()
    )]
    NobodyListens(PathBuf),
    /// The socket is somebody else's.
    #[error("{} may not be opened by this user: ask as root or as a member of the socket's group", .0.display())]
    Forbidden(PathBuf),
    /// Connected, but no answer.
    #[error("the appliance at {} has not answered within {} s: is it stopped or starved of CPU?", .0.display(), PATIENCE.as_secs())]
    Silent(PathBuf),
    /// The connection broke.
    #[error("asking the appliance at {}: {cause}", path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Not the answer of an appliance of this version.
    #[error("the answer from {} cannot be read: {cause}; do both sides have the same version?", path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// The appliance says why not.
    #[error("the appliance answers: {0}")]
    Refused(String),
}

/// Asks the appliance at `socket` and reads the answer as `T`, which must be what [`Request`] says.
pub fn ask<T: DeserializeOwned>(socket: &Path, request: &Request) -> Result<T, ClientError> {
    let line = exchange(socket, request).map_err(|cause| match cause.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ClientError::NobodyListens(socket.to_owned()),
        ErrorKind::PermissionDenied => ClientError::Forbidden(socket.to_owned()),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::Silent(socket.to_owned()),
        _ => ClientError::System { path: socket.to_owned(), cause },
    })?;
    match serde_json::from_slice(&line) {
        Ok(Response::Ok(answer)) => Ok(answer),
        Ok(Response::Error(error)) => Err(ClientError::Refused(error)),
        Err(cause) => Err(ClientError::Garbled { path: socket.to_owned(), cause }),
    }
}

fn exchange(socket: &Path, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = serde_json::to_vec(request)?;
    question.push(b'\n');
    // A server that refuses the connection has closed it by now; what it said is still to be read.
    match stream.write_all(&question) {
        Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            return Err(error);
        }
        _ => {}
    }
    let mut line = Vec::new();
    BufReader::new(stream).take(MAX_RESPONSE).read_until(b'\n', &mut line)?;
    if line.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
}
