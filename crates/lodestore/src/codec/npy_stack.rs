//! Many stored arrays of one shape and type as one array, each read straight into its place (spec: codecs §11 "Bulk").

use std::sync::{Mutex, PoisonError};

use super::npy_ref::{NpyRef, each_at};
use crate::error::{Error, Result};
use crate::memory;
use crate::progress::Progress;
use crate::value::{Array, ByteOrder, DType, Kind, Order, npy};

/// A header longer than this is not read into a place of its own.
const LONG_HEADER: u64 = 4096;

/// Reads arrays concurrently into one with a new first axis, as `numpy.stack` would make it. None if they differ in
/// shape or type, if there are none, or if their type is one that NumPy changes when it stacks (records, other byte
/// order). At most `workers` run at a time, and at most `max_bytes` are under way at once (none: 512 MiB).
///
/// Errors as those of [`NpyRef::read`]; the first in the order of `refs`.
pub fn read_stacked(
    refs: &[&NpyRef],
    workers: usize,
    max_bytes: Option<u64>,
    progress: &dyn Progress,
) -> Result<Option<Array>> {
    let Some(first) = refs.first() else {
        return Ok(None);
    };
    let alike = |r: &&NpyRef| r.shape() == first.shape() && r.dtype_text() == first.dtype_text();
    let (Ok(dtype), true) = (first.dtype(), refs.iter().all(alike)) else {
        return Ok(None);
    };
    let size = usize::try_from(first.nbytes()?).unwrap_or(usize::MAX);
    if !is_plain(dtype) || size == 0 {
        return Ok(None);
    }
    let total = size.saturating_mul(refs.len());
    let mut memory = memory::zeroed(total)?;
    let rooms: Vec<_> = memory.chunks_mut(size).map(Mutex::new).collect();
    each_at(refs, workers, max_bytes, progress, |i, r| {
        let room = rooms.get(i);
        let room = room.ok_or_else(|| Error::invalid("an array has no place in the stack"))?;
        r.read_into(&mut room.lock().unwrap_or_else(PoisonError::into_inner))
    })?;
    drop(rooms);
    let mut shape = vec![refs.len()];
    shape.extend(first.shape());
    Array::new(dtype.clone(), shape, Order::C, memory.into()).map(Some)
}

/// True for types that stacking leaves as they are.
fn is_plain(dtype: &DType) -> bool {
    dtype.order != ByteOrder::Big
        && !matches!(dtype.kind, Kind::Struct { .. } | Kind::Void | Kind::Object)
}

impl NpyRef {
    /// Reads the elements, in C order, into memory of their size.
    fn read_into(&self, room: &mut [u8]) -> Result<()> {
        if !self.is_loaded()
            && let Some(offset) = self.likely_offset()
        {
            let store = self.link().open()?;
            let mut header = vec![0; offset];
            let found = store.read_into(self.path(), &mut [&mut header[..], &mut *room]);
            let found = super::origin::of_row(self.origin.as_ref(), found)?;
            let ends = found == (offset + room.len()) as u64;
            if ends
                && let Ok(parsed) = npy::parse_header(&header)
                && parsed.data_offset == offset
                && (!parsed.fortran_order || self.ndim() < 2)
            {
                let checked = self.check_whole(&*store, &parsed, found, &[&header[..], &*room]);
                return super::origin::of_row(self.origin.as_ref(), checked.map(|_| ()));
            }
        }
        // Another layout, or something is wrong; the plain way finds out.
        let array = match &*self.cached() {
            Some(array) => array.clone(),
            None => self.read()?,
        };
        let elements = array.to_contiguous(Order::C)?;
        match elements.len() == room.len() {
            true => room.copy_from_slice(&elements),
            false => {
                return Err(Error::invalid(
                    "an array does not fit its place in the stack",
                ));
            }
        }
        Ok(())
    }

    /// Where the elements start if the array is in C order; none if that cannot be told without a look.
    fn likely_offset(&self) -> Option<usize> {
        let offset = match self.stated_layout() {
            Some(layout) if layout.fortran_order && self.ndim() > 1 => return None,
            Some(layout) => layout.offset,
            None => {
                let header = npy::write_header(&self.file_dtype()?, false, self.shape()).ok()?;
                header.len() as u64
            }
        };
        (offset <= LONG_HEADER).then(|| usize::try_from(offset).ok())?
    }
}
