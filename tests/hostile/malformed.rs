//! The corpus of broken and borderline files, and small steps away from whole ones.
use bytes::Bytes;
use overread::dicom::{Decoder, Instance, Limits};
use overread::error::{Code, Result};
use overread::pixel::{Image, Stage, StageFrame, image, stage_frame, summarise};

use crate::read;
use crate::support::corpus::{Tally, Verdict, rows, shared};
use crate::support::page::check_section;

/// The corpus' verdict words, and the codes here that say the same. `ok` and `ok_with_warning` are no refusals.
const VERDICTS: &[(&str, &[Code])] = &[
    ("not_dicom", &[Code::NotDicom]),
    ("truncated", &[Code::Truncated]),
    ("bad_length", &[Code::Truncated, Code::HeaderImplausible]),
    ("too_deep", &[Code::TooLarge]),
    ("inflate_limit", &[Code::TooLarge]),
    ("absurd_size", &[Code::TooLarge]),
    ("bad_header", &[Code::HeaderImplausible]),
    ("invalid_uid", &[Code::HeaderImplausible]),
    ("inconsistent_header", &[Code::HeaderImplausible, Code::PixelLayoutInvalid]),
    ("unsupported_bits", &[Code::PixelLayoutInvalid]),
    ("unsupported_sop_class", &[Code::UnsupportedSopClass]),
    ("unsupported_transfer_syntax", &[Code::UnsupportedTransferSyntax]),
    ("not_analysed", &[Code::UnsupportedSopClass, Code::NoPixelData]),
    ("no_pixel_data", &[Code::NoPixelData]),
    ("bad_encapsulation", &[Code::PixelLayoutInvalid]),
    ("decode_failed", &[Code::DecodeFailed]),
];

fn codes_of(word: &str) -> &'static [Code] {
    let verdict = VERDICTS.iter().find(|(known, _)| *known == word);
    verdict.unwrap_or_else(|| panic!("the corpus has a new verdict: {word}")).1
}

#[test]
fn the_page_says_which_code_is_which_verdict() {
    let mut table = String::from("| verdict | code |\n|---|---|\n| ok, ok with warning | none: it is read |\n");
    for (word, codes) in VERDICTS {
        let names: Vec<String> = codes.iter().map(|code| format!("`{}`", code.name())).collect();
        table += &format!("| {} | {} |\n", word.replace('_', " "), names.join(" or "));
    }
    check_section("docs/pixels.md", "verdicts", &table);
}

/// Most memory that this process has held, as the kernel counts it.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// Reads all frames through all three stages; the SHA-256 of the stored values.
fn look_at(instance: Instance) -> Result<String> {
    let stored = summarise(
        (0..instance.header().frames).map(|i| stage_frame(&Decoder::in_process(), &instance, Stage::Stored, i)),
    )?;
    if instance.header().photometric.is_monochrome() {
        let modality = stage_frame(&Decoder::in_process(), &instance, Stage::Modality, 0)?;
        let StageFrame::Numbers(values) = modality else { panic!("modality values are numbers") };
        assert!(values.iter().all(|v| v.is_finite()), "a modality value is not finite");
        let image = image(&Decoder::in_process(), &instance, 0)?;
        assert!(image.values.iter().all(|v| (0.0..=1.0).contains(v)), "a display value is outside 0 to 1");
    }
    stage_frame(&Decoder::in_process(), &instance, Stage::Display, 0)?;
    Ok(stored.sha256)
}

/// Through both doors: `read`, as for analysis, and `view`, as for `inspect`.
#[test]
fn malformed_files_get_the_verdict_that_the_corpus_gives_them() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let folder = shared.join("dicom/malformed");
    let mut tally = Tally::default();
    for row in rows(&folder.join("malformed.csv")) {
        let bytes = Bytes::from(std::fs::read(folder.join(&row["path"])).unwrap());
        let limits = Limits::default();
        let to_analyse = Instance::read(&bytes, &limits).and_then(look_at);
        let to_view = Instance::view(&bytes, &limits).and_then(|viewed| look_at(viewed.instance));
        for (door, got) in [("read", to_analyse), ("view", to_view)] {
            tally.add(&row["expect"], &format!("{} ({door})", row["path"]), verdict(&row, got));
        }
    }
    tally.finish();
    let peak = peak_memory_bytes();
    println!("{} MiB at the peak", peak >> 20);
    // A file among these asks for 8 GiB, another inflates to 1.1.
    assert!(peak < 320 << 20, "{peak} bytes at the peak");
}

fn verdict(row: &std::collections::BTreeMap<String, String>, got: Result<String>) -> Verdict {
    let words = || row["also_ok"].split(';').chain([&*row["expect"]]).filter(|word| !word.is_empty());
    let may_read = words().any(|word| word.starts_with("ok"));
    match got {
        Ok(sha256) if may_read && (row["stored_sha256"].is_empty() || row["stored_sha256"] == sha256) => Verdict::Right,
        Ok(_) if may_read => Verdict::Wrong("read to other values than it holds".into()),
        Ok(_) => Verdict::Wrong(format!("read; expected {}", row["expect"])),
        Err(error) => {
            let mut refusals = words().filter(|word| !word.starts_with("ok"));
            match refusals.any(|word| codes_of(word).contains(&error.code)) {
                true => Verdict::Refused(error.code),
                false => Verdict::Wrong(format!("{error}; expected {} {}", row["expect"], row["also_ok"])),
            }
        }
    }
}

/// The picture that a model would see of the first frame.
fn picture(bytes: Vec<u8>) -> Result<Image> {
    image(&Decoder::in_process(), &read(bytes)?, 0)
}

/// Small steps from real files: any byte may be wrong, any byte may be the last.
#[test]
fn cut_and_mutated_radiographs_end_in_a_value_or_a_code() {
    let Some(shared) = shared() else { return Tally::skip("the shared corpus is not here") };
    let mut tally = Tally::default();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for entry in std::fs::read_dir(shared.join("dicom/corpus/cr_dx")).unwrap() {
        let whole = std::fs::read(entry.unwrap().path()).unwrap();
        // Big files cost a decode a try; what matters is in headers and at the start of codestreams.
        let tries = if whole.len() > 400_000 { 2 } else { 24 };
        for _ in 0..tries {
            let length = next(whole.len());
            let verdict = match picture(whole[..length].to_vec()) {
                // What comes after the pixels may be lost: their delimiter, and padding.
                Ok(cut) if Ok(&cut) == picture(whole.clone()).as_ref() => Verdict::Right,
                Ok(_) => Verdict::Wrong(format!("read although cut after {length} of {} bytes", whole.len())),
                Err(error) => Verdict::Refused(error.code),
            };
            tally.add("cut", "cr_dx", verdict);
            let mut mutated = whole.clone();
            let reach = if next(2) == 0 { whole.len() } else { whole.len().min(4096) };
            for _ in 0..1 + next(8) {
                mutated[next(reach)] = next(256) as u8;
            }
            let verdict = picture(mutated).map_or_else(|error| Verdict::Refused(error.code), |_| Verdict::Right);
            tally.add("mutated", "cr_dx", verdict);
        }
    }
    tally.finish();
}
