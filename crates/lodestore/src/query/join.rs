//! Join, left join and union; the lineage check (spec: queries §4, §5, §7).

use std::sync::Arc;

use super::restrict::Pred;
use super::select::{Expr, From, Select, may_be_null};
use crate::error::{Error, Result};
use crate::schema::{Attribute, Heading, Source};

/// How two queries are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinOptions {
    /// Attributes of one name must have one origin.
    pub semantic_check: bool,
    /// Keep rows of the left operand that match none.
    pub left: bool,
    /// A left join whose right operand adds to the primary key, which may then be NULL.
    pub allow_nullable_pk: bool,
}

impl Default for JoinOptions {
    fn default() -> Self {
        JoinOptions {
            semantic_check: true,
            left: false,
            allow_nullable_pk: false,
        }
    }
}

/// Pairs of rows that agree in all attributes of one name.
pub(crate) fn join(left: &Select, right: &Select, options: JoinOptions) -> Result<Select> {
    check_connection(left, right)?;
    let common: Vec<Arc<str>> = left
        .heading
        .names()
        .filter(|name| right.heading.get(name).is_some())
        .cloned()
        .collect();
    if options.semantic_check {
        check_lineage(left, right, &common, "joined with")?;
    }
    let left_determines = right
        .heading
        .primary_key()
        .all(|name| left.heading.get(name).is_some());
    let right_determines = left
        .heading
        .primary_key()
        .all(|name| right.heading.get(name).is_some());
    if options.left && !left_determines && !options.allow_nullable_pk {
        let missing = right
            .heading
            .primary_key()
            .find(|name| left.heading.get(name).is_none());
        let missing = missing.map(|name| &**name).unwrap_or_default();
        return Err(Error::invalid(format!(
            "a left join needs the whole primary key of its right operand on the left, where `{missing}` is missing"
        ))
        .attribute(missing)
        .hint("Swap the operands, join instead of extend, or aggregate."));
    }

    let (left, right) = operands(left, right, &common, options.left);
    let heading = Heading {
        attributes: Default::default(),
        hidden: Vec::new(),
        comment: String::new(),
        lineage_available: left.heading.lineage_available && right.heading.lineage_available,
    };
    let of_left = |name: &Arc<str>| left.heading.get(name).cloned();
    let of_right = |name: &Arc<str>| {
        right.heading.get(name).cloned().map(|a| Attribute {
            nullable: a.nullable || options.left,
            ..a
        })
    };
    let in_key = |name: &str| {
        let key = |heading: &Heading| heading.get(name).is_some_and(|a| a.in_key);
        let bypass = options.left && !left_determines;
        match (left_determines, right_determines) {
            (true, _) => key(&left.heading),
            (false, true) if !bypass => key(&right.heading),
            _ => key(&left.heading) || key(&right.heading),
        }
    };
    let right_first = !left_determines && right_determines && !options.left;
    let (first, second) = if right_first {
        (&right, &left)
    } else {
        (&left, &right)
    };
    let key_first = || {
        let key = first
            .heading
            .names()
            .chain(second.heading.names())
            .filter(|name| in_key(name));
        let rest = first
            .heading
            .names()
            .chain(second.heading.names())
            .filter(|name| !in_key(name));
        key.chain(rest)
    };
    let mut heading = heading;
    for name in key_first() {
        if let Some(mut attribute) = of_left(name).or_else(|| of_right(name)) {
            attribute.in_key = in_key(name);
            heading.attributes.entry(name.clone()).or_insert(attribute);
        }
    }

    let mut scope = Heading {
        attributes: left.scope.attributes.clone(),
        hidden: left.scope.hidden.clone(),
        ..heading.clone()
    };
    for (name, attribute) in &right.scope.attributes {
        let nullable = attribute.nullable || options.left;
        scope
            .attributes
            .entry(name.clone())
            .or_insert_with(|| Attribute {
                nullable,
                ..attribute.clone()
            });
    }
    scope.hidden.extend(right.scope.hidden.iter().cloned());
    Ok(Select {
        lode: left.lode.clone().or_else(|| right.lode.clone()),
        from: From::Join {
            left: Arc::new(left.from.clone()),
            right: Arc::new(right.from.clone()),
            outer: options.left,
            using: common,
        },
        scope: Arc::new(scope),
        conds: left.conds.iter().chain(&right.conds).cloned().collect(),
        heading: Arc::new(heading),
        exprs: Default::default(),
        distinct: false,
        group: None,
        top: None,
        base: None,
        ignored_keys: left
            .ignored_keys
            .iter()
            .chain(&right.ignored_keys)
            .cloned()
            .collect(),
    })
}

/// The operands as they can stand side by side in one FROM, each wrapped only where it must be.
fn operands(left: &Select, right: &Select, common: &[Arc<str>], outer: bool) -> (Select, Select) {
    // An operand whose rows or attributes are made must be wrapped; a chain of joins can grow on its left end only;
    // conditions on the right of a left join would, outside, drop the rows without a match (spec: queries §18 Q2).
    let open = |select: &Select| select.all_plain() && !select.is_closed();
    let mut left = if open(left) {
        left.clone()
    } else {
        left.derived()
    };
    let nested = matches!(right.from, From::Join { .. });
    let mut right = if open(right) && !nested && (!outer || right.conds.is_empty()) {
        right.clone()
    } else {
        right.derived()
    };
    // Columns that both offer under one name without being joined by it would be ambiguous. One of them, at least,
    // has been dropped by a projection: wrapped, it is gone.
    let clash = |a: &Select, b: &Select, of: &Select| {
        a.scope.names().any(|name| {
            b.scope.get(name).is_some() && !common.contains(name) && of.heading.get(name).is_none()
        })
    };
    if clash(&left, &right, &left) {
        left = left.derived();
    }
    if clash(&left, &right, &right) {
        right = right.derived();
    }
    // Hidden columns of one name matter only to text that may mention them.
    let hidden = |of: &Select, other: &Select| {
        of.conds.iter().any(Pred::has_raw)
            && of
                .scope
                .hidden
                .iter()
                .any(|a| other.scope.hidden.iter().any(|b| a.name == b.name))
    };
    let (wrap_left, wrap_right) = (hidden(&left, &right), hidden(&right, &left));
    (
        if wrap_left { left.derived() } else { left },
        if wrap_right { right.derived() } else { right },
    )
}

/// One row per key of either operand.
pub(crate) fn union(left: &Select, right: &Select) -> Result<Select> {
    check_connection(left, right)?;
    let sorted = |select: &Select| {
        let mut names: Vec<Arc<str>> = select.heading.primary_key().cloned().collect();
        names.sort();
        names
    };
    if sorted(left) != sorted(right) {
        let list = |select: &Select| {
            select
                .heading
                .primary_key()
                .map(|n| &**n)
                .collect::<Vec<_>>()
                .join(", ")
        };
        return Err(Error::invalid(format!(
            "a union needs operands of one primary key, not ({}) and ({})",
            list(left),
            list(right)
        )));
    }
    if let Some(name) = left
        .heading
        .secondary()
        .find(|name| right.heading.get(name).is_some())
    {
        return Err(Error::invalid(format!(
            "both operands of the union have the secondary attribute `{name}`"
        ))
        .attribute(&**name)
        .hint("Drop or rename it in one of them with proj()."));
    }
    let key: Vec<Arc<str>> = left.heading.primary_key().cloned().collect();
    let pure =
        left.heading.secondary().next().is_none() && right.heading.secondary().next().is_none();
    let (left, right, heading) = if pure {
        let heading = Heading::clone(&left.heading);
        (left.clone(), right.clone(), heading)
    } else {
        check_lineage(left, right, &key, "united with")?;
        let options = JoinOptions {
            semantic_check: false,
            left: true,
            allow_nullable_pk: true,
        };
        let joined = join(left, right, options)?;
        let mut heading = Heading::clone(&joined.heading);
        for attribute in heading.attributes.values_mut() {
            attribute.nullable |= !attribute.in_key;
        }
        // The rows of the right operand that no row of the left one matches, in the same columns.
        let mut rest = if right.is_closed() || !key.iter().all(|name| right.is_plain(name)) {
            right.derived()
        } else {
            right.clone()
        };
        let nullable = key.iter().any(|name| {
            [&left.heading, &rest.heading]
                .iter()
                .any(|h| h.get(name).is_none_or(may_be_null))
        });
        let matched = Pred::Match {
            select: Arc::new(left.clone()),
            names: key.clone(),
            nullable,
        };
        rest.conds.push(Pred::Not(Box::new(matched)));
        for name in left.heading.secondary() {
            rest.exprs.insert(name.clone(), Expr::Null);
        }
        rest.heading = Arc::new(heading.clone());
        (joined, rest, heading)
    };
    let mut heading = heading;
    heading.hidden.clear();
    heading.lineage_available = left.heading.lineage_available && right.heading.lineage_available;
    for attribute in heading.attributes.values_mut() {
        attribute.source = Source::Column;
    }
    let heading = Arc::new(heading);
    Ok(Select {
        lode: left.lode.clone().or_else(|| right.lode.clone()),
        ignored_keys: left
            .ignored_keys
            .iter()
            .chain(&right.ignored_keys)
            .cloned()
            .collect(),
        // Rows with secondaries are told apart by their keys already.
        from: From::Union {
            left: Arc::new(left),
            right: Arc::new(right),
            all: !pure,
        },
        scope: heading.clone(),
        conds: Vec::new(),
        heading,
        exprs: Default::default(),
        distinct: false,
        group: None,
        top: None,
        base: None,
    })
}

/// Operands must live on one connection.
pub(crate) fn check_connection(left: &Select, right: &Select) -> Result<()> {
    match (&left.lode, &right.lode) {
        (Some(a), Some(b)) if !a.same_connection(b) => {
            Err(Error::invalid("the operands are on different connections")
                .hint("Fetch one and restrict by its rows."))
        }
        _ => Ok(()),
    }
}

/// Attributes of one name must have one origin (spec: queries §5). Skipped, with a warning, where no lineage is recorded.
pub(crate) fn check_lineage(
    left: &Select,
    right: &Select,
    names: &[Arc<str>],
    verb: &str,
) -> Result<()> {
    if !left.heading.lineage_available || !right.heading.lineage_available {
        if !names.is_empty() {
            tracing::warn!(
                "lineage is not recorded for all schemas of this query: attributes are matched by name alone"
            );
        }
        return Ok(());
    }
    for name in names {
        let origin = |select: &Select| select.heading.get(name).and_then(|a| a.lineage.clone());
        let (of_left, of_right) = (origin(left), origin(right));
        if of_left.is_some() && of_left == of_right {
            continue;
        }
        let told = |origin: Option<Arc<str>>| match origin {
            Some(origin) => format!("`{origin}`"),
            None => "no primary key (it is a native secondary or computed attribute)".to_owned(),
        };
        return Err(Error::invalid(format!(
            "{} cannot be {verb} {} on `{name}`: on the left it comes from {}, on the right from {}",
            told_of(left),
            told_of(right),
            told(of_left),
            told(of_right)
        ))
        .attribute(&**name)
        .hint(format!(
            "Rename it in one operand with proj(new='{name}'), drop it there with proj('-{name}') if it is secondary, \
             or match by name alone with semantic_check=False."
        )));
    }
    Ok(())
}

/// A name for an operand in messages.
fn told_of(select: &Select) -> String {
    match select.tables().as_slice() {
        [table] => format!("`{table}`"),
        [] => "the operand".into(),
        tables => format!(
            "the query on {}",
            tables
                .iter()
                .map(|t| format!("`{t}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}
