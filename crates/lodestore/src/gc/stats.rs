//! The numbers of a scan or collection, in the vocabularies of the seeds and of the reference (spec: stores §7).

/// Numbers of one section (hash-addressed or schema-addressed).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Distinct objects that rows refer to.
    pub referenced: u64,
    /// Listed files.
    pub stored: u64,
    /// Listed files that nothing refers to.
    pub orphaned: u64,
    /// Their bytes.
    pub orphaned_bytes: u64,
    /// Their paths, sorted.
    pub orphans: Vec<String>,
    /// Files removed.
    pub deleted: u64,
}

/// Numbers of a scan or collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Hash-addressed objects (`<blob@>`, `<attach@>`, `<hash@>`).
    pub hash: Section,
    /// Schema-addressed objects (`<npy@>`, `<object@>`, user codecs).
    pub schema: Section,
    /// Bytes of removed files.
    pub bytes_freed: u64,
    /// Files that could not be removed.
    pub errors: u64,
    /// What went wrong, in words.
    pub scan_errors: Vec<String>,
    /// True if nothing was to be removed.
    pub dry_run: bool,
}

impl Stats {
    /// Files removed.
    pub fn deleted(&self) -> u64 {
        self.hash.deleted + self.schema.deleted
    }

    /// One object with every key of both vocabularies.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        let (h, s) = (&self.hash, &self.schema);
        let mut map = serde_json::Map::new();
        let mut put = |key: &str, value: serde_json::Value| {
            map.insert(key.to_owned(), value);
        };
        for (prefix, section) in [("hash_", h), ("hash_paths_", h), ("schema_paths_", s)] {
            put(&format!("{prefix}referenced"), section.referenced.into());
            put(&format!("{prefix}stored"), section.stored.into());
            put(&format!("{prefix}orphaned"), section.orphaned.into());
            put(
                &format!("{prefix}orphaned_bytes"),
                section.orphaned_bytes.into(),
            );
            put(&format!("{prefix}deleted"), section.deleted.into());
        }
        for (key, section) in [
            ("orphaned_hashes", h),
            ("orphaned_hash_paths", h),
            ("orphaned_paths", s),
            ("orphaned_schema_paths", s),
        ] {
            put(key, section.orphans.clone().into());
        }
        put("referenced", (h.referenced + s.referenced).into());
        put("stored", (h.stored + s.stored).into());
        put("orphaned", (h.orphaned + s.orphaned).into());
        put(
            "orphaned_bytes",
            (h.orphaned_bytes + s.orphaned_bytes).into(),
        );
        put("deleted", self.deleted().into());
        put("bytes_freed", self.bytes_freed.into());
        put("errors", self.errors.into());
        put("scan_errors", self.scan_errors.clone().into());
        put("dry_run", self.dry_run.into());
        map
    }

    /// The numbers as text, for people: a paragraph a section, the totals, and the outcome if there was one.
    pub fn format(&self) -> String {
        use std::fmt::Write;
        let mut text = String::from("Object storage\n");
        for (title, section) in [
            ("Hash-addressed (blob, attach)", &self.hash),
            ("Schema-addressed (npy, object)", &self.schema),
        ] {
            let _ = writeln!(text, "  {title}");
            let _ = writeln!(text, "    referenced: {}", section.referenced);
            let _ = writeln!(text, "    stored:     {}", section.stored);
            let _ = writeln!(
                text,
                "    orphaned:   {} ({})",
                section.orphaned,
                format_bytes(section.orphaned_bytes)
            );
        }
        let orphaned = self.hash.orphaned + self.schema.orphaned;
        let bytes = self.hash.orphaned_bytes + self.schema.orphaned_bytes;
        let _ = writeln!(
            text,
            "  Total orphaned: {orphaned} ({})",
            format_bytes(bytes)
        );
        if self.dry_run {
            let _ = write!(text, "  Nothing was removed (dry run)");
        } else {
            let deleted = self.hash.deleted + self.schema.deleted;
            let _ = write!(
                text,
                "  Removed: {deleted} ({}), errors: {}",
                format_bytes(self.bytes_freed),
                self.errors
            );
        }
        for error in &self.scan_errors {
            let _ = write!(text, "\n  ! {error}");
        }
        text
    }
}

/// `format_stats` of the front doors.
pub fn format_stats(stats: &Stats) -> String {
    stats.format()
}

/// `1536` → `1.5 KiB`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}
