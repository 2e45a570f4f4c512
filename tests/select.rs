//! Promise: a model reads the images that its manifest asks for, and for every other one the answer names the clause.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use overread::{
    dicom::{Instance, Limits},
    error::Code,
    model::{Manifest, Rejection, select},
};
use support::dicom::{Cr, cr};

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
