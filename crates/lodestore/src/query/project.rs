//! Projection (spec: queries §3).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::restrict::{actual, unknown};
use super::select::{Expr, Select};
use super::{Fragment, path};
use crate::error::{Error, Result};
use crate::schema::{Attribute, Heading, Source};
use crate::value::ColumnKind;

/// Which attributes a projection keeps, drops, renames and computes. Start with [`all`] or [`keep`].
#[derive(Debug, Clone, Default)]
pub struct Projection {
    pub(crate) names: Vec<String>,
    pub(crate) named: Vec<(Arc<str>, Named)>,
}

/// What a new attribute is.
#[derive(Debug, Clone)]
pub enum Named {
    /// Decided by the text: `old` renames, `(old)` duplicates, `attr.path` is a JSON path, all else is SQL.
    Text(String),
    /// The attribute of this name, which is no longer there under its own.
    Rename(String),
    /// A second attribute with the values of this one.
    Duplicate(String),
    /// An SQL expression.
    Compute(Fragment),
}

/// Every attribute.
pub fn all() -> Projection {
    Projection {
        names: vec!["...".into()],
        named: Vec::new(),
    }
}

/// The primary key and these attributes.
pub fn keep(names: impl IntoNames) -> Projection {
    Projection {
        names: names.into_names(),
        named: Vec::new(),
    }
}

impl Projection {
    /// The arguments of Python's `proj(*names, **named)`: names may be `...` and `-name`, see [`Named::Text`].
    pub fn from_args<N: Into<String>, K: Into<Arc<str>>, T: Into<String>>(
        names: impl IntoIterator<Item = N>,
        named: impl IntoIterator<Item = (K, T)>,
    ) -> Projection {
        Projection {
            names: names.into_iter().map(Into::into).collect(),
            named: named
                .into_iter()
                .map(|(new, text)| (new.into(), Named::Text(text.into())))
                .collect(),
        }
    }

    /// Keeps more attributes.
    pub fn keep(mut self, names: impl IntoNames) -> Projection {
        self.names.extend(names.into_names());
        self
    }

    /// Drops attributes; one that is not there is no error.
    pub fn drop(mut self, names: impl IntoNames) -> Projection {
        self.names.extend(
            names
                .into_names()
                .into_iter()
                .map(|name| format!("-{name}")),
        );
        self
    }

    /// Renames an attribute.
    pub fn rename(mut self, new: impl Into<Arc<str>>, old: impl Into<String>) -> Projection {
        self.named.push((new.into(), Named::Rename(old.into())));
        self
    }

    /// Gives an attribute's values a second name.
    pub fn duplicate(mut self, new: impl Into<Arc<str>>, old: impl Into<String>) -> Projection {
        self.named.push((new.into(), Named::Duplicate(old.into())));
        self
    }

    /// Computes an attribute by an SQL expression.
    pub fn compute(mut self, new: impl Into<Arc<str>>, sql: impl Into<Fragment>) -> Projection {
        self.named.push((new.into(), Named::Compute(sql.into())));
        self
    }
}

/// One name or several.
pub trait IntoNames {
    /// The names.
    fn into_names(self) -> Vec<String>;
}

impl IntoNames for &str {
    fn into_names(self) -> Vec<String> {
        vec![self.into()]
    }
}

impl IntoNames for String {
    fn into_names(self) -> Vec<String> {
        vec![self]
    }
}

impl<S: Into<String>> IntoNames for Vec<S> {
    fn into_names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<S: Into<String>, const N: usize> IntoNames for [S; N] {
    fn into_names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<S: AsRef<str>> IntoNames for &[S] {
    fn into_names(self) -> Vec<String> {
        self.iter().map(|s| s.as_ref().to_owned()).collect()
    }
}

impl IntoNames for () {
    fn into_names(self) -> Vec<String> {
        Vec::new()
    }
}

pub(crate) fn project(select: &Select, projection: &Projection) -> Result<Select> {
    let heading = &select.heading;
    let parts = read(heading, projection)?;

    // Whatever builds on an attribute that is itself made by an expression needs a column to build on; so does
    // whatever adds to rows that are grouped or distinct.
    let uses = |name: &str| !select.is_plain(&actual(heading, name));
    let wrap = !parts.made.is_empty() && (select.group.is_some() || select.distinct)
        || parts
            .made
            .iter()
            .any(|(_, made)| made.mentions.iter().any(|name| uses(name)));
    let select = if wrap {
        select.derived()
    } else {
        select.clone()
    };

    let mut attributes = Heading {
        attributes: Default::default(),
        ..Heading::clone(&select.heading)
    };
    let mut exprs = HashMap::new();
    let mut add = |attribute: Attribute, expr: Option<Expr>| {
        let name = attribute.name.clone();
        if attributes.attributes.contains_key(&name) {
            return Err(Error::invalid(format!("the attribute `{name}` would be there twice"))
                .attribute(&*name)
                .hint("Give the new attribute another name, or drop or rename the one that is there."));
        }
        if let Some(expr) = expr {
            exprs.insert(name.clone(), expr);
        }
        attributes.attributes.insert(name, attribute);
        Ok(())
    };
    for (name, attribute) in &select.heading.attributes {
        if parts.kept.contains(&**name) {
            add(attribute.clone(), select.exprs.get(name).cloned())?;
        }
        for (new, made) in &parts.made {
            if let Made {
                source: Some(source),
                ..
            } = made
                && **source == **name
            {
                let source = Source::Renamed(name.to_string());
                let attribute = Attribute {
                    name: new.clone(),
                    source,
                    ..attribute.clone()
                };
                let expr = if new == name {
                    None
                } else {
                    Some(Expr::Column(name.clone()))
                };
                add(attribute, expr)?;
            }
        }
    }
    for (new, made) in parts.made {
        if made.source.is_none() {
            add(computed(new, made.text, heading), Some(made.expr))?;
        }
    }
    Ok(Select {
        heading: Arc::new(attributes),
        exprs,
        ..select
    })
}

/// A projection read against a heading.
#[derive(Default)]
struct Parts {
    kept: HashSet<String>,
    made: Vec<(Arc<str>, Made)>,
}

/// A new attribute.
pub(crate) struct Made {
    /// The attribute that it renames or duplicates.
    pub(crate) source: Option<String>,
    pub(crate) expr: Expr,
    /// Names that it builds on or may build on.
    pub(crate) mentions: Vec<String>,
    pub(crate) text: String,
}

fn read(heading: &Heading, projection: &Projection) -> Result<Parts> {
    let mut parts = Parts::default();
    let mut everything = false;
    let mut dropped = HashSet::new();
    for name in &projection.names {
        let name = name.trim();
        if name == "..." {
            everything = true;
        } else if let Some(name) = name.strip_prefix('-') {
            let name = name.trim();
            if heading.get(name).is_some_and(|a| a.in_key) {
                return Err(Error::invalid(format!(
                    "`{name}` is in the primary key and cannot be dropped"
                ))
                .attribute(name)
                .hint("Rename it, or project an aggregation or `U` instead."));
            }
            dropped.insert(name);
        } else if heading.get(name).is_some() {
            parts.kept.insert(name.to_owned());
        } else {
            return Err(unknown(name, heading));
        }
    }
    let mut renamed = HashSet::new();
    for (new, named) in &projection.named {
        if new.trim().is_empty() {
            return Err(Error::invalid("a new attribute has no name"));
        }
        let (made, moved) = make(heading, named).map_err(|e| e.attribute(&**new))?;
        if moved && let Some(source) = &made.source {
            renamed.insert(source.clone());
        }
        parts.made.push((new.clone(), made));
    }
    for attribute in heading.attributes.values() {
        let name = &*attribute.name;
        if (attribute.in_key || everything) && !renamed.contains(name) {
            parts.kept.insert(name.to_owned());
        }
        if dropped.contains(name) {
            parts.kept.remove(name);
        }
    }
    Ok(parts)
}

/// What a new attribute is, and whether its source goes away.
pub(crate) fn make(heading: &Heading, named: &Named) -> Result<(Made, bool)> {
    let copy = |name: &str| match heading.get(name) {
        Some(_) => Ok(Made {
            source: Some(name.to_owned()),
            expr: Expr::Column(name.into()),
            mentions: vec![name.to_owned()],
            text: name.to_owned(),
        }),
        None => Err(unknown(name, heading)),
    };
    let compute = |fragment: &Fragment| {
        let mentions = fragment.names()?.any().map(str::to_owned).collect();
        let text = fragment.text().trim().to_owned();
        Ok((
            Made {
                source: None,
                expr: Expr::Sql(fragment.clone()),
                mentions,
                text,
            },
            false,
        ))
    };
    match named {
        Named::Rename(old) => Ok((copy(old.trim())?, true)),
        Named::Duplicate(old) => Ok((copy(old.trim())?, false)),
        Named::Compute(fragment) => compute(fragment),
        Named::Text(text) => {
            let text = text.trim();
            let inner = text
                .strip_prefix('(')
                .and_then(|t| t.strip_suffix(')'))
                .map(str::trim);
            if is_name(text) {
                return Ok((copy(text)?, true));
            }
            if let Some(inner) = inner.filter(|inner| is_name(inner)) {
                return Ok((copy(inner)?, false));
            }
            let json = heading
                .get(path::attribute_of(text))
                .filter(|a| a.kind == ColumnKind::Json);
            if json.is_some()
                && let Ok(path) = path::parse(text)
            {
                let mentions = vec![path.attribute.to_string()];
                return Ok((
                    Made {
                        source: None,
                        expr: Expr::Json(path),
                        mentions,
                        text: text.to_owned(),
                    },
                    false,
                ));
            }
            compute(&Fragment::from(text))
        }
    }
}

/// True for the name of an attribute, whether there or misspelt; false for constants of SQL and expressions.
fn is_name(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    path::is_word(text)
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !["TRUE", "FALSE", "CURRENT_DATE", "CURRENT_TIME"].contains(&upper.as_str())
        && !upper.starts_with("NULL")
        && !upper.starts_with("CURRENT_TIMESTAMP")
}

/// The function and the attribute of an expression that is nothing but `function(attribute)`.
pub(super) fn plain_call<'a>(text: &str, operand: &'a Heading) -> Option<(String, &'a Attribute)> {
    let (function, argument) = text.trim().strip_suffix(')')?.split_once('(')?;
    let attribute = operand.get(argument.trim().trim_matches(['"', '`']))?;
    let plain = attribute.chain.is_none() && attribute.kind != ColumnKind::Json;
    plain.then(|| (function.trim().to_ascii_lowercase(), attribute))
}

/// `max(attribute)` and `min(attribute)` have the attribute's kind of value: a date stays a date, also where the database
/// keeps it as text. So have sums and averages of decimals. What other expressions give, the database says.
fn aggregate_kind(text: &str, operand: &Heading) -> Option<ColumnKind> {
    let (function, attribute) = plain_call(text, operand)?;
    let same = match function.as_str() {
        "max" | "min" => true,
        "sum" | "avg" => attribute.kind == ColumnKind::Decimal,
        _ => false,
    };
    same.then_some(attribute.kind)
}

/// The attribute that an SQL expression over `operand` makes.
pub(crate) fn computed(name: Arc<str>, text: String, operand: &Heading) -> Attribute {
    Attribute {
        name,
        type_: None,
        database_type: "expression".into(),
        storage: None,
        kind: aggregate_kind(&text, operand).unwrap_or(ColumnKind::Any),
        in_key: false,
        nullable: false,
        default: None,
        comment: "calculated attribute".into(),
        auto_increment: false,
        chain: None,
        lineage: None,
        source: Source::Expression(text),
    }
}
