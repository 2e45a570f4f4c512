//! Affine maps: from voxel indices to millimetres in the patient, and between grids of voxels.

/// Voxel indices (column i, row j, slice k) to patient coordinates in mm (LPS: left, posterior, superior).
///
/// Indices are of voxel centres: (0, 0, 0) is the centre of the first voxel, which covers -0.5 to 0.5 on each axis. Row-major, the
/// upper three rows of a 4 x 4 matrix whose last row is 0 0 0 1. The same type maps the indices of one grid to those of another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// What x, y and z are made of: i, j, k, and a constant.
    pub rows: [[f64; 4]; 3],
}

impl Affine {
    /// The grid is the patient.
    pub const IDENTITY: Affine = Affine { rows: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]] };

    /// The map of a grid with these steps (mm per column, row and slice) whose first voxel lies at `origin`.
    pub fn new(steps: [[f64; 3]; 3], origin: [f64; 3]) -> Affine {
        let row = |axis: usize| [steps[0][axis], steps[1][axis], steps[2][axis], origin[axis]];
        Affine { rows: [row(0), row(1), row(2)] }
    }

    /// Where a voxel (column, row, slice; fractions allowed) lies.
    pub fn to_patient(&self, voxel: [f64; 3]) -> [f64; 3] {
        self.rows.map(|row| row[0] * voxel[0] + row[1] * voxel[1] + row[2] * voxel[2] + row[3])
    }

    /// The step in mm from one voxel to the next along `axis` (0 column, 1 row, 2 slice).
    pub fn step(&self, axis: usize) -> [f64; 3] {
        self.rows.map(|row| row[axis])
    }

    /// Where the first voxel lies.
    pub fn origin(&self) -> [f64; 3] {
        self.rows.map(|row| row[3])
    }

    /// Distances in mm between columns, rows and slices.
    pub fn spacing(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| length(self.step(axis)))
    }

    /// From patient to voxel. `None` where there is no way back: a single slice has no third step.
    pub fn inverse(&self) -> Option<Affine> {
        let [a, b, c] = [0, 1, 2].map(|axis| self.step(axis));
        let determinant = dot(a, cross(b, c));
        let scale = length(a) * length(b) * length(c);
        if !determinant.is_finite() || determinant.abs() <= 1e-9 * scale || scale == 0.0 {
            return None;
        }
        let rows = [cross(b, c), cross(c, a), cross(a, b)].map(|row| row.map(|v| v / determinant));
        let origin = self.origin();
        Some(Affine { rows: rows.map(|row| [row[0], row[1], row[2], -dot(row, origin)]) })
    }

    /// `first`, then `self`.
    pub fn after(&self, first: &Affine) -> Affine {
        let steps = [0, 1, 2].map(|axis| {
            let step = first.step(axis);
            self.rows.map(|row| row[0] * step[0] + row[1] * step[1] + row[2] * step[2])
        });
        Affine::new(steps, self.to_patient(first.origin()))
    }

    /// The 16 numbers of the 4 x 4 matrix, row-major.
    pub fn matrix(&self) -> [f64; 16] {
        let [x, y, z] = self.rows;
        [x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3], z[0], z[1], z[2], z[3], 0.0, 0.0, 0.0, 1.0]
    }
}

/// Scalar product.
pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Vector product.
pub(super) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// Length of a vector.
pub(super) fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

/// `a - b`.
pub(super) fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// `a + scale * b`.
pub(super) fn plus(a: [f64; 3], scale: f64, b: [f64; 3]) -> [f64; 3] {
    [a[0] + scale * b[0], a[1] + scale * b[1], a[2] + scale * b[2]]
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Grids of scanners: turned any way, 0.1 to 10 mm a step, sheared by a gantry of up to 30 degrees, up to a metre from the origin.
    pub(in crate::pixel) fn affines() -> impl Strategy<Value = Affine> {
        let angle = || -3.2..3.2f64;
        let spacing = || 0.1..10.0f64;
        let far = || -1000.0..1000.0f64;
        ([angle(), angle(), angle()], [spacing(), spacing(), spacing()], -0.5..0.5f64, [far(), far(), far()]).prop_map(
            |([a, b, c], spacing, shear, origin)| {
                let row = [a.cos() * b.cos(), a.sin() * b.cos(), -b.sin()];
                let side = [
                    a.cos() * b.sin() * c.sin() - a.sin() * c.cos(),
                    a.sin() * b.sin() * c.sin() + a.cos() * c.cos(),
                    b.cos() * c.sin(),
                ];
                let normal = plus(cross(row, side), shear, side);
                let steps = [(row, 0), (side, 1), (normal, 2)].map(|(v, axis)| v.map(|v| v * spacing[axis]));
                Affine::new(steps, origin)
            },
        )
    }

    proptest! {
        #[test]
        fn voxel_to_patient_and_back_returns_the_voxel(affine in affines(), voxel in [-9e2..9e2f64, -9e2..9e2f64, -9e2..9e2f64]) {
            let back = affine.inverse().expect("a grid of three steps").to_patient(affine.to_patient(voxel));
            for axis in 0..3 { prop_assert!((back[axis] - voxel[axis]).abs() < 1e-6, "{affine:?} {voxel:?} {back:?}"); }
        }

        #[test]
        fn one_map_after_another_is_both(a in affines(), b in affines(), voxel in [-50.0..50.0f64, -50.0..50.0f64, -50.0..50.0f64]) {
            let (at_once, in_turn) = (a.after(&b).to_patient(voxel), a.to_patient(b.to_patient(voxel)));
            for axis in 0..3 { prop_assert!((at_once[axis] - in_turn[axis]).abs() < 1e-6); }
        }
    }

    #[test]
    fn a_single_slice_leads_nowhere_back() {
        let flat = Affine::new([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]], [1.0, 2.0, 3.0]);
        assert_eq!(flat.inverse(), None);
        assert_eq!(flat.to_patient([2.0, 4.0, 0.0]), [2.0, 4.0, 3.0]);
        assert_eq!(Affine::IDENTITY.inverse(), Some(Affine::IDENTITY));
    }
}
