//! The heatmap: a label's activation map in source-pixel geometry.
use ndarray::Array2;

/// Values `0.0..=1.0`, shape rows x columns of the *model grid*, with the rectangle of source pixels that the grid covers.
///
/// Source pixel (x, y) centre maps to grid position `((x + 0.5 - left) * grid_columns / width - 0.5, ...)`, bilinear between
/// grid centres; outside the rectangle the value is 0. Kept on the grid because it is small and exact; `resample` makes
/// source-pixel values on demand.
#[derive(Debug, Clone, PartialEq)]
pub struct Heatmap {
    /// Rows x columns on the model's map grid, `0.0..=1.0`.
    pub values: Array2<f32>,
    /// Left, top, width, height of the covered rectangle in source pixels (may reach outside the image).
    pub rectangle: [f64; 4],
    /// Rows and columns of the source frame.
    pub source_size: [u32; 2],
}
