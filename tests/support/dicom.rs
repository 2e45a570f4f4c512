//! Makes small DICOM objects byte by byte (explicit VR little endian), valid by default, broken on request.
use super::ct::Place;

/// A single-frame CR image; every field may be changed before `bytes`.
#[derive(Clone)]
pub struct Cr {
    pub rows: u16,
    pub columns: u16,
    pub study: String,
    pub series: String,
    pub sop_instance: String,
    pub sop_class: String,
    pub transfer_syntax: String,
    pub patient_id: String,
    pub patient_name: String,
    /// `PatientAge`, for example `045Y`; empty leaves it out.
    pub age: String,
    pub sex: String,
    pub modality: String,
    pub body_part: String,
    pub view_position: String,
    pub image_type: String,
    pub photometric: String,
    /// 12 of 16 bits, row-major.
    pub pixels: Vec<u16>,
    /// Where it lies in the patient; empty for a projection.
    pub place: Place,
    /// Inserted as they are, in group order before the pixel group: more attributes, or broken ones.
    pub extra: Vec<u8>,
}

/// A frontal-chest-like picture (body, two lungs, heart, ribs) of an adult, PA, with UIDs made from `seed`.
pub fn cr(rows: u16, columns: u16, seed: u64) -> Cr {
    Cr {
        rows,
        columns,
        study: format!("2.25.{}", 1_000_000 + seed),
        series: format!("2.25.{}", 2_000_000 + seed),
        sop_instance: format!("2.25.{}", 3_000_000 + seed),
        sop_class: "1.2.840.10008.5.1.4.1.1.1".into(),
        transfer_syntax: "1.2.840.10008.1.2.1".into(),
        patient_id: format!("GENERATED-{seed}"),
        patient_name: "Generated^Person".into(),
        age: "045Y".into(),
        sex: "F".into(),
        modality: "CR".into(),
        body_part: "CHEST".into(),
        view_position: "PA".into(),
        image_type: "ORIGINAL\\PRIMARY".into(),
        photometric: "MONOCHROME2".into(),
        pixels: chest_pixels(rows, columns, seed),
        place: Place::default(),
        extra: Vec::new(),
    }
}

impl Cr {
    /// The object as a Part 10 file.
    pub fn bytes(&self) -> Vec<u8> {
        let pixels: Vec<u8> = self.pixels.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut dataset = self.header();
        dataset.extend(element(0x7FE0, 0x0010, "OW", &pixels));
        part10(&self.transfer_syntax, &self.sop_class, &self.sop_instance, &dataset)
    }

    /// The data set up to the pixels.
    pub fn header(&self) -> Vec<u8> {
        let text = |group, number, vr: &str, value: &str| element(group, number, vr, value.as_bytes());
        let word = |number: u16, value: u16| element(0x0028, number, "US", &value.to_le_bytes());
        let mut out = Vec::new();
        for part in [
            text(0x0008, 0x0008, "CS", &self.image_type),
            text(0x0008, 0x0016, "UI", &self.sop_class),
            text(0x0008, 0x0018, "UI", &self.sop_instance),
            text(0x0008, 0x0020, "DA", "20260101"),
            text(0x0008, 0x0060, "CS", &self.modality),
            text(0x0010, 0x0010, "PN", &self.patient_name),
            text(0x0010, 0x0020, "LO", &self.patient_id),
            text(0x0010, 0x0040, "CS", &self.sex),
            if self.age.is_empty() { Vec::new() } else { text(0x0010, 0x1010, "AS", &self.age) },
            text(0x0018, 0x0015, "CS", &self.body_part),
            text(0x0018, 0x5101, "CS", &self.view_position),
            text(0x0020, 0x000D, "UI", &self.study),
            text(0x0020, 0x000E, "UI", &self.series),
            self.place.frame.clone(),
            word(0x0002, 1),
            text(0x0028, 0x0004, "CS", &self.photometric),
            word(0x0010, self.rows),
            word(0x0011, self.columns),
            self.place.spacing.clone(),
            word(0x0100, 16),
            word(0x0101, 12),
            word(0x0102, 11),
            word(0x0103, 0),
            text(0x0028, 0x1050, "DS", "2048"),
            text(0x0028, 0x1051, "DS", "4096"),
            self.extra.clone(),
        ] {
            out.extend(part);
        }
        out
    }
}

/// One element in explicit VR little endian, padded to even length.
pub fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if matches!(vr, "UI" | "OB" | "UN") { 0 } else { b' ' });
    }
    let mut out = element_header(group, number, vr, value.len() as u32);
    out.extend(value);
    out
}

/// The header of an element whose value is not as long as it says, or has undefined length (`u32::MAX`).
pub fn element_header(group: u16, number: u16, vr: &str, length: u32) -> Vec<u8> {
    let mut out = [group.to_le_bytes(), number.to_le_bytes()].concat();
    out.extend(vr.as_bytes());
    if matches!(vr, "OB" | "OW" | "OF" | "OD" | "OL" | "OV" | "SQ" | "UC" | "UR" | "UT" | "UN" | "SV" | "UV") {
        out.extend([0, 0]);
        out.extend(length.to_le_bytes());
    } else {
        out.extend((length as u16).to_le_bytes());
    }
    out
}

/// An item or delimiter of group FFFE.
pub fn item(number: u16, length: u32) -> Vec<u8> {
    [&0xFFFEu16.to_le_bytes()[..], &number.to_le_bytes(), &length.to_le_bytes()].concat()
}

/// Preamble, file meta group and data set.
pub fn part10(transfer_syntax: &str, sop_class: &str, sop_instance: &str, dataset: &[u8]) -> Vec<u8> {
    let mut meta = element(0x0002, 0x0001, "OB", &[0, 1]);
    meta.extend(element(0x0002, 0x0002, "UI", sop_class.as_bytes()));
    meta.extend(element(0x0002, 0x0003, "UI", sop_instance.as_bytes()));
    meta.extend(element(0x0002, 0x0010, "UI", transfer_syntax.as_bytes()));
    meta.extend(element(0x0002, 0x0012, "UI", b"2.25.1"));
    let mut out = vec![0; 128];
    out.extend(b"DICM");
    out.extend(element(0x0002, 0x0000, "UL", &(meta.len() as u32).to_le_bytes()));
    out.extend(meta);
    out.extend(dataset);
    out
}

/// Whether (x, y) lies in the ellipse around (cx, cy).
fn inside(x: f64, y: f64, (cx, cy, rx, ry): (f64, f64, f64, f64)) -> bool {
    ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) <= 1.0
}

fn chest_pixels(rows: u16, columns: u16, seed: u64) -> Vec<u16> {
    let mut noise = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut pixels = Vec::with_capacity(usize::from(rows) * usize::from(columns));
    for row in 0..rows {
        for column in 0..columns {
            let (x, y) = ((f64::from(column) + 0.5) / f64::from(columns), (f64::from(row) + 0.5) / f64::from(rows));
            let body = inside(x, y, (0.5, 0.55, 0.46, 0.62));
            let lung = inside(x, y, (0.3, 0.45, 0.15, 0.32)) || inside(x, y, (0.7, 0.45, 0.15, 0.32));
            let heart = inside(x, y, (0.56, 0.6, 0.14, 0.15));
            let rib = (y * 60.0).sin().abs() < 0.25;
            let tissue = match (body, lung && !heart) {
                (false, _) => 100.0,
                (true, true) => 900.0 + if rib { 350.0 } else { 0.0 },
                (true, false) => 2600.0,
            };
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            pixels.push((tissue + (noise % 64) as f64) as u16);
        }
    }
    pixels
}
