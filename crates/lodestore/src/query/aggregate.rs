//! Aggregation and the universal set (spec: queries §6, §8).

use std::collections::HashMap;
use std::sync::Arc;

use super::join::join;
use super::project::{Made, computed, make};
use super::restrict::{actual, unknown};
use super::select::{Expr, Select};
use super::{IntoNames, JoinOptions, Projection, Query};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Attribute, Heading, Source};

/// The universal set of some attributes (`dj.U`): not itself a query. Made by [`U`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Universe {
    /// Its attributes, all of them in the primary key.
    pub primary_key: Vec<Arc<str>>,
}

/// The universal set of some attributes: `U(["rig"]) & &session` gives the distinct rigs.
#[allow(non_snake_case)]
pub fn U(names: impl IntoNames) -> Universe {
    Universe {
        primary_key: names.into_names().into_iter().map(Arc::from).collect(),
    }
}

impl Universe {
    /// The distinct values of the attributes in a query.
    ///
    /// Errors with kind `UnknownKey` for an attribute that the query has not.
    pub fn restrict(&self, query: &Query) -> Result<Query> {
        let select = query.select()?;
        let mut select = if select.is_closed() {
            select.derived()
        } else {
            Select::clone(&select)
        };
        let heading = self.heading(&select)?;
        // Rows that hold a whole key are distinct already.
        select.distinct = !select
            .heading
            .primary_key()
            .all(|name| heading.get(name).is_some());
        if select.distinct {
            select.base = None;
        }
        select.exprs.retain(|name, _| heading.get(name).is_some());
        select.heading = Arc::new(heading);
        Ok(Query::from_select(select))
    }

    /// Groups a query by the attributes and computes; one row in all if there are none. Positional names in the
    /// projection are an error.
    pub fn aggr(&self, query: &Query, projection: Projection) -> Result<Query> {
        if let Some(name) = projection.names.first() {
            return Err(Error::new(
                ErrorKind::Type,
                format!("`{name}` is not computed: U.aggr takes named values only"),
            ));
        }
        let select = query.select()?;
        let made = read(&select.heading, &projection)?;
        let plain = |name: &str| select.is_plain(&actual(&select.heading, name));
        let wrap = select.is_closed()
            || !self.primary_key.iter().all(|name| plain(name))
            || !made
                .iter()
                .all(|(_, made)| made.mentions.iter().all(|name| plain(name)));
        let mut select = if wrap {
            select.derived()
        } else {
            Select::clone(&select)
        };
        let mut heading = self
            .heading(&select)
            .map_err(|e| e.with_kind(ErrorKind::Invalid))?;
        let mut exprs = HashMap::new();
        for (new, made) in made {
            if let Some(name) = bare(&made, &heading, &select.heading)? {
                return Err(not_aggregated(&name));
            }
            insert(&mut heading, &mut exprs, &select.heading, new, made)?;
        }
        select.group = Some(self.primary_key.clone());
        select.heading = Arc::new(heading);
        select.exprs = exprs;
        select.base = None;
        Ok(Query::from_select(select))
    }

    fn heading(&self, select: &Select) -> Result<Heading> {
        let mut heading = Heading {
            attributes: Default::default(),
            ..Heading::clone(&select.heading)
        };
        for name in &self.primary_key {
            let attribute = select
                .heading
                .get(name)
                .ok_or_else(|| unknown(name, &select.heading).with_kind(ErrorKind::UnknownKey))?;
            heading.attributes.insert(
                name.clone(),
                Attribute {
                    in_key: true,
                    ..attribute.clone()
                },
            );
        }
        Ok(heading)
    }
}

/// Joins `group` to `left`, groups by the primary key of `left`, keeps attributes of `left` and computes.
pub(crate) fn aggregate(
    left: &Select,
    group: &Select,
    projection: &Projection,
    exclude_nonmatching: bool,
) -> Result<Select> {
    if let Some(name) = left
        .heading
        .primary_key()
        .find(|name| group.heading.get(name).is_none())
    {
        return Err(Error::invalid(format!(
            "the grouped query must have the whole primary key of the one it is grouped by: `{name}` is missing"
        ))
        .attribute(&**name));
    }
    let options = JoinOptions {
        semantic_check: true,
        left: !exclude_nonmatching,
        allow_nullable_pk: true,
    };
    let joined = join(left, group, options)?;
    let key: Vec<Arc<str>> = left.heading.primary_key().cloned().collect();

    let mut kept: Vec<Arc<str>> = Vec::new();
    let mut dropped = Vec::new();
    for name in &projection.names {
        let name = name.trim();
        if name == "..." {
            kept.extend(left.heading.secondary().cloned());
        } else if let Some(name) = name.strip_prefix('-') {
            dropped.push(name.trim());
        } else if let Some((name, _)) = left.heading.attributes.get_key_value(name) {
            kept.push(name.clone());
        } else if group.heading.get(name).is_some() {
            return Err(not_aggregated(name));
        } else {
            return Err(unknown(name, &left.heading));
        }
    }
    kept.retain(|name| !dropped.contains(&&**name));
    let made = read(&joined.heading, projection)?;

    // Attributes of `left` are one per group. GROUP BY names those that are used, so that every database agrees.
    let mut heading = Heading {
        attributes: Default::default(),
        ..Heading::clone(&joined.heading)
    };
    let mut groups = key.clone();
    for (name, attribute) in &left.heading.attributes {
        let renamed = made.iter().any(|(_, m)| m.source.as_deref() == Some(name));
        let mentioned = made.iter().any(|(_, m)| {
            m.mentions
                .iter()
                .any(|n| actual(&left.heading, n) == **name)
        });
        let keep =
            kept.contains(name) && !(renamed && projection.names.iter().any(|n| n.trim() == "..."));
        if !key.contains(name) && (keep || mentioned) {
            groups.push(name.clone());
        }
        if key.contains(name) || keep {
            let source = Source::Column;
            heading.attributes.insert(
                name.clone(),
                Attribute {
                    source,
                    ..attribute.clone()
                },
            );
        }
    }
    let mut exprs = HashMap::new();
    for (new, made) in made {
        if let Some(name) = bare(&made, &left.heading, &joined.heading)? {
            return Err(not_aggregated(&name));
        }
        if made
            .source
            .as_ref()
            .is_some_and(|name| key.iter().any(|k| **k == **name))
        {
            return Err(Error::invalid(format!(
                "`{}` is in the primary key: rename it before or after",
                made.text
            )));
        }
        insert(&mut heading, &mut exprs, &joined.heading, new, made)?;
    }
    Ok(Select {
        heading: Arc::new(heading),
        exprs,
        group: Some(groups),
        ..joined
    })
}

/// The computed attributes of a projection.
fn read(heading: &Heading, projection: &Projection) -> Result<Vec<(Arc<str>, Made)>> {
    projection
        .named
        .iter()
        .map(|(new, named)| {
            Ok((
                new.clone(),
                make(heading, named).map_err(|e| e.attribute(&**new))?.0,
            ))
        })
        .collect()
}

/// The first name outside of every aggregate function that is not one per group. SQLite takes such names silently and
/// picks any row.
fn bare(made: &Made, per_group: &Heading, all: &Heading) -> Result<Option<String>> {
    let single = |name: &str| {
        per_group.get(&actual(per_group, name)).is_some() || all.get(&actual(all, name)).is_none()
    };
    Ok(match &made.expr {
        Expr::Column(name) => (!single(name)).then(|| name.to_string()),
        Expr::Json(path) => (!single(&path.attribute)).then(|| path.attribute.to_string()),
        Expr::Sql(fragment) => {
            let names = fragment.names()?;
            names
                .attributes
                .into_iter()
                .find(|m| !m.aggregated && !single(&m.name))
                .map(|m| m.name)
        }
        Expr::Null => None,
    })
}

fn not_aggregated(name: &str) -> Error {
    Error::invalid(format!("`{name}` has many values in a group"))
        .attribute(name)
        .hint(format!("Use an aggregate function, as in max({name})."))
}

fn insert(
    heading: &mut Heading,
    exprs: &mut HashMap<Arc<str>, Expr>,
    all: &Heading,
    new: Arc<str>,
    made: Made,
) -> Result<()> {
    if heading.get(&new).is_some() {
        return Err(
            Error::invalid(format!("the attribute `{new}` would be there twice")).attribute(&*new),
        );
    }
    let attribute = match made.source.as_deref().and_then(|source| all.get(source)) {
        Some(source) => {
            let renamed = Source::Renamed(source.name.to_string());
            Attribute {
                name: new.clone(),
                in_key: false,
                source: renamed,
                ..source.clone()
            }
        }
        None => computed(new.clone(), made.text, all),
    };
    heading.attributes.insert(new.clone(), attribute);
    exprs.insert(new, made.expr);
    Ok(())
}
