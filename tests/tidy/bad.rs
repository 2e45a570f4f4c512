//! A rule that cannot fire proves nothing: each is shown a snippet that breaks it and a near miss that does not.
use crate::{rules, source::Source};

/// Fails unless exactly `wanted` (rule, words of the offence) are found, other than missing headers.
#[track_caller]
fn check(path: &str, text: &str, wanted: &[(&str, &str)]) {
    let source = Source::new(path, format!("//! A snippet that is long enough.\n{text}"));
    let found: Vec<_> = rules::broken(&source).into_iter().map(|offence| (offence.rule, offence.what)).collect();
    let found: Vec<_> = found.iter().map(|(rule, what)| (*rule, what.as_str())).collect();
    assert_eq!(found, wanted, "{path}: {text}");
}

#[test]
fn imports_point_down() {
    const RULE: &str = "imports point down";
    check("src/pixel/value.rs", "use crate::dicom::Header;", &[]);
    check(
        "src/pixel/value.rs",
        "use crate::{error::{Code, Error}, ledger::Ledger, uid};",
        &[(RULE, "pixel names ledger")],
    );
    check("src/infer/lane.rs", "fn f() -> crate::finding::Finding { f() }", &[(RULE, "infer names finding")]);
    check("src/uid.rs", "use crate::error::Result;", &[]);
    check("src/error/mod.rs", "use crate::uid::Uid;", &[(RULE, "error names uid")]);
    check("src/server.rs", "use crate::{cli::fail, config::Config};", &[(RULE, "server names cli")]);
    check("src/study/plan.rs", "use super::super::gate;", &[(RULE, "super::super")]);
    check("src/attic/mod.rs", "", &[(RULE, "attic is not in the table of rooms")]);
    check("src/study/plan.rs", "use crate::Thing;", &[(RULE, "crate::Thing is not a room")]);
    // In tests, too: a room that needs a higher one to be tested is on the wrong floor.
    check("src/dicom/mod.rs", "#[cfg(test)] mod tests { use crate::pixel::Image; }", &[(RULE, "dicom names pixel")]);
    check("src/pixel/value.rs", "// use crate::ledger;\nconst TEXT: &str = \"crate::ledger\";", &[]);
}

#[test]
fn foreign_types_stay_in_their_room() {
    const RULE: &str = "foreign types stay in their room";
    check("src/infer/engine/libtorch.rs", "use tch::Tensor;", &[]);
    check("src/infer/lane.rs", "use tch::Tensor;", &[(RULE, "tch outside src/infer/engine")]);
    check("src/study/intake.rs", "fn f(s: tonic::Status) {}", &[(RULE, "tonic outside src/gate/grpc")]);
    check("src/study/intake.rs", "use tonic as t;", &[(RULE, "tonic outside src/gate/grpc")]);
    check("src/gate/grpc/status.rs", "fn f(s: ::tonic::Status) {}", &[]);
    check("src/study/intake.rs", "fn f(s: plan::tonic::Status) {}", &[]);
    check("src/study/intake.rs", "use rusqlite::{Connection};", &[(RULE, "rusqlite outside src/ledger")]);
    check("src/pixel/mod.rs", "use dicom::object::FileDicomObject;", &[(RULE, "the crate dicom outside src/dicom")]);
    check("src/pixel/mod.rs", "use crate::dicom::Instance; fn f(i: dicom::Instance) {}", &[]);
}

#[test]
fn files_and_functions_are_short() {
    let long = |lines: usize| format!("fn f() {{\n{}}}\n", "f();\n".repeat(lines - 2));
    check("src/uid.rs", &long(70), &[]);
    check("src/uid.rs", &long(71), &[("functions are short", "f has 71 lines, at most 70")]);
    check("tests/path.rs", &long(71), &[("functions are short", "f has 71 lines, at most 70")]);
    check("src/uid.rs", &"const A: u8 = 1;\n".repeat(600), &[("files are short", "601 lines, at most 600")]);
}

#[test]
fn no_panics_in_the_service() {
    const RULE: &str = "no unwrap, expect or panic in the service";
    check("src/study/plan.rs", "fn f(x: Option<u8>) -> u8 { x.unwrap() }", &[(RULE, "unwrap")]);
    check("src/study/plan.rs", "fn f(x: Option<u8>) -> u8 { x.expect(\"holds\") }", &[(RULE, "expect")]);
    check("src/study/plan.rs", "fn f(x: Vec<Option<u8>>) { x.into_iter().map(Option::unwrap); }", &[(RULE, "unwrap")]);
    check("src/study/plan.rs", "fn f() { select! { _ = g() => panic!(\"no\") } }", &[(RULE, "panic")]);
    check(
        "src/study/plan.rs",
        "#[expect(dead_code, reason = \"why\")] fn f(x: Option<u8>) -> u8 { x.unwrap_or(1) }",
        &[],
    );
    check("src/study/plan.rs", "#[cfg(test)] mod tests { #[test] fn f() { g().unwrap(); panic!() } }", &[]);
    check("src/study/plan.rs", "#[cfg(test)] use std::fmt; fn f(x: Option<u8>) { x.unwrap(); }", &[(RULE, "unwrap")]);
    check("src/study/plan.rs", "fn f(test: &SelfTest) { g(&test.expect); }", &[]);
    check("tests/path.rs", "fn f(x: Option<u8>) -> u8 { x.unwrap() }", &[]);
}

#[test]
fn states_and_codes_are_listed() {
    const RULE: &str = "states, events and codes are listed";
    let of = |arms: &str| format!("fn f(s: State) -> u8 {{ match s {{ {arms} }} }}");
    check("src/study/plan.rs", &of("State::Open => 1, _ => 2"), &[(RULE, "_ =>")]);
    check("src/study/plan.rs", &of("S::Open(r) => { g(); 1 } (S::Sealed, _) => 2, _ => 3"), &[(RULE, "_ =>")]);
    check("src/study/plan.rs", &of("State::Open => 1, State::Sealed => match n { 1 => 2, _ => 3 }"), &[]);
    check("src/study/plan.rs", &of("Some(n) => State::of(n), _ => State::Open"), &[]);
    check("src/study/plan.rs", &of("State::Open if x => { 1 }.max(1), _ => 3"), &[(RULE, "_ =>")]);
    check("src/study/plan.rs", &of("1 => Some(Code::Busy), 2 => Some(Code::Internal), _ => None"), &[]);
}

#[test]
fn smaller_rules_fire() {
    check("src/study/plan.rs", "fn f() { println!(\"x\"); }", &[("only the command line prints", "println!")]);
    check("src/cli/models.rs", "fn f() { println!(\"x\"); }", &[]);
    check("src/study/plan.rs", "fn f() { Instant::now(); }", &[("pure rooms read no clock", "Instant::now")]);
    check("src/study/intake.rs", "fn f() { Instant::now(); }", &[]);
    check("src/study/util.rs", "", &[("modules are named after their noun", "util")]);
    check("src/study/plan.rs", "mod helpers {}", &[("modules are named after their noun", "helpers")]);
    let path = ["/wo", "rk/x"].concat();
    check("docs/a.md", &path, &[("nothing of the machine it was made on", path.trim_end_matches('x'))]);
    let bare = Source::new("src/uid.rs", "use std::fmt;\n".to_owned());
    assert_eq!(rules::broken(&bare)[0].rule, "a file says why it exists");
}
