//! One value for each type, found by the type: the rules keep such values for features that they do
//! not know.
//!
//! There are only a handful of values, so a look-up is a few comparisons and reads no name.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

/// A value with its type forgotten.
pub type Value = Arc<dyn Any + Send + Sync>;

/// Values of different types, at most one of each. There are as many of these lists as accounts and
/// sessions, and they hardly ever change, so none has room for more.
#[derive(Clone, Default)]
pub(crate) struct ByType(Box<[(TypeId, Value)]>);

impl ByType {
    /// Makes a collection of these values, each of another type.
    pub fn of(values: Vec<(TypeId, Value)>) -> ByType {
        ByType(values.into())
    }

    fn find<T: Any>(&self) -> Option<&Value> {
        self.0.iter().find(|(id, _)| *id == TypeId::of::<T>()).map(|(_, value)| value)
    }

    /// The value of this type, if there is one.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.find::<T>()?.downcast_ref()
    }

    /// Another reference to the value of this type, if there is one.
    pub fn shared<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.find::<T>()?.clone().downcast().ok()
    }

    /// Puts a value in the place of the present one of its type, which is returned.
    pub fn put<T: Any + Send + Sync>(&mut self, value: Arc<T>) -> Option<Value> {
        let id = TypeId::of::<T>();
        match self.0.iter_mut().find(|(known, _)| *known == id) {
            Some((_, place)) => Some(std::mem::replace(place, value)),
            None => {
                let mut values = std::mem::take(&mut self.0).into_vec();
                values.reserve_exact(1);
                values.push((id, value));
                self.0 = values.into();
                None
            }
        }
    }

    /// Removes the value of this type, which is returned.
    pub fn remove<T: Any>(&mut self) -> Option<Value> {
        let at = self.0.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        let mut values = std::mem::take(&mut self.0).into_vec();
        let (_, value) = values.swap_remove(at);
        self.0 = values.into();
        Some(value)
    }
}

impl fmt::Debug for ByType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_of_a_type() {
        let mut values = ByType::default();
        values.put(Arc::new(1_u8));
        values.put(Arc::new("one"));
        values.put(Arc::new(2_u8));

        assert_eq!((values.get::<u8>(), values.get::<&str>()), (Some(&2), Some(&"one")));
        assert_eq!(values.get::<u16>(), None);
        values.remove::<u8>();
        assert_eq!((values.get::<u8>(), values.get::<&str>()), (None, Some(&"one")));
    }
}
