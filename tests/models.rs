//! Promise: a folder dropped into the models directory is a model; one whose files are not what its manifest says is refused
//! with a reason, and the others serve. Runs on the test model of tests/data/models, whose network is a formula.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
use std::{
    fs,
    path::{Path, PathBuf},
};

use ndarray::Array4;
use overread::{
    error::Code,
    infer::{Class, Config, DeviceChoice, Pool},
    model::{self, Model},
};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models")
}

/// A models directory with copies of the test model under these names.
fn models_dir(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for name in names {
        let (from, to) = (data().join("tiny-radiograph"), dir.path().join(name));
        fs::create_dir_all(to.join("golden")).expect("a folder");
        for file in ["model.toml", "card.md", "weights.pt", "golden/self_test_input.npy", "golden/self_test_logits.npy"]
        {
            fs::copy(from.join(file), to.join(file)).expect("a copy");
        }
        change(&to.join("model.toml"), "name = \"tiny-radiograph\"", &format!("name = \"{name}\""));
    }
    dir
}

fn change(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("a text file");
    assert!(text.contains(from), "{from}");
    fs::write(file, text.replacen(from, to, 1)).expect("written");
}

fn names(models: &[Model]) -> Vec<&str> {
    models.iter().map(|model| model.manifest.name.as_str()).collect()
}

/// Spoils the model `b` beside `a`: `b` is refused, its reason names `named`, and `a` is there.
#[track_caller]
fn check_refused(spoil: impl FnOnce(&Path), named: &str) {
    let dir = models_dir(&["a", "b"]);
    spoil(&dir.path().join("b"));
    let (models, refused) = model::discover(dir.path());
    assert_eq!(names(&models), ["a"]);
    let [(name, error)] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!((name.as_str(), error.code), ("b", Code::ModelUnavailable));
    assert!(error.detail.contains(named), "{named:?} is not in {:?}", error.detail);
    let folder = dir.path().to_string_lossy().into_owned();
    assert!(!error.to_string().contains(&folder), "an error names a path: {error}");
}

#[test]
fn a_model_whose_files_changed_is_refused_and_the_others_stay() {
    check_refused(|dir| fs::remove_file(dir.join("card.md")).expect("removed"), "card.md");
    check_refused(|dir| fs::write(dir.join("card.md"), " \n").expect("written"), "card.md is empty");
    check_refused(|dir| fs::remove_file(dir.join("weights.pt")).expect("removed"), "weights.pt is missing");
    check_refused(|dir| change(&dir.join("model.toml"), "[select]", "[selekt]"), "selekt");
    check_refused(|dir| change(&dir.join("model.toml"), "name = \"b\"", "name = \"c\""), "rename one");
    let flip = |file: &'static str| {
        move |dir: &Path| {
            let mut bytes = fs::read(dir.join(file)).expect("read");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(dir.join(file), bytes).expect("written");
        }
    };
    check_refused(flip("weights.pt"), "SHA-256");
    check_refused(flip("golden/self_test_input.npy"), "SHA-256");
    check_refused(flip("golden/self_test_logits.npy"), "SHA-256");
}

#[test]
fn a_model_that_requires_an_unusable_one_is_refused() {
    let needs = "[requires]\nlungs = \"lungs\"\n\n[input]";
    check_refused(|dir| change(&dir.join("model.toml"), "[input]", needs), "requires model lungs");
}

#[test]
fn a_missing_directory_is_an_error_and_an_empty_one_is_not() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (models, refused) = model::discover(dir.path());
    assert!(models.is_empty() && refused.is_empty());
    let (_, refused) = model::discover(&dir.path().join("absent"));
    assert_eq!(refused[0].1.code, Code::ModelUnavailable);
}

#[test]
fn installing_copies_a_checked_model_and_replaces_only_when_told() {
    use model::{Existing, Installed, install};
    let (from, to) = (models_dir(&["a"]), tempfile::tempdir().expect("a temporary folder"));
    let source = from.path().join("a");
    fs::write(source.join("train.py"), "not part of the model").expect("written");
    assert_eq!(install(&source, to.path(), Existing::Keep), Ok(Installed::New));
    assert_eq!(install(&source, to.path(), Existing::Keep), Ok(Installed::Same));
    assert!(!to.path().join("a/train.py").exists(), "only what the manifest names is copied");
    change(&source.join("model.toml"), "version = \"1.0.0\"", "version = \"1.1.0\"");
    let refused = install(&source, to.path(), Existing::Keep).expect_err("another version is there");
    assert_eq!(refused.code, Code::AlreadyExists);
    assert_eq!(install(&source, to.path(), Existing::Replace), Ok(Installed::Replaced));
    let (models, refused) = model::discover(to.path());
    assert_eq!((models[0].manifest.version.as_str(), refused.len()), ("1.1.0", 0));
    fs::remove_file(source.join("card.md")).expect("removed");
    let refused = install(&source, to.path(), Existing::Replace).expect_err("no card");
    assert_eq!(refused.code, Code::ModelUnavailable);
    assert_eq!(model::discover(to.path()).0.len(), 1, "what was installed stays");
}

fn config() -> Config {
    Config { device: DeviceChoice::Cpu, lanes: 2, ..Config::default() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn a_dropped_in_model_serves_and_returns_logits_and_maps() {
    let dir = models_dir(&["a", "b"]);
    let (models, refused) = model::discover(dir.path());
    assert!(refused.is_empty(), "{refused:?}");
    let (pool, refused) = Pool::start(&config(), &models).expect("a pool");
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(pool.models().collect::<Vec<_>>(), ["a", "b"]);
    let mut input = Array4::zeros((1, 1, 64, 64));
    input.slice_mut(ndarray::s![.., .., ..16, ..16]).fill(2.0);
    let (outputs, info) = runtime().block_on(pool.infer("b", input, Class::Stat)).expect("outputs");
    let maps = outputs.get("maps").expect("maps");
    assert_eq!(maps.shape(), [1, 2, 4, 4]);
    assert_eq!((maps[[0, 0, 0, 0]], maps[[0, 1, 0, 0]], maps[[0, 0, 3, 3]]), (2.0, -2.0, 0.0));
    let logits: Vec<f32> = outputs.get("logits").expect("logits").iter().copied().collect();
    assert_eq!(logits, [2.0 / 16.0 + 0.25, -2.0 / 16.0 - 0.25]);
    assert_eq!((info.device.as_str(), info.batch), ("cpu", 1));
}

/// A network that returns a dictionary, of which the manifest names two tensors and, of three channels, two.
#[test]
fn a_dictionary_is_read_by_its_keys_and_what_does_not_fit_says_what_would() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/returns/tiny-dictionary");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let to = dir.path().join("tiny-dictionary");
    fs::create_dir_all(to.join("golden")).expect("a folder");
    for file in ["model.toml", "card.md", "weights.pt", "golden/self_test_logits.npy"] {
        fs::copy(from.join(file), to.join(file)).expect("a copy");
    }
    let start = || {
        let (models, refused) = model::discover(dir.path());
        assert!(refused.is_empty(), "{refused:?}");
        let (pool, refused) = Pool::start(&config(), &models).expect("a pool");
        (models, pool, refused.into_iter().next().map(|(_, error)| error.detail))
    };
    let (models, pool, refused) = start();
    assert_eq!(refused, None);
    let mut input = Array4::zeros((1, 1, 64, 64));
    input.slice_mut(ndarray::s![.., .., ..16, ..16]).fill(16.0);
    let (outputs, _) = runtime().block_on(pool.infer("tiny-dictionary", input, Class::Stat)).expect("outputs");
    assert!(outputs.get("embedding").is_none(), "what is not named is not copied");
    let readings = model::read_labels(&models[0].manifest, |role| outputs.get(role)).expect("as the manifest says");
    // Logits 1, -1 and 0: the softmax of `bright`, whose calibration adds 0.5 to its log-odds.
    let odds = 1.0f32.exp() / ((-1.0f32).exp() + 1.0) * 0.5f32.exp();
    assert!((readings[0].probability - odds / (1.0 + odds)).abs() < 1e-6, "{}", readings[0].probability);
    assert_eq!((readings.len(), readings[1].label.name.as_str()), (2, "dark"));

    let (folder, manifest) = (to.clone(), to.join("model.toml"));
    let text = fs::read_to_string(&manifest).expect("a text file");
    for (from, to, named) in [
        (
            "logits = \"cls\"",
            "logits = \"class\"",
            "for the role logits; it is a dictionary with the keys \"embedding\", \"cam\", \"cls\"",
        ),
        ("{ logits = \"cls\", maps = \"cam\" }", "[\"logits\", \"maps\"]", "no tensor at place 0 for the role logits"),
        ("maps = \"cam\"", "maps = \"embedding\"", "\"maps\" is 1 x 4096; it must be N x any x any x any"),
        ("channel = 1", "channel = 7", "a label names channel 7"),
        ("channel = 0\n", "", "all labels name their channel, or none"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&manifest, text.replacen(from, to, 1)).expect("written");
        let said = match model::open(&folder) {
            Err(error) => error.detail,
            Ok(_) => start().2.expect("refused"),
        };
        assert!(said.contains(named), "{named:?} is not in {said:?}");
    }
}

#[test]
fn a_model_that_answers_its_example_differently_is_refused_and_the_others_serve() {
    let dir = models_dir(&["a", "b"]);
    // The example with its first value changed, and an honest digest of it: only running the network can tell.
    let (manifest, golden) = (dir.path().join("b/model.toml"), dir.path().join("b/golden/self_test_logits.npy"));
    let before = model::open(&dir.path().join("b")).expect("a model").manifest.self_test.expect.sha256.to_string();
    let mut bytes = fs::read(&golden).expect("read");
    let end = bytes.len();
    bytes[end - 8..end - 4].copy_from_slice(&9.0f32.to_le_bytes());
    fs::write(&golden, &bytes).expect("written");
    change(&manifest, &before, &sha256(&bytes));
    let (models, refused) = model::discover(dir.path());
    assert!(refused.is_empty(), "{refused:?}");
    let (pool, refused) = Pool::start(&config(), &models).expect("a pool");
    let [(name, error)] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!((name.as_str(), error.code), ("b", Code::ModelUnavailable));
    assert!(error.detail.starts_with("self-test: the output differs by"), "{}", error.detail);
    let outcome = runtime().block_on(pool.infer("b", Array4::zeros((1, 1, 64, 64)), Class::Routine));
    assert_eq!(outcome.expect_err("does not serve").code, Code::ModelUnavailable);
    runtime().block_on(pool.infer("a", Array4::zeros((1, 1, 64, 64)), Class::Routine)).expect("a serves");
}

#[test]
fn weights_that_are_no_torchscript_are_refused_without_the_librarys_words() {
    let dir = models_dir(&["a"]);
    let weights = dir.path().join("a/weights.pt");
    let before = sha256(&fs::read(&weights).expect("read"));
    fs::write(&weights, b"PK\x03\x04 not a network").expect("written");
    change(&dir.path().join("a/model.toml"), &before, &sha256(b"PK\x03\x04 not a network"));
    let (models, _) = model::discover(dir.path());
    let (_, refused) = Pool::start(&config(), &models).expect("a pool");
    let detail = &refused[0].1.detail;
    assert!(detail.contains("TorchScript") && !detail.contains(".cpp") && !detail.contains('\n'), "{detail}");
}

#[test]
fn a_hundred_callers_get_their_own_answers_and_a_stopped_pool_says_so() {
    let dir = models_dir(&["a"]);
    let (models, _) = model::discover(dir.path());
    let (pool, _) = Pool::start(&Config { batch_samples_max: 4, ..config() }, &models).expect("a pool");
    let pool = std::sync::Arc::new(pool);
    let runtime = runtime();
    runtime.block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..100u8 {
            let pool = std::sync::Arc::clone(&pool);
            callers.spawn(async move {
                let value = f32::from(caller) / 64.0;
                let (outputs, _) = pool.infer("a", Array4::from_elem((1, 1, 64, 64), value), Class::Bulk).await?;
                let first = outputs.get("logits").map(|logits| logits[[0, 0]]);
                overread::error::Result::Ok((first, value + 0.25))
            });
        }
        while let Some(answer) = callers.join_next().await {
            let (got, want) = answer.expect("no panic").expect("an answer");
            assert_eq!(got, Some(want));
        }
    });
    pool.stop();
    let outcome = runtime.block_on(pool.infer("a", Array4::zeros((1, 1, 64, 64)), Class::Stat));
    assert_eq!(outcome.expect_err("stopped").code, Code::ShuttingDown);
}

/// Runs `overread models --models-dir DIR` with `args`; exit status, stdout, stderr.
fn overread_models(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_overread"));
    let output = command.arg("models").arg("--models-dir").arg(dir).args(args).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_line_lists_verifies_and_installs() {
    let dir = models_dir(&["a", "b"]);
    let (status, out, _) = overread_models(dir.path(), &["list"]);
    assert_eq!(status, Some(0));
    assert!(
        out.starts_with("MODEL  VERSION  STATE      LOOKS FOR\na      1.0.0    installed  bright, (dark)\n"),
        "{out}"
    );
    let (status, out, _) = overread_models(dir.path(), &["verify"]);
    assert!(status == Some(0) && out.contains("b      1.0.0    works"), "{out}");

    fs::remove_file(dir.path().join("b/card.md")).expect("removed");
    let (status, out, err) = overread_models(dir.path(), &["verify", "--json"]);
    assert_eq!(status, Some(1));
    let value: serde_json::Value = serde_json::from_str(&out).expect("one JSON object on stdout and nothing else");
    assert_eq!((&value["models"][0]["name"], &value["models"][0]["state"]), (&"a".into(), &"works".into()));
    assert_eq!(value["refused"][0]["error"]["code"], "MODEL_UNAVAILABLE");
    assert!(err.is_empty(), "{err}");
    let (_, out, err) = overread_models(dir.path(), &["verify"]);
    assert!(out.contains("b      -        refused"), "{out}");
    assert!(err.contains("model b: card.md is missing") && err.contains("\n  do: "), "{err}");

    let source = dir.path().join("a");
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let source = source.to_str().expect("text");
    let (status, out, _) = overread_models(elsewhere.path(), &["install", source]);
    assert!(status == Some(0) && out.starts_with("installed a 1.0.0"), "{out}");
    let (status, _, err) = overread_models(elsewhere.path(), &["install", "no-such-model"]);
    assert!(status == Some(1) && err.starts_with("NOT_FOUND"), "{err}");
    let (status, _, _) = overread_models(elsewhere.path(), &["remove"]);
    assert_eq!(status, Some(2));
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
