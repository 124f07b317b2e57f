//! The configuration in two shapes: `external` is what serde reads from TOML, [`validated`] is what has been
//! proven possible on this machine. Only the second goes inside.
//!
//! Every problem names file, line, column and key, and says what to write instead. All impossible values of a file
//! are reported at once; a file that is not TOML, or has a key that nobody knows, stops at the first.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

mod error;
mod external;
mod locate;
mod machine;
mod memory;
mod scalar;
#[cfg(test)]
mod tests;
mod validate;
pub mod validated;

pub use error::{ConfigError, Diagnostic};
pub use machine::{Devices, Machine};
pub use memory::{BUFFER_CACHE, BYTES_PER_PARTICIPATING, MemoryNeed};
pub use scalar::show_bytes;
pub use validated::Config;

/// Where `quadrille` listens for queries unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/quadrille.sock";

/// Largest configuration that is read, bytes: someone has named the wrong file beyond that. The most rules that there may be
/// take about ten megabytes.
pub const MAX_FILE: u64 = 16 << 20;

/// Reads, parses and proves a configuration file.
pub fn load(path: &Path, machine: &Machine) -> Result<Config, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    // What has no length of its own, a device or a pipe, may have no end either.
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLong { path: path.to_owned() });
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(&path.display().to_string(), text, machine),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(ConfigError::NotText { path: path.to_owned(), line })
        }
    }
}

/// Parses and proves a configuration text; `file` is what its problems are reported under.
pub fn parse(file: &str, text: &str, machine: &Machine) -> Result<Config, ConfigError> {
    let raw: external::Config = toml::from_str(text)
        .map_err(|error| ConfigError::Invalid(vec![locate::shape_error(file, text, &error)]))?;
    let mut problems = error::Problems::default();
    let config = validate::validate(&raw, machine, &mut problems);
    let locator = locate::Locator::new(file, text);
    match (config, problems.into_errors()) {
        (Some((mut config, warnings)), errors) if errors.is_empty() => {
            config.source = file.to_owned();
            for (port, raw) in config.ports.iter_mut().zip(&raw.port) {
                port.place = locator.line_and_column(raw.get_ref().device.span().start);
            }
            config.warnings = warnings.into_iter().map(|problem| locator.place(problem)).collect();
            Ok(config)
        }
        (_, errors) => {
            Err(ConfigError::Invalid(errors.into_iter().map(|problem| locator.place(problem)).collect()))
        }
    }
}
