//! One value for each type, found by the type: the rules keep such values for features that they do
//! not know.
//!
//! There are only a handful of values, so a look-up is a few comparisons and reads no name.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

/// Values of different types, at most one of each.
#[derive(Clone, Default)]
pub(crate) struct ByType(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl ByType {
    /// The value of this type, if there is one.
    pub fn get<T: Any>(&self) -> Option<&T> {
        let (_, value) = self.0.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// Puts a value in the place of the present one of its type.
    pub fn put<T: Any + Send + Sync>(&mut self, value: T) {
        let (id, value) = (TypeId::of::<T>(), Arc::new(value));
        match self.0.iter_mut().find(|(known, _)| *known == id) {
            Some((_, place)) => *place = value,
            None => self.0.push((id, value)),
        }
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
        values.put(1_u8);
        values.put("one");
        let before = values.clone();
        values.put(2_u8);

        assert_eq!((values.get::<u8>(), values.get::<&str>()), (Some(&2), Some(&"one")));
        assert_eq!((before.get::<u8>(), before.get::<u16>()), (Some(&1), None));
    }
}
