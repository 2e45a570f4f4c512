//! Pictures of a heatmap: over the film for a person, or alone.
use ndarray::ArrayView2;

use super::{Finding, Heatmap, KeySlice, OfSeries, Outcome, Quantity};
use crate::{
    error::Result,
    pixel::render::{self, Picture},
};

impl Heatmap {
    /// A PNG of the film with the map over it and a caption that says what is shown, how sure, and by which model.
    ///
    /// `display`: values of the source frame, rows x columns of `source_size`; `key`: the slice that it is, of a finding about a
    /// series; `outline_at`: from which value on the place is outlined (`Manifest::outline_at`). The picture's longest side is bounded (`render::size`). Errors: `Internal` when `display` has another size.
    pub fn overlay_png(
        &self,
        display: ArrayView2<'_, f32>,
        finding: &Finding,
        key: Option<&KeySlice>,
        outline_at: f32,
    ) -> Result<Vec<u8>> {
        self.overlay(display, finding, key, outline_at, None)?.png()
    }

    /// The same as pixels; `notice`: a line above the caption. Errors: as of [`Heatmap::overlay_png`].
    pub fn overlay(
        &self,
        display: ArrayView2<'_, f32>,
        finding: &Finding,
        key: Option<&KeySlice>,
        outline_at: f32,
        notice: Option<&str>,
    ) -> Result<Picture> {
        let [rows, columns] = self.source_size;
        let (rows, columns) = render::size(rows as usize, columns as usize);
        let lines: Vec<String> =
            notice.map(str::to_owned).into_iter().chain(caption(finding, key, outline_at)).collect();
        render::overlay(display, self.sampled(rows, columns).view(), outline_at, &lines)
    }

    /// A grey PNG of the map alone, 8 bits (255 is 1.0), one pixel for each source pixel.
    pub fn map_png(&self) -> Result<Vec<u8>> {
        render::gray_png(self.source_values().view())
    }
}

/// Short lines for a person, because small films are narrow; no patient data.
fn caption(finding: &Finding, key: Option<&KeySlice>, outline_at: f32) -> Vec<String> {
    let outcome = match finding.outcome {
        Outcome::Positive => "positive",
        Outcome::Negative => "negative",
        Outcome::Indeterminate => "indeterminate",
    };
    let experimental = if finding.experimental { " (experimental)" } else { "" };
    let mut lines = vec![
        format!("{}: {outcome}{experimental}", finding.code.meaning),
        format!("probability {:.2}, threshold {:.2}", finding.probability, finding.threshold),
    ];
    if let (Some(of), Some(key)) = (&finding.of_series, key) {
        lines.push(format!("slice {} of {}: {:.2}", key.slice + 1, of.sources.len(), key.probability));
        lines.extend(size(of));
    }
    // An activation map explains a number. How well it also points is a figure of the model card; it never is an outline.
    let segments = finding.of_series.as_ref().is_some_and(|of| of.segmentation.is_some());
    lines.push(match segments {
        true => format!("line: {outline_at:.2}, where the mask ends"),
        false => "heat: what raised the score; line: half of its peak, no outline".to_owned(),
    });
    lines.push(format!("{} {}, research only", finding.provenance.model, finding.provenance.version));
    lines
}

/// Volume and diameter in words.
fn size(of: &OfSeries) -> Option<String> {
    let volume = of.leading(Quantity::Volume)?;
    let diameter = of.leading(Quantity::LongestAxialDiameter);
    Some(match diameter {
        Some(diameter) => format!("{volume:.1} mL, {diameter:.0} mm"),
        None => format!("{volume:.1} mL"),
    })
}
