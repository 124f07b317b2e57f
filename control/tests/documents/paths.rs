//! What documents name has to be there, and what holds tests has to be named.

use std::fs;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// How the names of files end that a document may speak of.
const ENDINGS: [&str; 7] = [".rs", ".md", ".py", ".toml", ".c", ".h", ".sh"];

/// Every file below the root with a `/` in front, sorted; neither what is built nor what begins with a dot.
fn files() -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(format!("{ROOT}{folder}")).expect("a readable folder") {
            let entry = entry.expect("a readable entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = format!("{folder}/{name}");
            match entry.file_type().expect("a file type").is_dir() {
                true if name != "target" && !name.starts_with('.') => folders.push(path),
                true => {}
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

/// `a/{b,c}.rs` is two names.
fn names(code: &str) -> Vec<String> {
    match code.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        Some((before, (names, after))) => {
            names.split(',').map(|name| [before, name, after].concat()).collect()
        }
        None => vec![code.to_owned()],
    }
}

/// The files and folders that a document names in backticks. Files may be named in short, by the end of their path; folders
/// from the root on. Tests (`file.rs::function`) are looked up elsewhere; below `/` is another machine.
fn named<'a>(document: &'a str, tops: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    let prose = document.split("```").step_by(2).flat_map(str::lines);
    let codes = prose.flat_map(|line| line.split('`').skip(1).step_by(2));
    let is_path = |code: &&str| {
        let is_file = ENDINGS.iter().any(|ending| code.ends_with(ending));
        let is_below = code.split_once('/').is_some_and(|(top, _)| tops.contains(&top));
        let has_odd = code.contains(|c: char| !c.is_ascii_alphanumeric() && !"/._-{},".contains(c));
        (is_file || is_below) && !has_odd && !code.starts_with(['/', '.'])
    };
    codes.filter(is_path).flat_map(names)
}

/// Where the links of a document lead, those on the web aside.
fn links(document: &str) -> impl Iterator<Item = &str> {
    let ends = document.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let paths = ends.map(|link| link.split('#').next().unwrap_or_default());
    paths.filter(|path| !path.is_empty() && !path.contains("://"))
}

/// What is wrong with the document at `path`.
fn faults(path: &str, files: &[String]) -> Vec<String> {
    let document = fs::read_to_string(format!("{ROOT}{path}")).expect("a readable document");
    let mut tops: Vec<&str> =
        files.iter().filter_map(|file| file[1..].split_once('/')).map(|(top, _)| top).collect();
    tops.dedup();
    let is_there = |name: &String| {
        let (file, folder) = (format!("/{name}"), format!("/{}/", name.trim_end_matches('/')));
        files.iter().any(|path| path.ends_with(&file) || path.starts_with(&folder))
    };
    let gone = named(&document, &tops).filter(|name| !is_there(name));
    let mut faults: Vec<String> = gone.map(|name| format!("{path}: there is no {name}")).collect();
    let folder = Path::new(ROOT).join(path[1..].rsplit_once('/').map_or("", |(folder, _)| folder));
    let broken = links(&document).filter(|link| !folder.join(link).exists());
    faults.extend(broken.map(|link| format!("{path}: a link leads to {link}, which is not there")));
    faults
}

#[test]
fn what_documents_name_is_there() {
    let files = files();
    let documents: Vec<&String> = files.iter().filter(|path| path.ends_with(".md")).collect();
    assert!(documents.len() > 10, "only {} documents found", documents.len());
    let problems: Vec<String> = documents.into_iter().flat_map(|path| faults(path, &files)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn names_and_links_are_found_in_prose() {
    let text = "`a/{b,c}.rs` and `src/x`, `src`, `/etc/q.toml`, `x.rs::test`, [d](e.md#f), [w](https://x/y.md)\n\
                ```\n`gone.rs`\n```\n`z.py`";
    assert_eq!(named(text, &["src"]).collect::<Vec<_>>(), ["a/b.rs", "a/c.rs", "src/x", "z.py"]);
    assert_eq!(links(text).collect::<Vec<_>>(), ["e.md"]);
}

#[test]
fn the_table_of_tests_is_complete() {
    let architecture = fs::read_to_string(format!("{ROOT}/ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let table =
        architecture.split("\n## Where tests are\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let known: Vec<String> =
        named(table.expect("the section"), &["control", "dataplane", "dpdk-bindings"]).collect();
    let mut missing = Vec::new();
    for crate_tests in ["control/tests", "dataplane/tests", "dpdk-bindings/tests"] {
        for entry in fs::read_dir(format!("{ROOT}/{crate_tests}")).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // A folder without a main file belongs to the file of its name.
            let is_target =
                path.extension().is_some_and(|ending| ending == "rs") || path.join("main.rs").exists();
            let named = format!("{crate_tests}/{name}");
            if is_target && !known.iter().any(|known| *known == named || *known == crate_tests) {
                missing.push(named);
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md says nothing about {}", missing.join(", "));
}
