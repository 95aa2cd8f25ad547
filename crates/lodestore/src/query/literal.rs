//! Values as SQL text, for `make_sql` only.
