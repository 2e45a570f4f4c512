//! Installing a model: a checked folder is copied beside the others, whole or not at all.
use std::path::{Path, PathBuf};

use super::{fields, manifest::unavailable, registry};
use crate::error::{Code, Error, Result, Subject};

/// What an installation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// The model was not there before.
    New,
    /// Another version was replaced.
    Replaced,
    /// The very same files were there already; nothing was done.
    Same,
}

/// Whether an installation may replace another version of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    Keep,
    /// Replace it.
    Replace,
}

/// The folder that `name_or_path` means: a path to a folder, else a model of that name in the packaged models beside the binary
/// or in `models` of the current directory.
///
/// Errors: `NotFound`.
pub fn find(name_or_path: &Path) -> Result<PathBuf> {
    if name_or_path.join("model.toml").is_file() {
        return Ok(name_or_path.to_owned());
    }
    let named = name_or_path.to_str().filter(|name| fields::is_name(name));
    let places = [registry::packaged_dir(), Some(PathBuf::from("models"))];
    let found = named.and_then(|name| {
        places.iter().flatten().map(|place| place.join(name)).find(|folder| folder.join("model.toml").is_file())
    });
    let missing = "neither a folder with a model.toml nor the name of a packaged model";
    found.ok_or_else(|| Error::new(Code::NotFound, missing).about(Subject::Field("NAME_OR_PATH".to_owned())))
}

/// Copies the files that the manifest names, the manifest and the card into `models_dir`, under the model's name.
///
/// `source` is checked before, the copy after. An interrupted copy leaves a folder that is never served.
/// Errors: `ModelUnavailable` for a model that fails a check, `AlreadyExists`, `StorageFull` when it cannot be written.
pub fn install(source: &Path, models_dir: &Path, existing: Existing) -> Result<Installed> {
    let model = registry::open(source)?;
    let name = model.manifest.name.as_str();
    let target = models_dir.join(name);
    let outcome = match (registry::open(&target), target.exists(), existing) {
        (Ok(there), _, _) if there.manifest == model.manifest => return Ok(Installed::Same),
        (_, true, Existing::Keep) => {
            let detail = "is installed in another version or damaged; --replace puts this one in its place";
            return Err(Error::new(Code::AlreadyExists, detail).about_model(name));
        }
        (_, true, Existing::Replace) => Installed::Replaced,
        (_, false, _) => Installed::New,
    };
    // A folder whose name begins with a dot is no model's: an interrupted copy is never served.
    let (fresh, old) = (models_dir.join(format!(".new-{name}")), models_dir.join(format!(".old-{name}")));
    let written = copy(&model, &fresh).and_then(|()| {
        remove(&old)?;
        if outcome == Installed::Replaced {
            std::fs::rename(&target, &old)?;
        }
        std::fs::rename(&fresh, &target)?;
        remove(&old)
    });
    written.map_err(|_| {
        let detail = "the models directory cannot be written to, or has no room";
        Error::new(Code::StorageFull, detail).about_model(name)
    })?;
    let copied = registry::open(&target)?;
    if copied.manifest == model.manifest { Ok(outcome) } else { Err(unavailable("the copy differs from its source")) }
}

fn copy(model: &registry::Model, fresh: &Path) -> std::io::Result<()> {
    remove(fresh)?;
    for file in model.files() {
        let to = fresh.join(&file);
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(model.dir.join(&file), &to)?;
        std::fs::File::open(&to)?.sync_all()?;
    }
    Ok(())
}

fn remove(folder: &Path) -> std::io::Result<()> {
    if folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) }
}
