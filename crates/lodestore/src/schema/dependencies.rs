//! The graph of foreign keys.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Bfs, EdgeRef, Reversed};

use super::Lode;
use crate::definition::TableName;
use crate::error::{Error, Result};
use crate::sql::{CatalogForeignKey, CatalogTable};

/// One foreign key, an edge from parent to child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The referencing table.
    pub child: TableName,
    /// The referenced table.
    pub parent: TableName,
    /// (child column, parent column), in the order of the parent's key.
    pub attr_map: Vec<(String, String)>,
    /// All child columns belong to the child's primary key.
    pub primary: bool,
    /// Some child column is named differently from its parent column.
    pub aliased: bool,
    /// The child's primary key has more than these columns: many children to one parent.
    pub multi: bool,
    /// Some child column may be NULL.
    pub nullable: bool,
}

/// The foreign keys among a set of tables. A snapshot: it does not follow later declarations. Hidden tables (`~…`) are
/// not part of it.
#[derive(Debug, Clone, Default)]
pub struct Dependencies {
    /// Parent → child; the weight is the index of the foreign key.
    graph: DiGraph<TableName, usize>,
    at: HashMap<TableName, NodeIndex>,
    edges: Vec<ForeignKey>,
    primary_keys: HashMap<TableName, Vec<String>>,
    nodes: Vec<TableName>,
}

impl Dependencies {
    /// All tables, sorted by name.
    pub fn nodes(&self) -> &[TableName] {
        &self.nodes
    }

    /// All foreign keys.
    pub fn foreign_keys(&self) -> &[ForeignKey] {
        &self.edges
    }

    /// Primary-key attributes of a table; empty if it is not part of the graph.
    pub fn primary_key(&self, table: &TableName) -> &[String] {
        self.primary_keys.get(table).map_or(&[], Vec::as_slice)
    }

    /// Foreign keys of a table, in declaration order.
    pub fn parents(&self, table: &TableName) -> Vec<&ForeignKey> {
        self.incident(table, Direction::Incoming)
    }

    /// Foreign keys that reference a table.
    pub fn children(&self, table: &TableName) -> Vec<&ForeignKey> {
        self.incident(table, Direction::Outgoing)
    }

    fn incident(&self, table: &TableName, direction: Direction) -> Vec<&ForeignKey> {
        let Some(&node) = self.at.get(table) else {
            return Vec::new();
        };
        let mut keys: Vec<usize> = self
            .graph
            .edges_directed(node, direction)
            .map(|e| *e.weight())
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|k| &self.edges[k]).collect()
    }

    /// The table and everything it depends on, topologically sorted, the table last.
    pub fn ancestors(&self, table: &TableName) -> Vec<TableName> {
        let mut found = HashSet::new();
        if let Some(&node) = self.at.get(table) {
            let graph = Reversed(&self.graph);
            let mut search = Bfs::new(graph, node);
            while let Some(node) = search.next(graph) {
                found.insert(self.graph[node].clone());
            }
        }
        self.sorted(found)
    }

    /// The table and everything that depends on it, topologically sorted, the table first.
    pub fn descendants(&self, table: &TableName) -> Vec<TableName> {
        let mut found = HashSet::new();
        if let Some(&node) = self.at.get(table) {
            let mut search = Bfs::new(&self.graph, node);
            while let Some(node) = search.next(&self.graph) {
                found.insert(self.graph[node].clone());
            }
        }
        self.sorted(found)
    }

    /// Parents before children. Within a cycle, which only other tools can have made, by name.
    fn sorted(&self, tables: HashSet<TableName>) -> Vec<TableName> {
        let order = self.topo_sort().unwrap_or_else(|_| self.nodes.clone());
        order.into_iter().filter(|t| tables.contains(t)).collect()
    }

    /// All tables: parents before children, parts directly after their master. A cycle is an error.
    ///
    /// A part that depends on a table that depends on its master cannot stand directly after the master; then the order
    /// is only topological.
    pub fn topo_sort(&self) -> Result<Vec<TableName>> {
        let plain = self.kahn(|t| t.clone())?;
        let group = |t: &TableName| {
            t.master()
                .filter(|m| self.at.contains_key(m))
                .unwrap_or_else(|| t.clone())
        };
        let Ok(groups) = self.kahn(group) else {
            return Ok(plain);
        };
        let mut members: HashMap<TableName, Vec<TableName>> = HashMap::new();
        for table in plain {
            members.entry(group(&table)).or_default().push(table);
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        for master in groups {
            let mut tables = members.remove(&master).unwrap_or_default();
            // Stable: a part that precedes its master for some reason still comes after it.
            tables.sort_by_key(|t| *t != master);
            order.extend(tables);
        }
        Ok(order)
    }

    /// Kahn's algorithm over groups of tables, the first by name among those that are free.
    fn kahn(&self, group: impl Fn(&TableName) -> TableName) -> Result<Vec<TableName>> {
        let mut waiting: BTreeMap<TableName, BTreeSet<TableName>> = self
            .nodes
            .iter()
            .map(|t| (group(t), BTreeSet::new()))
            .collect();
        let mut children: HashMap<TableName, BTreeSet<TableName>> = HashMap::new();
        for edge in self.graph.edge_references() {
            let (parent, child) = (
                group(&self.graph[edge.source()]),
                group(&self.graph[edge.target()]),
            );
            let within = parent == child && self.graph[edge.source()] != self.graph[edge.target()];
            if !within {
                waiting
                    .entry(child.clone())
                    .or_default()
                    .insert(parent.clone());
                children.entry(parent).or_default().insert(child);
            }
        }
        let mut free: BTreeSet<TableName> = waiting
            .iter()
            .filter(|(_, parents)| parents.is_empty())
            .map(|(t, _)| t.clone())
            .collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(table) = free.pop_first() {
            waiting.remove(&table);
            for child in children.get(&table).into_iter().flatten() {
                if let Some(parents) = waiting.get_mut(child)
                    && parents.remove(&table)
                    && parents.is_empty()
                {
                    free.insert(child.clone());
                }
            }
            order.push(table);
        }
        match waiting.into_keys().next() {
            None => Ok(order),
            Some(table) => Err(Error::invalid(format!(
                "the foreign keys of `{table}` form a cycle"
            ))
            .table(&table.schema, &table.name)),
        }
    }
}

/// Reads the graph of all tables that are connected with these schemas.
pub(super) fn load(lode: &Lode, schemas: &[&str]) -> Result<Dependencies> {
    let mut pending: BTreeSet<String> = schemas.iter().map(|s| (*s).to_owned()).collect();
    let mut tables: BTreeMap<TableName, CatalogTable> = BTreeMap::new();
    let mut loaded = BTreeSet::new();
    // Level by level, so that what is read is read together.
    while !pending.is_empty() {
        let names: Vec<&str> = pending.iter().map(String::as_str).collect();
        let mut next = BTreeSet::new();
        for snapshot in lode.snapshots(&names)? {
            for table in snapshot.tables.iter().filter(|t| !t.name.starts_with('~')) {
                next.extend(table.foreign_keys.iter().map(|k| k.parent_schema.clone()));
                tables.insert(snapshot.table_name(table), table.clone());
            }
        }
        for schema in names {
            let children = lode.backend().referencing(schema)?;
            next.extend(children.into_iter().map(|(child, _)| child));
        }
        loaded.append(&mut pending);
        pending = next;
        pending.retain(|schema| !schema.is_empty() && !loaded.contains(schema));
    }
    let mut graph = Dependencies::default();
    for name in tables.keys() {
        let node = graph.graph.add_node(name.clone());
        graph.at.insert(name.clone(), node);
        graph.nodes.push(name.clone());
    }
    for (child, table) in &tables {
        graph
            .primary_keys
            .insert(child.clone(), table.primary_key.clone());
        for key in &table.foreign_keys {
            let parent = TableName {
                schema: key.parent_schema.clone(),
                name: key.parent_table.clone(),
            };
            // A parent that is hidden or gone has no node.
            if let (Some(&from), Some(&to)) = (graph.at.get(&parent), graph.at.get(child)) {
                graph.graph.add_edge(from, to, graph.edges.len());
                graph.edges.push(edge(child, table, parent, key));
            }
        }
    }
    Ok(graph)
}

fn edge(
    child: &TableName,
    table: &CatalogTable,
    parent: TableName,
    key: &CatalogForeignKey,
) -> ForeignKey {
    let primary = key.columns.iter().all(|c| table.primary_key.contains(c));
    ForeignKey {
        child: child.clone(),
        parent,
        attr_map: key
            .columns
            .iter()
            .cloned()
            .zip(key.parent_columns.iter().cloned())
            .collect(),
        primary,
        aliased: key.columns != key.parent_columns,
        multi: !(primary && table.primary_key.len() == key.columns.len()),
        nullable: key
            .columns
            .iter()
            .any(|c| table.columns.iter().any(|t| t.name == *c && t.nullable)),
    }
}
