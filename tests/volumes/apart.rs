//! Positions that repeat: split by what tells the copies apart, multi-frame objects like single-frame ones.
use overread::dicom::{Instance, Limits};
use overread::pixel::{SliceSource, Stacks, stacks};

use crate::made::{Slice, decimals, order, series, slice, stacked, warnings};
use crate::support::dicom::{element, element_header, item};

type Mark = fn(usize) -> Vec<u8>;

fn text(group: u16, number: u16, vr: &str, value: &str) -> Vec<u8> {
    element(group, number, vr, value.as_bytes())
}

/// `copies` of a series of 4 slices, the `n`-th marked by `mark`.
fn copies(copies: usize, mark: Mark) -> Vec<Slice> {
    let marked = (0..copies).flat_map(|n| {
        series(4).into_iter().map(move |mut slice| {
            slice.image.sop_instance += &format!(".{n}");
            slice.extra = mark(n);
            slice
        })
    });
    marked.collect()
}

#[track_caller]
fn check_split(sorted: &Stacks, slices: &[Slice], volumes: usize, defect: &str) {
    assert_eq!(sorted.stacks.len(), volumes);
    for (n, stack) in sorted.stacks.iter().enumerate() {
        assert_eq!(warnings(stack), [defect]);
        let want: Vec<&str> = slices[4 * n..4 * n + 4].iter().map(Slice::uid).collect();
        assert_eq!(order(stack), want, "volume {n}");
    }
}

#[track_caller]
fn check(mark: Mark, defect: &str) {
    let slices = copies(3, mark);
    check_split(&stacked(&slices), &slices, 3, defect);
}

#[test]
fn echoes_weightings_acquisitions_times_and_kinds_are_volumes_of_their_own() {
    check(|n| text(0x0018, 0x0081, "DS", &format!("{}", 8 + 4 * n)), "multi_volume");
    check(|n| element(0x0018, 0x9087, "FD", &(1000.0 * n as f64).to_le_bytes()), "multi_volume");
    check(
        |n| {
            let gradient: Vec<u8> = [0.0, 0.0, n as f64 - 1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
            let b_value = element(0x0018, 0x9087, "FD", &800f64.to_le_bytes());
            [b_value, element(0x0018, 0x9089, "FD", &gradient)].concat()
        },
        "multi_volume",
    );
    check(|n| text(0x0020, 0x0012, "IS", &format!("{}", 2 + 9 * n)), "multi_acquisition");
    check(|n| text(0x0020, 0x0100, "IS", &format!("{}", 1 + n)), "multi_volume");
}

/// Water, fat and in phase in one series: mixed up, they would be no image at all.
#[test]
fn kinds_of_image_are_told_apart_by_their_type() {
    let mut slices = copies(3, |_| Vec::new());
    for (index, slice) in slices.iter_mut().enumerate() {
        slice.image.image_type = format!("ORIGINAL\\PRIMARY\\M\\{}", ["FAT", "IN_PHASE", "WATER"][index / 4]);
    }
    check_split(&stacked(&slices), &slices, 3, "multi_volume");
}

/// Two echoes at two times: neither alone tells the four apart.
#[test]
fn what_only_all_marks_together_tell_apart_is_told_apart() {
    let slices = copies(4, |n| {
        let echo = text(0x0018, 0x0081, "DS", &format!("{}", 10 + n / 2));
        [echo, text(0x0020, 0x0100, "IS", &format!("{}", n % 2))].concat()
    });
    check_split(&stacked(&slices), &slices, 4, "multi_volume");
}

/// Some scanners count an acquisition a slice: then a copy is a copy.
#[test]
fn a_mark_that_every_slice_has_to_itself_is_none() {
    let mut slices = series(5);
    slices.push(slice(50));
    slices[5].position = slices[0].position.clone();
    for (n, slice) in slices.iter_mut().enumerate() {
        slice.extra = text(0x0020, 0x0012, "IS", &n.to_string());
    }
    let sorted = stacked(&slices);
    assert_eq!((sorted.stacks.len(), sorted.left_out.len()), (1, 1));
    assert_eq!(warnings(&sorted.stacks[0]), ["duplicate_positions"]);
}

fn sequence(group: u16, number: u16, items: &[Vec<u8>]) -> Vec<u8> {
    let items: Vec<u8> =
        items.iter().flat_map(|content| [item(0xE000, content.len() as u32), content.clone()].concat()).collect();
    [element_header(group, number, "SQ", items.len() as u32), items].concat()
}

/// 2 echoes x 3 positions in one multi-frame object, frames in no order; orientation is shared, spacing stands in each frame.
fn multi_frame() -> (Slice, Vec<(usize, usize)>) {
    let frames = vec![(1, 2), (0, 0), (1, 0), (0, 2), (0, 1), (1, 1)];
    let orientation = text(0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0");
    let shared = sequence(0x5200, 0x9229, &[sequence(0x0020, 0x9116, &[orientation])]);
    let own = frames.iter().map(|(echo, place)| {
        let position = text(0x0020, 0x0032, "DS", &decimals(&[-9.0, 4.0, 3.0 * *place as f64]));
        let echo = element(0x0018, 0x9082, "FD", &(10.0 + *echo as f64).to_le_bytes());
        let frame_type = text(0x0008, 0x9007, "CS", "ORIGINAL\\PRIMARY\\M\\NONE");
        [
            sequence(0x0018, 0x9114, &[echo]),
            sequence(0x0018, 0x9226, &[frame_type]),
            sequence(0x0020, 0x9113, &[position]),
            sequence(0x0028, 0x9110, &[text(0x0028, 0x0030, "DS", "2\\2")]),
        ]
        .concat()
    });
    let own = sequence(0x5200, 0x9230, &own.collect::<Vec<_>>());
    let mut object = slice(0);
    (object.position, object.orientation, object.spacing) = (None, None, None);
    // What the object says as a whole must not count where frames say it themselves.
    object.image.image_type = "DERIVED\\PRIMARY\\M\\NONE".into();
    object.image.sop_class = "1.2.840.10008.5.1.4.1.1.4.1".into();
    object.image.pixels = (0..6 * 20).collect();
    object.extra = [text(0x0028, 0x0008, "IS", "6"), shared, own].concat();
    (object, frames)
}

#[test]
fn frames_of_one_object_are_sorted_like_objects_of_one_frame() {
    let (object, frames) = multi_frame();
    let instance = object.instance();
    let sorted = stacks(&[instance.header()]);
    assert_eq!((sorted.stacks.len(), sorted.left_out.len()), (2, 0));
    for (echo, stack) in sorted.stacks.iter().enumerate() {
        let number = |place: usize| frames.iter().position(|frame| *frame == (echo, place)).unwrap() as u32 + 1;
        let want: Vec<SliceSource> = (0..3)
            .map(|place| SliceSource {
                sop_instance: instance.header().sop_instance.clone(),
                frame_number: number(place),
            })
            .collect();
        assert_eq!(stack.sources, want);
        assert_eq!((stack.size, stack.spacing), ([3, 4, 5], [3.0, 2.0, 2.0]));
        assert_eq!(stack.affine.origin(), [-9.0, 4.0, 0.0]);
    }
}

#[test]
fn frames_beyond_the_items_are_left_out_in_one_line() {
    let (mut object, _) = multi_frame();
    // Number of Frames comes first, in a header of 8 bytes.
    object.extra[8] = b'9';
    object.image.pixels = vec![3; 9 * 20];
    let instance = Instance::read(&object.bytes().into(), &Limits::default()).unwrap();
    let sorted = stacks(&[instance.header()]);
    assert_eq!(sorted.stacks.len(), 2);
    let told: Vec<_> = sorted.left_out.iter().map(|(source, code)| (source.frame_number, code.name())).collect();
    assert_eq!(told, [(7, "GEOMETRY_INCONSISTENT")]);
    assert_eq!(warnings(&sorted.stacks[0]), ["missing_geometry", "multi_volume"]);
}
