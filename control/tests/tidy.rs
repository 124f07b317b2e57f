//! The house rules that neither rustfmt nor clippy checks, over every tracked Rust file.

#[path = "tidy/rules.rs"]
mod rules;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Tracked Rust files, relative to the root; without git (an unpacked archive), every one outside of `target`.
fn rust_files() -> Vec<PathBuf> {
    let git = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z", "*.rs"]).output();
    match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split_terminator('\0')
            .map(PathBuf::from)
            // A file that was deleted but not yet committed.
            .filter(|path| root().join(path).is_file())
            .collect(),
        _ => walk(Path::new("")),
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect("a readable source folder");
    let mut files = Vec::new();
    for entry in entries.map(|entry| entry.expect("a readable folder entry")) {
        let path = folder.join(entry.file_name());
        let skipped = path.ends_with("target") || entry.file_name().to_string_lossy().starts_with('.');
        match entry.file_type().expect("a file type") {
            kind if kind.is_dir() && !skipped => files.extend(walk(&path)),
            kind if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") => {
                files.push(path);
            }
            _ => {}
        }
    }
    files
}

#[test]
fn the_tree_is_tidy() {
    let files = rust_files();
    assert!(files.len() > 10, "only {} Rust files found below {}", files.len(), root().display());
    let mut problems = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(root().join(&path)).expect("a readable source file");
        let found = rules::check(&text);
        problems.extend(
            found.into_iter().map(|problem| format!("{}:{}: {}", path.display(), problem.line, problem.what)),
        );
    }
    assert!(problems.is_empty(), "{} untidy places:\n{}", problems.len(), problems.join("\n"));
}
