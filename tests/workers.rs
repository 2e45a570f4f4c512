//! The promise: a codestream that crashes its decoder, fills the memory or never ends costs its own frame and nothing else.
//!
//! Real workers of the real binary, killed and overloaded from outside; no switch in the service makes them misbehave.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it stands")]
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use overread::dicom::{DecodeConfig, DecodeMode, Decoder, Instance, Limits, TRANSFER_SYNTAXES};
use overread::error::{Code, Result};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use support::corpus::{Tally, Verdict, public, rows, shared};
use support::dicom::{cr, element, element_header, item, part10};
use support::server;

const JPEG_PROGRESSIVE: &str = "1.2.840.10008.1.2.4.55";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";

/// Tests look for the children of their own process: one at a time, where one process runs them all.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn workers(count: usize, seconds_max: u64) -> Decoder {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_overread"));
    Decoder::new(&DecodeConfig { mode: DecodeMode::Workers, workers: count, seconds_max, program }).unwrap()
}

fn open(bytes: Vec<u8>) -> Instance {
    Instance::read(&Bytes::from(bytes), &Limits::default()).unwrap()
}

/// A grey 8-bit image of one frame that holds `codestream`.
fn encapsulated(syntax: &str, rows: u16, columns: u16, mut codestream: Vec<u8>) -> Vec<u8> {
    if codestream.len() % 2 == 1 {
        codestream.push(0);
    }
    let film = cr(8, 8, 1);
    let mut dataset = Vec::new();
    for (group, number, vr, value) in [
        (0x0008, 0x0016, "UI", film.sop_class.as_bytes().to_vec()),
        (0x0008, 0x0018, "UI", film.sop_instance.as_bytes().to_vec()),
        (0x0020, 0x000D, "UI", film.study.as_bytes().to_vec()),
        (0x0020, 0x000E, "UI", film.series.as_bytes().to_vec()),
        (0x0028, 0x0002, "US", 1u16.to_le_bytes().to_vec()),
        (0x0028, 0x0004, "CS", b"MONOCHROME2".to_vec()),
        (0x0028, 0x0010, "US", rows.to_le_bytes().to_vec()),
        (0x0028, 0x0011, "US", columns.to_le_bytes().to_vec()),
        (0x0028, 0x0100, "US", 8u16.to_le_bytes().to_vec()),
        (0x0028, 0x0101, "US", 8u16.to_le_bytes().to_vec()),
        (0x0028, 0x0102, "US", 7u16.to_le_bytes().to_vec()),
        (0x0028, 0x0103, "US", 0u16.to_le_bytes().to_vec()),
    ] {
        dataset.extend(element(group, number, vr, &value));
    }
    dataset.extend(element_header(0x7FE0, 0x0010, "OB", u32::MAX));
    dataset.extend(item(0xE000, 0));
    dataset.extend(item(0xE000, codestream.len() as u32));
    dataset.extend(codestream);
    dataset.extend(item(0xE0DD, 0));
    part10(syntax, &film.sop_class, &film.sop_instance, &dataset)
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    [&[0xFF, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
}

/// A valid progressive JPEG of a flat grey that is small on disk and long to decode: each of its 63 AC coefficients has scans
/// of its own, and every scan, a handful of bytes, is a walk over all blocks.
fn slow_jpeg(side: u16, refinements: u8) -> Vec<u8> {
    let blocks = usize::from(side).div_ceil(8).pow(2);
    let mut out = vec![0xFF, 0xD8];
    out.extend(segment(0xDB, &[&[0][..], &[1; 64]].concat()));
    let [high, low] = side.to_be_bytes();
    out.extend(segment(0xC2, &[8, high, low, high, low, 1, 1, 0x11, 0]));
    // DC table 0: category 0 is `0`. AC table 0: EOBn runs of 2^14 and more (symbol E0) are `0`.
    for (class, symbol) in [(0x00, 0x00), (0x10, 0xE0)] {
        let lengths = [&[1][..], &[0; 15]].concat();
        out.extend(segment(0xC4, &[&[class][..], &lengths, &[symbol]].concat()));
    }
    out.extend(segment(0xDA, &[1, 1, 0, 0, 0, 0]));
    out.extend(vec![0; blocks.div_ceil(8)]);
    for coefficient in 1..=63u8 {
        for level in (0..=refinements).rev() {
            let above = if level == refinements { 0 } else { level + 1 };
            out.extend(segment(0xDA, &[1, 1, 0, coefficient, coefficient, above << 4 | level]));
            out.extend(end_of_band_runs(blocks));
        }
    }
    out.extend([0xFF, 0xD9]);
    out
}

/// Runs of blocks without a coefficient: `0`, then 14 bits that say how many beyond 2^14.
fn end_of_band_runs(blocks: usize) -> Vec<u8> {
    let mut bits = Vec::new();
    let mut left = blocks;
    while left > 0 {
        let run = left.clamp(1 << 14, (1 << 15) - 1);
        bits.push(false);
        bits.extend((0..14).rev().map(|bit| (run - (1 << 14)) >> bit & 1 == 1));
        left = left.saturating_sub(run);
    }
    bits.resize(bits.len().next_multiple_of(8), true);
    let byte = |eight: &[bool]| eight.iter().fold(0u8, |byte, bit| byte << 1 | u8::from(*bit));
    // A byte of ones would be taken for a marker: a zero goes after it (B.1.1.5).
    bits.chunks(8).map(byte).flat_map(|byte| if byte == 0xFF { vec![0xFF, 0] } else { vec![byte] }).collect()
}

/// A JPEG 2000 header that asks for precincts of one pixel: a structure of some hundred bytes for each of the side x side.
fn greedy_jpeg_2000(side: u32) -> Vec<u8> {
    let mut size = vec![0, 0];
    for number in [side, side, 0, 0, side, side, 0, 0] {
        size.extend(number.to_be_bytes());
    }
    size.extend([0, 1, 7, 1, 1]);
    let mut out = vec![0xFF, 0x4F];
    out.extend(segment(0x51, &size));
    // Precincts are stated; LRCP, 1 layer, no component transform; no decomposition, code blocks of 4 x 4, 5-3 filter; 2^0 x 2^0.
    out.extend(segment(0x52, &[1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0x00]));
    out.extend(segment(0x5C, &[0x40, 0x40]));
    out.extend([0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, 14, 0, 1, 0xFF, 0x93]);
    out.extend([0xFF, 0xD9]);
    out
}

/// Processes whose parent is `pid`, zombies left out.
fn children(pid: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        if fields.len() > 1 && fields[0] != "Z" && fields[1] == pid.to_string() {
            children.push(child);
        }
    }
    children
}

fn own_workers() -> Vec<u32> {
    children(std::process::id()).into_iter().flat_map(children).collect()
}

fn status(pid: u32, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// Processor time that a process has used, in ticks.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields.get(11).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// Waits until `holds`; panics after 20 s.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::yield_now();
    }
}

fn code(result: Result<overread::dicom::Frame>) -> Option<Code> {
    result.err().map(|error| error.code)
}

/// An image that any healthy worker decodes, and what its pixels are.
fn healthy() -> Instance {
    open(encapsulated(JPEG_PROGRESSIVE, 64, 64, slow_jpeg(64, 0)))
}

#[track_caller]
fn decodes(decoder: &Decoder) {
    let frame = decoder.frame(&healthy(), 0).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(frame.samples, Decoder::in_process().frame(&healthy(), 0).unwrap().samples);
}

#[test]
fn workers_give_the_samples_that_this_process_would() {
    let _alone = alone();
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let decoder = workers(1, 60);
    let here = Decoder::in_process();
    let mut tally = Tally::default();
    let mut seen = BTreeSet::new();
    let corpus = shared.join("dicom/corpus");
    let listed = rows(&corpus.join("manifest.csv")).into_iter().map(|row| corpus.join(&row["path"]));
    let public = ["RG1_J2KR.dcm", "RG1_J2KI.dcm", "color3d_jpeg_baseline.dcm"].into_iter().filter_map(public);
    for path in listed.chain(public) {
        let Ok(instance) = Instance::read(&std::fs::read(&path).unwrap().into(), &Limits::default()) else { continue };
        let syntax = instance.transfer_syntax();
        let mut verdict = Verdict::Right;
        for index in 0..instance.header().frames.min(3) {
            match (decoder.frame(&instance, index), here.frame(&instance, index)) {
                (Ok(there), Ok(here))
                    if (there.right_aligned, there.is_rgb) == (here.right_aligned, here.is_rgb)
                        && there.samples == here.samples => {}
                (Err(there), Err(here)) if there == here => verdict = Verdict::Refused(here.code),
                (Ok(_), Ok(_)) => verdict = Verdict::Wrong("other samples".into()),
                (there, here) => verdict = Verdict::Wrong(format!("{:?} and {:?}", there.err(), here.err())),
            }
        }
        seen.insert(syntax.uid);
        tally.add(syntax.name, &path.to_string_lossy(), verdict);
    }
    let missing: Vec<_> = TRANSFER_SYNTAXES.iter().filter(|row| !seen.contains(row.uid)).collect();
    assert!(missing.is_empty(), "no image of {missing:?}");
    tally.finish();
}

/// Where the system forbids reading another process's memory, as this thread's filter does, the worker puts its samples into
/// the shared memory.
#[test]
fn samples_come_through_shared_memory_where_they_cannot_be_read_in_place() {
    let _alone = alone();
    let forbidden = [(libc::SYS_process_vm_readv, Vec::new())].into();
    let (allow, forbid) = (SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32));
    let filter = SeccompFilter::new(forbidden, allow, forbid, std::env::consts::ARCH.try_into().unwrap()).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    // A thread of its own: the filter stays for good.
    let decoding = std::thread::spawn(move || {
        seccompiler::apply_filter(&program).unwrap();
        let decoder = workers(1, 60);
        decodes(&decoder);
        let large = open(encapsulated(JPEG_PROGRESSIVE, 9000, 9000, slow_jpeg(9000, 0)));
        let samples = decoder.frame(&large, 0).unwrap().samples;
        assert_eq!(samples, Decoder::in_process().frame(&large, 0).unwrap().samples);
        // What was more than is kept has been given back; the worker goes on with what is left.
        decodes(&decoder);
    });
    decoding.join().unwrap();
}

#[test]
fn a_worker_that_is_killed_costs_its_frame_and_no_other() {
    let _alone = alone();
    let decoder = workers(1, 60);
    decodes(&decoder);
    // A segmentation fault from outside is no fault to the handler that looks at the address: it is told by these as well.
    for name in ["-KILL", "-ABRT", "-SYS"] {
        let victim = own_workers()[0];
        let before = ticks(victim);
        let slow = open(encapsulated(JPEG_PROGRESSIVE, 8000, 8000, slow_jpeg(8000, 2)));
        let outcome = std::thread::scope(|scope| {
            let decoding = scope.spawn(|| code(decoder.frame(&slow, 0)));
            until("the worker is at work", || ticks(victim) > before + 5);
            signal(name, victim);
            decoding.join().unwrap()
        });
        assert_eq!(outcome, Some(Code::DecodeFailed), "{name}");
        decodes(&decoder);
        assert_eq!(own_workers().len(), 1, "{name}");
        assert_ne!(own_workers()[0], victim, "{name}");
    }
}

#[test]
fn a_codestream_that_takes_too_long_is_stopped() {
    let _alone = alone();
    let decoder = workers(1, 1);
    let slow = open(encapsulated(JPEG_PROGRESSIVE, 12_000, 12_000, slow_jpeg(12_000, 2)));
    let error = decoder.frame(&slow, 0).err().unwrap();
    assert_eq!(error.code, Code::DecodeTimeout);
    assert!(error.detail.contains("decode.seconds_max"), "{error}");
    decodes(&decoder);
}

#[test]
fn a_codestream_that_wants_all_memory_gets_its_share_and_no_more() {
    let _alone = alone();
    let decoder = workers(1, 60);
    decodes(&decoder);
    let worker = own_workers()[0];
    let base = status(worker, "VmSize").unwrap();
    let ours = status(std::process::id(), "VmHWM").unwrap();
    let greedy = open(encapsulated(JPEG_2000, 4000, 4000, greedy_jpeg_2000(4000)));
    assert_eq!(code(decoder.frame(&greedy, 0)), Some(Code::DecodeFailed));
    // What the frame may take: 512 MiB, 32 bytes a sample, and the codestream, which is nothing here. In KiB.
    let share = (512 << 10) + 32 * 4000 * 4000 / 1024 + 1024;
    if let Some(peak) = status(worker, "VmPeak") {
        assert!(peak <= base + share, "{peak} KiB, of {base} before");
        assert!(peak > base + share / 2, "the frame was no test of the limit: {peak} KiB, of {base} before");
    }
    assert!(status(std::process::id(), "VmHWM").unwrap() < ours + (64 << 10), "the service's own memory grew");
    decodes(&decoder);
}

#[test]
fn a_worker_can_reach_nothing_but_its_service() {
    let _alone = alone();
    let decoder = workers(1, 60);
    let walls = decoder.start().unwrap().unwrap();
    decodes(&decoder);
    let worker = own_workers()[0];
    assert!(walls.seccomp, "this kernel has no seccomp");
    // 2: a filter is in force.
    assert_eq!(status(worker, "Seccomp:"), Some(2));
    assert_eq!(status(worker, "NoNewPrivs:"), Some(1));
    assert_eq!(status(worker, "Threads:"), Some(1));
    let limits = std::fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
    for (name, soft) in [("Max core file size", "0"), ("Max open files", "3"), ("Max processes", "0")] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line[name.len()..].split_whitespace().next(), Some(soft), "{line}");
    }
    for name in ["Max address space", "Max cpu time", "Max file size"] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(!line[name.len()..].trim_start().starts_with("unlimited"), "{line}");
    }
    let open = std::fs::read_dir(format!("/proc/{worker}/fd")).unwrap().flatten();
    let open: BTreeSet<_> = open.map(|fd| fd.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(open, ["0", "1", "2"].map(str::to_owned).into());
    let environment = std::fs::read(format!("/proc/{worker}/environ")).unwrap();
    let names = environment.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
    let set_by_us = |entry: &[u8]| entry.starts_with(b"LD_LIBRARY_PATH=") || entry.starts_with(b"GLIBC_TUNABLES=");
    assert!(names.into_iter().all(set_by_us));
}

#[test]
fn many_frames_share_few_workers_and_none_is_left_out() {
    let _alone = alone();
    let decoder = workers(2, 60);
    let want = Decoder::in_process().frame(&healthy(), 0).unwrap().samples;
    std::thread::scope(|scope| {
        let frames: Vec<_> =
            (0..300).map(|_| scope.spawn(|| decoder.frame(&healthy(), 0).map(|frame| frame.samples == want))).collect();
        for frame in frames {
            assert_eq!(frame.join().unwrap(), Ok(true));
        }
    });
    assert!(own_workers().len() <= 2);
}

#[test]
fn a_nursery_that_is_killed_is_replaced_before_the_next_frame() {
    let _alone = alone();
    let decoder = workers(1, 60);
    decodes(&decoder);
    let (nursery, worker) = (children(std::process::id())[0], own_workers()[0]);
    signal("-KILL", nursery);
    until("the worker goes with its nursery", || status(worker, "VmSize").is_none());
    decodes(&decoder);
    drop(decoder);
    until("nothing is left of a decoder that was dropped", || own_workers().is_empty());
}

#[test]
fn a_server_that_is_killed_leaves_no_worker_behind() {
    let home = tempfile::tempdir().unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let server = server::start(&home.path().join("data"), &models, &["decode.workers=2"]);
    let nurseries = children(server.pid());
    let left: Vec<u32> = nurseries.iter().copied().flat_map(children).chain(nurseries.iter().copied()).collect();
    assert_eq!(left.len(), 2, "a nursery and the first worker");
    server.kill();
    let alive = |pid: &u32| status(*pid, "VmSize").is_some();
    until("nursery and worker are gone", || !left.iter().any(alive));
}

#[test]
fn a_program_that_is_no_worker_is_told_at_start() {
    let _alone = alone();
    let program = PathBuf::from("/bin/true");
    let decoder = Decoder::new(&DecodeConfig { program, ..DecodeConfig::default() }).unwrap();
    assert_eq!(decoder.start().err().map(|error| error.code), Some(Code::Internal));
}
