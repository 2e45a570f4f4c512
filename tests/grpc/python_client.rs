//! The Python example of the documentation, run as a reader would run it.
use std::{path::Path, process::Command};

use crate::{
    house::House,
    support::{corpus::Tally, dicom::cr},
};

const PYTHON: &str = "third_party/venv/bin/python";
const EXAMPLE: &str = "docs/examples/analyze.py";

#[tokio::test(flavor = "multi_thread")]
async fn the_python_example_sends_a_file_prints_findings_and_saves_a_heatmap() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(PYTHON);
    let has_packages = Command::new(&python).args(["-c", "import grpc_tools, grpc"]).output();
    if !has_packages.is_ok_and(|output| output.status.success()) {
        return Tally::skip("grpcio and grpcio-tools in third_party/venv (scripts/setup)");
    }
    let house = House::open().await;
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.dcm");
    std::fs::write(&image, cr(96, 80, 70).bytes()).unwrap();
    let server = house.server.address.to_string();
    let (script, folder_path) = (root.join(EXAMPLE), folder.path().to_owned());
    let run = move || Command::new(python).arg(script).arg(server).arg(image).current_dir(folder_path).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let report = format!("report: studies/{}/revisions/1/report", cr(1, 1, 70).study);
    for line in ["RECEIPT_OUTCOME_STORED", "Abnormal opacity: 0.", "heatmap: bright.png", &*report] {
        assert!(said.contains(line), "{line} is not in:\n{said}");
    }
    let heatmap = std::fs::read(folder.path().join("bright.png")).expect("the heatmap");
    assert!(heatmap.starts_with(b"\x89PNG"));
}
