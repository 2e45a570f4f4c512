//! A lane: a thread that owns an engine and a session of each model, and runs one batch at a time.
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::Receiver,
    time::Instant,
};

use ndarray::{Array1, ArrayD, Axis, concatenate};
use tokio::sync::oneshot;

use super::{
    engine::{Engine, Session},
    outputs::{Outputs, RunInfo},
};
use crate::{
    error::{Code, Error, Result},
    model::{self, Model},
};

/// Calls 1 and 2 profile, optimise and build kernels; the third is what serving sees.
const WARM_UP_CALLS: usize = 3;

/// A sample that waits for its answer.
pub(super) struct Waiting {
    pub(super) input: ArrayD<f32>,
    pub(super) reply: oneshot::Sender<Result<(Outputs, RunInfo)>>,
}

/// Samples of one model and one shape.
pub(super) struct Batch {
    pub(super) model: usize,
    pub(super) samples: Vec<Waiting>,
}

/// What a lane has loaded: a session, or why the model cannot serve, for each model of the pool in its order.
pub(super) struct Sessions(Vec<Result<Box<dyn Session>>>);

impl Sessions {
    /// Loads, warms up and tests every model. A model that fails is kept as its error; the others serve.
    pub(super) fn load(engine: &mut dyn Engine, models: &[Model], batch_max: usize) -> Sessions {
        let ready = |model: &Model| {
            let attempt = catch_unwind(AssertUnwindSafe(|| prepare(engine, model, batch_max)));
            let attempt =
                attempt.unwrap_or_else(|_| Err(Error::new(Code::ModelUnavailable, "loading it failed badly")));
            attempt.map_err(|error| error.about_model(model.manifest.name.as_str()))
        };
        Sessions(models.iter().map(ready).collect())
    }

    /// Which models failed: (index, why).
    pub(super) fn failures(&self) -> Vec<(usize, Error)> {
        let failure =
            |(index, session): (usize, &Result<_>)| session.as_ref().err().map(|error| (index, error.clone()));
        self.0.iter().enumerate().filter_map(failure).collect()
    }

    /// Runs batches until nobody can send any more; calls `idle` after each.
    pub(super) fn serve(mut self, batches: &Receiver<Batch>, idle: impl Fn()) {
        while let Ok(batch) = batches.recv() {
            match self.0.get_mut(batch.model) {
                Some(Ok(session)) => answer(session.as_mut(), batch.samples),
                Some(Err(_)) | None => batch.samples.into_iter().for_each(|sample| {
                    reply(sample.reply, Err(Error::new(Code::ModelUnavailable, "the model is not loaded")));
                }),
            }
            idle();
        }
    }
}

fn prepare(engine: &mut dyn Engine, model: &Model, batch_max: usize) -> Result<Box<dyn Session>> {
    let (input, expect) = model.golden()?;
    let mut session = engine.load(model)?;
    let shape = model::words(input.shape());
    let failed = |error: Error| {
        let detail = format!("self-test, an input of {shape} as [input] makes it: {}", error.detail);
        Error::new(Code::ModelUnavailable, detail)
    };
    // Each batch size that the scheduler may form builds its own kernels.
    for size in (1..=batch_max).rev() {
        let views = vec![input.view(); size];
        let batch =
            concatenate(Axis(0), &views).map_err(|_| Error::internal("a batch of equal shapes did not join"))?;
        for _ in 0..WARM_UP_CALLS {
            session.run(batch.view()).map_err(failed)?;
        }
    }
    let outputs = session.run(input.view()).map_err(failed)?;
    model::check_outputs(&model.manifest, |role| outputs.get(role)).map_err(failed)?;
    compare(model, &outputs, &expect)?;
    Ok(session)
}

/// Whether the main output is the example that the manifest names.
fn compare(model: &Model, outputs: &Outputs, expect: &ArrayD<f32>) -> Result<()> {
    let test = &model.manifest.self_test;
    let main = model.manifest.task.main_output();
    let mut got = outputs.get(main.name()).ok_or_else(|| Error::internal("the main output is gone"))?.to_owned();
    if let Some(every) = test.every {
        got = got.iter().copied().step_by(every).collect::<Array1<f32>>().into_dyn();
    }
    if got.shape() != expect.shape() {
        let (is, wanted) = (model::words(got.shape()), model::words(expect.shape()));
        let detail = format!("self-test: the output \"{main}\" is {is}, its example in golden/ {wanted}");
        return Err(Error::new(Code::ModelUnavailable, detail));
    }
    let scale = expect.iter().map(|value| value.abs()).fold(f32::MIN_POSITIVE, f32::max);
    let differences = got.iter().zip(expect).map(|(a, b)| (a - b).abs() / scale);
    // A NaN, once met, stays.
    let worst = differences.fold(0.0, |worst: f32, next| if next > worst || next.is_nan() { next } else { worst });
    if worst <= test.tolerance {
        return Ok(());
    }
    let allowed = test.tolerance;
    let detail =
        format!("self-test: the output differs by {worst:e} of the example's largest value; {allowed:e} is allowed");
    Err(Error::new(Code::ModelUnavailable, detail))
}

/// Runs a batch and answers each sample. One bad sample does not take the others with it: they run again alone.
fn answer(session: &mut dyn Session, samples: Vec<Waiting>) {
    let samples: Vec<Waiting> = samples.into_iter().filter(|sample| !sample.reply.is_closed()).collect();
    if samples.is_empty() {
        return;
    }
    match run(session, &samples) {
        Ok(answers) => samples.into_iter().zip(answers).for_each(|(sample, answer)| reply(sample.reply, answer)),
        Err(error) if samples.len() == 1 || error.code == Code::DeviceLost => {
            samples.into_iter().for_each(|sample| reply(sample.reply, Err(error.clone())));
        }
        Err(_) => samples.into_iter().for_each(|sample| answer(session, vec![sample])),
    }
}

fn run(session: &mut dyn Session, samples: &[Waiting]) -> Result<Vec<Result<(Outputs, RunInfo)>>> {
    let views: Vec<_> = samples.iter().map(|sample| sample.input.view()).collect();
    let input = concatenate(Axis(0), &views).map_err(|_| Error::internal("samples of one batch differ in shape"))?;
    let began = Instant::now();
    let outputs = catch_unwind(AssertUnwindSafe(|| session.run(input.view())))
        .unwrap_or_else(|_| Err(Error::internal("the network failed badly on this input")))?;
    let inference_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let info = RunInfo { device: session.device().to_owned(), inference_us, batch: samples.len() };
    let one = |index| {
        let outputs = outputs.of_sample(index);
        match outputs.is_finite() {
            true => Ok((outputs, info.clone())),
            false => Err(Error::internal("the network's output is not finite on this input")),
        }
    };
    Ok((0..samples.len()).map(one).collect())
}

/// A caller that went away is no error.
fn reply(to: oneshot::Sender<Result<(Outputs, RunInfo)>>, answer: Result<(Outputs, RunInfo)>) {
    drop(to.send(answer));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use ndarray::{ArrayD, ArrayViewD, IxDyn};

    use super::*;

    /// Returns each sample's first value, and misbehaves on certain ones.
    struct Scripted;

    /// Values of a sample's first pixel that make the scripted network fail.
    const FAILS: f32 = -1.0;
    const PANICS: f32 = -2.0;
    const NOT_FINITE: f32 = f32::INFINITY;

    impl Session for Scripted {
        fn run(&mut self, batch: ArrayViewD<'_, f32>) -> Result<Outputs> {
            let firsts: Vec<f32> = batch.outer_iter().map(|sample| sample[[0, 0, 0].as_slice()]).collect();
            assert!(!firsts.contains(&PANICS), "scripted");
            if firsts.contains(&FAILS) {
                return Err(Error::internal("scripted"));
            }
            let logits = ArrayD::from_shape_vec(IxDyn(&[firsts.len(), 1]), firsts);
            Ok(Outputs(vec![("logits".to_owned(), logits.map_err(|_| Error::internal("shape"))?)]))
        }

        fn device(&self) -> &str {
            "scripted"
        }
    }

    /// Runs the samples as one batch and returns what each caller got: its value back, or a code.
    fn answers(values: &[f32]) -> Vec<std::result::Result<f32, Code>> {
        let (to_lane, batches) = sync_channel(1);
        let (mut samples, mut callers) = (Vec::new(), Vec::new());
        for value in values {
            let (reply, answer) = oneshot::channel();
            samples.push(Waiting { input: ArrayD::from_elem(IxDyn(&[1, 1, 2, 2]), *value), reply });
            callers.push(answer);
        }
        to_lane.send(Batch { model: 0, samples }).expect("room for one batch");
        drop(to_lane);
        Sessions(vec![Ok(Box::new(Scripted))]).serve(&batches, || ());
        let read = |mut answer: oneshot::Receiver<Result<(Outputs, RunInfo)>>| {
            let answer = answer.try_recv().expect("answered");
            answer
                .map(|(outputs, _)| outputs.get("logits").map_or(f32::NAN, |logits| logits[[0, 0]]))
                .map_err(|e| e.code)
        };
        callers.into_iter().map(read).collect()
    }

    #[test]
    fn a_bad_sample_does_not_take_its_batch_with_it() {
        assert_eq!(answers(&[1.0, 2.0]), [Ok(1.0), Ok(2.0)]);
        assert_eq!(answers(&[1.0, FAILS, 2.0]), [Ok(1.0), Err(Code::Internal), Ok(2.0)]);
        assert_eq!(answers(&[PANICS, 2.0]), [Err(Code::Internal), Ok(2.0)]);
        assert_eq!(answers(&[NOT_FINITE, 2.0]), [Err(Code::Internal), Ok(2.0)]);
    }

    #[test]
    fn a_lane_goes_on_after_a_caller_went_away() {
        let (reply, answer) = oneshot::channel();
        drop(answer);
        let gone = Waiting { input: ArrayD::from_elem(IxDyn(&[1, 1, 2, 2]), PANICS), reply };
        let (reply, mut stays) = oneshot::channel();
        let (to_lane, batches) = sync_channel(2);
        to_lane.send(Batch { model: 0, samples: vec![gone] }).expect("room");
        let sample = Waiting { input: ArrayD::from_elem(IxDyn(&[1, 1, 2, 2]), 5.0), reply };
        to_lane.send(Batch { model: 0, samples: vec![sample] }).expect("room");
        drop(to_lane);
        let idle = std::cell::Cell::new(0);
        Sessions(vec![Ok(Box::new(Scripted))]).serve(&batches, || idle.set(idle.get() + 1));
        assert_eq!(idle.get(), 2);
        assert!(stays.try_recv().expect("answered").is_ok());
    }
}
