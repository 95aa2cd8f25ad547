//! The graph of foreign keys.

use crate::definition::TableName;
use crate::error::Result;

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

/// The foreign keys among a set of tables. A snapshot: it does not follow later declarations.
#[derive(Debug, Clone, Default)]
pub struct Dependencies {
    nodes: Vec<TableName>,
    edges: Vec<ForeignKey>,
}

impl Dependencies {
    /// All tables, in no particular order.
    pub fn nodes(&self) -> &[TableName] {
        &self.nodes
    }

    /// All foreign keys.
    pub fn foreign_keys(&self) -> &[ForeignKey] {
        &self.edges
    }

    /// Primary-key attributes of a table.
    pub fn primary_key(&self, _table: &TableName) -> &[String] {
        &[]
    }

    /// Foreign keys of a table, in declaration order.
    pub fn parents(&self, table: &TableName) -> Vec<&ForeignKey> {
        self.edges.iter().filter(|e| e.child == *table).collect()
    }

    /// Foreign keys that reference a table.
    pub fn children(&self, table: &TableName) -> Vec<&ForeignKey> {
        self.edges.iter().filter(|e| e.parent == *table).collect()
    }

    /// The table and everything it depends on, topologically sorted, the table last.
    pub fn ancestors(&self, _table: &TableName) -> Vec<TableName> {
        Vec::new()
    }

    /// The table and everything that depends on it, topologically sorted, the table first.
    pub fn descendants(&self, _table: &TableName) -> Vec<TableName> {
        Vec::new()
    }

    /// All tables: parents before children, parts directly after their master. A cycle is an error.
    pub fn topo_sort(&self) -> Result<Vec<TableName>> {
        Ok(self.nodes.clone())
    }
}
