//! One image through one model: display values, the masks it requires, the input, the run, the findings.
use std::{collections::BTreeMap, sync::Arc};

use ndarray::Ix4;

use crate::{
    dicom::{Decoder, Instance},
    error::{Code, Error, Result, Subject},
    finding::{self, Made, Run, Source},
    infer::{Class, Outputs, Pool, RunInfo},
    model::{self, Input, Mask, Model},
    pixel::{self, Image},
    uid::Uid,
};

/// Runs models on images.
pub(super) struct Reader<'a> {
    pub(super) models: &'a BTreeMap<String, Arc<Model>>,
    pub(super) decoder: &'a Decoder,
    pub(super) pool: &'a Arc<Pool>,
    pub(super) class: Class,
    /// Also give findings of experimental labels.
    pub(super) experimental: bool,
}

impl Reader<'_> {
    /// Reads frame `frame_index` of `instance` with `model`: the findings in the order of the labels.
    ///
    /// Errors: a code for this image, from `pixel::image` or the required model's quality rules; those of `Pool::infer`.
    pub(super) async fn read(
        &self,
        model: &Arc<Model>,
        study: &Uid,
        instance: &Arc<Instance>,
        frame_index: u32,
    ) -> Result<Vec<Made>> {
        let (decoder, opened) = (self.decoder.clone(), Arc::clone(instance));
        let image = Arc::new(off_thread(move || pixel::image(&decoder, &opened, frame_index)).await?);
        let mask = match &model.manifest.requires.lungs {
            Some(name) => Some(self.mask(name.as_str(), &image).await?),
            None => None,
        };
        let source =
            Source { study: study.clone(), sop_instance: image.sop_instance.clone(), frame_number: image.frame_number };
        let input = prepare(model, &image, mask).await?;
        let (outputs, run) = self.pool.infer(model.manifest.name.as_str(), input.tensor.clone(), self.class).await?;
        self.findings(model, &source, &input, &outputs, run)
    }

    /// The mask of a required model, after its quality rules have let the image pass.
    async fn mask(&self, name: &str, image: &Arc<Image>) -> Result<Arc<Mask>> {
        let about = |error: Error| error.about(Subject::Model(name.to_owned()));
        let unavailable = || about(Error::new(Code::ModelUnavailable, "a model that this one requires does not serve"));
        let model = self.models.get(name).ok_or_else(unavailable)?;
        let quality = model.manifest.quality.as_ref().ok_or_else(unavailable)?;
        let input = prepare(model, image, None).await?;
        let (outputs, _run) = self.pool.infer(name, input.tensor.clone(), self.class).await?;
        let recipe = model.manifest.image_recipe().ok_or_else(unavailable)?;
        let logits = outputs.get("mask").and_then(|logits| logits.into_dimensionality::<Ix4>().ok());
        let mask = logits
            .filter(|logits| logits.shape()[..2] == [1, 1])
            .and_then(|logits| {
                model::read_mask(
                    quality,
                    [recipe.mean.of(0), recipe.std.of(0)],
                    &input,
                    logits.slice(ndarray::s![0, 0, .., ..]),
                )
            })
            .ok_or_else(|| about(not_as_said()))?;
        model::judge(quality, &mask)?;
        Ok(Arc::new(mask))
    }

    fn findings(
        &self,
        model: &Model,
        source: &Source,
        input: &Input,
        outputs: &Outputs,
        run: RunInfo,
    ) -> Result<Vec<Made>> {
        let readings = model::read_labels(&model.manifest, |role| outputs.get(role))
            .map_err(|error| error.about(Subject::Model(model.manifest.name.as_str().to_owned())))?;
        let run = Run { device: run.device, inference_us: run.inference_us };
        let shown = |label: &model::Label| self.experimental || label.status == model::Status::Finding;
        let readings = readings.into_iter().filter(|reading| shown(reading.label));
        let made = |reading| {
            let (finding, heatmap) = finding::assemble(source, model, reading, input, &run);
            Made { finding, heatmaps: heatmap.into_iter().map(|heatmap| (0, heatmap)).collect(), segmentation: None }
        };
        Ok(readings.map(made).collect())
    }
}

async fn prepare(model: &Arc<Model>, image: &Arc<Image>, mask: Option<Arc<Mask>>) -> Result<Input> {
    let (model, image) = (Arc::clone(model), Arc::clone(image));
    off_thread(move || {
        let other = || Error::internal("a model of another kind was asked to read an image");
        let recipe = model.manifest.image_recipe().ok_or_else(other)?;
        Ok(model::prepare(recipe, image.values.view(), mask.as_deref()))
    })
    .await
}

fn not_as_said() -> Error {
    Error::new(Code::ModelUnavailable, "the model's outputs are not those that its manifest names, or not finite")
}

/// Runs CPU work off the async threads; a panic in it is an outcome, not the end of the process.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::internal("reading the image failed unexpectedly")))
}
