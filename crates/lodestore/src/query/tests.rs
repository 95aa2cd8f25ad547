//! Plans of the specification's example schema (spec: queries §11), without a database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use super::*;
use crate::definition::{StorageType, Type};
use crate::schema::{Attribute, Source};
use crate::sql::sqlite::SqliteDialect;
use crate::value::{ColumnKind, Row, Value};
use crate::{any, row, sql};

fn attribute(
    name: &str,
    type_: &str,
    in_key: bool,
    nullable: bool,
    lineage: Option<&str>,
) -> Attribute {
    let type_ = Type::parse(type_).unwrap();
    let kind = match type_.to_string().as_str() {
        t if t.starts_with("int") => ColumnKind::Int,
        t if t.starts_with("float") => ColumnKind::Float,
        "bool" => ColumnKind::Bool,
        "date" => ColumnKind::Date,
        "json" => ColumnKind::Json,
        "uuid" => ColumnKind::Uuid,
        _ => ColumnKind::Text,
    };
    let storage = match &type_ {
        Type::Core(core) => Some(StorageType::Core(core.clone())),
        Type::Native(native) => Some(StorageType::Native(native.clone())),
        Type::Codec(_) => None,
    };
    Attribute {
        name: name.into(),
        type_: Some(type_),
        database_type: String::new(),
        storage,
        kind,
        in_key,
        nullable,
        default: None,
        comment: String::new(),
        auto_increment: false,
        chain: None,
        lineage: lineage.map(Arc::from),
        source: Source::Column,
    }
}

/// A table of the example schema, see queries.md. `name* : type` is a key, `name?` nullable, `= origin` a foreign key.
pub(super) fn detached(table: &str) -> Query {
    const SUBJECT: &str = "subject_id* int32 =lab.subject.subject_id";
    let lines: &[&str] = match table {
        "subject" => &[
            "subject_id* int32",
            "name varchar(20)",
            "sex? enum('M','F')",
            "weight? float32",
        ],
        "#rig" => &["rig* varchar(8)", "room int16"],
        "session" => &[
            SUBJECT,
            "session_no* int16",
            "session_date date",
            "rig? varchar(8) =lab.#rig.rig",
            "notes varchar(200)",
        ],
        "trial" => &[
            SUBJECT,
            "session_no* int16 =lab.session.session_no",
            "trial_no* int32",
            "rt? float64",
            "ok bool",
            "meta? json",
            "_hidden? varchar(8)",
        ],
        "mouse" => &[SUBJECT, "coat varchar(8)"],
        "rat" => &[SUBJECT, "tail int16"],
        "wild" => &["subject_id* int32", "habitat varchar(8)"],
        "course" => &["course_id* int32", "name varchar(20)"],
        "token" => &["token* uuid", "price decimal(6,2)", "code float32"],
        _ => panic!("no table {table}"),
    };
    let mut heading = Heading {
        lineage_available: true,
        ..Heading::default()
    };
    for line in lines {
        let (line, origin) = line
            .split_once(" =")
            .map_or((*line, None), |(l, o)| (l, Some(o)));
        let (name, type_) = line.split_once(' ').unwrap();
        let (in_key, nullable) = (name.ends_with('*'), name.ends_with('?'));
        let name = name.trim_end_matches(['*', '?']);
        let own = format!("lab.{table}.{name}");
        let lineage = origin.or(in_key.then_some(own.as_str()));
        let attribute = attribute(name, type_, in_key, nullable, lineage);
        if name.starts_with('_') {
            heading.hidden.push(attribute);
        } else {
            heading.attributes.insert(attribute.name.clone(), attribute);
        }
    }
    Query::detached(
        &TableName {
            schema: "lab".into(),
            name: table.into(),
        },
        Arc::new(heading),
    )
}

pub(super) fn planned(query: &Query) -> String {
    let plan = query
        .plan_for(&SqliteDialect, &PlanOptions::default())
        .unwrap();
    shown(plan)
}

fn shown(plan: Plan) -> String {
    let params = plan.statement.params;
    if params.is_empty() {
        plan.statement.text
    } else {
        format!("{}\n{params:?}", plan.statement.text)
    }
}

fn refusal(result: Result<Query>) -> String {
    result.unwrap_err().to_string()
}

fn key(query: &Query) -> Vec<String> {
    query
        .primary_key()
        .unwrap()
        .iter()
        .map(|n| n.to_string())
        .collect()
}

fn names(query: &Query) -> Vec<String> {
    query
        .heading()
        .unwrap()
        .names()
        .map(|n| n.to_string())
        .collect()
}

fn args(names: &[&str], named: &[(&str, &str)]) -> Projection {
    Projection::from_args(names.iter().copied(), named.iter().map(|(k, v)| (*k, *v)))
}

macro_rules! sql_is {
    ($query:expr, @$expected:literal) => {
        insta::assert_snapshot!(planned(&$query), @$expected)
    };
}

fn subject() -> Query {
    detached("subject")
}
fn session() -> Query {
    detached("session")
}
fn trial() -> Query {
    detached("trial")
}
fn rig() -> Query {
    detached("#rig")
}

#[test]
fn restrictions() {
    sql_is!(&subject() & "sex='M'" & row! { weight: Value::Null }, @r#"SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE (sex='M')AND("weight" IS NULL)"#);
    sql_is!(&subject() & row! { name: "O'B" }, @r#"
    SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE ("name"=?1)
    [Text("O'B")]
    "#);
    sql_is!(&subject() & any!["sex='M'", row! { subject_id: 1 }], @r#"
    SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE ((sex='M') OR (("subject_id"=?1)))
    [Int(1)]
    "#);
    sql_is!(&subject() - any!["sex='M'", row! { subject_id: 1 }], @r#"
    SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE (NOT ((sex='M') OR (("subject_id"=?1))))
    [Int(1)]
    "#);
    sql_is!(&subject() & (&session() & "notes like '%x'"), @r#"SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE ("subject_id" IN (SELECT "subject_id" FROM "lab.session" WHERE (notes like '%x')))"#);
    sql_is!(&subject() & Vec::<Row>::new(), @r#"SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE (FALSE)"#);
    sql_is!(&session() & sql!("session_date > {} AND notes LIKE {}", jiff::civil::date(2024, 1, 2), "%done"), @r#"
    SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" WHERE (session_date > ?1 AND notes LIKE ?2)
    [Date(2024-01-02), Text("%done")]
    "#);
    sql_is!(&subject() & col("weight").gt(25.0) & col("name").like("a%"), @r#"
    SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE ("weight">?1)AND("name" LIKE ?2)
    [Float(25.0), Text("a%")]
    "#);
}

#[test]
fn the_negation_of_several_equalities_is_of_all_of_them_together() {
    sql_is!(&session() - row! { subject_id: 1, session_no: 1 }, @r#"
    SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" WHERE (NOT (("subject_id"=?1)AND("session_no"=?2)))
    [Int(1), Int(1)]
    "#);
    sql_is!(&session() - Cond::All(vec!["rig is null".into(), row! { subject_id: 1 }.into()]), @r#"
    SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" WHERE (NOT ((rig is null)AND("subject_id"=?1)))
    [Int(1)]
    "#);
}

#[test]
fn an_antijoin_uses_exists_where_null_would_empty_it() {
    sql_is!(&subject() - &session(), @r#"SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE ("subject_id" NOT IN (SELECT "subject_id" FROM "lab.session"))"#);
    sql_is!(&rig() - &session(), @r#"SELECT "rig","room" FROM "lab.#rig" WHERE (NOT (EXISTS (SELECT 1 FROM (SELECT "rig" as "_k0" FROM "lab.session") as "$0" WHERE "$0"."_k0"="rig")))"#);
    sql_is!(&rig() & &session(), @r#"SELECT "rig","room" FROM "lab.#rig" WHERE ("rig" IN (SELECT "rig" FROM "lab.session"))"#);
    sql_is!(&subject() & (&session() & Top::limit(3)), @r#"SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE ("subject_id" IN (SELECT "subject_id" FROM (SELECT "subject_id" FROM "lab.session" ORDER BY "subject_id","session_no" LIMIT 3) as "$0"))"#);
}

#[test]
fn a_query_without_common_attributes_restricts_by_its_existence() {
    sql_is!(&subject() & &rig(), @r#"SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE (EXISTS (SELECT 1 FROM "lab.#rig"))"#);
    sql_is!(&subject() - (&rig() & "room=1"), @r#"SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE (NOT (EXISTS (SELECT 1 FROM "lab.#rig" WHERE (room=1))))"#);
}

#[test]
fn rows_of_one_form_become_a_list_of_keys() {
    let keys: Vec<Row> = (1..4)
        .map(|n| row! { session_no: n, subject_id: 1 })
        .collect();
    sql_is!(&session() & keys, @r#"
    SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" WHERE (("subject_id", "session_no") IN (VALUES (?1,?2),(?3,?4),(?5,?6)))
    [Int(1), Int(1), Int(1), Int(2), Int(1), Int(3)]
    "#);
    sql_is!(&subject() & vec![row! { subject_id: 1 }, row! { subject_id: 2 }, row! { sex: Value::Null }], @r#"
    SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE (("subject_id" IN (?1,?2)) OR (("sex" IS NULL)))
    [Int(1), Int(2)]
    "#);
    sql_is!(&subject() - vec![row! { subject_id: 1 }, row! { subject_id: 2 }], @r#"
    SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE (NOT ("subject_id" IN (?1,?2)))
    [Int(1), Int(2)]
    "#);
    let many: Vec<Row> = (0..1000)
        .map(|n| row! { session_no: n, subject_id: 1 })
        .collect();
    let plan = (&session() & many)
        .plan_for(&SqliteDialect, &PlanOptions::default())
        .unwrap();
    assert_eq!(plan.statement.params.len(), 1);
    insta::assert_snapshot!(plan.statement.text, @r#"SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" WHERE (("subject_id", "session_no") IN (SELECT value->>0,value->>1 FROM json_each(?1)))"#);
}

#[test]
fn values_are_bound_in_the_form_in_which_they_are_stored() {
    let token = detached("token");
    sql_is!(&token & row! { token: "00000000-0000-0000-0000-00000000002a", price: 1, code: 0.1 }, @r#"
    SELECT "token","price","code" FROM "lab.token" WHERE ("token"=?1)AND("price"=?2)AND("code"=?3)
    [Uuid(00000000-0000-0000-0000-00000000002a), Decimal("1.00"), Float(0.10000000149011612)]
    "#);
    let error =
        (&token & row! { token: "no uuid" }).plan_for(&SqliteDialect, &PlanOptions::default());
    insta::assert_snapshot!(error.err().unwrap(), @r#""no uuid" is not a UUID (attribute token)"#);
    // A number that the column cannot hold is in no row; that is no error.
    sql_is!(&session() & row! { session_no: 99999 }, @r#"
    SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" WHERE ("session_no"=?1)
    [Int(99999)]
    "#);
    sql_is!(&subject() & col("weight").gt(10) & row! { name: "longer than twenty characters" }, @r#"
    SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE ("weight">?1)AND("name"=?2)
    [Float(10.0), Text("longer than twenty characters")]
    "#);
}

#[test]
fn json_paths_are_cast_as_the_operand_asks() {
    sql_is!(&trial() & [("meta.a.b:signed", 2)].into_iter().collect::<Row>(), @r#"
    SELECT "subject_id","session_no","trial_no","rt","ok","meta" FROM "lab.trial" WHERE (CAST(json_extract("meta",'$."a"."b"') AS INTEGER)=?1)
    [Int(2)]
    "#);
    sql_is!(&trial() & [("meta.a[1]", Value::from(2))].into_iter().collect::<Row>(), @r#"
    SELECT "subject_id","session_no","trial_no","rt","ok","meta" FROM "lab.trial" WHERE (CAST(json_extract("meta",'$."a"[1]') AS INTEGER)=?1)
    [Int(2)]
    "#);
    sql_is!(&trial() & [("meta.a", Value::from("x")), ("meta.b", Value::Null)].into_iter().collect::<Row>(), @r#"
    SELECT "subject_id","session_no","trial_no","rt","ok","meta" FROM "lab.trial" WHERE (CASE json_type("meta",'$."a"') WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(json_extract("meta",'$."a"') AS TEXT) END=?1)AND(CASE json_type("meta",'$."b"') WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(json_extract("meta",'$."b"') AS TEXT) END IS NULL)
    [Text("x")]
    "#);
    sql_is!(&trial() & [("meta.a", Value::from(true)), ("meta.b", Value::from(0.5))].into_iter().collect::<Row>(), @r#"
    SELECT "subject_id","session_no","trial_no","rt","ok","meta" FROM "lab.trial" WHERE (json_extract("meta",'$."a"')=?1)AND(CAST(json_extract("meta",'$."b"') AS REAL)=?2)
    [Bool(true), Float(0.5)]
    "#);
    let map = Value::Map(vec![("x".into(), "' OR 1=1 OR 'a'='".into())]);
    sql_is!(&trial() & [("meta.a", map.clone()), ("meta", map)].into_iter().collect::<Row>(), @r#"
    SELECT "subject_id","session_no","trial_no","rt","ok","meta" FROM "lab.trial" WHERE ((json(("meta" -> '$."a"'))=json(?1)))AND((json("meta")=json(?2)))
    [Json(Json({"x": "' OR 1=1 OR 'a'='"})), Json(Json({"x": "' OR 1=1 OR 'a'='"}))]
    "#);
}

#[test]
fn what_is_no_condition_on_the_query_is_refused() {
    insta::assert_snapshot!(refusal(subject().restrict("wieght > 2")), @"
    there is no attribute `wieght`
    Did you mean `weight`? It is mentioned in the condition `wieght > 2`.
    ");
    insta::assert_snapshot!(refusal(trial().restrict("meta.s:char(5)) is null or (1=1")), @"the SQL text `meta.s:char(5)) is null or (1=1` closes a parenthesis that is not open");
    let path: Row = [("meta.s:char(5)) is null or (1", 1)].into_iter().collect();
    insta::assert_snapshot!(refusal(trial().restrict(path)), @"
    `meta.s:char(5)) is null or (1` is not a JSON path: unknown type after the colon
    A path is written `attribute.member[index].member:type`.
    ");
    insta::assert_snapshot!(refusal(subject().restrict(row! { name: Value::Set(vec![]) })), @"`name` cannot be compared with a value of type set");
    insta::assert_snapshot!(refusal(subject().restrict(!Cond::from(Top::limit(1)))), @"
    Top cannot stand inside a list, AndList or Not
    Restrict by it on its own: query & Top(...).
    ");
    insta::assert_snapshot!(refusal(subject().restrict(detached("wild"))), @"
    `lab.subject` cannot be restricted by `lab.wild` on `subject_id`: on the left it comes from `lab.subject.subject_id`, on the right from `lab.wild.subject_id`
    Rename it in one operand with proj(new='subject_id'), drop it there with proj('-subject_id') if it is secondary, or match by name alone with semantic_check=False.
    ");
    assert!(subject().restrict_with(detached("wild"), false).is_ok());
}

#[test]
fn hidden_attributes_are_for_sql_text_on_their_table_only() {
    sql_is!(&trial() & "_hidden is null" & row! { _hidden: 1, ok: true }, @r#"
    SELECT "subject_id","session_no","trial_no","rt","ok","meta" FROM "lab.trial" WHERE (_hidden is null)AND("ok"=?1)
    [Bool(true)]
    "#);
    assert!(
        (trial()
            .proj(args(&[], &[("n", "trial_no")]))
            .unwrap()
            .restrict("_hidden is null"))
        .is_ok()
    );
    assert!((&trial() * &session()).restrict("_hidden is null").is_err());
    assert!(trial().proj(keep("_hidden")).is_err());
}

#[test]
fn keys_that_name_nothing_are_reported() {
    let q = &subject() & row! { subjet_id: 1 };
    assert!(!q.is_restricted());
    assert_eq!(q.ignored_keys(), [Arc::from("subjet_id")]);
    assert!(
        (&subject() & row! { subject_id: 1, session_no: 2 })
            .ignored_keys()
            .is_empty()
    );
    let nested = (&subject() & vec![row! { typo: 1 }])
        .proj(args(&[], &[("y", "subject_id+1")]))
        .unwrap()
        & "y>1";
    assert_eq!(nested.ignored_keys(), [Arc::from("typo")]);
}

#[test]
fn constants_add_no_condition() {
    for q in [
        &subject() & true,
        &subject() & Row::new(),
        &subject() - Vec::<Row>::new(),
        &subject() & Cond::All(vec![]),
        &subject() & U(["x"]),
        &subject() & any![row! { subject_id: 1 }, true],
    ] {
        assert_eq!(planned(&q), planned(&subject()));
    }
    for q in [
        &subject() & false,
        &subject() - Row::new(),
        &subject() - Cond::All(vec![]),
        &subject() - U(["x"]),
    ] {
        assert!(planned(&q).ends_with(" WHERE (FALSE)"), "{}", planned(&q));
    }
}

#[test]
fn projections() {
    let q = session()
        .proj(args(
            &["...", "- notes"],
            &[("d", "session_date"), ("y", "YEAR(session_date)")],
        ))
        .unwrap();
    sql_is!(q, @r#"SELECT "subject_id","session_no","session_date" as "d","rig",YEAR(session_date) as "y" FROM "lab.session""#);
    sql_is!(session().proj(args(&[], &[("y", "YEAR(session_date)")])).unwrap() & "y=2024", @r#"SELECT "subject_id","session_no","y" FROM (SELECT "subject_id","session_no",YEAR(session_date) as "y" FROM "lab.session") as "$0" WHERE (y=2024)"#);
    sql_is!(session().proj(args(&[], &[("n", "session_no")])).unwrap().proj(args(&[], &[("m", "n")])).unwrap(), @r#"SELECT "subject_id","n" as "m" FROM (SELECT "subject_id","session_no" as "n" FROM "lab.session") as "$0""#);
    sql_is!(session().proj(args(&[], &[("notes", "rig"), ("rig", "notes")])).unwrap(), @r#"SELECT "subject_id","session_no","rig" as "notes","notes" as "rig" FROM "lab.session""#);
    sql_is!(trial().proj(args(&[], &[("b", "meta.a.b"), ("two", "(trial_no)")])).unwrap(), @r#"SELECT "subject_id","session_no","trial_no","trial_no" as "two",CASE json_type("meta",'$."a"."b"') WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(json_extract("meta",'$."a"."b"') AS TEXT) END as "b" FROM "lab.trial""#);
    // Untouched attributes do not need the query to be wrapped.
    sql_is!(session().proj(args(&["rig"], &[("y", "YEAR(session_date)")])).unwrap() & "rig is null", @r#"SELECT "subject_id","session_no","rig",YEAR(session_date) as "y" FROM "lab.session" WHERE (rig is null)"#);
    let same = session().proj(
        all()
            .drop("notes")
            .rename("d", "session_date")
            .compute("y", "YEAR(session_date)"),
    );
    assert_eq!(planned(&same.unwrap()), planned(&q));
}

#[test]
fn a_projection_keeps_the_key_and_what_is_known_of_each_attribute() {
    let q = session()
        .proj(args(
            &["rig"],
            &[("s", "subject_id"), ("twin", "(session_no)"), ("y", "1+1")],
        ))
        .unwrap();
    assert_eq!(names(&q), ["s", "session_no", "twin", "rig", "y"]);
    assert_eq!(key(&q), ["s", "session_no", "twin"]);
    let heading = q.heading().unwrap();
    assert_eq!(
        heading.get("s").unwrap().lineage.as_deref(),
        Some("lab.subject.subject_id")
    );
    assert_eq!(heading.get("y").unwrap().database_type, "expression");
    assert!(heading.get("rig").unwrap().nullable);
}

#[test]
fn projections_that_make_no_sense() {
    insta::assert_snapshot!(refusal(subject().proj(args(&[], &[("d", "nmae")]))), @"
    there is no attribute `nmae`
    Did you mean `name`?
    ");
    insta::assert_snapshot!(refusal(subject().proj(keep("nmae"))), @"
    there is no attribute `nmae`
    Did you mean `name`?
    ");
    insta::assert_snapshot!(refusal(subject().proj(args(&["-subject_id"], &[]))), @"
    `subject_id` is in the primary key and cannot be dropped
    Rename it, or project an aggregation or `U` instead.
    ");
    insta::assert_snapshot!(refusal(subject().proj(args(&["name"], &[("name", "sex")]))), @"
    the attribute `name` would be there twice
    Give the new attribute another name, or drop or rename the one that is there.
    ");
    insta::assert_snapshot!(refusal(subject().proj(args(&[], &[("a", "1"), ("a", "2")]))), @"
    the attribute `a` would be there twice
    Give the new attribute another name, or drop or rename the one that is there.
    ");
    assert!(subject().proj(args(&["-nothing"], &[])).is_ok());
    assert!(
        subject()
            .proj(args(
                &[],
                &[("n", "NULL"), ("t", "CURRENT_TIMESTAMP"), ("f", "TRUE")]
            ))
            .is_ok()
    );
}

#[test]
fn joins() {
    sql_is!(&session() * &rig(), @r#"SELECT "subject_id","session_no","session_date","rig","notes","room" FROM "lab.session" JOIN "lab.#rig" USING ("rig")"#);
    let q = &subject().proj(keep("name")).unwrap() * &session().proj(keep(())).unwrap();
    sql_is!(&q * &trial().proj(keep("rt")).unwrap(), @r#"SELECT "subject_id","session_no","trial_no","rt","name" FROM "lab.subject" JOIN "lab.session" USING ("subject_id") JOIN "lab.trial" USING ("subject_id", "session_no")"#);
    sql_is!(&subject().proj(keep(())).unwrap() * &detached("course"), @r#"SELECT "subject_id","course_id","name" FROM (SELECT "subject_id" FROM "lab.subject") as "$0" CROSS JOIN "lab.course""#);
    sql_is!(&(&subject() & "sex='M'") * &(&session() & "rig='a'"), @r#"SELECT "subject_id","session_no","session_date","rig","notes","name","sex","weight" FROM "lab.subject" JOIN "lab.session" USING ("subject_id") WHERE (sex='M')AND(rig='a')"#);
    sql_is!(&(&subject() & Top::limit(2)) * &session(), @r#"SELECT "subject_id","session_no","session_date","rig","notes","name","sex","weight" FROM (SELECT "subject_id","name","sex","weight" FROM "lab.subject" ORDER BY "subject_id" LIMIT 2) as "$0" JOIN "lab.session" USING ("subject_id")"#);
}

#[test]
fn a_left_join_filters_its_right_operand_inside() {
    sql_is!(session().extend(&(&rig() & "rig='r1'")).unwrap(), @r#"SELECT "subject_id","session_no","session_date","rig","notes","room" FROM "lab.session" LEFT JOIN (SELECT "rig","room" FROM "lab.#rig" WHERE (rig='r1')) as "$0" USING ("rig")"#);
    let q = session().extend(&rig()).unwrap();
    assert!(q.heading().unwrap().get("room").unwrap().nullable);
    insta::assert_snapshot!(refusal(subject().extend(&session())), @"
    a left join needs the whole primary key of its right operand on the left, where `session_no` is missing
    Swap the operands, join instead of extend, or aggregate.
    ");
}

#[test]
fn keys_and_order_of_joins() {
    let q = &session() * &rig();
    assert_eq!(key(&q), ["subject_id", "session_no"]);
    let q = &rig() * &session();
    assert_eq!(key(&q), ["subject_id", "session_no"]);
    assert_eq!(
        names(&q),
        [
            "subject_id",
            "session_no",
            "session_date",
            "rig",
            "notes",
            "room"
        ]
    );
    let q = &subject().proj(keep(())).unwrap() * &detached("course");
    assert_eq!(key(&q), ["subject_id", "course_id"]);
}

#[test]
fn attributes_of_one_name_must_have_one_origin() {
    insta::assert_snapshot!(refusal(subject().join(&detached("wild"), JoinOptions::default())), @"
    `lab.subject` cannot be joined with `lab.wild` on `subject_id`: on the left it comes from `lab.subject.subject_id`, on the right from `lab.wild.subject_id`
    Rename it in one operand with proj(new='subject_id'), drop it there with proj('-subject_id') if it is secondary, or match by name alone with semantic_check=False.
    ");
    insta::assert_snapshot!(refusal(subject().join(&detached("course"), JoinOptions::default())), @"
    `lab.subject` cannot be joined with `lab.course` on `name`: on the left it comes from no primary key (it is a native secondary or computed attribute), on the right from no primary key (it is a native secondary or computed attribute)
    Rename it in one operand with proj(new='name'), drop it there with proj('-name') if it is secondary, or match by name alone with semantic_check=False.
    ");
    assert!(
        subject()
            .join(
                &detached("wild"),
                JoinOptions {
                    semantic_check: false,
                    ..Default::default()
                }
            )
            .is_ok()
    );
    assert!((&subject() * &subject()).check().is_err());
    assert!(
        (&subject() * &subject().proj(keep(())).unwrap())
            .check()
            .is_ok()
    );
}

#[test]
fn aggregations() {
    let count = |names: &[&str]| args(names, &[("n", "count(session_no)")]);
    sql_is!(subject().aggr(&session(), count(&["name"])).unwrap(), @r#"SELECT "subject_id","name",count(session_no) as "n" FROM "lab.subject" LEFT JOIN "lab.session" USING ("subject_id") GROUP BY "subject_id", "name""#);
    sql_is!(subject().aggr_with(&session(), count(&[]), true).unwrap() & "n>1", @r#"SELECT "subject_id","n" FROM (SELECT "subject_id",count(session_no) as "n" FROM "lab.subject" JOIN "lab.session" USING ("subject_id") GROUP BY "subject_id") as "$0" WHERE (n>1)"#);
    sql_is!(subject().aggr(&(&session() & "session_no>1"), count(&[])).unwrap(), @r#"SELECT "subject_id",count(session_no) as "n" FROM "lab.subject" LEFT JOIN (SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" WHERE (session_no>1)) as "$0" USING ("subject_id") GROUP BY "subject_id""#);
    sql_is!(&subject() & (subject().aggr(&session(), count(&[])).unwrap() & "n>1"), @r#"SELECT "subject_id","name","sex","weight" FROM "lab.subject" WHERE ("subject_id" IN (SELECT "subject_id" FROM (SELECT "subject_id",count(session_no) as "n" FROM "lab.subject" LEFT JOIN "lab.session" USING ("subject_id") GROUP BY "subject_id") as "$0" WHERE (n>1)))"#);
    sql_is!(subject().aggr(&session(), args(&[], &[("l", "GROUP_CONCAT(notes SEPARATOR '; ')")])).unwrap(), @r#"SELECT "subject_id",GROUP_CONCAT(notes,'; ') as "l" FROM "lab.subject" LEFT JOIN "lab.session" USING ("subject_id") GROUP BY "subject_id""#);
    sql_is!(subject().aggr(&session(), args(&[], &[])).unwrap(), @r#"SELECT "subject_id" FROM "lab.subject" LEFT JOIN "lab.session" USING ("subject_id") GROUP BY "subject_id""#);
    sql_is!(subject().aggr(&session(), count(&["..."])).unwrap().proj(args(&["n"], &[("m", "n+1")])).unwrap(), @r#"SELECT "subject_id","n",n+1 as "m" FROM (SELECT "subject_id","name","sex","weight",count(session_no) as "n" FROM "lab.subject" LEFT JOIN "lab.session" USING ("subject_id") GROUP BY "subject_id", "name", "sex", "weight") as "$0""#);
    sql_is!(subject().aggr(&session(), args(&[], &[("heavy", "max(session_no)*weight")])).unwrap(), @r#"SELECT "subject_id",max(session_no)*weight as "heavy" FROM "lab.subject" LEFT JOIN "lab.session" USING ("subject_id") GROUP BY "subject_id", "weight""#);
}

#[test]
fn an_attribute_with_many_values_in_a_group_is_refused() {
    insta::assert_snapshot!(refusal(subject().aggr(&session(), args(&[], &[("d", "session_date")]))), @"
    `session_date` has many values in a group
    Use an aggregate function, as in max(session_date).
    ");
    insta::assert_snapshot!(refusal(subject().aggr(&session(), args(&[], &[("d", "YEAR(session_date)")]))), @"
    `session_date` has many values in a group
    Use an aggregate function, as in max(session_date).
    ");
    insta::assert_snapshot!(refusal(subject().aggr(&session(), args(&["notes"], &[]))), @"
    `notes` has many values in a group
    Use an aggregate function, as in max(notes).
    ");
    insta::assert_snapshot!(refusal(session().aggr(&subject(), args(&[], &[]))), @"the grouped query must have the whole primary key of the one it is grouped by: `session_no` is missing");
}

#[test]
fn universal_sets() {
    sql_is!(U(["rig"]) & &session(), @r#"SELECT DISTINCT "rig" FROM "lab.session""#);
    let y = session()
        .proj(args(&[], &[("y", "YEAR(session_date)")]))
        .unwrap();
    sql_is!(U(["y"]).aggr(&y, args(&[], &[("n", "count(*)")])).unwrap(), @r#"SELECT "y",count(*) as "n" FROM (SELECT "subject_id","session_no",YEAR(session_date) as "y" FROM "lab.session") as "$0" GROUP BY "y""#);
    sql_is!(U(()).aggr(&subject(), args(&[], &[("n", "count(*)")])).unwrap(), @r#"SELECT count(*) as "n" FROM "lab.subject""#);
    sql_is!(U(()).aggr(&subject(), args(&[], &[("n", "count(*)")])).unwrap() & "n>1", @r#"SELECT "n" FROM (SELECT count(*) as "n" FROM "lab.subject") as "$0" WHERE (n>1)"#);
    sql_is!(U(()) & &session(), @r#"SELECT DISTINCT 1 as "_row" FROM "lab.session""#);
    sql_is!(U(["rig"]) & (&session() & Top::limit(2)), @r#"SELECT DISTINCT "rig" FROM (SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" ORDER BY "subject_id","session_no" LIMIT 2) as "$0""#);
    sql_is!((U(["rig"]) & &session()) & "rig='a'", @r#"SELECT DISTINCT "rig" FROM "lab.session" WHERE (rig='a')"#);
    assert_eq!(
        (U(["nope"]).restrict(&session())).unwrap_err().kind(),
        crate::ErrorKind::UnknownKey
    );
    assert_eq!(
        (U(["rig"]).aggr(&session(), keep("notes")))
            .unwrap_err()
            .kind(),
        crate::ErrorKind::Type
    );
    assert_eq!(key(&(U(["rig"]) & &session())), ["rig"]);
}

#[test]
fn unions() {
    let (mouse, rat) = (detached("mouse"), detached("rat"));
    sql_is!(&mouse.proj(keep(())).unwrap() + &rat.proj(keep(())).unwrap(), @r#"SELECT "subject_id" FROM (SELECT "subject_id" FROM "lab.mouse" UNION SELECT "subject_id" FROM "lab.rat") as "$0""#);
    sql_is!(&mouse + &rat, @r#"SELECT "subject_id","coat","tail" FROM (SELECT "subject_id","coat","tail" FROM "lab.mouse" LEFT JOIN "lab.rat" USING ("subject_id") UNION ALL SELECT "subject_id",NULL as "coat","tail" FROM "lab.rat" WHERE ("subject_id" NOT IN (SELECT "subject_id" FROM "lab.mouse"))) as "$0""#);
    sql_is!((&mouse + &rat) & "tail > 1", @r#"SELECT "subject_id","coat","tail" FROM (SELECT "subject_id","coat","tail" FROM "lab.mouse" LEFT JOIN "lab.rat" USING ("subject_id") UNION ALL SELECT "subject_id",NULL as "coat","tail" FROM "lab.rat" WHERE ("subject_id" NOT IN (SELECT "subject_id" FROM "lab.mouse"))) as "$0" WHERE (tail > 1)"#);
    sql_is!(&(&mouse.proj(keep(())).unwrap() & Top::limit(1)) + &rat.proj(keep(())).unwrap(), @r#"SELECT "subject_id" FROM (SELECT "subject_id" FROM (SELECT "subject_id" FROM "lab.mouse" ORDER BY "subject_id" LIMIT 1) as "$1" UNION SELECT "subject_id" FROM "lab.rat") as "$0""#);
    insta::assert_snapshot!(refusal(subject().union(&session())), @"a union needs operands of one primary key, not (subject_id) and (subject_id, session_no)");
    insta::assert_snapshot!(refusal(subject().union(&subject())), @"
    both operands of the union have the secondary attribute `name`
    Drop or rename it in one of them with proj().
    ");
}

#[test]
fn tops() {
    let q = &subject() & Top::limit(3).order_by("weight DESC") & Top::limit(2).offset(1);
    sql_is!(q, @r#"SELECT "subject_id","name","sex","weight" FROM "lab.subject" ORDER BY "weight" DESC LIMIT 2 OFFSET 1"#);
    sql_is!(&subject() & Top::limit(3).order_by("weight DESC") & "sex is null", @r#"SELECT "subject_id","name","sex","weight" FROM (SELECT "subject_id","name","sex","weight" FROM "lab.subject" ORDER BY "weight" DESC LIMIT 3) as "$0" WHERE (sex is null)"#);
    sql_is!(&session() & Top::default(), @r#"SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" ORDER BY "subject_id","session_no" LIMIT 1"#);
    sql_is!(&session() & Top::ordered(["KEY DESC"]).offset(1), @r#"SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" ORDER BY "subject_id" DESC,"session_no" DESC LIMIT -1 OFFSET 1"#);
    sql_is!((&subject() & Top::limit(3).order_by("weight")).proj(args(&[], &[("n", "name")])).unwrap(), @r#"SELECT "subject_id","name" as "n" FROM "lab.subject" ORDER BY "weight" LIMIT 3"#);
}

#[test]
fn counts_and_existence() {
    let shown = |plan: Result<Plan>| shown(plan.unwrap());
    let d = &SqliteDialect;
    insta::assert_snapshot!(shown((&session() & "rig='a'").count_statement(d)), @r#"SELECT count(*) FROM "lab.session" WHERE (rig='a')"#);
    insta::assert_snapshot!(shown((U(["rig"]) & &session()).count_statement(d)), @r#"SELECT count(*) FROM (SELECT DISTINCT "rig" FROM "lab.session") as "$0""#);
    insta::assert_snapshot!(shown((&session() & Top::limit(3)).count_statement(d)), @r#"SELECT count(*) FROM (SELECT "subject_id","session_no" FROM "lab.session" ORDER BY "subject_id","session_no" LIMIT 3) as "$0""#);
    insta::assert_snapshot!(shown((&session() & Top::limit(3)).exists_statement(d)), @r#"SELECT EXISTS (SELECT "subject_id","session_no" FROM "lab.session" ORDER BY "subject_id","session_no" LIMIT 3) AS "found""#);
    insta::assert_snapshot!(shown((&session() & "rig='a'").exists_statement(d)), @r#"SELECT EXISTS (SELECT 1 FROM "lab.session" WHERE (rig='a')) AS "found""#);
    let n = subject()
        .aggr(&session(), args(&[], &[("n", "count(*)")]))
        .unwrap();
    insta::assert_snapshot!(shown(n.count_statement(d)), @r#"SELECT count(*) FROM (SELECT "subject_id" FROM "lab.subject" LEFT JOIN "lab.session" USING ("subject_id") GROUP BY "subject_id") as "$0""#);
}

#[test]
fn the_condition_of_a_delete_picks_rows_of_the_table() {
    let clause = |q: &Query| q.where_clause(&SqliteDialect).map(|s| s.map(|s| s.text));
    assert_eq!(clause(&session()).unwrap(), None);
    insta::assert_snapshot!(clause(&(&session() & row! { rig: "a" })).unwrap().unwrap(), @r#"("rig"=?1)"#);
    let renamed = session()
        .proj(args(
            &[],
            &[("s", "subject_id"), ("y", "YEAR(session_date)")],
        ))
        .unwrap()
        & "y=2024";
    insta::assert_snapshot!(clause(&renamed).unwrap().unwrap(), @r#"("subject_id", "session_no") IN (SELECT "s", "session_no" FROM (SELECT "s","session_no" FROM (SELECT "subject_id" as "s","session_no",YEAR(session_date) as "y" FROM "lab.session") as "$1" WHERE (y=2024)) as "$0")"#);
    insta::assert_snapshot!(clause(&(&session() & Top::limit(1))).unwrap().unwrap(), @r#"("subject_id", "session_no") IN (SELECT "subject_id", "session_no" FROM (SELECT "subject_id","session_no" FROM "lab.session" ORDER BY "subject_id","session_no" LIMIT 1) as "$0")"#);
    assert!(clause(&(&session() * &rig())).is_err());
}

#[test]
fn a_plan_of_some_columns_has_those_and_their_kinds() {
    let columns = |names: &[&str]| PlanOptions {
        columns: Some(names.iter().map(|n| Arc::from(*n)).collect()),
    };
    let plan = session()
        .plan_for(&SqliteDialect, &columns(&["session_date", "subject_id"]))
        .unwrap();
    insta::assert_snapshot!(plan.statement.text, @r#"SELECT "session_date","subject_id" FROM "lab.session""#);
    let kinds: Vec<ColumnKind> = plan.columns.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [ColumnKind::Date, ColumnKind::Int]);
    let plan = (U(["rig", "notes"]) & &session())
        .plan_for(&SqliteDialect, &columns(&["rig"]))
        .unwrap();
    insta::assert_snapshot!(plan.statement.text, @r#"SELECT "rig" FROM (SELECT DISTINCT "rig","notes" FROM "lab.session") as "$0""#);
    assert!(
        session()
            .plan_for(&SqliteDialect, &columns(&["x"]))
            .is_err()
    );
    assert!(
        session()
            .plan_for(&SqliteDialect, &columns(&["rig", "rig"]))
            .is_err()
    );
}

#[test]
fn make_sql_writes_values_into_the_text() {
    let q = &session()
        & row! { notes: "it's 5%", session_date: jiff::civil::date(2024, 1, 2) }
        & "notes like 'a%'";
    insta::assert_snapshot!(q.make_sql(&SqliteDialect, None).unwrap(), @r#"SELECT "subject_id","session_no","session_date","rig","notes" FROM "lab.session" WHERE ("notes"='it''s 5%%')AND("session_date"='2024-01-02')AND(notes like 'a%%')"#);
    insta::assert_snapshot!(q.where_text(&SqliteDialect).unwrap(), @r#"("notes"='it''s 5%')AND("session_date"='2024-01-02')AND(notes like 'a%')"#);
    insta::assert_snapshot!(q.from_text(&SqliteDialect).unwrap(), @r#""lab.session""#);
}

#[test]
fn operators_hold_their_error() {
    let q = &(&(&subject() & "no_such = 1") * &session()) - &rig();
    insta::assert_snapshot!(q.check().unwrap_err(), @"
    there is no attribute `no_such`
    The attributes are: subject_id, name, sex, weight. It is mentioned in the condition `no_such = 1`.
    ");
    assert!(q.heading().is_err() && q.plan_for(&SqliteDialect, &PlanOptions::default()).is_err());
}
