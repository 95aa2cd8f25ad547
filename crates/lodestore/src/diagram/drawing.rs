//! What is to be drawn, whatever the output: boxes, lines, colours.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Diagram;
use crate::definition::{TableName, Tier};

/// Where children stand, seen from their parents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Direction {
    #[default]
    LeftRight,
    RightLeft,
    TopDown,
    BottomUp,
}

impl Direction {
    pub(super) fn code(self) -> &'static str {
        match self {
            Direction::LeftRight => "LR",
            Direction::RightLeft => "RL",
            Direction::TopDown => "TB",
            Direction::BottomUp => "BT",
        }
    }
}

/// Colours. `Auto` follows the reader's system, where the output can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Theme {
    #[default]
    Auto,
    Light,
    Dark,
}

/// What only a front door knows about a table or schema; none where it knows nothing.
pub type Text<'a, T> = &'a dyn Fn(&T) -> Option<String>;

/// How a diagram is drawn. The functions tell what only a front door knows; all may be left out.
#[derive(Clone, Copy, Default)]
pub struct Style<'a> {
    /// Direction.
    pub direction: Direction,
    /// Colours.
    pub theme: Theme,
    /// The name of a table; by default its class name.
    pub name: Option<Text<'a, TableName>>,
    /// The title of a schema's group (the Python module of its classes); by default the schema's name.
    pub group: Option<Text<'a, str>>,
    /// What is shown when the pointer rests on a table: its definition.
    pub tooltip: Option<Text<'a, TableName>>,
    /// Where a click on a table leads.
    pub link: Option<Text<'a, TableName>>,
}

/// The look of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Class {
    Manual,
    Lookup,
    Computed,
    Imported,
    Part,
    Other,
    Collapsed,
}

/// Fill, stroke and text colours.
pub(super) struct Colours(pub &'static str, pub &'static str, pub &'static str);

impl Class {
    pub const ALL: [Class; 7] = [
        Class::Manual,
        Class::Lookup,
        Class::Computed,
        Class::Imported,
        Class::Part,
        Class::Other,
        Class::Collapsed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Class::Manual => "manual",
            Class::Lookup => "lookup",
            Class::Computed => "computed",
            Class::Imported => "imported",
            Class::Part => "part",
            Class::Other => "other",
            Class::Collapsed => "collapsed",
        }
    }

    pub fn light(self) -> Colours {
        match self {
            Class::Manual => Colours("#E8F0E9", "#3E7A52", "#28513A"),
            Class::Lookup => Colours("#F0F0F1", "#808285", "#5A5C5F"),
            Class::Computed => Colours("#FFEDE5", "#FF5113", "#B23200"),
            Class::Imported => Colours("#E0F4FC", "#00A0DF", "#00537A"),
            Class::Part => Colours("#FFFFFF", "#B9BBBE", "#55585C"),
            Class::Other => Colours("#FFFDE7", "#C9BC5B", "#6B6420"),
            Class::Collapsed => Colours("#EDEEF0", "#808890", "#404040"),
        }
    }

    pub fn dark(self) -> Colours {
        match self {
            Class::Manual => Colours("#16281F", "#6BBF94", "#BCE6CF"),
            Class::Lookup => Colours("#242832", "#9DA0A4", "#C9CFD9"),
            Class::Computed => Colours("#331B12", "#FF7A47", "#FFC7AE"),
            Class::Imported => Colours("#0F2433", "#33B8E8", "#BEE7F9"),
            Class::Part => Colours("#1E232C", "#8F959D", "#C8CED8"),
            Class::Other => Colours("#3A3620", "#C9BC5B", "#EBE3A0"),
            Class::Collapsed => Colours("#242730", "#8890A0", "#C7CDD6"),
        }
    }
}

/// Stroke of foreign keys, and of those that rename.
pub(super) const LINE_LIGHT: &str = "#171C39";
pub(super) const LINE_DARK: &str = "#C9CFD9";
pub(super) const LINE_RENAMED: &str = "#C77D3A";
pub(super) const PAPER_DARK: &str = "#161A21";

/// A table, or a folded schema.
#[derive(Debug)]
pub(super) struct Bubble {
    /// Made of letters, digits and underscores; unique.
    pub id: String,
    pub label: String,
    pub class: Class,
    pub schema: String,
    /// The box of its master, if that is shown too.
    pub master: Option<usize>,
    pub underlined: bool,
    pub tooltip: String,
    pub link: Option<String>,
}

/// A foreign key, or a bundle of them between folded schemas.
#[derive(Debug)]
pub(super) struct Line {
    pub parent: usize,
    pub child: usize,
    pub primary: bool,
    pub renamed: bool,
    /// The key is the child's whole primary key, or the line is a bundle.
    pub thick: bool,
    pub tooltip: String,
}

/// Boxes in topological order, and the lines between them.
#[derive(Debug)]
pub(super) struct Drawing {
    pub bubbles: Vec<Bubble>,
    pub lines: Vec<Line>,
    /// Schema and title, in the order of their first box.
    pub groups: Vec<(String, String)>,
}

impl Drawing {
    pub fn new(diagram: &Diagram, style: &Style<'_>) -> Drawing {
        let graph = &diagram.graph;
        let title = |schema: &str| {
            style
                .group
                .and_then(|f| f(schema))
                .unwrap_or_else(|| schema.to_owned())
        };

        let mut groups: Vec<(String, String)> = Vec::new();
        for table in diagram.tables() {
            if !groups.iter().any(|(schema, _)| *schema == table.schema) {
                groups.push((table.schema.clone(), title(&table.schema)));
            }
        }
        // Several schemas of one module cannot all bear its name when they are folded.
        let titles: Vec<String> = groups.iter().map(|(_, title)| title.clone()).collect();
        let folded_name = |schema: &str| {
            let title = title(schema);
            if titles.iter().filter(|t| **t == title).count() == 1 {
                title
            } else {
                schema.to_owned()
            }
        };

        let mut names: HashMap<String, usize> = HashMap::new();
        let name = |table: &TableName| {
            (style.name.and_then(|f| f(table)))
                .or_else(|| table.class_name())
                .unwrap_or_else(|| table.name.clone())
        };
        for (table, _) in diagram.folding().filter(|(_, folded)| !folded) {
            *names.entry(name(table)).or_default() += 1;
        }

        let mut drawing = Drawing {
            bubbles: Vec::new(),
            lines: Vec::new(),
            groups,
        };
        let mut ids = HashSet::new();
        let mut place: HashMap<usize, usize> = HashMap::new();
        let mut boxes: BTreeMap<&str, usize> = BTreeMap::new();
        for (&i, &folded) in &diagram.shown {
            let node = &graph.nodes[i];
            let table = &node.table;
            if folded && let Some(&bubble) = boxes.get(table.schema.as_str()) {
                place.insert(i, bubble);
                continue;
            }
            place.insert(i, drawing.bubbles.len());
            let bubble = if folded {
                boxes.insert(&table.schema, drawing.bubbles.len());
                let count = diagram
                    .folding()
                    .filter(|(t, folded)| *folded && t.schema == table.schema)
                    .count();
                Bubble {
                    id: unique_id(&folded_name(&table.schema), &mut ids),
                    label: format!("({count} table{})", if count == 1 { "" } else { "s" }),
                    class: Class::Collapsed,
                    schema: table.schema.clone(),
                    master: None,
                    underlined: false,
                    tooltip: format!("schema {}", table.schema),
                    link: None,
                }
            } else {
                let mut label = name(table);
                if names.get(&label).is_some_and(|count| *count > 1) {
                    label = format!("{}.{label}", table.schema);
                }
                Bubble {
                    id: unique_id(&label, &mut ids),
                    label,
                    class: match table.tier() {
                        Tier::Manual => Class::Manual,
                        Tier::Lookup => Class::Lookup,
                        Tier::Imported => Class::Imported,
                        Tier::Computed => Class::Computed,
                        Tier::Part => Class::Part,
                        Tier::Hidden | Tier::Other => Class::Other,
                    },
                    schema: table.schema.clone(),
                    master: table
                        .master()
                        .and_then(|m| graph.index.get(&m))
                        .and_then(|m| place.get(m))
                        .copied(),
                    underlined: node.own_key,
                    tooltip: style
                        .tooltip
                        .and_then(|f| f(table))
                        .unwrap_or_else(|| table.to_string()),
                    link: style.link.and_then(|f| f(table)),
                }
            };
            drawing.bubbles.push(bubble);
        }
        // A master that is folded away holds no parts.
        for i in 0..drawing.bubbles.len() {
            if drawing.bubbles[i]
                .master
                .is_some_and(|m| drawing.bubbles[m].class == Class::Collapsed)
            {
                drawing.bubbles[i].master = None;
            }
        }
        drawing.add_lines(diagram, &place);
        drawing
    }

    fn add_lines(&mut self, diagram: &Diagram, place: &HashMap<usize, usize>) {
        for edge in &diagram.graph.edges {
            let (Some(&parent), Some(&child)) = (place.get(&edge.parent), place.get(&edge.child))
            else {
                continue;
            };
            let folded = |i: usize| self.bubbles[i].class == Class::Collapsed;
            if parent == child && folded(parent) {
                continue;
            }
            let both = folded(parent) && folded(child);
            if (folded(parent) || folded(child))
                && let Some(line) = self
                    .lines
                    .iter_mut()
                    .find(|l| l.parent == parent && l.child == child)
            {
                line.primary |= edge.key.primary;
                continue;
            }
            let renames: Vec<String> = edge
                .key
                .attr_map
                .iter()
                .filter(|(child, parent)| child != parent)
                .map(|(child, parent)| format!("{child} ← {parent}"))
                .collect();
            self.lines.push(Line {
                parent,
                child,
                primary: edge.key.primary,
                renamed: edge.key.aliased && !both,
                thick: both || (edge.key.primary && !edge.key.multi),
                tooltip: renames.join(", "),
            });
        }
    }

    /// Parts of a box, in order.
    pub fn parts(&self, master: usize) -> impl Iterator<Item = &Bubble> {
        self.bubbles
            .iter()
            .filter(move |b| b.master == Some(master))
    }
}

/// An identifier of letters, digits and underscores that is not taken yet.
fn unique_id(label: &str, taken: &mut HashSet<String>) -> String {
    let base: String = label
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let mut id = base.clone();
    let mut n = 2;
    while !taken.insert(id.clone()) {
        id = format!("{base}_{n}");
        n += 1;
    }
    id
}
