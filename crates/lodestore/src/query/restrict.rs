//! Conditions resolved against a heading (spec: queries §2, §12, §18).

use std::sync::Arc;

use indexmap::IndexMap;

use super::join::{check_connection, check_lineage};
use super::path::{self, JsonPath};
use super::select::{From, Select, may_be_null};
use super::{Comparison, Cond, Fragment, Query};
use crate::codec::EncodeContext;
use crate::definition::{CoreType, StorageType};
use crate::error::{Error, Result, did_you_mean};
use crate::schema::{Attribute, Heading};
use crate::value::{Row, Value};

/// A condition in terms of the scope of the [`Select`] that holds it. Names are known to exist.
#[derive(Clone)]
pub(crate) enum Pred {
    Const(bool),
    Raw {
        fragment: Fragment,
        scope: Arc<Heading>,
    },
    Compare {
        operand: Operand,
        op: Comparison,
        value: Value,
    },
    All(Vec<Pred>),
    Any(Vec<Pred>),
    Not(Box<Pred>),
    /// The named columns of a row of `select` equal those of this row. `nullable`: on either side.
    Match {
        select: Arc<Select>,
        names: Vec<Arc<str>>,
        nullable: bool,
    },
    /// `select` has rows.
    Exists(Arc<Select>),
    /// The named columns are one of these tuples, none of which holds NULL.
    Keys {
        operands: Vec<Operand>,
        rows: Vec<Vec<Value>>,
    },
}

/// A column or a place inside a JSON column, with what is known about its type.
#[derive(Clone)]
pub(crate) struct Operand {
    pub(crate) path: JsonPath,
    pub(crate) storage: Option<StorageType>,
}

impl Operand {
    fn is_json(&self) -> bool {
        self.path.steps.is_empty()
            && self.path.cast.is_none()
            && matches!(self.storage, Some(StorageType::Core(CoreType::Json)))
    }
}

impl Pred {
    pub(crate) fn each_query(&self, visit: &mut dyn FnMut(&Select)) {
        match self {
            Pred::All(preds) | Pred::Any(preds) => preds.iter().for_each(|p| p.each_query(visit)),
            Pred::Not(pred) => pred.each_query(visit),
            Pred::Match { select, .. } | Pred::Exists(select) => visit(select),
            Pred::Const(_) | Pred::Raw { .. } | Pred::Compare { .. } | Pred::Keys { .. } => {}
        }
    }

    /// True if the text of a person is in it, which may mention columns that nobody else sees.
    pub(crate) fn has_raw(&self) -> bool {
        match self {
            Pred::Raw { .. } => true,
            Pred::All(preds) | Pred::Any(preds) => preds.iter().any(Pred::has_raw),
            Pred::Not(pred) => pred.has_raw(),
            _ => false,
        }
    }
}

pub(crate) fn restrict(query: &Query, cond: Cond, semantic_check: bool) -> Result<Query> {
    match cond {
        Cond::Const(true) => return Ok(query.clone()),
        Cond::Top(top) => return query.top(top),
        _ => {}
    }
    let select = query.select()?;
    let mut used = Vec::new();
    mentions(&cond, &select.heading, &mut used)?;
    let wrap = select.group.is_some()
        || select.top.is_some()
        || used.iter().any(|name| !select.is_plain(name));
    let mut select = if wrap {
        select.derived()
    } else {
        Select::clone(&select)
    };
    let mut resolver = Resolver {
        select: &select,
        semantic_check,
        ignored: Vec::new(),
    };
    let pred = resolver.resolve(&cond)?;
    let ignored = resolver.ignored;
    for key in ignored {
        if !select.ignored_keys.contains(&key) {
            select.ignored_keys.push(key);
        }
    }
    match pred {
        Pred::Const(true) => {}
        Pred::All(preds) => select.conds.extend(preds),
        pred => select.conds.push(pred),
    }
    Ok(Query::from_select(select))
}

/// All attributes that a condition mentions or may mention.
fn mentions(cond: &Cond, heading: &Heading, out: &mut Vec<String>) -> Result<()> {
    match cond {
        Cond::Raw(fragment) => {
            out.extend(fragment.names()?.any().map(|name| actual(heading, name)));
        }
        Cond::Eq(row) => out.extend(
            row.iter()
                .map(|(key, _)| path::attribute_of(key).to_owned()),
        ),
        Cond::Compare(key, _, _) => out.push(path::attribute_of(key).to_owned()),
        Cond::All(conds) | Cond::Any(conds) => {
            for cond in conds {
                mentions(cond, heading, out)?;
            }
        }
        Cond::Not(cond) => mentions(cond, heading, out)?,
        Cond::In(query) => out.extend(query.heading()?.names().map(|name| name.to_string())),
        Cond::Const(_) | Cond::Top(_) => {}
    }
    Ok(())
}

/// The attribute's own spelling of a name in SQL text, where case does not matter.
pub(crate) fn actual(heading: &Heading, name: &str) -> String {
    match heading.get(name) {
        Some(_) => name.to_owned(),
        None => heading
            .names()
            .find(|n| n.to_lowercase() == name.to_lowercase())
            .map_or_else(|| name.to_owned(), |n| n.to_string()),
    }
}

/// An error for a name that is no attribute.
pub(crate) fn unknown(name: &str, heading: &Heading) -> Error {
    let error = Error::invalid(format!("there is no attribute `{name}`")).attribute(name);
    match did_you_mean(name, heading.names().map(|n| &**n)) {
        Some(hint) => error.hint(hint),
        None => {
            let names: Vec<&str> = heading.names().map(|n| &**n).collect();
            error.hint(format!("The attributes are: {}.", names.join(", ")))
        }
    }
}

/// The attributes that a row names, by their place in the heading, and which of them are NULL.
type Signature = Vec<(usize, bool)>;

struct Resolver<'a> {
    select: &'a Select,
    semantic_check: bool,
    /// Keys of rows of which no key names an attribute.
    ignored: Vec<Arc<str>>,
}

impl Resolver<'_> {
    fn resolve(&mut self, cond: &Cond) -> Result<Pred> {
        match cond {
            Cond::Const(value) => Ok(Pred::Const(*value)),
            Cond::Raw(fragment) => self.raw(fragment),
            Cond::Eq(row) => self.row(row),
            Cond::Compare(key, op, value) => {
                let operand = self.operand(key)?;
                self.compare(operand, *op, value)
            }
            Cond::All(conds) => {
                let mut preds = Vec::new();
                for cond in conds {
                    match self.resolve(cond)? {
                        Pred::Const(true) => {}
                        Pred::Const(false) => return Ok(Pred::Const(false)),
                        Pred::All(inner) => preds.extend(inner),
                        pred => preds.push(pred),
                    }
                }
                Ok(if preds.is_empty() {
                    Pred::Const(true)
                } else {
                    Pred::All(preds)
                })
            }
            Cond::Any(conds) => self.any(conds),
            Cond::Not(cond) => Ok(match self.resolve(cond)? {
                Pred::Const(value) => Pred::Const(!value),
                Pred::Not(pred) => *pred,
                pred => Pred::Not(Box::new(pred)),
            }),
            Cond::In(query) => self.matching(query),
            Cond::Top(_) => Err(
                Error::invalid("Top cannot stand inside a list, AndList or Not")
                    .hint("Restrict by it on its own: query & Top(...)."),
            ),
        }
    }

    /// SQL text: each name must be an attribute, or a hidden one of a base table.
    fn raw(&self, fragment: &Fragment) -> Result<Pred> {
        let heading = &self.select.heading;
        let base = matches!(self.select.from, From::Table(_));
        for mention in fragment.names()?.attributes {
            let name = mention.name.to_lowercase();
            let known = heading.get(&mention.name).is_some()
                || heading.names().any(|n| n.to_lowercase() == name)
                || base
                    && self
                        .select
                        .scope
                        .hidden
                        .iter()
                        .any(|a| a.name.to_lowercase() == name);
            if !known {
                let error = unknown(&mention.name, heading);
                return Err(error.hint(format!(
                    "It is mentioned in the condition `{}`.",
                    fragment.text().trim()
                )));
            }
        }
        Ok(Pred::Raw {
            fragment: fragment.clone(),
            scope: self.select.scope.clone(),
        })
    }

    fn row(&mut self, row: &Row) -> Result<Pred> {
        let mut preds = Vec::new();
        for (key, value) in row.iter() {
            if self.select.heading.get(path::attribute_of(key)).is_some() {
                let operand = self.operand(key)?;
                preds.push(self.compare(operand, Comparison::Equal, value)?);
            }
        }
        if preds.is_empty() {
            self.ignore(row);
            return Ok(Pred::Const(true));
        }
        Ok(Pred::All(preds))
    }

    fn ignore(&mut self, row: &Row) {
        for key in row.0.keys() {
            if !self.ignored.contains(key) {
                self.ignored.push(key.clone());
            }
        }
    }

    /// Rows that name the same attributes become one list of keys, whatever their number.
    fn any(&mut self, conds: &[Cond]) -> Result<Pred> {
        let mut lists: IndexMap<Signature, Vec<Vec<Value>>> = IndexMap::new();
        let mut preds = Vec::new();
        for cond in conds {
            if let Cond::Eq(row) = cond
                && let Some((signature, values)) = self.key(row)?
            {
                lists.entry(signature).or_default().push(values);
                continue;
            }
            match self.resolve(cond)? {
                Pred::Const(false) => {}
                Pred::Const(true) => return Ok(Pred::Const(true)),
                pred => preds.push(pred),
            }
        }
        preds.extend(
            lists
                .into_iter()
                .map(|(signature, rows)| self.key_list(&signature, rows)),
        );
        Ok(match preds.len() {
            0 => Pred::Const(false),
            1 => preds.remove(0),
            _ => Pred::Any(preds),
        })
    }

    /// A row as the attributes that it names and the values of those that are not NULL; none if it is not a plain
    /// tuple of plain values.
    fn key(&self, row: &Row) -> Result<Option<(Signature, Vec<Value>)>> {
        let heading = &self.select.heading;
        let mut parts = Vec::with_capacity(row.len());
        for (key, value) in row.iter() {
            if let Some((at, _, attribute)) = heading.attributes.get_full(key) {
                if !value.is_null() && column(attribute).is_json() {
                    return Ok(None);
                }
                parts.push((at, self.comparable(attribute, value)?));
            } else if heading.get(path::attribute_of(key)).is_some() {
                return Ok(None);
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        parts.sort_by_key(|(at, _)| *at);
        let signature = parts
            .iter()
            .map(|(at, value)| (*at, value.is_null()))
            .collect();
        let values = parts
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(_, value)| value)
            .collect();
        Ok(Some((signature, values)))
    }

    fn key_list(&self, signature: &Signature, rows: Vec<Vec<Value>>) -> Pred {
        let mut preds = Vec::new();
        let mut operands = Vec::new();
        for (at, null) in signature {
            let Some((_, attribute)) = self.select.heading.attributes.get_index(*at) else {
                continue;
            };
            let operand = column(attribute);
            match null {
                true => preds.push(Pred::Compare {
                    operand,
                    op: Comparison::Equal,
                    value: Value::Null,
                }),
                false => operands.push(operand),
            }
        }
        match <[Vec<Value>; 1]>::try_from(rows) {
            Ok([values]) => {
                preds.extend(operands.into_iter().zip(values).map(|(operand, value)| {
                    Pred::Compare {
                        operand,
                        op: Comparison::Equal,
                        value,
                    }
                }))
            }
            Err(_) if operands.is_empty() => {}
            Err(rows) if preds.is_empty() => return Pred::Keys { operands, rows },
            Err(rows) => preds.push(Pred::Keys { operands, rows }),
        }
        Pred::All(preds)
    }

    fn operand(&self, key: &str) -> Result<Operand> {
        let name = path::attribute_of(key);
        let attribute = self
            .select
            .heading
            .get(name)
            .ok_or_else(|| unknown(name, &self.select.heading))?;
        if name == key {
            return Ok(column(attribute));
        }
        Ok(Operand {
            path: path::parse(key)?,
            storage: None,
        })
    }

    fn compare(&self, mut operand: Operand, op: Comparison, value: &Value) -> Result<Pred> {
        let name = operand.path.attribute.clone();
        let plain = operand.path.steps.is_empty() && operand.path.cast.is_none();
        let value = if plain && let Some(attribute) = self.select.heading.get(&name) {
            self.comparable(attribute, value)?
        } else {
            check_scalar(&name, value, true)?;
            // Text is what an untyped place yields; other operands choose the type themselves (spec: queries §2).
            if operand.path.cast.is_none() {
                operand.path.cast = match value {
                    Value::Int(_) => Some("bigint".into()),
                    Value::Float(_) | Value::Decimal(_) => Some("double".into()),
                    Value::Bool(_) => Some("boolean".into()),
                    _ => None,
                };
            }
            value.clone()
        };
        Ok(Pred::Compare { operand, op, value })
    }

    /// What the attribute's stored form is compared with: the value, or what it is encoded to by a codec that asks for
    /// it. An error for what cannot be compared.
    fn comparable(&self, attribute: &Attribute, value: &Value) -> Result<Value> {
        let chain = attribute
            .chain
            .as_ref()
            .and_then(|c| c.as_ref().as_ref().ok());
        if let (Some(chain), Some(lode)) = (chain, &self.select.lode)
            && !value.is_null()
            && !chain.is_store()
            && chain.outermost().is_some_and(|codec| codec.restrictable())
        {
            let place = |e: Error| e.attribute(&*attribute.name);
            chain.validate(value).map_err(place)?;
            let context = EncodeContext {
                schema: "",
                table: "",
                attribute: &attribute.name,
                key: &Row::new(),
                store: None,
                stores: &**lode.stores(),
                config: lode.config(),
            };
            let encoded = chain.encode(value.clone(), &context).map_err(place)?;
            return Ok(encoded.value);
        }
        check_comparable(attribute, value)?;
        Ok(value.clone())
    }

    fn matching(&self, query: &Query) -> Result<Pred> {
        let other = query.select()?;
        check_connection(self.select, &other)?;
        let names: Vec<Arc<str>> = other
            .heading
            .names()
            .filter(|name| self.select.heading.get(name).is_some())
            .cloned()
            .collect();
        if self.semantic_check {
            check_lineage(self.select, &other, &names, "restricted by")?;
        }
        if names.is_empty() {
            return Ok(Pred::Exists(other));
        }
        let null = |heading: &Heading, name: &str| heading.get(name).is_none_or(may_be_null);
        let nullable = names
            .iter()
            .any(|name| null(&self.select.heading, name) || null(&other.heading, name));
        Ok(Pred::Match {
            select: other,
            names,
            nullable,
        })
    }
}

fn column(attribute: &Attribute) -> Operand {
    Operand {
        path: JsonPath {
            attribute: attribute.name.clone(),
            steps: Vec::new(),
            cast: None,
        },
        storage: attribute.storage.clone(),
    }
}

/// Refuses values that the attribute cannot be compared with.
fn check_comparable(attribute: &Attribute, value: &Value) -> Result<()> {
    if value.is_null() {
        return Ok(());
    }
    let text = matches!(value, Value::Text(_));
    if attribute.chain.is_some() && !text {
        return Err(Error::invalid(format!(
            "`{}` is stored by a codec and cannot be compared with a value of type {}",
            attribute.name,
            value.type_name()
        ))
        .attribute(&*attribute.name)
        .hint("Restrict by other attributes, or by an SQL condition on the stored form."));
    }
    let json = matches!(attribute.storage, Some(StorageType::Core(CoreType::Json)));
    check_scalar(&attribute.name, value, json)
}

fn check_scalar(attribute: &str, value: &Value, json: bool) -> Result<()> {
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
        | Value::Json(_) => Ok(()),
        Value::Map(_) | Value::List(_) | Value::Tuple(_) if json => Ok(()),
        other => Err(Error::invalid(format!(
            "`{attribute}` cannot be compared with a value of type {}",
            other.type_name()
        ))
        .attribute(attribute)),
    }
}
