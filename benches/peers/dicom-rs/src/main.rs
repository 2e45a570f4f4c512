//! Decodes the first frame of each file whose path comes in, by dicom-rs, and answers with the CPU nanoseconds that it took.
//!
//! The file is opened outside the clock; the lower quartile of the calls of one visit counts, as in benches/pixels/worker.rs.
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::time::Duration;

use dicom_pixeldata::PixelDecoder;

const VISIT: Duration = Duration::from_millis(150);

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn main() {
    for line in std::io::stdin().lock().lines() {
        match visit(&line.expect("a path a line")) {
            Ok(nanoseconds) => println!("{nanoseconds}"),
            Err(error) => {
                eprintln!("{error}");
                println!("-");
            }
        }
        std::io::stdout().flush().expect("the answer is read");
    }
}

fn visit(path: &str) -> Result<u128, Box<dyn std::error::Error>> {
    let object = dicom_object::open_file(path)?;
    object.decode_pixel_data_frame(0)?;
    let (start, mut times) = (cpu_time(), Vec::new());
    while times.len() < 3 || cpu_time() - start < VISIT {
        let before = cpu_time();
        drop(black_box(object.decode_pixel_data_frame(0)?));
        times.push((cpu_time() - before).as_nanos());
    }
    times.sort_unstable();
    Ok(times[times.len() / 4])
}
