//! Declaration: from a definition to a table, its heading, lineage and back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use lodestore::definition::{ForeignKeyLine, TableName, Tier, class_to_table};
use lodestore::error::{Error, ErrorKind, Result};
use lodestore::schema::{Declare, Declared, ForeignKeyTarget, HiddenColumns, Lode};
use lodestore::sql::{BackendKind, Statement};

mod common;

use common::{Database, kind, only_on_sqlite};

/// A database in a directory.
struct Place(Database, tempfile::TempDir);

impl Place {
    fn open(&self) -> Lode {
        self.0.open(self.1.path())
    }
}

fn open() -> (Place, Lode) {
    let place = Place(Database::new(), tempfile::tempdir().unwrap());
    let lode = place.open();
    lode.create_schema("lab").unwrap();
    (place, lode)
}

fn name(table: &str) -> TableName {
    TableName::new("lab", table).unwrap()
}

fn target(
    lode: &Lode,
    schema: &str,
    line: &ForeignKeyLine,
    master: Option<&TableName>,
) -> Result<ForeignKeyTarget> {
    let target = line
        .target
        .as_ref()
        .ok_or_else(|| Error::invalid("not by the grammar"))?;
    if target.name == "master" {
        return Ok(ForeignKeyTarget {
            table: master.unwrap().clone(),
            renames: target.renames.clone(),
        });
    }
    let (schema, class) = target
        .name
        .split_once('.')
        .unwrap_or((schema, &target.name));
    let stored = class_to_table(class)?;
    let all = lode.all_tables(schema)?;
    let table = all
        .into_iter()
        .find(|t| t.name.trim_start_matches(['#', '_']) == stored);
    let table =
        table.ok_or_else(|| Error::new(ErrorKind::MissingTable, format!("no table {class}")))?;
    Ok(ForeignKeyTarget {
        table,
        renames: target.renames.clone(),
    })
}

fn declare_with(
    lode: &Lode,
    schema: &str,
    tier: Tier,
    class: &str,
    definition: &str,
    hidden: HiddenColumns,
) -> Result<Declared> {
    let (master, class) = match class.split_once('.') {
        Some((master, part)) => {
            let stored = class_to_table(master)?;
            let all = lode.all_tables(schema)?;
            (
                all.into_iter()
                    .find(|t| t.name.trim_start_matches(['#', '_']) == stored),
                part,
            )
        }
        None => (None, class),
    };
    lode.declare(Declare {
        schema,
        class_name: class,
        tier,
        master: master.as_ref(),
        definition,
        hidden,
        resolve: &mut |line| target(lode, schema, line, master.as_ref()),
    })
}

fn declare(lode: &Lode, tier: Tier, class: &str, definition: &str) -> Result<Declared> {
    declare_with(
        lode,
        "lab",
        tier,
        class,
        definition,
        HiddenColumns::default(),
    )
}

fn lab(lode: &Lode) {
    declare(
        lode,
        Tier::Lookup,
        "Species",
        "species : varchar(16)  # latin name",
    )
    .unwrap();
    declare(
        lode,
        Tier::Manual,
        "Subject",
        "# lab animal
        subject_id : int32     # unique id
        ---
        -> Species
        sex = 'U' : enum('M','F','U')
        weight = 1.5 : float32 # grams
        active = 1 : bool
        made = CURRENT_TIMESTAMP(3) : datetime(3)
        price = 0.00 : decimal(10,2)
        tag = null : uuid
        trace = null : <blob>
        movie = null : <object@cold>  # zarr
        unique index(tag)",
    )
    .unwrap();
    declare(
        lode,
        Tier::Imported,
        "Session",
        "-> Subject\n-> Species.proj(strain='species')",
    )
    .unwrap();
    declare(
        lode,
        Tier::Part,
        "Session.Trial",
        "-> master\ntrial : int16\n---\n-> [nullable, unique] Subject.proj(witness='subject_id')",
    )
    .unwrap();
}

/// A description with full names as they are without quotes.
fn plain(lode: &Lode, text: String) -> String {
    let full = |table| lode.dialect().full_name("lab", table);
    ["_session", "subject"]
        .iter()
        .fold(text, |text, t| text.replace(&full(t), &format!("lab.{t}")))
}

/// The type of a number that the database gives.
fn numbering() -> &'static str {
    match kind() {
        BackendKind::Postgres => "serial",
        _ => "int auto_increment",
    }
}

fn ddl(lode: &Lode, table: &str) -> String {
    let statement = Statement {
        text:
            "SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 AND sql IS NOT NULL ORDER BY rowid"
                .into(),
        params: vec![format!("lab.{table}").into()],
    };
    let batch = lode.backend().query_any(&statement).unwrap();
    (0..batch.rows)
        .map(|row| match batch.value(row, 0) {
            lodestore::Value::Text(sql) => sql + "\n",
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn the_example_of_the_specification_becomes_these_tables_on_sqlite() {
    if only_on_sqlite("the DDL of the servers is in their own tests") {
        return;
    }
    let (_place, lode) = open();
    lab(&lode);
    insta::assert_snapshot!(ddl(&lode, "subject"), @r###"
    CREATE TABLE "lab.subject" (
    "subject_id" INT NOT NULL CHECK ("subject_id" BETWEEN -2147483648 AND 2147483647),
    "species" TEXT NOT NULL CHECK (length("species") <= 16),
    "sex" TEXT NOT NULL DEFAULT 'U' CHECK ("sex" IN ('M','F','U')),
    "weight" REAL NOT NULL DEFAULT '1.5',
    "active" INT NOT NULL DEFAULT '1' CHECK ("active" IN (0,1)),
    "made" TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f','now')),
    "price" TEXT COLLATE decimal NOT NULL DEFAULT '0.00',
    "tag" BLOB DEFAULT NULL CHECK (length("tag") = 16),
    "trace" BLOB DEFAULT NULL,
    "movie" TEXT DEFAULT NULL CHECK ("movie" IS NULL OR json_valid("movie")),
    PRIMARY KEY ("subject_id"),
    FOREIGN KEY ("species") REFERENCES "lab.#species" ("species") ON UPDATE CASCADE ON DELETE RESTRICT
    ) STRICT
    CREATE UNIQUE INDEX "lab.idx_subject_tag" ON "lab.subject" ("tag")
    CREATE INDEX "lab.idx_subject_species" ON "lab.subject" ("species")
    "###);
    insta::assert_snapshot!(ddl(&lode, "_session__trial"), @r###"
    CREATE TABLE "lab._session__trial" (
    "subject_id" INT NOT NULL CHECK ("subject_id" BETWEEN -2147483648 AND 2147483647),
    "strain" TEXT NOT NULL CHECK (length("strain") <= 16),
    "trial" INT NOT NULL CHECK ("trial" BETWEEN -32768 AND 32767),
    "witness" INT CHECK ("witness" BETWEEN -2147483648 AND 2147483647),
    PRIMARY KEY ("subject_id", "strain", "trial"),
    FOREIGN KEY ("subject_id", "strain") REFERENCES "lab._session" ("subject_id", "strain") ON UPDATE CASCADE ON DELETE RESTRICT,
    FOREIGN KEY ("witness") REFERENCES "lab.subject" ("subject_id") ON UPDATE CASCADE ON DELETE RESTRICT
    ) STRICT
    CREATE UNIQUE INDEX "lab.idx__session__trial_witness" ON "lab._session__trial" ("witness")
    "###);
    insta::assert_snapshot!(ddl(&lode, "_session"), @r###"
    CREATE TABLE "lab._session" (
    "subject_id" INT NOT NULL CHECK ("subject_id" BETWEEN -2147483648 AND 2147483647),
    "strain" TEXT NOT NULL CHECK (length("strain") <= 16),
    PRIMARY KEY ("subject_id", "strain"),
    FOREIGN KEY ("subject_id") REFERENCES "lab.subject" ("subject_id") ON UPDATE CASCADE ON DELETE RESTRICT,
    FOREIGN KEY ("strain") REFERENCES "lab.#species" ("species") ON UPDATE CASCADE ON DELETE RESTRICT
    ) STRICT
    CREATE INDEX "lab.idx__session_strain" ON "lab._session" ("strain")
    "###);
}

#[test]
fn the_example_of_the_specification_can_be_described_and_has_its_lineage() {
    let (_place, lode) = open();
    lab(&lode);
    insta::assert_snapshot!(lode.describe(&name("subject"), &TableName::class_name).unwrap(), @r###"
    # lab animal
    subject_id           : int32                        # unique id
    ---
    -> Species
    sex="U"              : enum('M','F','U')            
    weight=1.5           : float32                      # grams
    active=1             : bool                         
    made=CURRENT_TIMESTAMP(3) : datetime(3)                  
    price=0.00           : decimal(10,2)                
    tag=null             : uuid                         
    trace=null           : <blob>                       
    movie=null           : <object@cold>                # zarr
    UNIQUE INDEX (tag)
    "###);
    insta::assert_snapshot!(plain(&lode, lode.describe(&name("_session__trial"), &|_| None).unwrap()), @r###"
    -> lab._session
    trial                : int16                        
    ---
    -> [nullable, unique] lab.subject.proj(witness="subject_id")
    "###);
    let lineage: String = lode
        .lineage("lab")
        .unwrap()
        .into_iter()
        .map(|(a, o)| format!("{a} <- {o}\n"))
        .collect();
    insta::assert_snapshot!(lineage, @r###"
    lab.#species.species <- lab.#species.species
    lab._session.strain <- lab.#species.species
    lab._session.subject_id <- lab.subject.subject_id
    lab._session__trial.strain <- lab.#species.species
    lab._session__trial.subject_id <- lab.subject.subject_id
    lab._session__trial.trial <- lab._session__trial.trial
    lab._session__trial.witness <- lab.subject.subject_id
    lab.subject.species <- lab.#species.species
    lab.subject.subject_id <- lab.subject.subject_id
    "###);
    let tables: Vec<String> = lode
        .tables("lab")
        .unwrap()
        .into_iter()
        .map(|t| t.name)
        .collect();
    assert_eq!(
        tables,
        ["#species", "subject", "_session", "_session__trial"]
    );
}

#[test]
fn a_definition_declares_again_what_describe_prints() {
    let (_place, lode) = open();
    lab(&lode);
    for (table, tier, class) in [
        ("subject", Tier::Manual, "Subject"),
        ("_session", Tier::Imported, "Session"),
    ] {
        let text = lode.describe(&name(table), &TableName::class_name).unwrap();
        lode.create_schema("copy").unwrap();
        let text = text.replace("-> ", "-> lab.");
        declare_with(
            &lode,
            "copy",
            tier,
            class,
            &text.replace("lab.[nullable", "[nullable"),
            HiddenColumns::default(),
        )
        .unwrap();
        let again = lode.describe(&TableName::new("copy", table).unwrap(), &|t| {
            Some(format!("lab.{}", t.class_name()?))
        });
        assert_eq!(again.unwrap(), text);
        lode.drop_schema("copy").unwrap();
    }
}

#[test]
fn every_kind_of_column_has_its_kind_default_and_comment_in_the_heading() {
    let (_place, lode) = open();
    lab(&lode);
    let heading = lode.heading(&name("subject")).unwrap();
    assert_eq!(heading.comment, "lab animal");
    assert_eq!(
        heading
            .primary_key()
            .map(|k| k.to_string())
            .collect::<Vec<_>>(),
        ["subject_id"]
    );
    let shown: String = heading
        .attributes
        .values()
        .map(|a| {
            format!(
                "{} {:?} {:?} null={} {:?} chain={}\n",
                a.name,
                a.kind,
                a.default,
                a.nullable,
                a.comment,
                a.chain.is_some()
            )
        })
        .collect();
    insta::assert_snapshot!(shown, @r###"
    subject_id Int None null=false "unique id" chain=false
    species Text None null=false "latin name" chain=false
    sex Text Some("\"U\"") null=false "" chain=false
    weight Float Some("1.5") null=false "grams" chain=false
    active Bool Some("1") null=false "" chain=false
    made DateTime Some("CURRENT_TIMESTAMP(3)") null=false "" chain=false
    price Decimal Some("0.00") null=false "" chain=false
    tag Uuid Some("null") null=true "" chain=false
    trace Bytes Some("null") null=true "" chain=true
    movie Json Some("null") null=true "zarr" chain=true
    "###);
    assert_eq!(
        heading.get("species").unwrap().lineage.as_deref(),
        Some("lab.#species.species")
    );
    assert_eq!(heading.get("sex").unwrap().lineage, None);
    assert!(
        std::sync::Arc::ptr_eq(&heading, &lode.heading(&name("subject")).unwrap()),
        "the heading is cached"
    );
}

#[test]
fn hidden_columns_follow_tier_and_settings() {
    let (_place, lode) = open();
    let all = HiddenColumns {
        job_metadata: true,
        provenance: true,
    };
    declare_with(
        &lode,
        "lab",
        Tier::Manual,
        "Only",
        "---\nvalue : int32",
        all,
    )
    .unwrap();
    declare_with(
        &lode,
        "lab",
        Tier::Computed,
        "Made",
        "-> Only\n---\nx : float64",
        all,
    )
    .unwrap_err();
    declare_with(&lode, "lab", Tier::Lookup, "Rig", "rig : char(3)", all).unwrap();
    declare_with(&lode, "lab", Tier::Computed, "Result", "-> Rig", all).unwrap();
    let hidden = |table: &str| -> Vec<String> {
        lode.heading(&name(table))
            .unwrap()
            .hidden
            .iter()
            .map(|a| a.name.to_string())
            .collect()
    };
    assert_eq!(hidden("only"), ["_singleton", "_prov"]);
    assert_eq!(hidden("#rig"), [""; 0]);
    assert_eq!(
        hidden("__result"),
        ["_job_start_time", "_job_duration", "_job_version"]
    );
    if kind() == BackendKind::Sqlite {
        insta::assert_snapshot!(ddl(&lode, "only"), @r###"
    CREATE TABLE "lab.only" (
    "value" INT NOT NULL CHECK ("value" BETWEEN -2147483648 AND 2147483647),
    "_singleton" INT NOT NULL DEFAULT '1' CHECK ("_singleton" = 1),
    "_prov" TEXT DEFAULT NULL CHECK ("_prov" IS NULL OR json_valid("_prov")),
    PRIMARY KEY ("_singleton")
    ) STRICT
    "###);
    }
    insta::assert_snapshot!(lode.describe(&name("only"), &|_| None).unwrap(), @r###"
    ---
    value                : int32
    "###);
}

#[test]
fn wrong_definitions_are_refused_before_any_ddl() {
    let (_place, lode) = open();
    lab(&lode);
    declare(
        &lode,
        Tier::Manual,
        "Counter",
        &format!("n : {}\n---\nx : int8", numbering()),
    )
    .unwrap();
    declare(&lode, Tier::Manual, "Single", "---\nx : int8").unwrap();
    let others: &[_] = match kind() {
        // Servers can do the one or the other.
        BackendKind::Sqlite => &[
            ("k : int32\n---\nn : int auto_increment", "auto-increment"),
            ("k : int32\n---\nx : bigint unsigned", "64-bit"),
        ],
        BackendKind::Postgres => &[("k : int32\n---\nx : int unsigned", "no type")],
        BackendKind::MySql => &[("k : int32\n---\nn : int auto_increment", "one auto column")],
    };
    let all = [
        ("k : <blob>", "cannot be part of a primary key"),
        ("k : json", "primary key"),
        ("k : int32\n---\nx : <nothing>", "nothing"),
        ("k : int32\n---\nx : <npy>", "@"),
        ("k : int32\n---\nx = 300 : int8", "300"),
        ("k : int32\n---\nx = 'q' : enum('a','b')", "q"),
        ("k : int32\n---\n-> Single", "no primary key"),
        ("k : int32\n---\n-> Nowhere", "Nowhere"),
        ("subject_id : varchar(8)\n---\n-> Subject", "is of type"),
        ("-> Subject.proj(other='subjct_id')", "subject_id"),
        ("k : int32\nindex(kk)", "kk"),
        ("k : int32\n---\nx = 1 : <blob>", "default"),
    ];
    for (definition, message) in all.iter().chain(others) {
        let error = declare(&lode, Tier::Manual, "Wrong", definition).unwrap_err();
        assert!(error.to_string().contains(message), "{definition}: {error}");
        assert!(!lode.is_declared(&name("wrong")).unwrap(), "{definition}");
    }
    let long = "A".to_owned() + &"b".repeat(70);
    assert!(
        declare(&lode, Tier::Manual, &long, "k : int32")
            .unwrap_err()
            .message()
            .contains("limit")
    );
    assert!(
        declare_with(
            &lode,
            "lba",
            Tier::Manual,
            "T",
            "k : int32",
            HiddenColumns::default()
        )
        .unwrap_err()
        .to_string()
        .contains("`lab`")
    );
    lode.begin().unwrap();
    assert!(
        declare(&lode, Tier::Manual, "T", "k : int32")
            .unwrap_err()
            .message()
            .contains("transaction")
    );
    lode.rollback().unwrap();
}

#[test]
fn a_self_numbering_key_numbers_and_its_child_does_not() {
    let (_place, lode) = open();
    declare(
        &lode,
        Tier::Manual,
        "Counter",
        &format!("n : {}\n---\nx : int8", numbering()),
    )
    .unwrap();
    declare(&lode, Tier::Manual, "Child", "-> Counter").unwrap();
    assert!(
        lode.heading(&name("counter"))
            .unwrap()
            .get("n")
            .unwrap()
            .auto_increment
    );
    let child = lode.heading(&name("child")).unwrap();
    assert!(!child.get("n").unwrap().auto_increment);
    let plain = if kind() == BackendKind::Postgres {
        "integer"
    } else {
        "int"
    };
    assert_eq!(
        child.get("n").unwrap().type_.as_ref().unwrap().to_string(),
        plain
    );
    assert!(
        lode.describe(&name("counter"), &|_| None)
            .unwrap()
            .starts_with(&format!("n                    : {}", numbering()))
    );
}

#[test]
fn a_later_line_of_the_same_name_is_ignored_with_a_warning() {
    let (_place, lode) = open();
    let declared = declare(
        &lode,
        Tier::Computed,
        "Own",
        "k : int32\nk : int8\n---\nv : smallint",
    )
    .unwrap();
    assert_eq!(declared.warnings.len(), 3, "{:?}", declared.warnings);
    assert_eq!(lode.heading(&name("__own")).unwrap().attributes.len(), 2);
    // Declaring again changes nothing.
    declare(&lode, Tier::Computed, "Own", "other : int32").unwrap();
    assert_eq!(lode.heading(&name("__own")).unwrap().attributes.len(), 2);
}

#[test]
fn a_changed_definition_is_noticed() {
    let (_place, lode) = open();
    lab(&lode);
    let check = |definition: &str| {
        lode.check_definition(Declare {
            schema: "lab",
            class_name: "Session",
            tier: Tier::Imported,
            master: None,
            definition,
            hidden: HiddenColumns::default(),
            resolve: &mut |line| target(&lode, "lab", line, None),
        })
        .unwrap()
    };
    assert_eq!(
        check("-> Subject\n-> Species.proj(strain='species')"),
        [""; 0]
    );
    let found = check("# new\n-> Subject\nstrain : varchar(20)\nmore : int8\nindex(strain)");
    insta::assert_snapshot!(found.join("\n"), @r###"
    the table comment is "" in the database and "new" in the definition
    attribute `strain` is `varchar(16)` in the database and `varchar(20)` in the definition
    the comment of attribute `strain` differs
    attribute `more` of the definition is not in the database
    the primary key is (subject_id, strain) in the database and (subject_id, strain, more) in the definition
    the foreign key (strain) to `lab.#species` is not in the definition
    "###);
}

#[test]
fn lineage_can_be_rebuilt_as_it_was() {
    let (_place, lode) = open();
    lab(&lode);
    let before = lode.lineage("lab").unwrap();
    lode.rebuild_lineage("lab").unwrap();
    assert_eq!(lode.lineage("lab").unwrap(), before);
    lode.drop_table(&name("_session__trial")).unwrap();
    assert!(
        lode.lineage("lab")
            .unwrap()
            .iter()
            .all(|(a, _)| !a.contains("trial"))
    );
}

#[test]
fn a_declared_table_has_its_own_lineage_and_nothing_of_one_that_was_there_before() {
    let (_place, lode) = open();
    declare(&lode, Tier::Manual, "Other", "id : int32").unwrap();
    // What a program left behind that ended between the two.
    let text = format!(
        "INSERT INTO {} VALUES ('thing', 'old', 'lab.thing.old'), ('thing', 'id', 'lab.gone.id')",
        lode.dialect().full_name("lab", "~lineage")
    );
    lode.backend().execute(&Statement::new(text)).unwrap();
    let first = declare(
        &lode,
        Tier::Manual,
        "Thing",
        "id : int32\n---\n-> Other.proj(other='id')",
    );
    let again = declare(&lode, Tier::Manual, "Thing", "id : int32");
    assert!(first.unwrap().created && !again.unwrap().created);
    let lineage = lode.lineage("lab").unwrap();
    let expected = [
        ("lab.other.id", "lab.other.id"),
        ("lab.thing.id", "lab.thing.id"),
        ("lab.thing.other", "lab.other.id"),
    ];
    let expected = expected.map(|(attribute, origin)| (attribute.to_owned(), origin.to_owned()));
    assert_eq!(lineage, expected);
}

#[test]
fn a_table_is_declared_in_four_round_trips_on_mysql() {
    if kind() != BackendKind::MySql {
        return;
    }
    let (_place, lode) = open();
    declare(&lode, Tier::Manual, "First", "id : int32").unwrap();
    let number = |name: &str| {
        let text = format!("SHOW SESSION STATUS LIKE '{name}'");
        let batch = lode.backend().query_any(&Statement::new(text)).unwrap();
        match batch.value(0, 1) {
            lodestore::Value::Text(n) => n.parse::<u64>().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let before = (number("Questions"), number("Com_stmt_prepare"));
    declare(&lode, Tier::Manual, "Second", "id : int32").unwrap();
    // Each counts the statements that ask: those of before, too.
    let asked = number("Questions") - before.0 - 2;
    assert_eq!(asked, 4);
    assert!(number("Com_stmt_prepare") - before.1 <= 2);
}

#[test]
fn a_schema_that_another_references_is_not_dropped() {
    let (_place, lode) = open();
    lab(&lode);
    lode.create_schema("other").unwrap();
    declare_with(
        &lode,
        "other",
        Tier::Manual,
        "Note",
        "-> lab.Subject\n---\nnote : varchar(10)",
        HiddenColumns::default(),
    )
    .unwrap();
    let error = lode.drop_schema("lab").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    assert!(error.to_string().contains("other.note"), "{error}");
    assert_eq!(
        lode.drop_table(&name("subject")).unwrap_err().kind(),
        ErrorKind::Integrity
    );
    let graph = lode.dependencies(&["lab"]).unwrap();
    let descendants: Vec<String> = graph
        .descendants(&name("#species"))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        descendants,
        [
            "lab.#species",
            "lab.subject",
            "lab._session",
            "lab._session__trial",
            "other.note"
        ]
    );
    assert_eq!(
        graph.ancestors(&name("_session")).last(),
        Some(&name("_session"))
    );
    let key = &graph.children(&name("#species"))[0];
    assert!(key.aliased && key.primary && key.multi, "{key:?}");
    lode.drop_schema("other").unwrap();
    lode.drop_schema("lab").unwrap();
    assert!(!lode.schema_exists("lab").unwrap());
    lode.create_schema("lab").unwrap();
    assert_eq!(lode.tables("lab").unwrap(), []);
}

#[test]
fn names_of_schemas_are_checked_and_differ_by_more_than_case() {
    let (_place, lode) = open();
    let before = lode.schemas().unwrap();
    assert!(before.contains(&"lab".to_owned()));
    let everywhere = ["LAB", "lab", "a.b", "", "a b"];
    let on_sqlite: &[_] = match kind() {
        BackendKind::Sqlite => &["sqlite_x"],
        _ => &[],
    };
    for wrong in everywhere.iter().chain(on_sqlite) {
        assert!(lode.create_schema(wrong).is_err(), "{wrong}");
    }
    assert_eq!(lode.schemas().unwrap(), before);
    let error = lode.heading(&name("sbject")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingTable);
    assert_eq!(
        lode.drop_schema("absent").unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn another_connection_sees_what_was_declared_here() {
    let (place, lode) = open();
    let other = place.open();
    assert_eq!(other.tables("lab").unwrap(), []);
    lab(&lode);
    assert_eq!(other.tables("lab").unwrap().len(), 4);
    lode.drop_table(&name("_session__trial")).unwrap();
    // A server does not tell that its catalogue has changed.
    other.look_again();
    assert!(!other.is_declared(&name("_session__trial")).unwrap());
}

#[test]
fn a_failed_transaction_leaves_no_trace_in_the_cache() {
    let (_place, lode) = open();
    let error = lode.transaction(|| {
        if !lode.dialect().transactional_ddl() {
            // The server would commit what is open.
            for refused in [lode.create_schema("gone"), lode.drop_schema("lab")] {
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
            }
            return Err(Error::invalid("no"));
        }
        lode.create_schema("gone")?;
        assert!(lode.schema_exists("gone")?);
        Err::<(), _>(Error::invalid("no"))
    });
    assert_eq!(error.unwrap_err().message(), "no");
    assert!(!lode.schema_exists("gone").unwrap() && !lode.in_transaction());
    assert_eq!(lode.all_tables("gone").unwrap(), []);
}
