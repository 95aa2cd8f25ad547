//! The inner form of a query: one SELECT and its operands.
//!
//! Two headings matter. The *scope* is what the FROM clause offers by unqualified name, columns that a projection has
//! dropped included; conditions and expressions are written in its terms. The *heading* is what comes out. An output
//! attribute is *plain* if it is the scope's column of the same name. Whatever mentions an attribute that is not plain
//! needs the query [wrapped](Select::derived) in a derived table first, where it becomes plain.

use std::collections::HashMap;
use std::sync::Arc;

use super::path::JsonPath;
use super::restrict::Pred;
use super::{Fragment, Shape};
use crate::definition::TableName;
use crate::schema::{Attribute, Heading, Lode, Source};

#[derive(Clone)]
pub(crate) struct Select {
    pub(crate) lode: Option<Lode>,
    pub(crate) from: From,
    /// What FROM offers.
    pub(crate) scope: Arc<Heading>,
    /// WHERE, all of them, in terms of the scope.
    pub(crate) conds: Vec<Pred>,
    /// What comes out.
    pub(crate) heading: Arc<Heading>,
    /// How output attributes that are not plain are made.
    pub(crate) exprs: HashMap<Arc<str>, Expr>,
    pub(crate) distinct: bool,
    /// GROUP BY these columns of the scope; empty for one row in all.
    pub(crate) group: Option<Vec<Arc<str>>>,
    pub(crate) top: Option<Ordered>,
    /// See [`super::Query::base_table`].
    pub(crate) base: Option<TableName>,
    pub(crate) ignored_keys: Vec<Arc<str>>,
}

/// A FROM clause.
#[derive(Clone)]
pub(crate) enum From {
    Table(TableName),
    Derived(Arc<Select>),
    Join {
        left: Arc<From>,
        right: Arc<From>,
        outer: bool,
        using: Vec<Arc<str>>,
    },
    Union {
        left: Arc<Select>,
        right: Arc<Select>,
        all: bool,
    },
}

/// An expression over the scope.
#[derive(Clone)]
pub(crate) enum Expr {
    Column(Arc<str>),
    Sql(Fragment),
    Json(JsonPath),
    Null,
}

/// ORDER BY, LIMIT and OFFSET.
#[derive(Clone)]
pub(crate) struct Ordered {
    pub(crate) order: Vec<OrderTerm>,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: u64,
}

#[derive(Clone)]
pub(crate) struct OrderTerm {
    /// The attribute as the caller named it, for telling whether two orders are the same.
    pub(crate) name: Arc<str>,
    pub(crate) expr: Expr,
    pub(crate) descending: bool,
    pub(crate) nulls_first: Option<bool>,
}

impl Select {
    pub(crate) fn table(lode: Option<Lode>, name: TableName, heading: Arc<Heading>) -> Select {
        Select {
            lode,
            from: From::Table(name.clone()),
            scope: heading.clone(),
            conds: Vec::new(),
            heading,
            exprs: HashMap::new(),
            distinct: false,
            group: None,
            top: None,
            base: Some(name),
            ignored_keys: Vec::new(),
        }
    }

    /// This query as the FROM clause of another one, which gives the same rows.
    pub(crate) fn derived(&self) -> Select {
        let mut heading = Heading::clone(&self.heading);
        heading.hidden.clear();
        for attribute in heading.attributes.values_mut() {
            attribute.source = Source::Column;
        }
        let heading = Arc::new(heading);
        Select {
            lode: self.lode.clone(),
            from: From::Derived(Arc::new(self.clone())),
            scope: heading.clone(),
            conds: Vec::new(),
            heading,
            exprs: HashMap::new(),
            distinct: false,
            group: None,
            top: None,
            base: self.base.clone(),
            ignored_keys: self.ignored_keys.clone(),
        }
    }

    pub(crate) fn is_plain(&self, name: &str) -> bool {
        !self.exprs.contains_key(name)
    }

    pub(crate) fn all_plain(&self) -> bool {
        self.exprs.is_empty()
    }

    /// How an output attribute is made.
    pub(crate) fn expr(&self, name: &Arc<str>) -> Expr {
        self.exprs
            .get(name)
            .cloned()
            .unwrap_or_else(|| Expr::Column(name.clone()))
    }

    /// True if rows no longer are those of FROM and WHERE: grouped, made distinct, or limited.
    pub(crate) fn is_closed(&self) -> bool {
        self.group.is_some() || self.distinct || self.top.is_some()
    }

    pub(crate) fn tables(&self) -> Vec<TableName> {
        fn of_from(from: &From, out: &mut Vec<TableName>) {
            match from {
                From::Table(name) => {
                    if !out.contains(name) {
                        out.push(name.clone());
                    }
                }
                From::Derived(select) => of_select(select, out),
                From::Join { left, right, .. } => {
                    of_from(left, out);
                    of_from(right, out);
                }
                From::Union { left, right, .. } => {
                    of_select(left, out);
                    of_select(right, out);
                }
            }
        }
        fn of_select(select: &Select, out: &mut Vec<TableName>) {
            of_from(&select.from, out);
            for cond in &select.conds {
                cond.each_query(&mut |inner| of_select(inner, out));
            }
        }
        let mut out = Vec::new();
        of_select(self, &mut out);
        out
    }

    pub(crate) fn is_restricted(&self) -> bool {
        fn of_from(from: &From) -> bool {
            match from {
                From::Table(_) => false,
                From::Derived(select) => select.is_restricted(),
                From::Join { left, right, .. } => of_from(left) || of_from(right),
                From::Union { left, right, .. } => left.is_restricted() || right.is_restricted(),
            }
        }
        let limited = self
            .top
            .as_ref()
            .is_some_and(|t| t.limit.is_some() || t.offset > 0);
        !self.conds.is_empty() || limited || of_from(&self.from)
    }

    pub(crate) fn shape(&self) -> Shape {
        match (&self.group, &self.from) {
            (Some(_), _) => Shape::Aggregation,
            (None, From::Union { .. }) => Shape::Union,
            (None, From::Derived(inner)) if self.all_plain() => inner.shape(),
            _ => Shape::Plain,
        }
    }
}

/// True if the attribute may be NULL: by declaration, or because nothing is known about it.
pub(crate) fn may_be_null(attribute: &Attribute) -> bool {
    attribute.nullable || attribute.storage.is_none()
}
