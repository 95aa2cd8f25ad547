//! What only stores behind a network do: lost answers, servers that know less, names on the wire, failures in words,
//! secrets. On a client in memory that fails on purpose, and on the server that `LODE_TEST_S3` names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lodestore::codec::{ObjectReader, Put, PutPath, content_hash};
use lodestore::progress::{Progress, Silent};
use lodestore::store::fault::{ClientFault, FaultClient};
use lodestore::store::{self, RemoteStore, Store, StoreOptions, StoreSpec};
use lodestore::{Error, ErrorKind};
use object_store::memory::InMemory;
use serde_json::json;

fn fresh(path: &str, content: &[u8]) -> Put {
    let path = PutPath::Fresh(path.into());
    Put::segments("main", path, vec![Bytes::copy_from_slice(content)])
}

fn hashed(content: &[u8]) -> Put {
    let path = PutPath::Hash(format!("_hash/lab/{}", content_hash([content])));
    Put::segments("main", path, vec![Bytes::copy_from_slice(content)])
}

/// A store in memory behind a client that fails so many times, and the same store without faults.
fn faulty(fault: ClientFault, times: usize, options: StoreOptions) -> (RemoteStore, RemoteStore) {
    let inner = Arc::new(InMemory::new());
    let client = Arc::new(FaultClient::new(inner.clone(), fault, times));
    let spec = StoreSpec::memory("main");
    (
        RemoteStore::over(spec.clone(), options.clone(), client).unwrap(),
        RemoteStore::over(spec, options, inner).unwrap(),
    )
}

fn paths(store: &RemoteStore) -> Vec<String> {
    let files = store.list("").unwrap();
    files.into_iter().map(|f| f.path).collect()
}

#[test]
fn an_answer_that_is_lost_is_recognised_by_reading_back() {
    let (s, _) = faulty(ClientFault::LostAnswer, 1, StoreOptions::default());
    let outcome = s.put(&fresh("_schema/a", b"mine"), &Silent).unwrap();
    assert!(outcome.created);
    assert_eq!(s.read("_schema/a").unwrap(), "mine");

    let (s, clean) = faulty(ClientFault::LostAnswer, 1, StoreOptions::default());
    clean.put(&fresh("_schema/a", b"other"), &Silent).unwrap();
    let error = s.put(&fresh("_schema/a", b"mine!"), &Silent).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");
    assert_eq!(s.read("_schema/a").unwrap(), "other");

    let (s, _) = faulty(ClientFault::LostAnswer, 1, StoreOptions::default());
    assert!(s.put(&hashed(b"content"), &Silent).unwrap().created);
    assert!(!s.put(&hashed(b"content"), &Silent).unwrap().created);
}

#[test]
fn the_lost_end_of_an_upload_in_parts_is_recognised_too() {
    let options = StoreOptions {
        multipart_size: 10,
        ..StoreOptions::default()
    };
    let (s, _) = faulty(ClientFault::LostAnswer, 1, options);
    let content = [7; 25];
    assert!(
        s.put(&fresh("_schema/a", &content), &Silent)
            .unwrap()
            .created
    );
    assert_eq!(s.read("_schema/a").unwrap(), content[..]);
}

#[test]
fn requests_that_never_arrive_are_repeated_and_then_given_up() {
    let (s, _) = faulty(ClientFault::LostRequest, 2, StoreOptions::default());
    s.put(&fresh("_schema/a", b"x"), &Silent).unwrap();
    let options = StoreOptions {
        retries: 1,
        ..StoreOptions::default()
    };
    let (s, clean) = faulty(ClientFault::LostRequest, 1000, options);
    let puts = [fresh("_schema/b", b"x"), fresh("_schema/c", b"x")];
    let error = s.put_many(&puts, &Silent).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert_eq!(error.place().path.as_deref(), Some("_schema/b"));
    assert!(paths(&clean).is_empty());
}

#[test]
fn a_server_without_conditional_puts_is_asked_first() {
    let (s, _) = faulty(ClientFault::Unconditional, 0, StoreOptions::default());
    s.put(&fresh("_schema/a", b"x"), &Silent).unwrap();
    assert!(s.put(&fresh("_schema/a", b"x"), &Silent).is_err());
    assert!(s.put(&hashed(b"y"), &Silent).unwrap().created);
    assert!(!s.put(&hashed(b"y"), &Silent).unwrap().created);
}

#[test]
fn bodies_and_listings_that_end_early_are_errors() {
    let (s, _) = faulty(ClientFault::CutBody, 1, StoreOptions::default());
    s.put(&fresh("_schema/a", b"0123456789"), &Silent).unwrap();
    let error = s.read("_schema/a").unwrap_err();
    assert!(error.to_string().contains("5 bytes"), "{error}");
    assert_eq!(s.read("_schema/a").unwrap(), "0123456789");
    let large = vec![3; 20 << 20];
    let (s, _) = faulty(ClientFault::CutBody, 1, StoreOptions::default());
    s.put(&fresh("_schema/a", &large), &Silent).unwrap();
    assert!(s.read("_schema/a").is_err());
    assert!(s.read("_schema/a").unwrap() == large);

    let (s, _) = faulty(ClientFault::PartialListing, 1, StoreOptions::default());
    s.put(&fresh("_schema/a", b"x"), &Silent).unwrap();
    assert_eq!(s.list("").unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(paths(&s), ["_schema/a"]);
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_an_error() {
    let (s, clean) = faulty(
        ClientFault::Latency(Duration::ZERO),
        0,
        StoreOptions::default(),
    );
    s.put_bytes("_schema/a", &[1; 3 << 20]).unwrap();
    let mut file = s.open("_schema/a").unwrap();
    let mut first = [0];
    std::io::Read::read_exact(&mut file, &mut first).unwrap();
    clean.put_bytes("_schema/a", &[2; 3 << 20]).unwrap();
    let error = std::io::Read::read_to_end(&mut file, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("replaced"), "{error}");
}

#[test]
fn an_interrupt_is_seen_while_requests_hang() {
    struct Soon(Instant, AtomicBool);
    impl Progress for Soon {
        fn interrupted(&self) -> bool {
            let now = self.0.elapsed() > Duration::from_millis(100);
            self.1.fetch_or(now, Ordering::Relaxed);
            now
        }
    }
    let fault = ClientFault::SlowWrites(Duration::from_millis(1500));
    let (s, clean) = faulty(fault, 0, StoreOptions::default());
    let puts: Vec<Put> = (0..200)
        .map(|i| fresh(&format!("_schema/o{i}"), b"x"))
        .collect();
    let start = Instant::now();
    let error = s
        .put_many(&puts, &Soon(start, AtomicBool::new(false)))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    // What was under way ended, and was taken back.
    std::thread::sleep(Duration::from_millis(500));
    assert!(paths(&clean).is_empty());
}

#[test]
fn what_arrives_after_the_call_gave_up_is_removed() {
    struct Now;
    impl Progress for Now {
        fn interrupted(&self) -> bool {
            true
        }
    }
    let fault = ClientFault::SlowWrites(Duration::from_millis(3000));
    let (s, clean) = faulty(fault, 0, StoreOptions::default());
    let start = Instant::now();
    assert!(s.put_many(&[fresh("_schema/a", b"x")], &Now).is_err());
    assert!(
        start.elapsed() < Duration::from_millis(2900),
        "{:?}",
        start.elapsed()
    );
    std::thread::sleep(Duration::from_millis(1500));
    assert!(paths(&clean).is_empty());
}

#[test]
fn requests_overlap() {
    let fault = ClientFault::Latency(Duration::from_millis(50));
    let (s, _) = faulty(fault, 0, StoreOptions::default());
    let puts: Vec<Put> = (0..64)
        .map(|i| fresh(&format!("_schema/o{i}"), b"x"))
        .collect();
    let start = Instant::now();
    s.put_many(&puts, &Silent).unwrap();
    let names: Vec<&str> = puts.iter().map(|p| p.path.as_str()).collect();
    assert!(s.read_many(&names).iter().all(|r| r.is_ok()));
    assert!(s.exist_many(&names).unwrap().iter().all(|found| *found));
    // 64 at 32 a time, three times over, instead of one by one.
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

// --- configuration ---

fn spec(keys: serde_json::Value) -> StoreSpec {
    StoreSpec::from_json("main", keys.as_object().unwrap()).unwrap()
}

fn opened(keys: serde_json::Value) -> Result<Arc<dyn Store>, Error> {
    store::open(&spec(keys), &StoreOptions::default())
}

#[test]
fn every_key_of_every_protocol_is_understood() {
    let key = json!({"type": "service_account", "private_key": "hush-hush", "private_key_id": "k", "client_email": "a@b",
        "gcs_base_url": "http://localhost:1", "disable_oauth": true});
    for (keys, url) in [
        (
            json!({"protocol": "s3", "endpoint": "s3.amazonaws.com", "bucket": "b", "location": "lab/data", "access_key": "a",
            "secret_key": "hush-hush", "secure": true, "proxy_server": null, "stage": "/tmp"}),
            "s3://b/lab/data/p",
        ),
        (
            json!({"protocol": "s3", "endpoint": "http://host:9000/", "bucket": "b", "location": "", "access_key": "a", "secret_key": "hush-hush"}),
            "s3://b/p",
        ),
        (
            json!({"protocol": "gcs", "bucket": "b", "location": "l", "token": "ya29.hush-hush", "project": "p"}),
            "gs://b/l/p",
        ),
        (
            json!({"protocol": "gcs", "bucket": "b", "location": "l", "token": key.to_string()}),
            "gs://b/l/p",
        ),
        (
            json!({"protocol": "gcs", "bucket": "b", "location": "l", "token": "anon"}),
            "gs://b/l/p",
        ),
        (
            json!({"protocol": "azure", "container": "c", "location": "l", "account_name": "acc", "account_key": "aHVzaC1odXNo"}),
            "az://c/l/p",
        ),
        (
            json!({"protocol": "azure", "container": "c", "location": "l",
            "connection_string": "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=aHVzaC1odXNo;EndpointSuffix=core.windows.net"}),
            "az://c/l/p",
        ),
        (
            json!({"protocol": "azure", "container": "c", "location": "l", "connection_string": "UseDevelopmentStorage=true"}),
            "az://c/l/p",
        ),
        (
            json!({"protocol": "azure", "container": "c", "location": "l",
            "connection_string": "BlobEndpoint=https://acc.blob.core.windows.net;AccountName=acc;SharedAccessSignature=sv=2020&sig=hush-hush"}),
            "az://c/l/p",
        ),
    ] {
        let s = opened(keys.clone()).unwrap_or_else(|e| panic!("{keys}: {e}"));
        assert_eq!(s.url("p"), url);
        assert_eq!(s.full_path("p"), url.split_once("://").unwrap().1);
        let shown = format!("{s:?} {:?}", s.spec());
        assert!(
            !shown.contains("hush") && !shown.contains("aHVzaC1odXNo"),
            "{shown}"
        );
    }
}

#[test]
fn wrong_configuration_is_an_error_at_once_and_shows_no_secret() {
    let s3 = |extra: serde_json::Value| {
        let mut keys =
            json!({"protocol": "s3", "endpoint": "host:1", "bucket": "b", "location": "l"});
        keys.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        keys
    };
    for (keys, said) in [
        (s3(json!({"access_key": "a"})), "no `secret_key`"),
        (s3(json!({"secret_key": "hush-hush"})), "no `access_key`"),
        (
            s3(json!({"endpoint": "ftp://x", "access_key": "a", "secret_key": "hush-hush"})),
            "neither http nor https",
        ),
        (
            s3(json!({"endpoint": "", "access_key": "a", "secret_key": "hush-hush"})),
            "endpoint",
        ),
        (
            s3(json!({"bucket": "a/b", "access_key": "a", "secret_key": "hush-hush"})),
            "`a/b`",
        ),
        (
            s3(json!({"location": "a/../b", "access_key": "a", "secret_key": "hush-hush"})),
            "..",
        ),
        (
            json!({"protocol": "gcs", "bucket": "b", "location": "l", "token": "/no/such/hush.json"}),
            "not there",
        ),
        (
            json!({"protocol": "gcs", "bucket": "b", "location": "l", "token": "{\"private_key\": \"hush-hush\"}"}),
            "main",
        ),
        (
            json!({"protocol": "gcs", "bucket": "b", "location": "/l", "token": "anon"}),
            "slash",
        ),
        (
            json!({"protocol": "azure", "container": "c", "location": "l", "account_name": "acc", "account_key": "not base64: hush-hush"}),
            "main",
        ),
    ] {
        let error = opened(keys.clone())
            .err()
            .unwrap_or_else(|| panic!("{keys}"));
        assert_eq!(error.kind(), ErrorKind::Config, "{keys}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(said), "{keys}: {shown}");
        assert!(!shown.contains("hush-hush"), "{shown}");
    }
}

#[test]
fn a_server_that_is_not_there_is_said_to_be_unreachable() {
    let keys = json!({"protocol": "s3", "endpoint": "127.0.0.1:1", "secure": false, "bucket": "b", "location": "l",
        "access_key": "a", "secret_key": "hush-hush"});
    let options = StoreOptions {
        retries: 1,
        ..StoreOptions::default()
    };
    let s = store::open(&spec(keys), &options).unwrap();
    for error in [
        s.read("_schema/a").unwrap_err(),
        s.list("").unwrap_err(),
        s.put(&fresh("_schema/a", b"x"), &Silent).unwrap_err(),
        s.delete("_schema/a").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Store);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("127.0.0.1:1 cannot be reached"), "{shown}");
        assert!(!shown.contains("hush-hush"), "{shown}");
        assert!(error.hint_text().unwrap().contains("endpoint"));
    }
    let emulator = StoreOptions {
        endpoint: Some("http://127.0.0.1:1".into()),
        retries: 0,
        ..StoreOptions::default()
    };
    for keys in [
        json!({"protocol": "gcs", "bucket": "b", "location": "l", "token": "anon"}),
        json!({"protocol": "azure", "container": "c", "location": "l", "account_name": "acc", "account_key": "aHVzaA=="}),
    ] {
        let error = store::open(&spec(keys), &emulator)
            .unwrap()
            .read("a")
            .unwrap_err();
        assert!(error.to_string().contains("cannot be reached"), "{error}");
    }
}

#[test]
fn a_store_without_credentials_says_that_there_are_none() {
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_some()
        || std::env::home_dir().is_some_and(|h| h.join(".aws").exists())
    {
        eprintln!("SKIPPED: there are credentials here");
        return;
    }
    let keys = json!({"protocol": "s3", "endpoint": "127.0.0.1:1", "secure": false, "bucket": "b", "location": "l"});
    let options = StoreOptions {
        retries: 0,
        ..StoreOptions::default()
    };
    let s = store::open(&spec(keys), &options).unwrap();
    for error in [
        s.put(&fresh("_schema/a", b"x"), &Silent).unwrap_err(),
        s.read("_schema/a").unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("no credentials were found"),
            "{error}"
        );
        assert!(error.hint_text().unwrap().contains("access_key"), "{error}");
    }
}

#[test]
fn one_request_at_a_time_is_enough_for_everything() {
    let options = StoreOptions {
        requests_in_flight: 1,
        multipart_size: 1 << 20,
        bytes_in_flight: 1,
        ..StoreOptions::default()
    };
    let (s, _) = faulty(ClientFault::Latency(Duration::from_millis(1)), 0, options);
    let puts: Vec<Put> = (0..4)
        .map(|i| fresh(&format!("_schema/o{i}"), &vec![i; 20 << 20]))
        .collect();
    s.put_many(&puts, &Silent).unwrap();
    let names: Vec<&str> = puts.iter().map(|p| p.path.as_str()).collect();
    assert!(
        s.read_many(&names)
            .iter()
            .all(|r| r.as_ref().unwrap().len() == 20 << 20)
    );
    assert!(s.exist_many(&names).unwrap().iter().all(|found| *found));
    assert!(
        s.delete_many(&names)
            .into_iter()
            .all(|deleted| deleted.unwrap())
    );
}

#[test]
fn large_reads_that_wait_for_memory_all_end() {
    let options = StoreOptions {
        requests_in_flight: 2,
        bytes_in_flight: 20 << 20,
        ..StoreOptions::default()
    };
    let (s, _) = faulty(ClientFault::Latency(Duration::from_millis(1)), 0, options);
    let content: Vec<u8> = (0..12 << 20).map(|i: u32| (i / 3) as u8).collect();
    for i in 0..8 {
        s.put_bytes(&format!("_schema/o{i}"), &content).unwrap();
    }
    let names: Vec<String> = (0..8).map(|i| format!("_schema/o{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for read in s.read_many(&names) {
        assert!(read.unwrap() == content);
    }
}

#[test]
fn many_paths_are_looked_up_in_one_listing_and_missed_ones_are_found_missing() {
    let (s, _) = faulty(
        ClientFault::Latency(Duration::from_millis(20)),
        0,
        StoreOptions::default(),
    );
    let puts: Vec<Put> = (0..640)
        .map(|i| fresh(&format!("_schema/lab/t/id={i}/o"), b"x"))
        .collect();
    s.put_many(&puts, &Silent).unwrap();
    let mut names: Vec<&str> = puts.iter().map(|p| p.path.as_str()).collect();
    let start = Instant::now();
    assert!(s.exist_many(&names).unwrap().iter().all(|found| *found));
    // One by one, 32 at a time, would be twenty times 20 ms.
    assert!(
        start.elapsed() < Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
    names[100] = "_schema/lab/t/id=no/o";
    names[200] = "_schema/lab/t/id=1";
    let found = s.exist_many(&names).unwrap();
    assert_eq!(found.iter().filter(|f| !**f).count(), 1);
    assert!(!found[100]);
}

// --- on a server ---

/// The server's specification with other keys, at a location of its own.
fn server(extra: serde_json::Value) -> Option<StoreSpec> {
    let Ok(text) = std::env::var("LODE_TEST_S3") else {
        eprintln!("SKIPPED: no LODE_TEST_S3");
        return None;
    };
    let mut keys: serde_json::Value = serde_json::from_str(&text).unwrap();
    keys["location"] = format!("remote/{:016x}", rand::random::<u64>()).into();
    let map = keys.as_object_mut().unwrap();
    map.extend(extra.as_object().unwrap().clone());
    Some(spec(keys))
}

#[test]
fn what_a_server_refuses_is_said_in_words() {
    for (extra, said) in [
        (
            json!({"bucket": "there-is-none"}),
            "there is no bucket `there-is-none`",
        ),
        (
            json!({"secret_key": "not the right one"}),
            "refuses the credentials",
        ),
        (
            json!({"access_key": "nobody", "secret_key": "x-x-x-x"}),
            "refuses the credentials",
        ),
    ] {
        let Some(spec) = server(extra) else { return };
        let s = store::open(&spec, &StoreOptions::default()).unwrap();
        for error in [
            s.list("").unwrap_err(),
            s.put(&fresh("_schema/a", b"x"), &Silent).unwrap_err(),
            s.read("_schema/a").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Store, "{error}");
            assert!(error.to_string().contains(said), "{said}: {error}");
            assert!(error.hint_text().is_some(), "{error}");
        }
    }
    let reader = json!({"access_key": "reader", "secret_key": "reader-secret-of-the-tests"});
    let Some(spec) = server(reader) else { return };
    let s = store::open(&spec, &StoreOptions::default()).unwrap();
    assert!(s.list("").unwrap().is_empty());
    let error = s.put(&fresh("_schema/a", b"x"), &Silent).unwrap_err();
    assert!(error.to_string().contains("does not permit it"), "{error}");
    assert!(
        error.hint_text().unwrap().contains("write objects"),
        "{error}"
    );
}

#[test]
fn tls_where_there_is_none_is_said_to_be_no_secure_connection() {
    let Some(spec) = server(json!({"secure": true})) else {
        return;
    };
    let options = StoreOptions {
        retries: 0,
        ..StoreOptions::default()
    };
    let error = store::open(&spec, &options).unwrap().list("").unwrap_err();
    assert!(error.hint_text().unwrap().contains("secure"), "{error}");
}

#[test]
fn a_location_with_slashes_at_its_ends_is_taken_as_it_is() {
    for pattern in ["remote/{}/", "/remote/{}", "remote/{}//x"] {
        let location = pattern.replace("{}", &format!("{:016x}", rand::random::<u64>()));
        let Some(spec) = server(json!({"location": location})) else {
            return;
        };
        let s = store::open(&spec, &StoreOptions::default()).unwrap();
        s.put(&fresh("_schema/a b/o", b"x"), &Silent).unwrap();
        s.put(&hashed(b"y"), &Silent).unwrap();
        assert_eq!(s.read("_schema/a b/o").unwrap(), "x", "{location}");
        assert_eq!(s.list("").unwrap().len(), 2, "{location}");
        assert_eq!(s.list("_schema").unwrap()[0].path, "_schema/a b/o");
        assert_eq!(s.delete_prefix("_schema").unwrap(), 1);
        assert!(s.delete(hashed(b"y").path.as_str()).unwrap());
        assert!(s.list("").unwrap().is_empty());
    }
}

#[test]
fn many_tiny_objects_take_little_time() {
    let Some(spec) = server(json!({})) else {
        return;
    };
    let s = store::open(&spec, &StoreOptions::default()).unwrap();
    let puts: Vec<Put> = (0..1500)
        .map(|i| hashed(format!("object {i}").as_bytes()))
        .collect();
    let start = Instant::now();
    s.put_many(&puts, &Silent).unwrap();
    let stored = start.elapsed();
    let names: Vec<&str> = puts.iter().map(|p| p.path.as_str()).collect();
    let start = Instant::now();
    assert!(s.read_many(&names).iter().all(Result::is_ok));
    let read = start.elapsed();
    let start = Instant::now();
    assert_eq!(s.delete_prefix("_hash").unwrap(), 1500);
    println!(
        "1500 tiny objects: in {stored:?}, out {read:?}, deleted {:?}",
        start.elapsed()
    );
    // Generous: the machine may be busy. One by one it would be minutes.
    assert!(stored + read < Duration::from_secs(30));
}

/// Reading needs only the smaller trait.
#[test]
fn a_remote_store_reads_through_its_handle() {
    let (s, _) = faulty(
        ClientFault::Latency(Duration::ZERO),
        0,
        StoreOptions::default(),
    );
    s.put(&fresh("_schema/a", b"x"), &Silent).unwrap();
    let handle: Arc<dyn lodestore::codec::ObjectHandle> = Arc::new(s).handle();
    assert_eq!(handle.read("_schema/a").unwrap(), "x");
    assert_eq!(handle.requests(), 1);
}
