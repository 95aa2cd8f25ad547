//! JSON paths: `attr.a.b[1]:type` (spec: queries §2).
