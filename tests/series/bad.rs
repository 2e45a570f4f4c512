//! Series that are no use, through the real server: each gets findings or a code, quickly and in bounded memory, and the rest of its
//! study goes on.
use std::{collections::BTreeMap, time::Instant};

use overread::{error::Code, finding::Report, gate::grpc::client::Client};

use super::{
    BALL, analyze, models, report,
    support::{
        ct::{Scan, scan},
        dicom::{element_header, item, part10},
        server::{self, ServerProcess},
    },
};

const STUDY: &str = "2.25.4711";
/// What is wrong in one study may cost this much more memory than a study of one good series, bytes.
const MORE_BYTES_MAX: u64 = 256 << 20;
/// Longest that a study of bad series may take, on a machine that does other things too.
const SECONDS_MAX: u64 = 120;

/// Series `number` of the study: good, but for what the test changes.
fn series(number: u64) -> Scan {
    Scan { study: STUDY.to_owned(), ..scan(number) }
}

/// The files of a series, each slice changed by the test.
fn changed(scan: &Scan, change: impl Fn(u16, &mut super::support::dicom::Cr)) -> Vec<Vec<u8>> {
    let made = |index| {
        let mut slice = scan.slice(index);
        change(index, &mut slice);
        slice.bytes()
    };
    (0..scan.slices).map(made).collect()
}

/// Peak resident bytes of the server so far. `None` where /proc does not tell.
fn peak(process: &ServerProcess) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Codes by series, as far as something was said of them, and the series in which something was found.
fn outcome(report: &Report) -> (BTreeMap<String, Code>, Vec<String>) {
    let said = report.not_analysed.iter().map(|entry| (entry.subject.to_string().replace("series ", ""), entry.code));
    let mut read: Vec<String> =
        report.findings.iter().filter_map(|finding| Some(finding.of_series.as_ref()?.series.to_string())).collect();
    read.sort();
    read.dedup();
    (said.collect(), read)
}

/// All files of a study of 41 series; the codes of those with something wrong; the three in which a model finds something to read.
fn bad_study() -> (Vec<Vec<u8>>, BTreeMap<String, Code>, Vec<String>) {
    let (mut files, mut codes) = (Vec::new(), BTreeMap::new());
    let mut add = |scan: &Scan, own: Vec<Vec<u8>>, code: Code| {
        files.extend(own);
        codes.insert(scan.series.clone(), code);
    };
    let one = Scan { slices: 1, ..series(1) };
    add(&one, one.files(), Code::TooFewSlices);
    let twice = Scan { slices: 2, spacing_mm: [0.0, 2.0, 2.0], ..series(2) };
    add(&twice, twice.files(), Code::GeometryInconsistent);
    let askew = Scan { directions: [1.0, 0.0, 0.0, 0.6, 0.8, 0.0], ..series(3) };
    add(&askew, askew.files(), Code::GeometryInconsistent);
    let flat = Scan { spacing_mm: [5.0, 0.0, 2.0], ..series(4) };
    add(&flat, flat.files(), Code::GeometryInconsistent);
    let unsaid = series(5);
    add(&unsaid, changed(&unsaid, |_, made| made.place.spacing.clear()), Code::GeometryInconsistent);
    // 40 series of which one fits: 33 more that do not.
    for number in 10..43 {
        let knee = Scan { body_part: "KNEE".to_owned(), slices: 4, ..series(number) };
        add(&knee, knee.files(), Code::WrongBodyPart);
    }
    // Two that are half good: eight slices of one size and four of another, every other image a secondary capture.
    let (mixed, small) = (series(6), Scan { rows: 32, columns: 32, ..series(6) });
    files.extend((0..12).map(|index| if index < 8 { mixed.slice(index).bytes() } else { small.slice(index).bytes() }));
    let half = series(7);
    let captured = changed(&half, |index, made| {
        if index % 2 == 1 {
            made.sop_class = "1.2.840.10008.5.1.4.1.1.7".to_owned();
            made.image_type = "DERIVED\\SECONDARY".to_owned();
            made.place = Default::default();
        }
    });
    files.extend(captured);
    // A secondary capture says nothing of where it lies.
    codes.insert(half.series.clone(), Code::GeometryInconsistent);
    let good = Scan { ball_mm: Some(BALL), ..series(8) };
    files.extend(good.files());
    let mut read = vec![mixed.series, half.series, good.series];
    read.sort();
    (files, codes, read)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_series_gets_its_code_and_the_good_ones_beside_it_are_read() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let process = server::start(&home.path().join("data"), &models(), &[]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    analyze(&client, Scan { ball_mm: Some(BALL), ..scan(9) }.files()).await;
    let (before, began) = (peak(&process), Instant::now());
    let (files, codes, read) = bad_study();
    analyze(&client, files).await;
    let report = report(&client, STUDY).await;
    let took = began.elapsed();
    assert_eq!(outcome(&report), (codes, read), "{:?}", report.not_analysed);
    let found = |finding: &&overread::finding::Finding| finding.outcome == overread::finding::Outcome::Positive;
    assert_eq!(report.findings.iter().filter(found).count(), 2, "both models see the ball of the good series alone");
    assert!(took.as_secs() < SECONDS_MAX, "{took:?}");
    if let (Some(before), Some(after)) = (before, peak(&process)) {
        assert!(after - before < MORE_BYTES_MAX, "{before} bytes before, {after} after");
    }
    assert!(process.terminate().success());
}

/// A slice of 512 x 512 without its compressed pixels: it must be refused for its header.
fn hollow(scan: &Scan, index: u16) -> Vec<u8> {
    let mut made = Scan { rows: 1, columns: 1, ..scan.clone() }.slice(index);
    (made.rows, made.columns) = (512, 512);
    let mut dataset = made.header();
    dataset.extend(element_header(0x7FE0, 0x0010, "OB", u32::MAX));
    dataset.extend([item(0xE000, 0), item(0xE000, 2), vec![0, 0], item(0xE0DD, 0)].concat());
    part10("1.2.840.10008.1.2.5", &made.sop_class, &made.sop_instance, &dataset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_slices_are_refused_for_their_size_and_their_neighbour_is_read() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let process = server::start(&home.path().join("data"), &models(), &[]);
    let client = Client::connect(&process.url).await.expect("the server answers");
    analyze(&client, Scan { ball_mm: Some(BALL), ..scan(9) }.files()).await;
    let before = peak(&process);
    let long = Scan { slices: 5000, spacing_mm: [0.5, 0.7, 0.7], ..series(1) };
    let good = Scan { ball_mm: Some(BALL), ..series(2) };
    let files = (0..long.slices).map(|index| hollow(&long, index)).chain(good.files()).collect();
    analyze(&client, files).await;
    let report = report(&client, STUDY).await;
    let codes = BTreeMap::from([(long.series, Code::TooLarge)]);
    assert_eq!(outcome(&report), (codes, vec![good.series]));
    assert!(report.not_analysed[0].detail.contains("5000 x 512 x 512"), "{}", report.not_analysed[0].detail);
    if let (Some(before), Some(after)) = (before, peak(&process)) {
        assert!(after - before < MORE_BYTES_MAX, "{before} bytes before, {after} after");
    }
    assert!(process.terminate().success());
}
