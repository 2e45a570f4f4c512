//! What must be set before the process does anything else: the allocator, and where CUDA libraries are found.
use std::path::{Path, PathBuf};

/// Marks the process that was started again with the CUDA libraries' folder first, so that it happens once.
const CUDA_READY: &str = "OVERREAD_CUDA_READY";

/// Call it first in `main`, before any thread.
///
/// Allocator: libtorch frees every activation, and glibc would give blocks above 128 KiB back to the kernel only to fault
/// them in again at the next call (DenseNet-121 30.0 ms, so 26.7 ms; a U-Net at 512 150 ms, so 110 ms). Free memory above
/// 256 MiB at the top of the heap still goes back.
///
/// OpenMP: its barriers spin when threads outnumber free cores. Nothing has to be set for it, because each lane runs its
/// operators on one thread (`set_num_threads(1)`), and a team of one has no barrier. Flush-to-zero is left alone: Rust
/// demands the default floating-point environment, and denormals cost nothing measurable on current cores.
///
/// CUDA: where a folder of CUDA libraries is installed, the process starts itself again with that folder first in
/// LD_LIBRARY_PATH, because the CPU build carries placeholders for two CUDA libraries, which would be found first. Without
/// such a folder nothing is started again.
#[expect(unsafe_code, reason = "mallopt is a C function")]
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
    if let Some(dir) = cuda_dir()
        && std::env::var_os(CUDA_READY).is_none()
    {
        start_again_with(&dir);
    }
}

/// The folder of CUDA libraries: OVERREAD_LIBTORCH_CUDA, else `third_party/libtorch-cuda/lib`, if it holds libtorch_cuda.
pub(super) fn cuda_dir() -> Option<PathBuf> {
    let named = std::env::var_os("OVERREAD_LIBTORCH_CUDA").map(PathBuf::from);
    let dir = named.unwrap_or_else(|| PathBuf::from("third_party/libtorch-cuda/lib"));
    dir.join("libtorch_cuda.so").is_file().then_some(dir)
}

/// Replaces this process by itself with `dir` first in LD_LIBRARY_PATH; returns only if that fails, and then the CPU serves.
fn start_again_with(dir: &Path) {
    use std::os::unix::process::CommandExt;
    let (Ok(exe), Ok(dir)) = (std::env::current_exe(), dir.canonicalize()) else { return };
    let mut path = dir.into_os_string();
    if let Some(before) = std::env::var_os("LD_LIBRARY_PATH") {
        path.push(":");
        path.push(before);
    }
    let failed = std::process::Command::new(exe)
        .args(std::env::args_os().skip(1))
        .env("LD_LIBRARY_PATH", path)
        .env(CUDA_READY, "1")
        .exec();
    drop(failed);
}
