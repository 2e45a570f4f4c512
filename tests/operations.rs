//! The administrator's page lists every key of the configuration with its default, and no other.
#![allow(clippy::expect_used, reason = "a test may fail where it stands")]
use std::collections::BTreeSet;

use overread::config::Config;

#[test]
fn every_key_is_documented_with_its_default() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = std::fs::read_to_string(page).expect("docs/operations.md");
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter(|line| line.contains('.'))
        .map(first_two)
        .collect();
    let table: toml::Table = Config::default().to_toml().expect("defaults print").parse().expect("defaults parse");
    let mut defaults = BTreeSet::new();
    for (section, keys) in &table {
        for (key, value) in keys.as_table().expect("every key is in a section") {
            defaults.insert(format!("{section}.{key}` | `{value}"));
        }
    }
    let missing: Vec<_> = defaults.difference(&documented).collect();
    let extra: Vec<_> = documented.difference(&defaults).filter(|row| row.contains("` | `")).collect();
    assert!(missing.is_empty() && extra.is_empty(), "docs/operations.md\nadd:    {missing:#?}\nremove: {extra:#?}");
}

/// "key` | `default" of a table row.
fn first_two(row: &str) -> String {
    row.splitn(4, '`').take(3).collect::<Vec<_>>().join("`")
}
