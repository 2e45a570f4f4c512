//! Promise: a model reads the images that its manifest asks for, and for every other one the answer names the clause.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use overread::{
    dicom::{Instance, Limits},
    error::Code,
    model::{Manifest, Rejection, select, select_stack},
    pixel,
};
use support::{
    ct::scan,
    dicom::{Cr, cr, element},
};

const SELECT: &str = r#"[select]
modality = ["CR", "DX"]
body_part = ["CHEST", "THORAX", ""]
view_position = ["PA", "AP", ""]
age_years_min = 18
age_years_max = 90
"#;

/// The test model with the selection of a chest model for adults.
fn outcome(change: impl FnOnce(&mut Cr)) -> Result<(), Rejection> {
    let text = include_str!("data/models/tiny-radiograph/model.toml");
    let text = text.replace("[select]\nmodality = [\"CR\", \"DX\"]\n", SELECT);
    let manifest = Manifest::parse(&text).expect("a manifest");
    let mut image = cr(32, 24, 1);
    change(&mut image);
    let instance = Instance::read(&image.bytes().into(), &Limits::default()).expect("an image");
    select(&manifest.select, instance.header())
}

#[track_caller]
fn check(change: impl FnOnce(&mut Cr), want: Option<(Code, &str)>) {
    match (outcome(change), want) {
        (Ok(()), None) => {}
        (Err(rejection), Some((code, clause))) => {
            assert_eq!((rejection.code, rejection.clause.as_str()), (code, clause))
        }
        (got, want) => panic!("{got:?}, not {want:?}"),
    }
}

#[test]
fn an_image_that_is_asked_for_is_read() {
    check(|_| (), None);
    check(|image| image.body_part = String::new(), None);
    check(|image| image.body_part = "thorax".to_owned(), None);
    check(|image| image.view_position = String::new(), None);
    check(|image| image.age = "018Y".to_owned(), None);
    check(|image| image.age = "090Y".to_owned(), None);
    check(|image| image.age = String::new(), None);
    check(|image| image.photometric = "MONOCHROME1".to_owned(), None);
}

#[test]
fn an_image_that_is_not_is_refused_by_a_named_clause() {
    let modality = "select.modality = [\"CR\", \"DX\"]: the image has \"MG\"";
    check(|image| image.modality = "MG".to_owned(), Some((Code::WrongModality, modality)));
    let body_part = "select.body_part = [\"CHEST\", \"THORAX\", \"\"]: the image has \"HAND\"";
    check(|image| image.body_part = "HAND".to_owned(), Some((Code::WrongBodyPart, body_part)));
    let view = "select.view_position = [\"PA\", \"AP\", \"\"]: the image has \"LL\"";
    check(|image| image.view_position = "LL".to_owned(), Some((Code::WrongView, view)));
    let younger = "select.age_years_min = 18: the patient is younger";
    check(|image| image.age = "017Y".to_owned(), Some((Code::OutOfDistribution, younger)));
    check(|image| image.age = "011M".to_owned(), Some((Code::OutOfDistribution, younger)));
    let older = "select.age_years_max = 90: the patient is older";
    check(|image| image.age = "091Y".to_owned(), Some((Code::OutOfDistribution, older)));
}

#[test]
fn a_clause_does_not_repeat_text_that_may_name_a_patient() {
    let rejection = outcome(|image| image.body_part = "Doe^Jane, left hand".to_owned()).expect_err("no chest");
    assert!(rejection.clause.ends_with("the image has another value"), "{}", rejection.clause);
}

/// What a model with `clauses` says about a CT of 12 slices, 5 mm apart, each changed by the test; those of `without` are not sent.
fn of_series(clauses: &str, without: &[u16], change: impl Fn(&mut Cr)) -> Result<(), Rejection> {
    let text = include_str!("data/series/tiny-slices/model.toml");
    let text = text.replace("slices_min = 4\nslice_spacing_mm = [0.2, 20.0]\n", clauses);
    let manifest = Manifest::parse(&text).expect("a manifest");
    let slice = |index: u16| {
        let mut made = scan(1).slice(index);
        change(&mut made);
        Instance::read(&made.bytes().into(), &Limits::default()).expect("an image").header().clone()
    };
    let headers: Vec<_> = (0..12).filter(|index| !without.contains(index)).map(slice).collect();
    let headers: Vec<_> = headers.iter().collect();
    select_stack(&manifest.select, &pixel::stacks(&headers).stacks[0], &headers)
}

#[track_caller]
fn check_series(clauses: &str, without: &[u16], change: impl Fn(&mut Cr), want: Option<(Code, &str)>) {
    let got = of_series(clauses, without, change).map_err(|rejection| (rejection.code, rejection.clause));
    assert_eq!(got.as_ref().err().map(|(code, clause)| (*code, clause.as_str())), want);
}

/// Puts a Series Description (0008,103E) before the group that follows, and a contrast agent (0018,0010) if told to.
fn described(image: &mut Cr, description: &str, agent: bool) {
    // Group 0020 is the next that a test may fill: elements of lower groups are read wherever they stand.
    let mut more = element(0x0008, 0x103E, "LO", description.as_bytes());
    if agent {
        more.extend(element(0x0018, 0x0010, "LO", b"Iohexol"));
    }
    image.place.frame = [more, image.place.frame.clone()].concat();
}

#[test]
fn each_clause_about_series_is_named_when_it_decides() {
    let few = "select.slices_min = 13: the series has 12";
    check_series("slices_min = 13\n", &[], |_| (), Some((Code::TooFewSlices, few)));
    let apart = "select.slice_spacing_mm = [0, 4]: the slices lie 5.00 mm apart";
    check_series("slice_spacing_mm = [0.0, 4.0]\n", &[], |_| (), Some((Code::OutOfDistribution, apart)));
    let plane = "select.orientation: the slices are axial";
    check_series("orientation = [\"coronal\"]\n", &[], |_| (), Some((Code::WrongView, plane)));
    let derived = "select.derived = \"refuse\": images of the series are derived";
    let made = |image: &mut Cr| image.image_type = "DERIVED\\PRIMARY\\MPR".to_owned();
    check_series("", &[], made, Some((Code::DerivedImage, derived)));
    check_series("derived = \"read\"\n", &[], made, None);
    check_series("orientation = [\"axial\"]\nslices_min = 12\nslice_spacing_mm = [5.0, 5.0]\n", &[], |_| (), None);
}

#[test]
fn slices_may_be_missing_up_to_the_share_that_the_manifest_names() {
    // Three of twelve between the first and the last.
    let without = [3, 4, 8];
    check_series("", &without, |_| (), None);
    check_series("missing_max = 0.25\n", &without, |_| (), None);
    let clause = "select.missing_max = 0.2: 3 of 12 slices are missing";
    check_series("missing_max = 0.2\n", &without, |_| (), Some((Code::SlicesMissing, clause)));
    check_series("missing_max = 0.0\n", &[], |_| (), None);
}

#[test]
fn a_description_is_matched_and_never_repeated() {
    let lung = |image: &mut Cr| described(image, "THORAX lung 1.0 of Doe^Jane", false);
    check_series("description = [\"lung\", \"soft\"]\n", &[], lung, None);
    let none = "select.description: no pattern is in the series' description";
    check_series("description = [\"bone\"]\n", &[], lung, Some((Code::WrongView, none)));
    let not = "select.description_not: \"^thorax\" is in the series' description";
    check_series("description_not = [\"^thorax\"]\n", &[], lung, Some((Code::WrongView, not)));
}

#[test]
fn a_contrast_agent_decides_where_it_is_asked_about() {
    for agent in [false, true] {
        let change = |image: &mut Cr| described(image, "", agent);
        let with = "select.contrast = \"with\": no agent is named";
        check_series("contrast = \"with\"\n", &[], change, (!agent).then_some((Code::OutOfDistribution, with)));
        let without = "select.contrast = \"without\": an agent is named";
        check_series("contrast = \"without\"\n", &[], change, agent.then_some((Code::OutOfDistribution, without)));
    }
}
