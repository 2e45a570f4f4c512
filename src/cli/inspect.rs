//! `overread inspect`: what is in a file at each stage from stored to display values, and what a model will see of it. The stage
//! `volume` is in `volumes`.
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::dicom::{DecodeConfig, Decoder, Instance, Limits, Viewed};
use crate::error::{Code, Error, Result, Subject};
use crate::pixel::{self, StageFrame, Summary, render};

use super::volumes;

/// Arguments of `overread inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  overread inspect chest.dcm                              display values: range, mean, hash
  overread inspect chest.dcm --stage modality --json      the same of modality values, for programs
  overread inspect chest.dcm --png chest.png              the picture that a model sees
  overread inspect cine.dcm --frame 3 --npy frame.npy     one frame as a NumPy array
  overread inspect FOLDER --stage volume                  the series of a folder as volumes: order, place, defects
  overread inspect FOLDER --stage volume --nii out.nii    the same, and the values for other programs (out-1.nii, ... if several)

Stages: stored (as in the file, sign and unused bits dealt with), modality (after Modality LUT or rescale),
display (after VOI LUT or window, 0 to 255, MONOCHROME1 inverted), volume (modality values of slices stacked where they lie in the
patient; docs/volumes.md says how, and what the warnings mean).
Pixels that the service would not analyse (segmentations, parametric maps, images of no study) are shown, too; why is then
said as `not analysed`.
Exit status: 0, or 3 if the file is refused or the folder holds no volume; the reason is a code that never changes its name.")]
pub(super) struct Args {
    /// A DICOM file; a file or folder for the stage volume
    file: PathBuf,
    /// Only this frame, from 1 [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    frame: Option<u32>,
    /// Which values
    #[arg(long, value_enum, default_value_t = Stage::Display)]
    stage: Stage,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write the values: frames (if several) x rows x columns x samples (if three); int64, float64 or uint8
    #[arg(long, value_name = "OUT")]
    npy: Option<PathBuf>,
    /// Write the first frame, or the one asked for, as the grey picture that a model sees
    #[arg(long, value_name = "OUT")]
    png: Option<PathBuf>,
    /// Write each volume as NIfTI-1: float32, slices x rows x columns, affine in RAS
    #[arg(long, value_name = "OUT")]
    nii: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Stage {
    Stored,
    Modality,
    Display,
    Volume,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Stored => "stored",
            Stage::Modality => "modality",
            Stage::Display => "display",
            Stage::Volume => "volume",
        }
    }

    /// The stage of a frame's values; `None` for that of many frames together.
    fn of_frames(self) -> Option<pixel::Stage> {
        match self {
            Stage::Stored => Some(pixel::Stage::Stored),
            Stage::Modality => Some(pixel::Stage::Modality),
            Stage::Display => Some(pixel::Stage::Display),
            Stage::Volume => None,
        }
    }

    /// The first of these arguments that was given and says nothing at this stage.
    fn idle(self, args: &Args) -> Option<&'static str> {
        let of_a_frame =
            [(args.frame.is_some(), "--frame"), (args.npy.is_some(), "--npy"), (args.png.is_some(), "--png")];
        let of_a_volume = [(args.nii.is_some(), "--nii")];
        let idle: &[(bool, &str)] = if self.of_frames().is_some() { &of_a_volume } else { &of_a_frame };
        idle.iter().find(|(given, _)| *given).map(|(_, name)| *name)
    }
}

/// Runs the subcommand; the exit status is 0, or that of the code that the file was refused with.
pub(super) fn run(args: &Args) -> ExitCode {
    if let Some(argument) = args.stage.idle(args) {
        let detail = format!("means nothing at the stage {}", args.stage.name());
        return super::fail(&Error::new(Code::InvalidArgument, detail).about(Subject::Field(argument.to_owned())));
    }
    let Some(stage) = args.stage.of_frames() else {
        return volumes::run(&volumes::Ask { path: &args.file, json: args.json, nii: args.nii.as_deref() });
    };
    match inspect(args, stage) {
        Ok(facts) => {
            print(args, &facts);
            ExitCode::SUCCESS
        }
        Err(error) => {
            refuse(args, &error);
            ExitCode::from(error.code.row().exit)
        }
    }
}

fn inspect(args: &Args, stage: pixel::Stage) -> Result<Value> {
    let unreadable = |_| Error::new(Code::NotFound, "the file cannot be read").about(Subject::Field("FILE".into()));
    let bytes = std::fs::read(&args.file).map_err(unreadable)?;
    let viewed = Instance::view(&bytes.into(), &Limits::default())?;
    let instance = &viewed.instance;
    // A file that somebody was sent is no more to be trusted than what a server receives. A worker starts if it is needed.
    let decoder = Decoder::new(&DecodeConfig::default())?;
    let indices = match args.frame {
        Some(number) => number - 1..number,
        None => 0..instance.header().frames,
    };
    let summary = match &args.npy {
        Some(path) => {
            let mut array = Npy::create(path, instance, indices.len())?;
            let write = |frame: Result<StageFrame>| frame.and_then(|frame| array.push(frame));
            let frames = indices.clone().map(|index| pixel::stage_frame(&decoder, instance, stage, index));
            let summary = pixel::summarise(frames.map(write))?;
            array.finish()?;
            summary
        }
        None => pixel::summarise(indices.clone().map(|index| pixel::stage_frame(&decoder, instance, stage, index)))?,
    };
    if let Some(path) = &args.png {
        let image = pixel::image(&decoder, instance, indices.start)?;
        let png = render::gray_png(image.values.view())?;
        std::fs::write(path, png).map_err(|_| unwritable("--png"))?;
    }
    Ok(facts(args, &viewed, &summary))
}

fn unwritable(argument: &str) -> Error {
    Error::new(Code::InvalidArgument, "the file cannot be written").about(Subject::Field(argument.into()))
}

/// Fixed for programs outside: keys are added, never renamed.
fn facts(args: &Args, viewed: &Viewed, summary: &Summary) -> Value {
    let (instance, header) = (&viewed.instance, viewed.instance.header());
    json!({
        "stage": args.stage.name(),
        "frame": args.frame,
        "rows": header.rows,
        "columns": header.columns,
        "frames": header.frames,
        "samples": header.samples,
        "transfer_syntax": header.transfer_syntax.as_str(),
        "transfer_syntax_name": instance.transfer_syntax().name,
        "photometric": header.photometric.as_str(),
        "modality": header.modality,
        "bits_allocated": header.bits_allocated,
        "bits_stored": header.bits_stored,
        "signed": header.signed,
        "sop_instance_uid": viewed.identity.sop_instance.as_ref().map(|uid| uid.as_str()),
        "not_analysed": viewed.refusal.as_ref().map(described),
        "min": number(summary.min),
        "max": number(summary.max),
        "mean": summary.mean,
        "sha256": summary.sha256,
    })
}

fn described(error: &Error) -> Value {
    let subject = Some(error.subject.to_string()).filter(|subject| !subject.is_empty());
    json!({"code": error.code.name(), "subject": subject, "detail": error.detail})
}

/// A whole number without a decimal point.
fn number(value: Option<f64>) -> Value {
    match value {
        Some(v) if v.fract() == 0.0 && v.abs() < 9e15 => json!(v as i64),
        other => json!(other),
    }
}

#[expect(clippy::print_stdout, reason = "the data of this subcommand")]
fn print(args: &Args, facts: &Value) {
    if args.json {
        println!("{facts}");
        return;
    }
    for (name, value) in facts.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Object(error) => {
                let words = ["code", "subject", "detail"].iter().filter_map(|key| error.get(*key)?.as_str());
                words.collect::<Vec<_>>().join(" ")
            }
            value => value.to_string(),
        };
        println!("{:22}{text}", name.replace('_', " "));
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the data of this subcommand; talk without --json")]
fn refuse(args: &Args, error: &Error) {
    let row = error.code.row();
    match args.json {
        true => {
            println!("{}", json!({"error": described(error)}));
        }
        false => eprintln!("refused {error}\n  {}\n  do: {}", row.means, row.remedy),
    }
}

/// A NumPy array (format 1.0, C order) that grows frame by frame; its header is written with the first.
struct Npy {
    out: BufWriter<File>,
    shape: Vec<usize>,
    started: bool,
}

impl Npy {
    fn create(path: &Path, instance: &Instance, frames: usize) -> Result<Npy> {
        let file = File::create(path).map_err(|_| unwritable("--npy"))?;
        let header = instance.header();
        let plane = [usize::from(header.rows), usize::from(header.columns)];
        let shape = if frames == 1 { plane.to_vec() } else { [&[frames][..], &plane].concat() };
        Ok(Npy { out: BufWriter::new(file), shape, started: false })
    }

    fn push(&mut self, frame: StageFrame) -> Result<StageFrame> {
        let (kind, count) = match &frame {
            StageFrame::Integers(values) => ("<i8", values.len()),
            StageFrame::Numbers(values) => ("<f8", values.len()),
            StageFrame::Bytes(values) => ("|u1", values.len()),
        };
        self.start(kind, count).and_then(|()| self.values(&frame)).map_err(|_| unwritable("--npy"))?;
        Ok(frame)
    }

    fn start(&mut self, kind: &str, count: usize) -> std::io::Result<()> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        let plane: usize = self.shape.iter().rev().take(2).product();
        if count != plane {
            self.shape.push(count / plane);
        }
        let sides: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", sides.join(", "));
        // Magic, version and length take 10 bytes; the data start at a multiple of 64.
        let padded = format!("{header:<width$}\n", width = (10 + header.len() + 1).next_multiple_of(64) - 11);
        self.out.write_all(b"\x93NUMPY\x01\x00")?;
        self.out.write_all(&(padded.len() as u16).to_le_bytes())?;
        self.out.write_all(padded.as_bytes())
    }

    fn values(&mut self, frame: &StageFrame) -> std::io::Result<()> {
        match frame {
            StageFrame::Integers(values) => values.iter().try_for_each(|v| self.out.write_all(&v.to_le_bytes())),
            StageFrame::Numbers(values) => values.iter().try_for_each(|v| self.out.write_all(&v.to_le_bytes())),
            StageFrame::Bytes(values) => self.out.write_all(values),
        }
    }

    fn finish(mut self) -> Result<()> {
        self.out.flush().map_err(|_| unwritable("--npy"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sha2::{Digest, Sha256};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// A data set without a file meta group, 2 x 3 pixels of 16 bits: enough to be read.
    fn small_image() -> Vec<u8> {
        let element = |group: u16, number: u16, vr: &[u8; 2], value: &[u8]| {
            let mut out = [group.to_le_bytes(), number.to_le_bytes()].concat();
            out.extend(vr);
            out.extend((value.len() as u16).to_le_bytes());
            out.extend(value);
            out
        };
        let word = |number: u16, value: u16| element(0x0028, number, b"US", &value.to_le_bytes());
        // OW has two reserved bytes where short VRs have their length, then a length of four.
        let mut pixels = element(0x7FE0, 0x0010, b"OW", &[]);
        pixels.extend(12u32.to_le_bytes());
        pixels.extend([7u16, 1, 2, 3, 4, 500].iter().flat_map(|v| v.to_le_bytes()));
        [
            element(0x0008, 0x0016, b"UI", b"1.2.840.10008.5.1.4.1.1.1\0"),
            element(0x0008, 0x0018, b"UI", b"2.25.1\0\0"),
            element(0x0020, 0x000D, b"UI", b"2.25.2\0\0"),
            element(0x0020, 0x000E, b"UI", b"2.25.3\0\0"),
            element(0x0028, 0x0004, b"CS", b"MONOCHROME2 "),
            word(0x0010, 2),
            word(0x0011, 3),
            word(0x0100, 16),
            word(0x0101, 16),
            pixels,
        ]
        .concat()
    }

    #[test]
    fn the_array_that_is_written_is_the_one_that_is_hashed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        std::fs::write(path("image.dcm"), small_image()).expect("a file");
        let [file, npy, png] = ["image.dcm", "out.npy", "out.png"].map(path);
        let line = ["inspect", &file, "--stage", "stored", "--npy", &npy, "--png", &png];
        let facts = inspect(&Line::parse_from(line).args, pixel::Stage::Stored).expect("an image");
        assert_eq!((&facts["min"], &facts["max"], &facts["frames"]), (&json!(1), &json!(500), &json!(1)));
        let written = std::fs::read(npy).expect("an array");
        let (head, values) = written.split_at(written.len() - 6 * 8);
        assert!(head.len().is_multiple_of(64) && String::from_utf8_lossy(head).contains("'<i8'"), "{head:?}");
        assert!(String::from_utf8_lossy(head).contains("(2, 3)"));
        let hash: String = Sha256::digest(values).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(facts["sha256"], json!(hash));
        assert!(std::fs::read(png).expect("a picture").starts_with(b"\x89PNG"));
    }

    #[test]
    fn a_frame_that_is_not_there_is_a_coded_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("image.dcm");
        std::fs::write(&file, small_image()).expect("a file");
        let args = Line::parse_from(["inspect", &file.to_string_lossy(), "--frame", "2"]).args;
        assert_eq!(inspect(&args, pixel::Stage::Display).err().map(|error| error.code), Some(Code::InvalidArgument));
    }
}
