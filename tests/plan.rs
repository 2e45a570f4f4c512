//! The promise: of a study with many series, each model reads the one that fits, and every other one gets one coded reason.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use std::{path::Path, time::Instant};

use overread::{
    dicom::{Header, Instance, Limits},
    error::{Code, Subject},
    model::{self, Model},
    study::{Plan, plan},
};
use support::{
    ct::{Scan, scan},
    dicom::{Cr, cr, element_header, item, part10},
};

/// The test models of all three kinds.
fn models() -> Vec<Model> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folders = ["models/tiny-radiograph", "series/tiny-slices", "series/tiny-volume"];
    folders.iter().map(|folder| model::open(&data.join(folder)).expect("a test model")).collect()
}

fn header(bytes: Vec<u8>) -> Header {
    Instance::read(&bytes.into(), &Limits::default()).expect("an image").header().clone()
}

fn headers(scan: &Scan) -> Vec<Header> {
    scan.files().into_iter().map(header).collect()
}

fn planned(headers: &[Header]) -> Plan {
    let models = models();
    let (models, headers): (Vec<&Model>, Vec<&Header>) = (models.iter().collect(), headers.iter().collect());
    let forward = plan(&models, &headers);
    let backward = plan(&models, &headers.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(forward, backward, "the order in which headers come must not matter");
    forward
}

/// Which models read, and what is said of the rest.
#[track_caller]
fn check(headers: &[Header], reads: &[&str], reasons: &[(Code, Subject)]) {
    let plan = planned(headers);
    let models: Vec<&str> = plan.targets.iter().map(|target| target.model.as_str()).collect();
    assert_eq!(models, reads, "{:?}", plan.not_analysed);
    let said: Vec<_> = plan.not_analysed.iter().map(|entry| (entry.code, entry.subject.clone())).collect();
    assert_eq!(said, reasons, "{:?}", plan.not_analysed);
}

fn of(scan: &Scan) -> Subject {
    Subject::Series(scan.series.clone())
}

const BOTH: [&str; 2] = ["tiny-slices", "tiny-volume"];

#[test]
fn a_series_that_fits_is_read_by_the_models_that_read_series() {
    let chest = scan(1);
    let plan = planned(&headers(&chest));
    assert_eq!(plan.targets.iter().map(|target| target.model.as_str()).collect::<Vec<_>>(), BOTH);
    for target in &plan.targets {
        assert_eq!((target.instances.len(), target.volumes.len()), (12, 1));
        assert_eq!((target.volumes[0].series.as_str(), target.volumes[0].index), (chest.series.as_str(), 0));
    }
    assert_eq!(plan.not_analysed, []);
    // A decision a model, not one a slice.
    assert_eq!(plan.clauses.len(), 3);
}

#[test]
fn of_40_series_the_one_that_fits_is_read_and_each_other_one_has_one_reason() {
    let mut all = Vec::new();
    let mut wanted = Vec::new();
    for number in 0..40u64 {
        let mut series = scan(number);
        (series.study, series.slices) = ("2.25.40".to_owned(), 6);
        let code = match number {
            17 => None,
            0..10 => {
                series.modality = "MR".to_owned();
                Some(Code::NoModelApplies)
            }
            10..20 => {
                series.body_part = "KNEE".to_owned();
                Some(Code::WrongBodyPart)
            }
            20..30 => {
                series.slices = 3;
                Some(Code::TooFewSlices)
            }
            _ => {
                series.spacing_mm[0] = 50.0;
                Some(Code::OutOfDistribution)
            }
        };
        wanted.extend(code.map(|code| (code, of(&series))));
        all.extend(headers(&series));
    }
    wanted.sort_by_key(|(_, subject)| subject.to_string());
    check(&all, &BOTH, &wanted);
}

#[test]
fn a_radiograph_and_a_scan_in_one_study_go_each_to_their_models() {
    let mut film = cr(64, 64, 7);
    let chest = scan(7);
    film.study.clone_from(&chest.study);
    let all = [headers(&chest), vec![header(film.bytes())]].concat();
    check(&all, &["tiny-radiograph", "tiny-slices", "tiny-volume"], &[]);
}

#[test]
fn images_of_one_series_that_nobody_reads_for_one_reason_are_told_together() {
    let mut lateral = cr(64, 64, 1);
    let mut other = cr(64, 64, 2);
    other.series.clone_from(&lateral.series);
    for film in [&mut lateral, &mut other] {
        film.modality = "MG".to_owned();
    }
    let series = Subject::Series(lateral.series.clone());
    check(&[header(lateral.bytes()), header(other.bytes())], &[], &[(Code::NoModelApplies, series)]);
    check(&[header(lateral.bytes())], &[], &[(Code::NoModelApplies, Subject::Instance(lateral.sop_instance.clone()))]);
}

/// A series whose slices were changed one by one.
fn changed(scan: &Scan, change: impl Fn(u16, &mut Cr)) -> Vec<Header> {
    let slice = |index| {
        let mut made = scan.slice(index);
        change(index, &mut made);
        header(made.bytes())
    };
    (0..scan.slices).map(slice).collect()
}

#[test]
fn a_series_that_is_no_volume_is_refused_with_the_reason() {
    let one = Scan { slices: 1, ..scan(1) };
    check(&headers(&one), &[], &[(Code::TooFewSlices, of(&one))]);
    let two = Scan { slices: 2, ..scan(1) };
    let at_one_place = changed(&two, |_, made| made.place = two.place(0));
    check(&at_one_place, &[], &[(Code::GeometryInconsistent, of(&two))]);
    let askew = Scan { directions: [1.0, 0.0, 0.0, 0.3, 0.8, 0.0], ..scan(1) };
    check(&headers(&askew), &[], &[(Code::GeometryInconsistent, of(&askew))]);
    let flat = Scan { spacing_mm: [5.0, 0.0, 2.0], ..scan(1) };
    check(&headers(&flat), &[], &[(Code::GeometryInconsistent, of(&flat))]);
    let nowhere = scan(1);
    check(&changed(&nowhere, |_, made| made.place.spacing.clear()), &[], &[(Code::GeometryInconsistent, of(&nowhere))]);
    check(&changed(&nowhere, |_, made| made.place.frame.clear()), &[], &[(Code::GeometryInconsistent, of(&nowhere))]);
}

#[test]
fn what_belongs_to_a_series_is_read_and_what_does_not_is_said_once() {
    let chest = scan(1);
    let half = changed(&chest, |index, made| {
        if index % 2 == 1 {
            made.sop_class = "1.2.840.10008.5.1.4.1.1.7".to_owned();
            made.image_type = "DERIVED\\SECONDARY".to_owned();
            made.place = Default::default();
        }
    });
    let plan = planned(&half);
    assert_eq!(plan.targets.len(), 2);
    assert_eq!(plan.targets[0].instances.len(), 6);
    assert_eq!(plan.not_analysed.len(), 1, "{:?}", plan.not_analysed);
    assert_eq!(plan.not_analysed[0].subject, of(&chest));
    assert!(plan.not_analysed[0].detail.starts_with("6 of 12 images: "), "{}", plan.not_analysed[0].detail);
    let scout = changed(&chest, |index, made| {
        if index == 3 {
            made.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER".to_owned();
        }
    });
    check(&scout, &BOTH, &[(Code::WrongView, Subject::Instance(chest.slice(3).sop_instance))]);
}

#[test]
fn slices_of_two_sizes_are_two_volumes_and_both_are_weighed() {
    let chest = scan(1);
    let small = Scan { rows: 32, columns: 32, ..scan(1) };
    let mixed = (0..12).map(|index| header(if index < 8 { chest.slice(index) } else { small.slice(index) }.bytes()));
    let plan = planned(&mixed.collect::<Vec<_>>());
    let read: Vec<_> = plan.targets.iter().map(|target| target.volumes.len()).collect();
    assert_eq!(read, [2, 2], "8 slices of 64 x 64, 4 of 32 x 32: {:?}", plan.not_analysed);
}

/// A slice of 512 x 512 whose compressed pixels are not there: the header is all that a plan reads.
fn hollow(scan: &Scan, index: u16) -> Header {
    let made = Scan { rows: 1, columns: 1, ..scan.clone() }.slice(index);
    let mut wide = made.clone();
    (wide.rows, wide.columns) = (512, 512);
    let mut dataset = wide.header();
    dataset.extend(element_header(0x7FE0, 0x0010, "OB", u32::MAX));
    dataset.extend([item(0xE000, 0), item(0xE000, 2), vec![0, 0], item(0xE0DD, 0)].concat());
    header(part10("1.2.840.10008.1.2.5", &made.sop_class, &made.sop_instance, &dataset))
}

#[test]
fn a_series_beyond_the_memory_for_a_volume_is_refused_before_a_pixel_is_read() {
    let long = Scan { slices: 5000, spacing_mm: [0.5, 0.7, 0.7], ..scan(1) };
    let headers: Vec<Header> = (0..long.slices).map(|index| hollow(&long, index)).collect();
    let began = Instant::now();
    check(&headers, &[], &[(Code::TooLarge, of(&long))]);
    assert!(began.elapsed().as_secs() < 20, "{:?} for 5,000 headers, twice", began.elapsed());
}
