//! Items of association PDUs: type, reserved byte, 16-bit length, value (PS3.8 9.3.2, annex D); and AE titles.
use super::Fault;

/// The items in `bytes`, one after the other. `Err`: the bytes end within an item.
pub(super) struct Items<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Result<(u8, &'a [u8]), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let taken = take(self.0);
        self.0 = taken.map_or(&[], |(_, _, rest)| rest);
        Some(taken.map(|(kind, value, _)| (kind, value)).ok_or(Fault::Invalid))
    }
}

fn take(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(4)?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
    Some((head[0], value, rest))
}

/// Appends an item. A value is cut at 65,535 bytes: ours are far shorter.
pub(super) fn put(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.extend([kind, 0]);
    out.extend(length.to_be_bytes());
    out.extend(&value[..usize::from(length)]);
}

/// The text of a UID item; anything else than digits and dots becomes a UID that nobody knows.
pub(super) fn uid(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let text = text.trim_end_matches(['\0', ' ']);
    let plain = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.to_owned() } else { String::new() }
}

/// An AE title: printable ASCII but the backslash, spaces around it dropped (PS3.5 6.2). `None`: not one, or of spaces alone.
pub(super) fn title(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\0']);
    let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\');
    (!text.is_empty() && printable).then(|| text.to_owned())
}

/// An AE title as 16 bytes, filled up with spaces.
pub(super) fn padded(title: &str) -> [u8; 16] {
    let mut out = [b' '; 16];
    for (to, from) in out.iter_mut().zip(title.bytes()) {
        *to = from;
    }
    out
}
