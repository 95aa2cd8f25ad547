//! What a database's catalogue says about a table.

/// A column as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogColumn {
    /// Name.
    pub name: String,
    /// Database type, normalised (spec: definition §8.1).
    pub database_type: String,
    /// The type in the words of the definition language, where the database type is none of them.
    pub type_text: Option<String>,
    /// NULL allowed.
    pub nullable: bool,
    /// Default expression as written, casts stripped; none without default.
    pub default: Option<String>,
    /// Comment with marker.
    pub comment: String,
    /// Auto-increment.
    pub auto_increment: bool,
}

/// A foreign key as the catalogue has it, in declaration order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogForeignKey {
    /// Child columns.
    pub columns: Vec<String>,
    /// Parent schema.
    pub parent_schema: String,
    /// Parent stored name.
    pub parent_table: String,
    /// Parent columns.
    pub parent_columns: Vec<String>,
}

/// An index other than the primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogIndex {
    /// Name.
    pub name: String,
    /// Unique.
    pub unique: bool,
    /// Columns or expressions.
    pub terms: Vec<String>,
}

/// A table as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogTable {
    /// Stored name.
    pub name: String,
    /// Comment.
    pub comment: String,
    /// Columns in order.
    pub columns: Vec<CatalogColumn>,
    /// Primary key, in key order.
    pub primary_key: Vec<String>,
    /// Foreign keys.
    pub foreign_keys: Vec<CatalogForeignKey>,
    /// Indexes.
    pub indexes: Vec<CatalogIndex>,
}
