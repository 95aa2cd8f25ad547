//! Populate: every missing key once, each in its own transaction.

use std::cell::Cell;

use lodestore::compute::{PopulateOptions, ThreePart, default_key_source, populate, progress};
use lodestore::definition::Tier;
use lodestore::row;
use lodestore::table::{DeleteOptions, InsertOptions, Table};
use lodestore::{Error, ErrorKind, Row, Value};

use super::support::{Lab, array, ints, rows};

fn lab() -> (Lab, Table, Table) {
    let lab = Lab::new();
    let (subject, _, _) = lab.pipeline();
    subject
        .insert(
            rows(5, |i| row! { subject_id: i, name: "s", weight: i as f64 }),
            &InsertOptions::default(),
        )
        .unwrap();
    let stat = lab.declare(
        "Stat",
        Tier::Computed,
        "-> Subject\n---\ndouble : float64\ntrace = null : <npy@>",
    );
    (lab, subject, stat)
}

fn result(key: &Row, value: f64) -> Row {
    let mut row = key.clone();
    row.set("double", value);
    row
}

#[test]
fn every_missing_key_is_made_once() {
    let (_lab, subject, stat) = lab();
    let source = default_key_source(&stat).unwrap();
    assert_eq!(progress(&source, &stat).unwrap(), (5, 5));
    let make = |key: &Row| {
        let weight: f64 = (&subject & key).one(["weight"])?;
        stat.insert1(result(key, 2.0 * weight))
    };
    let report = stat.populate(make).unwrap();
    assert_eq!((report.success_count, report.errors.len()), (5, 0));
    assert_eq!(
        stat.rows::<f64>()
            .columns("double")
            .order_by("KEY")
            .collect()
            .unwrap(),
        [0.0, 2.0, 4.0, 6.0, 8.0]
    );
    assert_eq!(progress(&source, &stat).unwrap(), (0, 5));
    (&stat & row! { subject_id: 3 })
        .delete(DeleteOptions::default())
        .unwrap();
    assert_eq!(stat.populate(make).unwrap().success_count, 1);
}

#[test]
fn a_failed_key_leaves_nothing_and_the_others_go_on_if_asked() {
    let (lab, _, stat) = lab();
    let mut make = |key: &Row| {
        let mut row = result(key, 1.0);
        row.set("trace", array(&[1.0]));
        stat.insert1(row)?;
        match key.get("subject_id") {
            Some(Value::Int(2)) => Err(Error::invalid("no convergence")),
            _ => Ok(()),
        }
    };
    let source = default_key_source(&stat).unwrap();
    let error = populate(&source, &stat, &mut make, &PopulateOptions::default()).unwrap_err();
    assert!(error.to_string().contains("subject_id=2"), "{error}");
    assert_eq!(ints(&stat, "subject_id"), [0, 1]);
    let options = PopulateOptions {
        suppress_errors: true,
        ..PopulateOptions::default()
    };
    let report = populate(&source, &stat, &mut make, &options).unwrap();
    assert_eq!((report.success_count, report.errors.len()), (2, 1));
    assert_eq!(ints(&stat, "subject_id"), [0, 1, 3, 4]);
    // The objects of rolled-back makes are garbage, and collected.
    assert_eq!(lab.files().len(), 6);
    lodestore::gc::collect(&lab.lode, &["lab"], false, &Default::default()).unwrap();
    assert_eq!(lab.files().len(), 4);
}

#[test]
fn an_interruption_stops_even_if_errors_are_suppressed() {
    let (_lab, _, stat) = lab();
    let calls = Cell::new(0);
    let mut make = |_: &Row| {
        calls.set(calls.get() + 1);
        Err(Error::new(ErrorKind::Interrupted, "Ctrl-C"))
    };
    let options = PopulateOptions {
        suppress_errors: true,
        ..PopulateOptions::default()
    };
    let source = default_key_source(&stat).unwrap();
    let error = populate(&source, &stat, &mut make, &options).unwrap_err();
    assert_eq!((error.kind(), calls.get()), (ErrorKind::Interrupted, 1));
}

#[test]
fn populate_obeys_its_limits() {
    let (lab, subject, stat) = lab();
    let mut make = |key: &Row| stat.insert1(result(key, 1.0));
    let source = default_key_source(&stat).unwrap();
    let two = PopulateOptions {
        max_calls: Some(2),
        ..PopulateOptions::default()
    };
    assert_eq!(
        populate(&source, &stat, &mut make, &two)
            .unwrap()
            .success_count,
        2
    );
    let some = source.restrict("subject_id = 4").unwrap();
    assert_eq!(
        populate(&some, &stat, &mut make, &PopulateOptions::default())
            .unwrap()
            .success_count,
        1
    );
    assert_eq!(ints(&stat, "subject_id"), [0, 1, 4]);
    let inside = lab.lode.transaction(|| {
        populate(&source, &stat, &mut make, &PopulateOptions::default()).map(|_| ())
    });
    assert_eq!(inside.unwrap_err().kind(), ErrorKind::Invalid);
    // Outside of make the table stays closed.
    assert!(stat.insert1(row! { subject_id: 2, double: 1.0 }).is_err());
    assert!(default_key_source(&subject).is_err());
}

#[test]
fn a_three_part_make_computes_outside_the_transaction_and_notices_changed_input() {
    let (lab, subject, stat) = lab();
    let source = default_key_source(&stat).unwrap();
    let disturb = Cell::new(false);
    let mut make = ThreePart::new(
        |key: &Row| (&subject & key).one::<f64>(["weight"]),
        |key: &Row, weight: &f64| {
            assert!(!lab.lode.in_transaction());
            if disturb.get() {
                let mut row = key.clone();
                row.set("weight", 100.0);
                subject.update1(row)?;
            }
            Ok(weight * 3.0)
        },
        |key: &Row, value: f64| {
            assert!(lab.lode.in_transaction());
            stat.insert1(result(key, value))
        },
    );
    let two = PopulateOptions {
        max_calls: Some(2),
        ..PopulateOptions::default()
    };
    assert_eq!(
        populate(&source, &stat, &mut make, &two)
            .unwrap()
            .success_count,
        2
    );
    disturb.set(true);
    let error = populate(&source, &stat, &mut make, &PopulateOptions::default()).unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
    assert_eq!(
        stat.rows::<f64>()
            .columns("double")
            .order_by("KEY")
            .collect()
            .unwrap(),
        [0.0, 3.0]
    );
}

#[test]
fn renamed_keys_make_the_square_of_their_parent() {
    let (lab, _, _) = lab();
    let pair = lab.declare(
        "Pair",
        Tier::Computed,
        "-> Subject.proj(a='subject_id')\n-> Subject.proj(b='subject_id')\n---\nx : int32",
    );
    let source = default_key_source(&pair).unwrap();
    assert_eq!(progress(&source, &pair).unwrap(), (25, 25));
    let report = pair
        .populate(|key: &Row| {
            let mut row = key.clone();
            row.set("x", 1);
            pair.insert1(row)
        })
        .unwrap();
    assert_eq!((report.success_count, pair.count().unwrap()), (25, 25));
}
