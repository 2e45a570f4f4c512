//! The pipeline: one claimed study revision, from its bytes to its report.
use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{Semaphore, watch};

use crate::{
    analysis::{
        Config,
        quarantine::{self, Verdict},
    },
    dicom::{Decoder, Header, Instance, Limits},
    error::{Code, Error, Result, Subject},
    finding::{NotAnalysed, Report, report_to_json},
    infer::Pool,
    ledger::{self, Claim, Event, InstanceRow, Ledger, NewTarget, TargetState},
    model::Model,
    pixel::VOLUME_BYTES_MAX,
    study::{self, Plan, VolumeName},
    uid::Uid,
};

/// Works on claimed studies.
pub struct Pipeline {
    pub(super) ledger: Ledger,
    pub(super) models: BTreeMap<String, Arc<Model>>,
    pub(super) decoder: Decoder,
    pub(super) pool: Arc<Pool>,
    pub(super) limits: Limits,
    pub(super) config: Config,
    /// MiB of volumes that may be in memory: the largest single one fills it.
    pub(super) volume_room: Arc<Semaphore>,
}

/// Bytes in a permit of [`Pipeline::volume_room`].
pub(super) const VOLUME_PERMIT_BYTES: u64 = 1 << 20;

/// Headers of vetted instances and where their bytes lie, by SOP Instance UID. The bytes are read again one by one: a study may
/// be larger than memory.
pub(super) type Images = BTreeMap<Uid, (InstanceRow, Header)>;

/// A target and what it reads.
pub(super) struct Work<'a> {
    pub(super) target: &'a NewTarget,
    pub(super) images: &'a Images,
    /// Of a model that reads series.
    pub(super) volumes: Vec<VolumeName>,
}

/// A study revision whose instances were read again from their packs.
struct Opened {
    images: Images,
    unreadable: Vec<NotAnalysed>,
}

impl Pipeline {
    /// A pipeline over `models`, which `pool` has loaded.
    pub fn new(
        ledger: Ledger,
        models: Vec<Arc<Model>>,
        decoder: Decoder,
        pool: Pool,
        limits: Limits,
        config: Config,
    ) -> Pipeline {
        let models = models.into_iter().map(|model| (model.manifest.name.as_str().to_owned(), model)).collect();
        let volume_room = Arc::new(Semaphore::new((VOLUME_BYTES_MAX / VOLUME_PERMIT_BYTES) as usize));
        Pipeline { ledger, models, decoder, pool: Arc::new(pool), limits, config, volume_room }
    }

    /// The ledger that it works for.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The next study revision to work on, if there is one.
    pub async fn claim(&self) -> Result<Option<Claim>> {
        self.ledger.claim(ledger::now(), self.lease_us()).await
    }

    /// Takes a claimed revision to its report; when `stop` turns true, gives it back at the next image.
    ///
    /// Errors: the ledger's own alone; the claim has been given back then.
    pub async fn work(&self, claim: Claim, stop: &watch::Receiver<bool>) -> Result<()> {
        let outcome = self.attempt(&claim, stop).await;
        match outcome {
            Ok(true) => Ok(()),
            Ok(false) => self.ledger.release(&claim).await,
            Err(Error { code: Code::NotFound | Code::Cancelled, .. }) => {
                tracing::info!(study = %claim.study, revision = claim.revision, "study deleted or taken over during analysis");
                Ok(())
            }
            Err(error) => {
                // The first failure is the one to tell; a release that fails too ends with the lease.
                if let Err(second) = self.ledger.release(&claim).await {
                    tracing::warn!(code = %second.code, study = %claim.study, "claim not given back");
                }
                Err(error)
            }
        }
    }

    /// Whether the report was made (`false`: stopped).
    async fn attempt(&self, claim: &Claim, stop: &watch::Receiver<bool>) -> Result<bool> {
        let left = self.ledger.targets(&claim.study, claim.revision).await?;
        let aside = match quarantine::judge(claim.attempt, self.config.attempts_max, &left) {
            Verdict::Run => Vec::new(),
            Verdict::RunWithout(models) => models,
            Verdict::PutAside => return self.put_aside(claim).await.map(|()| true),
        };
        let opened = self.open(claim).await?;
        let plan = self.plan(claim, &opened).await?;
        let mut report = Report {
            study: claim.study.clone(),
            revision: claim.revision,
            findings: Vec::new(),
            not_analysed: opened.unreadable.into_iter().chain(plan.not_analysed).collect(),
            volumes: Vec::new(),
        };
        let mut volumes = self.planned_volumes(claim).await?;
        // A revision that is resumed runs what was planned first, whatever is installed now.
        for row in self.ledger.targets(&claim.study, claim.revision).await? {
            let target = &row.target;
            if aside.contains(&target.model) {
                report.not_analysed.push(self.quarantine(claim, &target.model).await?);
                continue;
            }
            let work =
                Work { target, images: &opened.images, volumes: volumes.remove(&target.model).unwrap_or_default() };
            if !self.run(claim, &work, &mut report, stop).await? {
                return Ok(false);
            }
        }
        self.finish(claim, &report, |of| study::Event::Reported { of }, Event::Reported).await?;
        Ok(true)
    }

    /// Reads every instance of the revision again; what cannot be read is said, and the rest goes on.
    async fn open(&self, claim: &Claim) -> Result<Opened> {
        let mut opened = Opened { images: BTreeMap::new(), unreadable: Vec::new() };
        for row in self.ledger.instances(&claim.study, claim.revision).await? {
            match self.instance(&row).await? {
                Ok(instance) => {
                    let header = instance.header().clone();
                    opened.images.insert(row.sop_instance.clone(), (row, header));
                }
                Err(error) => opened.unreadable.push(not_analysed(error)),
            }
        }
        let refused = self.ledger.refusals(&claim.study).await?;
        // An instance that was refused once and came whole later is no loss.
        let lost =
            refused.into_iter().filter(|r| !r.sop_instance.as_ref().is_some_and(|uid| opened.images.contains_key(uid)));
        opened.unreadable.extend(lost.map(|refusal| NotAnalysed {
            code: refusal.code,
            subject: refusal.sop_instance.map_or(Subject::None, |uid| Subject::Instance(uid.as_str().to_owned())),
            detail: refusal.detail,
        }));
        opened.unreadable.extend(self.ledger.conflicts(&claim.study).await?.iter().map(in_conflict));
        Ok(opened)
    }

    /// The volumes that were planned first, by model, whatever is installed now.
    async fn planned_volumes(&self, claim: &Claim) -> Result<BTreeMap<String, Vec<VolumeName>>> {
        match self.ledger.plan_json(&claim.study, claim.revision).await? {
            Some(json) => Ok(study::plan_from_json(&json)?.volumes),
            None => Ok(BTreeMap::new()),
        }
    }

    /// One instance from its pack. The outer error is the ledger's; the inner one says why this instance cannot be read.
    pub(super) async fn instance(&self, row: &InstanceRow) -> Result<Result<Instance>> {
        let bytes = match self.ledger.read(row).await {
            Ok(bytes) => bytes,
            // The pack does not hold what was stored: reading it again tomorrow gives the same.
            Err(error) if error.code == Code::Internal => {
                return Ok(Err(error.about_instance(row.sop_instance.as_str())));
            }
            Err(error) => return Err(error),
        };
        let limits = self.limits.clone();
        let read = tokio::task::spawn_blocking(move || Instance::read(&bytes, &limits)).await;
        let read = read.unwrap_or_else(|_| Err(Error::internal("reading the instance failed unexpectedly")));
        Ok(read.map_err(|error| error.about_instance(row.sop_instance.as_str())))
    }

    async fn plan(&self, claim: &Claim, opened: &Opened) -> Result<Plan> {
        let models: Vec<&Model> = self.models.values().map(Arc::as_ref).collect();
        let headers: Vec<_> = opened.images.values().map(|(_, header)| header).collect();
        let plan = study::plan(&models, &headers);
        let targets: Vec<NewTarget> = plan.targets.iter().map(new_target).collect();
        let unread = opened.unreadable.iter().chain(&plan.not_analysed);
        let events: Vec<Event> = unread.map(|entry| not_analysed_event(None, entry)).collect();
        let of = claim.revision;
        let step = study::on_event(move |_| study::Event::Planned { of }, claim.class);
        let decide: ledger::Decide = Box::new(move |row| {
            let mut change = step(row)?;
            change.events = events;
            Ok(change)
        });
        self.ledger.plan(claim, targets, study::plan_to_json(&plan), decide).await?;
        Ok(plan)
    }

    async fn quarantine(&self, claim: &Claim, model: &str) -> Result<NotAnalysed> {
        let detail = format!("the service stopped {} times while this model read the study", self.config.attempts_max);
        let entry = NotAnalysed { code: Code::Quarantined, subject: Subject::Model(model.to_owned()), detail };
        let events = vec![not_analysed_event(Some(model), &entry)];
        self.end_target(claim, model, TargetState::Quarantined, events).await?;
        tracing::error!(study = %claim.study, revision = claim.revision, model, "target quarantined");
        Ok(entry)
    }

    /// The whole revision goes aside: the process died before any target ran.
    async fn put_aside(&self, claim: &Claim) -> Result<()> {
        let detail = format!("the service stopped {} times while it opened the study", self.config.attempts_max);
        let entry = NotAnalysed {
            code: Code::Quarantined,
            subject: Subject::Study(claim.study.as_str().to_owned()),
            detail: detail.clone(),
        };
        tracing::error!(study = %claim.study, revision = claim.revision, "study quarantined");
        let report = Report {
            study: claim.study.clone(),
            revision: claim.revision,
            findings: Vec::new(),
            not_analysed: vec![entry],
            volumes: Vec::new(),
        };
        self.finish(claim, &report, |of| study::Event::Quarantined { of }, Event::Quarantined { detail }).await
    }

    async fn finish(&self, claim: &Claim, report: &Report, event: fn(u32) -> study::Event, last: Event) -> Result<()> {
        let of = claim.revision;
        let step = study::on_event(move |_| event(of), claim.class);
        let decide: ledger::Decide = Box::new(move |row| {
            let mut change = step(row)?;
            change.events.push(last);
            Ok(change)
        });
        self.ledger.report(claim, report_to_json(report)?, decide).await?;
        let (findings, not_analysed) = (report.findings.len(), report.not_analysed.len());
        tracing::info!(study = %claim.study, revision = of, findings, not_analysed, "study reported");
        Ok(())
    }

    pub(super) async fn append(&self, claim: &Claim, events: Vec<Event>) -> Result<()> {
        self.ledger.append(&claim.study, claim.revision, events).await.map(|_seq| ())
    }

    pub(super) async fn end_target(
        &self,
        claim: &Claim,
        model: &str,
        state: TargetState,
        events: Vec<Event>,
    ) -> Result<()> {
        self.ledger.end_target(&claim.study, claim.revision, model, state, events).await
    }

    /// Holds the lease for its whole time from now.
    pub(super) async fn renew(&self, claim: &Claim) -> Result<()> {
        self.ledger.renew(claim, ledger::now() + self.lease_us()).await
    }

    fn lease_us(&self) -> ledger::Micros {
        i64::try_from(self.config.lease_s).unwrap_or(i64::MAX).saturating_mul(1_000_000)
    }
}

fn new_target(target: &study::Target) -> NewTarget {
    NewTarget {
        model: target.model.clone(),
        version: target.version.clone(),
        digest: target.digest.clone(),
        instances: target.instances.clone(),
    }
}

fn in_conflict(row: &InstanceRow) -> NotAnalysed {
    NotAnalysed {
        code: Code::UidConflict,
        subject: Subject::Instance(row.sop_instance.as_str().to_owned()),
        detail: "other bytes came under the UID of a stored instance; both are kept, the first are analysed".to_owned(),
    }
}

pub(super) fn not_analysed(error: Error) -> NotAnalysed {
    NotAnalysed { code: error.code, subject: error.subject, detail: error.detail }
}

pub(super) fn not_analysed_event(model: Option<&str>, entry: &NotAnalysed) -> Event {
    Event::TargetNotAnalysed {
        model: model.map(str::to_owned),
        code: entry.code,
        subject: entry.subject.clone(),
        detail: entry.detail.clone(),
    }
}
