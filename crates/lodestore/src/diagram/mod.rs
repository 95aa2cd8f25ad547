//! The pipeline as a picture: tables and foreign keys (spec: python-api §6).
//!
//! A [`Diagram`] is a set of shown tables over a snapshot of the graph of foreign keys. It grows and shrinks by levels,
//! unions and differences, folds schemas into one box each, and draws itself as Mermaid text, DOT text, SVG, HTML or PNG.
//! The SVG has its own layout (`layout`), so that no Graphviz is needed; pixels are made of it (`pixels`).
//!
//! Not here: restriction along the graph (`table/` does deletes).

mod drawing;
mod html;
mod layout;
mod pixels;
mod svg;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::Arc;

use ndarray::Array3;

use crate::definition::TableName;
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::schema::{Dependencies, ForeignKey, Lode};

pub use drawing::{Direction, Style, Text, Theme};

/// Tables and foreign keys, some of them shown. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Diagram {
    graph: Arc<Graph>,
    /// Index of each shown table in the graph, and whether it is folded into its schema's box.
    shown: BTreeMap<usize, bool>,
}

/// The whole graph, as a snapshot.
#[derive(Debug)]
struct Graph {
    /// In topological order.
    nodes: Vec<Node>,
    index: HashMap<TableName, usize>,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Node {
    table: TableName,
    primary_key: Vec<String>,
    /// Its primary key has attributes that no foreign key brings: the table introduces something new.
    own_key: bool,
}

#[derive(Debug)]
struct Edge {
    parent: usize,
    child: usize,
    key: ForeignKey,
}

impl Diagram {
    /// A diagram over a graph, with nothing shown yet. Errors: a cycle of foreign keys.
    pub fn new(dependencies: &Dependencies) -> Result<Diagram> {
        let tables = dependencies
            .topo_sort()?
            .into_iter()
            .map(|table| {
                let key = dependencies.primary_key(&table).to_vec();
                (table, key)
            })
            .collect();
        Ok(Self::from_parts(
            tables,
            dependencies.foreign_keys().to_vec(),
        ))
    }

    /// The visible tables of a schema.
    pub fn of_schema(lode: &Lode, schema: &str) -> Result<Diagram> {
        Ok(Diagram::new(&*lode.dependencies(&[schema])?)?.show_schema(schema))
    }

    /// From tables in topological order with their primary keys, and foreign keys among them.
    fn from_parts(tables: Vec<(TableName, Vec<String>)>, keys: Vec<ForeignKey>) -> Diagram {
        let nodes: Vec<Node> = tables
            .into_iter()
            .map(|(table, primary_key)| {
                let inherited = |name: &String| {
                    keys.iter().any(|key| {
                        key.primary
                            && key.child == table
                            && key.attr_map.iter().any(|(child, _)| child == name)
                    })
                };
                let own_key = primary_key.iter().any(|name| !inherited(name));
                Node {
                    table,
                    primary_key,
                    own_key,
                }
            })
            .collect();
        let index: HashMap<TableName, usize> = nodes
            .iter()
            .enumerate()
            .map(|(i, node)| (node.table.clone(), i))
            .collect();
        let mut edges: Vec<Edge> = keys
            .into_iter()
            .filter_map(|key| {
                Some(Edge {
                    parent: *index.get(&key.parent)?,
                    child: *index.get(&key.child)?,
                    key,
                })
            })
            .collect();
        // Several keys between the same two tables go by their columns, whatever order the catalogue has.
        edges.sort_by(|a, b| {
            (a.parent, a.child, &a.key.attr_map).cmp(&(b.parent, b.child, &b.key.attr_map))
        });
        Diagram {
            graph: Arc::new(Graph {
                nodes,
                index,
                edges,
            }),
            shown: BTreeMap::new(),
        }
    }

    /// Shows these tables too. Error kind `MissingTable` for one that is not in the graph.
    pub fn show<'a>(mut self, tables: impl IntoIterator<Item = &'a TableName>) -> Result<Diagram> {
        for table in tables {
            let index = self.find(table)?;
            self.shown.insert(index, false);
        }
        Ok(self)
    }

    /// Shows all visible tables of a schema too.
    pub fn show_schema(mut self, schema: &str) -> Diagram {
        let graph = self.graph.clone();
        let of_schema = graph
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.table.schema == schema);
        self.shown.extend(of_schema.map(|(i, _)| (i, false)));
        self
    }

    /// The shown tables, in topological order.
    pub fn tables(&self) -> impl DoubleEndedIterator<Item = &TableName> {
        self.shown.keys().map(|i| &self.graph.nodes[*i].table)
    }

    /// All tables of the graph, in topological order.
    pub fn all_tables(&self) -> impl DoubleEndedIterator<Item = &TableName> {
        self.graph.nodes.iter().map(|node| &node.table)
    }

    /// The primary keys of all tables of the graph, in the same order.
    pub fn primary_keys(&self) -> impl Iterator<Item = &[String]> {
        self.graph.nodes.iter().map(|node| &*node.primary_key)
    }

    /// All foreign keys of the graph.
    pub fn foreign_keys(&self) -> impl Iterator<Item = &ForeignKey> {
        self.graph.edges.iter().map(|edge| &edge.key)
    }

    /// Adds `levels` levels of children: `d + n`.
    pub fn down(self, levels: usize) -> Diagram {
        self.grow(levels, |edge| (edge.parent, edge.child))
    }

    /// Adds `levels` levels of parents: `d - n`.
    pub fn up(self, levels: usize) -> Diagram {
        self.grow(levels, |edge| (edge.child, edge.parent))
    }

    /// Adds the parts of all shown masters.
    pub fn add_parts(mut self) -> Diagram {
        let graph = self.graph.clone();
        for (i, node) in graph.nodes.iter().enumerate() {
            let master = node
                .table
                .master()
                .and_then(|master| graph.index.get(&master));
            if master.is_some_and(|master| self.shown.contains_key(master)) {
                self.shown.entry(i).or_insert(false);
            }
        }
        self
    }

    /// Folds the shown tables into one box a schema.
    pub fn collapse(mut self) -> Diagram {
        self.shown.values_mut().for_each(|folded| *folded = true);
        self
    }

    /// The tables of either; one that is unfolded in either is unfolded. Error kind `MissingTable` if neither snapshot
    /// knows them all.
    pub fn union(&self, other: &Diagram) -> Result<Diagram> {
        let (mut union, rest) = if self.graph.nodes.len() >= other.graph.nodes.len() {
            (self.clone(), other)
        } else {
            (other.clone(), self)
        };
        for (table, folded) in rest.folding() {
            let index = union.find(table)?;
            union
                .shown
                .entry(index)
                .and_modify(|f| *f &= folded)
                .or_insert(folded);
        }
        Ok(union)
    }

    /// The tables of this one that the other does not show.
    pub fn difference(&self, other: &Diagram) -> Diagram {
        self.keep(|table| !other.shows(table))
    }

    /// The tables that both show.
    pub fn intersection(&self, other: &Diagram) -> Diagram {
        self.keep(|table| other.shows(table))
    }

    /// True if the table is shown.
    pub fn shows(&self, table: &TableName) -> bool {
        self.graph
            .index
            .get(table)
            .is_some_and(|i| self.shown.contains_key(i))
    }

    /// The diagram as Mermaid text.
    pub fn to_mermaid(&self, style: &Style<'_>) -> String {
        text::mermaid(&drawing::Drawing::new(self, style), style)
    }

    /// The diagram as DOT text, for Graphviz.
    pub fn to_dot(&self, style: &Style<'_>) -> String {
        text::dot(&drawing::Drawing::new(self, style), style)
    }

    /// The diagram as an SVG picture that stands alone.
    pub fn to_svg(&self, style: &Style<'_>) -> String {
        svg::svg(&drawing::Drawing::new(self, style), style)
    }

    /// The diagram as a piece of HTML: the picture, and below it the definitions ([`Style::tooltip`]) of its tables, where
    /// a click on a table leads. `prefix` begins the identifiers, which must be unique within a page.
    pub fn to_html(&self, style: &Style<'_>, prefix: &str) -> String {
        html::html(self, style, prefix)
    }

    /// The diagram as pixels: height × width × red, green, blue, alpha. `Auto` is drawn light: pixels know no themes.
    pub fn to_pixels(&self, style: &Style<'_>) -> Result<Array3<u8>> {
        pixels::pixels(self, style)
    }

    /// The diagram as a PNG picture. `Auto` is drawn light.
    pub fn to_png(&self, style: &Style<'_>) -> Result<Vec<u8>> {
        pixels::png(self, style)
    }

    fn grow(mut self, levels: usize, step: impl Fn(&Edge) -> (usize, usize)) -> Diagram {
        for _ in 0..levels {
            let reached: Vec<usize> = (self.graph.edges.iter().map(&step))
                .filter(|(from, to)| self.shown.contains_key(from) && !self.shown.contains_key(to))
                .map(|(_, to)| to)
                .collect();
            if reached.is_empty() {
                break;
            }
            self.shown.extend(reached.into_iter().map(|i| (i, false)));
        }
        self
    }

    fn keep(&self, wanted: impl Fn(&TableName) -> bool) -> Diagram {
        let mut kept = self.clone();
        kept.shown
            .retain(|i, _| wanted(&self.graph.nodes[*i].table));
        kept
    }

    fn folding(&self) -> impl Iterator<Item = (&TableName, bool)> {
        self.shown
            .iter()
            .map(|(i, folded)| (&self.graph.nodes[*i].table, *folded))
    }

    fn find(&self, table: &TableName) -> Result<usize> {
        self.graph.index.get(table).copied().ok_or_else(|| {
            let names: Vec<String> = self.all_tables().map(TableName::to_string).collect();
            let error = Error::new(
                ErrorKind::MissingTable,
                format!("`{table}` is not in the diagram's graph"),
            );
            match did_you_mean(&table.to_string(), names.iter().map(String::as_str)) {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }
}

impl FromStr for Direction {
    type Err = Error;

    /// Reads `LR`, `RL`, `TB` (or `TD`), `BT`, as in the setting `display.diagram_direction`.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_uppercase().as_str() {
            "LR" => Ok(Direction::LeftRight),
            "RL" => Ok(Direction::RightLeft),
            "TB" | "TD" => Ok(Direction::TopDown),
            "BT" => Ok(Direction::BottomUp),
            _ => Err(
                Error::new(ErrorKind::Value, format!("`{text}` is not a direction"))
                    .hint("Directions are LR, RL, TB and BT."),
            ),
        }
    }
}

impl FromStr for Theme {
    type Err = Error;

    /// Reads `auto`, `light` or `dark`, as in the setting `display.diagram_theme`.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Theme::Auto),
            "light" => Ok(Theme::Light),
            "dark" => Ok(Theme::Dark),
            _ => Err(
                Error::new(ErrorKind::Value, format!("`{text}` is not a theme"))
                    .hint("Themes are auto, light and dark."),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
