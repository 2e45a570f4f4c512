//! The closed code set is one table: `src/error/code.rs`. The API's enum and the administrator's table say the same, word for word.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
use overread::error::{Retry, Row, TABLE};

#[test]
fn the_api_enum_is_the_code_table() {
    let mut wanted = vec!["CODE_UNSPECIFIED = 0;".to_owned()];
    for (index, row) in TABLE.iter().enumerate() {
        wanted.push(format!("// {}", row.means));
        wanted.push(format!("CODE_{} = {};", row.name, index + 1));
    }
    let proto = read("proto/overread/v1/code.proto");
    let body = proto.split_once("enum Code {").expect("code.proto declares the enum").1;
    let found: Vec<&str> =
        body.lines().map(str::trim).skip_while(|line| !line.starts_with("CODE_UNSPECIFIED")).collect();
    let found = found.into_iter().take_while(|line| *line != "}").map(str::to_owned).collect();
    compare("proto/overread/v1/code.proto", &wanted, &found);
}

#[test]
fn the_documented_table_is_the_code_table() {
    let wanted = TABLE.iter().map(documented).collect();
    let found = read("docs/codes.md").lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    compare("docs/codes.md", &wanted, &found);
}

fn documented(row: &Row) -> String {
    let again = match row.retry {
        Retry::Never => "does not help",
        Retry::Later => "later",
        Retry::AfterChange => "after a change",
    };
    let Row { name, means, remedy, grpc, dimse, http, exit, .. } = row;
    format!("| `{name}` | {means} | {remedy} | {grpc:?} | 0x{dimse:04X} | {http} | {exit} | {again} |")
}

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with the lines to add and to remove, so that mending is copying.
#[track_caller]
fn compare(path: &str, wanted: &Vec<String>, found: &Vec<String>) {
    let missing: Vec<_> = wanted.iter().filter(|line| !found.contains(line)).collect();
    let extra: Vec<_> = found.iter().filter(|line| !wanted.contains(line)).collect();
    assert!(missing.is_empty() && extra.is_empty(), "{path}\nadd:    {missing:#?}\nremove: {extra:#?}");
    assert_eq!(wanted, found, "{path} has the right lines in another order");
}
