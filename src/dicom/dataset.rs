//! A data set to be written: values by attribute, nested through sequences. Formats fill it; `write` turns it into bytes.
use std::collections::BTreeMap;

use dicom::core::Tag;

/// Attributes and their values, in the order of tags. It may hold patient data, so it has neither `Debug` nor `Display`.
///
/// The VR of an attribute is the dictionary's (PS3.6); a value must be of its family, which [`Dataset::to_part10`] checks. An attribute
/// that is set twice has its last value.
#[derive(Clone, Default, PartialEq)]
pub struct Dataset {
    pub(super) elements: BTreeMap<Tag, Value>,
}

/// A value, or several of one kind.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    /// Any text VR; several values are joined by backslashes. None: the attribute is empty.
    Text(Vec<String>),
    Tags(Vec<Tag>),
    Words(Vec<u16>),
    SignedWords(Vec<i16>),
    Longs(Vec<u32>),
    SignedLongs(Vec<i32>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Bytes(Vec<u8>),
    Items(Vec<Dataset>),
}

impl Dataset {
    /// Without attributes.
    pub fn new() -> Dataset {
        Dataset::default()
    }

    /// Sets an attribute that has no value: type 2 where nothing is known.
    pub fn empty(self, tag: Tag) -> Dataset {
        self.set(tag, Value::Text(Vec::new()))
    }

    /// Sets one text value. Numbers as text too: IS and DS ([`decimal`]).
    pub fn text(self, tag: Tag, value: impl ToString) -> Dataset {
        self.set(tag, Value::Text(vec![value.to_string()]))
    }

    /// Sets text values.
    pub fn texts<T: ToString>(self, tag: Tag, values: impl IntoIterator<Item = T>) -> Dataset {
        self.set(tag, Value::Text(values.into_iter().map(|value| value.to_string()).collect()))
    }

    /// Sets decimal strings (DS).
    pub fn decimals(self, tag: Tag, values: impl IntoIterator<Item = f64>) -> Dataset {
        self.texts(tag, values.into_iter().map(decimal))
    }

    /// Sets attribute tags (AT).
    pub fn tags(self, tag: Tag, values: &[Tag]) -> Dataset {
        self.set(tag, Value::Tags(values.to_vec()))
    }

    /// Sets unsigned 16-bit values (US, or OW where the dictionary says so).
    pub fn words(self, tag: Tag, values: &[u16]) -> Dataset {
        self.set(tag, Value::Words(values.to_vec()))
    }

    /// Sets signed 16-bit values (SS).
    pub fn signed_words(self, tag: Tag, values: &[i16]) -> Dataset {
        self.set(tag, Value::SignedWords(values.to_vec()))
    }

    /// Sets unsigned 32-bit values (UL).
    pub fn longs(self, tag: Tag, values: &[u32]) -> Dataset {
        self.set(tag, Value::Longs(values.to_vec()))
    }

    /// Sets signed 32-bit values (SL).
    pub fn signed_longs(self, tag: Tag, values: &[i32]) -> Dataset {
        self.set(tag, Value::SignedLongs(values.to_vec()))
    }

    /// Sets 32-bit floating-point values (FL or OF).
    pub fn floats(self, tag: Tag, values: Vec<f32>) -> Dataset {
        self.set(tag, Value::Floats(values))
    }

    /// Sets 64-bit floating-point values (FD).
    pub fn doubles(self, tag: Tag, values: &[f64]) -> Dataset {
        self.set(tag, Value::Doubles(values.to_vec()))
    }

    /// Sets bytes (OB); an odd number is padded by a zero when written.
    pub fn bytes(self, tag: Tag, value: Vec<u8>) -> Dataset {
        self.set(tag, Value::Bytes(value))
    }

    /// Sets a sequence.
    pub fn items(self, tag: Tag, items: impl IntoIterator<Item = Dataset>) -> Dataset {
        self.set(tag, Value::Items(items.into_iter().collect()))
    }

    /// Sets a sequence of one item.
    pub fn item(self, tag: Tag, item: Dataset) -> Dataset {
        self.items(tag, [item])
    }

    /// Takes over those of `tags` that `other` has, as they are there.
    pub fn copied(mut self, other: &Dataset, tags: &[Tag]) -> Dataset {
        let found = tags.iter().filter_map(|tag| other.elements.get_key_value(tag));
        self.elements.extend(found.map(|(tag, value)| (*tag, value.clone())));
        self
    }

    /// As [`Dataset::copied`]; those that `other` does not have are set empty.
    pub fn copied_or_empty(self, other: &Dataset, tags: &[Tag]) -> Dataset {
        let missing = tags.iter().filter(|tag| !other.elements.contains_key(tag));
        missing.fold(self, |set, tag| set.empty(*tag)).copied(other, tags)
    }

    /// All attributes of both; where both have one, that of `other`.
    pub fn with(mut self, other: Dataset) -> Dataset {
        self.elements.extend(other.elements);
        self
    }

    /// The first text value, if there is one that is not empty.
    pub fn first(&self, tag: Tag) -> Option<&str> {
        match self.elements.get(&tag)? {
            Value::Text(values) => values.first().map(String::as_str).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// The items of a sequence; none where there are none.
    pub fn items_of(&self, tag: Tag) -> &[Dataset] {
        match self.elements.get(&tag) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }

    pub(super) fn set(mut self, tag: Tag, value: Value) -> Dataset {
        self.elements.insert(tag, value);
        self
    }
}

/// A number as a decimal string of at most 16 characters (PS3.5 6.2, DS): the shortest one that reads back as the same number,
/// else the nearest that fits. Not for infinities and NaN, which DS cannot say; they become 0.
pub fn decimal(value: f64) -> String {
    const CHARACTERS_MAX: usize = 16;
    if !value.is_finite() {
        return "0".to_owned();
    }
    let exact = [format!("{value}"), format!("{value:e}")];
    let rounded = (0..=CHARACTERS_MAX).flat_map(|digits| [format!("{value:.digits$}"), format!("{value:.digits$e}")]);
    let fitting = exact.into_iter().chain(rounded).filter(|text| text.len() <= CHARACTERS_MAX);
    let off = |text: &String| text.parse::<f64>().map_or(f64::INFINITY, |read| (read - value).abs());
    // Of those that are equally near, the first: the shortest.
    fitting.min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or_else(|| "0".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_short_and_nearest() {
        for (value, text) in [
            (0.0, "0"),
            (-124.267578, "-124.267578"),
            (1.9531248, "1.9531248"),
            (1.0 / 3.0, "0.33333333333333"),
            (-2.0e-9 / 3.0, "-6.666666667e-10"),
            (1.0e300, "1e300"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(decimal(value), text);
        }
    }

    proptest! {
        #[test]
        fn what_a_decimal_string_can_say_is_said(digits in -99_999_999i64..=99_999_999, places in 0i32..6) {
            let value = digits as f64 / 10f64.powi(places);
            prop_assert_eq!(decimal(value).parse::<f64>().expect("a number"), value);
        }
    }
}
