//! The ends of a tunnel, and their keys.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::rejected::reject;
use super::{BASE, accept};
use crate::config::validated::{Role, Tunnel, TunnelKey};

/// A file in `folder`, as its owner would make it.
pub(super) fn file(folder: &TempDir, name: &str, bytes: &[u8], mode: u32) -> String {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.display().to_string()
}

fn module(keys: &str) -> String {
    format!("{BASE}[module.m]\nkind = \"relay\"\n{keys}")
}

fn enter(key_file: &str) -> String {
    module(&format!("server = \"192.0.2.1:500\"\ntunnel = {{ role = \"enter\", key_file = {key_file} }}"))
}

fn leave(key_file: &str) -> String {
    module(&format!("tunnel = {{ role = \"leave\", key_file = {key_file} }}"))
}

#[test]
fn keys_are_bytes_or_digits_and_one_or_two() {
    let folder = TempDir::new().unwrap();
    let raw = file(&folder, "raw", &[0xa5; 32], 0o600);
    let digits = file(
        &folder,
        "digits",
        b"A5".repeat(31).iter().chain(b"b6\n").copied().collect::<Vec<_>>().as_slice(),
        0o640,
    );
    let mut second = [0xa5; 32];
    second[31] = 0xb6;
    let (first, second) = (TunnelKey::new([0xa5; 32]), TunnelKey::new(second));
    let tunnel = |text: &str| accept(text).modules[0].tunnel.clone();
    let one = Tunnel { role: Role::Enter, keys: vec![first.clone()] };
    assert_eq!(tunnel(&enter(&format!("{raw:?}"))), Some(one));
    let two = Tunnel { role: Role::Leave, keys: vec![second, first] };
    assert_eq!(tunnel(&leave(&format!("[{digits:?}, {raw:?}]"))), Some(two));
    assert_eq!(tunnel(&module("")), None);
    let printed = format!("{:?}", accept(&leave(&format!("{raw:?}"))));
    assert!(printed.contains("TunnelKey") && !printed.contains("165"), "a key is printed");
}

const MAKE: &str = "make one with (umask 077; openssl rand -hex 32 > FILE), the same for both ends";

#[test]
fn a_key_that_is_none_or_everybodys_is_refused_with_a_remedy() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let no_key = format!("not a key: 32 bytes, or 64 hexadecimal digits; {MAKE}");
    let cases = [
        (at("none"), format!("{}: No such file or directory (os error 2); {MAKE}", at("none"))),
        (folder.path().display().to_string(), format!("{} is not a file; {MAKE}", folder.path().display())),
        (
            file(&folder, "open", &[1; 32], 0o644),
            format!(
                "{}: everybody may use this key (mode 0644); chmod 0600 it, or make another one",
                at("open")
            ),
        ),
        (file(&folder, "empty", b"", 0o600), format!("{}: {no_key}", at("empty"))),
        (file(&folder, "short", &[1; 31], 0o600), format!("{}: {no_key}", at("short"))),
        (file(&folder, "letters", &[b'g'; 64], 0o600), format!("{}: {no_key}", at("letters"))),
        (file(&folder, "plus", &b"+1".repeat(32), 0o600), format!("{}: {no_key}", at("plus"))),
        (file(&folder, "long", &[b'1'; 5000], 0o600), format!("{}: {no_key}", at("long"))),
        (
            "tunnel.key".to_owned(),
            "\"tunnel.key\" is not the absolute path of a file; write for example \"/etc/quadrille/tunnel.key\""
                .into(),
        ),
    ];
    for (path, expected) in cases {
        let expected = format!("q.toml:14:39: module.m.tunnel.key_file: {expected}");
        assert_eq!(reject(&leave(&format!("{path:?}"))), expected);
    }
}

#[test]
fn what_does_not_go_with_a_tunnel() {
    let folder = TempDir::new().unwrap();
    let key = file(&folder, "key", &[1; 32], 0o600);
    let leave = |more: &str| module(&format!("tunnel = {{ role = \"leave\", key_file = {key:?} }}\n{more}"));
    let at = |place: &str, said: &str| format!("q.toml:{place}: {said}");
    let cases = [
        (
            module("tunnel = { role = \"leave\" }"),
            at("14:10", &format!("module.m.tunnel.key_file: is missing; name a file with a key; {MAKE}")),
        ),
        (
            super::tunnel::leave(&format!("[{key:?}, {key:?}]")),
            at(
                &format!("14:{}", 44 + key.len()),
                "module.m.tunnel.key_file[1]: is the same key as the first; leave one out",
            ),
        ),
        (
            leave("server = \"10.0.0.9:80\""),
            at(
                "15:10",
                "module.m.server: with role = \"leave\" the near end says which server; leave it out, or change the role",
            ),
        ),
        (
            leave("order = \"client-first\""),
            at(
                "14:10",
                "module.m.tunnel: a tunnel asks the server before the client is answered; leave order = \
                         \"client-first\" out",
            ),
        ),
        (
            module(&format!("tunnel = {{ role = \"enter\", key_file = {key:?} }}")),
            at(
                "14:10",
                "module.m.tunnel: with role = \"enter\" the module needs a server: the far end's address and port, \
                         which a rule there offers to a module with role = \"leave\"",
            ),
        ),
        (
            module(&format!("socket = \"/run/p.sock\"\ntunnel = {{ role = \"leave\", key_file = {key:?} }}"))
                .replace("\"relay\"", "\"program\""),
            at(
                "15:10",
                "module.m.tunnel: counts only with kind = \"relay\"; change the kind or leave it out",
            ),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(reject(&text), expected, "{text}");
    }
    assert!(Path::new(&key).exists());
}
