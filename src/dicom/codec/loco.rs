//! JPEG-LS in Rust (ISO/IEC 14495-1), lossless and near-lossless, of 2 to 16 bits, every interleave mode.
//!
//! Ours, because no crate decodes more than one component. Clause and annex numbers are the standard's. Not decoded: restart
//! intervals, mapping tables, colour transforms of other standards.
use crate::error::Result;

use super::marker::{self, Stated};
use super::{Cell, Codec, Frame, Request, Samples, damaged};

pub(super) struct JpegLs;

impl Codec for JpegLs {
    fn decode(&self, request: &Request<'_>) -> Result<Frame> {
        let stated = marker::jpeg(request.bytes)?;
        stated.check(request.header)?;
        let samples = match stated.precision {
            2..=8 => decode::<u8>(request.bytes, &stated),
            9..=16 => decode::<u16>(request.bytes, &stated),
            _ => Err(broken()),
        }?;
        Ok(Frame { samples, right_aligned: true, is_rgb: false })
    }
}

fn broken() -> crate::error::Error {
    damaged("the JPEG-LS codestream is damaged, or of a kind that the Rust decoder does not know")
}

fn be16(bytes: &[u8], at: usize) -> Result<i32> {
    bytes.get(at..at + 2).map(|b| i32::from(u16::from_be_bytes([b[0], b[1]]))).ok_or_else(broken)
}

/// Walks the segments: a scan for each component, or one for all.
fn decode<C: Cell>(bytes: &[u8], stated: &Stated) -> Result<Samples> {
    let components = usize::from(stated.components);
    let mut cells = vec![C::default(); stated.samples()];
    let (mut at, mut done, mut preset) = (2, 0, [0; 5]);
    while done < components {
        let marker = be16(bytes, at)?;
        if marker == 0xFFFF {
            at += 1;
            continue;
        }
        let end = at + 2 + be16(bytes, at + 2)? as usize;
        let segment = bytes.get(at + 4..end).ok_or_else(broken)?;
        at = end;
        match marker {
            // LSE with ID 1: preset parameters (C.2.4.1.1).
            0xFFF8 if segment.first() == Some(&1) => {
                for (index, parameter) in preset.iter_mut().enumerate() {
                    *parameter = be16(segment, 1 + 2 * index)?;
                }
            }
            // Mapping tables and sizes beyond 16 bits; restarts; colour transforms.
            0xFFF8 | 0xFFDD => return Err(broken()),
            0xFFE8 if segment.starts_with(b"mrfx") => return Err(broken()),
            0xFFDA => {
                let scan = Scan::read(segment, stated, preset)?;
                let length = scan_bytes(&bytes[at..]);
                scan.decode(&bytes[at..at + length], &mut cells, done)?;
                at += length;
                done += scan.components;
            }
            0xFF01..=0xFFFE => {}
            _ => return Err(broken()),
        }
    }
    Ok(C::samples(cells))
}

/// Bytes up to the next marker: within a scan no 0xFF is followed by a set bit (9.1).
fn scan_bytes(bytes: &[u8]) -> usize {
    bytes.windows(2).position(|pair| pair[0] == 0xFF && pair[1] >= 0x80).unwrap_or(bytes.len())
}

/// A scan header, and what follows from it (C.2.3, C.2.4.1.1).
struct Scan {
    columns: usize,
    rows: usize,
    /// In this scan; the frame may have more, in other scans.
    components: usize,
    frame_components: usize,
    by_sample: bool,
    near: i32,
    largest: i32,
    thresholds: [i32; 3],
    reset: i32,
}

impl Scan {
    fn read(segment: &[u8], stated: &Stated, preset: [i32; 5]) -> Result<Scan> {
        let components = usize::from(*segment.first().ok_or_else(broken)?);
        let [near, mode, transform] = *segment.get(1 + 2 * components..4 + 2 * components).ok_or_else(broken)? else {
            return Err(broken());
        };
        let fits = match mode {
            0 => components == 1,
            1 | 2 => components == usize::from(stated.components),
            _ => false,
        };
        let deepest = (1 << stated.precision) - 1;
        let largest = if preset[0] == 0 { deepest } else { preset[0] };
        let near = i32::from(near);
        if !fits || transform != 0 || largest > deepest || near > largest / 2 {
            return Err(broken());
        }
        let standard = thresholds(largest, near);
        let given = [preset[1], preset[2], preset[3]];
        let thresholds = std::array::from_fn(|i| if given[i] == 0 { standard[i] } else { given[i] });
        let reset = if preset[4] == 0 { 64 } else { preset[4] };
        let ascending = near < thresholds[0] && thresholds[0] <= thresholds[1] && thresholds[1] <= thresholds[2];
        if !ascending || thresholds[2] > largest || reset < 3 {
            return Err(broken());
        }
        Ok(Scan {
            columns: stated.columns as usize,
            rows: stated.rows as usize,
            components,
            frame_components: usize::from(stated.components),
            by_sample: mode == 2 && components > 1,
            near,
            largest,
            thresholds,
            reset,
        })
    }

    /// Decodes the scan into the samples of its components, the first of which has index `first`.
    fn decode<C: Cell>(&self, bytes: &[u8], cells: &mut [C], first: usize) -> Result<()> {
        let mut coder = Coder::new(self, bytes);
        let mut lines: Vec<Line> = (0..self.components).map(|_| Line::new(self.columns)).collect();
        for row in 0..self.rows {
            lines.iter_mut().for_each(Line::next);
            if self.by_sample {
                coder.line_by_sample(&mut lines)?;
            } else {
                lines.iter_mut().try_for_each(|line| coder.line(line))?;
            }
            let width = self.columns * self.frame_components;
            let out = &mut cells[row * width..(row + 1) * width];
            for (index, line) in lines.iter().enumerate() {
                let places = out.iter_mut().skip(first + index).step_by(self.frame_components);
                places.zip(&line.current[1..]).for_each(|(cell, value)| *cell = C::of(value.cast_unsigned()));
            }
        }
        Ok(())
    }
}

/// Default thresholds (C.2.4.1.1.1).
fn thresholds(largest: i32, near: i32) -> [i32; 3] {
    let clamp = |value: i32, low: i32| if value > largest || value < low { low } else { value };
    let basic = [3, 7, 21];
    let offset = [2, 3, 4];
    let of = |i: usize| {
        let slack = [3, 5, 7][i] * near;
        if largest >= 128 {
            let factor = (largest.min(4095) + 128) / 256;
            factor * (basic[i] - offset[i]) + offset[i] + slack
        } else {
            let factor = 256 / (largest + 1);
            (basic[i] / factor + slack).max(offset[i])
        }
    };
    let first = clamp(of(0), near + 1);
    let second = clamp(of(1), first);
    [first, second, clamp(of(2), second)]
}

/// A line of one component and the one above, each with one sample more on both sides.
struct Line {
    current: Vec<i32>,
    above: Vec<i32>,
    run_index: usize,
}

/// Neighbours of a sample (3.1, figure 1): left, above, above left, above right.
#[derive(Clone, Copy)]
struct Around {
    a: i32,
    b: i32,
    c: i32,
    d: i32,
}

impl Line {
    fn new(columns: usize) -> Line {
        Line { current: vec![0; columns + 2], above: vec![0; columns + 2], run_index: 0 }
    }

    /// The edges repeat their neighbours (A.2.1).
    fn next(&mut self) {
        std::mem::swap(&mut self.current, &mut self.above);
        let last = self.above.len() - 1;
        self.above[last] = self.above[last - 1];
        self.current[0] = self.above[1];
    }

    fn around(&self, at: usize) -> Around {
        Around { a: self.current[at - 1], b: self.above[at], c: self.above[at - 1], d: self.above[at + 1] }
    }
}

/// Statistics of one context (A.2.1): accumulated errors, bias, correction, occurrences.
#[derive(Clone, Copy)]
struct Context {
    errors: i64,
    bias: i32,
    correction: i32,
    count: i32,
}

/// Statistics of run interruptions (A.7.2).
#[derive(Clone, Copy)]
struct Interruption {
    errors: i64,
    negatives: i32,
    count: i32,
}

/// Orders of run lengths (A.7.1.1).
const RUN_ORDERS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// The state of a scan's decoder (annex A).
struct Coder<'a> {
    bits: Bits<'a>,
    near: i32,
    largest: i32,
    thresholds: [i32; 3],
    reset: i32,
    /// 2 NEAR + 1.
    step: i32,
    range: i32,
    /// Bits of an error that is coded as it is.
    error_bits: u32,
    /// Bits of the longest code.
    limit: u32,
    contexts: Vec<Context>,
    interruptions: [Interruption; 2],
}

impl<'a> Coder<'a> {
    fn new(scan: &Scan, bytes: &'a [u8]) -> Coder<'a> {
        let step = 2 * scan.near + 1;
        let range = (scan.largest + 2 * scan.near) / step + 1;
        let bits_of = |count: i32| 32 - (count - 1).leading_zeros();
        let depth = bits_of(scan.largest + 1).max(2);
        let errors = i64::from((range + 32) / 64).max(2);
        Coder {
            bits: Bits { bytes, at: 0, held: 0, count: 0 },
            near: scan.near,
            largest: scan.largest,
            thresholds: scan.thresholds,
            reset: scan.reset,
            step,
            range,
            error_bits: bits_of(range),
            limit: 2 * (depth + depth.max(8)),
            contexts: vec![Context { errors, bias: 0, correction: 0, count: 1 }; 365],
            interruptions: [Interruption { errors, negatives: 0, count: 1 }; 2],
        }
    }

    fn line(&mut self, line: &mut Line) -> Result<()> {
        let columns = line.current.len() - 2;
        let mut at = 1;
        while at <= columns {
            let around = line.around(at);
            let (context, negated) = self.context(around);
            if context != 0 {
                line.current[at] = self.regular(around, context, negated)?;
                at += 1;
                continue;
            }
            let (run, ended) = self.run(&mut line.run_index, columns + 1 - at)?;
            line.current[at..at + run].fill(around.a);
            at += run;
            if !ended {
                let (left, above) = (around.a, line.above[at]);
                let flat = (left - above).abs() <= self.near;
                let order = RUN_ORDERS[line.run_index];
                let error = self.interruption(usize::from(flat), order)?;
                line.current[at] = match flat {
                    true => self.restore(left, error),
                    false => self.restore(above, if left > above { -error } else { error }),
                };
                line.run_index = line.run_index.saturating_sub(1);
                at += 1;
            }
        }
        Ok(())
    }

    /// Sample interleave: runs are of whole pixels, and the first component's run index stands for all.
    fn line_by_sample(&mut self, lines: &mut [Line]) -> Result<()> {
        let columns = lines[0].current.len() - 2;
        let mut at = 1;
        while at <= columns {
            if lines.iter().any(|line| self.context(line.around(at)).0 != 0) {
                for line in &mut *lines {
                    let around = line.around(at);
                    let (context, negated) = self.context(around);
                    line.current[at] = self.regular(around, context, negated)?;
                }
                at += 1;
                continue;
            }
            let mut run_index = lines[0].run_index;
            let (run, ended) = self.run(&mut run_index, columns + 1 - at)?;
            for line in &mut *lines {
                let left = line.current[at - 1];
                line.current[at..at + run].fill(left);
            }
            at += run;
            if !ended {
                for line in &mut *lines {
                    let (left, above) = (line.current[at - 1], line.above[at]);
                    let error = self.interruption(0, RUN_ORDERS[run_index])?;
                    line.current[at] = self.restore(above, if left > above { -error } else { error });
                }
                run_index = run_index.saturating_sub(1);
                at += 1;
            }
            lines[0].run_index = run_index;
        }
        Ok(())
    }

    /// Number of the context of a sample, 0 for run mode, and whether its sign was turned (A.3).
    fn context(&self, around: Around) -> (usize, bool) {
        let Around { a, b, c, d } = around;
        let number = 81 * self.region(d - b) + 9 * self.region(b - c) + self.region(c - a);
        (number.unsigned_abs() as usize, number < 0)
    }

    /// Quantised local gradient (A.3.3).
    fn region(&self, gradient: i32) -> i32 {
        let [first, second, third] = self.thresholds;
        let size = match gradient.abs() {
            size if size <= self.near => 0,
            size if size < first => 1,
            size if size < second => 2,
            size if size < third => 3,
            _ => 4,
        };
        if gradient < 0 { -size } else { size }
    }

    /// A sample in regular mode (A.4, A.5, A.6).
    fn regular(&mut self, around: Around, number: usize, negated: bool) -> Result<i32> {
        let Around { a, b, c, .. } = around;
        let edge = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let context = &mut self.contexts[number];
        let correction = if negated { -context.correction } else { context.correction };
        let predicted = (edge + correction).clamp(0, self.largest);
        let order = order(context.count, context.errors)?;
        let mapped = self.bits.limited(order, self.limit, self.error_bits)?;
        if mapped > 2 * self.range {
            return Err(broken());
        }
        let special = self.near == 0 && order == 0 && 2 * context.bias <= -context.count;
        let error = match (mapped & 1 == 0, special) {
            (true, false) => mapped / 2,
            (false, false) => -(mapped + 1) / 2,
            (true, true) => -(mapped / 2) - 1,
            (false, true) => (mapped - 1) / 2,
        };
        context.update(error, self.step, self.reset);
        Ok(self.restore(predicted, if negated { -error } else { error }))
    }

    /// Adds an error to a prediction, modulo the range (A.4.5).
    fn restore(&self, predicted: i32, error: i32) -> i32 {
        let value = predicted + error * self.step;
        let value = if value < -self.near {
            value + self.range * self.step
        } else if value > self.largest + self.near {
            value - self.range * self.step
        } else {
            value
        };
        value.clamp(0, self.largest)
    }

    /// Length of a run, at most `rest`, and whether it goes to the end of the line (A.7.1.2).
    fn run(&mut self, run_index: &mut usize, rest: usize) -> Result<(usize, bool)> {
        let mut length = 0;
        while self.bits.take(1)? == 1 {
            let whole = 1 << RUN_ORDERS[*run_index];
            length += whole;
            if length > rest {
                return Ok((rest, true));
            }
            *run_index = (*run_index + 1).min(31);
            if length == rest {
                return Ok((rest, true));
            }
        }
        length += self.bits.take(RUN_ORDERS[*run_index])? as usize;
        if length < rest { Ok((length, false)) } else { Err(broken()) }
    }

    /// Error of the sample that ends a run (A.7.2); `kind` is RItype.
    fn interruption(&mut self, kind: usize, run_order: u32) -> Result<i32> {
        let context = &mut self.interruptions[kind];
        let flat = kind as i32;
        let order = order(context.count, context.errors + i64::from(flat * (context.count >> 1)))?;
        let mapped = self.bits.limited(order, self.limit - run_order - 1, self.error_bits)?;
        if mapped > 2 * self.range {
            return Err(broken());
        }
        let (odd, size) = ((mapped + flat) & 1 == 1, (mapped + flat + 1) / 2);
        let mostly_negative = order != 0 || 2 * context.negatives >= context.count;
        let error = if mostly_negative == odd { -size } else { size };
        context.negatives += i32::from(error < 0);
        context.errors += i64::from((mapped + 1 - flat) >> 1);
        if context.count == self.reset {
            context.errors >>= 1;
            context.count >>= 1;
            context.negatives >>= 1;
        }
        context.count += 1;
        Ok(error)
    }
}

/// Order of the code of an error: the smallest `k` with `count << k` at least `errors` (A.5.1).
fn order(count: i32, errors: i64) -> Result<u32> {
    (0..24).find(|k| i64::from(count) << k >= errors).ok_or_else(broken)
}

impl Context {
    /// A.6.
    fn update(&mut self, error: i32, step: i32, reset: i32) {
        self.bias += error * step;
        self.errors += i64::from(error.abs());
        if self.count == reset {
            self.errors >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        if self.bias <= -self.count {
            self.correction = (self.correction - 1).max(-128);
            self.bias = (self.bias + self.count).max(1 - self.count);
        } else if self.bias > 0 {
            self.correction = (self.correction + 1).min(127);
            self.bias = (self.bias - self.count).min(0);
        }
    }
}

/// The bits of a scan. After a byte 0xFF comes one of seven bits (9.1).
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest.
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 56 && self.at < self.bytes.len() {
            let byte = u64::from(self.bytes[self.at]);
            let width = if self.at > 0 && self.bytes[self.at - 1] == 0xFF { 7 } else { 8 };
            self.held |= byte << (64 - width - self.count);
            self.count += width;
            self.at += 1;
        }
    }

    /// Up to 31 bits as a number. Errors if the scan has no more.
    fn take(&mut self, count: u32) -> Result<i32> {
        if count == 0 {
            return Ok(0);
        }
        if self.count < count {
            self.fill();
        }
        self.count = self.count.checked_sub(count).ok_or_else(broken)?;
        let value = (self.held >> (64 - count)) as i32;
        self.held <<= count;
        Ok(value)
    }

    /// A code of limited length (A.5.3): zeros and a one, then `order` bits; or very many zeros and a one, then the number.
    fn limited(&mut self, order: u32, limit: u32, error_bits: u32) -> Result<i32> {
        let longest = limit.checked_sub(error_bits + 1).ok_or_else(broken)?;
        self.fill();
        let zeros = self.held.leading_zeros();
        if zeros > longest || zeros >= self.count {
            return Err(broken());
        }
        self.held <<= zeros;
        self.held <<= 1;
        self.count -= zeros + 1;
        match zeros < longest {
            true => Ok((zeros as i32) << order | self.take(order)?),
            false => Ok(self.take(error_bits)? + 1),
        }
    }
}
