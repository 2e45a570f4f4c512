//! What `analyze` is to send: the files below the given paths, grouped by study.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use walkdir::WalkDir;

use crate::{
    dicom::{self, Limits},
    error::{Code, Error, Result, Subject},
    uid::Uid,
};

/// Files of one study; `None` gathers those whose study cannot be read, for the server to say why.
pub(super) type Gathered = BTreeMap<Option<Uid>, Vec<PathBuf>>;

/// Walks `paths` (files and folders; links are not followed, hidden files are left out) and groups by Study Instance UID.
///
/// `seen` is called for each file. Errors: `InvalidArgument` for a path that is not there or cannot be listed.
pub(super) fn gather(paths: &[PathBuf], mut seen: impl FnMut()) -> Result<Gathered> {
    let mut gathered = Gathered::new();
    for path in paths {
        for entry in
            WalkDir::new(path).sort_by_file_name().into_iter().filter_entry(|e| e.depth() == 0 || !hidden(e.path()))
        {
            let entry = entry.map_err(|e| unusable(e.path().unwrap_or(path)))?;
            // A path that was named is taken as it is; below a folder only plain files are.
            if entry.path().is_dir() || (entry.depth() > 0 && !entry.file_type().is_file()) {
                continue;
            }
            let file = entry.into_path();
            gathered.entry(study_of(&file)).or_default().push(file);
            seen();
        }
    }
    Ok(gathered)
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn unusable(path: &Path) -> Error {
    let detail = format!("{} is not there or cannot be read", path.display());
    Error::new(Code::InvalidArgument, detail).about(Subject::Field("PATH".to_owned()))
}

/// A file that cannot be read now fails when it is sent, with its own line.
fn study_of(path: &Path) -> Option<Uid> {
    let bytes = Bytes::from(std::fs::read(path).ok()?);
    dicom::identify(&bytes, &Limits::default()).study
}
