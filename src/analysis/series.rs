//! One volume through one model: modality values from the packs, inputs as the recipe says, the runs, the findings.
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    flight::{Course, Flight},
    image::{Reader, off_thread},
    progress::Progress,
};
use crate::{
    dicom::{Decoder, Instance, Limits},
    error::{Error, Result, Subject},
    finding::{self, Made, Run},
    infer::RunInfo,
    ledger::{InstanceRow, Ledger},
    model::{Model, SeriesRead, SeriesReading, Status},
    pixel::{self, Stack, Volume},
    uid::Uid,
};

/// Where the slices of a volume lie.
pub(super) struct Shelf {
    pub(super) ledger: Ledger,
    pub(super) decoder: Decoder,
    pub(super) limits: Limits,
    /// By SOP Instance UID.
    pub(super) rows: BTreeMap<Uid, InstanceRow>,
}

impl Shelf {
    /// Reads and decodes the slices of `stack`, on all cores. Errors: those of `pixel::volume`; `NotFound` when the study is gone.
    pub(super) async fn volume(self, stack: Stack) -> Result<Volume> {
        off_thread(move || {
            let read = |uid: &Uid| {
                let gone =
                    || Error::internal("an instance of the volume is not in the ledger").about_instance(uid.as_str());
                let bytes = self.ledger.read_blocking(self.rows.get(uid).ok_or_else(gone)?)?;
                Instance::read(&bytes, &self.limits).map(Arc::new)
            };
            pixel::volume(&self.decoder, &stack, read, cores())
        })
        .await
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the runs of a volume took together.
#[derive(Default)]
struct Runs {
    device: String,
    inference_us: u64,
}

impl Runs {
    fn add(&mut self, info: RunInfo) {
        self.device = info.device;
        self.inference_us = self.inference_us.saturating_add(info.inference_us);
    }

    fn run(self) -> Run {
        Run { device: self.device, inference_us: self.inference_us }
    }
}

impl Reader<'_> {
    /// Reads `volume` with `model`, which reads series: the findings in the order of the labels. `None`: told to stop.
    ///
    /// Errors: a code for this volume from the model's rules; those of `Pool::infer` and of the ledger.
    pub(super) async fn read_volume(
        &self,
        model: &Arc<Model>,
        study: &Uid,
        volume: Volume,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Vec<Made>>> {
        let (of, stack) = (Arc::clone(model), volume.stack.clone());
        let read = off_thread(move || SeriesRead::new(&of, volume, cores())).await?;
        let samples = read.count();
        // Samples are made on other threads while outputs are taken here.
        let read = Arc::new(RwLock::new(read));
        let made_from = Arc::clone(&read);
        let tensor = move |index| made_from.read().unwrap_or_else(PoisonError::into_inner).input(index);
        let mut flight = Flight::new(self.course(model), samples, Arc::new(tensor));
        let mut runs = Runs::default();
        for index in 0..samples {
            let (outputs, info) = flight.next().await?;
            let taken = read.write().unwrap_or_else(PoisonError::into_inner).take(index, |role| outputs.get(role));
            taken.map_err(|error| error.about(Subject::Model(model.manifest.name.as_str().to_owned())))?;
            runs.add(info);
            if !progress.tell(index + 1, samples, "read").await? {
                return Ok(None);
            }
        }
        // Those who make samples hold it no more.
        drop(flight);
        let (of, study, shows) = (Arc::clone(model), study.clone(), self.experimental);
        let findings = off_thread(move || {
            let held = || Error::internal("a sample is still being made of a volume that was read");
            let read = Arc::into_inner(read).ok_or_else(held)?.into_inner().unwrap_or_else(PoisonError::into_inner);
            Ok(found(&of, &study, &stack, read.finish()?, &runs.run(), shows))
        });
        findings.await.map(Some)
    }

    fn course(&self, model: &Model) -> Course {
        Course {
            pool: Arc::clone(self.pool),
            model: model.manifest.name.as_str().to_owned(),
            class: self.class,
            // One that runs and one that is made for each core: more would only wait.
            samples_max: 2 * cores(),
        }
    }
}

/// The findings of the labels that are shown.
fn found(
    model: &Model,
    study: &Uid,
    stack: &Stack,
    readings: Vec<SeriesReading>,
    run: &Run,
    shows_experimental: bool,
) -> Vec<Made> {
    let shown = |reading: &SeriesReading| shows_experimental || reading.label.status == Status::Finding;
    let made = |reading| finding::assemble_series(study, stack, model, reading, run);
    readings.into_iter().filter(shown).map(made).collect()
}
