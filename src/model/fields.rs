//! The value types of `model.toml`: each is checked where it is read, so that the error carries its line.
use serde::{Deserialize, Deserializer, de::Error as _};

/// A name: 1 to 64 lower case letters, digits, `-` or `_`, beginning with a letter. Safe in file names, labels and metrics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A file inside the model's folder: relative, with neither `..` nor an absolute part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

/// A SHA-256 as 64 lower case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sha256(String);

macro_rules! text_type {
    ($type:ident, $valid:expr, $what:literal) => {
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok($type(text)) } else { Err(D::Error::custom($what)) }
            }
        }
    };
}

text_type!(Name, is_name, "a name is 1 to 64 lower case letters, digits, - or _, beginning with a letter");
text_type!(FileName, is_inside, "a file is named relative to the model's folder and lies inside it");
text_type!(Sha256, is_sha256, "a SHA-256 is 64 lower case hexadecimal digits");

/// Whether `text` can be a [`Name`].
pub(super) fn is_name(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(inside)
}

fn is_inside(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    text.len() <= 255 && !text.contains(['\\', '\0']) && text.split('/').all(plain)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// One number for all channels, or one for each; all finite.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "OneOrEach")]
pub struct PerChannel(Vec<f32>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "one number, or a list with one for each channel")]
enum OneOrEach {
    One(f32),
    Each(Vec<f32>),
}

impl TryFrom<OneOrEach> for PerChannel {
    type Error = &'static str;

    fn try_from(text: OneOrEach) -> Result<PerChannel, &'static str> {
        let list = match text {
            OneOrEach::One(number) => vec![number],
            OneOrEach::Each(list) => list,
        };
        let valid = !list.is_empty() && list.iter().all(|number| number.is_finite());
        if valid { Ok(PerChannel(list)) } else { Err("finite numbers, one for all channels or one for each") }
    }
}

impl PerChannel {
    /// The number of that channel.
    pub fn of(&self, channel: usize) -> f32 {
        self.0.get(channel).or(self.0.first()).copied().unwrap_or(0.0)
    }

    /// Whether it can be that of so many channels.
    pub(super) fn fits(&self, channels: usize) -> bool {
        self.0.len() == 1 || self.0.len() == channels
    }
}

/// Largest side of an input, pixels: bounds what a manifest can make the server allocate.
const SIDE_MAX: usize = 4096;
/// Most voxels of a grid or patch.
const VOXELS_MAX: usize = 1 << 28;
/// Most channels of an input.
const CHANNELS_MAX: usize = 64;

/// A value that passes `valid`; else the sentence says what would.
fn checked<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    valid: impl Fn(&T) -> bool,
    what: &str,
) -> Result<T, D::Error> {
    let value = T::deserialize(deserializer)?;
    if valid(&value) { Ok(value) } else { Err(D::Error::custom(what)) }
}

pub(super) fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    checked(deserializer, |side| (1..=SIDE_MAX).contains(side), "a side is 1 to 4096 pixels").map(Some)
}

pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 2], D::Error> {
    let inside = |size: &[usize; 2]| size.iter().all(|side| (1..=SIDE_MAX).contains(side));
    checked(deserializer, inside, "a size is [rows, columns], each 1 to 4096 pixels")
}

pub(super) fn some_grid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[usize; 3]>, D::Error> {
    let inside = |size: &[usize; 3]| {
        size.iter().all(|side| (1..=SIDE_MAX).contains(side)) && size.iter().product::<usize>() <= VOXELS_MAX
    };
    checked(deserializer, inside, "[depth, rows, columns], each 1 to 4096, at most 2^28 voxels").map(Some)
}

pub(super) fn channels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    checked(deserializer, |count| (1..=CHANNELS_MAX).contains(count), "channels are 1 to 64")
}

pub(super) fn some_channels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    channels(deserializer).map(Some)
}

pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    checked(deserializer, |count| (1..=1000).contains(count), "a count is 1 to 1000")
}

pub(super) fn some_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    checked(deserializer, |count| (1..=1_000_000).contains(count), "a count is 1 to 1000000").map(Some)
}

pub(super) fn neighbour_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    checked(deserializer, |count| (1..=8).contains(count), "neighbours are 1 to 8 on each side")
}

pub(super) fn windows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<[f32; 2]>, D::Error> {
    let valid = |windows: &Vec<[f32; 2]>| {
        let each = |[level, width]: &[f32; 2]| level.is_finite() && width.is_finite() && *width > 0.0;
        !windows.is_empty() && windows.len() <= 8 && windows.iter().all(each)
    };
    checked(deserializer, valid, "1 to 8 windows, each [level, width] in HU, the width above 0")
}

pub(super) fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    checked(deserializer, |value: &f32| value.is_finite(), "must be a finite number")
}

pub(super) fn some_finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    finite(deserializer).map(Some)
}

pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    checked(deserializer, |value: &f32| value.is_finite() && *value > 0.0, "must be above 0")
}

pub(super) fn some_positive32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    positive(deserializer).map(Some)
}

pub(super) fn divisors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PerChannel, D::Error> {
    checked(deserializer, |list: &PerChannel| list.0.iter().all(|number| *number > 0.0), "must be above 0")
}

pub(super) fn positive_mm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    checked(deserializer, |mm: &f64| is_distance(*mm), "a distance is 0.01 to 1000 mm")
}

pub(super) fn some_positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    positive_mm(deserializer).map(Some)
}

pub(super) fn some_spacing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[f64; 3]>, D::Error> {
    let valid = |spacing: &[f64; 3]| spacing.iter().all(|mm| is_distance(*mm));
    checked(deserializer, valid, "[depth, rows, columns], each 0.01 to 1000 mm").map(Some)
}

fn is_distance(mm: f64) -> bool {
    (0.01..=1000.0).contains(&mm)
}

pub(super) fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    checked(deserializer, |value: &f64| value.is_finite() && *value >= 0.0, "must be 0 or more")
}

pub(super) fn some_range<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[f64; 2]>, D::Error> {
    checked(deserializer, |[low, high]: &[f64; 2]| *low >= 0.0 && low <= high, "[least, most], not below 0").map(Some)
}

pub(super) fn overlap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    checked(deserializer, |share: &f64| (0.0..=0.9).contains(share), "an overlap is 0 to 0.9").map(Some)
}

/// f32 and f64, as far as the checks need them.
pub(super) trait Number: Copy + PartialOrd + From<u8> {}
impl Number for f32 {}
impl Number for f64 {}

fn is_share<T: Number>(value: T) -> bool {
    value >= T::from(0) && value <= T::from(1)
}

pub(super) fn share<'de, D: Deserializer<'de>, T: Number + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    let value = T::deserialize(deserializer)?;
    if is_share(value) { Ok(value) } else { Err(D::Error::custom("must be 0 to 1")) }
}

pub(super) fn some_share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    share(deserializer).map(Some)
}

pub(super) fn band<'de, D: Deserializer<'de>, T: Number + Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<[T; 2]>, D::Error> {
    let [low, high] = <[T; 2]>::deserialize(deserializer)?;
    let inside = is_share(low) && is_share(high) && low <= high;
    if inside { Ok(Some([low, high])) } else { Err(D::Error::custom("a band is [low, high] within 0 to 1")) }
}
