//! The inner form → SQL. Pure: no database is touched.

use std::sync::Arc;

use super::path::JsonPath;
use super::project::plain_call;
use super::restrict::{Operand, Pred, unknown};
use super::select::{Expr, From, OrderTerm, Select};
use super::{Comparison, Fragment, fragment};
use crate::definition::{CoreType, NativeKind, StorageType};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, Heading};
use crate::sql::{Dialect, OutputColumn, Statement};
use crate::value::{ColumnKind, Value};

/// What a plan is asked for.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// The attributes wanted, in this order; none for all.
    pub columns: Option<Vec<Arc<str>>>,
}

/// One SQL statement and what comes out of it.
#[derive(Clone)]
pub struct Plan {
    /// SQL and parameters.
    pub statement: Statement,
    /// The columns of the result. There may be one more than `attributes`: a query without any attribute still has
    /// rows, and needs a column to count them by.
    pub columns: Vec<OutputColumn>,
    /// The attributes that the columns hold, in the same order.
    pub attributes: Vec<Attribute>,
}

pub(crate) fn plan(select: &Select, dialect: &dyn Dialect, options: &PlanOptions) -> Result<Plan> {
    let names = wanted(select, options.columns.as_deref())?;
    let attributes: Vec<Attribute> = names
        .iter()
        .filter_map(|name| select.heading.get(name))
        .cloned()
        .collect();
    let mut columns: Vec<OutputColumn> = attributes
        .iter()
        .map(|a| OutputColumn {
            name: a.name.clone(),
            kind: a.kind,
            storage: a.storage.clone(),
        })
        .collect();
    if columns.is_empty() {
        columns.push(OutputColumn {
            name: ROW.into(),
            kind: ColumnKind::Int,
            storage: None,
        });
    }
    let mut writer = Writer::new(dialect, false);
    writer.select(select, &names)?;
    Ok(Plan {
        statement: writer.finish(),
        columns,
        attributes,
    })
}

pub(crate) fn count(select: &Select, dialect: &dyn Dialect) -> Result<Plan> {
    let mut writer = Writer::new(dialect, false);
    if select.is_closed() {
        writer.push("SELECT count(*) FROM ");
        writer.derived(select, &key_or_all(select))?;
    } else {
        // The primary key is unique in every open query, by construction (spec: queries §18 Q8).
        writer.push("SELECT count(*) FROM ");
        writer.from(&select.from)?;
        writer.conditions(select)?;
    }
    Ok(scalar(writer.finish(), "count", ColumnKind::Int))
}

pub(crate) fn exists(select: &Select, dialect: &dyn Dialect) -> Result<Plan> {
    let mut writer = Writer::new(dialect, false);
    writer.push("SELECT ");
    writer.exists(select)?;
    writer.push(" AS ");
    writer.name("found");
    Ok(scalar(writer.finish(), "found", ColumnKind::Int))
}

pub(crate) fn where_clause(select: &Select, dialect: &dyn Dialect) -> Result<Option<Statement>> {
    let Some(base) = &select.base else {
        return Err(
            Error::invalid("rows of this query are not rows of one table")
                .hint("Restrict the table by the query instead: table & query."),
        );
    };
    let mut writer = Writer::new(dialect, false);
    if matches!(select.from, From::Table(_)) && !select.is_closed() {
        if select.conds.is_empty() {
            return Ok(None);
        }
        writer.all(&select.conds, false)?;
        return Ok(Some(writer.finish()));
    }
    if !select.is_restricted() {
        return Ok(None);
    }
    let key = base_key(select).ok_or_else(|| {
        Error::invalid("the primary key of the table is not in the query")
            .table(base.schema.clone(), base.name.clone())
    })?;
    let (columns, names): (Vec<Arc<str>>, Vec<Arc<str>>) = key.into_iter().unzip();
    writer.list(&columns, "(", ")");
    writer.push(" IN (SELECT ");
    writer.list(&names, "", "");
    writer.push(" FROM ");
    writer.derived(select, &names)?;
    writer.push(")");
    Ok(Some(writer.finish()))
}

pub(crate) fn make_sql(
    select: &Select,
    dialect: &dyn Dialect,
    fields: Option<&[Arc<str>]>,
) -> Result<String> {
    let names = wanted(select, fields)?;
    let mut writer = Writer::new(dialect, true);
    writer.select(select, &names)?;
    Ok(writer.text.replace('%', "%%"))
}

pub(crate) fn from_text(select: &Select, dialect: &dyn Dialect) -> Result<String> {
    let mut writer = Writer::new(dialect, true);
    writer.from(&select.from)?;
    Ok(writer.text)
}

pub(crate) fn where_text(select: &Select, dialect: &dyn Dialect) -> Result<String> {
    let mut writer = Writer::new(dialect, true);
    if !select.conds.is_empty() {
        writer.all(&select.conds, false)?;
    }
    Ok(writer.text)
}

/// The column of a query without attributes.
const ROW: &str = "_row";

fn scalar(statement: Statement, name: &str, kind: ColumnKind) -> Plan {
    Plan {
        statement,
        columns: vec![OutputColumn {
            name: name.into(),
            kind,
            storage: None,
        }],
        attributes: Vec::new(),
    }
}

fn wanted(select: &Select, columns: Option<&[Arc<str>]>) -> Result<Vec<Arc<str>>> {
    let Some(columns) = columns else {
        return Ok(select.heading.names().cloned().collect());
    };
    for (at, name) in columns.iter().enumerate() {
        if select.heading.get(name).is_none() {
            return Err(unknown(name, &select.heading));
        }
        if columns[..at].contains(name) {
            return Err(
                Error::invalid(format!("the attribute `{name}` is asked for twice"))
                    .attribute(&**name),
            );
        }
    }
    Ok(columns.to_vec())
}

/// The fewest columns that keep the rows apart.
fn key_or_all(select: &Select) -> Vec<Arc<str>> {
    let key: Vec<Arc<str>> = select.heading.primary_key().cloned().collect();
    if key.is_empty() {
        select.heading.names().cloned().collect()
    } else {
        key
    }
}

/// The base table's primary key, each with the output attribute that holds it.
fn base_key(select: &Select) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    let inner: Vec<(Arc<str>, Arc<str>)> = match &select.from {
        From::Table(_) => select
            .scope
            .primary_key()
            .map(|name| (name.clone(), name.clone()))
            .collect(),
        From::Derived(inner) => base_key(inner)?,
        From::Join { .. } | From::Union { .. } => return None,
    };
    inner
        .into_iter()
        .map(|(column, offered)| {
            let output = select.heading.names().find(
                |name| matches!(select.expr(name), Expr::Column(source) if source == offered),
            )?;
            Some((column, output.clone()))
        })
        .collect()
}

/// Writes SQL from left to right, so that parameters number themselves.
struct Writer<'a> {
    dialect: &'a dyn Dialect,
    text: String,
    params: Vec<Value>,
    /// Values become literals.
    inline: bool,
    aliases: usize,
}

impl<'a> Writer<'a> {
    fn new(dialect: &'a dyn Dialect, inline: bool) -> Self {
        Writer {
            dialect,
            text: String::new(),
            params: Vec::new(),
            inline,
            aliases: 0,
        }
    }

    fn finish(self) -> Statement {
        Statement {
            text: self.text,
            params: self.params,
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn name(&mut self, name: &str) {
        let quoted = self.dialect.quote(name);
        self.push(&quoted);
    }

    /// The text that stands for a value from now on.
    fn bind(&mut self, value: Value) -> Result<String> {
        if self.inline {
            return self.dialect.literal(&value);
        }
        self.params.push(value);
        Ok(self.dialect.placeholder(self.params.len()))
    }

    fn value(&mut self, value: Value) -> Result<()> {
        let text = self.bind(value)?;
        self.push(&text);
        Ok(())
    }

    fn list(&mut self, names: &[Arc<str>], before: &str, after: &str) {
        self.push(before);
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                self.push(", ");
            }
            self.name(name);
        }
        self.push(after);
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("${:x}", self.aliases - 1)
    }

    /// A whole SELECT of some output attributes. `SELECT DISTINCT` of fewer columns would be other rows, hence wraps.
    fn select(&mut self, select: &Select, names: &[Arc<str>]) -> Result<()> {
        if select.distinct && names.len() < select.heading.attributes.len() {
            self.push("SELECT ");
            self.list(names, "", "");
            self.push(" FROM ");
            let all: Vec<Arc<str>> = select.heading.names().cloned().collect();
            return self.derived(select, &all);
        }
        self.select_as(select, names, None)
    }

    /// As [`select`](Self::select), with other names for the columns.
    fn select_as(
        &mut self,
        select: &Select,
        names: &[Arc<str>],
        aliases: Option<&[String]>,
    ) -> Result<()> {
        self.push(if select.distinct {
            "SELECT DISTINCT "
        } else {
            "SELECT "
        });
        if names.is_empty() {
            // One row in all if it is grouped, or a row per row, of which DISTINCT makes one.
            self.push(if select.group.is_some() {
                "count(*)"
            } else {
                "1"
            });
            self.push(" as ");
            self.name(ROW);
        }
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                self.push(",");
            }
            let expr = select.expr(name);
            self.expr(&expr, select)?;
            let alias = aliases.map_or(&**name, |a| a.get(at).map_or(&**name, String::as_str));
            if !matches!(&expr, Expr::Column(source) if **source == *alias) {
                self.push(" as ");
                self.name(alias);
            }
        }
        self.push(" FROM ");
        self.from(&select.from)?;
        self.conditions(select)?;
        if let Some(group) = select.group.as_ref().filter(|g| !g.is_empty()) {
            self.push(" GROUP BY ");
            self.list(group, "", "");
        }
        if let Some(top) = &select.top {
            for (at, term) in top.order.iter().enumerate() {
                self.push(if at == 0 { " ORDER BY " } else { "," });
                self.order(term, select)?;
            }
            let limit = self.dialect.limit(top.limit, top.offset);
            if !limit.is_empty() {
                self.push(" ");
                self.push(limit.trim());
            }
        }
        Ok(())
    }

    fn order(&mut self, term: &OrderTerm, select: &Select) -> Result<()> {
        let nulls = term.nulls_first.map(|first| self.dialect.nulls(first));
        if let (Some(first), Some(None)) = (term.nulls_first, nulls) {
            self.expr(&term.expr, select)?;
            self.push(if first { " IS NULL DESC," } else { " IS NULL," });
        }
        // DISTINCT and grouped queries are ordered by what they select, under its name.
        if (select.distinct || select.group.is_some()) && select.heading.get(&term.name).is_some() {
            self.name(&term.name);
        } else {
            self.expr(&term.expr, select)?;
        }
        if term.descending {
            self.push(" DESC");
        }
        self.push(nulls.flatten().unwrap_or_default());
        Ok(())
    }

    fn conditions(&mut self, select: &Select) -> Result<()> {
        if select.conds.is_empty() {
            return Ok(());
        }
        self.push(" WHERE ");
        self.all(&select.conds, false)
    }

    fn derived(&mut self, select: &Select, names: &[Arc<str>]) -> Result<()> {
        let alias = self.alias();
        self.push("(");
        self.select(select, names)?;
        self.push(") as ");
        self.name(&alias);
        Ok(())
    }

    fn from(&mut self, from: &From) -> Result<()> {
        match from {
            From::Table(table) => {
                let name = self.dialect.full_name(&table.schema, &table.name);
                self.push(&name);
            }
            From::Derived(select) => {
                let names: Vec<Arc<str>> = select.heading.names().cloned().collect();
                self.derived(select, &names)?;
            }
            From::Join {
                left,
                right,
                outer,
                using,
            } => {
                self.from(left)?;
                self.push(match (outer, using.is_empty()) {
                    (true, _) => " LEFT JOIN ",
                    (false, false) => " JOIN ",
                    (false, true) => " CROSS JOIN ",
                });
                self.from(right)?;
                if !using.is_empty() {
                    self.list(using, " USING (", ")");
                } else if *outer {
                    self.push(" ON TRUE");
                }
            }
            From::Union { left, right, all } => {
                let alias = self.alias();
                self.push("(");
                let names: Vec<Arc<str>> = left.heading.names().cloned().collect();
                self.operand(left, &names)?;
                self.push(if *all { " UNION ALL " } else { " UNION " });
                self.operand(right, &names)?;
                self.push(") as ");
                self.name(&alias);
            }
        }
        Ok(())
    }

    /// An operand of a union: without parentheses, which SQLite does not take, so an order or limit is nested.
    fn operand(&mut self, select: &Select, names: &[Arc<str>]) -> Result<()> {
        if select.top.is_none() {
            return self.select(select, names);
        }
        self.push("SELECT ");
        self.list(names, "", "");
        self.push(" FROM ");
        self.derived(select, names)
    }

    fn expr(&mut self, expr: &Expr, select: &Select) -> Result<()> {
        match expr {
            Expr::Column(name) => self.name(name),
            Expr::Sql(fragment) => {
                let decimal = plain_call(fragment.text(), &select.scope)
                    .filter(|(_, attribute)| attribute.kind == ColumnKind::Decimal)
                    .and_then(|(function, attribute)| {
                        let column = self.dialect.quote(&attribute.name);
                        self.dialect.decimal_aggregate(&function, &column)
                    });
                match decimal {
                    Some(text) => self.push(&text),
                    None => self.fragment(fragment, &select.scope)?,
                }
            }
            Expr::Json(path) => {
                let text = self.json_path(path)?;
                self.push(&text);
            }
            Expr::Null => self.push("NULL"),
        }
        Ok(())
    }

    fn fragment(&mut self, fragment: &Fragment, scope: &Heading) -> Result<()> {
        let marked = fragment.marked();
        let is_attribute =
            |name: &str| scope.get(name).is_some() || scope.hidden.iter().any(|a| *a.name == *name);
        let text = self.dialect.translate(marked.trim(), &is_attribute)?;
        let mut params = fragment.params().iter();
        for (at, part) in text.split(fragment::MARK).enumerate() {
            if at > 0 {
                let value = params
                    .next()
                    .ok_or_else(|| Error::invalid("an argument of an SQL text is lost"))?;
                self.value(natural(value)?)?;
            }
            self.push(part);
        }
        Ok(())
    }

    fn json_path(&self, path: &JsonPath) -> Result<String> {
        let column = self.dialect.quote(&path.attribute);
        self.dialect
            .json_path(&column, &path.steps, path.cast.as_deref())
    }

    fn all(&mut self, preds: &[Pred], negated: bool) -> Result<()> {
        for (at, pred) in preds.iter().enumerate() {
            if at > 0 {
                self.push("AND");
            }
            self.push("(");
            self.pred(pred, negated)?;
            self.push(")");
        }
        Ok(())
    }

    /// `negated`: a NOT stands somewhere around, so that "unknown" must not stand for "false".
    fn pred(&mut self, pred: &Pred, negated: bool) -> Result<()> {
        match pred {
            Pred::Const(true) => self.push("TRUE"),
            Pred::Const(false) => self.push("FALSE"),
            Pred::Raw { fragment, scope } => self.fragment(fragment, scope)?,
            Pred::Compare { operand, op, value } => self.compare(operand, *op, value)?,
            Pred::All(preds) if preds.is_empty() => self.push("TRUE"),
            Pred::All(preds) => self.all(preds, negated)?,
            Pred::Any(preds) if preds.is_empty() => self.push("FALSE"),
            Pred::Any(preds) => self.any(preds, negated)?,
            Pred::Not(inner) => match &**inner {
                Pred::Match {
                    select,
                    names,
                    nullable: false,
                } => self.matching(select, names, true)?,
                inner => {
                    self.push("NOT (");
                    self.pred(inner, true)?;
                    self.push(")");
                }
            },
            Pred::Match {
                select,
                names,
                nullable,
            } => {
                if *nullable && negated {
                    self.matching_exists(select, names)?;
                } else {
                    self.matching(select, names, false)?;
                }
            }
            Pred::Exists(select) => self.exists(select)?,
            Pred::Keys { operands, rows } => self.keys(operands, rows)?,
        }
        Ok(())
    }

    /// Long disjunctions are a balanced tree: databases limit the depth of expressions.
    fn any(&mut self, preds: &[Pred], negated: bool) -> Result<()> {
        if preds.len() > 64 {
            let (left, right) = preds.split_at(preds.len() / 2);
            self.push("(");
            self.any(left, negated)?;
            self.push(") OR (");
            self.any(right, negated)?;
            self.push(")");
            return Ok(());
        }
        for (at, pred) in preds.iter().enumerate() {
            self.push(if at > 0 { " OR (" } else { "(" });
            self.pred(pred, negated)?;
            self.push(")");
        }
        Ok(())
    }

    /// `(a, b) IN (SELECT a, b …)`.
    fn matching(&mut self, select: &Select, names: &[Arc<str>], not: bool) -> Result<()> {
        if names.len() == 1 {
            self.list(names, "", "")
        } else {
            self.list(names, "(", ")")
        }
        self.push(if not { " NOT IN (" } else { " IN (" });
        if select.top.is_some() {
            // MySQL takes no LIMIT directly inside IN.
            self.push("SELECT ");
            self.list(names, "", "");
            self.push(" FROM ");
            self.derived(select, names)?;
        } else {
            self.select(select, names)?;
        }
        self.push(")");
        Ok(())
    }

    /// The semijoin that is never unknown, in which NULL matches nothing. The inner columns get names of their own, so
    /// that the outer ones can be spoken of without a qualifier.
    fn matching_exists(&mut self, select: &Select, names: &[Arc<str>]) -> Result<()> {
        let derived;
        let select = if select.is_closed() {
            derived = select.derived();
            &derived
        } else {
            select
        };
        let inner: Vec<String> = (0..names.len()).map(|at| format!("_k{at}")).collect();
        let alias = self.alias();
        self.push("EXISTS (SELECT 1 FROM (");
        self.select_as(select, names, Some(&inner))?;
        self.push(") as ");
        self.name(&alias);
        self.push(" WHERE ");
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                self.push(" AND ");
            }
            self.name(&alias);
            self.push(".");
            self.name(&inner[at]);
            self.push("=");
            self.name(name);
        }
        self.push(")");
        Ok(())
    }

    fn exists(&mut self, select: &Select) -> Result<()> {
        self.push("EXISTS (");
        // A group exists if a row does; without groups there is always one row.
        let rows = select.top.is_none() && select.group.as_ref().is_none_or(|g| !g.is_empty());
        if rows {
            self.push("SELECT 1 FROM ");
            self.from(&select.from)?;
            self.conditions(select)?;
        } else {
            self.select(select, &key_or_all(select))?;
        }
        self.push(")");
        Ok(())
    }

    fn compare(&mut self, operand: &Operand, op: Comparison, value: &Value) -> Result<()> {
        let plain = operand.path.steps.is_empty() && operand.path.cast.is_none();
        if value.is_null() {
            let column = if plain {
                self.dialect.quote(&operand.path.attribute)
            } else {
                self.json_path(&operand.path)?
            };
            self.push(&column);
            self.push(match op {
                Comparison::NotEqual => " IS NOT NULL",
                _ => " IS NULL",
            });
            return Ok(());
        }
        let document = matches!(
            value,
            Value::Map(_) | Value::List(_) | Value::Tuple(_) | Value::Json(_)
        );
        let column_is_json =
            plain && matches!(operand.storage, Some(StorageType::Core(CoreType::Json)));
        if (document || column_is_json) && matches!(op, Comparison::Equal | Comparison::NotEqual) {
            let column = if plain {
                self.dialect.quote(&operand.path.attribute)
            } else {
                let path = JsonPath {
                    cast: operand.path.cast.clone().or(Some("json".into())),
                    ..operand.path.clone()
                };
                self.json_path(&path)?
            };
            let json = self
                .dialect
                .stored(&StorageType::Core(CoreType::Json), value)
                .map_err(|e| {
                    e.with_kind(ErrorKind::Invalid)
                        .attribute(&*operand.path.attribute)
                })?;
            let bound = self.bind(json)?;
            let text = self.dialect.json_equal(&column, &bound);
            if op == Comparison::NotEqual {
                self.push("NOT ");
            }
            self.push(&text);
            return Ok(());
        }
        let column = if plain {
            self.dialect.quote(&operand.path.attribute)
        } else {
            self.json_path(&operand.path)?
        };
        let value = if op == Comparison::Like {
            value.clone()
        } else {
            stored(self.dialect, operand, value)?
        };
        self.push(&column);
        if value.is_null() {
            // Stored as NULL, as NaN is on some databases.
            self.push(if op == Comparison::NotEqual {
                " IS NOT NULL"
            } else {
                " IS NULL"
            });
            return Ok(());
        }
        self.push(if op == Comparison::Like {
            " LIKE "
        } else {
            op.sql()
        });
        self.value(value)
    }

    /// One of many keys: a list of parameters, or one parameter that holds them all where there are too many.
    fn keys(&mut self, operands: &[Operand], rows: &[Vec<Value>]) -> Result<()> {
        let names: Vec<Arc<str>> = operands.iter().map(|o| o.path.attribute.clone()).collect();
        let rows: Vec<Vec<Value>> = rows
            .iter()
            .map(|row| {
                row.iter()
                    .zip(operands)
                    .map(|(value, operand)| stored(self.dialect, operand, value))
                    .collect()
            })
            .collect::<Result<_>>()?;
        if names.len() == 1 {
            self.list(&names, "", "")
        } else {
            self.list(&names, "(", ")")
        }
        self.push(" IN ");
        if !self.inline && rows.len() * names.len() > PARAMETERS {
            let next = self.dialect.placeholder(self.params.len() + 1);
            let types: Vec<_> = operands.iter().map(|o| o.storage.as_ref()).collect();
            if let Some((text, value)) = self.dialect.bound_keys(&types, &rows, &next) {
                self.params.push(value);
                self.push(&text);
                return Ok(());
            }
        }
        let values = names.len() > 1 && self.dialect.rows_are_values();
        self.push(if values { "(VALUES " } else { "(" });
        for (at, row) in rows.into_iter().enumerate() {
            if at > 0 {
                self.push(",");
            }
            if names.len() > 1 {
                self.push("(");
            }
            for (at, value) in row.into_iter().enumerate() {
                if at > 0 {
                    self.push(",");
                }
                self.value(value)?;
            }
            if names.len() > 1 {
                self.push(")");
            }
        }
        self.push(")");
        Ok(())
    }
}

/// Key lists with more values than this become one parameter: the text stays short and no limit is near.
const PARAMETERS: usize = 256;

/// A value in the form in which its attribute stores it, so that equal values are equal in the database.
///
/// A value that the column cannot hold is kept as it is if it can be compared all the same (a number out of range, a
/// text too long): such a condition is false, not wrong.
fn stored(dialect: &dyn Dialect, operand: &Operand, value: &Value) -> Result<Value> {
    let Some(storage) = &operand.storage else {
        return natural(value);
    };
    dialect.stored(storage, value).or_else(|error| {
        let number = matches!(
            value,
            Value::Int(_) | Value::Float(_) | Value::Decimal(_) | Value::Bool(_)
        );
        let text = matches!(value, Value::Text(_));
        match class(storage) {
            Class::Number if number => natural(value),
            Class::Text if text => natural(value),
            _ => Err(error
                .with_kind(ErrorKind::Invalid)
                .attribute(&*operand.path.attribute)),
        }
    })
}

enum Class {
    Number,
    Text,
    Other,
}

fn class(storage: &StorageType) -> Class {
    match storage {
        StorageType::Core(core) => match core {
            CoreType::Int8 | CoreType::Int16 | CoreType::Int32 | CoreType::Int64 => Class::Number,
            CoreType::Float32 | CoreType::Float64 | CoreType::Bool | CoreType::Decimal { .. } => {
                Class::Number
            }
            CoreType::Char(_) | CoreType::Varchar(_) | CoreType::Enum(_) => Class::Text,
            _ => Class::Other,
        },
        StorageType::Native(native) => match native.kind {
            NativeKind::Int { .. }
            | NativeKind::UnsignedBig { .. }
            | NativeKind::Float
            | NativeKind::Year => Class::Number,
            NativeKind::Decimal { .. } => Class::Number,
            NativeKind::Text { .. } => Class::Text,
            _ => Class::Other,
        },
    }
}

/// A value that no attribute gives a type.
fn natural(value: &Value) -> Result<Value> {
    match value {
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::DateTime(_)
        | Value::Decimal(_)
        | Value::Uuid(_)
        | Value::Json(_) => Ok(value.clone()),
        other => Err(Error::invalid(format!(
            "a value of type {} cannot be an SQL argument",
            other.type_name()
        ))),
    }
}
