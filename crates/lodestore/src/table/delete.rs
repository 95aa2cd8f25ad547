//! Delete and drop with everything that depends on it (spec: manipulation §4, §12.1, §12.3, §12.10).
//!
//! The seed and every affected key are resolved once, into temporary tables of keys; then rows are counted, checked
//! and deleted by key. So a restriction by another table means what it meant at the start, however the cascade proceeds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::dropped;
use super::references::known_object_columns;
use super::{DeleteOptions, DeleteReport, DropOptions, PartIntegrity, Table};
use crate::definition::{TableName, Tier};
use crate::error::{Error, ErrorKind, Result};
use crate::query::Query;
use crate::schema::{Dependencies, ForeignKey, Lode};
use crate::sql::{OutputColumn, Statement};
use crate::value::{ColumnKind, Value};

impl Query {
    /// Deletes the rows of this query from its table, and every row that depends on them, in one transaction.
    ///
    /// Objects of deleted rows stay until collection and are recorded in the same transaction. Errors: the query is no
    /// restriction of one table; its restriction named no attribute; a part row would be deleted while its master stays ([`PartIntegrity`]).
    pub fn delete(&self, mut options: DeleteOptions<'_>) -> Result<DeleteReport> {
        let lode = self.lode()?;
        let table = self.deletable()?;
        let place = |e: Error| e.table(&table.schema, &table.name);
        if table.tier() == Tier::Part && options.part_integrity == PartIntegrity::Enforce {
            return Err(place(Error::invalid(
                "rows of a part table are deleted with their master",
            ))
            .hint("Delete from the master, or choose part integrity `ignore` or `cascade`."));
        }
        if options.confirm.is_some() && options.transaction && lode.in_transaction() {
            return Err(
                place(Error::invalid("a delete inside a transaction cannot ask"))
                    .hint("Delete without a prompt, or outside the transaction."),
            );
        }
        let cascade = Cascade::new(&lode, &table, options.part_integrity)?;
        let mut shown = None;
        if options.dry_run || options.confirm.is_some() {
            // Counted in a transaction that is rolled back, so that nothing is locked while the person thinks.
            let counts = cascade.count(self)?;
            if options.dry_run {
                return Ok(DeleteReport {
                    counts,
                    ..DeleteReport::default()
                });
            }
            if let Some(confirm) = options.confirm.as_mut()
                && (cascade.seed_count(&counts) == 0 || !confirm(&counts))
            {
                return Ok(DeleteReport {
                    counts,
                    ..DeleteReport::default()
                });
            }
            shown = Some(counts);
        }
        let own_transaction = !lode.in_transaction();
        let mut report = lode
            .transaction(|| {
                let counts = cascade.resolve(self)?;
                if shown.as_ref().is_some_and(|shown| *shown != counts) {
                    return Err(Error::invalid(
                        "the rows changed after they were counted; nothing was deleted",
                    )
                    .hint("Delete again to see the new counts."));
                }
                let dropped_objects = cascade.execute(&counts, &options)?;
                cascade.clear()?;
                let deleted = cascade.seed_count(&counts);
                Ok(DeleteReport {
                    deleted,
                    counts,
                    executed: true,
                    dropped_objects,
                    collected_objects: 0,
                })
            })
            .map_err(place)?;
        if own_transaction && report.dropped_objects > 0 && immediate(&lode) {
            let schemas: HashSet<String> = report
                .counts
                .iter()
                .map(|(t, _)| t.schema.clone())
                .collect();
            let schemas: Vec<String> = schemas.into_iter().collect();
            report.collected_objects = dropped::collect_recorded(&lode, &schemas)?;
        }
        Ok(report)
    }

    /// Deletes the rows of this query from its table and nothing else; dependent rows stand in the way
    /// ([`ErrorKind::Integrity`]). Returns the number of rows.
    pub fn delete_quick(&self) -> Result<u64> {
        let lode = self.lode()?;
        let table = self.deletable()?;
        let dialect = lode.dialect();
        let name = dialect.full_name(&table.schema, &table.name);
        let condition = self.where_clause(dialect)?;
        let heading = lode.heading(&table)?;
        let columns = known_object_columns(&heading);
        let deleted = lode.transaction(|| {
            if !columns.is_empty() {
                let condition = condition.as_ref().map(|c| (&*c.text, c.params.clone()));
                dropped::record(&lode, &table, &heading, &columns, condition)?;
            }
            let statement = match &condition {
                Some(c) => Statement {
                    text: format!("DELETE FROM {name} WHERE {}", c.text),
                    params: c.params.clone(),
                },
                None => Statement::new(format!("DELETE FROM {name}")),
            };
            lode.backend().execute(&statement)
        });
        let deleted = deleted.map_err(|e| e.table(&table.schema, &table.name))?;
        if deleted > 0 && !columns.is_empty() && immediate(&lode) && !lode.in_transaction() {
            dropped::collect_recorded(&lode, &[table.schema])?;
        }
        Ok(deleted)
    }

    fn deletable(&self) -> Result<TableName> {
        self.check()?;
        let table = self
            .base_table()
            .ok_or_else(|| Error::invalid("rows can be deleted from a table or a restriction of one, not from a join or other composed query"))?;
        let ignored = self.ignored_keys();
        if !ignored.is_empty() {
            let names = ignored
                .iter()
                .map(|n| format!("`{n}`"))
                .collect::<Vec<_>>()
                .join(", ");
            return Err(Error::invalid(format!(
                "the restriction names no attribute of the table: {names}"
            ))
            .table(table.schema, table.name)
            .hint("Such names are ignored when fetching; deleting through them is refused."));
        }
        Ok(table)
    }
}

/// `lode.objects_on_delete`.
fn immediate(lode: &Lode) -> bool {
    lode.config().get_str("lode.objects_on_delete").as_deref() == Some("immediate")
}

/// The tables of one delete, and their temporary tables of keys.
struct Cascade<'a> {
    lode: &'a Lode,
    graph: Arc<Dependencies>,
    seed: TableName,
    integrity: PartIntegrity,
    /// Parents first, parts after their master.
    order: Vec<TableName>,
    keys: HashMap<TableName, String>,
}

impl<'a> Cascade<'a> {
    fn new(lode: &'a Lode, seed: &TableName, integrity: PartIntegrity) -> Result<Self> {
        // Someone else may have made or dropped a dependent table.
        lode.look_again();
        let graph = lode.dependencies(&[&seed.schema])?;
        let mut tables: HashSet<TableName> = graph.descendants(seed).into_iter().collect();
        tables.insert(seed.clone());
        if integrity == PartIntegrity::Cascade {
            loop {
                let masters: Vec<TableName> = tables
                    .iter()
                    .filter_map(TableName::master)
                    .filter(|m| !tables.contains(m))
                    .collect();
                if masters.is_empty() {
                    break;
                }
                for master in masters {
                    tables.extend(graph.descendants(&master));
                    tables.insert(master);
                }
            }
        }
        let mut order: Vec<TableName> = graph
            .topo_sort()?
            .into_iter()
            .filter(|t| tables.contains(t))
            .collect();
        if order.is_empty() {
            order.push(seed.clone());
        }
        let keys = order
            .iter()
            .enumerate()
            .map(|(i, t)| (t.clone(), format!("~lode_keys_{i}")))
            .collect();
        Ok(Cascade {
            lode,
            graph,
            seed: seed.clone(),
            integrity,
            order,
            keys,
        })
    }

    fn seed_count(&self, counts: &[(TableName, u64)]) -> u64 {
        counts
            .iter()
            .find(|(t, _)| *t == self.seed)
            .map_or(0, |(_, n)| *n)
    }

    /// Counts without a trace.
    fn count(&self, query: &Query) -> Result<Vec<(TableName, u64)>> {
        let mut counts = Vec::new();
        let undo = || Error::new(ErrorKind::Interrupted, "counted");
        let result: Result<()> = self.lode.transaction(|| {
            counts = self.resolve(query)?;
            Err(undo())
        });
        match result {
            Err(e) if e.kind() == ErrorKind::Interrupted && e.message() == "counted" => Ok(counts),
            Err(e) => Err(e),
            Ok(()) => Ok(counts),
        }
    }

    /// Fills the tables of keys, and checks part integrity. Inside the transaction.
    fn resolve(&self, query: &Query) -> Result<Vec<(TableName, u64)>> {
        let dialect = self.lode.dialect();
        for table in &self.order {
            let (keys, columns) = (self.keys_of(table), self.key_columns(table, None)?);
            let name = dialect.full_name(&table.schema, &table.name);
            // Not every database forgets it when an earlier transaction was rolled back.
            self.lode
                .backend()
                .execute(&dialect.drop_temporary(&keys))?;
            self.execute_text(format!(
                "CREATE TEMPORARY TABLE {keys} AS SELECT {columns} FROM {name} WHERE 1 = 0"
            ))?;
        }
        let (keys, columns) = (
            self.keys_of(&self.seed),
            self.key_columns(&self.seed, None)?,
        );
        let name = dialect.full_name(&self.seed.schema, &self.seed.name);
        let mut statement =
            Statement::new(format!("INSERT INTO {keys} SELECT {columns} FROM {name}"));
        if let Some(condition) = query.where_clause(dialect)? {
            statement
                .text
                .push_str(&format!(" WHERE {}", condition.text));
            statement.params = condition.params;
        }
        self.lode.backend().execute(&statement)?;

        loop {
            for table in &self.order {
                for edge in self.graph.children(table) {
                    if self.keys.contains_key(&edge.child) {
                        self.descend(edge)?;
                    }
                }
            }
            if self.integrity != PartIntegrity::Cascade || !self.ascend()? {
                break;
            }
        }
        let counts = self
            .order
            .iter()
            .map(|t| {
                Ok((
                    t.clone(),
                    self.number(&format!("SELECT count(*) FROM {}", self.keys_of(t)))?,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        if self.integrity == PartIntegrity::Enforce {
            self.enforce(&counts)?;
        }
        Ok(counts)
    }

    /// Adds the child rows that reference affected parent rows. NULL references nothing.
    fn descend(&self, edge: &ForeignKey) -> Result<()> {
        let dialect = self.lode.dialect();
        let child = dialect.full_name(&edge.child.schema, &edge.child.name);
        let (keys, columns) = (
            self.keys_of(&edge.child),
            self.key_columns(&edge.child, None)?,
        );
        let references = tuple(dialect, edge.attr_map.iter().map(|(c, _)| &**c));
        let parents = self.parent_columns(edge)?;
        self.execute_text(format!(
            "INSERT INTO {keys} SELECT {columns} FROM {child} WHERE {references} IN ({parents}) AND {row} NOT IN (SELECT {columns} FROM {keys})",
            row = tuple(dialect, self.graph.primary_key(&edge.child).iter().map(String::as_str)),
        ))?;
        Ok(())
    }

    /// The referenced columns of affected parent rows.
    fn parent_columns(&self, edge: &ForeignKey) -> Result<String> {
        let dialect = self.lode.dialect();
        let keys = self.keys_of(&edge.parent);
        let list: Vec<String> = edge
            .attr_map
            .iter()
            .map(|(_, p)| dialect.quote(p))
            .collect();
        let list = list.join(", ");
        let key = self.graph.primary_key(&edge.parent);
        if edge.attr_map.iter().all(|(_, p)| key.contains(p)) {
            return Ok(format!("SELECT {list} FROM {keys}"));
        }
        let parent = dialect.full_name(&edge.parent.schema, &edge.parent.name);
        let columns = self.key_columns(&edge.parent, None)?;
        let row = tuple(dialect, key.iter().map(String::as_str));
        Ok(format!(
            "SELECT {list} FROM {parent} WHERE {row} IN (SELECT {columns} FROM {keys})"
        ))
    }

    /// Adds the masters of affected part rows. True if there were new ones.
    fn ascend(&self) -> Result<bool> {
        let dialect = self.lode.dialect();
        let mut added = 0;
        for part in &self.order {
            let Some(master) = part.master().filter(|m| self.keys.contains_key(m)) else {
                continue;
            };
            let Some((columns, masters)) = self.masters_of(part, &master)? else {
                continue;
            };
            let (keys, list) = (self.keys_of(&master), self.key_columns(&master, None)?);
            let name = dialect.full_name(&master.schema, &master.name);
            let row = tuple(
                dialect,
                self.graph.primary_key(&master).iter().map(String::as_str),
            );
            added += self.execute_text(format!(
                "INSERT INTO {keys} SELECT {list} FROM {name} WHERE {columns} IN ({masters}) AND {row} NOT IN (SELECT {list} FROM {keys})"
            ))?;
        }
        Ok(added > 0)
    }

    /// The columns of the master, and the query of their values, that affected rows of a part belong to: along the
    /// shortest path of foreign keys. None if no path leads there.
    fn masters_of(&self, part: &TableName, master: &TableName) -> Result<Option<(String, String)>> {
        let dialect = self.lode.dialect();
        let Some(path) = self.path_up(part, master) else {
            return Ok(None);
        };
        let mut inner = format!(
            "SELECT {} FROM {}",
            self.key_columns(part, None)?,
            self.keys_of(part)
        );
        let mut row = tuple(
            dialect,
            self.graph.primary_key(part).iter().map(String::as_str),
        );
        for edge in path {
            let child = dialect.full_name(&edge.child.schema, &edge.child.name);
            let list: Vec<String> = edge
                .attr_map
                .iter()
                .map(|(c, _)| dialect.quote(c))
                .collect();
            inner = format!(
                "SELECT {} FROM {child} WHERE {row} IN ({inner})",
                list.join(", ")
            );
            row = tuple(dialect, edge.attr_map.iter().map(|(_, p)| &**p));
        }
        Ok(Some((row, inner)))
    }

    fn path_up(&self, from: &TableName, to: &TableName) -> Option<Vec<&ForeignKey>> {
        let mut paths: Vec<Vec<&ForeignKey>> = self
            .graph
            .parents(from)
            .into_iter()
            .map(|e| vec![e])
            .collect();
        let mut seen: HashSet<&TableName> = HashSet::new();
        while !paths.is_empty() {
            if let Some(found) = paths
                .iter()
                .find(|p| p.last().is_some_and(|e| e.parent == *to))
            {
                return Some(found.clone());
            }
            let mut next = Vec::new();
            for path in paths {
                let Some(last) = path.last() else { continue };
                if seen.insert(&last.parent) {
                    for edge in self.graph.parents(&last.parent) {
                        next.push(path.iter().copied().chain([edge]).collect());
                    }
                }
            }
            paths = next;
        }
        None
    }

    /// Every affected part row must lose its master row too.
    fn enforce(&self, counts: &[(TableName, u64)]) -> Result<()> {
        let dialect = self.lode.dialect();
        for (part, count) in counts.iter().filter(|(_, n)| *n > 0) {
            let Some(master) = part.master() else {
                continue;
            };
            let widowed = match (self.keys.get(&master), self.masters_of(part, &master)?) {
                (None, _) => *count,
                (Some(_), None) => u64::from(self.seed_count(counts) == 0),
                (Some(_), Some((columns, masters))) => {
                    let (keys, list) = (self.keys_of(&master), self.key_columns(&master, None)?);
                    let name = dialect.full_name(&master.schema, &master.name);
                    let row = tuple(
                        dialect,
                        self.graph.primary_key(&master).iter().map(String::as_str),
                    );
                    self.number(&format!(
                        "SELECT count(*) FROM {name} WHERE {columns} IN ({masters}) AND {row} NOT IN (SELECT {list} FROM {keys})"
                    ))?
                }
            };
            if widowed > 0 {
                return Err(Error::invalid(format!(
                    "rows of the part {part} would be deleted while their master rows in {master} stay"
                ))
                .hint("Delete from the master, or choose part integrity `ignore` or `cascade`."));
            }
        }
        Ok(())
    }

    /// Deletes, leaves first; returns the number of recorded objects.
    fn execute(&self, counts: &[(TableName, u64)], options: &DeleteOptions<'_>) -> Result<u64> {
        let dialect = self.lode.dialect();
        let mut objects = 0;
        options
            .progress
            .begin("deleting", Some(counts.iter().map(|(_, n)| n).sum()));
        for (table, count) in counts.iter().rev().filter(|(_, n)| *n > 0) {
            if options.progress.interrupted() {
                return Err(super::upload::interrupted());
            }
            let place = |e: Error| e.table(&table.schema, &table.name);
            let heading = self.lode.heading(table)?;
            let row = tuple(
                dialect,
                self.graph.primary_key(table).iter().map(String::as_str),
            );
            let condition = format!(
                "{row} IN (SELECT {} FROM {})",
                self.key_columns(table, None)?,
                self.keys_of(table)
            );
            let columns = known_object_columns(&heading);
            objects += dropped::record(
                self.lode,
                table,
                &heading,
                &columns,
                Some((&condition, Vec::new())),
            )?;
            let name = dialect.full_name(&table.schema, &table.name);
            self.execute_text(format!("DELETE FROM {name} WHERE {condition}"))
                .map_err(|e| match e.kind() {
                    ErrorKind::Integrity => place(e.with_kind(ErrorKind::Invalid))
                        .hint("A table that is not known here depends on these rows."),
                    _ => place(e),
                })?;
            options.progress.advance(*count);
        }
        options.progress.end();
        Ok(objects)
    }

    fn clear(&self) -> Result<()> {
        for table in &self.order {
            let statement = self.lode.dialect().drop_temporary(&self.keys_of(table));
            self.lode.backend().execute(&statement)?;
        }
        Ok(())
    }

    fn keys_of(&self, table: &TableName) -> String {
        let name = self.keys.get(table).map_or("~lode_keys", String::as_str);
        self.lode.dialect().temporary_name(&table.schema, name)
    }

    /// The primary key as a list of columns.
    fn key_columns(&self, table: &TableName, prefix: Option<&str>) -> Result<String> {
        let dialect = self.lode.dialect();
        let key = self.graph.primary_key(table);
        if key.is_empty() {
            return Err(Error::invalid(
                "the table has no primary key; delete from it with `delete_quick`",
            )
            .table(&table.schema, &table.name));
        }
        let list: Vec<String> = key
            .iter()
            .map(|k| format!("{}{}", prefix.unwrap_or_default(), dialect.quote(k)))
            .collect();
        Ok(list.join(", "))
    }

    fn execute_text(&self, text: String) -> Result<u64> {
        self.lode.backend().execute(&Statement::new(text))
    }

    fn number(&self, text: &str) -> Result<u64> {
        let column = OutputColumn {
            name: "n".into(),
            kind: ColumnKind::Int,
            storage: None,
        };
        match self
            .lode
            .backend()
            .query(&Statement::new(text), &[column])?
            .value(0, 0)
        {
            Value::Int(n) => Ok(n.max(0) as u64),
            other => Err(Error::invalid(format!(
                "the database counted {other:?} rows"
            ))),
        }
    }
}

/// `"a"` or `("a", "b")`.
fn tuple<'n>(dialect: &dyn crate::sql::Dialect, names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.map(|n| dialect.quote(n)).collect();
    match &names[..] {
        [one] => one.clone(),
        _ => format!("({})", names.join(", ")),
    }
}

impl Table {
    /// Drops the table and every table that depends on it, over all schemas. Returns the tables, in the order of
    /// dropping; none if declined (spec: manipulation §4.9).
    pub fn drop_table(&self, mut options: DropOptions<'_>) -> Result<Vec<TableName>> {
        self.lode().look_again();
        let lode = self.lode();
        if options.part_integrity == PartIntegrity::Cascade {
            return Err(self.place(Error::new(
                ErrorKind::Value,
                "dropping knows part integrity `enforce` and `ignore`",
            )));
        }
        let graph = lode.dependencies(&[&self.name().schema])?;
        let mut set: HashSet<TableName> = graph.descendants(self.name()).into_iter().collect();
        set.insert(self.name().clone());
        if options.part_integrity == PartIntegrity::Enforce {
            let widowed = set
                .iter()
                .find(|t| t.master().is_some_and(|m| !set.contains(&m)));
            if let Some(part) = widowed {
                return Err(self
                    .place(Error::invalid(format!(
                        "the part {part} cannot be dropped without its master"
                    )))
                    .hint("Drop the master, or choose part integrity `ignore`."));
            }
        }
        let mut order: Vec<TableName> = graph
            .topo_sort()?
            .into_iter()
            .filter(|t| set.contains(t))
            .collect();
        order.reverse();
        if order.is_empty() {
            order.push(self.name().clone());
        }
        if let Some(confirm) = options.confirm.as_mut() {
            let counts = order
                .iter()
                .rev()
                .map(|t| Ok((t.clone(), Query::table(lode, t).count()?)))
                .collect::<Result<Vec<_>>>()?;
            if !confirm(&counts) {
                return Ok(Vec::new());
            }
        }
        if !options.dry_run {
            for table in &order {
                drop_one(lode, table)?;
            }
            if immediate(lode) && !lode.in_transaction() {
                let schemas: HashSet<String> = order.iter().map(|t| t.schema.clone()).collect();
                dropped::collect_recorded(lode, &schemas.into_iter().collect::<Vec<_>>())?;
            }
        }
        Ok(order)
    }

    /// Drops this table only; dependent tables stand in the way. Nothing happens if it is not declared.
    pub fn drop_quick(&self) -> Result<()> {
        if self.lode().is_declared(self.name())? {
            drop_one(self.lode(), self.name())?;
        }
        Ok(())
    }
}

/// Drops one table, with its job table, after recording what its rows refer to.
fn drop_one(lode: &Lode, table: &TableName) -> Result<()> {
    let heading = lode.heading(table)?;
    let columns = known_object_columns(&heading);
    if !columns.is_empty() {
        lode.transaction(|| dropped::record(lode, table, &heading, &columns, None))?;
    }
    lode.drop_table(table)
        .map_err(|e| e.table(&table.schema, &table.name))?;
    let jobs = TableName {
        schema: table.schema.clone(),
        name: format!("~~{}", table.name.trim_start_matches('_')),
    };
    if matches!(table.tier(), Tier::Imported | Tier::Computed) && lode.is_declared(&jobs)? {
        lode.drop_table(&jobs)?;
    }
    Ok(())
}
