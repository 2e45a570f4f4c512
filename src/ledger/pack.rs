//! Source bytes: one append-only file a study. Deleting a study is one unlink; reading a series is one sequential file.
//!
//! A record is a head of 48 bytes and the object as it came:
//! ```text
//! 0  magic "OVRPACK\x01"   8  length of the object, u64 little endian   16  SHA-256 of the object   48  object
//! ```
//! The study's row says where its pack ends. What lies beyond was never acknowledged, so a failed append needs no
//! clean-up to be harmless: the next one writes over it.
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::{
    error::Result,
    ledger::{InstanceRow, fault},
    uid::Uid,
};

/// Bytes of a record before its object.
pub(super) const HEAD_BYTES: u64 = 48;
const MAGIC: &[u8; 8] = b"OVRPACK\x01";
/// Packs kept open between commits; beyond it all are closed, and opened again when they are next written.
const OPEN_PACKS_MAX: usize = 64;
/// Packs that are synced side by side.
const SYNCS_MAX: usize = 16;

/// The file of a study's pack. A UID holds digits and dots alone, so that it may stand in a file name.
pub(super) fn path(dir: &Path, study: &Uid) -> PathBuf {
    dir.join(format!("{study}.pack"))
}

/// The study whose pack this file name names.
pub(super) fn study_of(file_name: &str) -> Option<Uid> {
    Uid::parse(file_name.strip_suffix(".pack")?).ok()
}

/// The writer's packs.
pub(super) struct Packs {
    dir: PathBuf,
    open: BTreeMap<Uid, File>,
    /// Written since the last [`Packs::sync`], with the end that each had before.
    touched: BTreeMap<Uid, u64>,
    made_file: bool,
}

impl Packs {
    pub(super) fn new(dir: PathBuf) -> Packs {
        Packs { dir, open: BTreeMap::new(), touched: BTreeMap::new(), made_file: false }
    }

    /// Writes a record at `end`, the pack's end by its row. Durable only after [`Packs::sync`].
    /// Errors: `StorageFull`, `Internal`; the pack is cut back to `end` then.
    pub(super) fn append(&mut self, study: &Uid, end: u64, object: &[u8], sha256: &[u8; 32]) -> Result<()> {
        self.touched.entry(study.clone()).or_insert(end);
        let written = self.file(study).and_then(|file| {
            file.write_all_at(&head(object.len() as u64, sha256), end)?;
            file.write_all_at(object, end + HEAD_BYTES)
        });
        written.map_err(|error| {
            self.cut(study, end);
            fault::io(&error, "writing to a pack")
        })
    }

    /// Makes everything appended durable, new files' names included.
    ///
    /// Several packs are synced side by side: the file system's journal then takes them in one commit, where one after
    /// the other would cost a commit each (measured in benches/ledger.rs).
    pub(super) fn sync(&mut self) -> Result<()> {
        let fail = |error: io::Error| fault::io(&error, "syncing a pack");
        let files: Vec<&File> = self.touched.keys().filter_map(|study| self.open.get(study)).collect();
        for group in files.chunks(SYNCS_MAX) {
            sync_side_by_side(group).map_err(fail)?;
        }
        if self.made_file {
            sync_dir(&self.dir).map_err(fail)?;
            self.made_file = false;
        }
        Ok(())
    }

    /// After the rows are durable.
    pub(super) fn committed(&mut self) {
        self.touched.clear();
        if self.open.len() > OPEN_PACKS_MAX {
            self.open.clear();
        }
    }

    /// After the rows were rolled back: gives the space back.
    pub(super) fn rolled_back(&mut self) {
        for (study, end) in std::mem::take(&mut self.touched) {
            self.cut(&study, end);
        }
        // After a failed sync a handle may hide that its pages were dropped.
        self.open.clear();
    }

    /// Unlinks the pack of a study whose rows are gone.
    pub(super) fn remove(&mut self, study: &Uid) -> io::Result<()> {
        self.open.remove(study);
        remove_if_there(&path(&self.dir, study))?;
        sync_dir(&self.dir)
    }

    fn file(&mut self, study: &Uid) -> io::Result<&File> {
        use std::collections::btree_map::Entry;
        match self.open.entry(study.clone()) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let file = path(&self.dir, study);
                self.made_file |= !file.exists();
                let mut options = OpenOptions::new();
                Ok(entry.insert(options.write(true).create(true).truncate(false).mode(0o600).open(file)?))
            }
        }
    }

    /// Best effort: what stays beyond the end is harmless, it only takes room.
    fn cut(&mut self, study: &Uid, end: u64) {
        let cut = if end == 0 {
            self.open.remove(study);
            remove_if_there(&path(&self.dir, study))
        } else {
            self.file(study).and_then(|file| file.set_len(end))
        };
        if let Err(error) = cut {
            tracing::warn!(%study, kind = ?error.kind(), "a pack could not be cut back; it will be at the next start");
        }
    }
}

/// The object of a stored instance, its digest checked; `None` when its study has no pack.
/// Errors: `Internal` when the bytes are damaged.
pub(super) fn read(dir: &Path, row: &InstanceRow) -> Result<Option<Bytes>> {
    let file = match File::open(path(dir, &row.study)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault::io(&error, "opening a pack")),
    };
    let object = record(&file, row).map_err(|error| fault::io(&error, "reading a pack"))?;
    object.map(Some).ok_or_else(|| fault::damaged(&row.sop_instance))
}

/// The object of the row's record; `None` unless head, length and digest are those that were written.
/// An error says that the system could not read, which tells nothing about the record.
pub(super) fn record(file: &File, row: &InstanceRow) -> io::Result<Option<Bytes>> {
    let start = row.offset.saturating_add(HEAD_BYTES);
    // Before any allocation: a length that the file cannot hold is not one that was written.
    let (held, length) = (file.metadata()?.len(), usize::try_from(row.length).unwrap_or(usize::MAX));
    if start.saturating_add(row.length) > held {
        return Ok(None);
    }
    let mut found = [0u8; HEAD_BYTES as usize];
    file.read_exact_at(&mut found, row.offset)?;
    if found != head(row.length, &row.sha256) {
        return Ok(None);
    }
    let mut object = BytesMut::zeroed(length);
    file.read_exact_at(&mut object, start)?;
    Ok((Sha256::digest(&object)[..] == row.sha256[..]).then(|| object.freeze()))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Unlinks a file; that it is gone already is as good.
pub(super) fn remove_if_there(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_side_by_side(files: &[&File]) -> io::Result<()> {
    if let [file] = files {
        return file.sync_data();
    }
    std::thread::scope(|scope| {
        let mut syncs = Vec::new();
        for file in files {
            syncs.push(std::thread::Builder::new().spawn_scoped(scope, || file.sync_data())?);
        }
        // Every one is waited for; the first failure is told.
        let ended: Vec<io::Result<()>> =
            syncs.into_iter().map(|sync| sync.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))).collect();
        ended.into_iter().collect()
    })
}

fn head(length: u64, sha256: &[u8; 32]) -> [u8; HEAD_BYTES as usize] {
    let mut head = [0u8; HEAD_BYTES as usize];
    head[..8].copy_from_slice(MAGIC);
    head[8..16].copy_from_slice(&length.to_le_bytes());
    head[16..].copy_from_slice(sha256);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let study = Uid::parse("1.2.3").expect("valid");
        let (object, digest) = (b"the object as it came", Sha256::digest(b"the object as it came").into());
        let mut packs = Packs::new(dir.path().to_owned());
        packs.append(&study, 0, b"first", &Sha256::digest(b"first").into()).expect("written");
        let offset = HEAD_BYTES + 5;
        packs.append(&study, offset, object, &digest).expect("written");
        packs.sync().expect("synced");
        packs.committed();

        let file = path(dir.path(), &study);
        let row = InstanceRow {
            study: study.clone(),
            revision: 1,
            series: study.clone(),
            sop_instance: study.clone(),
            sop_class: study.clone(),
            transfer_syntax: study,
            sha256: digest,
            offset,
            length: object.len() as u64,
            source: String::new(),
            header_json: String::new(),
            received: 0,
        };
        let read = |file: &Path| record(&File::open(file).expect("open"), &row).expect("readable");
        assert_eq!(read(&file).as_deref(), Some(&object[..]));

        let whole = std::fs::read(&file).expect("read");
        for at in offset as usize..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&file, &flipped).expect("write");
            assert_eq!(read(&file), None, "a flipped bit at {at} was not seen");
            std::fs::write(&file, &whole[..at]).expect("write");
            assert_eq!(read(&file), None, "a file cut at {at} was not seen");
        }
    }

    #[test]
    fn a_rolled_back_append_gives_its_space_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let study = Uid::parse("1.2.3").expect("valid");
        let mut packs = Packs::new(dir.path().to_owned());
        packs.append(&study, 0, b"kept", &[0; 32]).expect("written");
        packs.committed();
        packs.append(&study, HEAD_BYTES + 4, b"rolled back", &[0; 32]).expect("written");
        packs.rolled_back();
        assert_eq!(std::fs::metadata(path(dir.path(), &study)).expect("there").len(), HEAD_BYTES + 4);
        packs.remove(&study).expect("removed");
        packs.append(&study, 0, b"never committed", &[0; 32]).expect("written");
        packs.rolled_back();
        assert!(!path(dir.path(), &study).exists());
    }

    #[test]
    fn only_a_uid_names_a_pack() {
        assert_eq!(study_of("1.2.3.pack"), Uid::parse("1.2.3").ok());
        assert_eq!(study_of("1.2.3"), None);
        assert_eq!(study_of("..pack"), None);
    }
}
