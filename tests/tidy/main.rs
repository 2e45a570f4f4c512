//! The house stays tidy: who may know whom, how long things may get, what a request path must not do (ARCHITECTURE.md).
//!
//! `rules` holds the rules, each a function of one source file; `source` reads a file as Rust tokens, so that a word in a
//! comment or a string is no finding; `bad` shows each rule a snippet on which it must fire.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
mod bad;
mod links;
mod rules;
mod source;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use source::Source;

/// One rule that was broken, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Offence {
    rule: &'static str,
    path: String,
    line: usize,
    what: String,
}

/// What may stay although a rule speaks against it: rule, file, the offence's own words, and why. One that is not needed any more fails.
const EXCEPTIONS: &[(&str, &str, &str, &str)] = &[];

#[test]
fn the_house_is_tidy() {
    let files = all_files(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(files.len() > 20, "only {} files were found", files.len());
    let mut offences = BTreeSet::new();
    let mut used = BTreeSet::new();
    for source in &files {
        for offence in rules::broken(source) {
            let excused = |(rule, path, what, _): &(&str, &str, &str, &str)| {
                *rule == offence.rule && *path == offence.path && offence.what.starts_with(what)
            };
            match EXCEPTIONS.iter().position(excused) {
                Some(index) => drop(used.insert(index)),
                None => drop(offences.insert(offence)),
            }
        }
    }
    let lines: Vec<String> =
        offences.iter().map(|o| format!("{}:{}: {}: {}", o.path, o.line, o.rule, o.what)).collect();
    assert!(lines.is_empty(), "{} offences:\n{}", lines.len(), lines.join("\n"));
    let idle: Vec<_> = EXCEPTIONS.iter().enumerate().filter(|(index, _)| !used.contains(index)).collect();
    assert!(idle.is_empty(), "exceptions that nothing needs any more: {idle:#?}");
}

#[test]
fn the_map_in_lib_rs_names_the_rooms_of_the_table() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("src/lib.rs");
    for line in text.lines().filter_map(|line| line.strip_prefix("pub mod ")) {
        let room = line.trim_end_matches(';');
        assert!(rules::ROOMS.iter().any(|(name, _)| *name == room), "{room} has no floor in tests/tidy/rules.rs");
    }
}

/// Every text file of the repository, by its path from the root; what is built, fetched or ignored is left out.
fn all_files(root: &Path) -> Vec<Source> {
    const LEFT_OUT: &[&str] = &[".git", "target", "third_party", "demo-out", "data", "__pycache__", ".cache"];
    const TEXT: &[&str] = &["rs", "toml", "md", "proto", "py", "yaml", "yml", "service", "conf", ""];
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(&folder)
            .expect("a readable folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        entries.sort();
        for path in entries {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() && !LEFT_OUT.contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() {
                let extension = path.extension().map(|end| end.to_string_lossy().into_owned()).unwrap_or_default();
                let relative = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
                // A worktree's `.git` is a file.
                if TEXT.contains(&extension.as_str()) && name != ".git" {
                    found.extend(std::fs::read_to_string(&path).ok().map(|text| Source::new(&relative, text)));
                }
            }
        }
    }
    found
}
