//! Files of known content for the server to serve, and their digests.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use super::command::Command;
use super::error::{LabError, Result};

/// Writes `bytes` pseudo-random bytes: the same for the same seed, and without a pattern that would hide a gap.
///
/// # Errors
/// [`LabError::Io`].
pub fn write_random(path: &Path, bytes: usize, seed: u64) -> Result<()> {
    let fill = || -> std::io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 16, File::create(path)?);
        let mut state = seed | 1;
        let mut left = bytes;
        while left > 0 {
            // xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2014).
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let word = state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            let count = left.min(word.len());
            file.write_all(&word[..count])?;
            left -= count;
        }
        file.flush()
    };
    fill().map_err(LabError::io(format!("writing {}", path.display())))
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// As [`Command::ok`].
pub fn sha256(path: &Path) -> Result<String> {
    let line = Command::new("sha256sum").arg("--").arg(path).timeout(Duration::from_secs(60)).ok()?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_of_the_asked_length() {
        let folder = std::env::temp_dir().join(format!("quadrille-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let digests = [1, 1, 2].map(|seed| {
            let path = folder.join("random");
            write_random(&path, 1003, seed << 8).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), 1003);
            sha256(&path).unwrap()
        });
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(digests[0], digests[1]);
        assert_ne!(digests[0], digests[2]);
        assert_eq!(digests[0].len(), 64);
    }
}
