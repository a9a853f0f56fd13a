//! Typed slots: the state that features keep of the server, of an account or of a session.
//!
//! A slot is found by its type. A feature keeps its type private, so nobody else reads or writes
//! its state; the rules carry the values and look at none.

use std::any::TypeId;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::by_type::ByType;
/// One typed value.
pub use crate::by_type::Value as Slot;

/// The slots of one thing. Reading takes no lock; without values it uses no memory on the heap.
#[derive(Default)]
pub struct Slots(ArcSwapOption<ByType>);

impl Slots {
    /// Makes slots with these values.
    pub fn new(values: Vec<(TypeId, Slot)>) -> Slots {
        let values = ByType::of(values);
        match values.is_empty() {
            true => Slots::default(),
            false => Slots(ArcSwapOption::from_pointee(values)),
        }
    }

    /// The value of this type, if there is one.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.load().as_ref()?.shared()
    }

    /// Looks at the value of this type, if there is one, without counting another reference.
    pub fn look<T: 'static, R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.load().as_ref()?.get().map(look)
    }

    /// Whether there is a value of this type.
    pub fn has<T: 'static>(&self) -> bool {
        self.look(|_: &T| ()).is_some()
    }

    /// Puts a value in the place of the present one of its type.
    pub fn put<T: Send + Sync + 'static>(&self, value: Arc<T>) {
        self.change(|values| values.put(value.clone()));
    }

    /// Returns the value of this type, made now if there is none. Callers at the same time get the
    /// same one.
    pub fn get_or_default<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        if let Some(value) = self.get() {
            return value;
        }
        let mut made = Arc::new(T::default());
        self.change(|values| match values.shared() {
            Some(value) => made = value,
            None => values.put(made.clone()),
        });
        made
    }

    /// Removes the value of this type.
    pub fn clear<T: 'static>(&self) {
        if self.has::<T>() {
            self.change(|values| values.remove::<T>());
        }
    }

    /// Changes a copy of the values, again if somebody else was faster.
    fn change(&self, mut change: impl FnMut(&mut ByType)) {
        self.0.rcu(|values| {
            let mut values = values.as_deref().cloned().unwrap_or_default();
            change(&mut values);
            (!values.is_empty()).then(|| Arc::new(values))
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn a_value_is_found_by_its_type() {
        let slots = Slots::new(vec![(TypeId::of::<u8>(), Arc::new(7_u8) as Slot)]);

        assert_eq!(slots.get::<u8>().as_deref(), Some(&7));
        assert_eq!(slots.get::<u16>(), None);
        slots.put(Arc::new(8_u8));
        slots.put(Arc::new(9_u16));
        assert_eq!((*slots.get::<u8>().unwrap(), *slots.get::<u16>().unwrap()), (8, 9));
        slots.clear::<u8>();
        assert!(!slots.has::<u8>() && slots.has::<u16>());
    }

    #[test]
    fn who_asks_for_a_value_that_is_made_when_it_is_needed_gets_the_same_as_others() {
        let slots = Slots::default();

        let values: Vec<Arc<Mutex<u8>>> = std::thread::scope(|scope| {
            let asking: Vec<_> =
                (0..8).map(|_| scope.spawn(|| slots.get_or_default::<Mutex<u8>>())).collect();
            asking.into_iter().map(|asks| asks.join().unwrap()).collect()
        });

        assert!(values.iter().all(|value| Arc::ptr_eq(value, &values[0])));
    }
}
