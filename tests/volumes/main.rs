//! Promise: the slices of a series become the volume that they are in the patient, or it is said what is wrong with them.
//!
//! Expected orders, geometry and values: `dicom/series/series.csv` and `volumes.csv` of the shared corpus (made by `make/series.py` there,
//! checked against SimpleITK); resampling: SciPy and Pillow (`golden.py`). docs/volumes.md shows the rules.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail where it stands")]
#[path = "../support/mod.rs"]
mod support;

mod apart;
mod bad;
mod made;
mod memory;
mod places;
mod printed;
mod resampled;
mod series;

use std::fmt::Write;

use overread::pixel::{DEFECTS, Rule};
use support::page::check_section;

#[test]
fn the_page_says_what_is_done_about_each_defect() {
    let mut table = String::from("| warning | found when | what is done | why |\n|---|---|---|---|\n");
    for row in DEFECTS {
        let rule = match row.rule {
            Rule::Warn => "analysed, with the warning".to_owned(),
            Rule::Resample => {
                "analysed, with the warning; for volume models resampled to even steps at right angles".to_owned()
            }
            Rule::Split => "split".to_owned(),
            Rule::LeaveOut(code) => format!("the frames are left out: `{code}`"),
            Rule::Refuse(code) => format!("the volume is not analysed: `{code}`"),
        };
        writeln!(table, "| `{}` | {} | {rule} | {} |", row.name, row.means, row.why).unwrap();
    }
    check_section("docs/volumes.md", "defects", &table);
}
