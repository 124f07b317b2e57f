//! nginx and curl: one file, and its SHA-256 on both sides.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::lab::error::{LabError, Result, expect};
use crate::lab::files::sha256;
use crate::lab::nginx::Nginx;
use crate::lab::topology::Lab;
use crate::lab::wait::LATE;

/// An nginx with files of several sizes.
#[derive(Debug)]
pub struct Web {
    _nginx: Nginx,
    /// Bytes and digest.
    files: Vec<(usize, String)>,
}

impl Web {
    /// Serves one file of pseudo-random bytes for each size.
    ///
    /// # Errors
    /// As [`crate::lab::NginxBuilder::start`].
    pub fn start(lab: &Lab, sizes: &[usize]) -> Result<Web> {
        let builder =
            sizes.iter().fold(lab.server().nginx(), |builder, size| builder.random(&size.to_string(), *size));
        let nginx = builder.start()?;
        let digest = |size: &usize| Ok((*size, nginx.sha256(&size.to_string())?));
        let files = sizes.iter().map(digest).collect::<Result<_>>()?;
        Ok(Web { _nginx: nginx, files })
    }

    /// The largest file of at most so many bytes, or the smallest that there is; bytes.
    pub fn size_up_to(&self, bytes: f64) -> usize {
        let sizes = || self.files.iter().map(|(size, _)| *size);
        sizes().filter(|size| *size as f64 <= bytes).max().or_else(|| sizes().min()).unwrap_or(0)
    }

    /// Fetches the file of `size` bytes within a time, compares digests, and gives bits a second.
    ///
    /// # Errors
    /// curl's own words; [`LabError::Unexpected`] for other bytes than the server's.
    pub fn fetch(&self, lab: &Lab, address: IpAddr, size: usize, within: Duration) -> Result<f64> {
        let expected = self.files.iter().find(|(served, _)| *served == size).map(|(_, digest)| digest);
        let expected = expected.ok_or_else(|| LabError::Unexpected {
            expected: "the size of a served file".into(),
            got: size.to_string(),
        })?;
        let copy = lab.client().directory().join("copy");
        let url = format!("http://{}/{size}", SocketAddr::new(address, 80));
        let curl = lab.client().curl(&url).words(&format!("--max-time {} -o", within.as_secs())).arg(&copy);
        let told = curl.args(["-w", "%{speed_download}"]).timeout(within + LATE).ok()?;
        let got = sha256(&copy)?;
        // Up to a gigabyte of a memory file system.
        std::fs::remove_file(&copy).map_err(LabError::io(format!("removing {}", copy.display())))?;
        expect(got == *expected, format!("SHA-256 {expected} of {size} bytes"), got)?;
        let speed: f64 = told
            .trim()
            .parse()
            .map_err(|_| LabError::Unexpected { expected: "curl's speed".into(), got: told.clone() })?;
        Ok(speed * 8.0)
    }
}
