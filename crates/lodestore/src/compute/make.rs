//! What populate calls for each key: plain and three-part makes.

use crate::error::{Error, Result};
use crate::value::Row;

/// The computation of one key.
///
/// Any `FnMut(&Row) -> Result<()>` is one: it runs inside the transaction. A computation that should not hold a
/// transaction open while it works implements [`prepare`](Make::prepare) as well, or uses [`ThreePart`].
pub trait Make {
    /// True if [`prepare`](Make::prepare) does something: populate then looks first whether the key is done already.
    fn is_prepared(&self) -> bool {
        false
    }

    /// Runs before the transaction: fetch and compute. What it finds it keeps in itself.
    fn prepare(&mut self, _key: &Row) -> Result<()> {
        Ok(())
    }

    /// Runs inside the transaction. A prepared make fetches again, fails if its input changed, and inserts.
    fn make(&mut self, key: &Row) -> Result<()>;

    /// Runs after each key, whatever happened: the place to clear what belongs to one key.
    fn finished(&mut self, _key: &Row) {}
}

impl<F: FnMut(&Row) -> Result<()>> Make for F {
    fn make(&mut self, key: &Row) -> Result<()> {
        self(key)
    }
}

/// A make in three parts (spec: compute §2): `fetch` and `compute` run without a transaction; then, inside one, `fetch`
/// runs again, its result must equal the first, and `insert` stores what was computed.
pub struct ThreePart<F, C, I, T, R> {
    fetch: F,
    compute: C,
    insert: I,
    held: Option<(T, R)>,
}

impl<F, C, I, T, R> ThreePart<F, C, I, T, R>
where
    F: FnMut(&Row) -> Result<T>,
    C: FnMut(&Row, &T) -> Result<R>,
    I: FnMut(&Row, R) -> Result<()>,
    T: PartialEq,
{
    /// A make from its three parts.
    pub fn new(fetch: F, compute: C, insert: I) -> Self {
        ThreePart {
            fetch,
            compute,
            insert,
            held: None,
        }
    }
}

impl<F, C, I, T, R> Make for ThreePart<F, C, I, T, R>
where
    F: FnMut(&Row) -> Result<T>,
    C: FnMut(&Row, &T) -> Result<R>,
    I: FnMut(&Row, R) -> Result<()>,
    T: PartialEq,
{
    fn is_prepared(&self) -> bool {
        true
    }

    fn prepare(&mut self, key: &Row) -> Result<()> {
        self.held = None;
        let fetched = (self.fetch)(key)?;
        let computed = (self.compute)(key, &fetched)?;
        self.held = Some((fetched, computed));
        Ok(())
    }

    fn make(&mut self, key: &Row) -> Result<()> {
        let (fetched, computed) = self.held.take().ok_or_else(|| {
            Error::invalid("a three-part make must be prepared before it inserts")
        })?;
        if (self.fetch)(key)? != fetched {
            return Err(Error::invalid(
                "the input of make changed while it was computing; nothing was inserted",
            ));
        }
        (self.insert)(key, computed)
    }

    fn finished(&mut self, _key: &Row) {
        self.held = None;
    }
}
