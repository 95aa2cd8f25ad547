//! Delete and drop: what depends goes too, nothing else does, and nothing goes by mistake.

use lodestore::ErrorKind;
use lodestore::definition::{TableName, Tier};
use lodestore::progress::Progress;
use lodestore::row;
use lodestore::table::{DeleteOptions, DropOptions, InsertOptions, PartIntegrity, Table};

use super::support::{Lab, array, declare, ints, rows};

/// Two subjects with two sessions each and one scan a session.
fn filled() -> (Lab, Table, Table, Table) {
    let lab = Lab::new();
    let (subject, session, scan) = lab.pipeline();
    let all = InsertOptions::default();
    subject
        .insert(rows(2, |i| row! { subject_id: i, name: "s" }), &all)
        .unwrap();
    session
        .insert(
            rows(4, |i| row! { subject_id: i / 2, session: i % 2 }),
            &all,
        )
        .unwrap();
    scan.insert(rows(4, |i| row! { subject_id: i / 2, session: i % 2, scan: 0, trace: array(&[i as f64; 9]), frames: array(&[i as f64]) }), &all).unwrap();
    (lab, subject, session, scan)
}

fn counts(report: &lodestore::table::DeleteReport) -> Vec<(String, u64)> {
    report
        .counts
        .iter()
        .map(|(t, n)| (t.name.clone(), *n))
        .collect()
}

#[test]
fn dependents_go_with_the_rows_they_reference_and_no_others() {
    let (lab, subject, session, scan) = filled();
    let report = (&subject & row! { subject_id: 1 })
        .delete(DeleteOptions::default())
        .unwrap();
    assert_eq!((report.deleted, report.executed), (1, true));
    assert_eq!(
        counts(&report),
        [
            ("subject".into(), 1),
            ("session".into(), 2),
            ("scan".into(), 2)
        ]
    );
    assert_eq!(
        (
            subject.count().unwrap(),
            session.count().unwrap(),
            scan.count().unwrap()
        ),
        (1, 2, 2)
    );
    assert_eq!(ints(&scan, "subject_id"), [0, 0]);
    // Objects stay until collection.
    assert_eq!((report.dropped_objects, lab.files().len()), (4, 8));
}

#[test]
fn a_restriction_by_a_dependent_table_means_what_it_meant_at_the_start() {
    let (_lab, subject, session, scan) = filled();
    (&session & row! { subject_id: 0 })
        .delete(DeleteOptions::default())
        .unwrap();
    // Subjects with a session: the sessions go first, and the condition must not be looked at again.
    let report = (&subject & &session)
        .delete(DeleteOptions::default())
        .unwrap();
    assert_eq!(report.deleted, 1);
    assert_eq!(
        (ints(&subject, "subject_id"), scan.count().unwrap()),
        (vec![0], 0)
    );
}

#[test]
fn a_dry_run_and_a_refused_prompt_delete_nothing() {
    let (_lab, subject, _, scan) = filled();
    let report = subject
        .delete(DeleteOptions {
            dry_run: true,
            ..DeleteOptions::default()
        })
        .unwrap();
    assert_eq!(
        counts(&report),
        [
            ("subject".into(), 2),
            ("session".into(), 4),
            ("scan".into(), 4)
        ]
    );
    assert!(!report.executed);
    let mut asked = 0;
    let mut no = |counts: &[(TableName, u64)]| {
        asked += 1;
        assert_eq!(counts.len(), 3);
        false
    };
    let report = subject
        .delete(DeleteOptions {
            confirm: Some(&mut no),
            ..DeleteOptions::default()
        })
        .unwrap();
    assert_eq!(
        (
            report.deleted,
            asked,
            subject.count().unwrap(),
            scan.count().unwrap()
        ),
        (0, 1, 2, 4)
    );
    let mut yes = |_: &[(TableName, u64)]| true;
    assert_eq!(
        subject
            .delete(DeleteOptions {
                confirm: Some(&mut yes),
                ..DeleteOptions::default()
            })
            .unwrap()
            .deleted,
        2
    );
}

#[test]
fn nothing_is_deleted_if_the_rows_change_while_the_person_thinks() {
    let (lab, subject, _, _) = filled();
    let other = lab.again();
    let mut slow = |_: &[(TableName, u64)]| {
        // No lock is held meanwhile.
        other
            .table("lab.Subject")
            .unwrap()
            .insert1(row! { subject_id: 7, name: "new" })
            .unwrap();
        true
    };
    let error = subject
        .delete(DeleteOptions {
            confirm: Some(&mut slow),
            ..DeleteOptions::default()
        })
        .unwrap_err();
    assert_eq!(
        (error.kind(), subject.count().unwrap()),
        (ErrorKind::Invalid, 3),
        "{error}"
    );
}

#[test]
fn a_misspelt_restriction_never_empties_a_table() {
    let (_lab, subject, _, _) = filled();
    let query = &subject & row! { subjct_id: 1 };
    assert_eq!(query.count().unwrap(), 2);
    let error = query.delete(DeleteOptions::default()).unwrap_err();
    insta::assert_snapshot!(error, @r"
    the restriction names no attribute of the table: `subjct_id` (table lab.subject)
    Such names are ignored when fetching; deleting through them is refused.
    ");
    assert!(query.delete_quick().is_err());
    assert_eq!(subject.count().unwrap(), 2);
}

#[test]
fn null_and_renamed_foreign_keys_are_followed_as_they_are() {
    let (lab, subject, _, _) = filled();
    let pair = lab.declare(
        "Pair",
        Tier::Manual,
        "-> Subject.proj(a='subject_id')\n-> Subject.proj(b='subject_id')",
    );
    let loose = lab.declare(
        "Loose",
        Tier::Manual,
        "id : int32\n---\n-> [nullable] Subject",
    );
    subject.insert1(row! { subject_id: 2, name: "s" }).unwrap();
    pair.insert(
        [
            row! { a: 0, b: 1 },
            row! { a: 2, b: 0 },
            row! { a: 2, b: 1 },
            row! { a: 2, b: 2 },
        ],
        &InsertOptions::default(),
    )
    .unwrap();
    loose
        .insert(
            [
                row! { id: 1, subject_id: 0 },
                row! { id: 2, subject_id: lodestore::Value::Null },
                row! { id: 3, subject_id: 1 },
            ],
            &InsertOptions::default(),
        )
        .unwrap();
    (&subject & row! { subject_id: 0 })
        .delete(DeleteOptions::default())
        .unwrap();
    assert_eq!(ints(&pair, "b"), [1, 2]);
    assert_eq!(ints(&loose, "id"), [2, 3]);
}

#[test]
fn other_schemas_are_part_of_the_cascade() {
    let (lab, subject, _, _) = filled();
    lab.lode.create_schema("other").unwrap();
    let note = declare(
        &lab.lode,
        "other",
        "Note",
        Tier::Manual,
        None,
        "-> lab.Subject\nn : int32",
    );
    note.insert(
        [row! { subject_id: 0, n: 1 }, row! { subject_id: 1, n: 1 }],
        &InsertOptions::default(),
    )
    .unwrap();
    let report = (&subject & row! { subject_id: 0 })
        .delete(DeleteOptions::default())
        .unwrap();
    assert!(counts(&report).contains(&("note".into(), 1)));
    assert_eq!(ints(&note, "subject_id"), [1]);
}

#[test]
fn tables_that_others_make_and_drop_meanwhile_are_followed() {
    let (lab, subject, _, _) = filled();
    let other = lab.again();
    // Everything is known to this connection now.
    (&subject & row! { subject_id: 7 })
        .delete(DeleteOptions::default())
        .unwrap();
    let late = declare(&other, "lab", "Late", Tier::Manual, None, "-> Subject");
    late.insert(
        rows(2, |i| row! { subject_id: i }),
        &InsertOptions::default(),
    )
    .unwrap();
    let report = (&subject & row! { subject_id: 0 })
        .delete(DeleteOptions::default())
        .unwrap();
    assert!(counts(&report).contains(&("late".into(), 1)), "{report:?}");
    late.drop_quick().unwrap();
    subject.delete(DeleteOptions::default()).unwrap();
    assert_eq!(subject.count().unwrap(), 0);
}

/// A master with a part that also references another table.
fn with_parts() -> (Lab, Table, Table, Table) {
    let lab = Lab::new();
    let unit = lab.declare("Unit", Tier::Manual, "unit : int32");
    let fit = lab.declare("Fit", Tier::Manual, "fit : int32");
    let member = lab.part(&fit, "Member", "-> master\n-> Unit");
    let all = InsertOptions::default();
    unit.insert(rows(4, |i| row! { unit: i }), &all).unwrap();
    fit.insert(rows(2, |i| row! { fit: i }), &all).unwrap();
    member
        .insert(rows(4, |i| row! { fit: i / 2, unit: i }), &all)
        .unwrap();
    (lab, unit, fit, member)
}

#[test]
fn a_part_row_is_not_deleted_without_its_master_row_unless_asked() {
    let (_lab, unit, fit, member) = with_parts();
    let with = |part_integrity| DeleteOptions {
        part_integrity,
        ..DeleteOptions::default()
    };
    let one = || &unit & row! { unit: 0 };
    let error = one().delete(DeleteOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("lab.fit__member"), "{error}");
    assert_eq!((unit.count().unwrap(), member.count().unwrap()), (4, 4));
    assert!(member.delete(DeleteOptions::default()).is_err());

    one().delete(with(PartIntegrity::Ignore)).unwrap();
    assert_eq!(
        (
            unit.count().unwrap(),
            fit.count().unwrap(),
            member.count().unwrap()
        ),
        (3, 2, 3)
    );
    // Cascade: the master of unit 2 goes, and with it the part row of unit 3, but not unit 3.
    (&unit & row! { unit: 2 })
        .delete(with(PartIntegrity::Cascade))
        .unwrap();
    assert_eq!(
        (
            ints(&unit, "unit"),
            ints(&fit, "fit"),
            ints(&member, "unit")
        ),
        (vec![1, 3], vec![0], vec![1])
    );
    // From the master everything is in order.
    fit.delete(DeleteOptions::default()).unwrap();
    assert_eq!(member.count().unwrap(), 0);
}

#[test]
fn enforcement_looks_at_rows_and_not_at_tables() {
    // Deleting fit 0 with its parts is fine; that unit 3's part row would go without fit 1 is not.
    let (lab, unit, fit, member) = with_parts();
    let grand = lab.declare("Rig", Tier::Manual, "rig : int32");
    drop(grand);
    let error = (&unit & "unit in (0, 3)")
        .delete(DeleteOptions::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    (&fit & row! { fit: 0 })
        .delete(DeleteOptions::default())
        .unwrap();
    assert_eq!(ints(&member, "fit"), [1, 1]);
}

#[test]
fn a_delete_inside_a_transaction_follows_it() {
    let (lab, subject, _, scan) = filled();
    let undo: lodestore::Result<()> = lab.lode.transaction(|| {
        subject.delete(DeleteOptions::default())?;
        assert_eq!(scan.count()?, 0);
        Err(lodestore::Error::invalid("change of mind"))
    });
    assert!(undo.is_err());
    assert_eq!((subject.count().unwrap(), scan.count().unwrap()), (2, 4));
    // The rows are back, and so is everything they refer to, whatever a collection thinks of the record.
    lodestore::gc::collect(&lab.lode, &["lab"], false, &Default::default()).unwrap();
    assert_eq!(lab.files().len(), 8);
    lab.lode
        .transaction(|| {
            let mut yes = |_: &[(TableName, u64)]| true;
            let error = subject
                .delete(DeleteOptions {
                    confirm: Some(&mut yes),
                    ..DeleteOptions::default()
                })
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_interrupted_delete_is_rolled_back() {
    struct Stop;
    impl Progress for Stop {
        fn interrupted(&self) -> bool {
            true
        }
    }
    let (_lab, subject, session, scan) = filled();
    let error = subject
        .delete(DeleteOptions {
            progress: &Stop,
            ..DeleteOptions::default()
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(
        (
            subject.count().unwrap(),
            session.count().unwrap(),
            scan.count().unwrap()
        ),
        (2, 4, 4)
    );
}

#[test]
fn delete_quick_is_stopped_by_dependents() {
    let (_lab, subject, _, scan) = filled();
    assert_eq!(
        subject.delete_quick().unwrap_err().kind(),
        ErrorKind::Integrity
    );
    assert_eq!((&scan & row! { subject_id: 0 }).delete_quick().unwrap(), 2);
    assert_eq!(scan.count().unwrap(), 2);
}

#[test]
fn objects_can_go_at_once() {
    let (lab, subject, _, _) = filled();
    lab.lode
        .config()
        .set("lode.objects_on_delete", serde_json::json!("immediate"))
        .unwrap();
    let report = (&subject & row! { subject_id: 0 })
        .delete(DeleteOptions::default())
        .unwrap();
    assert_eq!((report.collected_objects, lab.files().len()), (4, 4));
}

#[test]
fn drop_takes_dependents() {
    let (lab, subject, _, _) = filled();
    let dropped = subject
        .drop_table(DropOptions {
            dry_run: true,
            ..DropOptions::default()
        })
        .unwrap();
    assert_eq!(dropped.len(), 3);
    assert_eq!(subject.count().unwrap(), 2);
    assert_eq!(
        subject.drop_quick().unwrap_err().kind(),
        ErrorKind::Integrity
    );
    let dropped = subject.drop_table(DropOptions::default()).unwrap();
    assert_eq!(
        dropped.iter().map(|t| &*t.name).collect::<Vec<_>>(),
        ["scan", "session", "subject"]
    );
    assert_eq!(subject.count().unwrap_err().kind(), ErrorKind::MissingTable);
    lodestore::gc::collect(&lab.lode, &["lab"], false, &Default::default()).unwrap();
    assert_eq!(lab.files(), Vec::<String>::new());
}

#[test]
fn a_part_is_not_dropped_without_its_master_unless_asked() {
    let (_lab, unit, _, member) = with_parts();
    assert!(unit.drop_table(DropOptions::default()).is_err());
    assert!(member.drop_table(DropOptions::default()).is_err());
    unit.drop_table(DropOptions {
        part_integrity: PartIntegrity::Ignore,
        ..DropOptions::default()
    })
    .unwrap();
}
