//! A query that runs in a thread, on a session of its own, from a snapshot. Dropping it ends the query.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::sql::{OutputColumn, ServerOptions, Statement};
use crate::value::Batch;

pub(super) struct Stream {
    batches: Option<Receiver<Result<Batch>>>,
    thread: JoinHandle<()>,
    options: ServerOptions,
    session: i64,
}

impl Stream {
    pub(super) fn start(
        options: &ServerOptions,
        statement: Statement,
        columns: Vec<OutputColumn>,
        rows: usize,
    ) -> Result<Stream> {
        let mut session = Session::open(options)?;
        // The snapshot is fixed before the caller goes on and may write.
        session.command("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")?;
        let id = session.id();
        let (sender, batches) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("lodestore-stream".to_owned())
            .spawn(move || produce(session, &statement, &columns, rows, &sender))
            .map_err(|e| Error::new(ErrorKind::Query, format!("no thread for the query: {e}")))?;
        Ok(Stream {
            batches: Some(batches),
            thread,
            options: options.clone(),
            session: id,
        })
    }
}

fn produce(
    mut session: Session,
    statement: &Statement,
    columns: &[OutputColumn],
    rows: usize,
    sender: &SyncSender<Result<Batch>>,
) {
    let result = session.batches(statement, Some(columns), rows, &mut |batch| {
        // A failed send means that nobody listens any more.
        batch.rows == 0 || sender.send(Ok(batch)).is_ok()
    });
    // The tables are let go before the end is told: what the caller does next may want them for itself.
    drop(session);
    if let Err(error) = result {
        let _ = sender.send(Err(error));
    }
}

impl Iterator for Stream {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.as_ref()?.recv().ok()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The thread may wait for the receiver, or for a server that is still sorting.
        self.batches = None;
        if !self.thread.is_finished()
            && let Ok(mut other) = Session::open(&self.options)
        {
            // It may have ended meanwhile.
            let _ = other.command(&format!("KILL {}", self.session));
        }
    }
}
