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

/// Largest side of an input, pixels: bounds what a manifest can make the server allocate.
const SIDE_MAX: usize = 4096;

pub(super) fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let side = usize::deserialize(deserializer)?;
    if (1..=SIDE_MAX).contains(&side) { Ok(Some(side)) } else { Err(D::Error::custom("a side is 1 to 4096 pixels")) }
}

pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[usize; 2], D::Error> {
    let size = <[usize; 2]>::deserialize(deserializer)?;
    let inside = size.iter().all(|side| (1..=SIDE_MAX).contains(side));
    if inside { Ok(size) } else { Err(D::Error::custom("a size is [rows, columns], each 1 to 4096 pixels")) }
}

pub(super) fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let value = f32::deserialize(deserializer)?;
    if value.is_finite() { Ok(value) } else { Err(D::Error::custom("must be a finite number")) }
}

pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let value = finite(deserializer)?;
    if value > 0.0 { Ok(value) } else { Err(D::Error::custom("must be above 0")) }
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

pub(super) fn band<'de, D: Deserializer<'de>, T: Number + Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<[T; 2]>, D::Error> {
    let [low, high] = <[T; 2]>::deserialize(deserializer)?;
    let inside = is_share(low) && is_share(high) && low <= high;
    if inside { Ok(Some([low, high])) } else { Err(D::Error::custom("a band is [low, high] within 0 to 1")) }
}
