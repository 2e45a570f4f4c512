//! One target: a model on the images or volumes that were planned for it.
use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    Pipeline,
    image::Reader,
    pipeline::{VOLUME_PERMIT_BYTES, Work, not_analysed, not_analysed_event},
    progress::Progress,
    series::Shelf,
};
use crate::{
    dicom::Header,
    error::{Code, Error, Result, Subject},
    finding::{Made, NotAnalysed, ReadVolume, Report, Role, finding_to_json},
    infer::Class,
    ledger::{Claim, Event, TargetState},
    model::{Kind, Model},
    pixel::{self, Stack},
    study::VolumeName,
};

/// Between two looks at the lease while a volume waits for memory.
const WAIT_LOOK: Duration = Duration::from_secs(5);

impl Pipeline {
    /// Runs one target; `false`: told to stop.
    pub(super) async fn run(
        &self,
        claim: &Claim,
        work: &Work<'_>,
        report: &mut Report,
        stop: &watch::Receiver<bool>,
    ) -> Result<bool> {
        let target = work.target;
        let Some(model) = self.models.get(&target.model).filter(|model| model.digest == target.digest) else {
            let error = Error::new(Code::ModelUnavailable, "the model that was planned is not installed any more");
            let entry = not_analysed(error.about(Subject::Model(target.model.clone())));
            let events = vec![not_analysed_event(Some(&target.model), &entry)];
            self.end_target(claim, &target.model, TargetState::NotAnalysed(entry.code), events).await?;
            report.not_analysed.push(entry);
            return Ok(true);
        };
        self.ledger.start_target(&claim.study, claim.revision, &target.model).await?;
        let mut progress = Progress::new(self, claim, &target.model, stop);
        let read = match model.manifest.kind {
            Kind::Radiograph => self.run_images(model, work, report, &mut progress).await?,
            Kind::Slices | Kind::Volume => self.run_volumes(model, work, report, &mut progress).await?,
        };
        let Some(read) = read else { return Ok(false) };
        let state = match (read, report.not_analysed.last()) {
            (0, Some(last)) => TargetState::NotAnalysed(last.code),
            _ => TargetState::Done,
        };
        self.end_target(claim, &target.model, state, Vec::new()).await?;
        Ok(true)
    }

    /// How many frames were read; `None`: told to stop. Each instance is read once, in the order of SOP Instance UIDs.
    async fn run_images(
        &self,
        model: &Arc<Model>,
        work: &Work<'_>,
        report: &mut Report,
        progress: &mut Progress<'_>,
    ) -> Result<Option<usize>> {
        let (claim, reader) = (progress.claim, self.reader(progress.claim));
        let planned: Vec<_> = work.target.instances.iter().filter_map(|uid| work.images.get(uid)).collect();
        let total = planned.iter().map(|(_, header)| header.frames as usize).sum();
        let (mut read, mut done) = (0, 0);
        for (row, header) in planned {
            if !progress.tell(done, total, "read").await? {
                return Ok(None);
            }
            let instance = self.instance(row).await?.map(Arc::new);
            for frame_index in 0..header.frames {
                let findings = match &instance {
                    Ok(instance) => reader.read(model, &claim.study, instance, frame_index).await,
                    Err(error) => Err(error.clone()),
                };
                match findings {
                    Ok(findings) => {
                        read += 1;
                        self.announce(claim, findings, report).await?;
                    }
                    // The service itself is in trouble, not the image: the work is put back and tried again.
                    Err(error) if passing(error.code) => return Err(error),
                    Err(error) => {
                        let error = error.about_instance(row.sop_instance.as_str());
                        self.refuse(progress, not_analysed(error), report).await?;
                    }
                }
                done += 1;
                if !progress.tell(done, total, "read").await? && done < total {
                    return Ok(None);
                }
            }
        }
        Ok(Some(read))
    }

    /// How many volumes were read; `None`: told to stop.
    async fn run_volumes(
        &self,
        model: &Arc<Model>,
        work: &Work<'_>,
        report: &mut Report,
        progress: &mut Progress<'_>,
    ) -> Result<Option<usize>> {
        let mut read = 0;
        for name in &work.volumes {
            if !progress.tell(0, 1, "load").await? {
                return Ok(None);
            }
            match self.run_volume(model, work, name, progress).await {
                Ok(None) => return Ok(None),
                Ok(Some((volume, findings))) => {
                    read += 1;
                    self.announce(progress.claim, findings, report).await?;
                    if !report.volumes.contains(&volume) {
                        report.volumes.push(volume);
                    }
                }
                // The service is in trouble, or the study is gone.
                Err(error) if passing(error.code) || error.code == Code::NotFound => return Err(error),
                Err(error) => self.refuse(progress, of_series(error, name), report).await?,
            }
        }
        Ok(Some(read))
    }

    async fn run_volume(
        &self,
        model: &Arc<Model>,
        work: &Work<'_>,
        name: &VolumeName,
        progress: &mut Progress<'_>,
    ) -> Result<Option<(ReadVolume, Vec<Made>)>> {
        let lost = || Error::internal("the volume that was planned cannot be found again");
        let stack = stack_of(work, name).ok_or_else(lost)?;
        let told = ReadVolume::of(&stack);
        let Some(_room) = self.room_for(&stack, progress).await? else { return Ok(None) };
        let rows = stack.sources.iter().filter_map(|source| work.images.get(&source.sop_instance));
        let shelf = Shelf {
            rows: rows.map(|(row, _)| (row.sop_instance.clone(), row.clone())).collect(),
            ledger: self.ledger.clone(),
            decoder: self.decoder.clone(),
            limits: self.limits.clone(),
        };
        let volume = shelf.volume(stack).await?;
        let reader = self.reader(progress.claim);
        let findings = reader.read_volume(model, &progress.claim.study, volume, progress).await?;
        Ok(findings.map(|findings| (told, findings)))
    }

    /// Room for a volume in memory, waited for while others are read. `None`: told to stop.
    async fn room_for(&self, stack: &Stack, progress: &mut Progress<'_>) -> Result<Option<OwnedSemaphorePermit>> {
        // The plan lets none pass that is larger than all the room there is.
        let permits = u32::try_from(stack.bytes().div_ceil(VOLUME_PERMIT_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.volume_room).acquire_many_owned(permits);
        tokio::pin!(room);
        loop {
            tokio::select! {
                room = &mut room => return room.map(Some).map_err(|_| Error::internal("the room for volumes is closed")),
                () = tokio::time::sleep(WAIT_LOOK) => {}
            }
            if !progress.tell(0, 1, "wait").await? {
                return Ok(None);
            }
        }
    }

    fn reader(&self, claim: &Claim) -> Reader<'_> {
        Reader {
            models: &self.models,
            decoder: &self.decoder,
            pool: &self.pool,
            class: class_of(claim),
            experimental: self.config.experimental,
        }
    }

    async fn refuse(&self, progress: &Progress<'_>, entry: NotAnalysed, report: &mut Report) -> Result<()> {
        self.append(progress.claim, vec![not_analysed_event(Some(progress.model), &entry)]).await?;
        report.not_analysed.push(entry);
        Ok(())
    }

    /// Findings go out as soon as they are known; their artifacts are made durable after that.
    async fn announce(&self, claim: &Claim, made: Vec<Made>, report: &mut Report) -> Result<()> {
        let mut events = Vec::with_capacity(made.len());
        let mut named = Vec::with_capacity(made.len());
        for made in made {
            let (finding, artifacts) = made.named()?;
            events.push(Event::FindingMade { finding_json: finding_to_json(&finding)? });
            named.push((finding.uid.clone(), artifacts));
            report.findings.push(finding);
        }
        self.append(claim, events).await?;
        for (finding_uid, artifacts) in named {
            for artifact in artifacts {
                let (role, finding_uid) = (artifact.role, finding_uid.clone());
                let sha256 = self.ledger.put_artifact(artifact.bytes.into()).await?;
                let event = match role {
                    Role::Heatmap => Event::HeatmapMade { finding_uid, key_image: None, sha256 },
                    Role::KeyHeatmap(place) => Event::HeatmapMade { finding_uid, key_image: Some(place), sha256 },
                    Role::Segmentation => Event::SegmentationMade { finding_uid, sha256 },
                };
                self.append(claim, vec![event]).await?;
            }
        }
        Ok(())
    }
}

/// The volume of that name, from the headers that it was planned from.
fn stack_of(work: &Work<'_>, name: &VolumeName) -> Option<Stack> {
    let headers: Vec<&Header> =
        work.images.values().map(|(_, header)| header).filter(|header| header.series == name.series).collect();
    let mut stacks = pixel::stacks(&headers).stacks;
    (name.index < stacks.len()).then(|| stacks.swap_remove(name.index))
}

/// The same outcome about the series; what it was about before is said in words.
fn of_series(error: Error, name: &VolumeName) -> NotAnalysed {
    let detail = match &error.subject {
        Subject::None | Subject::Series(_) => error.detail,
        Subject::Instance(_) | Subject::Study(_) | Subject::Tag(..) | Subject::Field(_) | Subject::Model(_) => {
            format!("{}: {}", error.subject, error.detail)
        }
    };
    NotAnalysed { code: error.code, subject: Subject::Series(name.series.to_string()), detail }
}

/// The class that the study was queued in: 0 Stat, 1 Routine, 2 Bulk.
fn class_of(claim: &Claim) -> Class {
    match claim.class {
        0 => Class::Stat,
        1 => Class::Routine,
        2.. => Class::Bulk,
    }
}

/// Codes that say nothing about the image: the same work may pass in a while.
fn passing(code: Code) -> bool {
    matches!(code, Code::Busy | Code::StorageFull | Code::ShuttingDown | Code::DeviceLost)
}
