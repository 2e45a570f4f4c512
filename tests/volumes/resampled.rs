//! Resampled values are those of SciPy and Pillow, and of masks no value is new.
use ndarray::{Array3, s};
use overread::pixel::{Affine, Grid, Volume, resample, resample_nearest};
use proptest::prelude::*;

use crate::made::{load, series, stacked};

/// The input of `golden.py`.
fn made() -> Array3<f32> {
    Array3::from_shape_fn((9, 12, 11), |(k, j, i)| ((7 * k + 13 * j + 5 * i + k * j * i) % 31) as f32 * 64.0 - 1000.0)
}

const OUTSIDE: f32 = -1024.0;

/// A case of `golden.py`: source, target, values.
fn golden(name: &str) -> (Affine, Grid, Vec<f32>) {
    let path = format!("{}/tests/volumes/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let mut affine = || {
        let numbers: Vec<f64> = lines.next().unwrap().split(' ').map(|v| v.parse().unwrap()).collect();
        let row = |at: usize| [numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]];
        Affine { rows: [row(0), row(4), row(8)] }
    };
    let (from, to) = (affine(), affine());
    let size: Vec<usize> = lines.next().unwrap().split(' ').map(|v| v.parse().unwrap()).collect();
    let values = lines.map(|v| v.parse().unwrap()).collect();
    (from, Grid { size: size.try_into().unwrap(), affine: to }, values)
}

/// Values of about 1,000: float32 sums in another order, and weights rounded to float32.
const TOLERANCE: f32 = 1e-3;

#[track_caller]
fn check(name: &str) {
    let (from, to, want) = golden(name);
    for threads in [1, 3] {
        let got = resample(made().view(), &from, &to, OUTSIDE, threads).unwrap();
        assert_eq!((got.shape(), got.len()), (&to.size[..], want.len()));
        let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= TOLERANCE, "{name}: {worst}");
    }
}

#[test]
fn a_tilted_volume_comes_level_as_in_scipy() {
    check("tilted_to_level");
}

#[test]
fn a_turned_grid_is_interpolated_as_in_scipy() {
    check("turned");
}

#[test]
fn shrinking_and_enlarging_are_those_of_pillow() {
    check("smaller");
    check("larger");
    check("both");
}

#[test]
fn masks_take_the_nearest_voxel_as_in_scipy() {
    let (from, to, want) = golden("turned_nearest");
    let got = resample_nearest(made().view(), &from, &to, OUTSIDE, 2).unwrap();
    assert_eq!(got.iter().copied().collect::<Vec<_>>(), want);
}

/// `with_size` is where the golden grids come from, too.
#[test]
fn the_grid_of_another_size_is_that_of_the_golden_cases() {
    for name in ["smaller", "larger", "both"] {
        let (from, to, _) = golden(name);
        let got = Grid { size: [9, 12, 11], affine: from }.with_size(to.size).affine.matrix();
        assert!(got.iter().zip(to.affine.matrix()).all(|(a, b)| (a - b).abs() < 1e-12), "{name}");
    }
}

fn plain() -> Affine {
    Affine::new([[0.8, 0.0, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 2.5]], [-10.0, 20.0, 30.0])
}

#[test]
fn the_same_grid_gives_the_same_values_and_a_turned_one_the_same_turned() {
    let values = made();
    let same = Grid { size: [9, 12, 11], affine: plain() };
    assert_eq!(resample(values.view(), &plain(), &same, OUTSIDE, 2).unwrap(), values);
    // Columns run along the slices, slices along the rows backwards.
    let [i, j, k] = [0, 1, 2].map(|axis| plain().step(axis));
    let last = plain().to_patient([0.0, 11.0, 0.0]);
    let turned = Grid { size: [12, 11, 9], affine: Affine::new([k, i, j.map(|v| -v)], last) };
    let got = resample(values.view(), &plain(), &turned, OUTSIDE, 2).unwrap();
    let worst = got.indexed_iter().map(|((a, b, c), v)| (v - values[(c, 11 - a, b)]).abs()).fold(0.0, f32::max);
    assert!(worst < TOLERANCE, "{worst}");
}

#[test]
fn a_part_is_cut_out_and_what_lies_beyond_is_outside() {
    let values = made();
    let grid = Grid { size: [9, 12, 11], affine: plain() };
    let part = resample(values.view(), &plain(), &grid.part([2, -1, 8], [3, 4, 5]), OUTSIDE, 1).unwrap();
    assert_eq!(part.slice(s![.., 1.., ..3]), values.slice(s![2..5, ..3, 8..]));
    assert!(part.slice(s![.., 0, ..]).iter().all(|v| *v == OUTSIDE));
    assert!(part.slice(s![.., .., 3..]).iter().all(|v| *v == OUTSIDE));
    let nowhere = resample(values.view(), &plain(), &grid.part([90, 0, 0], [2, 2, 2]), OUTSIDE, 1).unwrap();
    assert!(nowhere.iter().all(|v| *v == OUTSIDE));
    let beside = resample(values.view(), &plain(), &grid.part([0, 0, 90], [2, 2, 2]), OUTSIDE, 1).unwrap();
    assert!(beside.iter().all(|v| *v == OUTSIDE));
}

/// Slices at 0, 2, 6 and 8 mm: the one at 4 mm is half of each neighbour.
#[test]
fn a_gap_is_bridged_where_it_is() {
    let mut slices = series(5);
    slices.remove(2);
    let stack = stacked(&slices).stacks.remove(0);
    assert_eq!((stack.size, stack.grid().size), ([4, 4, 5], [5, 4, 5]));
    let volume: Volume = load(&slices, &stack).unwrap();
    let evened = volume.evened(2).unwrap();
    assert!(evened.indexed_iter().all(|((k, j, i), v)| *v == (100 * k + 5 * j + i) as f32));
    let fine = volume.resample(&stack.grid().with_spacing([1.0, 0.5, 0.75]), 0.0, 2).unwrap();
    assert_eq!(fine.dim(), (10, 4, 5));
    assert!((fine[(5, 0, 0)] - 225.0).abs() < 1e-3, "{}", fine[(5, 0, 0)]);
}

#[test]
fn a_grid_beyond_the_budget_is_refused() {
    let grid = Grid { size: [4096, 4096, 4096], affine: plain() };
    let error = resample(made().view(), &plain(), &grid, 0.0, 1).unwrap_err();
    assert_eq!(error.code, overread::error::Code::TooLarge);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the tilt: right angles, the same planes of slices, and every voxel of the tilted box inside, at most one to spare.
    #[test]
    fn a_level_grid_is_the_box_at_right_angles_around_a_tilted_one(
        tilt in -0.5..0.5f64, aside in -0.3..0.3f64, steps in [0.3..4.0f64, 0.3..4.0, 0.8..9.0],
        size in [1..20usize, 2..30usize, 2..30usize],
    ) {
        let way = [aside * steps[2], tilt.sin() * steps[2], tilt.cos() * steps[2]];
        let tilted = Grid { size, affine: Affine::new([[steps[0], 0.0, 0.0], [0.0, steps[1], 0.0], way], [-8.0, 22.0, 33.0]) };
        let level = tilted.level();
        let [a, b, c] = [0, 1, 2].map(|axis| level.affine.step(axis));
        let dot = |a: [f64; 3], b: [f64; 3]| (0..3).map(|axis| a[axis] * b[axis]).sum::<f64>();
        prop_assert!(dot(a, b).abs() < 1e-9 && dot(a, c).abs() < 1e-9 && dot(b, c).abs() < 1e-9);
        prop_assert_eq!((a, b, level.size[0]), (tilted.affine.step(0), tilted.affine.step(1), size[0]));
        let to_level = level.affine.inverse().unwrap();
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for corner in 0..8usize {
            let at = |axis: usize| if corner >> axis & 1 == 1 { size[2 - axis] as f64 - 1.0 } else { 0.0 };
            let point = to_level.to_patient(tilted.affine.to_patient([at(0), at(1), at(2)]));
            for axis in 0..3 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        for axis in 0..3 {
            let last = level.size[2 - axis] as f64 - 1.0;
            prop_assert!((-1e-6..1.0).contains(&low[axis]) && (-1.0..1e-6).contains(&(high[axis] - last)), "{low:?} {high:?}");
        }
    }

    /// Any grid: what is constant stays so, and no value leaves the range of the input.
    #[test]
    fn values_stay_within_those_of_the_input(
        angles in [-3.0..3.0f64, -3.0..3.0f64], steps in [0.3..4.0f64, 0.3..4.0f64, 0.8..9.0f64],
        size in [1..12usize, 1..12usize, 1..12usize],
    ) {
        let [(sa, ca), (sb, cb)] = angles.map(f64::sin_cos);
        let axes = [[ca * cb, sa * cb, -sb], [-sa, ca, 0.0], [ca * sb, sa * sb, cb]];
        let steps = [0, 1, 2].map(|axis| axes[axis].map(|v| v * steps[axis]));
        let grid = Grid { size, affine: Affine::new(steps, [-8.0, 22.0, 33.0]) };
        let values = made();
        let got = resample(values.view(), &plain(), &grid, 0.0, 2).unwrap();
        prop_assert!(got.iter().all(|v| (-1000.001..=920.001).contains(v)));
        let flat = Array3::from_elem((9, 12, 11), 7.0f32);
        let got = resample(flat.view(), &plain(), &grid, 7.0, 2).unwrap();
        prop_assert!(got.iter().all(|v| (v - 7.0).abs() < 1e-5));
        let labels = values.mapv(|v| v as i32);
        let got = resample_nearest(labels.view(), &plain(), &grid, 5, 2).unwrap();
        prop_assert!(got.iter().all(|v| *v == 5 || (v + 1000) % 64 == 0));
    }
}
