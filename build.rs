//! Generates the gRPC code from proto/ without a protoc, and lets the binary find libtorch without LD_LIBRARY_PATH.
use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files: Vec<_> =
        std::fs::read_dir("proto/overread/v1")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    // Server reflection serves this file.
    std::fs::write(out.join("overread.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".overread.v1").compile_fds(descriptors)?;
    // torch-sys has `links = "tch"`: its metadata reaches direct dependents alone.
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
    // Packaged layout: bin/overread beside lib/overread/.
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/overread");
    Ok(())
}
