//! The handle behind `lodestore.diagram.Diagram`: which tables are shown, and the texts that draw them.

use std::collections::HashMap;

use lodestore::definition::TableName;
use lodestore::diagram::{Diagram, Style};
use lodestore::error::Result;
use lodestore::schema::Lode;
use numpy::PyArray3;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::connection::PyLode;
use crate::error::ToPyResult;

/// Adds the diagram class.
pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyDiagram>()
}

/// A diagram over the tables of a connection. Immutable: each operation gives another one. Tables go by full names.
#[pyclass(frozen, name = "Diagram", module = "lodestore._lodestore")]
pub(crate) struct PyDiagram {
    diagram: Diagram,
    lode: Lode,
}

impl PyDiagram {
    fn with(&self, diagram: Diagram) -> PyDiagram {
        PyDiagram {
            diagram,
            lode: self.lode.clone(),
        }
    }

    fn full_name(&self, table: &TableName) -> String {
        self.lode.dialect().full_name(&table.schema, &table.name)
    }

    /// Draws with the titles of groups (schema → title), and the definitions of tables for those who rest on them.
    fn draw<T: Send>(
        &self,
        py: Python<'_>,
        direction: &str,
        theme: &str,
        titles: &HashMap<String, String>,
        draw: impl Fn(&Diagram, &Style<'_>) -> Result<T> + Sync,
    ) -> PyResult<T> {
        let (direction, theme) = (direction.parse().or_raise()?, theme.parse().or_raise()?);
        let drawn = py.detach(|| {
            let group = |schema: &str| titles.get(schema).cloned();
            let definition =
                |table: &TableName| self.lode.describe(table, &TableName::class_name).ok();
            let style = Style {
                direction,
                theme,
                name: None,
                group: Some(&group),
                tooltip: Some(&definition),
                link: None,
            };
            draw(&self.diagram, &style)
        });
        drawn.or_raise()
    }
}

#[pymethods]
impl PyDiagram {
    /// All tables of the connection's database, none shown.
    #[staticmethod]
    fn over(py: Python<'_>, lode: &PyLode) -> PyResult<PyDiagram> {
        let lode = lode.lode();
        let diagram = py.detach(|| {
            let schemas = lode.schemas()?;
            let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
            Diagram::new(&*lode.dependencies(&schemas)?)
        });
        Ok(PyDiagram {
            diagram: diagram.or_raise()?,
            lode,
        })
    }

    fn show(&self, names: Vec<String>) -> PyResult<PyDiagram> {
        let tables: Vec<TableName> = names
            .iter()
            .map(|name| TableName::parse(name))
            .collect::<Result<_>>()
            .or_raise()?;
        Ok(self.with(self.diagram.clone().show(&tables).or_raise()?))
    }

    fn show_schema(&self, schema: &str) -> PyDiagram {
        self.with(self.diagram.clone().show_schema(schema))
    }

    fn down(&self, levels: usize) -> PyDiagram {
        self.with(self.diagram.clone().down(levels))
    }

    fn up(&self, levels: usize) -> PyDiagram {
        self.with(self.diagram.clone().up(levels))
    }

    fn union(&self, other: &PyDiagram) -> PyResult<PyDiagram> {
        Ok(self.with(self.diagram.union(&other.diagram).or_raise()?))
    }

    fn difference(&self, other: &PyDiagram) -> PyDiagram {
        self.with(self.diagram.difference(&other.diagram))
    }

    fn intersection(&self, other: &PyDiagram) -> PyDiagram {
        self.with(self.diagram.intersection(&other.diagram))
    }

    fn add_parts(&self) -> PyDiagram {
        self.with(self.diagram.clone().add_parts())
    }

    fn collapse(&self) -> PyDiagram {
        self.with(self.diagram.clone().collapse())
    }

    /// Full names of the shown tables, in topological order.
    fn shown(&self) -> Vec<String> {
        self.diagram
            .tables()
            .map(|table| self.full_name(table))
            .collect()
    }

    /// Full names of all tables, in topological order.
    fn nodes(&self) -> Vec<String> {
        self.diagram
            .all_tables()
            .map(|table| self.full_name(table))
            .collect()
    }

    /// Primary key of each of all tables, in the order of `nodes`.
    fn primary_keys(&self) -> Vec<Vec<String>> {
        self.diagram
            .primary_keys()
            .map(<[String]>::to_vec)
            .collect()
    }

    /// (parent, child, primary, attribute map, aliased, multi) of each foreign key.
    fn edges(&self) -> Vec<(String, String, bool, Vec<(String, String)>, bool, bool)> {
        let edge = |key: &lodestore::schema::ForeignKey| {
            let (parent, child) = (self.full_name(&key.parent), self.full_name(&key.child));
            (
                parent,
                child,
                key.primary,
                key.attr_map.clone(),
                key.aliased,
                key.multi,
            )
        };
        self.diagram.foreign_keys().map(edge).collect()
    }

    /// Schemas of the shown tables.
    fn schemas(&self) -> Vec<String> {
        let mut schemas: Vec<String> = self
            .diagram
            .tables()
            .map(|table| table.schema.clone())
            .collect();
        schemas.sort();
        schemas.dedup();
        schemas
    }

    fn mermaid(
        &self,
        py: Python<'_>,
        direction: &str,
        titles: HashMap<String, String>,
    ) -> PyResult<String> {
        self.draw(py, direction, "light", &titles, |diagram, style| {
            Ok(diagram.to_mermaid(style))
        })
    }

    fn dot(
        &self,
        py: Python<'_>,
        direction: &str,
        theme: &str,
        titles: HashMap<String, String>,
    ) -> PyResult<String> {
        self.draw(py, direction, theme, &titles, |diagram, style| {
            Ok(diagram.to_dot(style))
        })
    }

    fn svg(
        &self,
        py: Python<'_>,
        direction: &str,
        theme: &str,
        titles: HashMap<String, String>,
    ) -> PyResult<String> {
        self.draw(py, direction, theme, &titles, |diagram, style| {
            Ok(diagram.to_svg(style))
        })
    }

    fn html(
        &self,
        py: Python<'_>,
        direction: &str,
        theme: &str,
        titles: HashMap<String, String>,
        prefix: &str,
    ) -> PyResult<String> {
        self.draw(py, direction, theme, &titles, |diagram, style| {
            Ok(diagram.to_html(style, prefix))
        })
    }

    fn png<'py>(
        &self,
        py: Python<'py>,
        direction: &str,
        theme: &str,
        titles: HashMap<String, String>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let png = self.draw(py, direction, theme, &titles, Diagram::to_png)?;
        Ok(PyBytes::new(py, &png))
    }

    /// Height × width × 4, from 0 to 255.
    fn pixels<'py>(
        &self,
        py: Python<'py>,
        direction: &str,
        theme: &str,
        titles: HashMap<String, String>,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let pixels = self.draw(py, direction, theme, &titles, Diagram::to_pixels)?;
        Ok(PyArray3::from_owned_array(py, pixels))
    }
}
