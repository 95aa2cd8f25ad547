//! Queries read in batches through a cursor, so that memory stays bounded.
//!
//! Outside a transaction the cursor has a session of its own with a read-only snapshot; inside one it is on the same
//! session, sees what the transaction wrote, and outlives its commit (`WITH HOLD`).

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;

use super::backend::prepared;
use super::bind;
use super::decode::Decoder;
use super::session::{Link, Run, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{OutputColumn, ServerOptions, Statement};
use crate::value::Batch;

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// A session that a stream has done with and the next one may use.
pub(super) type Spare = Arc<Mutex<Option<Box<Session>>>>;

/// A running query.
pub(super) struct Stream {
    options: ServerOptions,
    session: Place,
    fetch: tokio_postgres::Statement,
    cursor: String,
    decoder: Decoder,
    rows: usize,
    done: bool,
}

enum Place {
    /// A session of its own, which goes back when it is done.
    Own(Option<Box<Session>>, Spare),
    /// That of the open transaction.
    Shared(Arc<Session>),
}

impl Stream {
    /// Starts the query on a snapshot of its own.
    pub(super) fn own(
        options: &ServerOptions,
        spare: &Spare,
        statement: &Statement,
        columns: &[OutputColumn],
        rows: usize,
    ) -> Result<Stream> {
        let kept = spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let session = match kept {
            Some(session) if session.process == std::process::id() => session,
            // Dropping what a parent process has left does not touch it.
            _ => Box::new(Session::open(options)?),
        };
        let cursor = "\"lode\"".to_owned();
        let fetch = session.begin(options, SNAPSHOT, async |link| {
            declare(link, &cursor, "", statement, rows).await
        })?;
        Ok(Stream {
            options: options.clone(),
            session: Place::Own(Some(session), Arc::clone(spare)),
            decoder: Decoder::new(Some(columns), fetch.columns())?,
            fetch,
            cursor,
            rows,
            done: false,
        })
    }

    /// Starts the query inside the open transaction.
    pub(super) fn shared(
        options: &ServerOptions,
        session: Arc<Session>,
        statement: &Statement,
        columns: &[OutputColumn],
        rows: usize,
    ) -> Result<Stream> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let cursor = format!("\"lode_{}\"", NUMBER.fetch_add(1, Ordering::Relaxed));
        let fetch = session.run(options, Run::Several, async |link| {
            declare(link, &cursor, " WITH HOLD", statement, rows).await
        })?;
        Ok(Stream {
            options: options.clone(),
            session: Place::Shared(session),
            decoder: Decoder::new(Some(columns), fetch.columns())?,
            fetch,
            cursor,
            rows,
            done: false,
        })
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let (session, run) = match &self.session {
            Place::Own(Some(session), _) => (&**session, Run::Bare),
            Place::Own(None, _) => return Ok(None),
            Place::Shared(session) => (&**session, Run::Read),
        };
        let (fetch, decoder) = (&self.fetch, tokio::sync::Mutex::new(&mut self.decoder));
        // Not repeated on a new connection: there is no such cursor.
        let options = ServerOptions {
            reconnect: false,
            ..self.options.clone()
        };
        session.run(&options, run, async |link| {
            let mut decoder = decoder.lock().await;
            read(link, fetch, &mut decoder).await
        })?;
        let batch = self.decoder.finish();
        self.done = batch.rows < self.rows;
        Ok((batch.rows > 0).then_some(batch))
    }

    /// Closes the cursor, and gives the session back.
    fn finish(&mut self) {
        self.done = true;
        match &mut self.session {
            Place::Own(session, spare) => {
                if let Some(session) = session.take()
                    && session.process == std::process::id()
                    && session.rollback().is_ok()
                {
                    *spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
                }
            }
            Place::Shared(session) => {
                if session.process != std::process::id() {
                    return;
                }
                let close = format!("CLOSE {}", self.cursor);
                // A rolled back transaction has closed it already.
                let _ = session.run(&self.options, Run::Read, async |link| {
                    link.batch(&close).await
                });
            }
        }
    }
}

/// Declares the cursor and prepares the statement that fetches from it.
async fn declare(
    link: &mut Link,
    cursor: &str,
    hold: &str,
    statement: &Statement,
    rows: usize,
) -> Result<tokio_postgres::Statement> {
    let declare = Statement {
        text: format!(
            "DECLARE {cursor} NO SCROLL CURSOR{hold} FOR {}",
            statement.text
        ),
        params: statement.params.clone(),
    };
    let prepared = prepared(link, &declare).await?;
    let params = statement.params.iter().map(bind::Parameter);
    if let Err(error) = link.client.execute_raw(&prepared, params).await {
        return Err(link.fail(error, &statement.text));
    }
    link.prepare_anew(&format!("FETCH FORWARD {rows} FROM {cursor}"), &[])
        .await
}

async fn read(
    link: &mut Link,
    fetch: &tokio_postgres::Statement,
    decoder: &mut Decoder,
) -> Result<()> {
    let none: [bind::Parameter<'_>; 0] = [];
    let rows = link.client.query_raw(fetch, none).await;
    let mut rows = pin!(rows.map_err(|e| cursor_lost(link.fail(e, "")))?);
    while let Some(row) = rows.next().await {
        decoder.push(&row.map_err(|e| cursor_lost(link.fail(e, "")))?)?;
    }
    Ok(())
}

fn cursor_lost(error: Error) -> Error {
    match super::errors::code(&error) {
        Some(code) if *code == tokio_postgres::error::SqlState::INVALID_CURSOR_NAME => Error::new(
            ErrorKind::Invalid,
            "the transaction in which this query began was rolled back",
        )
        .hint("Read it to its end inside the transaction.")
        .with_source(error),
        _ => error,
    }
}

impl Iterator for Stream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let batch = self.next_batch();
        if self.done || !matches!(batch, Ok(Some(_))) {
            self.finish();
        }
        batch.transpose()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.done {
            self.finish();
        }
    }
}
