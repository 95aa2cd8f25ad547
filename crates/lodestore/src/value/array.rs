//! N-dimensional arrays.

use bytes::Bytes;

use super::{DType, Value};

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
