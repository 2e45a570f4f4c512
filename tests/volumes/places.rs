//! Any voxel leads to its SOP instance, frame and pixel and to its place in the patient, and back: for orientations, spacings, tilts and
//! gaps of all kinds.
use overread::dicom::Header;
use overread::pixel::{Affine, Grid, SliceSource, Stack, stacks};
use proptest::prelude::*;

use crate::made::{Slice, decimals, slice};

/// How a series lies.
#[derive(Debug, Clone)]
struct Lie {
    angles: [f64; 3],
    /// Between slices, rows, columns; mm.
    spacing: [f64; 3],
    /// Of the gantry: part of a step along the columns for each step across.
    shear: f64,
    origin: [f64; 3],
    /// Slices that are there, counted in steps.
    places: Vec<u16>,
}

fn lies() -> impl Strategy<Value = Lie> {
    let angle = || -3.1..3.1f64;
    let spacing = || 0.3..6.0f64;
    let far = || -400.0..400.0f64;
    let places = prop::collection::btree_set(0u16..12, 2..9).prop_map(|places| places.into_iter().collect());
    ([angle(), angle(), angle()], [spacing(), spacing(), spacing()], -0.4..0.4f64, [far(), far(), far()], places)
        .prop_map(|(angles, spacing, shear, origin, places)| Lie { angles, spacing, shear, origin, places })
}

impl Lie {
    /// Directions of a row, of a column, and across.
    fn axes(&self) -> [[f64; 3]; 3] {
        let [(sa, ca), (sb, cb), (sc, cc)] = self.angles.map(f64::sin_cos);
        let row = [ca * cb, sa * cb, -sb];
        let column = [ca * sb * sc - sa * cc, sa * sb * sc + ca * cc, cb * sc];
        let across = [ca * sb * cc + sa * sc, sa * sb * cc - ca * sc, cb * cc];
        [row, column, across]
    }

    fn position(&self, place: u16) -> [f64; 3] {
        let [_, column, across] = self.axes();
        let step = |axis: usize| self.spacing[0] * (across[axis] + self.shear * column[axis]);
        [0, 1, 2].map(|axis| self.origin[axis] + f64::from(place) * step(axis))
    }

    fn slices(&self) -> Vec<Slice> {
        let [row, column, _] = self.axes();
        let of = |(n, place): (usize, &u16)| {
            let mut slice = slice(n as u16);
            slice.position = Some(decimals(&self.position(*place)));
            slice.orientation = Some(decimals(&[row, column].concat()));
            slice.spacing = Some(decimals(&[self.spacing[1], self.spacing[2]]));
            slice
        };
        self.places.iter().enumerate().map(of).collect()
    }

    fn stack(&self) -> Stack {
        let headers: Vec<Header> = self.slices().iter().map(|slice| slice.instance().header().clone()).collect();
        let mut sorted = stacks(&headers.iter().collect::<Vec<_>>());
        assert_eq!((sorted.stacks.len(), sorted.left_out.len()), (1, 0), "{self:?}");
        sorted.stacks.remove(0)
    }
}

fn near(a: [f64; 3], b: [f64; 3], tolerance: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The way of the standard (PS3.3 C.7.6.2.1.1) from the slice's own attributes is the way of the stack.
    #[test]
    fn a_voxel_is_where_its_own_slice_says(lie in lies()) {
        let (stack, slices) = (lie.stack(), lie.slices());
        prop_assert_eq!(stack.size[0], slices.len());
        let [row, column, _] = lie.axes();
        for (k, slice) in slices.iter().enumerate() {
            let (source, r, c) = stack.source_of([3, 2, k]).unwrap();
            prop_assert_eq!((source.sop_instance.as_str(), source.frame_number, r, c), (slice.uid(), 1, 2, 3));
            prop_assert_eq!(stack.voxel_of(source, r, c), Some([3, 2, k]));
            let first = lie.position(lie.places[k]);
            let want = [0, 1, 2].map(|axis| first[axis] + 3.0 * lie.spacing[2] * row[axis] + 2.0 * lie.spacing[1] * column[axis]);
            // Positions are written with nine digits behind the point.
            prop_assert!(near(stack.to_patient([3.0, 2.0, k as f64]), want, 1e-6), "{lie:?} slice {k}");
        }
        prop_assert_eq!(stack.source_of([5, 0, 0]), None);
        prop_assert_eq!(stack.source_of([0, 4, 0]), None);
        prop_assert_eq!(stack.source_of([0, 0, stack.size[0]]), None);
        let stranger = SliceSource { frame_number: 2, ..stack.sources[0].clone() };
        prop_assert_eq!(stack.voxel_of(&stranger, 0, 0), None);
    }

    #[test]
    fn to_the_patient_and_back_is_the_voxel(lie in lies(), i in -20.0..20.0f64, j in -20.0..20.0f64, part in -0.5..1.5f64) {
        let stack = lie.stack();
        let voxel = [i, j, part * stack.size[0] as f64];
        let back = stack.to_voxel(stack.to_patient(voxel));
        prop_assert!(near(back, voxel, 1e-5), "{lie:?} {voxel:?} {back:?}");
    }

    /// Where all slices are there, the affine alone says the same; where some are missing, it does at the even grid.
    #[test]
    fn the_affine_is_the_way_of_even_slices(lie in lies(), voxel in [0.0..5.0f64, 0.0..4.0f64, 0.0..4.0f64]) {
        let even = Lie { places: (0..5).collect(), ..lie };
        let stack = even.stack();
        prop_assert!(near(stack.affine.to_patient(voxel), stack.to_patient(voxel), 1e-6), "{even:?}");
        prop_assert_eq!(stack.grid(), Grid { size: stack.size, affine: stack.affine });
        prop_assert!((stack.spacing[0] - even.spacing[0]).abs() < 1e-6);
    }

    /// A model's grid of any spacing over the volume: its voxels lead to source voxels and back, crops included.
    #[test]
    fn from_a_model_grid_to_the_source_and_back(
        lie in lies(), spacing in [0.4..9.0f64, 0.4..9.0f64, 0.4..9.0f64], first in [-9..9i64, -9..9i64, -9..9i64],
        voxel in [-5.0..40.0f64, -5.0..40.0f64, -5.0..40.0f64],
    ) {
        let stack = lie.stack();
        let grid = stack.grid().with_spacing(spacing).part(first, [8, 8, 8]);
        let point = grid.affine.to_patient(voxel);
        let back = stack.to_patient(stack.to_voxel(point));
        prop_assert!(near(back, point, 1e-5), "{lie:?} {point:?} {back:?}");
        let to_grid = grid.affine.inverse().unwrap();
        prop_assert!(near(to_grid.to_patient(back), voxel, 1e-4));
        let own: Affine = grid.affine;
        for (axis, mm) in [(2, spacing[0]), (1, spacing[1]), (0, spacing[2])] {
            let shear = if axis == 2 { (1.0 + lie.shear * lie.shear).sqrt() } else { 1.0 };
            prop_assert!((own.spacing()[axis] - mm).abs() < 1e-6 * mm.max(1.0) * shear);
        }
    }

    /// Regridding keeps the box and its centre.
    #[test]
    fn a_grid_of_another_size_covers_the_same_box(lie in lies(), size in [1..30usize, 1..30usize, 1..30usize]) {
        let grid = lie.stack().grid();
        let other = grid.with_size(size);
        let corner = |grid: &Grid, end: bool| {
            let edge = |axis: usize| if end { grid.size[2 - axis] as f64 - 0.5 } else { -0.5 };
            grid.affine.to_patient([edge(0), edge(1), edge(2)])
        };
        prop_assert!(near(corner(&grid, false), corner(&other, false), 1e-6));
        prop_assert!(near(corner(&grid, true), corner(&other, true), 1e-6));
    }
}
