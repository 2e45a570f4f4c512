//! `overread inspect --stage volume`: which volumes the series of a folder make, where they lie, what they hold, what is left out.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use walkdir::WalkDir;

use crate::dicom::{DecodeConfig, Decoder, Header, Instance, Limits, identify};
use crate::error::{Code, Error, Result, Subject};
use crate::pixel::{self, SliceSource, Stack, Summary};
use crate::uid::Uid;

use super::nifti;

/// What is asked for.
pub(super) struct Ask<'a> {
    pub(super) path: &'a Path,
    pub(super) json: bool,
    pub(super) nii: Option<&'a Path>,
}

/// What the path holds.
#[derive(Default)]
struct Found {
    volumes: Vec<Told>,
    left_out: Vec<LeftOut>,
}

/// A volume, and what is told of it.
struct Told {
    stack: Stack,
    /// All defects of its series.
    of_series: Vec<&'static str>,
    summary: Result<Summary>,
    nii: Option<PathBuf>,
}

struct LeftOut {
    series: Option<Uid>,
    source: Option<SliceSource>,
    code: Code,
    file: PathBuf,
}

/// Runs the subcommand: 0, or 3 where there is no volume.
pub(super) fn run(ask: &Ask<'_>) -> ExitCode {
    match find(ask) {
        Ok(found) => {
            print(ask, &found);
            match (found.volumes.is_empty(), found.left_out.first()) {
                (true, Some(left_out)) => ExitCode::from(left_out.code.row().exit),
                _ => ExitCode::SUCCESS,
            }
        }
        Err(error) => super::fail(&error),
    }
}

fn find(ask: &Ask<'_>) -> Result<Found> {
    let mut found = Found::default();
    let series = headers(ask.path, &mut found.left_out)?;
    if series.is_empty() && found.left_out.is_empty() {
        return Err(Error::new(Code::NotFound, "there is no file").about(Subject::Field("PATH".to_owned())));
    }
    let files: BTreeMap<&Uid, &Path> =
        series.values().flatten().map(|(header, file)| (&header.sop_instance, file.as_path())).collect();
    // What somebody was sent is no more to be trusted than what a server receives.
    let decoder = Decoder::new(&DecodeConfig::default())?;
    let read = |uid: &Uid| {
        let file = files.get(uid).ok_or_else(|| Error::internal("a slice has no file"))?;
        open(file).map(Arc::new)
    };
    for (uid, instances) in &series {
        let headers: Vec<&Header> = instances.iter().map(|(header, _)| header).collect();
        let sorted = pixel::stacks(&headers);
        let of_series: Vec<&str> = sorted.warnings().iter().map(|defect| defect.name()).collect();
        for (source, code) in sorted.left_out {
            let file = files.get(&source.sop_instance).map(|file| file.to_path_buf()).unwrap_or_default();
            found.left_out.push(LeftOut { series: Some(uid.clone()), source: Some(source), code, file });
        }
        for stack in sorted.stacks {
            let summary = summary(&decoder, &stack, read);
            found.volumes.push(Told { stack, of_series: of_series.clone(), summary, nii: None });
        }
    }
    write_all(ask, &mut found, &decoder, read)?;
    Ok(found)
}

/// Of the modality values in f64, in which they are exact, slice by slice: the whole is never held.
fn summary(decoder: &Decoder, stack: &Stack, read: impl Fn(&Uid) -> Result<Arc<Instance>>) -> Result<Summary> {
    let mut held: Option<Arc<Instance>> = None;
    pixel::summarise(stack.sources.iter().map(|source| {
        let is_held = held.as_ref().is_some_and(|held| held.header().sop_instance == source.sop_instance);
        let instance = match held.take().filter(|_| is_held) {
            Some(instance) => instance,
            None => read(&source.sop_instance)?,
        };
        let frame = pixel::stage_frame(decoder, &instance, pixel::Stage::Modality, source.frame_number - 1);
        held = Some(instance);
        frame
    }))
}

fn write_all(
    ask: &Ask<'_>,
    found: &mut Found,
    decoder: &Decoder,
    read: impl Fn(&Uid) -> Result<Arc<Instance>> + Sync,
) -> Result<()> {
    let Some(path) = ask.nii else { return Ok(()) };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let several = found.volumes.len() > 1;
    for (index, told) in found.volumes.iter_mut().enumerate().filter(|(_, told)| told.summary.is_ok()) {
        let path = if several { numbered(path, index + 1) } else { path.to_owned() };
        match pixel::volume(decoder, &told.stack, &read, threads) {
            Ok(volume) => {
                nifti::write(&path, &volume)?;
                told.nii = Some(path);
            }
            Err(error) => told.summary = Err(error),
        }
    }
    Ok(())
}

/// `out.nii` as `out-2.nii`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    path.with_file_name(name)
}

fn open(file: &Path) -> Result<Instance> {
    Instance::read(&bytes_of(file)?, &Limits::default())
}

fn bytes_of(file: &Path) -> Result<Bytes> {
    let unreadable = |_| Error::new(Code::NotFound, "a file cannot be read");
    std::fs::read(file).map(Bytes::from).map_err(unreadable)
}

type Series = BTreeMap<Uid, Vec<(Header, PathBuf)>>;

/// Headers of all files at or below `path` by series; of an instance that is there twice, the first file's.
fn headers(path: &Path, left_out: &mut Vec<LeftOut>) -> Result<Series> {
    let mut series = Series::new();
    for entry in WalkDir::new(path).sort_by_file_name() {
        let unusable = |_| {
            let detail = "is not there or cannot be read";
            Error::new(Code::InvalidArgument, detail).about(Subject::Field("PATH".to_owned()))
        };
        let entry = entry.map_err(unusable)?;
        if entry.path().is_dir() {
            continue;
        }
        let file = entry.into_path();
        let bytes = bytes_of(&file)?;
        match Instance::read(&bytes, &Limits::default()) {
            Ok(instance) => {
                let header = instance.header().clone();
                let known = series.entry(header.series.clone()).or_default();
                if known.iter().all(|(other, _)| other.sop_instance != header.sop_instance) {
                    known.push((header, file));
                }
            }
            Err(error) => {
                let sop_instance = identify(&bytes, &Limits::default()).sop_instance;
                let source = sop_instance.map(|sop_instance| SliceSource { sop_instance, frame_number: 1 });
                left_out.push(LeftOut { series: None, source, code: error.code, file });
            }
        }
    }
    Ok(series)
}

#[expect(clippy::print_stdout, reason = "the data of this subcommand")]
fn print(ask: &Ask<'_>, found: &Found) {
    if ask.json {
        println!("{}", facts(found));
        return;
    }
    for told in &found.volumes {
        println!("{}", lines(told));
    }
    let mut by_reason: BTreeMap<(Option<&Uid>, Code), usize> = BTreeMap::new();
    for left_out in &found.left_out {
        *by_reason.entry((left_out.series.as_ref(), left_out.code)).or_default() += 1;
    }
    for ((series, code), count) in by_reason {
        let of = series.map(|uid| format!(" of series {uid}")).unwrap_or_default();
        println!("left out {count}{of}: {code}\n  {}\n  do: {}", code.row().means, code.row().remedy);
    }
    println!("volumes: {}; left out: {}", found.volumes.len(), found.left_out.len());
}

fn lines(told: &Told) -> String {
    let Stack { series, size, spacing, warnings, .. } = &told.stack;
    let mut text = format!(
        "volume of series {series}\n  {} slices of {} x {}, {}; {:.3} mm between slices, {:.3} x {:.3} mm in them",
        size[0],
        size[1],
        size[2],
        plane(told.stack.normal()),
        spacing[0],
        spacing[1],
        spacing[2],
    );
    text += &match &told.summary {
        Ok(summary) => {
            let number = |value: Option<f64>| value.map_or("none".to_owned(), |v| format!("{v:.6}"));
            let short = |value: Option<f64>| number(value).trim_end_matches('0').trim_end_matches('.').to_owned();
            format!(
                "\n  values {} to {}, mean {}; sha256 {}",
                short(summary.min),
                short(summary.max),
                short(summary.mean),
                summary.sha256
            )
        }
        Err(error) => format!("\n  not read: {error}"),
    };
    for defect in warnings {
        text += &format!("\n  {}: {}", defect.name(), defect.row().means);
    }
    if let Some(path) = &told.nii {
        text += &format!("\n  written to {}", path.display());
    }
    text
}

/// How the slices cut the body; the axis that their normal is nearest to.
fn plane(normal: [f64; 3]) -> &'static str {
    let [x, y, z] = normal.map(f64::abs);
    match (x, y, z) {
        _ if z >= x && z >= y => "axial",
        _ if y >= x => "coronal",
        _ => "sagittal",
    }
}

/// Fixed for programs outside: keys are added, never renamed.
fn facts(found: &Found) -> Value {
    let volumes: Vec<Value> = found.volumes.iter().map(volume_facts).collect();
    let left_out = found.left_out.iter().map(|left_out| {
        json!({
            "sop_instance_uid": left_out.source.as_ref().map(|source| source.sop_instance.as_str()),
            "code": left_out.code.name(),
            "series_instance_uid": left_out.series.as_ref().map(Uid::as_str),
            "frame": left_out.source.as_ref().map(|source| source.frame_number),
            "file": left_out.file.to_string_lossy(),
        })
    });
    json!({"volumes": volumes, "left_out": left_out.collect::<Vec<_>>()})
}

fn volume_facts(told: &Told) -> Value {
    let stack = &told.stack;
    let own: Vec<&str> = stack.warnings.iter().map(|defect| defect.name()).collect();
    let mut facts = json!({
        "series_instance_uid": stack.series.as_str(),
        "order": stack.sources.iter().map(|source| source.sop_instance.as_str()).collect::<Vec<_>>(),
        "frames": stack.sources.iter().map(|source| source.frame_number).collect::<Vec<_>>(),
        "shape": stack.size,
        "spacing": stack.spacing,
        "affine": stack.affine.matrix(),
        "warnings": told.of_series,
        "volume_warnings": own,
        "refused": stack.refusal().map(Code::name),
    });
    let values = match &told.summary {
        Ok(Summary { min, max, mean, sha256 }) => json!({"min": min, "max": max, "mean": mean, "sha256": sha256}),
        Err(error) => json!({
            "min": null, "max": null, "mean": null, "sha256": null,
            "error": {"code": error.code.name(), "subject": error.subject.to_string(), "detail": error.detail},
        }),
    };
    if let (Some(facts), Value::Object(values)) = (facts.as_object_mut(), values) {
        facts.extend(values);
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_volumes_are_numbered_before_the_extension() {
        for (path, want) in [("a/b.nii", "a/b-2.nii"), ("b", "b-2"), ("a/b.c.nii", "a/b.c-2.nii")] {
            assert_eq!(numbered(Path::new(path), 2), Path::new(want));
        }
    }

    #[test]
    fn slices_are_named_after_the_plane_that_they_are_nearest_to() {
        assert_eq!(plane([0.0, -0.3, 0.95]), "axial");
        assert_eq!(plane([0.1, -0.9, 0.3]), "coronal");
        assert_eq!(plane([-1.0, 0.0, 0.0]), "sagittal");
    }
}
