//! libtorch: the only place of `tch`. Only its fallible functions: the others unwrap inside.
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use tch::{CModule, Device, IValue, Kind, NoGradGuard, TchError, Tensor};

use super::{DeviceChoice, Engine, Session};
use crate::{
    error::{Code, Error, Result},
    infer::{outputs::Outputs, process},
    model::{DeviceKind, Model, Role, Slot},
};

/// A device that was found to work; opaque, so that `tch` stays here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::infer) struct Target(Device);

impl Target {
    /// The device that `choice` asks for.
    ///
    /// Errors: `ModelUnavailable` when CUDA is demanded and not there.
    pub(in crate::infer) fn choose(choice: DeviceChoice) -> Result<Target> {
        match choice {
            DeviceChoice::Cpu => Ok(Target(Device::Cpu)),
            DeviceChoice::Auto => Ok(if cuda_works() { Target(Device::Cuda(0)) } else { Target(Device::Cpu) }),
            DeviceChoice::Cuda if cuda_works() => Ok(Target(Device::Cuda(0))),
            DeviceChoice::Cuda => {
                let detail =
                    "infer.device is cuda, but no CUDA device works; check OVERREAD_LIBTORCH_CUDA and the driver";
                Err(Error::new(Code::ModelUnavailable, detail))
            }
        }
    }

    pub(in crate::infer) fn is_cpu(self) -> bool {
        self.0 == Device::Cpu
    }
}

/// Loads libtorch_cuda where it is installed, and asks it for a card. The CPU goes on working whatever comes of it.
#[expect(unsafe_code, reason = "dlopen is a C function")]
fn cuda_works() -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Some(dir) = process::cuda_dir() else { return false };
    let Ok(path) = std::ffi::CString::new(dir.join("libtorch_cuda.so").as_os_str().as_bytes()) else { return false };
    // SAFETY: the path is a valid C string; the library is meant to be loaded beside libtorch_cpu of the same version.
    // WHY: the build links the CPU library alone, so that one binary runs with and without CUDA.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    // The handle alone tells: dlerror may hold an old message after a success.
    let works = !handle.is_null() && tch::Cuda::is_available();
    if !works {
        tracing::warn!(
            loaded = !handle.is_null(),
            "CUDA libraries are installed but no CUDA device works: using the CPU"
        );
    }
    works
}

/// The engine of one lane.
pub(in crate::infer) struct LibTorch {
    device: Device,
    /// Gradients are off per thread: each lane holds its own guard.
    _no_grad: NoGradGuard,
}

impl LibTorch {
    /// For the calling thread, which must be the lane's.
    pub(in crate::infer) fn new(target: Target) -> LibTorch {
        // Per thread as well. One: two threads a batch gain little and lose much beside other work.
        tch::set_num_threads(1);
        LibTorch { device: target.0, _no_grad: tch::no_grad_guard() }
    }
}

impl Engine for LibTorch {
    fn load(&mut self, model: &Model) -> Result<Box<dyn Session>> {
        let name = model.manifest.name.as_str();
        let on_device = match self.device {
            Device::Cpu => None,
            _ => model.weights_bytes(DeviceKind::Other)?,
        };
        let (device, bytes) = match on_device {
            Some(bytes) => (self.device, bytes),
            None => (Device::Cpu, model.weights_bytes(DeviceKind::Cpu)?.unwrap_or_default()),
        };
        let mut module = CModule::load_data_on_device(&mut bytes.as_slice(), device).map_err(|error| {
            unavailable(name, &error, "its weights are not a TorchScript file that this build loads")
        })?;
        // A module saved in train mode would run in train mode, silently.
        module.f_set_eval().map_err(|error| unavailable(name, &error, "it cannot be put into evaluation mode"))?;
        let label = match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        };
        Ok(Box::new(Loaded {
            module,
            device,
            label,
            name: name.to_owned(),
            outputs: model.manifest.weights.outputs.slots().to_vec(),
        }))
    }
}

struct Loaded {
    module: CModule,
    device: Device,
    label: String,
    name: String,
    outputs: Vec<(Role, Slot)>,
}

impl Session for Loaded {
    fn run(&mut self, batch: ArrayViewD<'_, f32>) -> Result<Outputs> {
        let samples = batch.shape()[0];
        let returned = self.forward(batch).map_err(|error| {
            let text = first_line(&error);
            tracing::error!(model = self.name, samples, cause = text, "a network failed on a batch");
            match text.contains("CUDA error") || text.contains("device-side assert") {
                true => Error::new(Code::DeviceLost, "the device that runs models failed"),
                false => Error::internal("the network failed on this input"),
            }
        })?;
        let tensors = self.named(&returned)?;
        if tensors.iter().any(|(_, array)| array.shape().first() != Some(&samples)) {
            return Err(not_as_said("an output's first axis is not the sample"));
        }
        Ok(Outputs(tensors.into_iter().map(|(role, array)| (role.name().to_owned(), array)).collect()))
    }

    fn device(&self) -> &str {
        &self.label
    }
}

impl Loaded {
    fn forward(&self, batch: ArrayViewD<'_, f32>) -> std::result::Result<IValue, TchError> {
        let shape = batch.shape().iter().map(|side| *side as i64).collect::<Vec<_>>();
        let batch = batch.as_standard_layout();
        let Some(values) = batch.as_slice() else { return Err(TchError::Shape("not contiguous".to_owned())) };
        let input = Tensor::f_from_slice(values)?.f_view(shape.as_slice())?.f_to_device(self.device)?;
        self.module.forward_is(&[IValue::Tensor(input)])
    }

    /// The tensors that the manifest names, copied out.
    fn named(&self, returned: &IValue) -> Result<Vec<(Role, ArrayD<f32>)>> {
        let named = |(role, slot): &(Role, Slot)| {
            let missing = || not_as_said(&format!("{} {role}; it is {}", describe(slot), outline(returned)));
            let tensor = find(returned, slot).ok_or_else(missing)?;
            let odd = |_| not_as_said("an output is no dense tensor of numbers");
            copy_out(tensor).map(|array| (*role, array)).map_err(odd)
        };
        self.outputs.iter().map(named).collect()
    }
}

/// The tensor at that place of what a network returned.
fn find<'a>(returned: &'a IValue, slot: &Slot) -> Option<&'a Tensor> {
    let tensor = |value: &'a IValue| match value {
        IValue::Tensor(tensor) => Some(tensor),
        _ => None,
    };
    match (returned, slot) {
        (IValue::Tensor(tensor), Slot::Index(0)) => Some(tensor),
        (IValue::Tuple(values) | IValue::GenericList(values), Slot::Index(index)) => tensor(values.get(*index)?),
        (IValue::TensorList(tensors), Slot::Index(index)) => tensors.get(*index),
        (IValue::GenericDict(entries), Slot::Key(key)) => {
            let named = |(name, _): &&(IValue, IValue)| matches!(name, IValue::String(name) if name == key);
            tensor(&entries.iter().find(named)?.1)
        }
        _ => None,
    }
}

fn describe(slot: &Slot) -> String {
    match slot {
        Slot::Index(index) => format!("there is no tensor at place {index} for the role"),
        Slot::Key(key) => format!("there is no tensor under the key \"{key}\" for the role"),
    }
}

/// What a network returned, in words.
fn outline(returned: &IValue) -> String {
    match returned {
        IValue::Tensor(_) => "a bare tensor".to_owned(),
        IValue::Tuple(values) | IValue::GenericList(values) => format!("a tuple or list of {}", values.len()),
        IValue::TensorList(tensors) => format!("a list of {} tensors", tensors.len()),
        IValue::GenericDict(entries) => {
            let key = |(name, _): &(IValue, IValue)| match name {
                IValue::String(name) => format!("\"{name}\""),
                _ => "no text".to_owned(),
            };
            format!("a dictionary with the keys {}", entries.iter().map(key).collect::<Vec<_>>().join(", "))
        }
        _ => "neither a tensor nor a tuple, list or dictionary of tensors".to_owned(),
    }
}

fn not_as_said(what: &str) -> Error {
    Error::internal(format!("the network returns something else than [weights] outputs says: {what}"))
}

/// The tensor's values as ours: no foreign memory leaves this file.
fn copy_out(tensor: &Tensor) -> std::result::Result<ArrayD<f32>, TchError> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let shape: Vec<usize> = tensor.size().iter().map(|side| *side as usize).collect();
    let mut values = vec![0.0; shape.iter().product()];
    let count = values.len();
    tensor.f_copy_data(&mut values, count)?;
    Ok(ArrayD::from_shape_vec(IxDyn(&shape), values)?)
}

fn unavailable(model: &str, error: &TchError, what: &str) -> Error {
    tracing::error!(model, cause = first_line(error), "a model did not load");
    Error::new(Code::ModelUnavailable, what)
}

/// libtorch's messages go on with a C++ backtrace and local paths: the first line is for the log, nothing is for a client.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or("").chars().take(300).collect()
}
