//! Pictures for people: grey images, and heatmaps in colour over their source, as PNG.
//!
//! An overlay is the display image with the map blended in (opacity grows with the value), the outline of the map's hot part,
//! a colour bar and a caption below. It is for looking at; numbers come from the findings.
use font8x8::UnicodeFonts;
use ndarray::{Array2, ArrayView2};

use super::resize;
use crate::error::{Error, Result};

/// Longest side of a rendered image; larger sources are shrunk to it.
pub const LONGEST_SIDE: usize = 1024;
/// Opacity of the map where its value is 1; below, it falls with the value.
const OPACITY_MAX: f32 = 0.6;
/// Pixels of a letter of the font.
const GLYPH: usize = 8;
/// From this width on the caption is drawn twice as large as the font; on a narrower picture, a slice say, it would not fit.
const WIDE: usize = 640;
const BAR_LETTERS: usize = 8;
const BACKGROUND: [u8; 3] = [0, 0, 0];
const INK: [u8; 3] = [230, 230, 230];
const OUTLINE: [u8; 3] = [255, 255, 255];

/// Rows and columns of the picture of a source of that size: the same shape, longest side at most [`LONGEST_SIDE`].
pub fn size(rows: usize, columns: usize) -> (usize, usize) {
    let longest = rows.max(columns);
    if longest <= LONGEST_SIDE {
        return (rows, columns);
    }
    let shrunk = |side: usize| (side * LONGEST_SIDE / longest).max(1);
    (shrunk(rows), shrunk(columns))
}

/// A grey PNG, 8 bits: `values` in `0.0..=1.0`, rounded to 0..255, at their own size.
///
/// Errors: `Internal` if they cannot be encoded (a side of 0).
pub fn gray_png(values: ArrayView2<'_, f32>) -> Result<Vec<u8>> {
    let pixels: Vec<u8> = values.iter().map(|value| byte(*value)).collect();
    encode(&pixels, values.dim(), png::ColorType::Grayscale)
}

/// A picture in colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its height.
    pub rows: usize,
    /// Its width.
    pub columns: usize,
    /// Red, green and blue of each pixel, row by row from the top.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// As PNG, 8 bits. Errors: `Internal` if it cannot be encoded (a side of 0).
    pub fn png(&self) -> Result<Vec<u8>> {
        encode(&self.rgb, (self.rows, self.columns), png::ColorType::Rgb)
    }
}

/// An overlay: `image` and `map` in `0.0..=1.0`; `map` has the size that [`size`] gives for the image.
///
/// `outline_at`: a line is drawn where the map crosses this value. `caption`: lines below the picture, ASCII; longer ones go on in the
/// next. Result: RGB, rows of the caption below those of the picture. Errors: `Internal` when the map has another size.
pub fn overlay(
    image: ArrayView2<'_, f32>,
    map: ArrayView2<'_, f32>,
    outline_at: f32,
    caption: &[String],
) -> Result<Picture> {
    let (rows, columns) = size(image.nrows(), image.ncols());
    if map.dim() != (rows, columns) {
        return Err(Error::internal("a heatmap was sampled at another size than its picture"));
    }
    let grey = resize(image, rows, columns);
    let zoom = if columns < WIDE { 1 } else { 2 };
    let caption = &wrapped(caption, (columns / (zoom * GLYPH)).saturating_sub(1).max(1));
    let height = rows + caption_height(caption, zoom);
    let mut canvas = Canvas { pixels: BACKGROUND.repeat(height * columns), height, width: columns, zoom };
    for ((row, column), value) in grey.indexed_iter() {
        canvas.put(row, column, blend(*value, map[(row, column)]));
    }
    for (row, column) in outline(map, outline_at) {
        canvas.put(row, column, OUTLINE);
    }
    let mut top = rows + (line_height(zoom) - zoom * GLYPH) / 2;
    for line in caption {
        canvas.write(top, zoom * GLYPH / 2, line);
        top += line_height(zoom);
    }
    if !caption.is_empty() {
        canvas.color_bar(top);
    }
    Ok(Picture { rows: height, columns, rgb: canvas.pixels })
}

/// The lines, broken between words so that none has more than `letters`; a word that is longer is cut at the edge.
fn wrapped(caption: &[String], letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in caption {
        lines.push(String::new());
        for word in line.split(' ') {
            let fits = |line: &String| line.is_empty() || line.len() + 1 + word.len() <= letters;
            match lines.last_mut().filter(|line| fits(line)) {
                Some(line) if line.is_empty() => line.push_str(word),
                Some(line) => *line = format!("{line} {word}"),
                None => lines.push(word.to_owned()),
            }
        }
    }
    lines
}

fn caption_height(caption: &[String], zoom: usize) -> usize {
    // One more line for the colour bar.
    if caption.is_empty() { 0 } else { (caption.len() + 1) * line_height(zoom) }
}

fn line_height(zoom: usize) -> usize {
    zoom * (GLYPH + 3)
}

fn byte(value: f32) -> u8 {
    // Clamped to 0..=255 (NaN to 0): the cast cannot lose anything.
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Turbo (Mikhailov 2019): perceptually ordered enough, and told apart from grey at every value.
fn color(value: f32) -> [u8; 3] {
    let color = colorous::TURBO.eval_continuous(f64::from(value.clamp(0.0, 1.0)));
    [color.r, color.g, color.b]
}

fn blend(grey: f32, value: f32) -> [u8; 3] {
    let opacity = OPACITY_MAX * value.clamp(0.0, 1.0);
    color(value).map(|channel| byte(grey.clamp(0.0, 1.0) * (1.0 - opacity) + f32::from(channel) / 255.0 * opacity))
}

/// Pixels at or above the outline's value that have a neighbour below it.
fn outline(map: ArrayView2<'_, f32>, outline_at: f32) -> Vec<(usize, usize)> {
    let (rows, columns) = map.dim();
    let hot: Array2<bool> = map.mapv(|value| value >= outline_at);
    let edge = |row: usize, column: usize| {
        let (above, left) = (row.saturating_sub(1), column.saturating_sub(1));
        let (below, right) = ((row + 1).min(rows - 1), (column + 1).min(columns - 1));
        hot[(row, column)] && ![(above, column), (below, column), (row, left), (row, right)].iter().all(|at| hot[*at])
    };
    (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).filter(|(r, c)| edge(*r, *c)).collect()
}

/// An RGB picture that is drawn on; what lies outside is not drawn.
struct Canvas {
    pixels: Vec<u8>,
    height: usize,
    width: usize,
    /// Pixels of a dot of the font.
    zoom: usize,
}

impl Canvas {
    fn put(&mut self, row: usize, column: usize, color: [u8; 3]) {
        if row < self.height && column < self.width {
            let at = (row * self.width + column) * 3;
            self.pixels[at..at + 3].copy_from_slice(&color);
        }
    }

    fn write(&mut self, top: usize, left: usize, line: &str) {
        for (index, letter) in line.chars().enumerate() {
            let glyph = font8x8::BASIC_FONTS.get(letter).or_else(|| font8x8::BASIC_FONTS.get('?')).unwrap_or_default();
            let (zoom, letter) = (self.zoom, self.zoom * GLYPH);
            for row in 0..letter {
                for column in (0..letter).filter(|column| glyph[row / zoom] >> (column / zoom) & 1 == 1) {
                    self.put(top + row, left + index * letter + column, INK);
                }
            }
        }
    }

    /// `0 ▒▒▒▒▒▒ 1`: which colour is which value.
    fn color_bar(&mut self, top: usize) {
        let letter = self.zoom * GLYPH;
        let (left, width) = (letter / 2, BAR_LETTERS * letter);
        self.write(top, left, "0");
        let bar = left + letter + letter / 2;
        for column in 0..width {
            let shade = color(column as f32 / (width - 1) as f32);
            for row in 0..letter {
                self.put(top + row, bar + column, shade);
            }
        }
        self.write(top, bar + width + letter / 2, "1");
    }
}

fn encode(pixels: &[u8], (rows, columns): (usize, usize), color: png::ColorType) -> Result<Vec<u8>> {
    let failed = || Error::internal("a picture could not be encoded");
    let side = |n: usize| u32::try_from(n).map_err(|_| failed());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(columns)?, side(rows)?);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    // Fast: 1024 x 1024 in 8 ms; the default takes 40 times as long for a picture one seventh smaller.
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(|_| failed())?;
    writer.write_image_data(pixels).map_err(|_| failed())?;
    writer.finish().map_err(|_| failed())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows, columns, channels and bytes of a PNG.
    fn decode(png: &[u8]) -> (usize, usize, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("a frame");
        (info.height as usize, info.width as usize, pixels)
    }

    #[test]
    fn a_grey_png_holds_the_rounded_values() {
        let values = Array2::from_shape_vec((1, 4), vec![0.0, 0.5, 1.0, f32::NAN]).expect("shape");
        let (rows, columns, pixels) = decode(&gray_png(values.view()).expect("encodes"));
        assert_eq!((rows, columns, pixels), (1, 4, vec![0, 128, 255, 0]));
    }

    #[test]
    fn where_the_map_is_0_the_overlay_is_the_image() {
        let image = Array2::from_shape_fn((30, 40), |(r, c)| (r * 40 + c) as f32 / 1200.0);
        let cold = Array2::zeros((30, 40));
        let (rows, columns, pixels) =
            decode(&overlay(image.view(), cold.view(), 0.5, &[]).and_then(|p| p.png()).expect("encodes"));
        assert_eq!((rows, columns), (30, 40));
        for (pixel, value) in pixels.chunks_exact(3).zip(&image) {
            assert_eq!(pixel, [byte(*value); 3]);
        }
    }

    #[test]
    fn a_hot_spot_is_coloured_and_outlined_where_it_is() {
        let image = Array2::from_elem((60, 60), 0.5f32);
        let map =
            Array2::from_shape_fn(
                (60, 60),
                |(r, c)| if (20..30).contains(&r) && (40..50).contains(&c) { 0.9 } else { 0.0 },
            );
        let (_, columns, pixels) =
            decode(&overlay(image.view(), map.view(), 0.5, &[]).and_then(|p| p.png()).expect("encodes"));
        let at = |row: usize, column: usize| &pixels[(row * columns + column) * 3..][..3];
        assert_eq!(at(20, 44), OUTLINE);
        assert_eq!(at(10, 10), [128; 3]);
        let [red, green, blue] = [at(25, 45)[0], at(25, 45)[1], at(25, 45)[2]];
        assert!(red > green && red > blue, "turbo is red at 0.9: {red} {green} {blue}");
    }

    #[test]
    fn the_line_runs_where_it_is_asked_for() {
        let image = Array2::from_elem((20, 40), 0.5f32);
        let map = Array2::from_shape_fn((20, 40), |(_, c)| c as f32 / 40.0);
        for (outline_at, want) in [(0.3, 12), (0.5, 20)] {
            let png = overlay(image.view(), map.view(), outline_at, &[]).and_then(|p| p.png()).expect("encodes");
            let (_, _, pixels) = decode(&png);
            let line: Vec<usize> = (0..40).filter(|c| pixels[(10 * 40 + c) * 3..][..3] == OUTLINE).collect();
            assert_eq!(line, [want]);
        }
    }

    #[test]
    fn large_sources_shrink_and_captions_add_rows_below() {
        assert_eq!(size(3000, 2000), (1024, 682));
        let (image, map) = (Array2::from_elem((2048, 1024), 0.2f32), Array2::zeros((1024, 512)));
        let caption = [
            "mass 0.73".to_owned(),
            "a line that is far too long for this narrow picture, and goes on below".to_owned(),
        ];
        let (rows, columns, _) =
            decode(&overlay(image.view(), map.view(), 0.5, &caption).and_then(|p| p.png()).expect("encodes"));
        assert_eq!((rows, columns), (1024 + 4 * line_height(1), 512));
        let lines = ["Mass suspected to be a brain tumour: negative".to_owned(), "by day".to_owned()];
        assert_eq!(wrapped(&lines, 31), ["Mass suspected to be a brain", "tumour: negative", "by day"]);
        assert!(overlay(image.view(), image.view(), 0.5, &[]).is_err());
    }
}
