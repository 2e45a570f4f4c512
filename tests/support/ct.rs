//! Makes CT series slice by slice: a body of water with a bright ball in it, at real positions in the patient.
use super::dicom::{Cr, cr, element};

/// A series of CT slices; every field may be changed before `slice`.
#[derive(Clone)]
pub struct Scan {
    pub study: String,
    pub series: String,
    pub modality: String,
    pub body_part: String,
    pub slices: u16,
    pub rows: u16,
    pub columns: u16,
    /// Between slices, rows, columns; mm.
    pub spacing_mm: [f64; 3],
    /// Image Position (Patient) of the first slice.
    pub origin_mm: [f64; 3],
    /// Image Orientation (Patient).
    pub directions: [f64; 6],
    /// From one slice to the next, mm, as the table moved under a tilted gantry. `None`: along the normal, at the distance of slices.
    pub table_mm: Option<[f64; 3]>,
    /// Centre (left, posterior, superior) and radius, mm; 300 HU.
    pub ball_mm: Option<([f64; 3], f64)>,
}

/// 12 axial slices of 64 x 64 pixels of 2 mm, 5 mm apart, without a ball; UIDs made from `seed`.
pub fn scan(seed: u64) -> Scan {
    Scan {
        study: format!("2.25.{}", 1_000_000 + seed),
        series: format!("2.25.{}", 2_000_000 + seed),
        modality: "CT".into(),
        body_part: "CHEST".into(),
        slices: 12,
        rows: 64,
        columns: 64,
        spacing_mm: [5.0, 2.0, 2.0],
        origin_mm: [-63.0, -63.0, 100.0],
        directions: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        table_mm: None,
        ball_mm: None,
    }
}

impl Scan {
    /// All slices as Part 10 files, out of order.
    pub fn files(&self) -> Vec<Vec<u8>> {
        let slices = self.slices;
        // 7 has no factor in common with the counts that tests use, so that each slice comes once.
        (0..slices).map(|place| self.slice((u32::from(place) * 7 % u32::from(slices)) as u16).bytes()).collect()
    }

    /// Slice `index`; its Instance Number says nothing about its place.
    pub fn slice(&self, index: u16) -> Cr {
        let mut made = cr(self.rows, self.columns, 0);
        made.study.clone_from(&self.study);
        made.series.clone_from(&self.series);
        made.sop_instance = format!("{}.{}", self.series, index + 1);
        made.sop_class = "1.2.840.10008.5.1.4.1.1.2".into();
        made.patient_id = format!("PATIENT-OF-{}", self.study);
        made.modality.clone_from(&self.modality);
        made.body_part.clone_from(&self.body_part);
        made.view_position = String::new();
        made.image_type = "ORIGINAL\\PRIMARY\\AXIAL".into();
        made.place = self.place(index);
        made.extra = [element(0x0028, 0x1052, "DS", b"-1024"), element(0x0028, 0x1053, "DS", b"1")].concat();
        made.pixels = self.pixels(index);
        made
    }

    /// Instance Number, position, orientation, and pixel spacing.
    pub fn place(&self, index: u16) -> Place {
        let position = self.first_pixel(index);
        let number = u32::from(index) * 7919 % 1000;
        let text = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join("\\");
        Place {
            frame: [
                element(0x0020, 0x0013, "IS", number.to_string().as_bytes()),
                element(0x0020, 0x0032, "DS", text(&position).as_bytes()),
                element(0x0020, 0x0037, "DS", text(&self.directions).as_bytes()),
            ]
            .concat(),
            spacing: element(0x0028, 0x0030, "DS", text(&self.spacing_mm[1..]).as_bytes()),
        }
    }

    /// Where the first pixel of a slice lies, mm.
    fn first_pixel(&self, index: u16) -> [f64; 3] {
        let [a, b, c, d, e, f] = self.directions;
        let normal = [b * f - c * e, c * d - a * f, a * e - b * d];
        let way = self.table_mm.unwrap_or(normal.map(|v| v * self.spacing_mm[0]));
        [0, 1, 2].map(|axis| self.origin_mm[axis] + f64::from(index) * way[axis])
    }

    /// HU + 1024: air around an ellipse of water, and the ball.
    fn pixels(&self, index: u16) -> Vec<u16> {
        let first = self.first_pixel(index);
        let place = |row: u16, column: u16| {
            let (down, right) = (f64::from(row) * self.spacing_mm[1], f64::from(column) * self.spacing_mm[2]);
            [0, 1, 2].map(|axis| first[axis] + right * self.directions[axis] + down * self.directions[3 + axis])
        };
        let in_body = |row: u16, column: u16| {
            let share = |at: u16, of: u16| (f64::from(at) + 0.5) / f64::from(of) * 2.0 - 1.0;
            share(row, self.rows).hypot(share(column, self.columns)) < 0.9
        };
        let value = |row: u16, column: u16| {
            let point = place(row, column);
            let in_ball = self.ball_mm.is_some_and(|(centre, radius)| {
                (0..3).map(|axis| (point[axis] - centre[axis]).powi(2)).sum::<f64>() <= radius * radius
            });
            match (in_ball, in_body(row, column)) {
                (true, _) => 1324,
                (false, true) => 1024,
                (false, false) => 24,
            }
        };
        (0..self.rows)
            .flat_map(|row| (0..self.columns).map(move |column| (row, column)))
            .map(|(r, c)| value(r, c))
            .collect()
    }
}

/// The elements that say where a slice lies.
#[derive(Clone, Default)]
pub struct Place {
    /// Of group 0020, after Series Instance UID.
    pub frame: Vec<u8>,
    /// Pixel Spacing.
    pub spacing: Vec<u8>,
}
