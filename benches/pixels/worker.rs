//! One candidate of benches/peers/compare.py: a path a line comes in, the CPU nanoseconds of decoding its first frame go out.
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use overread::dicom::Decoders;

use super::{alone, cpu_time, open};

const VISIT: Duration = Duration::from_millis(150);

/// Runs until its input ends. Names: `overread`, `overread-rust` (only decoders written in Rust), `library` (the decoder alone).
pub(super) fn run(name: &str) {
    for line in std::io::stdin().lock().lines() {
        let path = line.expect("a path a line");
        let answer = match name {
            "overread" => frame(Path::new(&path), Decoders::Fastest),
            "overread-rust" => frame(Path::new(&path), Decoders::Rust),
            "library" => alone::decoder(Path::new(&path)).map(|mut decode| visit(&mut *decode)),
            other => panic!("no candidate is called {other}"),
        };
        match answer {
            Some(nanoseconds) => println!("{nanoseconds}"),
            None => println!("-"),
        }
        std::io::stdout().flush().expect("the answer is read");
    }
}

fn frame(path: &Path, decoders: Decoders) -> Option<u128> {
    let instance = open(path);
    instance.frame_with(0, decoders).ok()?;
    Some(visit(&mut || drop(black_box(instance.frame_with(0, decoders)))))
}

/// Lower quartile of the calls of one visit; the first call refills the caches and does not count.
fn visit(call: &mut dyn FnMut()) -> u128 {
    call();
    let (start, mut times) = (cpu_time(), Vec::new());
    while times.len() < 3 || cpu_time() - start < VISIT {
        let before = cpu_time();
        call();
        times.push((cpu_time() - before).as_nanos());
    }
    times.sort_unstable();
    times[times.len() / 4]
}
