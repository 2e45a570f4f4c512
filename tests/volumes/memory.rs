//! A CT of 300 slices is loaded in less than twice the memory of its values.
use std::process::Command;
use std::sync::Arc;

use overread::dicom::{Decoder, Header, Instance, Limits};
use overread::pixel::{Stack, stacks, volume};
use overread::uid::Uid;

use crate::made::{Slice, decimals, slice};
use crate::support::dicom::{element, element_header};

const SLICES: u32 = 300;
/// Where set, this process is the one that loads.
const LOADS: &str = "OVERREAD_LOADS_A_VOLUME";

/// Slice `index` of 512 x 512, native, half of it padding.
fn large(index: u32) -> Slice {
    let mut large = slice(0);
    (large.image.rows, large.image.columns) = (512, 512);
    large.image.sop_instance = format!("2.25.{}", 60_000 + index);
    large.position = Some(decimals(&[-100.0, -80.0, f64::from(index)]));
    large.extra = element(0x0028, 0x0120, "US", &0u16.to_le_bytes());
    large
}

fn instance(index: u32) -> Instance {
    let values = [0u8, 0, 7, 1].repeat(512 * 512 / 2);
    let header = element_header(0x7FE0, 0x0010, "OW", values.len() as u32);
    let bytes = large(index).bytes_with("1.2.840.10008.1.2.1", &[header, values].concat());
    Instance::read(&bytes.into(), &Limits::default()).unwrap()
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

fn load() {
    let headers: Vec<Header> = (0..SLICES).map(|index| instance(index).header().clone()).collect();
    let stack: Stack = stacks(&headers.iter().collect::<Vec<_>>()).stacks.remove(0);
    let before = peak_bytes();
    let read = |uid: &Uid| {
        let number: u32 = uid.as_str().trim_start_matches("2.25.").parse().unwrap();
        Ok(Arc::new(instance(number - 60_000)))
    };
    let volume = volume(&Decoder::in_process(), &stack, read, 2).unwrap();
    assert_eq!((volume.values.dim(), volume.values[(299, 511, 511)]), ((300, 512, 512), 263.0));
    assert!(volume.padding.is_some_and(|mask| mask.iter().filter(|pads| **pads).count() == 150 * 512 * 512));
    println!("peak {} of {}", peak_bytes() - before, stack.bytes());
}

/// In a process of its own: what other tests have held would count, too.
#[test]
fn a_volume_of_300_slices_is_loaded_in_less_than_twice_its_size() {
    if std::env::var_os(LOADS).is_some() {
        return load();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "memory::a_volume_of_300_slices_is_loaded_in_less_than_twice_its_size", "--nocapture"]);
    let output = child.env(LOADS, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split_once("peak ")).map(|(_, rest)| rest);
    let words: Vec<u64> =
        line.unwrap_or_else(|| panic!("{text}")).split(' ').filter_map(|word| word.parse().ok()).collect();
    let [peak, size] = words[..] else { panic!("{text}") };
    println!("peak {peak} bytes, values {size} bytes: {:.2}", peak as f64 / size as f64);
    assert!(peak < 2 * size, "{peak} bytes for {size} bytes of values");
    assert!(peak > size, "the measure is none: {peak} bytes for {size} bytes of values");
}
