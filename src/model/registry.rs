//! The models directory: which folders are models that may be used, and why the others are not.
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn};
use sha2::{Digest, Sha256};

use super::{
    fields::{self, FileName},
    manifest::{DigestedFile, Manifest, Placement, unavailable},
    npy,
};
use crate::error::{Error, Result};

/// The file that makes a folder a model.
const MANIFEST_FILE: &str = "model.toml";
/// The file without which a model is refused.
const CARD_FILE: &str = "card.md";
/// A manifest is text that a person writes.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Largest weights file.
const WEIGHTS_BYTES_MAX: u64 = 4 << 30;

/// A model whose files passed every check; not yet loaded by an engine.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its `model.toml`.
    pub manifest: Manifest,
    /// Its folder.
    pub dir: PathBuf,
    /// SHA-256 of its weights, hexadecimal: what findings name.
    pub digest: String,
}

/// The models in `dir`, sorted by name, and the folders that were refused with their reason (`ModelUnavailable`).
///
/// A folder without `model.toml` is no model and is passed over. A model that requires another which is not usable is
/// refused too. Reads every file once (digests).
pub fn discover(dir: &Path) -> (Vec<Model>, Vec<(String, Error)>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        let error = unavailable("the models directory does not exist or cannot be read (--models-dir)");
        return (Vec::new(), vec![("models".to_owned(), error)]);
    };
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // A name that begins with a dot is a half-done installation's.
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    folders.retain(|path| path.join(MANIFEST_FILE).is_file() && !hidden(path));
    folders.sort();
    let (mut models, mut refused) = (Vec::new(), Vec::new());
    for folder in folders {
        match open(&folder) {
            Ok(model) => models.push(model),
            Err(error) => {
                let name = folder_name(&folder);
                refused.push((name.clone(), error.about_model(&name)));
            }
        }
    }
    let names: Vec<String> = models.iter().map(|model| model.manifest.name.to_string()).collect();
    models.retain(|model| match &model.manifest.requires.lungs {
        Some(needed) if !names.iter().any(|name| name == needed.as_str()) => {
            let name = model.manifest.name.as_str();
            let error = unavailable(format!("requires model {needed}, which is not usable"));
            refused.push((name.to_owned(), error.about_model(name)));
            false
        }
        _ => true,
    });
    (models, refused)
}

/// Checks the model folder `dir`: manifest, card, digests of weights and golden files.
///
/// Errors: `ModelUnavailable` with the first thing that is wrong and what to do about it.
pub fn open(dir: &Path) -> Result<Model> {
    let bytes = read_file(dir, MANIFEST_FILE, MANIFEST_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| unavailable("model.toml is not UTF-8 text"))?;
    let manifest = Manifest::parse(text)?;
    let folder = folder_name(dir);
    if folder != manifest.name.as_str() {
        return Err(unavailable(format!("model.toml name: is {}, its folder is {folder}: rename one", manifest.name)));
    }
    if read_file(dir, CARD_FILE, MANIFEST_BYTES_MAX)?.trim_ascii().is_empty() {
        return Err(unavailable("card.md is empty: say what the model was made from, how it was tested, its limits"));
    }
    let digest = manifest.weights.sha256.to_string();
    let model = Model { manifest, dir: dir.to_owned(), digest };
    model.weights_bytes(DeviceKind::Cpu)?;
    model.weights_bytes(DeviceKind::Other)?;
    model.golden()?;
    Ok(model)
}

/// Where models are: `chosen` (flag or OVERREAD_MODELS), else `models` in the current directory, else the packaged
/// place `../share/overread/models` beside the binary.
pub fn models_dir(chosen: Option<&Path>) -> PathBuf {
    if let Some(dir) = chosen {
        return dir.to_owned();
    }
    let local = PathBuf::from("models");
    match packaged_dir() {
        Some(packaged) if !local.is_dir() => packaged,
        Some(_) | None => local,
    }
}

/// `../share/overread/models` beside the binary, if it is there.
pub(super) fn packaged_dir() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    let dir = exe.parent()?.parent()?.join("share/overread/models");
    dir.is_dir().then_some(dir)
}

impl Model {
    /// The TorchScript bytes for that kind of device; the digest is checked on these very bytes.
    /// `None`: the model has no file for that device and stays on the CPU.
    pub fn weights_bytes(&self, device: DeviceKind) -> Result<Option<Vec<u8>>> {
        let weights = &self.manifest.weights;
        let (file, sha256) = match (device, weights.device, &weights.other) {
            (DeviceKind::Cpu, _, _) | (DeviceKind::Other, Placement::Any, _) => (&weights.file, &weights.sha256),
            (DeviceKind::Other, Placement::Cpu, Some(other)) => (&other.file, &other.sha256),
            (DeviceKind::Other, Placement::Cpu, None) => return Ok(None),
        };
        verified(&self.dir, file, sha256.as_str(), WEIGHTS_BYTES_MAX).map(Some)
    }

    /// The model card, Markdown.
    pub fn card(&self) -> Result<String> {
        let bytes = read_file(&self.dir, CARD_FILE, MANIFEST_BYTES_MAX)?;
        String::from_utf8(bytes).map_err(|_| unavailable("card.md is not UTF-8 text"))
    }

    /// The self-test's input (one sample of the input's shape) and the main output that must come out.
    pub fn golden(&self) -> Result<(ArrayD<f32>, ArrayD<f32>)> {
        let test = &self.manifest.self_test;
        let shape = [&[1], self.manifest.input.shape().as_slice()].concat();
        let input = match &test.input {
            Some(file) => self.array(file)?,
            None => formula_input(&shape),
        };
        if input.shape() != shape {
            let (is, wanted) = (words(input.shape()), words(&shape));
            return Err(unavailable(format!("the self-test input is {is}; one sample of [input] is {wanted}")));
        }
        Ok((input, self.array(&test.expect)?))
    }

    /// The files that make the model, relative to its folder.
    pub(super) fn files(&self) -> Vec<String> {
        let (weights, test) = (&self.manifest.weights, &self.manifest.self_test);
        let digested = [weights.other.as_ref(), test.input.as_ref(), Some(&test.expect)];
        let named = digested.into_iter().flatten().map(|own| own.file.to_string());
        [MANIFEST_FILE.to_owned(), CARD_FILE.to_owned(), weights.file.to_string()].into_iter().chain(named).collect()
    }

    fn array(&self, own: &DigestedFile) -> Result<ArrayD<f32>> {
        let bytes = verified(&self.dir, &own.file, own.sha256.as_str(), npy::NPY_BYTES_MAX)?;
        npy::read(&bytes).map_err(|what| unavailable(format!("{} {what}", own.file)))
    }
}

/// What a set of weights is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// The CPU.
    Cpu,
    /// A GPU.
    Other,
}

/// The self-test input that needs no file; `models/README.md` states the formula.
fn formula_input(shape: &[usize]) -> ArrayD<f32> {
    ArrayD::from_shape_fn(IxDyn(shape), |at| {
        // Sample, channel, then depth for a volume, row, column.
        let (r, c) = (at[shape.len() - 2] as f64, at[shape.len() - 1] as f64);
        let (k, d) = (at[1] as f64, if shape.len() == 5 { at[2] as f64 } else { 0.0 });
        ((0.05 * r).sin() * (0.03 * c).cos() + 0.002 * (r - c) + 0.1 * k + 0.05 * d) as f32
    })
}

/// `1 x 3 x 224 x 224`.
pub(crate) fn words(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}

/// SHA-256 of `bytes`, hexadecimal.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn verified(dir: &Path, file: &FileName, sha256: &str, bytes_max: u64) -> Result<Vec<u8>> {
    let bytes = read_file(dir, file.as_str(), bytes_max)?;
    if sha256_hex(&bytes) == sha256 {
        return Ok(bytes);
    }
    Err(unavailable(format!("{file}: its SHA-256 is not the one in model.toml: the file was changed or damaged")))
}

fn read_file(dir: &Path, file: &str, bytes_max: u64) -> Result<Vec<u8>> {
    let missing = || unavailable(format!("{file} is missing or cannot be read"));
    let path = dir.join(file);
    let bytes = std::fs::metadata(&path).map_err(|_| missing())?.len();
    if bytes > bytes_max {
        return Err(unavailable(format!("{file} has {bytes} bytes; the limit is {bytes_max}")));
    }
    std::fs::read(&path).map_err(|_| missing())
}

/// The folder's name as far as it can be one of a model; a stranger's odd folder name is not repeated in messages.
fn folder_name(dir: &Path) -> String {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or("");
    if fields::is_name(name) { name.to_owned() } else { "unnamed".to_owned() }
}
