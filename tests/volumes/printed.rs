//! `overread inspect --stage volume` for people, its NIfTI, and its exit status.
use std::path::Path;
use std::process::{Command, Output};

use crate::made::{Slice, decimals, series};

fn inspect(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overread"));
    command.args(["inspect", "--stage", "volume"]).arg(folder).args(more).output().unwrap()
}

fn written(slices: &[Slice]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, slice) in slices.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{:02}.dcm", (index * 7) % 31)), slice.bytes()).unwrap();
    }
    folder
}

#[test]
fn people_read_where_a_volume_lies_what_it_holds_and_what_is_left_out() {
    let mut slices = series(6);
    slices.remove(3);
    slices[0].image.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER".into();
    let folder = written(&slices);
    let output = inspect(folder.path(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for words in [
        "4 slices of 4 x 5, axial; 2.000 mm between slices, 0.500 x 0.750 mm in them",
        "values 100 to 519, mean 309.5; sha256 ",
        "missing_slices: Gaps are whole multiples",
        "left out 1 of series 2.25.2000077: WRONG_VIEW",
        "volumes: 1; left out: 1",
    ] {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[test]
fn a_folder_without_a_volume_ends_with_the_status_of_a_refusal() {
    let mut slices = series(2);
    slices.iter_mut().for_each(|slice| slice.position = None);
    assert_eq!(inspect(written(&slices).path(), &["--json"]).status.code(), Some(3));
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(inspect(empty.path(), &[]).status.code(), Some(1));
    assert_eq!(inspect(&empty.path().join("nowhere"), &[]).status.code(), Some(2));
    assert_eq!(inspect(written(&series(2)).path(), &["--png", "x.png"]).status.code(), Some(2));
}

fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

/// Offsets: nifti1.h. Also read back by nibabel 5.4.2 when this was written: the same affine and values.
#[test]
fn the_nifti_holds_the_values_and_the_affine_in_ras() {
    let mut slices = series(3);
    // A tilted gantry: the origin moves along the columns.
    for (k, slice) in slices.iter_mut().enumerate() {
        slice.position = Some(decimals(&[-100.0, -80.0 + 0.25 * k as f64, 2.0 * k as f64 - 40.0]));
    }
    let folder = written(&slices);
    let file = folder.path().join("out.nii");
    let output = inspect(folder.path(), &["--nii", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(bytes.len(), 352 + 3 * 4 * 5 * 4);
    assert_eq!((i32::from_le_bytes(bytes[..4].try_into().unwrap()), &bytes[344..348]), (348, &b"n+1\0"[..]));
    let sides: Vec<i16> = (0..4).map(|side| i16_at(&bytes, 40 + 2 * side)).collect();
    assert_eq!((sides, i16_at(&bytes, 70), i16_at(&bytes, 72)), (vec![3, 5, 4, 3], 16, 32));
    assert_eq!((f32_at(&bytes, 108), f32_at(&bytes, 112), bytes[123], i16_at(&bytes, 254)), (352.0, 1.0, 2, 1));
    let sform: Vec<f32> = (0..12).map(|number| f32_at(&bytes, 280 + 4 * number)).collect();
    let want = [-0.75, 0.0, 0.0, 100.0, 0.0, -0.5, -0.25, 80.0, 0.0, 0.0, 2.0, -40.0];
    assert!(sform.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{sform:?}");
    let values: Vec<f32> = (0..60).map(|voxel| f32_at(&bytes, 352 + 4 * voxel)).collect();
    let want: Vec<f32> = (0..3).flat_map(|k| (0..20).map(move |pixel| (100 * k + pixel) as f32)).collect();
    assert_eq!(values, want);
}

#[test]
fn several_volumes_are_several_files() {
    let mut slices = series(4);
    for (index, slice) in slices.iter_mut().enumerate().skip(2) {
        slice.image.series = "2.25.5".into();
        slice.image.sop_instance += &format!(".{index}");
    }
    let folder = written(&slices);
    let out = tempfile::tempdir().unwrap();
    let output = inspect(folder.path(), &["--json", "--nii", out.path().join("out.nii").to_str().unwrap()]);
    assert!(output.status.success());
    let mut names: Vec<_> = std::fs::read_dir(out.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["out-1.nii", "out-2.nii"]);
}
