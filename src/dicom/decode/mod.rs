//! Where frames are decoded: in this process, or in workers that a hostile codestream may crash, fill or keep busy.
//!
//! In: an [`Instance`] and the index of a frame.   Out: its [`Frame`], or a code.
//! Invariants
//! - With workers, no decoder that is C, C++ or a large library of others sees a byte in this process (`Coding::place`).
//! - A worker that dies or takes too long costs its own frame and nothing else.
//! - What a worker says is checked here like bytes from outside: whoever took it over would speak in its name.
//!
//! ```text
//! service ──Order──▶ nursery            the program, loaded once; touches no codestream
//!    │                  └─fork─▶ worker, worker, …      each behind limits, seccomp, Landlock; dies with the nursery
//!    └──Ask, Answer; codestream and samples in shared memory──▶ one worker, one frame at a time
//! ```
mod child;
mod message;
mod nursery;
mod pool;
mod walls;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Instance;
use super::codec::{self, Frame};
use super::syntax::Place;
use crate::error::{Code, Error, Result, Subject};

pub use child::run as run_worker;
pub use message::Walls;
use pool::Pool;

/// `[decode]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where compressed frames are decoded: `workers` or, for archives that are trusted, `in-process`.
    pub mode: Mode,
    /// Worker processes at most; they are started when first needed. 0: one per core.
    pub workers: usize,
    /// How long one frame may take, seconds; then `DecodeTimeout`. Not enforced in process.
    pub seconds_max: u64,
    /// What workers run; it must know the subcommand `decode-worker`. For programs that embed this library; not in the file.
    #[serde(skip)]
    pub program: PathBuf,
}

/// Where compressed frames are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// In child processes behind limits.
    Workers,
    /// In this process: a codestream that a decoder cannot take may end it.
    InProcess,
}

impl Mode {
    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Workers => "workers",
            Mode::InProcess => "in-process",
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        // The kernel's name for the running program holds even when its file was replaced by an upgrade.
        Config { mode: Mode::Workers, workers: 0, seconds_max: 30, program: PathBuf::from("/proc/self/exe") }
    }
}

/// Decodes frames. Cheap to clone; all clones share their workers.
#[derive(Clone)]
pub struct Decoder(Means);

#[derive(Clone)]
enum Means {
    InProcess,
    Workers(Arc<Pool>),
}

impl Decoder {
    /// Decodes in this process: for trusted input alone.
    pub fn in_process() -> Decoder {
        Decoder(Means::InProcess)
    }

    /// Decodes as the configuration says; starts nothing yet.
    ///
    /// Errors: `InvalidArgument` for a number out of range, about its key.
    pub fn new(config: &Config) -> Result<Decoder> {
        if config.seconds_max == 0 || config.seconds_max > 3600 {
            let detail = "a frame may take 1 to 3600 seconds";
            return Err(Error::new(Code::InvalidArgument, detail).about(Subject::Field("decode.seconds_max".into())));
        }
        Ok(match config.mode {
            Mode::InProcess => Decoder::in_process(),
            Mode::Workers => Decoder(Means::Workers(Arc::new(Pool::new(config)))),
        })
    }

    /// Starts the first worker and says which walls stand around it; `None` in process.
    ///
    /// Blocks (half a second of processor time: the program with its libraries is loaded once more).
    /// Errors: `Internal` when no worker can be started.
    pub fn start(&self) -> Result<Option<Walls>> {
        match &self.0 {
            Means::InProcess => Ok(None),
            Means::Workers(pool) => pool.start().map(Some),
        }
    }

    /// Which walls stand around workers, once there was one. `None` in process.
    pub fn walls(&self) -> Option<Walls> {
        match &self.0 {
            Means::InProcess => None,
            Means::Workers(pool) => pool.walls(),
        }
    }

    /// Where it decodes.
    pub fn mode(&self) -> Mode {
        match &self.0 {
            Means::InProcess => Mode::InProcess,
            Means::Workers(_) => Mode::Workers,
        }
    }

    /// Decodes the frame with index `frame_index` (from 0). Blocks until it is done, or until a worker is free and done.
    ///
    /// Errors, about the instance: `InvalidArgument` (no such frame), `DecodeFailed`, `DecodeTimeout`, `Truncated`, `TooLarge`,
    /// `PixelLayoutInvalid`, `Busy` (too many frames wait for a worker), `Internal` (no worker can be started).
    pub fn frame(&self, instance: &Instance, frame_index: u32) -> Result<Frame> {
        let Means::Workers(pool) = &self.0 else { return instance.frame(frame_index) };
        instance.frame_by(frame_index, |coding, request| match coding.place() {
            Place::Here => codec::decode(coding, request),
            Place::Worker => pool.decode(request),
        })
    }
}
