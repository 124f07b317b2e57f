//! The configuration in two shapes: `external` is what serde reads from TOML, [`validated`] is what has been
//! proven possible on this machine. Only the second goes inside.
//!
//! Every problem names file, line, column and key, and says what to write instead. All impossible values of a file
//! are reported at once; a file that is not TOML, or has a key that nobody knows, stops at the first.

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
pub use machine::Machine;
pub use memory::{BUFFER_CACHE, MemoryNeed};
pub use scalar::show_bytes;
pub use validated::Config;

/// Where `quadrille` listens for queries unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/quadrille.sock";

/// Largest configuration that is read, bytes: someone has named the wrong file beyond that.
pub const MAX_FILE: u64 = 1 << 20;

/// Reads, parses and proves a configuration file.
pub fn load(path: &Path, machine: &Machine) -> Result<Config, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_FILE {
        return Err(ConfigError::TooLong { path: path.to_owned(), length });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&path.display().to_string(), &text, machine)
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
            config.warnings = warnings.into_iter().map(|problem| locator.place(problem)).collect();
            Ok(config)
        }
        (_, errors) => {
            Err(ConfigError::Invalid(errors.into_iter().map(|problem| locator.place(problem)).collect()))
        }
    }
}
