//! What is accepted, what is refused and with which words, and that printing and reading are inverse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use insta::assert_snapshot;
use proptest::prelude::*;

use super::types::tests::any_type;
use super::*;
use crate::ErrorKind;

fn refused(text: &str) -> String {
    let error = parse(text).expect_err(text);
    assert_eq!(error.kind(), ErrorKind::Definition);
    error.to_string()
}

fn attribute(line: &str) -> AttributeLine {
    match parse(&format!("---\n{line}"))
        .unwrap_or_else(|e| panic!("{e}"))
        .items
        .remove(0)
        .kind
    {
        ItemKind::Attribute(attribute) => attribute,
        other => panic!("{other:?}"),
    }
}

fn foreign_key(line: &str) -> ForeignKeyLine {
    match parse(&format!("---\n{line}"))
        .unwrap_or_else(|e| panic!("{e}"))
        .items
        .remove(0)
        .kind
    {
        ItemKind::ForeignKey(key) => key,
        other => panic!("{other:?}"),
    }
}

fn index(line: &str) -> IndexLine {
    match parse(line)
        .unwrap_or_else(|e| panic!("{e}"))
        .items
        .remove(0)
        .kind
    {
        ItemKind::Index(index) => index,
        other => panic!("{other:?}"),
    }
}

// --- what is accepted ---

#[test]
fn the_example_of_the_specification_reads_and_prints() {
    let definition = parse(
        "
        # lab animal
        subject_id : int32     # unique id
        ---
        -> Species
        sex = 'U' : enum('M','F','U')
        weight = 1.5 : float32 # grams
        active = true : BOOL
        made = CURRENT_TIMESTAMP(3) : datetime(3)
        price = 0 : decimal(10, 2)
        tag = null : uuid
        trace = null : <blob>
        movie = null : <object@cold>  # zarr
        -> [Unique, nullable] Subject.proj(witness='subject_id')   # who saw it
        unique index(tag)  # quick
        ",
    )
    .unwrap();
    assert_eq!(definition.items[1].line, 4);
    assert_eq!(definition.items[1].section, Section::Secondary);
    let printed = definition.to_string().replace(' ', "·");
    assert_snapshot!(printed, @r#"
    #·lab·animal
    subject_id···········:·int32························#·unique·id
    ---
    ->·Species
    sex="U"··············:·enum('M','F','U')············
    weight=1.5···········:·float32······················#·grams
    active=1·············:·bool·························
    made=CURRENT_TIMESTAMP(3)·:·datetime(3)··················
    price=0··············:·decimal(10,2)················
    tag=null·············:·uuid·························
    trace=null···········:·<blob>·······················
    movie=null···········:·<object@cold>················#·zarr
    ->·[nullable,·unique]·Subject.proj(witness="subject_id")
    UNIQUE·INDEX·(tag)
    "#);
}

#[test]
fn an_empty_definition_is_a_singleton() {
    for text in [
        "",
        "  \n\t\n",
        "# only a comment",
        "---",
        "---\n----- again",
    ] {
        assert!(parse(text).unwrap().items.is_empty(), "{text}");
    }
    assert_eq!(
        parse("\n  #  notes #1  \n# not this").unwrap().comment,
        "notes #1"
    );
}

#[test]
fn attributes_are_read_with_quotes_respected() {
    for (line, name, default, type_, comment) in [
        ("a:int8", "a", Default::Required, "int8", ""),
        ("a = : int8 # x", "a", Default::Required, "int8", "x"),
        (
            "a1_b=NULL:int8#x: # y ##",
            "a1_b",
            Default::Null,
            "int8",
            "x: # y",
        ),
        (
            "t = \"12:30\" : varchar(5)",
            "t",
            Default::Literal("12:30".into()),
            "varchar(5)",
            "",
        ),
        (
            "t = 'it''s' : varchar(5)",
            "t",
            Default::Literal("it's".into()),
            "varchar(5)",
            "",
        ),
        (
            "t = \"it's\" : varchar(5) # it's",
            "t",
            Default::Literal("it's".into()),
            "varchar(5)",
            "it's",
        ),
        (
            "t = \"\" : varchar(5)",
            "t",
            Default::Literal("".into()),
            "varchar(5)",
            "",
        ),
        (
            "t = word : varchar(5)",
            "t",
            Default::Literal("word".into()),
            "varchar(5)",
            "",
        ),
        (
            "t = 5\" : varchar(5)",
            "t",
            Default::Literal("5\"".into()),
            "varchar(5)",
            "",
        ),
        (
            "t = \"->\" : varchar(5) # -> no key",
            "t",
            Default::Literal("->".into()),
            "varchar(5)",
            "-> no key",
        ),
        (
            "b = False : bool",
            "b",
            Default::Literal("0".into()),
            "bool",
            "",
        ),
        (
            "e = '#' : enum('#', ':')  # sign",
            "e",
            Default::Literal("#".into()),
            "enum('#',':')",
            "sign",
        ),
        (
            "d = current_timestamp : datetime",
            "d",
            Default::CurrentTimestamp("current_timestamp".into()),
            "datetime",
            "",
        ),
        ("x : <npy@raw># a", "x", Default::Required, "<npy@raw>", "a"),
        ("index : int32", "index", Default::Required, "int32", ""),
        ("unique : int32", "unique", Default::Required, "int32", ""),
        (
            "select : int32 unsigned_not  #",
            "",
            Default::Required,
            "",
            "",
        ),
    ] {
        if name.is_empty() {
            assert!(parse(line).is_err());
            continue;
        }
        let a = attribute(line);
        assert_eq!(
            (
                a.name.as_str(),
                &a.default,
                a.type_.to_string().as_str(),
                a.comment.as_str()
            ),
            (name, &default, type_, comment),
            "{line}"
        );
    }
}

#[test]
fn foreign_keys_are_read_by_the_grammar() {
    for (line, target, renames) in [
        ("-> Subject", "Subject", vec![]),
        ("->Subject()", "Subject", vec![]),
        (
            "-> lab . Session . Trial  # which one",
            "lab.Session.Trial",
            vec![],
        ),
        ("-> Subject.proj()", "Subject", vec![]),
        ("-> Subject.proj(a='b')", "Subject", vec![("a", "b")]),
        (
            "-> lab.Subject() . proj ( a = \"b\" , 'c', d='e', ) # x",
            "lab.Subject",
            vec![("a", "b"), ("d", "e")],
        ),
        ("-> `lab`.`#species`", "lab.#species", vec![]),
        ("-> \"lab\".\"#species\"  # c", "lab.#species", vec![]),
        (
            "-> \"lab.#species\".proj(a=\"b\")",
            "lab.#species",
            vec![("a", "b")],
        ),
    ] {
        let key = foreign_key(line);
        let found = key.target.unwrap_or_else(|| panic!("{line}"));
        let renames: Vec<(String, String)> = renames
            .into_iter()
            .map(|(a, b)| (a.into(), b.into()))
            .collect();
        assert_eq!(
            (found.name.as_str(), found.renames),
            (target, renames),
            "{line}"
        );
    }
    let key = foreign_key("-> [ NULLABLE , unique ] Subject");
    assert!(key.nullable && key.unique);
}

#[test]
fn a_target_beyond_the_grammar_is_left_to_python() {
    for (line, text) in [
        ("-> Subject & 'a=1'  # x", "Subject & 'a=1'"),
        ("-> Subject.proj(...)", "Subject.proj(...)"),
        ("-> tables['Subject']", "tables['Subject']"),
        ("-> Subject Session", "Subject Session"),
    ] {
        let key = foreign_key(line);
        assert_eq!((key.target, key.target_text.as_str()), (None, text));
        assert_eq!(
            Target::parse(text).unwrap_err().kind(),
            ErrorKind::Definition
        );
    }
    assert_snapshot!(Target::parse("Subject & 'a'").unwrap_err(), @"`Subject & 'a'` is not a table or a projection of one: unexpected `& 'a'`");
    assert_snapshot!(Target::parse("Subject.proj(a=b)").unwrap_err(), @"`Subject.proj(a=b)` is not a table or a projection of one: expected the old name in quotes");
    assert_snapshot!(Target::parse("Subject.restrict(a='b')").unwrap_err(), @"`Subject.restrict(a='b')` is not a table or a projection of one: expected `)`");
}

#[test]
fn indexes_are_read_in_any_case_and_section() {
    for (line, unique, terms) in [
        ("index(a)", false, vec!["a"]),
        ("INDEX ( a , b )  # quick", false, vec!["a", "b"]),
        ("unique   Index(a, b)", true, vec!["a", "b"]),
        (
            "index((year(b)), c desc, d(10))",
            false,
            vec!["(year(b))", "c desc", "d(10)"],
        ),
        ("index(m.path:char(3))", false, vec!["m.path:char(3)"]),
    ] {
        assert_eq!(
            index(line),
            IndexLine {
                unique,
                terms: terms.into_iter().map(str::to_owned).collect()
            },
            "{line}"
        );
    }
}

// --- what is refused: one claim a kind, with the words that the person sees ---

#[test]
fn an_unknown_type_is_pointed_at_with_the_nearest_name() {
    assert_snapshot!(refused("# people\nid : int32\n---\nname : varchr(10)  # given name"), @r"
    definition line 4: unknown type `varchr(10)`
        name : varchr(10)  # given name
               ^^^^^^^^^^
    Did you mean `varchar`?
    ");
}

#[test]
fn a_missing_type_is_pointed_at() {
    assert_snapshot!(refused("id"), @r"
    definition line 1: the attribute `id` has no `:` and type
        id
          ^
    An attribute is written `name : type  # comment`.
    ");
    assert_snapshot!(refused("id :   # number"), @r"
    definition line 1: the attribute `id` has no type
        id :   # number
               ^
    An attribute is written `name : type  # comment`.
    ");
    assert_snapshot!(refused("id # : int32"), @r"
    definition line 1: the attribute `id` has no `:` and type
        id # : int32
           ^
    An attribute is written `name : type  # comment`.
    ");
    assert_snapshot!(refused("id = 5"), @r"
    definition line 1: the attribute has no `:` and type
        id = 5
              ^
    An attribute is written `name = default : type  # comment`.
    ");
    assert_snapshot!(refused("---\nt = \"12:30\""), @r#"
    definition line 2: the attribute has no `:` and type
        t = "12:30"
                   ^
    The only `:` stands inside quotes.
    "#);
    assert_snapshot!(refused("id : 32"), @r"
    definition line 1: the attribute `id` has no type
        id : 32
             ^^
    An attribute is written `name : type  # comment`.
    ");
}

#[test]
fn bad_attribute_names_are_pointed_at() {
    assert_snapshot!(refused("subjectId : int32"), @r"
    definition line 1: the attribute name `subjectId` contains `I`
        subjectId : int32
        ^^^^^^^^^
    Attribute names are in lower case: `subject_id`.
    ");
    assert_snapshot!(refused("größe : int32"), @r"
    definition line 1: the attribute name `größe` contains `ö`
        größe : int32
        ^^^^^
    Attribute names have lower-case ASCII letters, digits and underscores.
    ");
    assert_snapshot!(refused("_hidden : int32"), @r"
    definition line 1: `_hidden` begins with an underscore; such names belong to the engine
        _hidden : int32
        ^^^^^^^
    ");
    assert_snapshot!(refused("2nd : int32"), @r"
    definition line 1: the attribute name `2nd` begins with a digit
        2nd : int32
        ^^^
    ");
    assert_snapshot!(refused("subject id : int32"), @r"
    definition line 1: unexpected `i` after `subject`; expected `:` or `=`
        subject id : int32
                ^
    An attribute is written `name : type  # comment`.
    ");
    assert_snapshot!(refused("= 5 : int32"), @r"
    definition line 1: expected the name of an attribute
        = 5 : int32
        ^
    An attribute is written `name : type  # comment`.
    ");
}

#[test]
fn two_dashes_are_not_a_separator() {
    assert_snapshot!(refused("id : int32\n--"), @r"
    definition line 2: two dashes
        --
        ^^
    Three dashes, `---`, end the primary key.
    ");
}

#[test]
fn comments_may_not_look_like_markers() {
    assert_snapshot!(refused("# : lab"), @r"
    definition line 1: the comment of a table may not begin with `:`
        # : lab
         ^
    A leading colon marks types in stored comments.
    ");
    assert_snapshot!(refused("id : int32 #  :int8: x"), @r"
    definition line 1: a comment may not begin with `:`
        id : int32 #  :int8: x
                      ^
    A leading colon marks types in stored comments.
    ");
}

#[test]
fn defaults_are_checked_against_key_and_type() {
    assert_snapshot!(refused("id = null : int32"), @r"
    definition line 1: an attribute of the primary key cannot be null
        id = null : int32
             ^^^^
    Move the line below `---`, or drop the default.
    ");
    assert_snapshot!(refused("id = 300 : int8"), @r"
    definition line 1: the default `300` is not a value of type `int8`
        id = 300 : int8
             ^^^
    ");
    assert_snapshot!(refused("---\nsex = 'X' : enum('M','F')"), @r"
    definition line 2: the default `X` is not a value of type `enum('M','F')`
        sex = 'X' : enum('M','F')
              ^^^
    Did you mean `F`?
    ");
    assert_snapshot!(refused("---\nside = 'lft' : enum('left','right')"), @r"
    definition line 2: the default `lft` is not a value of type `enum('left','right')`
        side = 'lft' : enum('left','right')
               ^^^^^
    Did you mean `left`?
    ");
    assert_snapshot!(refused("---\nok = maybe : bool"), @r"
    definition line 2: the default `maybe` is not a value of type `bool`
        ok = maybe : bool
             ^^^^^
    Write `true` or `false`.
    ");
    assert_snapshot!(refused("---\nday = today : date"), @r#"
    definition line 2: the default `today` is not a value of type `date`
        day = today : date
              ^^^^^
    Write it as `"2026-02-28"`.
    "#);
    assert_snapshot!(refused("---\nx = '{}' : json"), @r"
    definition line 2: `json` can have no default but null
        x = '{}' : json
            ^^^^
    ");
    assert_snapshot!(refused("---\nn = 'it's' : varchar(9)"), @r"
    definition line 2: `'it's'` is not one quoted text
        n = 'it's' : varchar(9)
            ^^^^^^
    Double the quote inside: `'it''s'`, or use double quotes.
    ");
    assert_snapshot!(refused("---\nt = CURRENT_TIMESTAMP(9) : datetime"), @r"
    definition line 2: cannot read `CURRENT_TIMESTAMP(9)`
        t = CURRENT_TIMESTAMP(9) : datetime
            ^^^^^^^^^^^^^^^^^^^^
    Write `CURRENT_TIMESTAMP` or `CURRENT_TIMESTAMP(3)`, with 0 to 6 digits.
    ");
    assert_snapshot!(refused("---\nt = CURRENT_TIMESTAMP : int32"), @r"
    definition line 2: `CURRENT_TIMESTAMP` is not a value of type `int32`
        t = CURRENT_TIMESTAMP : int32
            ^^^^^^^^^^^^^^^^^
    It is for `datetime` columns.
    ");
}

#[test]
fn blobs_and_json_are_refused_in_the_key() {
    assert_snapshot!(refused("id : json"), @r"
    definition line 1: JSON cannot be part of a primary key
        id : json
             ^^^^
    Keys are compared as a whole; use `varchar(n)`.
    ");
    assert_snapshot!(refused("id : longblob   # raw"), @r"
    definition line 1: a blob cannot be part of a primary key
        id : longblob   # raw
             ^^^^^^^^
    Use `uuid` or `varchar(n)`, or a hash of the bytes.
    ");
}

#[test]
fn text_around_a_type_is_pointed_at() {
    assert_snapshot!(refused("---\nx : <blob> null"), @r"
    definition line 2: unexpected `null` after the codec
        x : <blob> null
                   ^^^^
    Only a comment, beginning with `#`, may follow.
    ");
    assert_snapshot!(refused("---\nx : <blob # missing"), @r"
    definition line 2: the codec `<blob # missing` has no closing `>`
        x : <blob # missing
            ^^^^^^^^^^^^^^^
    ");
    assert_snapshot!(refused("n : int32 not null # x"), @r"
    definition line 1: unexpected `not null` after the type
        n : int32 not null # x
                  ^^^^^^^^
    Attributes are required unless their default is null: `name = null : type`.
    ");
    assert_snapshot!(refused("n : varchar(10 # x"), @r"
    definition line 1: `varchar(10` has no closing parenthesis
        n : varchar(10 # x
                   ^^^
    ");
    assert_snapshot!(refused("n : enum('a', b c)"), @r"
    definition line 1: `b c` is not a quoted value
        n : enum('a', b c)
                      ^^^
    Write `enum('left','right')`.
    ");
    assert_snapshot!(refused("---\nx : <@store>"), @r"
    definition line 2: the codec has no name
        x : <@store>
             ^^^^^^
    A codec is written `<blob>`, `<npy@>` (default store) or `<npy@store>`.
    ");
}

#[test]
fn malformed_foreign_keys_are_pointed_at() {
    assert_snapshot!(refused("->"), @r"
    definition line 1: the foreign key names no table
        ->
          ^
    A foreign key is written `-> Parent`.
    ");
    assert_snapshot!(refused("->   # Subject"), @r"
    definition line 1: the foreign key names no table
        ->   # Subject
             ^^^^^^^^^
    A foreign key is written `-> Parent`.
    ");
    assert_snapshot!(refused("subject -> Subject"), @r"
    definition line 1: unexpected `subject` before `->`
        subject -> Subject
        ^^^^^^^^
    A foreign key stands on a line of its own.
    ");
    assert_snapshot!(refused("---\n-> [] Subject"), @r"
    definition line 2: an option is missing
        -> [] Subject
            ^
    The options are `nullable` and `unique`.
    ");
    assert_snapshot!(refused("---\n-> [nulable] Subject"), @r"
    definition line 2: unknown option `nulable`
        -> [nulable] Subject
            ^^^^^^^
    Did you mean `nullable`?
    ");
    assert_snapshot!(refused("---\n-> [nullable, primary] Subject"), @r"
    definition line 2: unknown option `primary`
        -> [nullable, primary] Subject
                      ^^^^^^^
    The options are `nullable` and `unique`.
    ");
    assert_snapshot!(refused("---\n-> [nullable Subject"), @r"
    definition line 2: the options have no closing `]`
        -> [nullable Subject
           ^
    Options are written `-> [nullable, unique] Parent`.
    ");
    assert_snapshot!(refused("-> [nullable] Subject"), @r"
    definition line 1: a foreign key in the primary key cannot be nullable
        -> [nullable] Subject
            ^^^^^^^^
    Move the line below `---`, or drop the option.
    ");
}

#[test]
fn malformed_indexes_are_pointed_at() {
    assert_snapshot!(refused("index()"), @r"
    definition line 1: an attribute is missing in the index
        index()
              ^
    An index is written `index(a, b)` or `unique index(a)`.
    ");
    assert_snapshot!(refused("index(a,)"), @r"
    definition line 1: an attribute is missing in the index
        index(a,)
                ^
    An index is written `index(a, b)` or `unique index(a)`.
    ");
    assert_snapshot!(refused("index(a, b"), @r"
    definition line 1: the index has no closing parenthesis
        index(a, b
             ^
    ");
    assert_snapshot!(refused("index(a) b"), @r"
    definition line 1: unexpected `b` after the index
        index(a) b
                 ^
    Only a comment, beginning with `#`, may follow.
    ");
    assert_snapshot!(refused("index a, b"), @r"
    definition line 1: unexpected `a` after `index`; expected `:` or `=`
        index a, b
              ^
    An index is written `index(a, b)` or `unique index(a)`.
    ");
    assert_snapshot!(refused("unique (a)"), @r"
    definition line 1: unexpected `(` after `unique`; expected `:` or `=`
        unique (a)
               ^
    An index is written `index(a, b)` or `unique index(a)`.
    ");
}

#[test]
fn control_characters_are_refused() {
    assert_snapshot!(refused("id : int32 # a\0b").replace('\0', "␀"), @r"
    definition line 1: the line contains the control character '\0'
        id : int32 # a␀b
                      ^
    ");
}

#[test]
fn the_caret_stands_right_after_tabs_and_wide_text() {
    assert_snapshot!(refused("---\nn = 'é'\t: varchr(2)"), @r"
    definition line 2: unknown type `varchr(2)`
        n = 'é'	: varchr(2)
               	  ^^^^^^^^^
    Did you mean `varchar`?
    ");
}

#[test]
fn a_place_follows_the_sentence_and_not_the_picture() {
    let error = parse("id : in32").unwrap_err().table("lab", "subject");
    assert_snapshot!(error, @r"
    definition line 1: unknown type `in32` (table lab.subject)
        id : in32
             ^^^^
    Did you mean `int32`?
    ");
}

// --- printing and reading are inverse ---

fn any_default(type_: &Type) -> BoxedStrategy<Default> {
    let literal = match type_ {
        Type::Core(CoreType::Varchar(n)) if *n > 30 => Some("[^\\p{C}]{0,30}".boxed()),
        Type::Core(CoreType::Int16 | CoreType::Int32 | CoreType::Float64) => {
            Some("-?[0-9]{1,4}".boxed())
        }
        Type::Core(CoreType::Bool) => Some("[01]".boxed()),
        Type::Core(CoreType::Enum(values)) => Some(prop::sample::select(values.clone()).boxed()),
        _ => None,
    };
    let timestamp = matches!(type_, Type::Core(CoreType::DateTime(_)));
    match literal {
        Some(literal) => prop_oneof![
            Just(Default::Required),
            Just(Default::Null),
            literal.prop_map(Default::Literal)
        ]
        .boxed(),
        None if timestamp => prop_oneof![
            Just(Default::Null),
            prop::sample::select(vec!["CURRENT_TIMESTAMP", "current_timestamp(3)"])
                .prop_map(|t| Default::CurrentTimestamp(t.into())),
        ]
        .boxed(),
        None => prop_oneof![Just(Default::Required), Just(Default::Null)].boxed(),
    }
}

/// A comment as the reader leaves it: trimmed, no `:` first, no `#` last.
fn any_comment() -> impl Strategy<Value = String> {
    "[^\\p{C}]{0,20}".prop_filter_map("as it is read", |c| {
        let c = c.trim().trim_end_matches('#').trim().to_owned();
        (!c.starts_with(':') && !c.ends_with('#')).then_some(c)
    })
}

fn any_item() -> impl Strategy<Value = ItemKind> {
    prop_oneof![
        ("[a-z][a-z0-9_]{0,8}", any_type(), any_comment()).prop_flat_map(
            |(name, type_, comment)| {
                any_default(&type_).prop_map(move |default| {
                    ItemKind::Attribute(AttributeLine {
                        name: name.clone(),
                        default,
                        type_: type_.clone(),
                        comment: comment.clone(),
                    })
                })
            }
        ),
        (
            any::<bool>(),
            any::<bool>(),
            prop_oneof![
                "[A-Z][A-Za-z0-9]{0,5}(\\.[A-Z][a-z]{0,3}){0,2}",
                "lab\\.[#_][a-z]{1,5}"
            ],
            prop::collection::vec(("[a-z][a-z_0-9]{0,4}", "[a-z][a-z_0-9]{0,4}"), 0..3),
        )
            .prop_map(|(nullable, unique, name, renames)| {
                let target = Target { name, renames };
                ItemKind::ForeignKey(ForeignKeyLine {
                    nullable,
                    unique,
                    target_text: String::new(),
                    target: Some(target),
                })
            }),
        (
            any::<bool>(),
            prop::collection::vec("[a-z]{1,5}|\\(year\\([a-z]{1,4}\\)\\)", 1..4)
        )
            .prop_map(|(unique, terms)| ItemKind::Index(IndexLine { unique, terms })),
    ]
}

/// What a definition says, without the spelling of its lines.
fn content(definition: &TableDefinition) -> (String, Vec<ItemKind>) {
    let kinds = definition.items.iter().map(|item| match item.kind.clone() {
        ItemKind::ForeignKey(key) => ItemKind::ForeignKey(ForeignKeyLine {
            target_text: String::new(),
            ..key
        }),
        kind => kind,
    });
    (definition.comment.clone(), kinds.collect())
}

proptest! {
    #[test]
    fn a_printed_definition_reads_back(comment in any_comment(), kinds in prop::collection::vec(any_item(), 0..6)) {
        let item = |kind| Item { line: 0, text: String::new(), section: Section::Secondary, kind };
        let definition = TableDefinition { comment, items: kinds.into_iter().map(item).collect() };
        let text = definition.to_string();
        let read = parse(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(content(&read), content(&definition), "{}", text);
    }

    #[test]
    fn random_text_never_panics(
        text in "(?s).{0,80}",
        lines in prop::collection::vec("[-> a-z_#:='\"\\[\\](),.<@`0-9é\t]{0,30}", 0..5),
        line in "(-> ?(\\[[a-z, ]*\\])?|[a-z]{1,3} ?=?|index ?\\(|unique ).{0,20}",
    ) {
        for text in [text, lines.join("\n"), line] {
            if let Err(error) = parse(&text) {
                // The picture is whole: a sentence, the line, and at least one caret.
                let picture: Vec<&str> = error.message().rsplitn(3, '\n').collect();
                prop_assert!(picture.len() == 3 && picture[0].trim_end().ends_with('^'), "{}", error);
            }
            let _ = Target::parse(&text);
        }
    }
}
