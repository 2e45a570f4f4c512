//! Whether a model reads an image: pure, and the answer says which clause of its manifest decided.
use super::manifest::Select;
use crate::{dicom::Header, error::Code};

/// Why a model does not read an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// `WrongModality`, `WrongBodyPart`, `WrongView` or `OutOfDistribution`.
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
    if let (Some(min), Some(age)) = (select.age_years_min, header.age_years)
        && age < min
    {
        return Err(outside(format!("select.age_years_min = {min}: the patient is younger")));
    }
    // 65 includes everybody up to the day before the 66th birthday.
    if let (Some(max), Some(age)) = (select.age_years_max, header.age_years)
        && age >= max + 1.0
    {
        return Err(outside(format!("select.age_years_max = {max}: the patient is older")));
    }
    if !header.photometric.is_monochrome() {
        return Err(outside("the image is in colour; radiograph models read grey values".to_owned()));
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

fn outside(clause: String) -> Rejection {
    Rejection { code: Code::OutOfDistribution, clause }
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
