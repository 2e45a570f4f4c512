//! Connected parts of a mask: which there are, and at which level of a probability map one of a given size still stands.
use ndarray::{Array3, ArrayView3, ArrayViewMut3};

/// The least level at which a part is looked for: below it, everything is connected to everything.
const LEVEL_MIN: f32 = 0.01;

/// Voxels that hang together, each touching the next by a face, an edge or a corner (26 neighbours; 8 in a single slice).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Slice, row, column of each.
    pub voxels: Vec<[u32; 3]>,
}

/// The parts of a mask (slices x rows x columns), the largest first; of equals the one met first.
///
/// Memory: 12 bytes for each voxel inside, and one for each voxel of the mask.
pub fn parts(mask: ArrayView3<'_, bool>) -> Vec<Part> {
    let mut left = mask.to_owned();
    let mut found = Vec::new();
    for start in ndarray::indices(mask.dim()) {
        if left[start] {
            found.push(part_from(&mut left, start));
        }
    }
    found.sort_by_key(|part: &Part| std::cmp::Reverse(part.voxels.len()));
    found
}

/// The part that holds `start`, which must be inside; its voxels are taken out of the mask.
fn part_from(left: &mut Array3<bool>, start: (usize, usize, usize)) -> Part {
    left[start] = false;
    let mut voxels = vec![[start.0 as u32, start.1 as u32, start.2 as u32]];
    let mut next = 0;
    while let Some(&[k, j, i]) = voxels.get(next) {
        next += 1;
        for at in around([k as usize, j as usize, i as usize], left.dim()) {
            if std::mem::take(&mut left[at]) {
                voxels.push(at.map(|index| index as u32));
            }
        }
    }
    Part { voxels }
}

/// The neighbours of a voxel within the size.
fn around(at: [usize; 3], (slices, rows, columns): (usize, usize, usize)) -> impl Iterator<Item = [usize; 3]> {
    let span = |index: usize, side: usize| index.saturating_sub(1)..(index + 2).min(side);
    let [k, j, i] = at;
    span(k, slices)
        .flat_map(move |k| span(j, rows).flat_map(move |j| span(i, columns).map(move |i| [k, j, i])))
        .filter(move |other| *other != at)
}

/// How much a part must be to count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Least {
    /// Voxels.
    pub(super) voxels: f64,
    /// Slices that it lies on.
    pub(super) slices: f64,
}

impl Least {
    fn holds(&self, voxels: u32, slices: u32) -> bool {
        f64::from(voxels) >= self.voxels && f64::from(slices) >= self.slices
    }
}

/// The highest level at which the voxels of at least that probability have a part that counts; 0 if there is none from 0.01 on.
///
/// Voxels join from the most probable on (union by size), so that each is looked at once: n log n.
pub(super) fn highest_level(map: ArrayView3<'_, f32>, least: Least) -> f32 {
    let (slices, rows, columns) = map.dim();
    let mut order: Vec<([u32; 3], f32)> = map
        .indexed_iter()
        .filter(|(_, value)| **value >= LEVEL_MIN)
        .map(|((k, j, i), value)| ([k as u32, j as u32, i as u32], *value))
        .collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut joined = Array3::from_elem((slices, rows, columns), u32::MAX);
    let mut forest = Forest { nodes: Vec::with_capacity(order.len()) };
    for (at, level) in order {
        let at = at.map(|index| index as usize);
        let mut root = forest.plant(at[0] as u32);
        joined[at] = root;
        for other in around(at, map.dim()) {
            if joined[other] != u32::MAX {
                root = forest.join(root, joined[other]);
            }
        }
        let Tree { voxels, low, high, .. } = forest.nodes[root as usize];
        if least.holds(voxels, high - low + 1) {
            return level;
        }
    }
    0.0
}

/// One voxel, and, where it is a root, what hangs on it. A part has no gap along the slices.
#[derive(Clone, Copy)]
struct Tree {
    parent: u32,
    voxels: u32,
    low: u32,
    high: u32,
}

struct Forest {
    nodes: Vec<Tree>,
}

impl Forest {
    fn plant(&mut self, slice: u32) -> u32 {
        let index = self.nodes.len() as u32;
        self.nodes.push(Tree { parent: index, voxels: 1, low: slice, high: slice });
        index
    }

    fn root(&mut self, mut node: u32) -> u32 {
        while self.nodes[node as usize].parent != node {
            // Halving the path keeps trees flat.
            let above = self.nodes[node as usize].parent;
            self.nodes[node as usize].parent = self.nodes[above as usize].parent;
            node = self.nodes[node as usize].parent;
        }
        node
    }

    fn join(&mut self, a: u32, b: u32) -> u32 {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return a;
        }
        let [big, small] = if self.nodes[a as usize].voxels >= self.nodes[b as usize].voxels { [a, b] } else { [b, a] };
        let other = self.nodes[small as usize];
        self.nodes[small as usize].parent = big;
        let tree = &mut self.nodes[big as usize];
        (tree.voxels, tree.low, tree.high) =
            (tree.voxels + other.voxels, tree.low.min(other.low), tree.high.max(other.high));
        big
    }
}

/// Sets to 0 what is inside at `threshold` and belongs to a part that does not count. The rest stays, below the threshold too.
pub(super) fn drop_small(mut map: ArrayViewMut3<'_, f32>, threshold: f32, least: Least) {
    let mut left = map.mapv(|value| value >= threshold);
    for start in ndarray::indices(left.dim()) {
        if !left[start] {
            continue;
        }
        let part = part_from(&mut left, start);
        let slices = part.voxels.iter().map(|voxel| voxel[0]);
        let (low, high) = (slices.clone().min().unwrap_or(0), slices.max().unwrap_or(0));
        if !least.holds(part.voxels.len() as u32, high - low + 1) {
            part.voxels.iter().for_each(|voxel| map[voxel.map(|index| index as usize)] = 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn corners_connect_and_the_largest_comes_first() {
        let mut mask = Array3::from_elem((3, 4, 4), false);
        for at in [(0, 0, 0), (1, 1, 1), (2, 2, 2), (0, 3, 3), (0, 2, 3)] {
            mask[at] = true;
        }
        let found = parts(mask.view());
        let sizes: Vec<usize> = found.iter().map(|part| part.voxels.len()).collect();
        assert_eq!(sizes, [3, 2]);
        assert!(found[0].voxels.contains(&[2, 2, 2]) && found[1].voxels.contains(&[0, 2, 3]));
    }

    fn maps() -> impl Strategy<Value = Array3<f32>> {
        let sides = (1..4usize, 1..6usize, 1..6usize);
        sides.prop_flat_map(|(k, j, i)| {
            proptest::collection::vec(0..20u8, k * j * i).prop_map(move |values| {
                let values = values.into_iter().map(|value| f32::from(value) / 19.0).collect();
                Array3::from_shape_vec((k, j, i), values).expect("as many values")
            })
        })
    }

    proptest! {
        /// The level is the highest at which the plain way, thresholding and looking at each part, finds one that counts.
        #[test]
        fn the_level_is_that_of_thresholding(map in maps(), voxels in 1..6u8, slices in 1..3u8) {
            let least = Least { voxels: f64::from(voxels), slices: f64::from(slices) };
            let counts = |level: f32| parts(map.mapv(|value| value >= level).view()).iter().any(|part| {
                let mut on: Vec<u32> = part.voxels.iter().map(|voxel| voxel[0]).collect();
                on.sort_unstable();
                on.dedup();
                least.holds(part.voxels.len() as u32, on.len() as u32)
            });
            let levels = (1..20u8).rev().map(|value| f32::from(value) / 19.0);
            let want = levels.into_iter().find(|level| counts(*level)).unwrap_or(0.0);
            prop_assert_eq!(highest_level(map.view(), least), want);
            // What is left at a threshold is a part that counts, exactly when the level reaches it.
            let mut kept = map.clone();
            drop_small(kept.view_mut(), 0.5, least);
            prop_assert_eq!(kept.iter().any(|value| *value >= 0.5), want >= 0.5);
        }
    }
}
