//! Derived bytes (heatmaps, masks) as files named by their SHA-256. They can be made again: losing one is no disaster.
//!
//! An artifact belongs to the studies whose events name it (`Event::artifact`), and is unlinked with the last of them.
use std::{
    collections::BTreeSet,
    fs::{DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{
    error::{Code, Error, Result},
    ledger::{
        fault,
        pack::{remove_if_there, sync_dir},
    },
};

/// The folder of artifacts.
pub(super) struct Artifacts {
    dir: PathBuf,
    /// Put by this process and not yet named by an event. Deleting a study spares these: another study with the same
    /// heatmap may be about to name one.
    unnamed: Mutex<BTreeSet<String>>,
    temporary: AtomicU64,
}

impl Artifacts {
    /// Takes the folder, without what a crash left half-written.
    pub(super) fn open(dir: PathBuf) -> io::Result<Artifacts> {
        let temporary = dir.join("tmp");
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary)?;
        }
        make_dir(&temporary)?;
        sync_dir(&dir)?;
        Ok(Artifacts { dir, unnamed: Mutex::default(), temporary: AtomicU64::new(0) })
    }

    /// Makes the bytes durable and gives their name. Blocks. Errors: `StorageFull`, `Internal`.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<String> {
        let name = hex(&Sha256::digest(bytes));
        self.unnamed().insert(name.clone());
        self.write(&name, bytes).map_err(|error| fault::io(&error, "writing an artifact"))?;
        Ok(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.path(name);
        if file.exists() {
            return Ok(());
        }
        let shelf = self.dir.join(&name[..2]);
        if !shelf.exists() {
            make_dir(&shelf)?;
            sync_dir(&self.dir)?;
        }
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join("tmp").join(number.to_string());
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut out| {
                out.write_all(bytes)?;
                out.sync_all()?;
                std::fs::rename(&temporary, &file)
            });
        if written.is_err() {
            remove_if_there(&temporary)?;
        }
        written?;
        sync_dir(&shelf)
    }

    /// The bytes of that name; `None` when there are none, or when they are damaged and so as good as lost. Blocks.
    /// Errors: `InvalidArgument` for what is no digest.
    pub(super) fn get(&self, name: &str) -> Result<Option<Bytes>> {
        check_name(name)?;
        let bytes = match std::fs::read(self.path(name)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault::io(&error, "reading an artifact")),
        };
        if hex(&Sha256::digest(&bytes)) != name {
            tracing::warn!(artifact = name, "an artifact no longer matches its digest and was put out");
            remove_if_there(&self.path(name)).map_err(|error| fault::io(&error, "removing an artifact"))?;
            return Ok(None);
        }
        Ok(Some(bytes.into()))
    }

    /// An event that names it is durable.
    pub(super) fn named(&self, name: &str) {
        self.unnamed().remove(name);
    }

    /// Unlinks an artifact that no study needs any more.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        // Held over the unlink: `put` marks first and looks for the file second.
        let unnamed = self.unnamed();
        if unnamed.contains(name) { Ok(()) } else { remove_if_there(&self.path(name)) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(&name[..2]).join(name)
    }

    fn unnamed(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A set of names cannot be left half-changed by a panic.
        self.unnamed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Errors: `InvalidArgument` for what is no digest, and so must not become part of a path.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(Error::new(Code::InvalidArgument, "an artifact's name is a SHA-256 in 64 lower-case hex digits"))
}

/// Makes a directory, and those above it, that only this user may read.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifacts() -> (tempfile::TempDir, Artifacts) {
        let dir = tempfile::tempdir().expect("a directory");
        let artifacts = Artifacts::open(dir.path().join("artifacts")).expect("opened");
        (dir, artifacts)
    }

    #[test]
    fn bytes_come_back_under_their_digest_and_damaged_ones_do_not() {
        let (_dir, artifacts) = artifacts();
        let name = artifacts.put(b"abc").expect("put");
        assert_eq!(name, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); // FIPS 180-4, "abc"
        assert_eq!(artifacts.put(b"abc"), Ok(name.clone()));
        assert_eq!(artifacts.get(&name), Ok(Some(Bytes::from_static(b"abc"))));
        std::fs::write(artifacts.path(&name), b"abd").expect("damaged");
        assert_eq!(artifacts.get(&name), Ok(None));
        artifacts.put(b"abc").expect("made again");
        assert_eq!(artifacts.get(&name), Ok(Some(Bytes::from_static(b"abc"))));
        for not_a_name in ["", "../../etc/passwd", &name.to_uppercase()] {
            assert_eq!(artifacts.get(not_a_name).map_err(|error| error.code), Err(Code::InvalidArgument));
        }
    }

    #[test]
    fn an_artifact_that_an_analysis_is_about_to_name_is_not_removed() {
        let (_dir, artifacts) = artifacts();
        let name = artifacts.put(b"shared by two studies").expect("put");
        artifacts.remove(&name).expect("spared");
        assert!(artifacts.get(&name).expect("read").is_some());
        artifacts.named(&name);
        artifacts.remove(&name).expect("removed");
        assert!(artifacts.get(&name).expect("read").is_none());
    }
}
