//! The promise: every result object of every kind of model passes the validators of others without an error, and another reader finds in it
//! what the API says: findings, masks voxel by voxel, heatmaps value by value.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test may fail where it stands")]
#[path = "../support/mod.rs"]
mod support;
mod validators;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use overread::{
    deliver::{Kind, PROFILES, Profile},
    dicom::{Instance, Limits},
    finding::{Finding, Outcome, Report},
    gate::grpc::client::{Client, HeatmapFormat, ResultObject, SegmentationFormat},
    uid::Uid,
};
use serde_json::{Value, json};
use support::{
    corpus::{Tally, public, shared},
    ct::{Scan, scan},
    dicom::{cr, element},
    server::{self, ServerProcess},
};
use tokio::sync::mpsc;

/// Left, posterior, superior, and radius; mm.
const BALL: ([f64; 3], f64) = ([15.0, -9.0, 136.0], 14.0);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A study that was analysed, its objects and what the API says of it, in a folder.
struct Case {
    home: tempfile::TempDir,
    process: ServerProcess,
    client: Client,
    report: Report,
}

impl Case {
    async fn of(models: &Path, study: &str, files: Vec<Vec<u8>>) -> Case {
        let home = tempfile::tempdir().expect("a temporary folder");
        let process = server::start(&home.path().join("data"), models, &[]);
        let client = Client::connect(&process.url).await.expect("the server answers");
        let sources = home.path().join("sources");
        std::fs::create_dir(&sources).expect("a folder");
        let (sender, receiver) = mpsc::channel(files.len());
        for (number, file) in files.into_iter().enumerate() {
            std::fs::write(sources.join(format!("{number:03}.dcm")), &file).expect("written");
            sender.send(Bytes::from(file)).await.expect("there is room");
        }
        drop(sender);
        let mut analysis = client.analyze(receiver).await.expect("the call begins");
        while analysis.next().await.expect("the call goes on").is_some() {}
        let report = client.report(&Uid::parse(study).unwrap(), None).await.expect("the report");
        Case { home, process, client, report }
    }

    async fn objects(&self, profile: Profile) -> Vec<ResultObject> {
        let mut objects = self.client.objects(&self.report.study, None, profile).await.expect("the call begins");
        let mut all = Vec::new();
        while let Some(object) = objects.next().await.expect("the call goes on") {
            all.push(object);
        }
        all
    }

    /// Writes the objects of all kinds, as `overread export` does, and gives their paths.
    fn exported(&self) -> Vec<PathBuf> {
        let out = self.home.path().join("objects");
        let mut command = Command::new(env!("CARGO_BIN_EXE_overread"));
        command.args(["export", self.report.study.as_str()]).arg(&out).args(["--server", &self.process.url]);
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(PathBuf::from).collect()
    }

    /// All checks: the validators, and the other reader.
    async fn check(&self, kinds: &[Kind]) {
        let files = self.exported();
        let of_kind = |kind: Kind| -> Vec<&PathBuf> {
            let name = format!("{}-", kind.row().name);
            files.iter().filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with(&name)).collect()
        };
        for kind in kinds {
            assert!(!of_kind(*kind).is_empty(), "{kind:?} is not among {files:?}");
        }
        let mut wrong = Vec::new();
        let mut missing = BTreeSet::new();
        let mut ask = |tool: &'static str, file: &Path| match validators::ask(tool, file) {
            Some(lines) => wrong.extend(lines.into_iter().map(|line| format!("{tool} {}: {line}", file.display()))),
            None => drop(missing.insert(tool)),
        };
        files.iter().for_each(|file| ask("dciodvfy", file));
        let documents = [Kind::Report, Kind::NotAnalysed, Kind::KeyObjects].map(of_kind).concat();
        documents.iter().for_each(|file| ask("dsrdump", file));
        of_kind(Kind::Presentation).iter().for_each(|file| ask("dcmpschk", file));
        // Eight seconds of a core for each file.
        [Kind::Report, Kind::NotAnalysed, Kind::KeyObjects]
            .iter()
            .filter_map(|kind| of_kind(*kind).first().copied())
            .for_each(|file| ask("pixelmed", file));
        let sources = std::fs::read_dir(self.home.path().join("sources")).expect("a folder");
        let together: Vec<PathBuf> = sources.map(|entry| entry.unwrap().path()).chain(files.iter().cloned()).collect();
        match validators::entities(&together) {
            Some(lines) => wrong.extend(lines),
            None => drop(missing.insert("dcentvfy")),
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        self.read_back(kinds, &mut missing).await;
        if !missing.is_empty() {
            Tally::skip(&format!("{missing:?} (scripts/setup installs them): the others found no fault"));
        }
    }

    /// Has `readback.py` compare the objects with what the API says.
    async fn read_back(&self, kinds: &[Kind], missing: &mut BTreeSet<&'static str>) {
        let python = root().join("third_party/validators/bin/python");
        if !python.is_file() {
            missing.insert("highdicom");
            return;
        }
        let mut findings = Vec::new();
        for (index, finding) in self.report.findings.iter().enumerate() {
            findings.push(self.expected(index, finding).await);
        }
        let classes: BTreeSet<&str> = kinds.iter().map(|kind| kind.row().sop_class).collect();
        let not_analysed: Vec<&str> = self.report.not_analysed.iter().map(|entry| entry.code.name()).collect();
        let expected = json!({ "findings": findings, "classes": classes, "not_analysed": not_analysed });
        std::fs::write(self.home.path().join("expected.json"), expected.to_string()).expect("written");
        let script = root().join("tests/objects/readback.py");
        let output = Command::new(python).arg(script).arg(self.home.path()).output().expect("Python starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.lines().count() > 5, "it has checked next to nothing: {said}");
    }

    /// A finding as the API gives it; its mask and heatmaps in files.
    async fn expected(&self, index: usize, finding: &Finding) -> Value {
        let (study, revision) = (&self.report.study, self.report.revision);
        let (mut mask, mut shape) = (None, None);
        let mut heatmaps = Vec::new();
        let of = finding.of_series.as_ref();
        if of.is_some_and(|of| of.segmentation.is_some()) {
            let format = SegmentationFormat::Bytes;
            let got = self.client.segmentation(study, revision, &finding.uid, format).await.expect("a segmentation");
            let name = format!("mask-{index}");
            std::fs::write(self.home.path().join(&name), &got.bytes).expect("written");
            (mask, shape) = (Some(name), Some(got.size));
        }
        let keys: Vec<_> = of.map_or_else(
            || vec![(finding.sop_instance.to_string(), None)],
            |of| {
                (1u32..)
                    .zip(&of.key_slices)
                    .map(|(place, key)| (key.source.sop_instance.to_string(), Some(place)))
                    .collect()
            },
        );
        for (source, place) in &keys {
            let got = match place {
                Some(place) => {
                    self.client.key_heatmap(study, revision, (&finding.uid, *place), HeatmapFormat::Float32).await
                }
                None => self.client.heatmap(study, revision, &finding.uid, HeatmapFormat::Float32).await,
            };
            let Ok(got) = got else { continue };
            let name = format!("heat-{index}-{}", place.unwrap_or(0));
            std::fs::write(self.home.path().join(&name), &got.bytes).expect("written");
            heatmaps.push(json!({ "source": source, "file": name, "rows": got.rows, "columns": got.columns }));
        }
        let outcome = match finding.outcome {
            Outcome::Positive => "positive",
            Outcome::Negative => "negative",
            Outcome::Indeterminate => "indeterminate",
        };
        let measured = of.map_or(&[][..], |of| &of.measured);
        let measured =
            measured.iter().map(|m| json!({ "quantity": m.quantity.name(), "part": m.part, "values": m.values }));
        let slices = of.map(|of| of.sources.iter().map(|s| s.sop_instance.to_string()).collect::<Vec<_>>());
        json!({
            "uid": finding.uid.as_str(),
            "label": finding.label,
            "code": { "value": finding.code.value },
            "probability": finding.probability,
            "outcome": outcome,
            "region": finding.region.map(|r| json!({ "left": r.left, "top": r.top, "right": r.right, "bottom": r.bottom })),
            "mask": mask,
            "shape": shape,
            "slices": slices,
            "key_slices": keys.iter().map(|(source, _)| source).collect::<Vec<_>>(),
            "heatmaps": heatmaps,
            "measurements": measured.collect::<Vec<_>>(),
        })
    }
}

fn with_ball(seed: u64) -> Scan {
    Scan { ball_mm: Some(BALL), ..scan(seed) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_radiograph_shows_is_in_its_objects() {
    let Some(film) = public("RG1_UNCI.dcm") else { return Tally::skip("third_party/testdata (scripts/setup)") };
    let film = std::fs::read(film).expect("readable");
    let study = "1.3.6.1.4.1.5962.1.2.9.20040826185059.5457";
    let case = Case::of(&root().join("models"), study, vec![film]).await;
    assert!(case.report.findings.iter().any(|finding| finding.outcome != Outcome::Negative));
    case.check(&[Kind::Report, Kind::ParametricMap, Kind::Picture, Kind::Presentation, Kind::KeyObjects]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_series_holds_is_in_its_objects_and_the_same_each_time() {
    let chest = with_ball(31);
    let case = Case::of(&root().join("tests/data/series"), &chest.study, chest.files()).await;
    let (first, second) = (case.objects(Profile::All).await, case.objects(Profile::All).await);
    assert_eq!(first.len(), second.len());
    assert!(first.iter().zip(&second).all(|(a, b)| a.bytes == b.bytes), "the same objects, byte for byte");
    for (profile, name, kinds) in PROFILES {
        let got: BTreeSet<Kind> = case.objects(*profile).await.iter().filter_map(|object| object.kind).collect();
        let wanted: BTreeSet<Kind> = kinds.iter().copied().filter(|kind| *kind != Kind::NotAnalysed).collect();
        assert_eq!(got, wanted, "{name}");
    }
    let all =
        [Kind::Report, Kind::Segmentation, Kind::ParametricMap, Kind::Picture, Kind::Presentation, Kind::KeyObjects];
    case.check(&all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mask_of_a_tilted_gantry_lies_on_its_slices() {
    // The planes lean back by 0.3 rad, the table moves straight: each slice is shifted within its plane.
    let (sine, cosine) = 0.3f64.sin_cos();
    let tilted = Scan { directions: [1.0, 0.0, 0.0, 0.0, cosine, -sine], ..with_ball(32) };
    let files = (0..tilted.slices).map(|index| {
        let mut made = tilted.slice(index);
        let z = tilted.origin_mm[2] + 5.0 * f64::from(index);
        let position = format!("{}\\{}\\{z}", tilted.origin_mm[0], tilted.origin_mm[1]);
        let upright = tilted.place(index);
        made.place = upright;
        made.place.frame = [
            element(0x0020, 0x0013, "IS", index.to_string().as_bytes()),
            element(0x0020, 0x0032, "DS", position.as_bytes()),
            element(0x0020, 0x0037, "DS", format!("1\\0\\0\\0\\{:.6}\\{:.6}", cosine, -sine).as_bytes()),
            element(0x0020, 0x0052, "UI", b"2.25.77"),
        ]
        .concat();
        made.bytes()
    });
    let case = Case::of(&root().join("tests/data/series"), &tilted.study, files.collect()).await;
    assert!(
        case.report.findings.iter().any(|finding| finding.label == "bright_body"),
        "{:?}",
        case.report.not_analysed
    );
    case.check(&[Kind::Report, Kind::Segmentation]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_found_and_what_was_not_analysed_is_said() {
    // A scan without the ball: nothing to find. Beside it a film that no model here reads.
    let empty = scan(33);
    let mut film = cr(96, 80, 33);
    film.study.clone_from(&empty.study);
    film.series = "2.25.4711".to_owned();
    film.sop_instance = "2.25.4711.1".to_owned();
    film.patient_id = format!("PATIENT-OF-{}", empty.study);
    let mut files = empty.files();
    files.push(film.bytes());
    let case = Case::of(&root().join("tests/data/series"), &empty.study, files).await;
    assert!(!case.report.findings.is_empty() && !case.report.not_analysed.is_empty());
    assert!(case.report.findings.iter().all(|finding| finding.outcome == Outcome::Negative));
    let kinds: Vec<_> = case.objects(Profile::All).await.iter().filter_map(|object| object.kind).collect();
    assert!(kinds.iter().all(|kind| matches!(kind, Kind::Report | Kind::NotAnalysed)), "{kinds:?}");
    case.check(&[Kind::Report, Kind::NotAnalysed]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_study_that_nothing_could_read_has_a_document_that_says_so() {
    let mut breast = cr(96, 80, 34);
    breast.modality = "MG".to_owned();
    breast.extra = Vec::new();
    let case = Case::of(&root().join("tests/data/series"), &breast.study, vec![breast.bytes()]).await;
    assert!(case.report.findings.is_empty());
    case.check(&[Kind::NotAnalysed]).await;
}

/// The shipped MR model on a head without a tumour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_shipped_mr_model_says_of_a_head_is_in_its_report() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let folder = shared.join("dicom/series/mr_brain_t1_sag");
    let paths = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("a series").into_path());
    let files: Vec<Vec<u8>> = paths.filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()).collect();
    let first = Instance::read(&files[0].clone().into(), &Limits::default()).expect("readable");
    let study = first.header().study.as_str().to_owned();
    let case = Case::of(&root().join("models"), &study, files).await;
    let labels: Vec<_> = case.report.findings.iter().map(|finding| finding.label.as_str()).collect();
    assert!(labels.contains(&"brain_tumour"), "{labels:?}");
    case.check(&[Kind::Report]).await;
}
