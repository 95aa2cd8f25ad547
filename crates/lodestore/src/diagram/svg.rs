//! Diagrams as SVG: boxes, lines and text at the places that `layout` found.

use std::fmt::Write;

use super::drawing::{
    Bubble, Class, Direction, Drawing, LINE_DARK, LINE_LIGHT, LINE_RENAMED, Line, PAPER_DARK,
};
use super::layout::{Layout, Point, Size, layout};
use super::{Style, Theme};

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif";

/// Draws the picture.
pub(super) fn svg(drawing: &Drawing, style: &Style<'_>) -> String {
    let horizontal = matches!(style.direction, Direction::LeftRight | Direction::RightLeft);
    let captions = drawing.groups.len() > 1;
    let shapes: Vec<Shape> = drawing
        .bubbles
        .iter()
        .map(|bubble| Shape::new(bubble, captions))
        .collect();
    let sizes: Vec<Size> = shapes
        .iter()
        .map(|s| match horizontal {
            true => Size {
                along: s.width,
                across: s.height,
            },
            false => Size {
                along: s.height,
                across: s.width,
            },
        })
        .collect();
    let lines: Vec<(usize, usize)> = drawing
        .lines
        .iter()
        .map(|line| (line.parent, line.child))
        .collect();
    let plan = layout(&sizes, &lines);
    let paper = Paper {
        direction: style.direction,
        plan: &plan,
    };
    let (width, height) = paper.size();

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"lode-diagram\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" \
         font-family=\"{FONT}\" font-size=\"13\">\n<title>Pipeline</title>\n",
        number(width),
        number(height),
    );
    if style.theme == Theme::Auto {
        dark_style(drawing, &mut out);
    }
    let dark = style.theme == Theme::Dark;
    let paper_fill = if dark { PAPER_DARK } else { "none" };
    let _ = writeln!(
        out,
        "<rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"{paper_fill}\"/>"
    );
    for (line, path) in drawing.lines.iter().zip(&plan.paths) {
        draw_line(line, path, &paper, dark, &mut out);
    }
    for ((bubble, shape), centre) in drawing.bubbles.iter().zip(&shapes).zip(&plan.centres) {
        draw_box(bubble, shape, paper.at(*centre), captions, dark, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

/// Text in XML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// What is written in a box, and its size.
struct Shape {
    label: String,
    caption: String,
    font: f64,
    width: f64,
    height: f64,
}

impl Shape {
    fn new(bubble: &Bubble, captions: bool) -> Shape {
        let (label, caption) = match bubble.class {
            Class::Collapsed => (bubble.schema.clone(), bubble.label.clone()),
            _ if captions => (bubble.label.clone(), bubble.schema.clone()),
            _ => (bubble.label.clone(), String::new()),
        };
        let font = if bubble.class == Class::Part {
            11.0
        } else {
            13.0
        };
        let padding = match bubble.class {
            Class::Imported | Class::Computed | Class::Other => 30.0,
            Class::Part => 16.0,
            _ => 24.0,
        };
        let width = (text_width(&label) * font).max(text_width(&caption) * 10.0) + padding;
        let height = if bubble.class == Class::Part {
            22.0
        } else {
            30.0
        } + if caption.is_empty() { 0.0 } else { 12.0 };
        Shape {
            label,
            caption,
            font,
            width: width.max(44.0).round(),
            height,
        }
    }
}

/// About how wide a text is, in units of its font size: sans-serif fonts differ, so a little generous.
fn text_width(text: &str) -> f64 {
    text.chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | '\'' | '|' | ':' => 0.28,
            'f' | 't' | 'r' | 'I' | '(' | ')' | ' ' | '-' => 0.38,
            'm' | 'w' | 'M' | 'W' => 0.9,
            c if c.is_ascii_uppercase() => 0.7,
            c if c.is_ascii() => 0.58,
            _ => 1.0,
        })
        .sum()
}

/// Turns along and across into x and y.
struct Paper<'a> {
    direction: Direction,
    plan: &'a Layout,
}

impl Paper<'_> {
    fn at(&self, point: Point) -> (f64, f64) {
        let far = self.plan.size.along - point.along;
        match self.direction {
            Direction::LeftRight => (point.along, point.across),
            Direction::RightLeft => (far, point.across),
            Direction::TopDown => (point.across, point.along),
            Direction::BottomUp => (point.across, far),
        }
    }

    fn size(&self) -> (f64, f64) {
        let size = self.plan.size;
        match self.direction {
            Direction::LeftRight | Direction::RightLeft => (size.along, size.across),
            Direction::TopDown | Direction::BottomUp => (size.across, size.along),
        }
    }
}

fn draw_line(line: &Line, path: &[Point], paper: &Paper<'_>, dark: bool, out: &mut String) {
    let point = |p: Point| {
        let (x, y) = paper.at(p);
        format!("{} {}", number(x), number(y))
    };
    let mut d = format!("M{}", path.first().map_or(String::new(), |p| point(*p)));
    for pair in path.windows(2) {
        // Leaves and arrives in the direction of the ranks, hence smooth where pieces meet.
        let middle = (pair[0].along + pair[1].along) / 2.0;
        let leave = Point {
            along: middle,
            across: pair[0].across,
        };
        let arrive = Point {
            along: middle,
            across: pair[1].across,
        };
        let _ = write!(d, "C{} {} {}", point(leave), point(arrive), point(pair[1]));
    }
    let stroke = match (line.renamed, dark) {
        (true, _) => LINE_RENAMED,
        (false, false) => LINE_LIGHT,
        (false, true) => LINE_DARK,
    };
    let _ = write!(
        out,
        "<path class=\"line{}\" d=\"{d}\" fill=\"none\" stroke=\"{stroke}\" stroke-opacity=\"{}\" stroke-width=\"{}\"{}",
        if line.renamed { " renamed" } else { "" },
        if dark { "0.75" } else { "0.62" },
        if line.thick { "2" } else { "1" },
        if line.primary {
            ""
        } else {
            " stroke-dasharray=\"5 4\""
        },
    );
    match line.tooltip.is_empty() {
        true => out.push_str("/>\n"),
        false => {
            let _ = writeln!(out, "><title>{}</title></path>", escape(&line.tooltip));
        }
    }
}

fn draw_box(
    bubble: &Bubble,
    shape: &Shape,
    centre: (f64, f64),
    captions: bool,
    dark: bool,
    out: &mut String,
) {
    let c = if dark {
        bubble.class.dark()
    } else {
        bubble.class.light()
    };
    let (x, y) = (centre.0 - shape.width / 2.0, centre.1 - shape.height / 2.0);
    let radius = match bubble.class {
        Class::Manual | Class::Lookup => 7.0,
        Class::Imported | Class::Computed | Class::Other => shape.height / 2.0,
        Class::Part | Class::Collapsed => 3.0,
    };
    if let Some(link) = &bubble.link {
        let _ = write!(out, "<a href=\"{}\">", escape(link));
    }
    let _ = writeln!(
        out,
        "<g class=\"{}\"><title>{}</title>",
        bubble.class.name(),
        escape(&bubble.tooltip)
    );
    let rect = |x: f64, y: f64, out: &mut String| {
        let _ = writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{}\" stroke=\"{}\" stroke-width=\"1.2\"/>",
            number(x),
            number(y),
            number(shape.width),
            number(shape.height),
            number(radius),
            c.0,
            c.1,
        );
    };
    if bubble.class == Class::Collapsed {
        rect(x + 4.0, y - 4.0, out);
    }
    rect(x, y, out);
    // Text is set on its baseline, about a third of its size below the middle.
    let middle = if shape.caption.is_empty() {
        centre.1
    } else {
        centre.1 - 6.0
    };
    let mut text = |text: &str, y: f64, size: f64, more: &str| {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\" text-anchor=\"middle\" fill=\"{}\"{more}>{}</text>",
            number(centre.0),
            number(y + size * 0.35),
            number(size),
            c.2,
            escape(text),
        );
    };
    let underline = if bubble.underlined {
        " text-decoration=\"underline\""
    } else {
        ""
    };
    text(&shape.label, middle, shape.font, underline);
    if captions || bubble.class == Class::Collapsed {
        text(
            &shape.caption,
            centre.1 + shape.height / 2.0 - 11.0,
            10.0,
            " opacity=\"0.75\"",
        );
    }
    out.push_str(match bubble.link {
        Some(_) => "</g></a>\n",
        None => "</g>\n",
    });
}

/// Rules that apply where the reader's system is dark; they override the attributes of the light picture. They name the
/// picture's class, for in a page they would otherwise apply to all of it.
fn dark_style(drawing: &Drawing, out: &mut String) {
    out.push_str("<style>@media (prefers-color-scheme: dark) {\n");
    let _ = writeln!(
        out,
        ".lode-diagram .paper {{ fill: {PAPER_DARK} }} .lode-diagram .line {{ stroke: {LINE_DARK}; stroke-opacity: 0.75 }}"
    );
    let _ = writeln!(
        out,
        ".lode-diagram .line.renamed {{ stroke: {LINE_RENAMED} }}"
    );
    for class in Class::ALL
        .into_iter()
        .filter(|c| drawing.bubbles.iter().any(|b| b.class == *c))
    {
        let (name, c) = (class.name(), class.dark());
        let _ = writeln!(
            out,
            ".lode-diagram .{name} rect {{ fill: {}; stroke: {} }} .lode-diagram .{name} text {{ fill: {} }}",
            c.0, c.1, c.2
        );
    }
    out.push_str("}</style>\n");
}

/// A number with at most one decimal.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
