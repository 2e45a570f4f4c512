//! Finds test data that is not in the repository: the shared corpus, and public files that scripts/setup took from a registry package.
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use overread::error::Code;

/// The larger corpus: `$OVERREAD_SHARED`, else `../shared` beside the repository. `None` where there is none.
pub fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let root = std::env::var_os("OVERREAD_SHARED").map_or_else(beside, PathBuf::from);
    root.join("dicom").is_dir().then_some(root)
}

/// A public file of the registry package `pydicom-data`; `None` where scripts/setup has not run.
pub fn public(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party/testdata").join(name);
    path.is_file().then_some(path)
}

/// The rows of a CSV table under `shared`, each by column name.
pub fn rows(table: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(table).unwrap();
    let names = reader.headers().unwrap().clone();
    let row =
        |record: csv::StringRecord| names.iter().map(str::to_owned).zip(record.iter().map(str::to_owned)).collect();
    reader.records().map(|record| row(record.unwrap())).collect()
}

/// What became of one case.
#[derive(Clone)]
pub enum Verdict {
    Right,
    WithinTolerance,
    Refused(Code),
    Wrong(String),
}

/// Counts verdicts by group and prints them; a test that has counted nothing, or a wrong one, fails.
#[derive(Default)]
pub struct Tally {
    groups: BTreeMap<String, [usize; 4]>,
    wrong: Vec<String>,
}

impl Tally {
    /// For a test whose data or tool is not here: says so, and puts it on the list that `make test` counts and prints.
    pub fn skip(what: &str) {
        let here = std::thread::current().name().map(str::to_owned);
        let test = std::env::var("NEXTEST_TEST_NAME").ok().or(here).unwrap_or_default();
        let line = format!("SKIPPED {test}: {what}\n");
        print!("{line}");
        if let Some(list) = std::env::var_os("OVERREAD_SKIPS") {
            let list = std::fs::OpenOptions::new().append(true).create(true).open(list);
            list.and_then(|mut list| list.write_all(line.as_bytes())).unwrap();
        }
    }

    pub fn add(&mut self, group: &str, case: &str, verdict: Verdict) {
        let counts = self.groups.entry(group.to_owned()).or_default();
        match verdict {
            Verdict::Right => counts[0] += 1,
            Verdict::WithinTolerance => counts[1] += 1,
            Verdict::Refused(_) => counts[2] += 1,
            Verdict::Wrong(why) => {
                counts[3] += 1;
                self.wrong.push(format!("{case}: {why}"));
            }
        }
    }

    pub fn print(&self) {
        println!("{:58} right  within  refused  wrong", "");
        for (group, [right, within, refused, wrong]) in &self.groups {
            println!("{group:58} {right:5}  {within:6}  {refused:7}  {wrong:5}");
        }
    }

    /// Prints, and fails if anything was wrong or nothing was counted.
    #[track_caller]
    pub fn finish(self) {
        self.print();
        assert!(!self.groups.is_empty(), "no case was run");
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}
