//! Whether a model reads an image or a series: pure, and the answer says which clause of its manifest decided.
use super::{
    manifest::{Contrast, Derived, Orientation, Pattern, Select},
    view::plane,
};
use crate::{dicom::Header, error::Code, pixel::Stack};

/// Why a model does not read an image or a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// `WrongModality`, `WrongBodyPart`, `WrongView`, `DerivedImage`, `TooFewSlices`, `SlicesMissing` or `OutOfDistribution`.
    pub code: Code,
    /// The manifest's key and what it met; no patient data.
    pub clause: String,
}

/// Whether the image of that header is one that `select` asks for. The clauses are tried in the manifest's order; the first
/// that does not hold is the answer.
///
/// An unknown age passes: the model's card states it as a limit. A known age outside the range is `OutOfDistribution`.
pub fn select(select: &Select, header: &Header) -> Result<(), Rejection> {
    listed(Code::WrongModality, "modality", Some(&select.modality), &header.modality)?;
    listed(Code::WrongBodyPart, "body_part", select.body_part.as_ref(), &header.body_part)?;
    listed(Code::WrongView, "view_position", select.view_position.as_ref(), &header.view_position)?;
    age_and_colour(select, header)
}

/// Whether the stack is one that `select` asks for. `headers`: those of the SOP Instances that its slices come from.
///
/// Clauses in the order of `select`, then the number of slices, those missing between them, and their distance; the first that does
/// not hold is the answer. What is wrong with the geometry itself is not judged here: the table of `pixel::Defect` is the rule for that.
pub fn select_stack(select: &Select, stack: &Stack, headers: &[&Header]) -> Result<(), Rejection> {
    for header in headers {
        listed(Code::WrongModality, "modality", Some(&select.modality), &header.modality)?;
    }
    for header in headers {
        listed(Code::WrongBodyPart, "body_part", select.body_part.as_ref(), &header.body_part)?;
        described(select, header)?;
    }
    planes(select, stack)?;
    for header in headers {
        if select.derived == Derived::Refuse && header.image_type.first().is_some_and(|value| value == "DERIVED") {
            let clause = "select.derived = \"refuse\": images of the series are derived".to_owned();
            return Err(Rejection { code: Code::DerivedImage, clause });
        }
        match (select.contrast, header.contrast_agent) {
            (Some(Contrast::With), false) => return Err(outside("select.contrast = \"with\": no agent is named")),
            (Some(Contrast::Without), true) => return Err(outside("select.contrast = \"without\": an agent is named")),
            (Some(Contrast::With), true) | (Some(Contrast::Without), false) | (None, _) => {}
        }
        age_and_colour(select, header)?;
    }
    let [slices, ..] = stack.size;
    if let Some(least) = select.slices_min.filter(|least| slices < *least) {
        let clause = format!("select.slices_min = {least}: the series has {slices}");
        return Err(Rejection { code: Code::TooFewSlices, clause });
    }
    missing(select, stack)?;
    if let Some([low, high]) = select.slice_spacing_mm
        && !(low..=high).contains(&stack.spacing[0])
    {
        let spacing = stack.spacing[0];
        return Err(outside(&format!(
            "select.slice_spacing_mm = [{low}, {high}]: the slices lie {spacing:.2} mm apart"
        )));
    }
    Ok(())
}

/// Gaps of whole steps: the series was not sent whole. Whether what is there is enough is a matter of the model.
fn missing(select: &Select, stack: &Stack) -> Result<(), Rejection> {
    let (Some(most), missing) = (select.missing_max, stack.missing()) else { return Ok(()) };
    let whole = stack.size[0] + missing;
    if missing as f64 <= most * whole as f64 {
        return Ok(());
    }
    let clause = format!("select.missing_max = {most}: {missing} of {whole} slices are missing");
    Err(Rejection { code: Code::SlicesMissing, clause })
}

/// Series Description is a person's text: the answer names the pattern and never the text.
fn described(select: &Select, header: &Header) -> Result<(), Rejection> {
    let found = |pattern: &&Pattern| header.series_description.is_match(pattern.regex());
    let wrong = |clause: String| Err(Rejection { code: Code::WrongView, clause });
    if select.description.as_ref().is_some_and(|wanted| !wanted.iter().any(|pattern| found(&pattern))) {
        return wrong("select.description: no pattern is in the series' description".to_owned());
    }
    match select.description_not.iter().find(found) {
        Some(pattern) => {
            wrong(format!("select.description_not: \"{}\" is in the series' description", pattern.regex().as_str()))
        }
        None => Ok(()),
    }
}

fn planes(select: &Select, stack: &Stack) -> Result<(), Rejection> {
    let plane = plane(&stack.affine);
    if select.orientation.as_ref().is_none_or(|wanted| wanted.contains(&plane)) {
        return Ok(());
    }
    let name = match plane {
        Orientation::Axial => "axial",
        Orientation::Coronal => "coronal",
        Orientation::Sagittal => "sagittal",
    };
    Err(Rejection { code: Code::WrongView, clause: format!("select.orientation: the slices are {name}") })
}

fn age_and_colour(select: &Select, header: &Header) -> Result<(), Rejection> {
    if let (Some(min), Some(age)) = (select.age_years_min, header.age_years)
        && age < min
    {
        return Err(outside(&format!("select.age_years_min = {min}: the patient is younger")));
    }
    // 65 includes everybody up to the day before the 66th birthday.
    if let (Some(max), Some(age)) = (select.age_years_max, header.age_years)
        && age >= max + 1.0
    {
        return Err(outside(&format!("select.age_years_max = {max}: the patient is older")));
    }
    if !header.photometric.is_monochrome() {
        return Err(outside("the image is in colour; models read grey values"));
    }
    Ok(())
}

fn listed(code: Code, key: &str, list: Option<&Vec<String>>, value: &str) -> Result<(), Rejection> {
    let Some(list) = list else { return Ok(()) };
    if list.iter().any(|wanted| wanted.eq_ignore_ascii_case(value.trim())) {
        return Ok(());
    }
    let quoted: Vec<String> = list.iter().map(|wanted| format!("\"{wanted}\"")).collect();
    Err(Rejection {
        code,
        clause: format!("select.{key} = [{}]: the image has {}", quoted.join(", "), printable(value)),
    })
}

fn outside(clause: &str) -> Rejection {
    Rejection { code: Code::OutOfDistribution, clause: clause.to_owned() }
}

/// The value if it is a Code String (PS3.5 6.2, VR CS): other text in such an attribute may be anything, a name too.
fn printable(value: &str) -> String {
    let value = value.trim();
    let code_string = value.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ' || b == b'_');
    match (value.is_empty(), code_string && value.len() <= 16) {
        (true, _) => "none".to_owned(),
        (false, true) => format!("\"{value}\""),
        (false, false) => "another value".to_owned(),
    }
}
