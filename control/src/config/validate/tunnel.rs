//! Modules that are an end of a tunnel: which one, and the keys, read from files of their own.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use toml::Spanned;

use crate::config::error::Problems;
use crate::config::external::{self, Module};
use crate::config::scalar::{List, Scalar};
use crate::config::validated::{Role, Tunnel, TunnelKey};
use crate::module::tunnel::option::KEY_LEN;

/// The one that signs, and the one that it takes the place of.
const MAX_KEYS: usize = 2;
/// The longest that is read: a key in hexadecimal digits, and a line's end.
const LONGEST: u64 = 2 * KEY_LEN as u64 + 2;
const MAKE: &str = "make one with (umask 077; openssl rand -hex 32 > FILE), the same for both ends";

/// The end that a module is, and whether its other keys go with that.
pub(super) fn validate(raw: &Module, problems: &mut Problems) -> Option<Tunnel> {
    let spanned = raw.tunnel.as_ref()?;
    let tunnel = spanned.get_ref();
    let role = match tunnel.role {
        external::Role::Enter => Role::Enter,
        external::Role::Leave => Role::Leave,
    };
    if raw.kind != external::ModuleKind::Relay {
        problems.at(spanned.span(), "counts only with kind = \"relay\"; change the kind or leave it out");
        return None;
    }
    if raw.order == external::Order::ClientFirst {
        let message =
            "a tunnel asks the server before the client is answered; leave order = \"client-first\" out";
        problems.at(spanned.span(), message);
    }
    match (role, raw.server.as_ref().and_then(|server| server.0.first())) {
        (Role::Enter, None) => {
            let message = "with role = \"enter\" the module needs a server: the far end's address and port, which a rule \
                           there offers to a module with role = \"leave\"";
            problems.at(spanned.span(), message);
        }
        (Role::Leave, Some(server)) => {
            let message =
                "with role = \"leave\" the near end says which server; leave it out, or change the role";
            problems.at(server.span(), message);
        }
        (Role::Enter, Some(_)) | (Role::Leave, None) => {}
    }
    let keys = keys(spanned, &tunnel.key_file, problems);
    Some(Tunnel { role, keys })
}

fn keys(tunnel: &Spanned<external::Tunnel>, files: &Option<List>, problems: &mut Problems) -> Vec<TunnelKey> {
    let files = files.as_ref().map(|list| list.0.as_slice()).unwrap_or_default();
    if files.is_empty() {
        problems.missing(tunnel.span(), "key_file", format!("is missing; name a file with a key; {MAKE}"));
    }
    if let Some(beyond) = files.get(MAX_KEYS) {
        let message = "more than two keys; there is one that signs, and one that is still taken";
        problems.at(beyond.span(), message);
    }
    let mut keys = Vec::new();
    for file in files.iter().take(MAX_KEYS) {
        match key(file.get_ref()) {
            Ok(key) if keys.contains(&key) => {
                problems.at(file.span(), "is the same key as the first; leave one out");
            }
            Ok(key) => keys.push(key),
            Err(message) => problems.at(file.span(), message),
        }
    }
    keys
}

/// A key of 32 bytes, as they are or as hexadecimal digits, in a file that not everybody may read.
fn key(path: &Scalar) -> Result<TunnelKey, String> {
    let Some(path) = text(path).filter(|path| path.starts_with('/')) else {
        return Err(format!(
            "{path} is not the absolute path of a file; write for example \"/etc/quadrille/tunnel.key\""
        ));
    };
    let unreadable = |error| format!("{path}: {error}; {MAKE}");
    // Opening a pipe would wait for somebody to write.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("{path} is not a file; {MAKE}"));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(format!(
            "{path}: everybody may use this key (mode {mode:04o}); chmod 0600 it, or make another one"
        ));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    decode(&bytes).map(TunnelKey::new).ok_or_else(|| {
        format!("{path}: not a key: {KEY_LEN} bytes, or {} hexadecimal digits; {MAKE}", 2 * KEY_LEN)
    })
}

fn text(value: &Scalar) -> Option<&str> {
    if let Scalar::Text(text) = value { Some(text) } else { None }
}

fn decode(bytes: &[u8]) -> Option<[u8; KEY_LEN]> {
    if let Ok(key) = bytes.try_into() {
        return Some(key);
    }
    let digits = bytes.trim_ascii_end();
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let mut key = [0; KEY_LEN];
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != KEY_LEN || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        *byte = (nibble(*high)? << 4 | nibble(*low)?) as u8;
    }
    Some(key)
}
