//! What one object may ask for: every bound of this room in one place, as its part of the configuration.
use serde::{Deserialize, Serialize};

/// Bounds on one object, checked before anything is allocated for it. Beyond any of them: `TooLarge`, naming the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the object as it came.
    pub instance_bytes_max: u64,
    /// Bytes of all its frames when decoded: rows x columns x samples x frames x whole bytes of Bits Allocated.
    pub pixel_bytes_max: u64,
    /// Bytes that a deflated data set or frame may inflate to.
    pub inflate_bytes_max: u64,
    /// How deep sequences may nest. Parsing further down is recursive in the parser behind us.
    pub depth_max: usize,
    /// Data elements and items in all.
    pub elements_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            instance_bytes_max: 1 << 30,
            pixel_bytes_max: 1 << 30,
            inflate_bytes_max: 256 << 20,
            depth_max: 64,
            elements_max: 4_000_000,
        }
    }
}
