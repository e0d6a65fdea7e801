//! Thumbnails of the pictures in a message. Their decoders have bounds: of pixels, which are known before any is decoded, of memory
//! and of passes. A few are decoded at a time.

use std::io::Cursor;
use std::num::NonZeroU64;
use std::panic::catch_unwind;

use axum::extract::{Path, State};
use jpeg_encoder::{ColorType, Encoder};
use mail_parser::MessageParser;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::list::ListQuery;
use super::message::{find, inert};
use super::{Answer, AppState, Failure, catalogue};
use crate::catalogue::parts;
use crate::sync::beside_others;

const WIDTH: usize = 180;
const HEIGHT: usize = 120;
/// Of the JPEG, 100 at most.
const QUALITY: u8 = 80;
/// A picture with more pixels has a blank thumbnail.
const MAX_PIXELS: usize = 16_000_000;
/// The passes in which a JPEG may come; cameras and the web use ten.
const MAX_SCANS: usize = 20;
/// The memory that a decoder of PNG may take beside the pixels, in bytes.
const MAX_PNG_BYTES: usize = 16 * 1024 * 1024;

/// A part that is a picture as a JPEG of 180 by 120 pixels, cut or on white; a blank one if it is none.
///
/// Answers 404 if there is no such message or part.
#[utoipa::path(
    get,
    path = "/api/v1/message/{id}/part/{part}/thumb",
    tag = "messages",
    params(
        ("id" = String, Path, description = "The id of a message, or `latest`."),
        ("part" = String, Path, description = "The `PartID`."),
    ),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"))
)]
pub(super) async fn thumb(State(running): AppState, Path((id, wanted)): Path<(String, String)>) -> Answer {
    let entry = find(&running, &id, &ListQuery::default()).await?;
    let bytes = catalogue(&running)?.message(&entry)?.to_bytes();
    let thumbnail = beside_others(bytes.len().max(MAX_PIXELS), || {
        let parsed = MessageParser::default().parse(bytes.as_ref())?;
        let part = parts(&parsed).into_iter().find(|part| part.id == wanted)?;
        Some(thumbnail(part.part.contents()))
    });
    let jpeg = thumbnail.ok_or_else(Failure::not_found)?;
    Ok(inert("image/jpeg", jpeg.map_err(|error| Failure::internal(error.to_string()))?))
}

/// The thumbnail of a JPEG, PNG or GIF as a JPEG of [`WIDTH`] by [`HEIGHT`] pixels; a white one if the bytes are no
/// such picture.
///
/// # Errors
/// The encoder fails.
fn thumbnail(bytes: &[u8]) -> Result<Vec<u8>, jpeg_encoder::EncodingError> {
    // A decoder that panics has no picture.
    let picture = catch_unwind(|| Picture::read(bytes)).unwrap_or_default();
    let pixels = picture.map_or_else(|| vec![u8::MAX; 3 * WIDTH * HEIGHT], |picture| picture.scaled());
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, QUALITY).encode(&pixels, WIDTH as u16, HEIGHT as u16, ColorType::Rgb)?;
    Ok(jpeg)
}

/// A decoded picture.
struct Picture {
    width: usize,
    height: usize,
    /// 1: grey; 2: grey and alpha; 3: red, green, blue; 4: with alpha. Each is a byte.
    channels: usize,
    pixels: Vec<u8>,
}

impl Picture {
    /// Decodes a JPEG, PNG or GIF; `None` if it is none, too large, or damaged.
    fn read(bytes: &[u8]) -> Option<Self> {
        let picture = match bytes {
            [0xFF, 0xD8, ..] => Self::of_jpeg(bytes),
            [0x89, b'P', b'N', b'G', ..] => Self::of_png(bytes),
            [b'G', b'I', b'F', b'8', ..] => Self::of_gif(bytes),
            _ => None,
        }?;
        let size = picture.width.checked_mul(picture.height)?.checked_mul(picture.channels)?;
        (0 < size && size <= picture.pixels.len()).then_some(picture)
    }

    /// Decodes a JPEG; `None` if it is damaged, or has more than [`MAX_PIXELS`] or [`MAX_SCANS`].
    fn of_jpeg(bytes: &[u8]) -> Option<Self> {
        let options = DecoderOptions::new_safe().jpeg_set_max_scans(MAX_SCANS);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().ok()?;
        let info = decoder.info()?;
        let (width, height) = (usize::from(info.width), usize::from(info.height));
        if !fits(width, height) {
            return None;
        }
        let pixels = decoder.decode().ok()?;
        let channels = decoder.output_colorspace()?.num_components();
        Some(Self { width, height, channels, pixels })
    }

    /// Decodes a PNG, each channel as a byte; `None` if it is damaged, has more than [`MAX_PIXELS`], or takes more than
    /// [`MAX_PNG_BYTES`].
    fn of_png(bytes: &[u8]) -> Option<Self> {
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: MAX_PNG_BYTES });
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let (width, height) = decoder.read_header_info().ok()?.size();
        let (width, height) = (usize::try_from(width).ok()?, usize::try_from(height).ok()?);
        if !fits(width, height) {
            return None;
        }
        let mut reader = decoder.read_info().ok()?;
        let mut pixels = vec![0; reader.output_buffer_size()?];
        let info = reader.next_frame(&mut pixels).ok()?;
        Some(Self { width, height, channels: info.color_type.samples(), pixels })
    }

    /// Decodes the first frame of a GIF, with alpha; `None` if it is damaged, or its pixels take more than four times
    /// [`MAX_PIXELS`] bytes.
    fn of_gif(bytes: &[u8]) -> Option<Self> {
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        options.set_memory_limit(gif::MemoryLimit::Bytes(NonZeroU64::new(4 * MAX_PIXELS as u64)?));
        let mut decoder = options.read_info(bytes).ok()?;
        let frame = decoder.read_next_frame().ok()??;
        let (width, height) = (usize::from(frame.width), usize::from(frame.height));
        Some(Self { width, height, channels: 4, pixels: frame.buffer.to_vec() })
    }

    /// Returns the pixels of the thumbnail, three bytes each (red, green, blue). A picture that is as wide and as high
    /// as the thumbnail, or more, is scaled to cover it and cut at two sides; another one stands on white in the
    /// middle, made smaller if it does not fit.
    fn scaled(&self) -> Vec<u8> {
        let Self { width, height, .. } = *self;
        let is_wider = height * WIDTH < width * HEIGHT;
        let covers = WIDTH <= width && HEIGHT <= height;
        // What is taken of the picture, and its size in the thumbnail.
        let (taken, shown) = match (covers, is_wider) {
            (true, true) => ((height * WIDTH / HEIGHT, height), (WIDTH, HEIGHT)),
            (true, false) => ((width, width * HEIGHT / WIDTH), (WIDTH, HEIGHT)),
            (false, _) if width <= WIDTH && height <= HEIGHT => ((width, height), (width, height)),
            (false, true) => ((width, height), (WIDTH, (height * WIDTH / width).max(1))),
            (false, false) => ((width, height), ((width * HEIGHT / height).max(1), HEIGHT)),
        };
        let (left, top) = ((width - taken.0) / 2, (height - taken.1) / 2);
        let (margin, above) = ((WIDTH - shown.0) / 2, (HEIGHT - shown.1) / 2);
        let mut out = vec![u8::MAX; 3 * WIDTH * HEIGHT];
        let span = |at: usize, taken: usize, shown: usize| {
            let begin = at * taken / shown;
            begin..((at + 1) * taken / shown).max(begin + 1)
        };
        for y in 0..shown.1 {
            let rows = span(y, taken.1, shown.1);
            for x in 0..shown.0 {
                let columns = span(x, taken.0, shown.0);
                let mean = self.mean(left + columns.start..left + columns.end, top + rows.start..top + rows.end);
                let at = 3 * ((above + y) * WIDTH + margin + x);
                out[at..at + 3].copy_from_slice(&mean);
            }
        }
        out
    }

    /// Returns the mean colour (red, green, blue) of a rectangle of the picture, in pixels; what is transparent shows
    /// white.
    fn mean(&self, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) -> [u8; 3] {
        let count = columns.len() * rows.len();
        let mut sums = [0_usize; 3];
        for y in rows {
            for x in columns.clone() {
                let at = (y * self.width + x) * self.channels;
                let pixel = &self.pixels[at..at + self.channels];
                let (colour, alpha) = match *pixel {
                    [grey] => ([grey; 3], u8::MAX),
                    [grey, alpha] => ([grey; 3], alpha),
                    [red, green, blue] => ([red, green, blue], u8::MAX),
                    [red, green, blue, alpha, ..] => ([red, green, blue], alpha),
                    [] => ([u8::MAX; 3], u8::MAX),
                };
                let (alpha, white) = (usize::from(alpha), usize::from(u8::MAX));
                for (sum, part) in sums.iter_mut().zip(colour) {
                    *sum += (usize::from(part) * alpha + white * (white - alpha)) / white;
                }
            }
        }
        sums.map(|sum| (sum / count.max(1)) as u8)
    }
}

/// Whether a picture of this size has [`MAX_PIXELS`] at most.
fn fits(width: usize, height: usize) -> bool {
    width.checked_mul(height).is_some_and(|pixels| pixels <= MAX_PIXELS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [200, 30, 30];

    /// A PNG of these pixels.
    fn png(width: u32, height: u32, color: png::ColorType, pixels: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        bytes
    }

    /// A GIF of one colour.
    fn gif(width: u16, height: u16, colour: [u8; 3]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = gif::Encoder::new(&mut bytes, width, height, &[]).unwrap();
        let pixels = vec![0; usize::from(width) * usize::from(height)];
        encoder.write_frame(&gif::Frame::from_palette_pixels(width, height, pixels, colour, None)).unwrap();
        drop(encoder);
        bytes
    }

    fn jpeg(width: u16, height: u16, pixels: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, 90).encode(pixels, width, height, ColorType::Rgb).unwrap();
        bytes
    }

    /// Whether the thumbnail has these colours, but for what JPEG loses.
    fn assert_pixels(bytes: &[u8], expected: &[(usize, usize, [u8; 3])]) {
        let found = Picture::read(&thumbnail(bytes).unwrap()).unwrap();
        assert_eq!((found.width, found.height, found.channels), (WIDTH, HEIGHT, 3));
        for (x, y, colour) in expected {
            let at = 3 * (y * WIDTH + x);
            let near = found.pixels[at..at + 3].iter().zip(colour).all(|(one, other)| one.abs_diff(*other) < 12);
            assert!(near, "{x},{y}: {:?} instead of {colour:?}", &found.pixels[at..at + 3]);
        }
    }

    const WHITE: [u8; 3] = [255; 3];

    #[test]
    fn thumb_of_every_format_shows_the_picture_cut_or_on_white() {
        let pixels = RED.repeat(600 * 200);
        let corners = [(0, 0, RED), (WIDTH - 1, 0, RED), (90, 60, RED), (WIDTH - 1, HEIGHT - 1, RED)];
        for bytes in [png(600, 200, png::ColorType::Rgb, &pixels), jpeg(600, 200, &pixels), gif(600, 200, RED)] {
            assert_pixels(&bytes, &corners);
        }
        let small = png(20, 10, png::ColorType::Rgb, &RED.repeat(200));
        assert_pixels(&small, &[(0, 0, WHITE), (70, 60, WHITE), (85, 60, RED), (95, 57, RED), (110, 60, WHITE)]);
        let tall = png(60, 600, png::ColorType::Rgb, &RED.repeat(36_000));
        assert_pixels(&tall, &[(70, 60, WHITE), (90, 5, RED), (90, 115, RED), (110, 60, WHITE)]);
        // The left half is transparent, the right half grey.
        let half: Vec<u8> = (0..180 * 120).flat_map(|at| if at % 180 < 90 { [9, 0] } else { [100, 255] }).collect();
        let half = png(180, 120, png::ColorType::GrayscaleAlpha, &half);
        assert_pixels(&half, &[(20, 60, WHITE), (160, 60, [100; 3])]);
    }

    #[test]
    fn thumb_of_what_is_no_picture_too_large_or_damaged_is_blank() {
        let png = png(200, 200, png::ColorType::Rgb, &RED.repeat(40_000));
        let jpeg = jpeg(200, 200, &RED.repeat(40_000));
        let gif = gif(200, 200, RED);
        let blank = thumbnail(b"").unwrap();
        assert_pixels(b"no picture", &[(0, 0, WHITE), (90, 60, WHITE)]);
        // 25 megapixels in some kilobytes.
        let mut large = Vec::new();
        let mut encoder = png::Encoder::new(&mut large, 5000, 5000);
        encoder.set_depth(png::BitDepth::One);
        encoder.write_header().unwrap().write_image_data(&vec![0; 625 * 5000]).unwrap();
        // 65,535 pixels wide and high.
        let mut huge = jpeg.clone();
        let frame = huge.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
        huge[frame + 5..frame + 9].fill(0xFF);
        let mut wide = gif.clone();
        let descriptor = 13 + wide[13..].iter().position(|byte| *byte == b',').unwrap();
        wide[descriptor + 5..descriptor + 9].fill(0xFF);
        for bytes in [&large, &huge, &png[..30], &gif[..12], &jpeg[..10]] {
            assert_eq!(thumbnail(bytes).unwrap(), blank);
        }
        for bytes in [png, jpeg, gif, wide] {
            for at in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x55;
                thumbnail(&damaged).unwrap();
                thumbnail(&bytes[..at]).unwrap();
            }
        }
    }
}
