//! Samples of one volume on their way through the pool: several at a time, given back in their order.
use std::{collections::BTreeMap, sync::Arc};

use ndarray::ArrayD;
use tokio::task::JoinSet;

use super::image::off_thread;
use crate::{
    error::{Error, Result},
    infer::{Class, Outputs, Pool, RunInfo},
};

/// Makes the sample of an index.
pub(super) type Tensor = dyn Fn(usize) -> ArrayD<f32> + Send + Sync;

/// What all samples of a flight have in common.
pub(super) struct Course {
    pub(super) pool: Arc<Pool>,
    pub(super) model: String,
    pub(super) class: Class,
    /// Samples that are made or wait or run at a time: what bounds their memory.
    pub(super) samples_max: usize,
}

/// Samples `0..count` of one model. Dropped, it withdraws what is still on its way.
pub(super) struct Flight {
    course: Arc<Course>,
    tensor: Arc<Tensor>,
    tasks: JoinSet<(usize, Result<(Outputs, RunInfo)>)>,
    landed: BTreeMap<usize, (Outputs, RunInfo)>,
    started: usize,
    given: usize,
    count: usize,
}

impl Flight {
    pub(super) fn new(course: Course, count: usize, tensor: Arc<Tensor>) -> Flight {
        let (tasks, landed) = (JoinSet::new(), BTreeMap::new());
        Flight { course: Arc::new(course), tensor, tasks, landed, started: 0, given: 0, count }
    }

    /// The outputs of the next sample in order, of which there are `count`. Errors: those of `Pool::infer`; then the flight is over.
    pub(super) async fn next(&mut self) -> Result<(Outputs, RunInfo)> {
        loop {
            while self.started < self.count.min(self.given + self.course.samples_max.max(1)) {
                self.tasks.spawn(fly(Arc::clone(&self.course), Arc::clone(&self.tensor), self.started));
                self.started += 1;
            }
            if let Some(outputs) = self.landed.remove(&self.given) {
                self.given += 1;
                return Ok(outputs);
            }
            match self.tasks.join_next().await {
                Some(Ok((index, outputs))) => self.landed.insert(index, outputs?),
                Some(Err(_)) | None => return Err(Error::internal("a sample was lost on its way through the model")),
            };
        }
    }
}

async fn fly(course: Arc<Course>, tensor: Arc<Tensor>, index: usize) -> (usize, Result<(Outputs, RunInfo)>) {
    let made = off_thread(move || Ok(tensor(index))).await;
    let outputs = match made {
        Ok(input) => course.pool.infer(&course.model, input, course.class).await,
        Err(error) => Err(error),
    };
    (index, outputs)
}
