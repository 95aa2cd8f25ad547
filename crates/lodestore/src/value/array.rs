//! N-dimensional arrays.

use std::mem::MaybeUninit;

use bytes::Bytes;

use super::dtype::Element;
use super::{ByteOrder, DType, Kind, Value};
use crate::error::{Error, Result};

/// NumPy's limit on dimensions.
pub(crate) const MAX_DIMS: usize = 64;

/// An n-dimensional array with a NumPy element type. A 0-d array stands for a NumPy scalar.
#[derive(Debug, Clone)]
pub struct Array {
    /// Element type.
    pub dtype: DType,
    /// Shape.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Elements,
}

/// How the elements of an [`Array`] lie in memory.
#[derive(Debug, Clone)]
pub enum Elements {
    /// Raw bytes of fixed-size elements; may be borrowed from a foreign owner (`Bytes::from_owner`).
    Raw {
        /// The memory.
        bytes: Bytes,
        /// Offset of the first element.
        offset: usize,
        /// Byte strides per dimension; may be negative or zero.
        strides: Vec<isize>,
    },
    /// Any values (dtype object), in C order.
    Objects(Vec<Value>),
}

/// Which index varies fastest in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// The last (row-major).
    C,
    /// The first (column-major, Fortran).
    F,
}

/// The number of elements of a shape, or an error if it, or its size in bytes, cannot be addressed. As NumPy does,
/// the check leaves out dimensions of length zero.
pub fn element_count(shape: &[usize], itemsize: usize) -> Result<usize> {
    if shape.len() > MAX_DIMS {
        return Err(Error::invalid(format!(
            "an array of {} dimensions; the limit is {MAX_DIMS}",
            shape.len()
        )));
    }
    let bytes = shape
        .iter()
        .filter(|&&d| d > 0)
        .try_fold(itemsize.max(1), |n, &d| n.checked_mul(d));
    match bytes {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(shape.iter().product()),
        _ => Err(Error::invalid("the array's shape is too large to address")),
    }
}

/// Byte strides of a contiguous array.
pub fn contiguous_strides(shape: &[usize], itemsize: usize, order: Order) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut step = itemsize as isize;
    let mut assign = |axis: usize| {
        strides[axis] = step;
        step *= shape[axis].max(1) as isize;
    };
    match order {
        Order::C => (0..shape.len()).rev().for_each(&mut assign),
        Order::F => (0..shape.len()).for_each(&mut assign),
    }
    strides
}

impl Array {
    /// An array over contiguous memory that holds exactly its elements.
    pub fn new(dtype: DType, shape: Vec<usize>, order: Order, bytes: Bytes) -> Result<Array> {
        let count = element_count(&shape, dtype.itemsize)?;
        if bytes.len() != count * dtype.itemsize {
            return Err(Error::invalid(format!(
                "{} bytes do not make an array of {count} elements of {} bytes",
                bytes.len(),
                dtype.itemsize
            )));
        }
        let strides = contiguous_strides(&shape, dtype.itemsize, order);
        Self::strided(dtype, shape, bytes, 0, strides)
    }

    /// An array over memory laid out in any way. An error if an element would lie outside the memory, or if the type
    /// holds objects.
    pub fn strided(
        dtype: DType,
        shape: Vec<usize>,
        bytes: Bytes,
        offset: usize,
        strides: Vec<isize>,
    ) -> Result<Array> {
        if dtype.has_objects() {
            return Err(Error::invalid(
                "an array of objects cannot be made of raw memory",
            ));
        }
        element_count(&shape, dtype.itemsize)?;
        check_bounds(&shape, &strides, offset, dtype.itemsize, bytes.len())?;
        Ok(Array {
            dtype,
            shape,
            data: Elements::Raw {
                bytes,
                offset,
                strides,
            },
        })
    }

    /// An array of objects; items in C order.
    pub fn objects(shape: Vec<usize>, items: Vec<Value>) -> Result<Array> {
        let count = element_count(&shape, size_of::<Value>())?;
        if items.len() != count {
            return Err(Error::invalid(format!(
                "{} items do not fill an array of {count}",
                items.len()
            )));
        }
        Ok(Array {
            dtype: DType::object(),
            shape,
            data: Elements::Objects(items),
        })
    }

    /// A 0-d array (a NumPy scalar).
    pub fn scalar<T: Element>(value: T) -> Array {
        Self::from_ndarray(ndarray::arr0(value))
    }

    /// Takes an `ndarray` array without copying its elements.
    pub fn from_ndarray<T: Element, D: ndarray::Dimension>(array: ndarray::Array<T, D>) -> Array {
        let shape = array.shape().to_vec();
        let strides = array
            .strides()
            .iter()
            .map(|s| s * size_of::<T>() as isize)
            .collect();
        let (memory, offset) = array.into_raw_vec_and_offset();
        let bytes = Bytes::from_owner(Memory(memory));
        Array {
            dtype: T::dtype(),
            shape,
            data: Elements::Raw {
                bytes,
                offset: offset.unwrap_or(0) * size_of::<T>(),
                strides,
            },
        }
    }

    /// Copies the elements into an `ndarray` array of the same element type, turning big-endian ones round.
    /// An error of kind `Type` if the element type differs.
    pub fn to_ndarray<T: Element>(&self) -> Result<ndarray::ArrayD<T>> {
        let little = self.to_little()?;
        if little.dtype != T::dtype().little() {
            return Err(Error::new(
                crate::ErrorKind::Type,
                format!(
                    "an array of {} is not one of {}",
                    self.dtype.text(),
                    T::dtype().text()
                ),
            ));
        }
        let bytes = little.to_contiguous(Order::C)?;
        let items = bytes.chunks_exact(size_of::<T>()).map(T::from_le).collect();
        ndarray::ArrayD::from_shape_vec(self.shape.clone(), items).map_err(|e| {
            Error::invalid(format!("the array's shape does not fit its elements: {e}"))
        })
    }

    /// As [`to_ndarray`](Array::to_ndarray), with the number of dimensions fixed by the type wanted:
    /// `let trace: Array1<f64> = array.to_dim()?`. An error of kind `Type` if the array has another.
    pub fn to_dim<T: Element, D: ndarray::Dimension>(&self) -> Result<ndarray::Array<T, D>> {
        self.to_ndarray()?.into_dimensionality().map_err(|_| {
            Error::new(
                crate::ErrorKind::Type,
                format!(
                    "an array of {} dimensions is not one of {}",
                    self.ndim(),
                    D::NDIM.unwrap_or(self.ndim())
                ),
            )
        })
    }

    /// Number of dimensions.
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Size of the elements in bytes, laid side by side.
    pub fn nbytes(&self) -> usize {
        self.len() * self.dtype.itemsize
    }

    /// True if the elements lie side by side, the last index varying fastest. NumPy's rule: an axis of length one
    /// does not count, and an array without elements is contiguous.
    pub fn is_c_contiguous(&self) -> bool {
        self.is_contiguous(Order::C)
    }

    /// As [`is_c_contiguous`](Self::is_c_contiguous), the first index varying fastest.
    pub fn is_f_contiguous(&self) -> bool {
        self.is_contiguous(Order::F)
    }

    fn is_contiguous(&self, order: Order) -> bool {
        let Elements::Raw { strides, .. } = &self.data else {
            return order == Order::C || self.ndim() < 2;
        };
        let wanted = contiguous_strides(&self.shape, self.dtype.itemsize, order);
        self.is_empty()
            || self
                .shape
                .iter()
                .zip(strides.iter().zip(&wanted))
                .all(|(&d, (a, b))| d == 1 || a == b)
    }

    /// The elements side by side in one order: without a copy if they already are. An error for arrays of objects.
    pub fn to_contiguous(&self, order: Order) -> Result<Bytes> {
        let Elements::Raw { bytes, offset, .. } = &self.data else {
            return Err(Error::invalid("an array of objects has no raw memory"));
        };
        if self.is_empty() {
            return Ok(Bytes::new());
        }
        let end = self
            .shape
            .iter()
            .try_fold(self.dtype.itemsize, |n, &d| n.checked_mul(d))
            .and_then(|n| n.checked_add(*offset));
        if let Some(end) = end.filter(|&end| end <= bytes.len() && self.is_contiguous(order)) {
            return Ok(bytes.slice(*offset..end));
        }
        let mut out = Vec::new();
        self.append_to(order, &mut out)?;
        Ok(out.into())
    }

    /// Appends the elements, side by side in one order, to a buffer, which grows exactly once.
    pub fn append_to(&self, order: Order, out: &mut Vec<u8>) -> Result<()> {
        self.append_part_to(order, 0..self.dtype.itemsize, out)
    }

    /// As [`append_to`](Self::append_to), but only some bytes of each element (one half of a complex number).
    pub(crate) fn append_part_to(
        &self,
        order: Order,
        part: std::ops::Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let Elements::Raw {
            bytes,
            offset,
            strides,
        } = &self.data
        else {
            return Err(Error::invalid("an array of objects has no raw memory"));
        };
        let count = element_count(&self.shape, self.dtype.itemsize)?;
        let itemsize = self.dtype.itemsize;
        if part.start > part.end || part.end > itemsize {
            return Err(Error::invalid("a part that is not within the element"));
        }
        // The fields are public: what the constructors checked may have been changed since.
        check_bounds(&self.shape, strides, *offset, itemsize, bytes.len())?;
        let (item, total) = (part.len(), count * part.len());
        if total == 0 {
            return Ok(());
        }
        out.reserve_exact(total);
        let start = out.len();
        if item == itemsize && self.is_contiguous(order) {
            out.extend_from_slice(&bytes[*offset..offset + total]);
            return Ok(());
        }
        // SAFETY: `check_bounds` proved that every element lies within `bytes`; the part lies within the element.
        unsafe {
            gather(
                bytes.as_ptr().add(offset + part.start),
                &self.shape,
                strides,
                item,
                order,
                &mut out.spare_capacity_mut()[..total],
            );
            // SAFETY: `gather` initialised all `total` bytes.
            out.set_len(start + total);
        }
        Ok(())
    }

    /// The same array in contiguous memory of one order.
    pub fn to_order(&self, order: Order) -> Result<Array> {
        if matches!(self.data, Elements::Objects(_)) {
            return Ok(self.clone());
        }
        Array::new(
            self.dtype.clone(),
            self.shape.clone(),
            order,
            self.to_contiguous(order)?,
        )
    }

    /// The same array with little-endian elements; shares the memory if they are already. Structured types whose
    /// fields are big-endian are left alone: take them apart with [`field`](Self::field).
    pub fn to_little(&self) -> Result<Array> {
        if self.dtype.order != ByteOrder::Big {
            return Ok(self.clone());
        }
        let unit = self.dtype.swap_unit().unwrap_or(1);
        let mut memory = Vec::new();
        self.append_to(Order::F, &mut memory)?;
        memory
            .chunks_exact_mut(unit.max(1))
            .for_each(<[u8]>::reverse);
        Array::new(
            self.dtype.little(),
            self.shape.clone(),
            Order::F,
            memory.into(),
        )
    }

    /// One field of a structured array, sharing its memory; a sub-array adds its dimensions at the end.
    pub fn field(&self, name: &str) -> Result<Array> {
        let (
            Kind::Struct { fields, .. },
            Elements::Raw {
                bytes,
                offset,
                strides,
            },
        ) = (&self.dtype.kind, &self.data)
        else {
            return Err(Error::invalid("the array has no fields"));
        };
        let field = fields.iter().find(|f| f.name == name).ok_or_else(|| {
            Error::new(
                crate::ErrorKind::UnknownKey,
                format!("the array has no field {name:?}"),
            )
        })?;
        let mut shape = self.shape.clone();
        shape.extend(&field.shape);
        let mut strides = strides.clone();
        strides.extend(contiguous_strides(
            &field.shape,
            field.dtype.itemsize,
            Order::C,
        ));
        let offset = offset + field.offset;
        if shape.contains(&0) {
            return Array::new(field.dtype.clone(), shape, Order::C, Bytes::new());
        }
        Array::strided(field.dtype.clone(), shape, bytes.clone(), offset, strides)
    }

    /// True if element type, shape and every bit of the elements agree; the layout in memory does not matter.
    pub fn same(&self, other: &Array) -> bool {
        if self.dtype != other.dtype || self.shape != other.shape {
            return false;
        }
        match (&self.data, &other.data) {
            (Elements::Objects(a), Elements::Objects(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (Elements::Raw { .. }, Elements::Raw { .. }) => {
                match (self.to_contiguous(Order::C), other.to_contiguous(Order::C)) {
                    (Ok(a), Ok(b)) => a == b,
                    _ => false,
                }
            }
            _ => false,
        }
    }
}

/// Owner of a vector of plain numbers, seen as bytes.
struct Memory<T>(Vec<T>);

impl<T: Element> AsRef<[u8]> for Memory<T> {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: an `Element` (sealed: bool, integers, floats) has no padding, and any byte may be read as `u8`.
        unsafe {
            std::slice::from_raw_parts(self.0.as_ptr().cast(), size_of_val(self.0.as_slice()))
        }
    }
}

/// Checks that every element lies within `len` bytes. An array without elements touches none.
fn check_bounds(
    shape: &[usize],
    strides: &[isize],
    offset: usize,
    itemsize: usize,
    len: usize,
) -> Result<()> {
    let wrong = || Error::invalid("the array's strides lead outside its memory");
    if offset > len || strides.len() != shape.len() {
        return Err(wrong());
    }
    if shape.contains(&0) {
        return Ok(());
    }
    let (mut low, mut high) = (offset as i128, offset as i128 + itemsize as i128);
    for (&dim, &stride) in shape.iter().zip(strides) {
        let reach = (dim as i128 - 1)
            .checked_mul(stride as i128)
            .ok_or_else(wrong)?;
        low = low.checked_add(reach.min(0)).ok_or_else(wrong)?;
        high = high.checked_add(reach.max(0)).ok_or_else(wrong)?;
    }
    if low < 0 || high > len as i128 {
        Err(wrong())
    } else {
        Ok(())
    }
}

/// One axis of a copy: extent, step in the source, step in the destination.
#[derive(Clone, Copy)]
struct Axis {
    extent: usize,
    from: isize,
    to: isize,
}

/// Copies elements of `item` bytes from strided memory into contiguous memory of one order.
///
/// Where source and destination vary fastest along different axes, the copy walks tiles of these two axes that fit the
/// cache; otherwise it copies whole runs.
///
/// # Safety
/// For every index within `shape`, `item` bytes at `source + Σ index·stride` must be readable; `target` must be as
/// long as all items together. No extent may be zero.
unsafe fn gather(
    source: *const u8,
    shape: &[usize],
    strides: &[isize],
    item: usize,
    order: Order,
    target: &mut [MaybeUninit<u8>],
) {
    let steps = contiguous_strides(shape, item, order);
    let mut axes: Vec<Axis> = (0..shape.len())
        .filter(|&i| shape[i] > 1)
        .map(|i| Axis {
            extent: shape[i],
            from: strides[i],
            to: steps[i],
        })
        .collect();
    axes.sort_by_key(|axis| axis.to);
    // Neighbouring axes that lie behind one another in the source too are one axis.
    axes.dedup_by(|next, axis| {
        let joined = next.from == axis.from.wrapping_mul(axis.extent as isize);
        if joined {
            axis.extent *= next.extent;
        }
        joined
    });
    let mut run = item;
    if axes.first().is_some_and(|a| a.from == item as isize) {
        run = item * axes.remove(0).extent;
    }
    let one = Axis {
        extent: 1,
        from: 0,
        to: 0,
    };
    let inner = if axes.is_empty() { one } else { axes.remove(0) };
    let fastest = (0..axes.len()).min_by_key(|&i| axes[i].from.unsigned_abs());
    let outer = match fastest {
        Some(i) if axes[i].from.unsigned_abs() < inner.from.unsigned_abs() => axes.remove(i),
        _ if axes.is_empty() => one,
        _ => axes.remove(0),
    };
    let copy = match run {
        1 => plane::<1>,
        2 => plane::<2>,
        4 => plane::<4>,
        8 => plane::<8>,
        16 => plane::<16>,
        _ => plane_of_runs,
    };
    let target = target.as_mut_ptr().cast::<u8>();
    let mut index = vec![0usize; axes.len()];
    let (mut from, mut to) = (0isize, 0isize);
    loop {
        // SAFETY: offsets are sums of in-range indices times strides, so both pointers stay within what the caller
        // guarantees.
        unsafe { copy(source.offset(from), target.offset(to), inner, outer, run) };
        let mut i = 0;
        loop {
            let Some(axis) = axes.get(i) else { return };
            index[i] += 1;
            from += axis.from;
            to += axis.to;
            if index[i] < axis.extent {
                break;
            }
            from -= axis.from * axis.extent as isize;
            to -= axis.to * axis.extent as isize;
            index[i] = 0;
            i += 1;
        }
    }
}

/// Copies a plane of `N`-byte items in tiles.
unsafe fn plane<const N: usize>(
    source: *const u8,
    target: *mut u8,
    inner: Axis,
    outer: Axis,
    _run: usize,
) {
    const TILE: usize = 32;
    for o0 in (0..outer.extent).step_by(TILE) {
        for i0 in (0..inner.extent).step_by(TILE) {
            for o in o0..(o0 + TILE).min(outer.extent) {
                for i in i0..(i0 + TILE).min(inner.extent) {
                    // SAFETY: indices are within the extents; the caller guarantees the memory behind them.
                    unsafe {
                        let from = source.offset(i as isize * inner.from + o as isize * outer.from);
                        let to = target.offset(i as isize * inner.to + o as isize * outer.to);
                        to.cast::<[u8; N]>()
                            .write_unaligned(from.cast::<[u8; N]>().read_unaligned());
                    }
                }
            }
        }
    }
}

/// Copies a plane of longer runs, one after the other.
unsafe fn plane_of_runs(source: *const u8, target: *mut u8, inner: Axis, outer: Axis, run: usize) {
    for o in 0..outer.extent {
        for i in 0..inner.extent {
            // SAFETY: as in `plane`.
            unsafe {
                let from = source.offset(i as isize * inner.from + o as isize * outer.from);
                let to = target.offset(i as isize * inner.to + o as isize * outer.to);
                std::ptr::copy_nonoverlapping(from, to, run);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use ndarray::{Array3, ArrayD, Axis as NdAxis, Slice, s};
    use proptest::prelude::*;

    fn bytes_of<T: Element>(items: impl Iterator<Item = T>) -> Vec<u8> {
        Memory(items.collect()).as_ref().to_vec()
    }

    #[test]
    fn contiguous_arrays_are_not_copied() {
        let a = Array::from_ndarray(ndarray::arr2(&[[1i16, 2, 3], [4, 5, 6]]));
        let Elements::Raw { bytes, .. } = &a.data else {
            panic!()
        };
        assert_eq!(a.to_contiguous(Order::C).unwrap().as_ptr(), bytes.as_ptr());
        assert!(a.is_c_contiguous() && !a.is_f_contiguous());
        assert_eq!(
            a.to_contiguous(Order::F).unwrap(),
            bytes_of([1i16, 4, 2, 5, 3, 6].into_iter())
        );
    }

    #[test]
    fn strides_never_lead_outside_the_memory() {
        let memory = || Bytes::from(vec![0; 16]);
        let i4 = || DType::of::<i32>();
        assert!(Array::strided(i4(), vec![4], memory(), 0, vec![4]).is_ok());
        assert!(Array::strided(i4(), vec![4], memory(), 12, vec![-4]).is_ok());
        assert!(Array::strided(i4(), vec![1 << 40], memory(), 0, vec![0]).is_ok());
        assert!(Array::strided(i4(), vec![4], memory(), 1, vec![4]).is_err());
        assert!(Array::strided(i4(), vec![4], memory(), 8, vec![-4]).is_err());
        assert!(Array::strided(i4(), vec![4], memory(), 0, vec![]).is_err());
        assert!(Array::strided(i4(), vec![2, 2], memory(), 0, vec![isize::MAX, 4]).is_err());
        assert!(Array::strided(i4(), vec![usize::MAX, 2], memory(), 0, vec![0, 0]).is_err());
        assert!(Array::strided(DType::object(), vec![2], memory(), 0, vec![8]).is_err());
        let mut a = Array::strided(i4(), vec![4], memory(), 0, vec![4]).unwrap();
        a.shape[0] = 5;
        assert!(a.to_contiguous(Order::C).is_err());
        assert!(a.append_to(Order::F, &mut Vec::new()).is_err());
    }

    #[test]
    fn big_endian_elements_are_turned_round() {
        let dtype = DType::parse_text(">c16").unwrap();
        let memory: Vec<u8> = [1.5f64.to_be_bytes(), (-2.0f64).to_be_bytes()].concat();
        let little = Array::new(dtype, vec![1], Order::C, memory.into())
            .unwrap()
            .to_little()
            .unwrap();
        assert_eq!(little.dtype.text(), "complex128");
        assert_eq!(
            little.to_contiguous(Order::C).unwrap(),
            [1.5f64.to_le_bytes(), (-2.0f64).to_le_bytes()].concat()
        );
    }

    #[test]
    fn a_field_shares_the_memory_of_its_record() {
        let dtype = DType::parse_text("[('a', 'u1'), ('b', '<i2', (2,))]").unwrap();
        let a = Array::new(
            dtype,
            vec![2],
            Order::C,
            vec![1, 2, 0, 3, 0, 4, 5, 0, 6, 0].into(),
        )
        .unwrap();
        assert_eq!(
            a.field("a")
                .unwrap()
                .to_ndarray::<u8>()
                .unwrap()
                .into_raw_vec_and_offset()
                .0,
            [1, 4]
        );
        assert_eq!(
            a.field("b").unwrap().to_ndarray::<i16>().unwrap(),
            ndarray::arr2(&[[2, 3], [5, 6]]).into_dyn()
        );
        assert!(a.field("c").is_err());
    }

    /// An array of any layout: permuted, sliced and reversed axes.
    fn layouts() -> impl Strategy<Value = ArrayD<u32>> {
        let axis = || (0usize..70, 1isize..4, any::<bool>());
        ((axis(), axis(), axis()), Just(()), 0usize..6).prop_map(
            |(((a, sa, ra), (b, sb, rb), (c, sc, rc)), (), perm)| {
                let c = c % 9;
                let mut n = 0u32;
                let mut array = Array3::from_shape_simple_fn((a, b, c), || {
                    n += 1;
                    n
                })
                .into_dyn();
                for (i, (step, reverse)) in [(sa, ra), (sb, rb), (sc, rc)].into_iter().enumerate() {
                    array.slice_axis_inplace(
                        NdAxis(i),
                        Slice::new(0, None, if reverse { -step } else { step }),
                    );
                }
                let order = [
                    [0, 1, 2],
                    [0, 2, 1],
                    [1, 0, 2],
                    [1, 2, 0],
                    [2, 0, 1],
                    [2, 1, 0],
                ][perm];
                array.permuted_axes(order.to_vec())
            },
        )
    }

    proptest! {
        #[test]
        fn any_layout_is_gathered_in_either_order(array in layouts()) {
            let c = bytes_of(array.iter().copied());
            let f = bytes_of(array.t().iter().copied());
            let shape = array.shape().to_vec();
            let ours = Array::from_ndarray(array.clone());
            prop_assert_eq!(&ours.to_contiguous(Order::C).unwrap()[..], &c[..]);
            prop_assert_eq!(&ours.to_contiguous(Order::F).unwrap()[..], &f[..]);
            prop_assert_eq!(ours.to_ndarray::<u32>().unwrap(), array);
            let back = Array::new(DType::of::<u32>(), shape, Order::F, f.into()).unwrap();
            prop_assert!(back.same(&ours));
        }

        #[test]
        fn parts_of_elements_are_gathered_alone(array in layouts()) {
            let ours = Array::from_ndarray(array.clone());
            let mut high = Vec::new();
            ours.append_part_to(Order::F, 2..4, &mut high).unwrap();
            prop_assert_eq!(high, bytes_of(array.t().iter().map(|v| (v >> 16) as u16)));
        }
    }

    #[test]
    fn a_reversed_view_of_ndarray_is_taken_as_it_is() {
        let mut a = ndarray::Array1::from(vec![1f32, 2., 3., 4.]);
        a.slice_collapse(s![..;-2]);
        assert_eq!(
            Array::from_ndarray(a).to_ndarray::<f32>().unwrap(),
            ndarray::arr1(&[4f32, 2.]).into_dyn()
        );
    }
}
