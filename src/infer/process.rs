//! What must be set before the process does anything else, and where CUDA libraries are found.
use std::path::PathBuf;

/// Read by NVIDIA's libraries when they start: 0 keeps float32 arithmetic in float32.
const TF32_OVERRIDE: &str = "NVIDIA_TF32_OVERRIDE";

/// Sets the allocator and, where CUDA libraries are installed, their arithmetic. Call it first in `main`, before any thread.
///
/// libtorch frees every activation, and glibc would give blocks above 128 KiB back to the kernel only to fault them in again
/// at the next call (DenseNet-121: 30.0 ms, then 26.7 ms; a U-Net at 512: 150 ms, then 110 ms). Free memory above 256 MiB at
/// the top of the heap still goes back.
///
/// Nothing is set for OpenMP, whose barriers spin when threads outnumber free cores: each lane runs its operators on one
/// thread, and a team of one has no barrier. Flush-to-zero is left alone: Rust demands the default floating-point
/// environment, and denormals cost nothing measurable on current cores.
///
/// CUDA: convolutions would round their inputs to TF32 (10 bits), and a self-test against float32 could fail for it.
#[expect(unsafe_code, reason = "mallopt is a C function, and the environment is shared by all threads")]
pub fn prepare_process() {
    const MIB: libc::c_int = 1 << 20;
    // SAFETY: mallopt takes two integers and only sets allocator options; no other thread runs yet.
    // WHY: there is no safe binding; an environment variable would need a second start of the process.
    unsafe {
        if libc::mallopt(libc::M_MMAP_THRESHOLD, 1024 * MIB) == 0 {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 32 * MIB); // the most that some versions take
        }
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 * MIB);
        libc::mallopt(libc::M_TOP_PAD, 64 * MIB);
    }
    if cuda_dir().is_some() && std::env::var_os(TF32_OVERRIDE).is_none() {
        // SAFETY: no other thread runs yet that could read the environment.
        // WHY: NVIDIA's libraries read it there; `tch` has no switch for it.
        unsafe { std::env::set_var(TF32_OVERRIDE, "0") };
    }
}

/// The folder of CUDA libraries: OVERREAD_LIBTORCH_CUDA, else `third_party/libtorch-cuda/lib`, if it holds libtorch_cuda.
///
/// Beside the CPU's libraries then lie the real libcudart and libcupti instead of their stand-ins (scripts/setup sees to it):
/// the loader goes by name and keeps what it has loaded.
pub(super) fn cuda_dir() -> Option<PathBuf> {
    let named = std::env::var_os("OVERREAD_LIBTORCH_CUDA").map(PathBuf::from);
    let dir = named.unwrap_or_else(|| PathBuf::from("third_party/libtorch-cuda/lib"));
    dir.join("libtorch_cuda.so").is_file().then_some(dir)
}
