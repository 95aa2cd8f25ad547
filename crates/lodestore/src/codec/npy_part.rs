//! Parts of stored arrays: reading only the bytes that a selection needs (spec: codecs §11 "Ranged reads").

use std::ops::Range;
use std::thread::JoinHandle;

use bytes::Bytes;

use super::ObjectHandle;
use super::npy::corrupt;
use super::npy_ref::{Layout, NpyRef};
use super::origin::of_row;
use super::select::{Narrowed, Plan, Selection, Wanted, merge, take};
use crate::error::{Error, ErrorKind, Result};
use crate::value::{Array, Order, npy};

/// A part of at most so many bytes is asked for together with the header, on a guess where it lies.
const GUESS: u64 = 1 << 20;
/// A header longer than this is read for itself first.
const SHORT_HEADER: u64 = 4096;
/// Rows that do not lie together are read block by block as long as that reads no more than so many times their bytes.
const SPARSE: u64 = 4;

impl NpyRef {
    /// What a selection for each axis picks, as NumPy's basic indexing would. Only the bytes that are needed are read,
    /// or the whole array where that is no dearer. The cache is used if filled, and not filled.
    pub fn read_selection(&self, selections: &[Selection]) -> Result<Array> {
        self.check_selection(selections)?;
        if let Some(array) = self.cached().clone() {
            return narrow(&array, selections);
        }
        match self.read_part(selections)? {
            Some(part) => Ok(part),
            None => narrow(&self.read()?, selections),
        }
    }

    /// As [`read_selection`](Self::read_selection), without the cache: none if more than half of the array would be read.
    /// Then reading it whole is better, and keeping it.
    pub fn read_part(&self, selections: &[Selection]) -> Result<Option<Array>> {
        of_row(self.origin.as_ref(), self.part(selections, false))
    }

    /// Rows `range` of the first axis, cut at the end. The cache is used if filled, and not filled.
    pub fn read_rows(&self, range: Range<usize>) -> Result<Array> {
        let selections = self.rows(Selection::rows(range, self.row_count()?));
        self.read_selection(&selections)
    }

    /// The rows at some indices of the first axis, in that order; repeats are fine. [`ErrorKind::Value`] for an index
    /// beyond the axis. The cache is used if filled, and not filled.
    pub fn read_rows_at(&self, indices: &[usize]) -> Result<Array> {
        self.row_count()?;
        let mut ascending = indices.to_vec();
        ascending.sort_unstable();
        ascending.dedup();
        let wanted = Selection::Indices(ascending.clone());
        let found = self.read_selection(&self.rows(wanted))?;
        if ascending == indices {
            return Ok(found);
        }
        let places: Vec<usize> = indices
            .iter()
            .map(|i| ascending.partition_point(|other| other < i))
            .collect();
        let bytes = found.to_contiguous(Order::C)?;
        let bytes = take(&bytes, &found.shape, 0, &places, found.dtype.itemsize)?;
        let mut shape = found.shape;
        shape[0] = places.len();
        Array::new(found.dtype, shape, Order::C, bytes)
    }

    /// Runs of `rows` rows, one after the other. While one is worked on, the next is read; no more than these two are in
    /// memory, unless rows lie scattered (many columns in Fortran order): then the array is read whole, once.
    ///
    /// An error for `rows = 0` and for an array without dimensions.
    pub fn iter_rows(&self, rows: usize) -> Result<RowBlocks> {
        let count = self.row_count()?;
        if rows == 0 {
            return Err(Error::new(
                ErrorKind::Value,
                "the number of rows must be positive",
            ));
        }
        let mut source = self.clone();
        if !self.is_loaded() && count > 0 && self.rows_are_scattered(rows.min(count))? {
            source = self.detached();
            source.load()?;
        }
        Ok(RowBlocks {
            source,
            rows,
            count,
            start: 0,
            next: None,
        })
    }

    fn row_count(&self) -> Result<usize> {
        self.shape()
            .first()
            .copied()
            .ok_or_else(|| Error::new(ErrorKind::Type, "an array without dimensions has no rows"))
    }

    /// A selection of rows, and everything of the other axes.
    fn rows(&self, rows: Selection) -> Vec<Selection> {
        let mut selections = vec![Selection::All; self.ndim()];
        selections[0] = rows;
        selections
    }

    /// True if a block of rows cannot be read without many times its bytes.
    fn rows_are_scattered(&self, rows: usize) -> Result<bool> {
        let layout = self.layout()?;
        if !layout.fortran_order || self.ndim() < 2 {
            return Ok(false);
        }
        let wanted = self.wanted(&self.rows(Selection::rows(0..rows, rows)), &layout);
        let counts = wanted.counts();
        if counts.contains(&0) {
            return Ok(false);
        }
        let read = wanted.plan(self.link().open()?.range_gap()).bytes();
        Ok(read > wanted.bytes_of(&counts).saturating_mul(SPARSE))
    }

    fn check_selection(&self, selections: &[Selection]) -> Result<()> {
        if selections.len() != self.ndim() {
            return Err(Error::new(
                ErrorKind::Value,
                format!(
                    "{} selections for an array of {} dimensions",
                    selections.len(),
                    self.ndim()
                ),
            ));
        }
        let mut axes = selections.iter().zip(self.shape());
        axes.try_for_each(|(selection, dim)| selection.check(*dim))
    }

    /// The part; none if it would read more than half of the array and `always` does not say to read it all the same.
    fn part(&self, selections: &[Selection], always: bool) -> Result<Option<Array>> {
        self.check_selection(selections)?;
        let store = self.link().open()?;
        let (layout, certain) = self.likely_layout(&*store)?;
        let wanted = self.wanted(selections, &layout);
        let counts = wanted.counts();
        if counts.contains(&0) || layout.dtype.itemsize == 0 {
            let shape = counts_in_order(counts, &layout);
            return Array::new(layout.dtype, shape, Order::C, Bytes::new()).map(Some);
        }
        let plan = wanted.plan(store.range_gap());
        let whole = wanted.bytes_of(&wanted.shape);
        if plan.bytes() > whole / 2 && !always {
            return Ok(None);
        }
        if certain {
            let pieces = self.pieces(&*store, &layout, &plan, None)?;
            return arrange(wanted.assemble(&plan, &pieces)?, &layout).map(Some);
        }
        if plan.bytes() > GUESS && store.local_path(self.path()).is_none() {
            // A wrong guess would be dear: the header first.
            let header = self.header(&*store)?;
            self.remember(header, store.name())?;
            return self.part(selections, always);
        }
        let mut header = Bytes::new();
        let pieces = self.pieces(&*store, &layout, &plan, Some(&mut header))?;
        let found = npy::parse_header(&header)
            .map_err(|e| corrupt(store.name(), self.path(), e.message()))?;
        let found = self.remember(found, store.name())?;
        if (found.offset, found.fortran_order) != (layout.offset, layout.fortran_order) {
            return self.part(selections, always);
        }
        arrange(wanted.assemble(&plan, &pieces)?, &found).map(Some)
    }

    /// Where the elements lie, and whether that needs no look at the header: it was read before, or the row says so and
    /// looking would cost another request. Else a guess: as NumPy writes the array in C order.
    fn likely_layout(&self, store: &dyn ObjectHandle) -> Result<(Layout, bool)> {
        if let Some(layout) = self.known_layout().clone() {
            return Ok((layout, true));
        }
        let local = store.local_path(self.path()).is_some();
        if let Some(layout) = self.stated_layout() {
            if !local || layout.offset > SHORT_HEADER {
                return Ok((layout, !local));
            }
            return Ok((layout, false));
        }
        let guess = self.file_dtype().and_then(|dtype| {
            let header = npy::write_header(&dtype, false, self.shape()).ok()?;
            Some(Layout {
                offset: header.len() as u64,
                fortran_order: false,
                dtype,
            })
        });
        match guess {
            Some(guess) if guess.offset <= SHORT_HEADER => Ok((guess, false)),
            _ => Ok((self.layout()?, true)),
        }
    }

    /// Keeps what a header says, if it agrees with the row.
    fn remember(&self, header: npy::Header, store: &str) -> Result<Layout> {
        self.check_header(&header, store)?;
        let layout = Layout::from(header);
        if let Some(stated) = self.stated_layout()
            && (stated.offset, stated.fortran_order) != (layout.offset, layout.fortran_order)
        {
            return Err(corrupt(
                store,
                self.path(),
                format!(
                    "its header says {}, its row says {}",
                    layout.describe(),
                    stated.describe()
                ),
            ));
        }
        *self.known_layout() = Some(layout.clone());
        Ok(layout)
    }

    /// The selection, with axes from the slowest to the fastest of the file.
    fn wanted(&self, selections: &[Selection], layout: &Layout) -> Wanted {
        Wanted {
            shape: counts_in_order(self.shape().to_vec(), layout),
            selections: match layout.fortran_order {
                true => selections.iter().rev().cloned().collect(),
                false => selections.to_vec(),
            },
            itemsize: layout.dtype.itemsize,
        }
    }

    /// Reads a plan's ranges, with the header if asked for: (place after the header, bytes).
    fn pieces(
        &self,
        store: &dyn ObjectHandle,
        layout: &Layout,
        plan: &Plan,
        header: Option<&mut Bytes>,
    ) -> Result<Vec<(u64, Bytes)>> {
        let data = plan.ranges.iter().map(|r| {
            let place = |at: u64| at.saturating_add(layout.offset);
            place(r.start)..place(r.end)
        });
        let first = header.is_some().then_some(Range {
            start: 0,
            end: layout.offset,
        });
        let ranges = merge(first.into_iter().chain(data), store.range_gap());
        let mut found = store.read_ranges(self.path(), &ranges)?;
        if let (Some(header), Some(first)) = (header, found.first()) {
            *header = first.slice(..first.len().min(layout.offset as usize));
            // What is wrong with the header says more than that the rest is short.
            let parsed = npy::parse_header(header)
                .map_err(|e| corrupt(store.name(), self.path(), e.message()))?;
            self.check_header(&parsed, store.name())?;
        }
        let mut pieces = Vec::with_capacity(ranges.len());
        for (range, bytes) in ranges.iter().zip(found.drain(..)) {
            let (wanted, read) = (range.end - range.start, bytes.len() as u64);
            if read != wanted {
                return Err(corrupt(
                    store.name(),
                    self.path(),
                    format!(
                        "it is cut short: {} bytes, where shape and type need {}",
                        range.start + read,
                        layout.offset + self.nbytes().unwrap_or(wanted),
                    ),
                ));
            }
            let skipped = layout.offset.saturating_sub(range.start);
            let start = usize::try_from(skipped)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            if start < bytes.len() {
                pieces.push((range.start + skipped - layout.offset, bytes.slice(start..)));
            }
        }
        Ok(pieces)
    }
}

impl Layout {
    fn describe(&self) -> String {
        let order = if self.fortran_order { "Fortran" } else { "C" };
        format!("elements in {order} order from byte {}", self.offset)
    }
}

/// A shape turned round for Fortran order, and back.
fn counts_in_order(mut counts: Vec<usize>, layout: &Layout) -> Vec<usize> {
    if layout.fortran_order {
        counts.reverse();
    }
    counts
}

/// The array of what was read. A small part of large memory is copied out of it.
fn arrange(narrowed: Narrowed, layout: &Layout) -> Result<Array> {
    let Narrowed {
        bytes,
        offset,
        mut shape,
        mut strides,
    } = narrowed;
    if layout.fortran_order {
        shape.reverse();
        strides.reverse();
    }
    let read = bytes.len();
    let array = Array::strided(layout.dtype.clone(), shape, bytes, offset, strides)?;
    if array.nbytes() > read / 2 {
        return Ok(array);
    }
    let order = if layout.fortran_order {
        Order::F
    } else {
        Order::C
    };
    let bytes = array.to_contiguous(order)?;
    Array::new(array.dtype, array.shape, order, bytes)
}

/// Selections of an array in memory.
fn narrow(array: &Array, selections: &[Selection]) -> Result<Array> {
    let layout = Layout {
        offset: 0,
        fortran_order: array.is_f_contiguous() && !array.is_c_contiguous(),
        dtype: array.dtype.clone(),
    };
    let order = if layout.fortran_order {
        Order::F
    } else {
        Order::C
    };
    let mut selections = selections.to_vec();
    if layout.fortran_order {
        selections.reverse();
    }
    let wanted = Wanted {
        shape: counts_in_order(array.shape.clone(), &layout),
        selections,
        itemsize: array.dtype.itemsize,
    };
    if wanted.counts().contains(&0) {
        let shape = counts_in_order(wanted.counts(), &layout);
        return Array::new(layout.dtype, shape, Order::C, Bytes::new());
    }
    let narrowed = wanted.narrow(array.to_contiguous(order)?)?;
    let (mut shape, mut strides) = (narrowed.shape, narrowed.strides);
    if layout.fortran_order {
        shape.reverse();
        strides.reverse();
    }
    Array::strided(
        layout.dtype,
        shape,
        narrowed.bytes,
        narrowed.offset,
        strides,
    )
}

/// Blocks of rows, one after the other; see [`NpyRef::iter_rows`].
#[derive(Debug)]
pub struct RowBlocks {
    source: NpyRef,
    rows: usize,
    count: usize,
    start: usize,
    /// The next block, being read.
    next: Option<JoinHandle<Result<Array>>>,
}

impl RowBlocks {
    fn read(source: &NpyRef, rows: Range<usize>) -> Result<Array> {
        if let Some(array) = source.cached().clone() {
            let selections = source.rows(Selection::rows(rows, source.row_count()?));
            return narrow(&array, &selections);
        }
        let selections = source.rows(Selection::rows(rows, source.row_count()?));
        match of_row(source.origin.as_ref(), source.part(&selections, true))? {
            Some(part) => Ok(part),
            None => Err(Error::invalid("a block of rows was not read")),
        }
    }
}

impl Iterator for RowBlocks {
    type Item = Result<Array>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.start >= self.count {
            return None;
        }
        let end = self.start.saturating_add(self.rows).min(self.count);
        let block = match self.next.take() {
            Some(running) => running.join().unwrap_or_else(|_| {
                Err(Error::new(
                    ErrorKind::Store,
                    "a thread that read rows ended early",
                ))
            }),
            None => Self::read(&self.source, self.start..end),
        };
        self.start = if block.is_err() { self.count } else { end };
        if self.start < self.count && !self.source.is_loaded() {
            let (source, rows) = (
                self.source.clone(),
                end..end.saturating_add(self.rows).min(self.count),
            );
            // Without a thread the block is read when its turn comes.
            self.next = std::thread::Builder::new()
                .name("lode-rows".into())
                .spawn(move || Self::read(&source, rows))
                .ok();
        }
        Some(block)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.count - self.start).div_ceil(self.rows);
        (usize::from(left > 0), Some(left))
    }
}
