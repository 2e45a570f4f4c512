//! A series of 300 CT slices, read and decoded to display values by as many threads as there are cores: time and memory.
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use overread::dicom::Decoder;

use super::open;

/// Measures in a process of its own, so that the peak of memory is that of the series.
pub(super) fn in_a_process() {
    let this = std::env::current_exe().expect("a path to this program");
    let status = std::process::Command::new(this).arg("--series").status().expect("this program runs again");
    assert!(status.success(), "the series was not read");
}

pub(super) fn run(folder: &Path) {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a series").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let pixels = open(&paths[0]).header().frame_pixels();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let before = peak_bytes();
    let start = Instant::now();
    let mut volume = vec![0f32; pixels * paths.len()];
    let slices: Vec<Mutex<&mut [f32]>> = volume.chunks_mut(pixels).map(Mutex::new).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = paths.get(index) else { break };
                    let image =
                        overread::pixel::image(&Decoder::in_process(), &open(path), 0).expect("a readable slice");
                    let values = image.values.as_slice().expect("rows in order");
                    slices[index].lock().expect("one thread a slice").copy_from_slice(values);
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    drop(slices);
    let mean = volume.iter().map(|v| f64::from(*v)).sum::<f64>() / volume.len() as f64;
    let (bytes, peak) = (volume.len() * 4, peak_bytes());
    println!(
        "series: {} slices, {threads} threads, {seconds:.2} s wall, {:.0} slices/s; peak {} MB, of which {} MB before, the volume {} MB: \
         {:.2} of the volume (mean display value {mean:.4})",
        paths.len(),
        paths.len() as f64 / seconds,
        peak >> 20,
        before >> 20,
        bytes >> 20,
        (peak - before) as f64 / bytes as f64,
    );
}

/// Most memory that this process has held, as the kernel counts it.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim_end_matches("kB").trim().parse::<usize>().expect("a number") * 1024
}
