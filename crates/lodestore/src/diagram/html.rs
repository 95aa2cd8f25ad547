//! Diagrams as a piece of HTML, for notebooks: the picture, and the definitions of its tables.

use std::fmt::Write;

use super::svg::escape;
use super::{Diagram, Style};
use crate::definition::TableName;

/// Draws the picture, and lists the definitions below it.
pub(super) fn html(diagram: &Diagram, style: &Style<'_>, prefix: &str) -> String {
    let unfolded: Vec<&TableName> = diagram
        .folding()
        .filter(|(_, folded)| !folded)
        .map(|(table, _)| table)
        .collect();
    let anchor = |table: &TableName| {
        let n = unfolded.iter().position(|t| *t == table)?;
        Some(format!("{prefix}{n}"))
    };
    let link = |table: &TableName| anchor(table).map(|anchor| format!("#{anchor}"));
    let picture = diagram.to_svg(&Style {
        link: Some(&link),
        ..*style
    });
    let mut out = format!("<div>\n<div style=\"overflow-x: auto\">\n{picture}</div>\n");
    for table in &unfolded {
        let definition = style.tooltip.and_then(|f| f(table)).unwrap_or_default();
        // The anchor is within the folded part: a browser that goes there unfolds it.
        let _ = writeln!(
            out,
            "<details><summary>{}</summary><pre id=\"{}\">{}</pre></details>",
            escape(&table.to_string()),
            escape(&anchor(table).unwrap_or_default()),
            escape(definition.trim_end()),
        );
    }
    out.push_str("</div>\n");
    out
}
