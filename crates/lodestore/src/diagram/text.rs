//! Diagrams as text: Mermaid and DOT.

use std::fmt::Write;

use super::drawing::{Bubble, Class, Drawing, LINE_DARK, LINE_LIGHT, LINE_RENAMED, PAPER_DARK};
use super::{Style, Theme};

/// Mermaid (spec: python-api §6).
pub(super) fn mermaid(drawing: &Drawing, style: &Style<'_>) -> String {
    let mut lines = vec![
        format!("flowchart {}", style.direction.code()),
        String::new(),
    ];
    for class in Class::ALL {
        let c = class.light();
        lines.push(format!(
            "    classDef {} fill:{},stroke:{},color:{}",
            class.name(),
            c.0,
            c.1,
            c.2
        ));
    }
    lines.push(String::new());
    for (schema, title) in &drawing.groups {
        let members: Vec<usize> = (0..drawing.bubbles.len())
            .filter(|i| drawing.bubbles[*i].schema == *schema)
            .collect();
        // A folded schema's box bears the schema's name; Mermaid takes no group of the same name around it.
        let clash = members
            .iter()
            .any(|i| drawing.bubbles[*i].id == sanitised(schema));
        let id = if clash {
            format!("group_{}", sanitised(schema))
        } else {
            sanitised(schema)
        };
        lines.push(format!("    subgraph {id}[\"{}\"]", quoted(title)));
        let has_parts = |i: usize| drawing.parts(i).next().is_some();
        for &i in members.iter().filter(|i| has_parts(**i)) {
            let master = &drawing.bubbles[i];
            lines.push(format!("        subgraph entity_{}[\" \"]", master.id));
            lines.push(format!(
                "            {}",
                node(&master.id, &master.label, master.class)
            ));
            for part in drawing.parts(i) {
                let label = short_label(part);
                lines.push(format!("            {}", node(&part.id, label, part.class)));
            }
            lines.push("        end".to_owned());
        }
        for &i in members
            .iter()
            .filter(|i| !has_parts(**i) && drawing.bubbles[**i].master.is_none())
        {
            let bubble = &drawing.bubbles[i];
            lines.push(format!(
                "        {}",
                node(&bubble.id, &bubble.label, bubble.class)
            ));
        }
        lines.push("    end".to_owned());
    }
    lines.push(String::new());
    for line in &drawing.lines {
        lines.push(format!(
            "    {} --> {}",
            drawing.bubbles[line.parent].id, drawing.bubbles[line.child].id
        ));
    }
    for (i, line) in drawing.lines.iter().enumerate() {
        let stroke = if line.renamed {
            LINE_RENAMED
        } else {
            LINE_LIGHT
        };
        lines.push(format!(
            "    linkStyle {i} stroke:{stroke},stroke-width:{}px",
            if line.thick { 2 } else { 1 }
        ));
    }
    lines.join("\n")
}

fn node(id: &str, label: &str, class: Class) -> String {
    let plain = label
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
    let label = if plain {
        label.to_owned()
    } else {
        format!("\"{}\"", quoted(label))
    };
    let (open, close) = match class {
        Class::Manual | Class::Lookup | Class::Part => ("[", "]"),
        Class::Imported | Class::Computed => ("([", "])"),
        Class::Other => ("((", "))"),
        Class::Collapsed => ("[[", "]]"),
    };
    format!("{id}{open}{label}{close}:::{}", class.name())
}

/// A part bears its own name alone where its master is shown.
fn short_label(bubble: &Bubble) -> &str {
    match bubble.master {
        Some(_) => bubble.label.rsplit('.').next().unwrap_or(&bubble.label),
        None => &bubble.label,
    }
}

fn sanitised(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

/// Text between double quotes in Mermaid.
fn quoted(text: &str) -> String {
    text.replace('"', "#quot;")
}

/// DOT. `Auto` is drawn light: DOT knows no themes.
pub(super) fn dot(drawing: &Drawing, style: &Style<'_>) -> String {
    let dark = style.theme == Theme::Dark;
    let mut out = String::from("digraph pipeline {\n");
    let _ = writeln!(out, "  rankdir={};", style.direction.code());
    if dark {
        let _ = writeln!(out, "  bgcolor=\"{PAPER_DARK}\";");
    }
    out.push_str("  node [fontname=\"Helvetica,Arial,sans-serif\", fontsize=12, style=filled];\n");
    for (schema, title) in &drawing.groups {
        let grouped = drawing.groups.len() > 1;
        if grouped {
            let font = if dark { LINE_DARK } else { LINE_LIGHT };
            let _ = writeln!(
                out,
                "  subgraph {} {{",
                dot_text(&format!("cluster_{schema}"))
            );
            let _ = writeln!(
                out,
                "    label={}; style=rounded; color=\"#80889080\"; fontcolor=\"{font}\";",
                dot_text(title)
            );
        }
        for bubble in drawing.bubbles.iter().filter(|b| b.schema == *schema) {
            let _ = writeln!(
                out,
                "{}{}",
                if grouped { "    " } else { "  " },
                dot_node(bubble, dark)
            );
        }
        if grouped {
            out.push_str("  }\n");
        }
    }
    for line in &drawing.lines {
        let colour = match (line.renamed, dark) {
            (true, false) => format!("{LINE_RENAMED}9E"),
            (true, true) => format!("{LINE_RENAMED}C0"),
            (false, false) => format!("{LINE_LIGHT}9E"),
            (false, true) => format!("{LINE_DARK}C0"),
        };
        let tooltip = if line.tooltip.is_empty() {
            String::new()
        } else {
            format!(", tooltip={}", dot_text(&line.tooltip))
        };
        let _ = writeln!(
            out,
            "  {} -> {} [arrowhead=none, style={}, penwidth={}, color=\"{colour}\"{tooltip}];",
            dot_text(&drawing.bubbles[line.parent].id),
            dot_text(&drawing.bubbles[line.child].id),
            if line.primary { "solid" } else { "dashed" },
            if line.thick { "2" } else { "0.75" },
        );
    }
    out.push_str("}\n");
    out
}

fn dot_node(bubble: &Bubble, dark: bool) -> String {
    let c = if dark {
        bubble.class.dark()
    } else {
        bubble.class.light()
    };
    let shape = match bubble.class {
        Class::Manual | Class::Lookup => "shape=box, style=\"rounded,filled\"",
        Class::Imported | Class::Computed => "shape=ellipse",
        Class::Part => "shape=box, height=0.3, fontsize=10",
        Class::Other => "shape=circle",
        Class::Collapsed => "shape=box3d",
    };
    let label = match bubble.class {
        Class::Collapsed => dot_text(&format!("{}\n{}", bubble.schema, bubble.label)),
        _ if bubble.underlined => format!("<<u>{}</u>>", super::svg::escape(short_label(bubble))),
        _ => dot_text(short_label(bubble)),
    };
    format!(
        "{} [label={label}, {shape}, fillcolor=\"{}\", color=\"{}\", fontcolor=\"{}\", tooltip={}];",
        dot_text(&bubble.id),
        c.0,
        c.1,
        c.2,
        dot_text(&bubble.tooltip),
    )
}

/// A DOT string.
fn dot_text(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}
