//! Decodes the slices of a volume, several at a time, each straight into its place.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ndarray::{Array3, Axis};

use crate::dicom::{Decoder, Instance};
use crate::error::{Code, Error, Result, Subject};
use crate::pixel::share::share;
use crate::uid::Uid;

use super::modality::{Padding, fill};
use super::pages::filled;
use super::stack::{SliceSource, Stack};

/// Modality values of a stack.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// Where the voxels lie, and where they come from.
    pub stack: Stack,
    /// slices x rows x columns; HU for CT, in the unit of the modality or in none else. All finite. Padding has the value that it is
    /// stored as, 0 where that is no number.
    pub values: Array3<f32>,
    /// Where the volume is padding, if anywhere: of the same shape.
    pub padding: Option<Array3<bool>>,
}

/// Bytes of f32 values that a volume may have: 2,048 slices of 512 x 512. Beyond: `TooLarge`, before any slice is read.
pub const VOLUME_BYTES_MAX: u64 = 2 << 30;

/// Reads the slices of `stack` and decodes them on `threads` threads.
///
/// `read` gives an instance of the series by its UID; each thread keeps the last one, so that a multi-frame object is not read once a
/// frame. Peak memory: the values, the padding mask (a quarter of that) twice, and per thread one instance and one frame. Blocks.
/// Errors: `TooLarge` about the series; else those of the first slice that fails: of `read`, of decoding, `HeaderImplausible`, and
/// `GeometryInconsistent` where the instance is not the one that the stack was made from.
pub fn volume(
    decoder: &Decoder,
    stack: &Stack,
    read: impl Fn(&Uid) -> Result<Arc<Instance>> + Sync,
    threads: usize,
) -> Result<Volume> {
    if stack.bytes() > VOLUME_BYTES_MAX {
        let [slices, rows, columns] = stack.size;
        let detail = format!(
            "a volume of {slices} x {rows} x {columns} is {} bytes; the limit is {VOLUME_BYTES_MAX}",
            stack.bytes()
        );
        return Err(Error::new(Code::TooLarge, detail).about(Subject::Series(stack.series.as_str().to_owned())));
    }
    let [_, rows, columns] = stack.size;
    let mut values = filled(stack.size, 0.0);
    let done = Mutex::new(Done::default());
    let last = || None::<Arc<Instance>>;
    let items = values.axis_iter_mut(Axis(0)).zip(&stack.sources).enumerate();
    share(items, threads, last, |held, (index, (mut slice, source))| {
        // Slices are handed out in order: what comes before the first failure has been taken already.
        if done.lock().is_ok_and(|done| done.failure.is_some()) {
            return;
        }
        let read = instance(held, source, &read).and_then(|instance| {
            check_size(instance, [rows, columns])?;
            let out = slice.as_slice_mut().ok_or_else(|| Error::internal("a slice of a volume is not in one piece"))?;
            fill(decoder, instance, source.frame_number - 1, out)
                .map_err(|error| error.about_instance(source.sop_instance.as_str()))
        });
        if let Ok(mut done) = done.lock() {
            done.add(index, read);
        }
    });
    let done = done.into_inner().map_err(|_| Error::internal("a slice was given up on"))?;
    match done.failure {
        Some((_, error)) => Err(error),
        None => Ok(Volume { stack: stack.clone(), padding: mask(stack.size, done.padding), values }),
    }
}

/// What came of the slices so far.
#[derive(Default)]
struct Done {
    padding: BTreeMap<usize, Vec<bool>>,
    /// The failure of the lowest slice index.
    failure: Option<(usize, Error)>,
}

impl Done {
    fn add(&mut self, index: usize, read: Result<Padding>) {
        match read {
            Ok(None) => {}
            Ok(Some(mask)) => {
                self.padding.insert(index, mask);
            }
            Err(error) if self.failure.as_ref().is_none_or(|(first, _)| index < *first) => {
                self.failure = Some((index, error));
            }
            Err(_) => {}
        }
    }
}

fn instance<'a>(
    held: &'a mut Option<Arc<Instance>>,
    source: &SliceSource,
    read: impl Fn(&Uid) -> Result<Arc<Instance>>,
) -> Result<&'a Instance> {
    let is_held = held.as_ref().is_some_and(|instance| instance.header().sop_instance == source.sop_instance);
    let instance = match (is_held, held.take()) {
        (true, Some(instance)) => instance,
        // The one before is let go first.
        (_, dropped) => {
            drop(dropped);
            read(&source.sop_instance)?
        }
    };
    Ok(&**held.insert(instance))
}

fn check_size(instance: &Instance, [rows, columns]: [usize; 2]) -> Result<()> {
    let header = instance.header();
    let size = [usize::from(header.rows), usize::from(header.columns)];
    if size == [rows, columns] && header.photometric.is_monochrome() {
        return Ok(());
    }
    let detail = "is not of the size of its volume";
    Err(Error::new(Code::GeometryInconsistent, detail).about_instance(header.sop_instance.as_str()))
}

fn mask([slices, rows, columns]: [usize; 3], padding: BTreeMap<usize, Vec<bool>>) -> Option<Array3<bool>> {
    if padding.is_empty() {
        return None;
    }
    let mut mask = Array3::from_elem((slices, rows, columns), false);
    for (index, slice) in padding {
        let mut place = mask.index_axis_mut(Axis(0), index);
        place.iter_mut().zip(slice).for_each(|(place, pads)| *place = pads);
    }
    Some(mask)
}
