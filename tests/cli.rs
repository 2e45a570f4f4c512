//! The promise: what scripts rely on (exit statuses, JSON, which stream) stays; what people read teaches.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may fail where it stands")]
mod support;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use support::dicom::{Cr, cr};

fn overread(args: &[&str]) -> Output {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let mut command = Command::new(env!("CARGO_BIN_EXE_overread"));
    command.args(args).env("OVERREAD_MODELS", models).env_remove("OVERREAD_SERVER");
    command.output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stdout(output)))
}

/// A folder with these files.
fn folder(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let dir = home.path().join("in");
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    }
    (home, dir)
}

fn of_study(seed: u64, study: &str) -> Cr {
    let mut made = cr(90, 70, seed);
    made.study = study.to_owned();
    made.patient_id = format!("PATIENT-OF-{study}");
    made
}

#[track_caller]
fn check_exit(output: &Output, want: i32) {
    assert_eq!(output.status.code(), Some(want), "stdout: {}\nstderr: {}", stdout(output), stderr(output));
}

#[test]
fn a_folder_is_grouped_by_study_and_every_file_gets_a_line() {
    let (_home, dir) = folder(&[
        ("a/1.dcm", of_study(1, "2.25.100").bytes()),
        ("a/2.dcm", of_study(2, "2.25.200").bytes()),
        ("b/3", of_study(3, "2.25.100").bytes()),
        ("b/notes.txt", b"no DICOM".to_vec()),
        ("b/empty", Vec::new()),
        (".hidden", b"not looked at".to_vec()),
    ]);
    let out = dir.with_file_name("out");
    let output = overread(&["analyze", dir.to_str().unwrap(), "--format", "json", "--out", out.to_str().unwrap()]);
    check_exit(&output, 0);
    let value = json(&output);
    assert_eq!(value["schema"], "overread.report/1");
    let instances = value["instances"].as_array().expect("instances");
    let line = |name: &str| {
        let found = instances.iter().find(|line| line["path"].as_str().unwrap().ends_with(name));
        found.unwrap_or_else(|| panic!("{name} has no line in {instances:?}"))
    };
    assert_eq!(instances.len(), 5);
    assert_eq!((&line("1.dcm")["receipt"], &line("1.dcm")["code"]), (&"stored".into(), &Value::Null));
    assert_eq!(line("1.dcm")["sop_instance_uid"], of_study(1, "").sop_instance);
    assert_eq!((&line("notes.txt")["receipt"], &line("notes.txt")["code"]), (&"refused".into(), &"NOT_DICOM".into()));
    assert_eq!(line("empty")["code"], "NOT_DICOM");
    let studies = value["studies"].as_array().expect("studies");
    let uids: Vec<_> = studies.iter().map(|study| study["study_instance_uid"].as_str().unwrap()).collect();
    assert_eq!(uids, ["2.25.100", "2.25.200"]);
    assert_eq!(studies[0]["findings"].as_array().expect("findings").len(), 2);
    for finding in studies[0]["findings"].as_array().expect("findings") {
        for key in ["label", "code", "probability", "threshold", "outcome", "model", "sop_instance_uids", "heatmap"] {
            assert!(!finding[key].is_null(), "{key} is missing from {finding}");
        }
        let overlay = finding["overlay"].as_str().expect("an overlay was written");
        assert!(std::fs::read(overlay).expect("it is there").starts_with(b"\x89PNG"));
    }
    let written: Value =
        serde_json::from_slice(&std::fs::read(out.join("report.json")).expect("written")).expect("JSON");
    assert_eq!(written, value);
}

#[test]
fn nothing_that_could_be_analysed_is_exit_3_with_the_reasons() {
    let (_home, dir) = folder(&[("x", b"no DICOM".to_vec())]);
    let output = overread(&["analyze", dir.to_str().unwrap()]);
    check_exit(&output, 3);
    let text = stdout(&output);
    assert!(text.contains("NOT_DICOM") && text.contains("do: "), "{text}");
    let mut other = of_study(5, "2.25.300");
    other.modality = "MG".to_owned();
    let (_home, dir) = folder(&[("x", other.bytes())]);
    let output = overread(&["analyze", dir.to_str().unwrap(), "--format", "json"]);
    check_exit(&output, 3);
    assert_eq!(json(&output)["studies"][0]["not_analysed"][0]["code"], "NO_MODEL_APPLIES");
}

#[test]
fn wrong_usage_is_exit_2_and_a_failure_is_exit_1() {
    check_exit(&overread(&["analyze"]), 2);
    check_exit(&overread(&["analyze", "/no/such/file"]), 2);
    check_exit(&overread(&["serve", "--set", "server.port=1", "--print-config"]), 2);
    check_exit(&overread(&["explain", "not-a-uid"]), 3);
    let (_home, dir) = folder(&[("x", of_study(1, "2.25.1").bytes())]);
    // Port 9 (discard) of loopback: nobody listens there.
    let output = overread(&["analyze", dir.to_str().unwrap(), "--server", "http://127.0.0.1:9"]);
    check_exit(&output, 1);
    assert!(stderr(&output).contains("no server answers at http://127.0.0.1:9"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty());
}

#[test]
fn inspect_prints_the_object_that_outside_checks_read() {
    let made = of_study(4, "2.25.400");
    let (_home, dir) = folder(&[("x.dcm", made.bytes()), ("y", b"no DICOM".to_vec())]);
    let file = dir.join("x.dcm");
    for stage in ["stored", "modality", "display"] {
        let output = overread(&["inspect", file.to_str().unwrap(), "--stage", stage, "--json"]);
        check_exit(&output, 0);
        let value = json(&output);
        assert_eq!((&value["stage"], &value["rows"], &value["columns"]), (&stage.into(), &90.into(), &70.into()));
        let keys = ["frames", "samples", "transfer_syntax", "photometric", "min", "max", "mean", "sha256"];
        for key in keys {
            assert!(!value[key].is_null(), "{key} is missing from {value}");
        }
    }
    let output = overread(&["inspect", dir.join("y").to_str().unwrap(), "--json"]);
    check_exit(&output, 3);
    let error = &json(&output)["error"];
    assert_eq!(error["code"], "NOT_DICOM");
    assert!(error.get("subject").is_some() && error["detail"].is_string(), "{error}");
}

#[test]
fn help_teaches_and_the_configuration_prints_whole() {
    for (args, must_say) in [
        (vec!["--help"], vec!["Research use only", "overread analyze chest.dcm", "overread serve"]),
        (vec!["analyze", "--help"], vec!["--server", "Exit status", "Examples"]),
        (vec!["serve", "--help"], vec!["--print-config", "SIGTERM"]),
        (vec!["models", "--help"], vec!["verify", "install"]),
        (vec!["inspect", "--help"], vec!["--stage", "--json"]),
        (vec!["explain", "--help"], vec!["clause"]),
    ] {
        let output = overread(&args);
        check_exit(&output, 0);
        for words in must_say {
            assert!(stdout(&output).contains(words), "{args:?} does not say {words:?}:\n{}", stdout(&output));
        }
    }
    let output = overread(&["serve", "--print-config", "--listen", "127.0.0.1:9999"]);
    check_exit(&output, 0);
    let table: toml::Table = stdout(&output).parse().expect("TOML");
    assert_eq!(table["server"]["listen"].as_str(), Some("127.0.0.1:9999"));
    for section in ["dicom", "ledger", "study", "infer", "analysis", "grpc", "log"] {
        assert!(table.contains_key(section), "{section} is missing");
    }
}
