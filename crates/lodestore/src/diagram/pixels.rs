//! Diagrams as pixels: the SVG, rendered with a font of our own, so that it looks the same on every machine.

use std::sync::Arc;

use ndarray::Array3;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::{Diagram, Style, Theme};
use crate::error::{Error, Result};

/// Apache 2.0, see `font/LICENSE`. Latin, Greek and Cyrillic.
const FONT: &[u8] = include_bytes!("font/Roboto-Regular.ttf");
const FONT_NAME: &str = "Roboto";

/// Pixels per unit of the SVG: sharp on dense screens.
const SCALE: f32 = 2.0;
/// A picture with more pixels (200 MB) is drawn smaller.
const MAX_PIXELS: f32 = 50e6;

pub(super) fn png(diagram: &Diagram, style: &Style<'_>) -> Result<Vec<u8>> {
    render(diagram, style)?.encode_png().map_err(failed)
}

pub(super) fn pixels(diagram: &Diagram, style: &Style<'_>) -> Result<Array3<u8>> {
    let picture = render(diagram, style)?;
    let shape = (picture.height() as usize, picture.width() as usize, 4);
    // The paper is opaque, so pixels with alpha multiplied in are those without.
    Array3::from_shape_vec(shape, picture.take()).map_err(failed)
}

fn render(diagram: &Diagram, style: &Style<'_>) -> Result<Pixmap> {
    let theme = match style.theme {
        Theme::Dark => Theme::Dark,
        Theme::Auto | Theme::Light => Theme::Light,
    };
    let text = diagram.to_svg(&Style {
        theme,
        tooltip: None,
        ..*style
    });

    let mut fonts = fontdb::Database::new();
    fonts.load_font_source(fontdb::Source::Binary(Arc::new(FONT)));
    fonts.set_sans_serif_family(FONT_NAME);
    let options = Options {
        font_family: FONT_NAME.to_owned(),
        fontdb: Arc::new(fonts),
        ..Options::default()
    };
    let tree = Tree::from_str(&text, &options).map_err(failed)?;

    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = SCALE.min((MAX_PIXELS / (width * height)).sqrt());
    let pixels = |length: f32| (length * scale).ceil().max(1.0) as u32;
    let mut picture = Pixmap::new(pixels(width), pixels(height))
        .ok_or_else(|| failed("no memory for its pixels"))?;
    picture.fill(Color::WHITE);
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut picture.as_mut(),
    );
    Ok(picture)
}

fn failed(reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the diagram cannot be drawn: {reason}"))
        .hint("Save it as .svg, which needs no drawing.")
}
