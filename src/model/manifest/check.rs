//! What single keys of a manifest cannot say: which of them go together. Each answer names the key and teaches what to write.
use super::{
    Activation, Aggregate, Intensity, Kind, Label, Manifest, OodScore, Over, Recipe, Role, SCHEMA, Task, VolumeRecipe,
};
use crate::model::fields::PerChannel;

/// (key, what is wrong and what to write).
type Wrong = (String, String);

fn wrong<T>(key: &str, what: impl Into<String>) -> Result<T, Wrong> {
    Err((key.to_owned(), what.into()))
}

/// The first thing that does not fit.
pub(super) fn check(manifest: &Manifest) -> Result<(), Wrong> {
    if manifest.schema != SCHEMA {
        return wrong("schema", "this build reads overread.model/1");
    }
    outputs(manifest)?;
    sections(manifest)?;
    if let Some(key) = manifest.select.series_key().filter(|_| manifest.kind == Kind::Radiograph) {
        return wrong(&format!("select.{key}"), "is about series; kind is radiograph");
    }
    match &manifest.input {
        Recipe::Radiograph(recipe) => {
            if let Some(crop) = &recipe.crop
                && manifest.requires.lungs.as_ref() != Some(&crop.by)
            {
                return wrong("input.crop.by", "the model that crops must be named in [requires] lungs");
            }
            channels(1, Some(recipe.channels), &recipe.mean, &recipe.std)?;
        }
        Recipe::Slices(recipe) => {
            values(manifest, &recipe.windows, &recipe.intensity)?;
            channels(recipe.own_channels(), recipe.channels, &recipe.mean, &recipe.std)?;
        }
        Recipe::Volume(recipe) => {
            values(manifest, &recipe.windows, &recipe.intensity)?;
            channels(recipe.own_channels(), recipe.channels, &recipe.mean, &recipe.std)?;
            grid(recipe, manifest.task)?;
        }
    }
    labels("labels", &manifest.labels, &[])?;
    labels("classes", &manifest.classes, &manifest.labels)
}

/// The roles that the task reads are there, and no others.
fn outputs(manifest: &Manifest) -> Result<(), Wrong> {
    let (needed, allowed): (&[Role], &[Role]) = match manifest.task {
        Task::MultiLabel | Task::MultiClass => (&[Role::Logits], &[Role::Logits, Role::Maps, Role::Ood]),
        Task::Segmentation => (&[Role::Mask], &[Role::Mask, Role::Classes, Role::Ood]),
        Task::Detection => (&[Role::Boxes, Role::Scores], &[Role::Boxes, Role::Scores, Role::Ood]),
    };
    let returned = &manifest.weights.outputs;
    if let Some(missing) = needed.iter().find(|role| !returned.has(**role)) {
        return wrong("weights.outputs", format!("this task reads \"{missing}\", and no output has that role"));
    }
    if let Some((role, _)) = returned.slots().iter().find(|(role, _)| !allowed.contains(role)) {
        return wrong(
            "weights.outputs",
            format!(
                "this task does not read \"{role}\": name the outputs that it reads in a table, role = index or key"
            ),
        );
    }
    if returned.has(Role::Classes) == manifest.classes.is_empty() {
        return wrong("classes", "[[classes]] and the output \"classes\" go together");
    }
    if returned.has(Role::Classes) && manifest.kind != Kind::Slices {
        return wrong("classes", "are for kind slices: a patch of a volume knows no class of the whole");
    }
    let ood = manifest.refuse.ood.map(|ood| ood.by);
    if returned.has(Role::Ood) != (ood == Some(OodScore::Output)) {
        return wrong("refuse.ood", "the output \"ood\" and [refuse] ood = { by = \"output\", max } go together");
    }
    let logits = returned.has(Role::Logits) && manifest.activation() != Activation::None;
    if ood == Some(OodScore::Energy) && !logits {
        return wrong("refuse.ood", "an energy needs logits; this network gives none");
    }
    Ok(())
}

/// The sections that go with kind and task.
fn sections(manifest: &Manifest) -> Result<(), Wrong> {
    let series = manifest.kind != Kind::Radiograph;
    let segments = manifest.task == Task::Segmentation;
    let classifies = matches!(manifest.task, Task::MultiLabel | Task::MultiClass);
    let helper = segments && !series;
    if manifest.labels.is_empty() != helper {
        return wrong(
            "labels",
            "at least one [[labels]]; a radiograph's segmentation, which serves other models, has none",
        );
    }
    if manifest.quality.is_some() != helper {
        return wrong("quality", "a radiograph's segmentation has [quality], another model has not (see [refuse])");
    }
    let rules: [(&str, bool, bool, &str); 4] = [
        ("mask", manifest.mask.is_some(), segments && series, "is for kind slices or volume with task segmentation"),
        ("boxes", manifest.boxes.is_some(), manifest.task == Task::Detection, "is for task detection"),
        ("aggregate", manifest.aggregate.is_some(), series, "is for kind slices or volume"),
        ("refuse", manifest.refuse != super::Refuse::default(), series, "is for kind slices or volume"),
    ];
    if let Some((key, _, _, what)) = rules.iter().find(|(_, there, fits, _)| *there && !fits) {
        return wrong(key, *what);
    }
    let Aggregate { rule, slices, .. } = Aggregate::default();
    let plain = manifest.aggregate.is_none_or(|own| (own.rule, own.slices) == (rule, slices));
    let of_slices = manifest.kind == Kind::Slices && classifies;
    if !plain && !of_slices {
        return wrong("aggregate", "rule and slices are for kind slices with task multi-label or multi-class");
    }
    if !series && manifest.task == Task::Detection {
        return wrong("task", "detection is for kind slices or volume");
    }
    if series && manifest.requires.lungs.is_some() {
        return wrong("requires.lungs", "is for kind radiograph");
    }
    if series && manifest.select.view_position.is_some() {
        return wrong("select.view_position", "is for kind radiograph; series have orientation");
    }
    Ok(())
}

/// Windows and intensity of a series.
fn values(manifest: &Manifest, windows: &[[f32; 2]], steps: &[Intensity]) -> Result<(), Wrong> {
    if windows.is_empty() && steps.is_empty() {
        return wrong(
            "input",
            "say how values are scaled: windows = [[level, width]] for CT, intensity = [{ by = ... }] else",
        );
    }
    let only_ct = manifest.select.modality.iter().all(|modality| modality == "CT");
    if !windows.is_empty() && !only_ct {
        return wrong("input.windows", "are in HU: select.modality must be [\"CT\"]; else use intensity");
    }
    for step in steps {
        let (ordered, over) = match *step {
            Intensity::Range { low, high } => (low < high && low.is_finite() && high.is_finite(), Over::Series),
            Intensity::Quantile { low, high, over, .. } => (low < high, over),
            Intensity::Zscore { over, .. } => (true, over),
        };
        if !ordered {
            return wrong("input.intensity", "low must be below high");
        }
        if over == Over::Slice && manifest.kind == Kind::Volume {
            return wrong("input.intensity", "over = \"slice\" is for kind slices");
        }
    }
    Ok(())
}

fn channels(own: usize, stated: Option<usize>, mean: &PerChannel, std: &PerChannel) -> Result<(), Wrong> {
    let all = stated.unwrap_or(own);
    if !all.is_multiple_of(own) {
        return wrong(
            "input.channels",
            format!("the recipe makes {own}; they can be repeated to a multiple of that, not to {all}"),
        );
    }
    for (key, list) in [("input.mean", mean), ("input.std", std)] {
        if !list.fits(all) {
            return wrong(key, format!("one number, or one for each of the {all} channels"));
        }
    }
    Ok(())
}

fn grid(recipe: &VolumeRecipe, task: Task) -> Result<(), Wrong> {
    if recipe.grid.is_some() && recipe.spacing_mm.is_some() {
        return wrong(
            "input.spacing_mm",
            "grid stretches the series to a size, spacing_mm resamples it: only one of the two",
        );
    }
    if recipe.grid.is_none() && recipe.patch.is_none() {
        return wrong(
            "input.patch",
            "say what the network sees at a time: patch = [d, h, w], or grid = [d, h, w] for the whole series",
        );
    }
    if recipe.overlap.is_some() && recipe.patch.is_none() {
        return wrong("input.overlap", "is for patches; the whole grid is one");
    }
    if recipe.patch.is_some() && matches!(task, Task::MultiLabel | Task::MultiClass) {
        return wrong("input.patch", "a classifier of volumes sees the whole: grid = [d, h, w]");
    }
    Ok(())
}

fn labels(section: &str, labels: &[Label], others: &[Label]) -> Result<(), Wrong> {
    for (index, label) in labels.iter().enumerate() {
        if labels[..index].iter().chain(others).any(|other| other.name == label.name) {
            return wrong(&format!("{section}.{}", label.name), "is there twice");
        }
        if label.indeterminate.is_some_and(|[_, high]| high > label.threshold) {
            return wrong(&format!("{section}.{}.indeterminate", label.name), "the band must lie below the threshold");
        }
        if label.channel.is_some() != labels[0].channel.is_some() {
            return wrong(&format!("{section}.{}.channel", label.name), "all labels name their channel, or none");
        }
    }
    Ok(())
}
