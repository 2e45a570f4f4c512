//! The header as a parser of other make reads it: dicom-object of dicom-rs, over all files of the corpus that it can open.
use std::path::Path;

use dicom::core::VR;
use dicom::dictionary_std::tags;
use dicom::object::file::ReadPreamble;
use dicom::object::{DefaultDicomObject, OpenFileOptions};
use overread::dicom::Header;

use crate::support::corpus::{Tally, Verdict, rows, shared};
use crate::view;

#[test]
fn the_header_is_what_another_parser_reads() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let mut tally = Tally::default();
    for (table, folder) in [("dicom/corpus/manifest.csv", "dicom/corpus"), ("dicom/series/series.csv", "dicom/series")]
    {
        for row in rows(&shared.join(table)) {
            let name = row.get("path").cloned().unwrap_or_else(|| format!("{}/{}", row["series"], row["file"]));
            let path = shared.join(folder).join(&name);
            // Only what is read here is given to the other parser: some that is not makes it allocate without end.
            let Ok(viewed) = view(&path) else { continue };
            let Some(object) = open(&path) else { continue };
            let wrong = differences(viewed.instance.header(), &object);
            let verdict = if wrong.is_empty() { Verdict::Right } else { Verdict::Wrong(wrong.join(", ")) };
            tally.add(folder, &name, verdict);
        }
    }
    tally.finish();
}

fn open(path: &Path) -> Option<DefaultDicomObject> {
    OpenFileOptions::new().read_until(tags::PIXEL_DATA).read_preamble(ReadPreamble::Auto).open_file(path).ok()
}

fn differences(header: &Header, object: &DefaultDicomObject) -> Vec<String> {
    // Text of VR UN stays bytes there; lower case and no value at all are the same here.
    let stated = |tag| object.get(tag).filter(|element| element.vr() != VR::UN);
    let text = |tag| stated(tag)?.to_str().ok().map(|text| text.trim_matches(['\0', ' ']).to_uppercase());
    let number = |tag| object.get(tag).and_then(|element| element.to_int::<u32>().ok());
    let numbers = [
        ("Rows", tags::ROWS, u32::from(header.rows)),
        ("Columns", tags::COLUMNS, u32::from(header.columns)),
        ("Samples per Pixel", tags::SAMPLES_PER_PIXEL, u32::from(header.samples)),
        ("Number of Frames", tags::NUMBER_OF_FRAMES, header.frames),
        ("Bits Allocated", tags::BITS_ALLOCATED, u32::from(header.bits_allocated)),
        ("Bits Stored", tags::BITS_STORED, u32::from(header.bits_stored)),
        ("High Bit", tags::HIGH_BIT, u32::from(header.high_bit)),
        ("Pixel Representation", tags::PIXEL_REPRESENTATION, u32::from(header.signed)),
        ("Planar Configuration", tags::PLANAR_CONFIGURATION, u32::from(header.planar)),
    ];
    let texts = [
        ("Modality", tags::MODALITY, &header.modality),
        ("Body Part Examined", tags::BODY_PART_EXAMINED, &header.body_part),
        ("View Position", tags::VIEW_POSITION, &header.view_position),
    ];
    let number_differs = |(_, tag, ours): &(&str, _, u32)| number(*tag).is_some_and(|theirs| theirs != *ours);
    let text_differs = |(_, tag, ours): &(&str, _, &String)| text(*tag).is_some_and(|theirs| theirs != **ours);
    let numbers = numbers.iter().filter(|field| number_differs(field)).map(|(name, ..)| (*name).to_owned());
    let texts = texts.iter().filter(|field| text_differs(field)).map(|(name, ..)| (*name).to_owned());
    numbers.chain(texts).collect()
}
