//! UIDs as a type (PS3.5 section 9), and deterministic UIDs derived from digests (PS3.5 B.2, `2.25.`).
use sha2::{Digest, Sha256};

use crate::error::{Code, Error, Result};

/// A valid DICOM UID: 1 to 64 characters, numeric components separated by dots (PS3.5 9.1).
/// Cannot hold a path separator, so that it may stand in a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(String);

impl Uid {
    /// Takes the text of a UID; trailing NULs and spaces (PS3.5 6.2 padding) are dropped.
    ///
    /// Leading zeros in a component are against PS3.5 9.1 but common in the field: they are accepted.
    /// Errors: `HeaderImplausible` for anything else.
    pub fn parse(text: &str) -> Result<Uid> {
        let text = text.trim_end_matches(['\0', ' ']);
        let component = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if text.len() <= 64 && text.split('.').all(component) {
            return Ok(Uid(text.to_owned()));
        }
        Err(Error::new(Code::HeaderImplausible, "a UID is empty, longer than 64 characters, or not of digits and dots"))
    }

    /// The UID that is a function of `parts` alone: `2.25.` and 128 bits of SHA-256 marked as a version 8 UUID (RFC 9562).
    pub fn derive(parts: &[&[u8]]) -> Uid {
        let mut hash = Sha256::new();
        for part in parts {
            // Length first: ("ab","c") and ("a","bc") must differ.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Uid(format!("2.25.{}", u128::from_be_bytes(bytes)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_parse(text: &str, valid: bool) {
        assert_eq!(Uid::parse(text).is_ok(), valid, "{text:?}");
    }

    #[test]
    fn only_digits_and_dots_make_a_uid_ps3_5_9_1() {
        check_parse("1.2.840.10008.1.2", true);
        check_parse("1.2.3\0", true);
        check_parse("", false);
        check_parse("1..2", false);
        check_parse("1.2.", false);
        check_parse("../../etc/passwd", false);
        check_parse(&"1".repeat(65), false);
    }

    #[test]
    fn derived_uids_are_valid_stable_and_tell_parts_apart() {
        let uid = Uid::derive(&[b"ab", b"c"]);
        check_parse(uid.as_str(), true);
        assert_eq!(uid, Uid::derive(&[b"ab", b"c"]));
        assert_ne!(uid, Uid::derive(&[b"a", b"bc"]));
    }
}
