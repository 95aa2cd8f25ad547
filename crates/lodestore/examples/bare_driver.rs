//! What the drivers alone take, in Rust, for the rows of `benches/workloads.py` (`make bench` prints it beside the
//! engines): `bare_driver postgresql|mysql`. A measurement, not an example of using Lodestore.

use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROWS: i32 = 50_000;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("postgresql") => postgresql(),
        Some("mysql") => mysql(),
        _ => Err("say postgresql or mysql".into()),
    }
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn timed<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let value = work()?;
    println!("{name} {}", start.elapsed().as_secs_f64());
    Ok(value)
}

fn postgresql() -> Result<()> {
    use tokio_postgres::binary_copy::BinaryCopyInWriter;
    use tokio_postgres::types::{ToSql, Type};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let url = format!(
        "host={} port={} user={} dbname={}",
        variable("LODE_BENCH_PG_HOST", "127.0.0.1"),
        variable("LODE_BENCH_PG_PORT", "5432"),
        variable("LODE_BENCH_PG_USER", "root"),
        variable("LODE_BENCH_PG_DATABASE", "root"),
    );
    let (client, connection) =
        runtime.block_on(tokio_postgres::connect(&url, tokio_postgres::NoTls))?;
    runtime.spawn(connection);
    let schema = format!("bare_{}", std::process::id());
    runtime.block_on(client.batch_execute(&format!(
        "CREATE SCHEMA {schema}; CREATE TABLE {schema}.small (a integer, b integer, x double precision NOT NULL, \
         y double precision NOT NULL, name varchar(32) NOT NULL, t timestamp(6) NOT NULL, PRIMARY KEY (a, b)); \
         CREATE TABLE {schema}.blobs (k integer PRIMARY KEY, b bytea NOT NULL)"
    )))?;
    let epoch = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_600);
    let names: Vec<String> = (0..ROWS).map(|i| format!("name {i}")).collect();
    timed("COPY 50,000 rows in", || {
        runtime.block_on(async {
            let sink = client
                .copy_in(&format!("COPY {schema}.small FROM STDIN BINARY"))
                .await?;
            let types = [
                Type::INT4,
                Type::INT4,
                Type::FLOAT8,
                Type::FLOAT8,
                Type::VARCHAR,
                Type::TIMESTAMP,
            ];
            let writer = BinaryCopyInWriter::new(sink, &types);
            let mut writer = std::pin::pin!(writer);
            for (i, name) in names.iter().enumerate() {
                let n = i32::try_from(i)?;
                let t = epoch + std::time::Duration::from_micros(1_000_001 * i as u64);
                let (a, b, x, y) = (n / 100, n % 100, f64::from(n) * 0.5, f64::from(n) / 3.0);
                let row: [&(dyn ToSql + Sync); 6] = [&a, &b, &x, &y, name, &t];
                writer.as_mut().write(&row).await?;
            }
            Ok(writer.finish().await?)
        })
    })?;
    timed("select 50,000 rows", || {
        runtime.block_on(async {
            let statement = client
                .prepare(&format!("SELECT a, b, x, y, name, t FROM {schema}.small"))
                .await?;
            let mut sum = 0.0;
            for row in client.query(&statement, &[]).await? {
                let (a, b): (i32, i32) = (row.get(0), row.get(1));
                let (x, y): (f64, f64) = (row.get(2), row.get(3));
                let (name, t): (&str, std::time::SystemTime) = (row.get(4), row.get(5));
                sum +=
                    f64::from(a + b) + x + y + name.len() as f64 + f64::from(u8::from(t > epoch));
            }
            Ok(sum)
        })
    })?;
    timed("select by key x200", || {
        runtime.block_on(async {
            let statement = client
                .prepare(&format!(
                    "SELECT a, b, x, y, name, t FROM {schema}.small WHERE a=$1 AND b=$2"
                ))
                .await?;
            for i in 0..200 {
                client
                    .query_one(&statement, &[&(i % 50), &(i % 100)])
                    .await?;
            }
            Ok(())
        })
    })?;
    runtime.block_on(client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")))?;
    Ok(())
}

fn mysql() -> Result<()> {
    use mysql::prelude::Queryable;
    use mysql::{OptsBuilder, Value};

    let options = OptsBuilder::new()
        .ip_or_hostname(Some(variable("LODE_BENCH_MYSQL_HOST", "127.0.0.1")))
        .tcp_port(variable("LODE_BENCH_MYSQL_PORT", "3306").parse()?)
        .user(Some(variable("LODE_BENCH_MYSQL_USER", "root")))
        .pass(Some(variable("LODE_BENCH_MYSQL_PASSWORD", "")));
    let mut connection = mysql::Conn::new(options)?;
    let schema = format!("bare_{}", std::process::id());
    connection.query_drop(format!("CREATE DATABASE {schema}"))?;
    connection.query_drop(format!(
        "CREATE TABLE {schema}.small (a int, b int, x double NOT NULL, y double NOT NULL, name varchar(32) NOT NULL, \
         t datetime(6) NOT NULL, PRIMARY KEY (a, b)) ENGINE=InnoDB"
    ))?;
    const AT_ONCE: i32 = 1000;
    timed("multi-row insert of 50,000 rows", || {
        connection.query_drop("START TRANSACTION")?;
        let holes = vec!["(?,?,?,?,?,?)"; AT_ONCE as usize].join(",");
        let statement = connection.prep(format!("INSERT INTO {schema}.small VALUES {holes}"))?;
        for first in (0..ROWS).step_by(AT_ONCE as usize) {
            let mut values: Vec<Value> = Vec::with_capacity(AT_ONCE as usize * 6);
            for n in first..first + AT_ONCE {
                values.push((n / 100).into());
                values.push((n % 100).into());
                values.push((f64::from(n) * 0.5).into());
                values.push((f64::from(n) / 3.0).into());
                values.push(format!("name {n}").into());
                let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
                values.push(Value::Date(
                    2026,
                    1,
                    1,
                    hour as u8,
                    minute as u8,
                    second as u8,
                    n as u32,
                ));
            }
            connection.exec_drop(&statement, values)?;
        }
        Ok(connection.query_drop("COMMIT")?)
    })?;
    timed("select 50,000 rows", || {
        let statement =
            connection.prep(format!("SELECT a, b, x, y, name, t FROM {schema}.small"))?;
        let mut sum = 0.0;
        for row in connection.exec_iter(&statement, ())? {
            let row = row?;
            for value in row.unwrap() {
                sum += match value {
                    Value::Int(n) => n as f64,
                    Value::Double(x) => x,
                    Value::Bytes(text) => text.len() as f64,
                    _ => 0.0,
                };
            }
        }
        Ok(sum)
    })?;
    timed("select by key x200", || {
        let statement = connection.prep(format!(
            "SELECT a, b, x, y, name, t FROM {schema}.small WHERE a=? AND b=?"
        ))?;
        for i in 0..200 {
            let row: Option<mysql::Row> = connection.exec_first(&statement, (i % 50, i % 100))?;
            row.ok_or("no row")?;
        }
        Ok(())
    })?;
    connection.query_drop(format!("DROP DATABASE {schema}"))?;
    Ok(())
}
