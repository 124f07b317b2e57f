//! The rules themselves. They read rustfmt's layout, not the language: a function begins on a line that has `fn` after
//! nothing but qualifiers, and ends on the first later line that is its indentation and a closing brace.

/// Lines of a file.
const FILE_LINES: usize = 500;

/// Lines of a function, its signature and closing brace included.
const FUNCTION_LINES: usize = 70;

/// Words before `fn` that make it no less of a function.
const QUALIFIERS: [&str; 7] = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern"];

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// Which rule, and how.
    pub what: String,
}

/// Checks one file.
pub fn check(text: &str) -> Vec<Problem> {
    let lines: Vec<&str> = text.lines().collect();
    let mut problems = Vec::new();
    let mut report = |index: usize, what: String| problems.push(Problem { line: index + 1, what });
    if lines.len() > FILE_LINES {
        report(FILE_LINES, format!("{} lines in a file, at most {FILE_LINES}", lines.len()));
    }
    if !lines.iter().find(|line| !line.is_empty()).is_some_and(|line| line.starts_with("//!")) {
        report(0, "no //! documentation at the top".into());
    }
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        report(lines.len().saturating_sub(1), "not exactly one newline at the end".into());
    }
    for (index, line) in lines.iter().enumerate() {
        if line.ends_with([' ', '\t']) {
            report(index, "white space at the end of the line".into());
        }
        for word in forbidden().iter().filter(|word| line.contains(word.as_str())) {
            report(index, format!("`{word}`"));
        }
        if opens_unsafe(line) && !has_safety(&lines[..index], line) {
            report(index, "unsafe without a SAFETY comment".into());
        }
        if let Some(length) = function_length(&lines[index..]).filter(|length| *length > FUNCTION_LINES) {
            report(index, format!("a function of {length} lines, at most {FUNCTION_LINES}"));
        }
    }
    problems
}

/// Put together here, so that this file does not contain them.
fn forbidden() -> [String; 5] {
    [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["dbg", "!("], ["todo", "!("]].map(|parts| parts.concat())
}

/// Whether a line of code, not of comment, opens an unsafe block or an unsafe impl.
fn opens_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    !code.contains('"')
        && [["unsafe", " {"], ["unsafe", " impl"]].iter().any(|parts| code.contains(&parts.concat()))
}

/// Whether the comment that ends right above, or the line itself, argues for safety. A statement that rustfmt broke
/// into lines may begin a few lines before its unsafe block.
fn has_safety(above: &[&str], line: &str) -> bool {
    let reach = above.iter().rev().take(8);
    line.contains("SAFETY:")
        || reach.take_while(|line| !line.trim().is_empty()).any(|line| line.contains("SAFETY:"))
}

/// Lines of the function that begins on the first of `lines`, if one does.
fn function_length(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?;
    let code = first.trim_start();
    let mut words =
        code.split_whitespace().skip_while(|word| QUALIFIERS.contains(word) || word.starts_with('"'));
    if words.next() != Some("fn") || code.ends_with(';') || code.ends_with('}') {
        return None;
    }
    let indentation = &first[..first.len() - code.len()];
    let end = format!("{indentation}}}");
    let semicolon = format!("{indentation})");
    let last = lines.iter().position(|line| {
        **line == end || (line.starts_with(&semicolon) && line.ends_with(';')) || line.trim_start() == "{}"
    })?;
    Some(last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        check(text).into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    #[test]
    fn a_tidy_file_has_no_problems() {
        assert_eq!(found("//! Doc.\n\nfn main() {\n    body();\n}\n"), []);
    }

    #[test]
    fn long_files_and_missing_documentation_are_found() {
        let long = format!("//! Doc.\n{}", "const A: u8 = 1;\n".repeat(500));
        assert_eq!(found(&long), [(501, "501 lines in a file, at most 500".into())]);
        assert_eq!(found("fn main() {}\n"), [(1, "no //! documentation at the top".into())]);
    }

    #[test]
    fn functions_are_measured_by_their_indentation() {
        let body = "        call();\n".repeat(68);
        let fits = format!("//! Doc.\nimpl A {{\n    pub fn b(&self) {{\n{body}    }}\n}}\n");
        assert_eq!(found(&fits), []);
        let long =
            fits.replace("pub fn b", "pub(super) const fn b").replacen("call", "call();\n        call", 1);
        assert_eq!(found(&long), [(3, "a function of 71 lines, at most 70".into())]);
    }

    #[test]
    fn declarations_and_pointers_are_not_functions() {
        let text = "//! Doc.\ntrait A {\n    fn b(\n        c: u8,\n    ) -> u8;\n    fn d();\n}\ntype E = fn(u8);\n";
        assert_eq!(found(text), []);
        assert_eq!(function_length(&["fn a(", ") -> u8;", "x"]), Some(2));
        assert_eq!(function_length(&["type E = fn(u8);"]), None);
    }

    #[test]
    fn unfinished_work_and_white_space_are_found() {
        let marks = forbidden();
        let text = format!("//! Doc.\n// {} later\nfn a() {{ {}1); }} \n", marks[0], marks[3]);
        let lines: Vec<usize> = found(&text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 3, 3]);
        assert_eq!(found("//! Doc.\n\n\n"), [(3, "not exactly one newline at the end".into())]);
    }

    #[test]
    fn unsafe_needs_its_reason_close_above() {
        let block = ["unsafe", " { a() }"].concat();
        let bare = format!("//! Doc.\nfn b() {{\n    {block}\n}}\n");
        assert_eq!(found(&bare), [(3, "unsafe without a SAFETY comment".into())]);
        let argued = bare.replace("    unsafe", "    // SAFETY: a has no conditions.\n    unsafe");
        assert_eq!(found(&argued), []);
        assert_eq!(found(&format!("//! Doc.\nfn b() {{\n    // {block}\n}}\n")), []);
    }
}
