//! Bad series: each becomes volumes with warnings, or codes, without a pixel being read in vain.
use overread::dicom::{Decoder, Header, Instance, Limits};
use overread::error::{Code, Subject};
use overread::pixel::{Grid, stacks, volume};

use crate::made::{Slice, decimals, left_out, load, order, series, slice, stacked, warnings};
use crate::support::dicom::{element, element_header, item};

#[test]
fn slices_lie_where_their_positions_say_whatever_their_names_and_numbers() {
    let slices = series(6);
    let sorted = stacked(&slices);
    assert_eq!(
        sorted,
        stacked(&slices.iter().rev().cloned().collect::<Vec<_>>()),
        "the order that they came in counts"
    );
    let [stack] = &sorted.stacks[..] else { panic!("{} volumes", sorted.stacks.len()) };
    assert_eq!(order(stack), slices.iter().map(Slice::uid).collect::<Vec<_>>());
    assert_eq!((stack.size, stack.spacing), ([6, 4, 5], [2.0, 0.5, 0.75]));
    assert_eq!(stack.affine.rows, [[0.75, 0.0, 0.0, -100.0], [0.0, 0.5, 0.0, -80.0], [0.0, 0.0, 2.0, -40.0]]);
    assert!(stack.warnings.is_empty() && sorted.left_out.is_empty());
    let volume = load(&slices, stack).unwrap();
    assert!(volume.values.indexed_iter().all(|((k, j, i), v)| *v == (100 * k + 5 * j + i) as f32));
    assert_eq!(volume.padding, None);
}

#[test]
fn padding_is_a_mask_and_keeps_its_value() {
    let mut slices = series(3);
    slices[1].extra = element(0x0028, 0x0120, "US", &103u16.to_le_bytes());
    let volume = load(&slices, &stacked(&slices).stacks[0]).unwrap();
    let pads: Vec<_> =
        volume.padding.as_ref().unwrap().indexed_iter().filter(|(_, pads)| **pads).map(|(at, _)| at).collect();
    assert_eq!(pads, [(1, 0, 3)]);
    assert_eq!(volume.values[(1, 0, 3)], 103.0);
}

#[test]
fn one_slice_is_a_volume_that_cannot_be_resampled() {
    let slices = series(1);
    let sorted = stacked(&slices);
    let stack = &sorted.stacks[0];
    assert_eq!((warnings(stack), stack.spacing[0], stack.refusal()), (vec!["single_slice"], 0.0, None));
    let volume = load(&slices, stack).unwrap();
    let grid = stack.grid().with_spacing([1.0, 1.0, 1.0]);
    assert_eq!(volume.resample(&grid, 0.0, 1).unwrap_err().code, Code::GeometryInconsistent);
    // A point off the slice belongs to its foot.
    let foot = stack.to_voxel([-100.0 + 0.75, -80.0 + 1.5, 99.0]);
    assert!((foot[0] - 1.0).abs() < 1e-9 && (foot[1] - 3.0).abs() < 1e-9 && foot[2] == 0.0, "{foot:?}");
}

#[test]
fn two_slices_at_one_position_are_no_volume_and_the_lower_number_stays() {
    let mut slices = vec![slice(3), slice(4)];
    slices[1].position = slices[0].position.clone();
    let sorted = stacked(&slices);
    assert_eq!(warnings(&sorted.stacks[0]), ["duplicate_positions", "not_a_volume"]);
    assert_eq!(sorted.stacks[0].refusal(), Some(Code::GeometryInconsistent));
    assert_eq!(order(&sorted.stacks[0]), [slices[1].uid()], "Instance Numbers fall here");
    assert_eq!(left_out(&sorted), [(slices[0].uid(), "GEOMETRY_INCONSISTENT")]);
}

/// Copies of one number: which stays must not depend on which came first.
#[test]
fn of_copies_with_one_number_always_the_same_stays() {
    let mut slices = series(3);
    slices.push(slices[1].clone());
    slices[3].image.sop_instance = "2.25.1".into();
    let kept = |slices: &[Slice]| stacked(slices).stacks[0].sources[1].sop_instance.as_str().to_owned();
    assert_eq!(kept(&slices), slices[1].uid());
    slices.swap(1, 3);
    assert_eq!(kept(&slices), slices[3].uid());
}

#[test]
fn a_copy_within_a_series_costs_itself_alone() {
    let mut slices = series(6);
    slices.push(slice(9));
    slices[6].position = slices[2].position.clone();
    let sorted = stacked(&slices);
    assert_eq!((sorted.stacks.len(), sorted.stacks[0].size[0]), (1, 6));
    assert_eq!(warnings(&sorted.stacks[0]), ["duplicate_positions"]);
    assert_eq!(left_out(&sorted), [(slices[2].uid(), "GEOMETRY_INCONSISTENT")]);
}

/// The slice that `spoil` was given is left out as one without a place; the others are a volume that says so.
#[track_caller]
fn check_without_place(spoil: impl Fn(&mut Slice)) {
    let mut slices = series(5);
    spoil(&mut slices[4]);
    let sorted = stacked(&slices);
    assert_eq!((sorted.stacks.len(), sorted.stacks[0].size[0]), (1, 4));
    assert_eq!(warnings(&sorted.stacks[0]), ["missing_geometry"]);
    assert_eq!(left_out(&sorted), [(slices[4].uid(), "GEOMETRY_INCONSISTENT")]);
}

#[test]
fn a_slice_whose_place_is_not_said_or_cannot_be_is_left_out() {
    check_without_place(|slice| slice.position = None);
    check_without_place(|slice| slice.position = Some("1\\2".into()));
    check_without_place(|slice| slice.position = Some("1\\2\\NaN".into()));
    check_without_place(|slice| slice.position = Some("1\\2\\1e300".into()));
    check_without_place(|slice| slice.orientation = None);
    check_without_place(|slice| slice.orientation = Some("1\\0\\0\\1\\0\\0".into()));
    check_without_place(|slice| slice.orientation = Some("1\\0\\0\\0.1\\0.995\\0".into()));
    check_without_place(|slice| slice.orientation = Some("0\\0\\0\\0\\1\\0".into()));
    check_without_place(|slice| slice.orientation = Some("2\\0\\0\\0\\2\\0".into()));
    check_without_place(|slice| slice.orientation = Some("NaN\\0\\0\\0\\1\\0".into()));
    check_without_place(|slice| slice.spacing = None);
    check_without_place(|slice| slice.spacing = Some("0\\0".into()));
    check_without_place(|slice| slice.spacing = Some("0.5\\-0.5".into()));
}

#[test]
fn rounded_cosines_are_still_an_orientation() {
    let mut slices = series(4);
    slices.iter_mut().for_each(|slice| slice.orientation = Some("0.999\\0.001\\0\\0\\1\\0.002".into()));
    assert_eq!(stacked(&slices).stacks.len(), 1);
}

#[test]
fn sizes_that_differ_are_volumes_of_their_own() {
    let mut slices = series(9);
    for slice in &mut slices[6..] {
        (slice.image.rows, slice.image.columns) = (5, 4);
    }
    let sorted = stacked(&slices);
    let sizes: Vec<_> = sorted.stacks.iter().map(|stack| stack.size).collect();
    assert_eq!(sizes, [[6, 4, 5], [3, 5, 4]]);
    assert!(sorted.stacks.iter().all(|stack| warnings(stack) == ["inconsistent_size"]));
    assert!(sorted.stacks.iter().all(|stack| load(&slices, stack).is_ok()));
    // The same number of pixels, but not as large.
    let mut zoomed = series(9);
    zoomed[6..].iter_mut().for_each(|slice| slice.spacing = Some("0.6\\0.9".into()));
    assert_eq!(stacked(&zoomed).stacks.len(), 2);
}

/// Half CT, half secondary capture: as the captures come in the field, and as they may.
#[test]
fn captures_among_slices_are_left_out_with_what_is_wrong_with_them() {
    let capture = |spoil: &dyn Fn(&mut Slice)| {
        let mut slices = series(8);
        for slice in &mut slices[4..] {
            slice.image.sop_class = "1.2.840.10008.5.1.4.1.1.7".into();
            spoil(slice);
        }
        let sorted = stacked(&slices);
        assert_eq!((sorted.stacks.len(), order(&sorted.stacks[0]).len(), sorted.left_out.len()), (1, 4, 4));
        sorted.left_out[0].1
    };
    assert_eq!(capture(&|slice| slice.position = None), Code::GeometryInconsistent);
    assert_eq!(capture(&|_| {}), Code::DerivedImage);
    assert_eq!(capture(&|slice| slice.image.photometric = "PALETTE COLOR".into()), Code::PixelLayoutInvalid);
}

#[test]
fn derived_images_are_left_out_of_originals_and_taken_among_themselves() {
    let mut slices = series(6);
    slices[0].image.image_type = "DERIVED\\SECONDARY\\MIP".into();
    let sorted = stacked(&slices);
    assert_eq!((order(&sorted.stacks[0]).len(), left_out(&sorted)), (5, vec![(slices[0].uid(), "DERIVED_IMAGE")]));
    slices.iter_mut().for_each(|slice| slice.image.image_type = "DERIVED\\SECONDARY\\REFORMATTED".into());
    assert_eq!(order(&stacked(&slices).stacks[0]).len(), 6);
}

#[test]
fn a_localizer_is_left_out() {
    let mut slices = series(4);
    slices[1].image.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER".into();
    let sorted = stacked(&slices);
    assert_eq!(left_out(&sorted), [(slices[1].uid(), "WRONG_VIEW")]);
    // What is left has lost a slice.
    assert_eq!(warnings(&sorted.stacks[0]), ["localizer", "missing_slices"].map(|name| name).to_vec());
}

#[test]
fn many_frames_without_a_place_each_are_told_in_one_line() {
    let mut slices = series(1);
    slices[0].extra = element(0x0028, 0x0008, "IS", b"2");
    slices[0].image.pixels = vec![7; 40];
    let sorted = stacked(&slices);
    assert!(sorted.stacks.is_empty());
    assert_eq!(left_out(&sorted), [(slices[0].uid(), "GEOMETRY_INCONSISTENT")]);
}

/// Slices of 512 x 512 whose pixels nobody should ask for: a codestream that no decoder takes.
fn large(index: u32) -> Slice {
    let mut large = slice(0);
    (large.image.rows, large.image.columns) = (512, 512);
    large.image.sop_instance = format!("2.25.{}", 70_000 + index);
    large.position = Some(decimals(&[-100.0, -80.0, f64::from(index) * 0.3]));
    large
}

fn header_of(slice: &Slice) -> Header {
    let empty = [item(0xE000, 0), item(0xE000, 2), vec![1, 2], item(0xE0DD, 0)].concat();
    let pixels = [element_header(0x7FE0, 0x0010, "OB", u32::MAX), empty].concat();
    let bytes = slice.bytes_with("1.2.840.10008.1.2.4.80", &pixels);
    Instance::read(&bytes.into(), &Limits::default()).unwrap().header().clone()
}

#[test]
fn a_series_of_5000_slices_is_beyond_the_budget_before_one_of_them_is_read() {
    let headers: Vec<Header> = (0..5000).map(|index| header_of(&large(index))).collect();
    let sorted = stacks(&headers.iter().collect::<Vec<_>>());
    assert_eq!((sorted.stacks.len(), sorted.stacks[0].size), (1, [5000, 512, 512]));
    let error = volume(&Decoder::in_process(), &sorted.stacks[0], |_| panic!("a slice was read"), 2).unwrap_err();
    assert_eq!(error.code, Code::TooLarge);
    assert_eq!(error.subject, Subject::Series(sorted.stacks[0].series.as_str().to_owned()));
}

#[test]
fn a_slice_that_cannot_be_decoded_is_named() {
    let headers: Vec<Header> = (0..3).map(|index| header_of(&large(index))).collect();
    let sorted = stacks(&headers.iter().collect::<Vec<_>>());
    let stack = &sorted.stacks[0];
    let empty = [item(0xE000, 0), item(0xE000, 2), vec![1, 2], item(0xE0DD, 0)].concat();
    let pixels = [element_header(0x7FE0, 0x0010, "OB", u32::MAX), empty].concat();
    let read = |uid: &overread::uid::Uid| {
        let index = headers.iter().position(|header| header.sop_instance == *uid).unwrap() as u32;
        let bytes = large(index).bytes_with("1.2.840.10008.1.2.4.80", &pixels);
        Ok(std::sync::Arc::new(Instance::read(&bytes.into(), &Limits::default())?))
    };
    for threads in [1, 3] {
        let error = volume(&Decoder::in_process(), stack, read, threads).unwrap_err();
        assert_eq!(error.code, Code::DecodeFailed);
        // Always that of the first slice, whichever thread failed first.
        assert_eq!(error.subject, Subject::Instance(stack.sources[0].sop_instance.as_str().to_owned()));
    }
}

/// One slice a kilometre away asks for a grid of half a million slices.
#[test]
fn a_slice_far_off_does_not_fill_the_memory() {
    let mut slices = series(8);
    slices[7].position = Some(decimals(&[-100.0, -80.0, 1_000_000.0]));
    slices
        .iter_mut()
        .for_each(|slice| (slice.image.rows, slice.image.columns, slice.image.pixels) = (64, 64, vec![1; 4096]));
    let sorted = stacked(&slices);
    let stack = &sorted.stacks[0];
    assert_eq!(stack.grid().size, [500_021, 64, 64]);
    let volume = load(&slices, stack).unwrap();
    assert_eq!(volume.evened(1).unwrap_err().code, Code::TooLarge);
    assert_eq!(
        volume.resample(&Grid { size: [4, 4, 4], affine: stack.affine }, 0.0, 1).unwrap_err().code,
        Code::TooLarge
    );
}

#[test]
fn more_orientations_than_any_series_has_are_left_out() {
    let turned = |index: u32| {
        let angle = f64::from(index) * 0.012;
        let mut turned = slice(0);
        turned.image.sop_instance = format!("2.25.{}", 80_000 + index);
        turned.orientation = Some(decimals(&[angle.cos(), angle.sin(), 0.0, -angle.sin(), angle.cos(), 0.0]));
        turned
    };
    let sorted = stacked(&(0..400).map(turned).collect::<Vec<_>>());
    let held: usize = sorted.stacks.iter().map(|stack| stack.sources.len()).sum();
    assert!(sorted.stacks.len() > 50 && held + sorted.left_out.len() == 400, "{} volumes", sorted.stacks.len());
}
