//! Order and limit (spec: queries §9, §18 Q3 and Q4).

use super::path::is_word;
use super::project::IntoNames;
use super::restrict::unknown;
use super::select::{Expr, OrderTerm, Ordered, Select};
use crate::error::{Error, ErrorKind, Result};

/// At most so many rows, from an offset on, in an order.
///
/// Terms of the order are `attribute [ASC|DESC] [NULLS FIRST|LAST]` or `KEY [ASC|DESC]`, the primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// At most so many rows; none for all.
    pub limit: Option<u64>,
    /// So many rows are skipped first.
    pub offset: u64,
    /// The order; none inherits the order of the query, and is that of the key if it has none.
    pub order_by: Option<Vec<String>>,
}

impl Default for Top {
    /// `Top(limit=1, order_by="KEY", offset=0)`, as the reference has it.
    fn default() -> Top {
        Top {
            limit: Some(1),
            offset: 0,
            order_by: Some(vec!["KEY".into()]),
        }
    }
}

impl Top {
    /// The first `limit` rows in the query's own order, or that of the key.
    pub fn limit(limit: u64) -> Top {
        Top {
            limit: Some(limit),
            offset: 0,
            order_by: None,
        }
    }

    /// All rows in an order.
    pub fn ordered(order_by: impl IntoNames) -> Top {
        Top {
            limit: None,
            offset: 0,
            order_by: Some(order_by.into_names()),
        }
    }

    /// Sets the order.
    pub fn order_by(mut self, order_by: impl IntoNames) -> Top {
        self.order_by = Some(order_by.into_names());
        self
    }

    /// Skips rows.
    pub fn offset(mut self, offset: u64) -> Top {
        self.offset = offset;
        self
    }
}

/// Attaches a `Top`, merges it with the one that is there, or wraps.
pub(crate) fn apply(select: &Select, top: &Top) -> Result<Select> {
    let order = top
        .order_by
        .as_ref()
        .map(|terms| parse(select, terms))
        .transpose()?;
    let Some(before) = &select.top else {
        let mut select = match &order {
            // DISTINCT can be ordered by what it selects only.
            Some(terms)
                if select.distinct
                    && terms.iter().any(|t| select.heading.get(&t.name).is_none()) =>
            {
                let name = terms
                    .iter()
                    .map(|t| &*t.name)
                    .find(|n| select.heading.get(n).is_none());
                return Err(unknown(name.unwrap_or_default(), &select.heading));
            }
            _ => select.clone(),
        };
        let order = match order {
            Some(order) => order,
            None => key_terms(&select, false),
        };
        select.top = Some(Ordered {
            order,
            limit: top.limit,
            offset: top.offset,
        });
        return Ok(select);
    };
    let same = |order: &[OrderTerm]| {
        order.len() == before.order.len()
            && order.iter().zip(&before.order).all(|(a, b)| {
                a.name == b.name && a.descending == b.descending && a.nulls_first == b.nulls_first
            })
    };
    if order.as_deref().is_none_or(same) {
        let mut select = select.clone();
        let left = before.limit.map(|limit| limit.saturating_sub(top.offset));
        select.top = Some(Ordered {
            order: before.order.clone(),
            limit: match (left, top.limit) {
                (Some(left), Some(limit)) => Some(left.min(limit)),
                (left, limit) => left.or(limit),
            },
            offset: before.offset.saturating_add(top.offset),
        });
        return Ok(select);
    }
    apply(&select.derived(), top)
}

/// The terms of an order, resolved: an output attribute first, else a column that FROM offers.
fn parse(select: &Select, terms: &[String]) -> Result<Vec<OrderTerm>> {
    let mut out: Vec<OrderTerm> = Vec::new();
    for term in terms.iter().flat_map(|t| t.split(',')) {
        let bad = || {
            Error::invalid(format!("`{}` is not a term of an order", term.trim()))
                .hint("Write `attribute [ASC|DESC] [NULLS FIRST|LAST]`, or `KEY [ASC|DESC]` for the primary key.")
        };
        let mut words = term.split_whitespace();
        let name = words.next().ok_or_else(bad)?;
        let name = ['"', '`']
            .iter()
            .find_map(|q| name.strip_prefix(*q).and_then(|n| n.strip_suffix(*q)))
            .unwrap_or(name);
        let rest: Vec<String> = words.map(str::to_ascii_lowercase).collect();
        let mut rest: &[String] = &rest;
        let mut descending = false;
        if let Some((first, after)) = rest.split_first()
            && (first == "asc" || first == "desc")
        {
            descending = first == "desc";
            rest = after;
        }
        let nulls_first = match rest {
            [] => None,
            [nulls, which] if nulls == "nulls" && which == "first" => Some(true),
            [nulls, which] if nulls == "nulls" && which == "last" => Some(false),
            _ => return Err(bad()),
        };
        if !is_word(name) {
            return Err(bad());
        }
        let in_heading = select.heading.attributes.get_key_value(name);
        if name == "KEY" || name.eq_ignore_ascii_case("key") && in_heading.is_none() {
            out.extend(
                key_terms(select, descending)
                    .into_iter()
                    .map(|t| OrderTerm { nulls_first, ..t }),
            );
            continue;
        }
        let (name, expr) = match in_heading {
            Some((name, _)) => (name.clone(), select.expr(name)),
            None => {
                let offered = select
                    .scope
                    .names()
                    .chain(select.scope.hidden.iter().map(|a| &a.name));
                let closed = select.distinct || select.group.is_some();
                match offered
                    .into_iter()
                    .find(|n| ***n == *name)
                    .filter(|_| !closed)
                {
                    Some(name) => (name.clone(), Expr::Column(name.clone())),
                    None => {
                        return Err(
                            unknown(name, &select.heading).with_kind(ErrorKind::UnknownAttribute)
                        );
                    }
                }
            }
        };
        out.push(OrderTerm {
            name,
            expr,
            descending,
            nulls_first,
        });
    }
    Ok(out)
}

fn key_terms(select: &Select, descending: bool) -> Vec<OrderTerm> {
    select
        .heading
        .primary_key()
        .map(|name| OrderTerm {
            name: name.clone(),
            expr: select.expr(name),
            descending,
            nulls_first: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::query::tests::{detached, planned};

    #[test]
    fn tops_of_one_order_merge_to_the_rows_that_both_leave() {
        let rows = |q: &crate::query::Query| {
            let top = q.select().unwrap().top.clone().unwrap();
            (top.limit, top.offset)
        };
        let three = detached("subject").top(Top::limit(3)).unwrap();
        assert_eq!(
            rows(&three.top(Top::limit(3).offset(2)).unwrap()),
            (Some(1), 2)
        );
        assert_eq!(
            rows(&three.top(Top::limit(1).offset(5)).unwrap()),
            (Some(0), 5)
        );
        assert_eq!(rows(&three.top(Top::ordered("KEY")).unwrap()), (Some(3), 0));
    }

    #[test]
    fn another_order_wraps() {
        let q = detached("subject")
            .top(Top::limit(3).order_by("weight DESC"))
            .unwrap();
        insta::assert_snapshot!(planned(&q.top(Top::limit(2).order_by("name NULLS LAST")).unwrap()), @r#"SELECT "subject_id","name","sex","weight" FROM (SELECT "subject_id","name","sex","weight" FROM "lab.subject" ORDER BY "weight" DESC LIMIT 3) as "$0" ORDER BY "name" NULLS LAST LIMIT 2"#);
    }

    #[test]
    fn an_order_is_attributes_and_nothing_else() {
        for term in [
            "1; drop table x",
            "length(name)",
            "name desc nulls",
            "name`",
            "random()",
            "",
            "name desc desc",
        ] {
            assert!(
                detached("subject").top(Top::ordered(term)).is_err(),
                "{term}"
            );
        }
        let error = detached("subject").top(Top::ordered("nam")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownAttribute);
        assert_eq!(error.hint_text(), Some("Did you mean `name`?"));
    }
}
