//! The TorchScript file: where it runs, and what each tensor that it returns is for.
use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

use crate::model::fields::{FileName, Sha256};

/// The TorchScript file and what it returns.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// TorchScript file.
    pub file: FileName,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// What the returned tensors are.
    pub outputs: Returned,
    /// What makes probabilities of the main output. Absent: the task's usual one.
    pub activation: Option<Activation>,
    /// Where `file` runs.
    #[serde(default)]
    pub device: Placement,
    /// The file for other devices, where `device = "cpu"`. Without it the model stays on the CPU.
    pub other: Option<DigestedFile>,
}

/// Where a TorchScript file runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// On every device.
    #[default]
    Any,
    /// On a CPU only: it holds operators that no other device has, as packed oneDNN weights are.
    Cpu,
}

/// A file of the model's folder and its digest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestedFile {
    /// The file.
    pub file: FileName,
    /// SHA-256 of the file.
    pub sha256: Sha256,
}

/// What makes probabilities of a network's main output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Each channel by itself: `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Over all channels together: they sum to 1.
    Softmax,
    /// The network has done it.
    None,
}

/// What a returned tensor is. N samples, L labels, C channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// N x L: the labels' values.
    Logits,
    /// N x L x a grid that covers the input: evidence for each label, above 0 speaks for it.
    Maps,
    /// N x C x the input's grid: a value for each pixel or voxel.
    Mask,
    /// N x K: logits of the classes of what a mask holds, softmax.
    Classes,
    /// N x B x 4 or 6: boxes on the input's grid, x before y before z, the low corner before the high one.
    Boxes,
    /// N x B x L: the boxes' values.
    Scores,
    /// N, or N x 1: how strange the input is; higher is stranger.
    Ood,
}

impl Role {
    /// Its name in a manifest, and of the tensor in a run's outputs.
    pub fn name(self) -> &'static str {
        match self {
            Role::Logits => "logits",
            Role::Maps => "maps",
            Role::Mask => "mask",
            Role::Classes => "classes",
            Role::Boxes => "boxes",
            Role::Scores => "scores",
            Role::Ood => "ood",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a tensor stands in what the network returns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a place is an index into the tuple or a key of the dictionary")]
pub enum Slot {
    /// In a tuple or a list, from 0. A single tensor is a tuple of one.
    Index(usize),
    /// In a dictionary.
    Key(String),
}

/// The tensors that are read, by role: `["logits", "maps"]` in the order of the tuple, or `{ logits = "out", maps = 2 }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned(Vec<(Role, Slot)>);

impl Returned {
    /// Each role once, with its slot.
    pub fn slots(&self) -> &[(Role, Slot)] {
        &self.0
    }

    /// Whether a tensor has that role.
    pub fn has(&self, role: Role) -> bool {
        self.0.iter().any(|(own, _)| *own == role)
    }
}

impl<'de> Deserialize<'de> for Returned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReturnedVisitor)
    }
}

struct ReturnedVisitor;

impl<'de> Visitor<'de> for ReturnedVisitor {
    type Value = Returned;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of roles in the order of the tuple, or a table from role to index or key")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Returned, A::Error> {
        let mut slots: Vec<(Role, Slot)> = Vec::new();
        while let Some(role) = list.next_element::<Role>()? {
            if slots.iter().any(|(other, _)| *other == role) {
                return Err(A::Error::custom(format!("{role} is there twice")));
            }
            slots.push((role, Slot::Index(slots.len())));
        }
        Ok(Returned(slots))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Returned, A::Error> {
        let mut slots = BTreeMap::new();
        while let Some((role, slot)) = table.next_entry::<Role, Slot>()? {
            slots.insert(role, slot);
        }
        Ok(Returned(slots.into_iter().collect()))
    }
}
