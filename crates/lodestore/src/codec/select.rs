//! Which bytes of an array's file a selection needs. A plan only: nothing here reads.
//!
//! Axes are named from the slowest to the fastest, so that positions in the file grow with every index; an array in
//! Fortran order is one in C order with its axes turned round.

use std::ops::Range;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};

/// What is wanted of one axis of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Everything.
    All,
    /// `count` indices from `start`, `step` apart.
    Range {
        /// The first index.
        start: usize,
        /// The distance of neighbours, at least one.
        step: usize,
        /// How many.
        count: usize,
    },
    /// These indices, ascending, none twice.
    Indices(Vec<usize>),
}

impl Selection {
    /// The indices of a range, cut at the end of an axis of `dim`.
    pub fn rows(range: Range<usize>, dim: usize) -> Self {
        let start = range.start.min(dim);
        let count = range.end.clamp(start, dim) - start;
        Selection::Range {
            start,
            step: 1,
            count,
        }
    }

    /// How many indices of an axis of `dim` are wanted.
    pub fn count(&self, dim: usize) -> usize {
        match self {
            Selection::All => dim,
            Selection::Range { count, .. } => *count,
            Selection::Indices(indices) => indices.len(),
        }
    }

    /// The `i`-th wanted index.
    fn index(&self, i: usize) -> usize {
        match self {
            Selection::All => i,
            Selection::Range { start, step, .. } => start + i * step,
            Selection::Indices(indices) => indices.get(i).copied().unwrap_or(0),
        }
    }

    /// [`ErrorKind::Value`] if an index lies outside an axis of `dim`, or the indices do not ascend.
    pub(super) fn check(&self, dim: usize) -> Result<()> {
        let fits = match self {
            Selection::All => true,
            Selection::Range { start, step, count } => match count.checked_sub(1) {
                None => true,
                Some(more) => {
                    *step > 0
                        && more
                            .checked_mul(*step)
                            .and_then(|n| n.checked_add(*start))
                            .is_some_and(|last| last < dim)
                }
            },
            Selection::Indices(indices) => {
                indices.windows(2).all(|w| w[0] < w[1]) && indices.last().is_none_or(|i| *i < dim)
            }
        };
        match fits {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Value,
                format!(
                    "the selection does not fit an axis of length {dim}, or its indices do not ascend"
                ),
            )),
        }
    }

    /// Visits runs of indices: neighbours at most `reach` apart are one run. Stops when `visit` says so, by false.
    fn each_run(&self, dim: usize, reach: usize, visit: &mut dyn FnMut(Range<usize>) -> bool) {
        match self {
            Selection::All => {
                visit(0..dim);
            }
            Selection::Range { start, step, count } if *step <= reach || *count <= 1 => {
                visit(*start..start + count.saturating_sub(1) * step + count.min(&1));
            }
            Selection::Range { count, .. } => {
                for i in 0..*count {
                    let index = self.index(i);
                    if !visit(index..index + 1) {
                        return;
                    }
                }
            }
            Selection::Indices(indices) => {
                let mut run: Option<Range<usize>> = None;
                for &index in indices {
                    run = match run {
                        Some(r) if index - (r.end - 1) <= reach => Some(r.start..index + 1),
                        Some(r) => {
                            if !visit(r) {
                                return;
                            }
                            Some(index..index + 1)
                        }
                        None => Some(index..index + 1),
                    };
                }
                if let Some(r) = run {
                    visit(r);
                }
            }
        }
    }

    /// The runs, or none if there are more than `limit`.
    fn runs(&self, dim: usize, reach: usize, limit: usize) -> Option<Vec<Range<usize>>> {
        let mut runs = Vec::new();
        let mut few = true;
        self.each_run(dim, reach, &mut |run| {
            few = runs.len() < limit;
            runs.push(run);
            few
        });
        few.then_some(runs)
    }
}

/// No plan asks for more ranges than this; wider gaps are read over instead.
const MAX_RANGES: usize = 4096;

/// A shape, the bytes of one element, and what is wanted of it; axes from the slowest to the fastest.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) shape: Vec<usize>,
    pub(super) selections: Vec<Selection>,
    pub(super) itemsize: usize,
}

/// Byte ranges to read, ascending, counted from the first element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The last axis whose selection the ranges follow; faster axes are read whole.
    depth: usize,
    pub(super) ranges: Vec<Range<u64>>,
}

impl Plan {
    /// Bytes that will be read.
    pub(super) fn bytes(&self) -> u64 {
        self.ranges.iter().map(|r| r.end - r.start).sum()
    }
}

impl Wanted {
    /// The shape of the result.
    pub(super) fn counts(&self) -> Vec<usize> {
        let dims = self.selections.iter().zip(&self.shape);
        dims.map(|(s, dim)| s.count(*dim)).collect()
    }

    /// Bytes of the result; those of the whole array for its own shape.
    pub(super) fn bytes_of(&self, shape: &[usize]) -> u64 {
        shape
            .iter()
            .fold(self.itemsize as u64, |n, d| n.saturating_mul(*d as u64))
    }

    /// Bytes from one index of an axis to the next.
    fn stride(&self, axis: usize) -> u64 {
        self.bytes_of(self.shape.get(axis + 1..).unwrap_or(&[]))
    }

    /// The cheapest ranges, where a range costs as much as `gap` bytes, so that gaps up to that size are read over.
    /// Something must be wanted.
    pub(super) fn plan(&self, gap: u64) -> Plan {
        let mut gap = gap.max(1);
        loop {
            let plans = (0..self.shape.len()).filter_map(|depth| self.plan_to(depth, gap));
            let cost = |plan: &Plan| {
                let requests = (plan.ranges.len() as u64).saturating_mul(gap);
                plan.bytes().saturating_add(requests)
            };
            if let Some(best) = plans.min_by_key(cost) {
                return best;
            }
            if self.shape.is_empty() || gap == u64::MAX {
                return Plan {
                    depth: 0,
                    ranges: vec![Range {
                        start: 0,
                        end: self.bytes_of(&self.shape),
                    }],
                };
            }
            gap = gap.saturating_mul(4);
        }
    }

    /// The ranges that follow the selections of axes up to `depth`; none if they are too many.
    fn plan_to(&self, depth: usize, gap: u64) -> Option<Plan> {
        let outer = self.outer(depth)?;
        let stride = self.stride(depth);
        let reach =
            usize::try_from(gap / stride.max(1)).map_or(usize::MAX, |n| n.saturating_add(1));
        let limit = MAX_RANGES / outer.max(1);
        let runs = self.selections[depth].runs(self.shape[depth], reach, limit)?;
        let mut ranges: Vec<Range<u64>> = Vec::with_capacity(outer * runs.len());
        self.each_outer(depth, &mut |base| {
            for run in &runs {
                let start = base.saturating_add((run.start as u64).saturating_mul(stride));
                let end = base.saturating_add((run.end as u64).saturating_mul(stride));
                ranges.push(start..end);
            }
        });
        Some(Plan {
            depth,
            ranges: merge(ranges, gap),
        })
    }

    /// The number of index tuples of the axes before `depth`; none if they are too many.
    fn outer(&self, depth: usize) -> Option<usize> {
        let counts = self.counts();
        let outer = counts[..depth]
            .iter()
            .try_fold(1usize, |n, c| n.checked_mul(*c))?;
        (outer <= MAX_RANGES).then_some(outer)
    }

    /// Visits the byte position of every index tuple of the axes before `depth`, ascending.
    fn each_outer(&self, depth: usize, visit: &mut dyn FnMut(u64)) {
        let counts = self.counts();
        let mut at = vec![0usize; depth];
        loop {
            let place = |(axis, i): (usize, &usize)| {
                (self.selections[axis].index(*i) as u64).saturating_mul(self.stride(axis))
            };
            visit(
                at.iter()
                    .enumerate()
                    .map(place)
                    .fold(0, u64::saturating_add),
            );
            let Some(axis) = (0..depth).rev().find(|&axis| at[axis] + 1 < counts[axis]) else {
                return;
            };
            at[axis] += 1;
            at[axis + 1..].fill(0);
        }
    }

    /// The wanted elements, out of the pieces that the plan's ranges gave: contiguous in the file's order, but for
    /// strides over axes that were read whole. `pieces` are (place of the first byte, bytes).
    pub(super) fn assemble(&self, plan: &Plan, pieces: &[(u64, Bytes)]) -> Result<Narrowed> {
        if self.shape.is_empty() {
            let bytes = pieces.first().map(|(_, b)| b.clone()).unwrap_or_default();
            return Ok(Narrowed::contiguous(bytes, Vec::new(), self.itemsize));
        }
        let depth = plan.depth;
        let mut shape = self.counts();
        shape[depth + 1..].copy_from_slice(&self.shape[depth + 1..]);
        let exact = self.bytes_of(&shape);
        let bytes = match pieces {
            // Read as it is wanted: nothing to copy.
            [(_, bytes)] if bytes.len() as u64 == exact => bytes.clone(),
            _ => self.gather(depth, exact, pieces)?,
        };
        let rest =
            self.selections
                .iter()
                .enumerate()
                .map(|(axis, selection)| match axis <= depth {
                    true => Selection::All,
                    false => selection.clone(),
                });
        let rest = Wanted {
            shape,
            selections: rest.collect(),
            itemsize: self.itemsize,
        };
        rest.narrow(bytes)
    }

    fn gather(&self, depth: usize, size: u64, pieces: &[(u64, Bytes)]) -> Result<Bytes> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // No more than was read.
        let mut out = crate::memory::with_capacity(size)?;
        let stride = self.stride(depth);
        let mut at = 0;
        let mut whole = true;
        self.each_outer(depth, &mut |base| {
            self.selections[depth].each_run(self.shape[depth], 1, &mut |run| {
                let start = base + run.start as u64 * stride;
                let end = base + run.end as u64 * stride;
                while pieces
                    .get(at)
                    .is_some_and(|(first, piece)| first + (piece.len() as u64) < end)
                {
                    at += 1;
                }
                let part = pieces.get(at).and_then(|(first, piece)| {
                    let start = usize::try_from(start.checked_sub(*first)?).ok()?;
                    piece.get(start..usize::try_from(end - first).ok()?)
                });
                match part {
                    Some(part) => out.extend_from_slice(part),
                    None => whole = false,
                }
                whole
            });
        });
        match whole && out.len() == size {
            true => Ok(out.into()),
            false => Err(Error::invalid("a part of an array was not read")),
        }
    }

    /// The selections, applied to the elements of the whole shape, which lie side by side.
    pub(super) fn narrow(&self, bytes: Bytes) -> Result<Narrowed> {
        let mut shape = self.shape.clone();
        let mut bytes = bytes;
        for (axis, selection) in self.selections.iter().enumerate() {
            if let Selection::Indices(indices) = selection {
                bytes = take(&bytes, &shape, axis, indices, self.itemsize)?;
                shape[axis] = indices.len();
            }
        }
        let mut narrowed = Narrowed::contiguous(bytes, shape, self.itemsize);
        for (axis, selection) in self.selections.iter().enumerate() {
            if let Selection::Range { start, step, count } = selection {
                if *count > 0 {
                    narrowed.offset += start * narrowed.strides[axis].unsigned_abs();
                }
                narrowed.strides[axis] *= *step as isize;
                narrowed.shape[axis] = *count;
            }
        }
        if narrowed.shape.contains(&0) {
            narrowed.offset = 0;
        }
        Ok(narrowed)
    }
}

/// Elements in memory; axes from the slowest to the fastest of the file.
#[derive(Debug, Clone)]
pub(super) struct Narrowed {
    pub(super) bytes: Bytes,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<isize>,
}

impl Narrowed {
    fn contiguous(bytes: Bytes, shape: Vec<usize>, itemsize: usize) -> Self {
        let strides = crate::value::contiguous_strides(&shape, itemsize, crate::value::Order::C);
        Narrowed {
            bytes,
            offset: 0,
            shape,
            strides,
        }
    }
}

/// The elements at some indices of one axis, in that order, of elements that lie side by side.
pub(super) fn take(
    bytes: &Bytes,
    shape: &[usize],
    axis: usize,
    indices: &[usize],
    itemsize: usize,
) -> Result<Bytes> {
    let size = |dims: &[usize]| dims.iter().try_fold(itemsize, |n, d| n.checked_mul(*d));
    let too_large = || Error::invalid("the selection is too large for the memory");
    let inner = size(&shape[axis + 1..]).ok_or_else(too_large)?;
    let outer: usize = shape[..axis].iter().product();
    let block = inner.checked_mul(shape[axis]).ok_or_else(too_large)?;
    let total = inner
        .checked_mul(indices.len())
        .and_then(|n| n.checked_mul(outer));
    let mut out = crate::memory::with_capacity(total.ok_or_else(too_large)?)?;
    for base in (0..outer).map(|i| i * block) {
        for index in indices {
            let start = base + index * inner;
            let part = bytes.get(start..start + inner);
            out.extend_from_slice(part.ok_or_else(|| Error::invalid("an index beyond the axis"))?);
        }
    }
    Ok(out.into())
}

/// Ascending ranges, with gaps of at most `gap` bytes read over.
pub(super) fn merge(ranges: impl IntoIterator<Item = Range<u64>>, gap: u64) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    // One range is often all that is expected.
    #![allow(clippy::single_range_in_vec_init)]
    use super::*;
    use proptest::prelude::*;

    fn range(start: usize, step: usize, count: usize) -> Selection {
        Selection::Range { start, step, count }
    }

    fn wanted(shape: &[usize], selections: &[Selection]) -> Wanted {
        Wanted {
            shape: shape.to_vec(),
            selections: selections.to_vec(),
            itemsize: 8,
        }
    }

    #[test]
    fn rows_are_one_range() {
        let plan = wanted(&[1000, 10], &[range(20, 1, 5), Selection::All]).plan(100);
        assert_eq!(plan.ranges, [1600..2000]);
    }

    #[test]
    fn fixed_leading_indices_leave_one_range_further_in() {
        let plan = wanted(&[10, 1_000_000], &[range(5, 1, 1), range(1000, 1, 10)]).plan(100);
        assert_eq!(plan.ranges, [40_008_000..40_008_080]);
    }

    #[test]
    fn gaps_are_read_over_where_another_range_costs_more() {
        let rows = Selection::Indices(vec![0, 2, 100, 101]);
        assert_eq!(
            wanted(&[1000, 10], &[rows.clone(), Selection::All])
                .plan(80)
                .ranges,
            [0..240, 8000..8160]
        );
        assert_eq!(
            wanted(&[1000, 10], &[rows, Selection::All]).plan(10).ranges,
            [0..80, 160..240, 8000..8160]
        );
        assert_eq!(
            wanted(&[1000, 10], &[range(0, 2, 500), Selection::All])
                .plan(80)
                .ranges,
            [0..79_920]
        );
    }

    #[test]
    fn a_plan_has_a_bounded_number_of_ranges() {
        let huge = usize::MAX / 64;
        let plan = wanted(&[huge], &[range(0, 1_000_000, huge / 1_000_000)]).plan(10);
        assert!(plan.ranges.len() <= MAX_RANGES);
        let many = Selection::Indices((0..100_000).map(|i| i * 1000).collect());
        assert!(wanted(&[100_000_000], &[many]).plan(10).ranges.len() <= MAX_RANGES);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for bad in [range(5, 1, 6), range(0, 0, 2), range(9, usize::MAX, 2)] {
            assert!(bad.check(10).is_err(), "{bad:?}");
        }
        for bad in [vec![10], vec![3, 3], vec![4, 2]] {
            assert!(Selection::Indices(bad).check(10).is_err());
        }
        assert!(range(9, 7, 1).check(10).is_ok() && range(10, 1, 0).check(10).is_ok());
    }

    fn selection(dim: usize) -> BoxedStrategy<Selection> {
        let ranges = (0..dim, 1..dim + 1, 0..dim + 1).prop_map(move |(start, step, count)| {
            range(start, step, count.min((dim - 1 - start) / step + 1))
        });
        let indices = proptest::collection::btree_set(0..dim, 0..dim + 1)
            .prop_map(|set| Selection::Indices(set.into_iter().collect()));
        prop_oneof![Just(Selection::All), ranges, indices].boxed()
    }

    fn cases() -> impl Strategy<Value = (Vec<usize>, Vec<Selection>, u64)> {
        proptest::collection::vec(1usize..7, 1..4).prop_flat_map(|shape| {
            let selections: Vec<_> = shape.iter().map(|d| selection(*d)).collect();
            (Just(shape), selections, prop_oneof![Just(1u64), 1..200u64])
        })
    }

    proptest! {
        #[test]
        fn every_plan_reads_what_is_wanted((shape, selections, gap) in cases()) {
            let total: usize = shape.iter().product();
            let file: Vec<u8> = (0..total as u64).flat_map(u64::to_le_bytes).collect();
            let wanted = wanted(&shape, &selections);
            let counts = wanted.counts();
            prop_assume!(!counts.contains(&0));
            let plan = wanted.plan(gap);
            let pieces: Vec<_> = plan.ranges.iter()
                .map(|r| (r.start, Bytes::copy_from_slice(&file[r.start as usize..r.end as usize])))
                .collect();
            let found = wanted.assemble(&plan, &pieces).unwrap();
            prop_assert_eq!(&found.shape, &counts);
            let whole = wanted.narrow(file.into()).unwrap();
            let cells: usize = counts.iter().product();
            for cell in 0..cells {
                let (mut rest, mut expected, mut factor) = (cell, 0, 1);
                let (mut here, mut there) = (found.offset as isize, whole.offset as isize);
                for axis in (0..shape.len()).rev() {
                    let i = rest % counts[axis];
                    rest /= counts[axis];
                    expected += selections[axis].index(i) * factor;
                    factor *= shape[axis];
                    here += found.strides[axis] * i as isize;
                    there += whole.strides[axis] * i as isize;
                }
                let value = |bytes: &Bytes, at: isize| u64::from_le_bytes(bytes[at as usize..][..8].try_into().unwrap());
                prop_assert_eq!(value(&found.bytes, here), expected as u64);
                prop_assert_eq!(value(&whole.bytes, there), expected as u64);
            }
        }
    }
}
