//! The value pipeline: LUTs, windows, rescale, padding and palettes of any content over pixels of any content.
#![no_main]
use libfuzzer_sys::fuzz_target;
use overread_fuzz::look;
use overread_fuzz::object::{Form, element};

const SYNTAXES: &[&str] = &["1.2.840.10008.1.2.1"];

/// The attributes that say what stored values mean, with the VR that files write.
const ATTRIBUTES: [(u16, &str); 24] = [
    (0x0120, "US"), (0x0120, "SS"), (0x0121, "US"), (0x1050, "DS"), (0x1051, "DS"), (0x1052, "DS"), (0x1053, "DS"),
    (0x1056, "CS"), (0x1101, "US"), (0x1102, "US"), (0x1103, "US"), (0x1201, "OW"), (0x1202, "OW"), (0x1203, "OW"),
    (0x1221, "OW"), (0x1222, "OW"), (0x1223, "OW"), (0x3000, "SQ"), (0x3010, "SQ"), (0x3002, "US"), (0x3002, "SS"),
    (0x3006, "OW"), (0x1050, "UN"), (0x1053, "UN"),
];

fuzz_target!(|input: &[u8]| {
    let Some((form, mut rest)) = Form::take(input, SYNTAXES) else { return };
    let (mut extra, mut table) = (Vec::new(), Vec::new());
    // Each attribute: which, how many bytes, the bytes. Tables are collected, and wrapped by the next sequence.
    while let Some(([which, length], after)) = rest.split_first_chunk::<2>() {
        let (value, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let (number, vr) = ATTRIBUTES[usize::from(*which) % ATTRIBUTES.len()];
        match number {
            0x3002 | 0x3006 => table.extend(element(0x0028, number, vr, value)),
            0x3000 | 0x3010 => {
                let mut items = [0xFE, 0xFF, 0x00, 0xE0].to_vec();
                items.extend((table.len() as u32).to_le_bytes());
                items.append(&mut table);
                extra.extend(element(0x0028, number, vr, &items));
            }
            _ => extra.extend(element(0x0028, number, vr, value)),
        }
        if extra.len() > 4096 {
            break;
        }
    }
    look(form.native(&extra, rest));
});
