//! Pictures of a heatmap: over the film for a person, or alone.
use ndarray::ArrayView2;

use super::{Finding, Heatmap, Outcome};
use crate::{error::Result, pixel::render};

impl Heatmap {
    /// A PNG of the film with the map over it and a caption that says what is shown, how sure, and by which model.
    ///
    /// `display`: values of the source frame, rows x columns of `source_size`. The picture's longest side is bounded
    /// (`render::size`). Errors: `Internal` when `display` has another size.
    pub fn overlay_png(&self, display: ArrayView2<'_, f32>, finding: &Finding) -> Result<Vec<u8>> {
        let [rows, columns] = self.source_size;
        let (rows, columns) = render::size(rows as usize, columns as usize);
        render::overlay_png(display, self.sampled(rows, columns).view(), &caption(finding))
    }

    /// A grey PNG of the map alone, 8 bits (255 is 1.0), one pixel for each source pixel.
    pub fn map_png(&self) -> Result<Vec<u8>> {
        render::gray_png(self.source_values().view())
    }
}

/// Short lines for a person, because small films are narrow; no patient data.
fn caption(finding: &Finding) -> [String; 4] {
    let outcome = match finding.outcome {
        Outcome::Positive => "positive",
        Outcome::Negative => "negative",
        Outcome::Indeterminate => "indeterminate",
    };
    let experimental = if finding.experimental { " (experimental)" } else { "" };
    [
        format!("{}: {outcome}{experimental}", finding.code.meaning),
        format!("probability {:.2}, threshold {:.2}", finding.probability, finding.threshold),
        // An activation map explains a number. How well it also points is a figure of the model card; it never is an outline.
        "heat: what raised the score, no outline".to_owned(),
        format!("{} {}, research only", finding.provenance.model, finding.provenance.version),
    ]
}
