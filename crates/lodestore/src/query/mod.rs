//! The algebra: expressions over tables, and the SQL they stand for (spec: queries §1-§12, §17, §18).
//!
//! A [`Query`] is an immutable, cheap value; every verb gives a new one and touches no database, except for the
//! heading of a table, which is loaded on first use. [`Query::plan`] turns it into one SQL statement and the columns
//! that come out of it; that is a pure function of the query and the dialect.
//!
//! | file | what it holds |
//! |---|---|
//! | `select` | the inner form: one SELECT with its operands, and when it must be wrapped in a derived table |
//! | `cond`, `restrict` | conditions as people write them, and as they are once resolved against a heading |
//! | `project`, `join`, `aggregate`, `top` | one verb each |
//! | `fragment`, `path` | SQL text written by people, JSON paths |
//! | `plan` | the inner form → SQL |
//!
//! Not here: running a plan and decoding its rows (`table/`). Called by `table`, `compute`, `gc` and the front doors.

mod aggregate;
mod cond;
mod fragment;
mod join;
mod ops;
mod path;
mod plan;
mod project;
mod restrict;
mod select;
mod top;

pub use aggregate::{U, Universe};
pub use cond::{Attr, Comparison, Cond, col};
pub use fragment::Fragment;
pub use join::JoinOptions;
pub use plan::{Plan, PlanOptions};
pub use project::{IntoNames, Named, Projection, all, keep};
pub use top::Top;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::definition::TableName;
use crate::error::{Error, Result};
use crate::schema::{Heading, Lode};
use crate::sql::{Dialect, Statement};

use select::Select;

/// An expression of the algebra: a table, or what restriction, projection, join, aggregation and union make of it.
///
/// Named verbs (`restrict`, `proj`, `join` …) return `Result`. The operators `& - * +` never fail: a query that makes
/// no sense holds its error, which [`check`](Query::check) and every execution return.
#[derive(Clone)]
pub struct Query {
    node: Arc<Node>,
}

pub(crate) enum Node {
    /// A table whose heading is looked up when needed.
    Table { lode: Lode, name: TableName },
    /// Anything else.
    Select(Arc<Select>),
    /// A query that makes no sense.
    Failed(Error),
}

impl Query {
    /// All rows of a table. Touches no database; an unknown table is an error of the first use.
    pub fn table(lode: &Lode, name: &TableName) -> Query {
        Query {
            node: Arc::new(Node::Table {
                lode: lode.clone(),
                name: name.clone(),
            }),
        }
    }

    /// All rows of a table whose heading is known, without a database: it can be planned but not run.
    pub fn detached(name: &TableName, heading: Arc<Heading>) -> Query {
        Query::from_select(Select::table(None, name.clone(), heading))
    }

    /// The error that an operator met, if any; also loads the heading of a plain table.
    pub fn check(&self) -> Result<()> {
        self.select().map(|_| ())
    }

    /// The attributes of the result, in order.
    pub fn heading(&self) -> Result<Arc<Heading>> {
        Ok(self.select()?.heading.clone())
    }

    /// Names of the primary key, in heading order.
    pub fn primary_key(&self) -> Result<Vec<Arc<str>>> {
        Ok(self.select()?.heading.primary_key().cloned().collect())
    }

    /// The database this query runs on. An error for a [detached](Query::detached) query.
    pub fn lode(&self) -> Result<Lode> {
        match &*self.node {
            Node::Table { lode, .. } => Ok(lode.clone()),
            Node::Select(select) => select
                .lode
                .clone()
                .ok_or_else(|| Error::invalid("this query is not bound to a database")),
            Node::Failed(error) => Err(error.clone()),
        }
    }

    /// The table of which every row of this query is one row: kept by restriction, projection and `Top`, lost by
    /// joins, aggregation and union.
    pub fn base_table(&self) -> Option<TableName> {
        match &*self.node {
            Node::Table { name, .. } => Some(name.clone()),
            Node::Select(select) => select.base.clone(),
            Node::Failed(_) => None,
        }
    }

    /// The query with a hidden attribute of its table as one of its own; none if it does not read it row by row from
    /// where it is.
    pub(crate) fn with_hidden(&self, name: &str) -> Option<Query> {
        let select = self.select().ok()?;
        let hidden = select.scope.hidden.iter().find(|a| *a.name == *name)?;
        if select.group.is_some() || select.distinct {
            return None;
        }
        let mut heading = Heading::clone(&select.heading);
        heading
            .attributes
            .insert(hidden.name.clone(), hidden.clone());
        let mut select = Select::clone(&select);
        select.heading = Arc::new(heading);
        Some(Query::from_select(select))
    }

    /// All tables that the query reads, each once, in order of appearance.
    pub fn tables(&self) -> Result<Vec<TableName>> {
        Ok(self.select()?.tables())
    }

    /// True if any condition or `Top` limits the rows, at any depth.
    pub fn is_restricted(&self) -> bool {
        self.select().is_ok_and(|s| s.is_restricted())
    }

    /// Keys of row conditions that named no attribute and were ignored (spec: queries §18 Q13). A delete or update
    /// through such a query must be refused.
    pub fn ignored_keys(&self) -> Vec<Arc<str>> {
        self.select()
            .map(|s| s.ignored_keys.clone())
            .unwrap_or_default()
    }

    /// The rows that meet a condition (spec: queries §2).
    ///
    /// Errors with kind `Invalid` for unknown attributes, unmatched lineages and values that the attribute cannot hold.
    pub fn restrict(&self, cond: impl Into<Cond>) -> Result<Query> {
        self.restrict_with(cond, true)
    }

    /// [`restrict`](Query::restrict), with the lineage check of query operands switched on or off (spec: queries §5).
    pub fn restrict_with(&self, cond: impl Into<Cond>, semantic_check: bool) -> Result<Query> {
        let cond = cond.into();
        self.knowing_all(|query| restrict::restrict(query, cond.clone(), semantic_check))
    }

    /// Ordered and limited rows (spec: queries §9).
    pub fn top(&self, top: Top) -> Result<Query> {
        top::apply(&*self.select()?, &top).map(Query::from_select)
    }

    /// Keeps, drops, renames and computes attributes; the primary key always stays (spec: queries §3).
    pub fn proj(&self, projection: Projection) -> Result<Query> {
        self.knowing_all(|query| {
            project::project(&*query.select()?, &projection).map(Query::from_select)
        })
    }

    /// Pairs of matching rows (spec: queries §4).
    pub fn join(&self, other: &Query, options: JoinOptions) -> Result<Query> {
        join::join(&*self.select()?, &*other.select()?, options).map(Query::from_select)
    }

    /// All rows of this query, each with its matching row of `other`, if there is one: a left join.
    pub fn extend(&self, other: &Query) -> Result<Query> {
        self.join(
            other,
            JoinOptions {
                left: true,
                ..JoinOptions::default()
            },
        )
    }

    /// Groups the matching rows of `group` by the primary key of this query, and computes (spec: queries §6). Rows
    /// without a match are kept.
    pub fn aggr(&self, group: &Query, projection: Projection) -> Result<Query> {
        self.aggr_with(group, projection, false)
    }

    /// [`aggr`](Query::aggr); with `exclude_nonmatching`, rows without a match are dropped.
    pub fn aggr_with(
        &self,
        group: &Query,
        projection: Projection,
        exclude_nonmatching: bool,
    ) -> Result<Query> {
        aggregate::aggregate(
            &*self.select()?,
            &*group.select()?,
            &projection,
            exclude_nonmatching,
        )
        .map(Query::from_select)
    }

    /// Rows of both, one per key (spec: queries §7).
    pub fn union(&self, other: &Query) -> Result<Query> {
        join::union(&*self.select()?, &*other.select()?).map(Query::from_select)
    }

    /// The SQL and the columns that come out, for the query's own database.
    pub fn plan(&self, options: &PlanOptions) -> Result<Plan> {
        let lode = self.lode()?;
        self.plan_for(lode.backend().dialect(), options)
    }

    /// The SQL and the columns that come out, for a dialect. Pure.
    pub fn plan_for(&self, dialect: &dyn Dialect, options: &PlanOptions) -> Result<Plan> {
        plan::plan(&*self.select()?, dialect, options)
    }

    /// One row of one integer: the number of rows (spec: queries §10, §18 Q8).
    pub fn count_statement(&self, dialect: &dyn Dialect) -> Result<Plan> {
        plan::count(&*self.select()?, dialect)
    }

    /// One row of one truth value (0 or 1): whether there are rows.
    pub fn exists_statement(&self, dialect: &dyn Dialect) -> Result<Plan> {
        plan::exists(&*self.select()?, dialect)
    }

    /// The condition that picks, from [`base_table`](Query::base_table), the rows of this query: what goes after
    /// `WHERE` in a `DELETE` or `UPDATE`. None if the query is not restricted. An error if there is no base table.
    pub fn where_clause(&self, dialect: &dyn Dialect) -> Result<Option<Statement>> {
        plan::where_clause(&*self.select()?, dialect)
    }

    /// Plain SQL text and its parameters.
    pub fn sql(&self, dialect: &dyn Dialect) -> Result<Statement> {
        Ok(self.plan_for(dialect, &PlanOptions::default())?.statement)
    }

    /// SQL text with values written into it and `%` doubled, as the reference's `make_sql` gives it (spec: queries
    /// §12). For people and for `Connection.query`; Lodestore itself always binds. `fields` picks attributes.
    pub fn make_sql(&self, dialect: &dyn Dialect, fields: Option<&[Arc<str>]>) -> Result<String> {
        plan::make_sql(&*self.select()?, dialect, fields)
    }

    /// The text after `FROM`, values written into it (`from_clause` of the Python surface).
    pub fn from_text(&self, dialect: &dyn Dialect) -> Result<String> {
        plan::from_text(&*self.select()?, dialect)
    }

    /// The conditions, values written into them, without ` WHERE `; empty if there are none (`where_clause` of the
    /// Python surface).
    pub fn where_text(&self, dialect: &dyn Dialect) -> Result<String> {
        plan::where_text(&*self.select()?, dialect)
    }

    /// What the query's form is: for the class of results in Python (spec: python-api §4.1).
    pub fn shape(&self) -> Shape {
        match &*self.node {
            Node::Table { .. } => Shape::Plain,
            Node::Select(select) => select.shape(),
            Node::Failed(_) => Shape::Plain,
        }
    }

    /// An operation on a table, done again if it met an unknown attribute and others have changed the table since it was
    /// looked at.
    fn knowing_all(&self, operation: impl Fn(&Query) -> Result<Query>) -> Result<Query> {
        let result = operation(self);
        let Node::Table { lode, name } = &*self.node else {
            return result;
        };
        // Rows often name more than a table has, so that is not worth a look each time.
        let age = match &result {
            Err(e) if e.place().attribute.is_some() => Duration::ZERO,
            Ok(query) if !query.ignored_keys().is_empty() => Duration::from_secs(10),
            _ => return result,
        };
        match lode.read_again(name, age)? {
            true => operation(self),
            false => result,
        }
    }

    pub(crate) fn from_select(select: Select) -> Query {
        Query {
            node: Arc::new(Node::Select(Arc::new(select))),
        }
    }

    pub(crate) fn failed(error: Error) -> Query {
        Query {
            node: Arc::new(Node::Failed(error)),
        }
    }

    pub(crate) fn select(&self) -> Result<Arc<Select>> {
        match &*self.node {
            Node::Table { lode, name } => {
                let heading = lode.heading(name)?;
                Ok(Arc::new(Select::table(
                    Some(lode.clone()),
                    name.clone(),
                    heading,
                )))
            }
            Node::Select(select) => Ok(select.clone()),
            Node::Failed(error) => Err(error.clone()),
        }
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.node {
            Node::Table { name, .. } => write!(f, "Query({name})"),
            Node::Select(select) => write!(
                f,
                "Query({})",
                select
                    .heading
                    .names()
                    .map(|n| &**n)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            Node::Failed(error) => write!(f, "Query(failed: {error})"),
        }
    }
}

/// What a query is at its top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A table, or a projection, restriction or join.
    Plain,
    /// An aggregation.
    Aggregation,
    /// A union.
    Union,
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
