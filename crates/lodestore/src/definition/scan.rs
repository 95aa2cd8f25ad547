//! Reading text with quotes respected: a quoted piece runs from `"` or `'` to the next same character, without
//! escapes; an unbalanced quote is plain text (spec: definition §2).

/// Byte offset of the first character outside quotes for which `wanted` holds.
pub(super) fn find_outside_quotes(text: &str, wanted: impl FnMut(char) -> bool) -> Option<usize> {
    find_outside(text, &['"', '\''], wanted)
}

/// The same with other quote characters.
pub(super) fn find_outside(
    text: &str,
    quotes: &[char],
    mut wanted: impl FnMut(char) -> bool,
) -> Option<usize> {
    let mut skip_to = 0;
    for (at, c) in text.char_indices() {
        if at < skip_to {
            continue;
        }
        if quotes.contains(&c)
            && let Some(length) = text[at + 1..].find(c)
        {
            skip_to = at + 1 + length + 1;
        } else if wanted(c) {
            return Some(at);
        }
    }
    None
}

/// Splits at commas outside quotes and parentheses; each piece with its byte offset, trimmed.
pub(super) fn split_list(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let mut depth = 0_usize;
    let mut commas = Vec::new();
    let mut from = 0;
    while let Some(found) = find_outside_quotes(&text[from..], |c| matches!(c, ',' | '(' | ')')) {
        let at = from + found;
        match text.as_bytes()[at] {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => commas.push(at),
            _ => {}
        }
        from = at + 1;
    }
    let mut start = 0;
    for end in commas.into_iter().chain([text.len()]) {
        pieces.push(trimmed(text, start, end));
        start = end + 1;
    }
    pieces
}

/// The trimmed piece `start..end` and where it begins.
pub(super) fn trimmed(text: &str, start: usize, end: usize) -> (usize, &str) {
    let piece = &text[start..end];
    let lead = piece.len() - piece.trim_start().len();
    (start + lead, piece.trim())
}

/// The contents of a quoted SQL text (`'…'` or `"…"`, the quote doubled inside), if `text` is exactly one.
pub(super) fn unquote_sql(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = text[1..].strip_suffix(quote)?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == quote && chars.next() != Some(quote) {
            return None;
        }
        out.push(c);
    }
    Some(out)
}

/// Quotes a text so that [`unquote_sql`] gives it back, single quotes preferred.
pub(super) fn quote_sql(text: &str) -> String {
    if text.contains('\'') && !text.contains('"') {
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}
