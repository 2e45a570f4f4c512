//! Contours and words over the source images: Grayscale Softcopy Presentation State (PS3.3 A.33.1), with the window that the model judged.
use super::{
    Material, Seen,
    code::shortened,
    head,
    place::{self, Place},
    references::{self, References},
};
use crate::{
    deliver::Planned,
    dicom::{Dataset, Function, Lut, Modality, Origin, Photometric, Tag, Voi, tags},
    error::{Error, Result},
    finding::Finding,
    pixel::SliceSource,
};

/// Graphic Layer is CS.
const LAYER: &str = "AI_FINDINGS";
/// Its colour: CIELab (90, -10, 80), a yellow that stands out on grey (PS3.3 C.10.7.1.1).
const COLOUR: [u16; 3] = [58_982, 30_326, 53_456];

pub(super) fn write(planned: &Planned, material: &Material) -> Result<Dataset> {
    let mut places: Vec<(&Finding, Place)> = Vec::new();
    for (_, finding) in material.findings(planned) {
        places.extend(place::of(finding, material)?.into_iter().map(|place| (finding, place)));
    }
    let nothing = || Error::internal("a planned presentation state has nothing to show");
    let (first, _) = places.first().ok_or_else(nothing)?;
    let origin = material.origin(&first.sop_instance)?;
    let mut named = References::default();
    for (_, place) in &places {
        named.add(material.origin(&place.frame.sop_instance)?);
    }
    let mut frames: Vec<&SliceSource> = places.iter().map(|(_, place)| &place.frame).collect();
    frames.sort();
    frames.dedup();
    let annotations = frames.iter().map(|frame| {
        let on = places.iter().filter(|(_, place)| place.frame == **frame);
        Ok(annotation(&on.collect::<Vec<_>>())
            .item(tags::REFERENCED_IMAGE_SEQUENCE, references::slice(material, frame)?))
    });
    let seen = material.frames.values().next();
    Ok(content(origin)
        .items(tags::REFERENCED_SERIES_SEQUENCE, named.by_series(tags::REFERENCED_IMAGE_SEQUENCE))
        .items(tags::GRAPHIC_ANNOTATION_SEQUENCE, annotations.collect::<Result<Vec<_>>>()?)
        .with(seen.map_or_else(Dataset::new, values)))
}

/// How it is shown: the whole image, inverted where its source is (the state takes the place of the photometric rule).
fn content(origin: &Origin) -> Dataset {
    let shape = if origin.header.photometric == Photometric::Monochrome1 { "INVERSE" } else { "IDENTITY" };
    let [columns, rows] = [origin.header.columns, origin.header.rows].map(i32::from);
    let area = Dataset::new()
        .signed_longs(tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, &[1, 1])
        .signed_longs(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, &[columns, rows])
        .text(tags::PRESENTATION_SIZE_MODE, "SCALE TO FIT");
    let spacing = origin.header.planes.of(0).spacing_mm;
    let area = match spacing {
        Some(spacing) => area.decimals(tags::PRESENTATION_PIXEL_SPACING, spacing),
        None => area.texts(tags::PRESENTATION_PIXEL_ASPECT_RATIO, [1, 1]),
    };
    let layer = Dataset::new()
        .text(tags::GRAPHIC_LAYER, LAYER)
        .text(tags::GRAPHIC_LAYER_ORDER, 1)
        .text(tags::GRAPHIC_LAYER_DESCRIPTION, "AI findings, unverified")
        .words(tags::GRAPHIC_LAYER_RECOMMENDED_DISPLAY_CIE_LAB_VALUE, &COLOUR);
    Dataset::new()
        .text(tags::CONTENT_LABEL, LAYER)
        .text(tags::CONTENT_DESCRIPTION, "AI findings, unverified, research use")
        .text(tags::CONTENT_CREATOR_NAME, head::CREATOR)
        .item(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, area)
        .item(tags::GRAPHIC_LAYER_SEQUENCE, layer)
        .text(tags::PRESENTATION_LUT_SHAPE, shape)
}

/// The lines and words on one frame.
fn annotation(places: &[&(&Finding, Place)]) -> Dataset {
    let lines = places.iter().map(|(_, place)| {
        // A line of a mask has a bounded number of corners.
        let points = [u16::try_from(place.points.len()).unwrap_or(u16::MAX)];
        Dataset::new()
            .text(tags::GRAPHIC_ANNOTATION_UNITS, "PIXEL")
            .words(tags::GRAPHIC_DIMENSIONS, &[2])
            .words(tags::NUMBER_OF_GRAPHIC_POINTS, &points)
            .floats(tags::GRAPHIC_DATA, place.points.as_flattened().to_vec())
            .text(tags::GRAPHIC_TYPE, "POLYLINE")
            .text(tags::GRAPHIC_FILLED, "N")
    });
    let words = places.iter().map(|(finding, place)| {
        let said = format!("{} {:.0} % (AI, unverified)", finding.code.meaning, finding.probability * 100.0);
        // Below the line, at its left end.
        let left = place.points.iter().map(|point| point[0]).fold(f32::INFINITY, f32::min);
        let bottom = place.points.iter().map(|point| point[1]).fold(0.0, f32::max);
        Dataset::new()
            .text(tags::ANCHOR_POINT_ANNOTATION_UNITS, "PIXEL")
            .text(tags::UNFORMATTED_TEXT_VALUE, shortened(&said, 200))
            .floats(tags::ANCHOR_POINT, vec![left, bottom])
            .text(tags::ANCHOR_POINT_VISIBILITY, "N")
    });
    Dataset::new()
        .text(tags::GRAPHIC_LAYER, LAYER)
        .items(tags::TEXT_OBJECT_SEQUENCE, words)
        .items(tags::GRAPHIC_OBJECT_SEQUENCE, lines)
}

/// From stored values to what is shown, as the model saw it.
fn values(seen: &Seen) -> Dataset {
    let modality = match &seen.modality {
        Modality::Identity => Dataset::new(),
        Modality::Rescale { slope, intercept } => Dataset::new()
            .decimals(tags::RESCALE_INTERCEPT, [*intercept])
            .decimals(tags::RESCALE_SLOPE, [*slope])
            .text(tags::RESCALE_TYPE, "US"),
        Modality::Lut(table) => {
            Dataset::new().item(tags::MODALITY_LUT_SEQUENCE, lut(table).text(tags::MODALITY_LUT_TYPE, "US"))
        }
    };
    let shown = match &seen.voi {
        Voi::None => None,
        Voi::Window(window) => {
            let item = Dataset::new()
                .decimals(tags::WINDOW_CENTER, [window.center])
                .decimals(tags::WINDOW_WIDTH, [window.width]);
            let function = match window.function {
                Function::Linear => None,
                Function::LinearExact => Some("LINEAR_EXACT"),
                Function::Sigmoid => Some("SIGMOID"),
            };
            Some(function.map_or(item.clone(), |name| item.text(tags::VOILUT_FUNCTION, name)))
        }
        Voi::Lut(table) => Some(Dataset::new().item(tags::VOILUT_SEQUENCE, lut(table))),
    };
    match shown {
        Some(item) => modality.item(tags::SOFTCOPY_VOILUT_SEQUENCE, item),
        None => modality,
    }
}

fn lut(table: &Lut) -> Dataset {
    // 65,536 entries are written as 0 (PS3.3 C.11.1.1).
    let count = u16::try_from(table.entries.len()).unwrap_or(0);
    let descriptor: Tag = tags::LUT_DESCRIPTOR;
    let set = match (u16::try_from(table.first), i16::try_from(table.first)) {
        (Ok(first), _) => Dataset::new().words(descriptor, &[count, first, table.bits]),
        (Err(_), Ok(first)) => {
            // One VR for all three: those of a signed table keep their bits.
            Dataset::new().signed_words(descriptor, &[count.cast_signed(), first, table.bits.cast_signed()])
        }
        (Err(_), Err(_)) => Dataset::new().words(descriptor, &[count, 0, table.bits]),
    };
    set.words(tags::LUT_DATA, &table.entries)
}
