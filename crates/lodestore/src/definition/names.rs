//! Names of schemas and tables, tiers, and class names (spec: definition §1).

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The tier of a table, told by the prefix of its stored name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Tier {
    Manual,
    Lookup,
    Imported,
    Computed,
    Part,
    /// `~…`: the engine's own.
    Hidden,
    /// Matches no pattern: listed, but without a class.
    Other,
}

impl Tier {
    /// What the stored name begins with. A part has its master's whole name before it: see [`TableName::part_of`].
    pub fn prefix(self) -> &'static str {
        match self {
            Tier::Manual | Tier::Part | Tier::Other => "",
            Tier::Lookup => "#",
            Tier::Imported => "_",
            Tier::Computed => "__",
            Tier::Hidden => "~",
        }
    }

    /// The tier's name in lower case: `manual`, `lookup`, ….
    pub fn name(self) -> &'static str {
        match self {
            Tier::Manual => "manual",
            Tier::Lookup => "lookup",
            Tier::Imported => "imported",
            Tier::Computed => "computed",
            Tier::Part => "part",
            Tier::Hidden => "hidden",
            Tier::Other => "other",
        }
    }

    /// True for the tiers that `populate` fills.
    pub fn is_auto(self) -> bool {
        matches!(self, Tier::Imported | Tier::Computed)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of a schema that Lodestore may create: `[A-Za-z0-9_][A-Za-z0-9_-]*`, at most 64 characters.
///
/// Existing schemas of other names can be opened; they are addressed by plain text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaName(String);

impl SchemaName {
    /// Checks a name for a new schema. Error kind `Invalid`; 63 characters on PostgreSQL is the dialect's business.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let wrong = |why: &str| {
            Err(
                Error::invalid(format!("`{name}` cannot be the name of a schema: {why}")).hint(
                    "Use letters, digits, `_` and `-`, at most 64 of them, not beginning with `-`.",
                ),
            )
        };
        if name.is_empty() {
            return wrong("it is empty");
        }
        if name.starts_with('-') {
            return wrong("it begins with `-`");
        }
        if let Some(c) = name
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
        {
            return wrong(&format!("it contains {c:?}"));
        }
        if name.len() > 64 {
            return wrong(&format!("it has {} characters", name.len()));
        }
        if name
            .get(..7)
            .is_some_and(|p| p.eq_ignore_ascii_case("sqlite_"))
        {
            return wrong("`sqlite_` is reserved by SQLite");
        }
        Ok(SchemaName(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for SchemaName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A schema and a stored table name in it (`subject`, `#rig`, `__comp__part`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Stored name.
    pub name: String,
}

impl TableName {
    /// A table by schema and stored name. Any name that a database may hold and that [`parse`](Self::parse) can read
    /// back is fine: neither part empty, no dots, no quote characters, no control characters. Error kind `Value`.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Result<Self> {
        let (schema, name) = (schema.into(), name.into());
        for (what, text) in [("schema", &schema), ("table", &name)] {
            if text.is_empty() {
                return Err(Error::new(
                    ErrorKind::Value,
                    format!("the name of the {what} is empty"),
                ));
            }
            if let Some(c) = text
                .chars()
                .find(|c| matches!(c, '.' | '"' | '`') || c.is_control())
            {
                return Err(Error::new(
                    ErrorKind::Value,
                    format!("the {what} name `{text}` contains {c:?}"),
                ));
            }
        }
        Ok(TableName { schema, name })
    }

    /// Reads a full name in any spelling: `` `s`.`t` ``, `"s"."t"`, `"s.t"`, `s.t`. Error kind `Value` unless there
    /// is exactly one dot.
    pub fn parse(full_name: &str) -> Result<Self> {
        let bare: String = full_name
            .chars()
            .filter(|c| !matches!(c, '"' | '`'))
            .collect();
        match bare.split('.').collect::<Vec<_>>()[..] {
            [schema, name] => Self::new(schema, name),
            _ => Err(Error::new(
                ErrorKind::Value,
                format!("`{full_name}` is not a full table name"),
            )
            .hint("A full table name is `schema.table`, with one dot.")),
        }
    }

    /// The table of a class of one of the four main tiers. The class name is checked by [`class_to_table`].
    pub fn of_class(schema: impl Into<String>, tier: Tier, class: &str) -> Result<Self> {
        Self::new(
            schema,
            format!("{}{}", tier.prefix(), class_to_table(class)?),
        )
    }

    /// The table of a part class: `<master>__<part>`.
    pub fn part_of(master: &TableName, class: &str) -> Result<Self> {
        Self::new(
            &master.schema,
            format!("{}__{}", master.name, class_to_table(class)?),
        )
    }

    /// The tier that the stored name tells.
    pub fn tier(&self) -> Tier {
        split_stored(&self.name).map_or_else(
            || {
                if self.name.starts_with('~') {
                    Tier::Hidden
                } else {
                    Tier::Other
                }
            },
            |(tier, _, part)| if part.is_some() { Tier::Part } else { tier },
        )
    }

    /// The class name: `Subject`, for parts `Session.Trial`; none for hidden and non-conforming tables.
    pub fn class_name(&self) -> Option<String> {
        let (_, base, part) = split_stored(&self.name)?;
        Some(match part {
            Some(part) => format!("{}.{}", table_to_class(base), table_to_class(part)),
            None => table_to_class(base),
        })
    }

    /// The master, if this is a part.
    pub fn master(&self) -> Option<TableName> {
        let (_, _, part) = split_stored(&self.name)?;
        let name = &self.name[..self.name.len() - part?.len() - 2];
        Some(TableName {
            schema: self.schema.clone(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// Tier prefix, base word and part word of a conforming stored name.
fn split_stored(name: &str) -> Option<(Tier, &str, Option<&str>)> {
    let (tier, rest) = [Tier::Lookup, Tier::Computed, Tier::Imported]
        .into_iter()
        .find_map(|tier| name.strip_prefix(tier.prefix()).map(|rest| (tier, rest)))
        .unwrap_or((Tier::Manual, name));
    match rest.split_once("__") {
        Some((base, part)) if is_word(base) && is_word(part) => Some((tier, base, Some(part))),
        None if is_word(rest) => Some((tier, rest, None)),
        _ => None,
    }
}

/// `[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*`
fn is_word(text: &str) -> bool {
    text.split('_').all(|piece| {
        piece.starts_with(|c: char| c.is_ascii_lowercase())
            && piece
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

/// `ProcessedEMG2Data` → `processed_e_m_g2_data`.
///
/// Underscores are removed first (the Python layer warns about them). Error kind `Invalid` if what remains is not
/// `[A-Z][A-Za-z0-9]*`.
pub fn class_to_table(class: &str) -> Result<String> {
    let bare = class.replace('_', "");
    if !bare.starts_with(|c: char| c.is_ascii_uppercase())
        || !bare.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        return Err(Error::invalid(format!("`{class}` cannot be the class name of a table"))
            .hint("Class names are written in CamelCase: ASCII letters and digits, the first an upper-case letter."));
    }
    let mut table = String::with_capacity(bare.len() + 4);
    for (at, c) in bare.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            table.push('_');
        }
        table.push(c.to_ascii_lowercase());
    }
    Ok(table)
}

/// `#l` → `L`, `__comp` → `Comp`, `a1_b` → `A1B`: runs of non-alphanumerics go, the letter after each is raised.
pub fn table_to_class(table: &str) -> String {
    let mut class = String::with_capacity(table.len());
    let mut raise = true;
    for c in table.chars() {
        if !c.is_ascii_alphanumeric() {
            raise = true;
        } else {
            class.push(if raise { c.to_ascii_uppercase() } else { c });
            raise = false;
        }
    }
    class
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn table(name: &str) -> TableName {
        TableName::new("lab", name).unwrap()
    }

    #[test]
    fn class_names_become_table_names() {
        for (class, stored) in [
            ("ProcessedEMG2Data", "processed_e_m_g2_data"),
            ("A1B", "a1_b"),
            ("ABTest", "a_b_test"),
            ("Session2", "session2"),
            ("I2C", "i2_c"),
            ("My_Table", "my_table"),
        ] {
            assert_eq!(class_to_table(class).unwrap(), stored);
        }
        for wrong in ["subject", "", "_", "2Photon", "Übung", "A-B", "A B"] {
            assert_eq!(
                class_to_table(wrong).unwrap_err().kind(),
                ErrorKind::Invalid,
                "{wrong}"
            );
        }
    }

    #[test]
    fn table_names_become_class_names() {
        assert_eq!(table_to_class("#l"), "L");
        assert_eq!(table_to_class("__comp"), "Comp");
        assert_eq!(table_to_class("session__trial"), "SessionTrial");
    }

    #[test]
    fn the_prefix_tells_the_tier() {
        for (name, tier, class, master) in [
            ("subject", Tier::Manual, Some("Subject"), None),
            ("#lk", Tier::Lookup, Some("Lk"), None),
            ("_session", Tier::Imported, Some("Session"), None),
            ("__comp", Tier::Computed, Some("Comp"), None),
            (
                "session__trial",
                Tier::Part,
                Some("Session.Trial"),
                Some("session"),
            ),
            ("#lk__pt", Tier::Part, Some("Lk.Pt"), Some("#lk")),
            (
                "_session__trial_x",
                Tier::Part,
                Some("Session.TrialX"),
                Some("_session"),
            ),
            ("__comp__det", Tier::Part, Some("Comp.Det"), Some("__comp")),
            ("~lineage", Tier::Hidden, None, None),
            ("~~comp", Tier::Hidden, None, None),
            ("a__b__c", Tier::Other, None, None),
            ("___x", Tier::Other, None, None),
            ("Subject", Tier::Other, None, None),
            ("a_", Tier::Other, None, None),
            ("a_1", Tier::Other, None, None),
        ] {
            let t = table(name);
            assert_eq!(t.tier(), tier, "{name}");
            assert_eq!(t.class_name().as_deref(), class, "{name}");
            assert_eq!(t.master().map(|m| m.name).as_deref(), master, "{name}");
        }
    }

    #[test]
    fn full_names_are_read_in_every_spelling() {
        for text in [
            "`lab`.`#rig`",
            "\"lab\".\"#rig\"",
            "\"lab.#rig\"",
            "lab.#rig",
        ] {
            assert_eq!(TableName::parse(text).unwrap(), table("#rig"));
        }
        for wrong in ["rig", "a.b.c", "", ".", "a.", "`a`"] {
            assert_eq!(
                TableName::parse(wrong).unwrap_err().kind(),
                ErrorKind::Value,
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_schema_name_is_checked() {
        for fine in ["lab", "Lab_2", "2p", "a-b", "_x"] {
            assert_eq!(SchemaName::new(fine).unwrap().as_str(), fine);
        }
        let long = "x".repeat(65);
        for wrong in [
            "",
            "-a",
            "a.b",
            "a b",
            "a\"b",
            "é",
            "sqlite_x",
            "SQLITE_y",
            long.as_str(),
        ] {
            assert!(SchemaName::new(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn class_to_table_is_undone_by_table_to_class(class in "[A-Z][A-Za-z0-9]{0,20}") {
            let stored = class_to_table(&class).unwrap();
            prop_assert_eq!(table_to_class(&stored), class.clone());
            let t = TableName::of_class("lab", Tier::Computed, &class).unwrap();
            prop_assert_eq!(t.tier(), Tier::Computed);
            prop_assert_eq!(TableName::part_of(&t, &class).unwrap().master().unwrap(), t);
        }

        #[test]
        fn no_name_panics(text in ".*") {
            if let Ok(t) = TableName::parse(&text) {
                let _ = (t.tier(), t.class_name(), t.master());
            }
            let _ = (SchemaName::new(text.clone()), class_to_table(&text), table_to_class(&text));
        }
    }
}
