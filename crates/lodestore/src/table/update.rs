//! Update of one row, and validation without writing (spec: manipulation §2, §3, §12.8).

use std::collections::HashMap;

use super::dropped;
use super::references::known_object_columns;
use super::rows::{Rows, check, is_required, key_image, key_text};
use super::upload::{Objects, Uploader};
use super::{Table, Validation, ValidationIssue};
use crate::error::{Error, ErrorKind, Result, did_you_mean};
use crate::progress::Silent;
use crate::schema::Attribute;
use crate::sql::Statement;
use crate::value::{Row, Value};

impl Table {
    /// Changes the secondary attributes that the row names, in the one row that its key picks. NULL resets to the
    /// declared default. Previous objects stay until collection and are recorded.
    ///
    /// Errors: the row lacks a key attribute, names an unknown one, or changes nothing; no row has the key; the table
    /// is restricted.
    pub fn update1(&self, row: Row) -> Result<()> {
        self.update(row).map_err(|e| self.place(e))
    }

    fn update(&self, row: Row) -> Result<()> {
        if self.is_restricted() {
            return Err(Error::invalid(
                "update1 works on a table, not on a restriction of it",
            ));
        }
        let lode = self.lode();
        let heading = lode.heading(self.name())?;
        if let Some(missing) = heading
            .primary_key()
            .find(|n| row.get(n).is_none_or(Value::is_null))
        {
            return Err(Error::invalid(format!(
                "update1 needs the whole primary key; `{missing}` is missing"
            ))
            .attribute(&**missing));
        }
        if let Some(unknown) = row.0.keys().find(|n| heading.get(n).is_none()) {
            let error =
                Error::invalid(format!("there is no attribute `{unknown}`")).attribute(&**unknown);
            return Err(match did_you_mean(unknown, heading.names().map(|n| &**n)) {
                Some(hint) => error.hint(hint),
                None => error,
            });
        }
        if row
            .0
            .keys()
            .all(|n| heading.get(n).is_some_and(|a| a.in_key))
        {
            return Err(Error::invalid("update1 was given nothing to change")
                .hint("Name at least one secondary attribute; a primary key cannot be changed."));
        }
        for (name, value) in row.iter() {
            if value.is_null() && heading.get(name).is_some_and(is_required) {
                return Err(Error::new(
                    ErrorKind::MissingAttribute,
                    format!("attribute `{name}` has no default to be reset to"),
                )
                .attribute(name));
            }
        }

        // Required attributes that the row does not name keep their values.
        let names: Vec<_> = row.0.keys().cloned().collect();
        let rows = Rows {
            names,
            values: vec![row.0.into_values().collect()],
        };
        let mut errors = Vec::new();
        let checked = check(
            rows,
            &heading,
            self.name(),
            lode.dialect(),
            false,
            &mut |e: Error| {
                let absent = e.kind() == ErrorKind::MissingAttribute;
                if absent {
                    Ok(())
                } else {
                    errors.push(e);
                    Ok(())
                }
            },
        )?;
        if let Some(e) = errors.into_iter().next() {
            return Err(e);
        }
        let columns = checked.columns;
        let mut values = checked.values;
        let attributes: Vec<&Attribute> = columns.iter().map(|i| &heading.attributes[*i]).collect();
        let key = key_text(&attributes, &values[0]);

        let uploader = Uploader::new(
            lode,
            self.name(),
            &heading,
            &columns,
            checked.keys,
            None,
            &Silent,
        )?;
        let mut objects = Objects::default();
        let mut run = || -> Result<()> {
            uploader.run(&columns, &mut values, &[0], &mut objects)?;
            lode.transaction(|| {
                if !objects.is_empty() {
                    lode.backend().lock_writer(&self.name().schema)?;
                }
                self.write(&attributes, &values[0], &objects)
            })
        };
        run().map_err(|e| {
            if e.kind() != ErrorKind::LostConnection {
                // Content-addressed objects stay: others may rely on them; the collector decides.
                objects.discard(lode.stores(), &mut |_, _| true);
            }
            e.key(key)
        })
    }

    fn write(
        &self,
        attributes: &[&Attribute],
        row: &[Option<Value>],
        objects: &Objects,
    ) -> Result<()> {
        let lode = self.lode();
        let dialect = lode.dialect();
        let heading = lode.heading(self.name())?;
        let name = dialect.full_name(&self.name().schema, &self.name().name);
        let defaults = match dialect.default_word() {
            Some(_) => HashMap::new(),
            None => self.default_expressions()?,
        };
        let (mut sets, mut conditions) = (Vec::new(), Vec::new());
        let (mut params, mut key) = (Vec::new(), Vec::new());
        for (attribute, value) in attributes.iter().zip(row).filter(|(a, _)| !a.in_key) {
            let column = dialect.quote(&attribute.name);
            match value {
                Some(value) => {
                    params.push(value.clone());
                    sets.push(format!("{column} = {}", dialect.placeholder(params.len())));
                }
                None => {
                    let written = defaults.get(&*attribute.name).map(String::as_str);
                    let default = dialect.default_word().or(written).unwrap_or("NULL");
                    sets.push(format!("{column} = {default}"));
                }
            }
        }
        for (attribute, value) in attributes.iter().zip(row).filter(|(a, _)| a.in_key) {
            key.push(value.clone().unwrap_or_default());
            params.push(value.clone().unwrap_or_default());
            conditions.push(format!(
                "{} = {}",
                dialect.quote(&attribute.name),
                dialect.placeholder(params.len())
            ));
        }
        // What the row referred to in the columns that change.
        let changed: Vec<_> = known_object_columns(&heading)
            .into_iter()
            .filter(|c| attributes.iter().any(|a| a.name == c.name && !a.in_key))
            .collect();
        if !changed.is_empty() {
            let conditions: Vec<String> = attributes
                .iter()
                .filter(|a| a.in_key)
                .enumerate()
                .map(|(i, a)| {
                    format!(
                        "{} = {}",
                        dialect.quote(&a.name),
                        dialect.placeholder(i + 1)
                    )
                })
                .collect();
            let condition = if conditions.is_empty() {
                "1 = 1".into()
            } else {
                conditions.join(" AND ")
            };
            dropped::record(
                lode,
                self.name(),
                &heading,
                &changed,
                Some((&condition, key)),
            )?;
        }
        let mut text = format!("UPDATE {name} SET {}", sets.join(", "));
        if !conditions.is_empty() {
            text.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        match lode.backend().execute(&Statement { text, params })? {
            1 => objects.verify(lode.stores()),
            0 => Err(Error::invalid("there is no row with this key to update")),
            n => Err(Error::invalid(format!(
                "the key picks {n} rows instead of one"
            ))),
        }
    }

    /// The declared defaults as SQL expressions.
    fn default_expressions(&self) -> Result<HashMap<String, String>> {
        let catalog = self.lode().backend().catalog(&self.name().schema)?;
        Ok(catalog
            .into_iter()
            .filter(|t| t.name == self.name().name)
            .flat_map(|t| t.columns)
            .filter_map(|c| c.default.map(|d| (c.name, d)))
            .collect())
    }

    /// Checks rows as an insert would, without writing anything: names, shape, required attributes, every value, and
    /// keys that occur twice. Whether a key or a parent is in the database is not looked up.
    pub fn validate(
        &self,
        rows: impl IntoIterator<Item = Row>,
        ignore_extra_fields: bool,
    ) -> Result<Validation> {
        let lode = self.lode();
        let heading = lode.heading(self.name())?;
        let mut validation = Validation::default();
        let mut shape = None;
        let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
        for (index, row) in rows.into_iter().enumerate() {
            validation.rows += 1;
            let mut issues = Vec::new();
            let mut report = |e: Error| {
                let attribute = e.place().attribute.clone();
                issues.push(ValidationIssue {
                    row: index,
                    attribute,
                    message: e.message().to_owned(),
                });
                Ok(())
            };
            // Unknown names are reported one by one, and the rest of the row is looked at all the same.
            if !ignore_extra_fields {
                for name in row.0.keys().filter(|n| heading.get(n).is_none()) {
                    report(
                        Error::invalid(format!("there is no attribute `{name}`"))
                            .attribute(&**name),
                    )?;
                }
            }
            let rows = Rows::from_maps([row], &heading, true)?;
            match &shape {
                None => shape = Some(rows.names.clone()),
                Some(first) if *first != rows.names => {
                    report(Error::invalid(
                        "the row gives other attributes than the first one",
                    ))?;
                }
                Some(_) => {}
            }
            let checked = check(
                rows,
                &heading,
                self.name(),
                lode.dialect(),
                true,
                &mut report,
            )?;
            let key: Option<Vec<usize>> = heading
                .primary_key()
                .map(|n| {
                    checked
                        .columns
                        .iter()
                        .position(|c| heading.attributes[*c].name == *n)
                })
                .collect();
            if let (Some(key), Some(values)) = (key, checked.values.first())
                && !key.is_empty()
                && issues.is_empty()
                && let Some(first) =
                    seen.insert(key_image(key.iter().map(|i| values[*i].as_ref())), index)
            {
                let message = format!("the primary key is the same as that of row {first}");
                issues.push(ValidationIssue {
                    row: index,
                    attribute: None,
                    message,
                });
            }
            validation.issues.append(&mut issues);
        }
        Ok(validation)
    }
}
