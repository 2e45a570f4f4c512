//! Content items of structured reports (PS3.3 C.17.3): each a function that returns a data set, nested as the tree is.
use super::code::Code;
use crate::{
    dicom::{Dataset, decimal, tags},
    uid::Uid,
};

/// What an item is to the one that holds it (PS3.3 table C.17.3-8).
#[derive(Clone, Copy)]
pub(super) enum Is {
    Contained,
    Observed,
    Modifier,
    Acquired,
    SelectedFrom,
    Property,
    InferredFrom,
}

impl Is {
    fn name(self) -> &'static str {
        match self {
            Is::Contained => "CONTAINS",
            Is::Observed => "HAS OBS CONTEXT",
            Is::Modifier => "HAS CONCEPT MOD",
            Is::Acquired => "HAS ACQ CONTEXT",
            Is::SelectedFrom => "SELECTED FROM",
            Is::Property => "HAS PROPERTIES",
            Is::InferredFrom => "INFERRED FROM",
        }
    }
}

fn item(is: Is, value_type: &str) -> Dataset {
    Dataset::new().text(tags::RELATIONSHIP_TYPE, is.name()).text(tags::VALUE_TYPE, value_type)
}

fn named(is: Is, value_type: &str, name: Code<'_>) -> Dataset {
    item(is, value_type).item(tags::CONCEPT_NAME_CODE_SEQUENCE, name.item())
}

/// The item with others below it.
pub(super) fn over(item: Dataset, below: Vec<Dataset>) -> Dataset {
    if below.is_empty() { item } else { item.items(tags::CONTENT_SEQUENCE, below) }
}

pub(super) fn code(is: Is, name: Code<'_>, value: Code<'_>) -> Dataset {
    named(is, "CODE", name).item(tags::CONCEPT_CODE_SEQUENCE, value.item())
}

pub(super) fn text(is: Is, name: Code<'_>, value: &str) -> Dataset {
    named(is, "TEXT", name).text(tags::TEXT_VALUE, value)
}

pub(super) fn uid(is: Is, name: Code<'_>, value: &Uid) -> Dataset {
    named(is, "UIDREF", name).text(tags::UID, value)
}

/// A number of four significant digits or, where it is a whole one, all of them.
pub(super) fn number(name: Code<'_>, value: f64, unit: Code<'_>) -> Dataset {
    let measured = Dataset::new()
        .text(tags::NUMERIC_VALUE, rounded(value))
        .item(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, unit.item());
    named(Is::Contained, "NUM", name).item(tags::MEASURED_VALUE_SEQUENCE, measured)
}

/// Four significant digits: no measure of a model has more to say.
fn rounded(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let places = usize::try_from(3 - magnitude).unwrap_or(0);
    decimal(format!("{value:.places$}").parse().unwrap_or(value))
}

/// A container; `template`: the number of its template in DCMR, where readers find it by that.
pub(super) fn container(name: Code<'_>, template: Option<&str>, below: Vec<Dataset>) -> Dataset {
    let container = named(Is::Contained, "CONTAINER", name).text(tags::CONTINUITY_OF_CONTENT, "SEPARATE");
    let container = match template {
        Some(template) => container.item(tags::CONTENT_TEMPLATE_SEQUENCE, self::template(template)),
        None => container,
    };
    over(container, below)
}

/// The root of a document: a container that nothing holds.
pub(super) fn root(title: Code<'_>, template: &str, below: Vec<Dataset>) -> Dataset {
    Dataset::new()
        .text(tags::VALUE_TYPE, "CONTAINER")
        .item(tags::CONCEPT_NAME_CODE_SEQUENCE, title.item())
        .text(tags::CONTINUITY_OF_CONTENT, "SEPARATE")
        .item(tags::CONTENT_TEMPLATE_SEQUENCE, self::template(template))
        .items(tags::CONTENT_SEQUENCE, below)
}

fn template(number: &str) -> Dataset {
    Dataset::new().text(tags::MAPPING_RESOURCE, "DCMR").text(tags::TEMPLATE_IDENTIFIER, number)
}

/// An image, or a segment of one. Key objects have no name (TID 2010 row 8).
pub(super) fn image(is: Is, name: Option<Code<'_>>, reference: Dataset) -> Dataset {
    let image = match name {
        Some(name) => named(is, "IMAGE", name),
        None => item(is, "IMAGE"),
    };
    image.item(tags::REFERENCED_SOP_SEQUENCE, reference)
}

/// A closed line on an image: points as column and row from the top left corner of the image's top left pixel, the first one again
/// at the end.
pub(super) fn polyline(name: Code<'_>, points: &[[f32; 2]], on: Dataset) -> Dataset {
    let line = named(Is::Contained, "SCOORD", name)
        .text(tags::GRAPHIC_TYPE, "POLYLINE")
        .floats(tags::GRAPHIC_DATA, points.as_flattened().to_vec());
    over(line, vec![image(Is::SelectedFrom, None, on)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (91.304_35, "91.3"),
            (0.012_345_6, "0.01235"),
            (20_451.7, "20452"),
            (100.0, "100"),
            (3.1e-7, "0.00000031"),
        ] {
            assert_eq!(rounded(value), text, "{value}");
        }
    }
}
