//! The sliding window against the bare network on the same patches, and beside a plain loop in PyTorch, on one thread each.
//!
//! `cargo bench --bench window`. The network is the MeshNet of tests/foreign, whose folder that test makes under third_party/foreign;
//! OVERREAD_TORCH_PYTHON names the Python that runs benches/peers/window.py. Within the clock of `window`: cutting a patch out of the
//! grid, the queue, the network, weighing and adding up; of `bare`: the network's own time on the same tensors; of `finish`, by
//! itself: dividing, softmax, connected parts, the masks at source pixels, key slices.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench talks to the terminal and may stop")]
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use ndarray::{Array3, ArrayD};
use overread::{
    infer::{Class, Config, DeviceChoice, Outputs, Pool},
    model::{self, SeriesRead},
    pixel::{Affine, SliceSource, Stack, Volume},
    uid::Uid,
};

/// Side of the volume, voxels of 1 mm: with patches of 96 that share a half, 27 patches.
const SIDE: usize = 144;
const ROUNDS: usize = 3;

fn main() {
    overread::infer::prepare_process();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party/foreign/meshnet-tissue");
    let Ok(model) = model::open(&folder) else {
        println!("there is no model in third_party/foreign/meshnet-tissue; cargo nextest run --test foreign makes it");
        return;
    };
    let config = Config { device: DeviceChoice::Cpu, lanes: 1, ..Config::default() };
    let (pool, refused) = Pool::start(&config, std::slice::from_ref(&model)).expect("a pool");
    assert!(refused.is_empty(), "{refused:?}");
    let mut peer = Peer::start(&folder);
    let mut rows = Vec::new();
    for round in 0..ROUNDS {
        let mut read = SeriesRead::new(&model, volume(), 1).expect("a readable volume");
        let inputs: Vec<ArrayD<f32>> = (0..read.count()).map(|index| read.input(index)).collect();
        let bare = inputs.iter().map(|input| run(&pool, input.clone()).1).sum::<f64>();
        drop(inputs);
        let (began, mut inside) = (Instant::now(), 0.0);
        for index in 0..read.count() {
            let (outputs, seconds) = run(&pool, read.input(index));
            inside += seconds;
            read.take(index, |role| outputs.get(role)).expect("as the manifest says");
        }
        let window = began.elapsed().as_secs_f64();
        let (count, began) = (read.count(), Instant::now());
        let readings = read.finish().expect("readings");
        let finish = began.elapsed().as_secs_f64();
        assert_eq!(readings.len(), 2);
        let torch = peer.as_mut().map(Peer::round);
        println!(
            "round {round}: {count} patches, window {window:.2} s, network within {inside:.2} s, bare {bare:.2} s, finish {finish:.2} s{}",
            torch.map_or(String::new(), |[bare, window]| format!("; torch: bare {bare:.2} s, loop {window:.2} s"))
        );
        rows.push((window / bare, window / inside, torch.map(|[bare, torch]| (torch / bare, torch / window))));
    }
    println!("window over bare {:.3}", median(rows.iter().map(|row| row.0)));
    println!("window over the network's time within it {:.3}", median(rows.iter().map(|row| row.1)));
    if rows.iter().all(|row| row.2.is_some()) {
        println!("torch: loop over bare {:.3}", median(rows.iter().filter_map(|row| row.2).map(|row| row.0)));
        println!("torch's loop over our window {:.3}", median(rows.iter().filter_map(|row| row.2).map(|row| row.1)));
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What the network says, and its own time in seconds.
fn run(pool: &Pool, input: ArrayD<f32>) -> (Outputs, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (outputs, info) = runtime.block_on(pool.infer("meshnet-tissue", input, Class::Routine)).expect("outputs");
    (outputs, info.inference_us as f64 / 1e6)
}

/// A head of a kind: a ball with ripples in air.
fn volume() -> Volume {
    let side = SIDE as f64;
    let affine = Affine::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0.0; 3]);
    let value = |(k, j, i): (usize, usize, usize)| {
        let [x, y, z] = [i, j, k].map(|index| (index as f64 - side / 2.0) / (side / 2.0));
        let radius = (x * x + y * y + z * z).sqrt();
        if radius > 0.8 { 0.0 } else { (600.0 + 300.0 * (20.0 * x).sin() * (17.0 * y).cos() * (15.0 * z).sin()) as f32 }
    };
    let name = |slice: usize| Uid::derive(&[b"window".as_slice(), &slice.to_le_bytes()]);
    let stack = Stack {
        series: Uid::derive(&[b"window".as_slice()]),
        sources: (0..SIDE).map(|slice| SliceSource { sop_instance: name(slice), frame_number: 1 }).collect(),
        size: [SIDE; 3],
        affine,
        spacing: [1.0; 3],
        origins: (0..SIDE).map(|slice| [0.0, 0.0, slice as f64]).collect(),
        warnings: Vec::new(),
    };
    Volume { stack, values: Array3::from_shape_fn((SIDE, SIDE, SIDE), value), padding: None }
}

/// benches/peers/window.py: a line in starts a round, the seconds of the bare network and of the loop come out.
struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    fn start(folder: &Path) -> Option<Peer> {
        let Ok(python) = std::env::var("OVERREAD_TORCH_PYTHON") else {
            println!("OVERREAD_TORCH_PYTHON is not set: no loop in PyTorch beside it");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/window.py");
        let mut command = Command::new(python);
        command.arg(script).arg(folder.join("weights.pt")).arg(SIDE.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the Python runs");
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Some(Peer { child, to, from: BufReader::new(from) })
    }

    fn round(&mut self) -> [f64; 2] {
        writeln!(self.to, "round").expect("the peer listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the peer answers");
        let mut seconds = line.split_whitespace().map(|word| word.parse().expect("seconds"));
        [seconds.next().expect("bare"), seconds.next().expect("loop")]
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
