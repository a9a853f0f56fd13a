//! Typed slots: the state that features keep of the server, of an account or of a session.
//!
//! A slot is found by its type. A feature keeps its type private, so nobody else reads or writes
//! its state; the rules carry the values and look at none.

use std::any::TypeId;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::by_type::ByType;
/// One typed value.
pub use crate::by_type::Value as Slot;

/// The slots of one thing. Without values they use no memory on the heap.
///
/// The values are looked at for every message and hardly ever change. Held for a look or a change
/// of the list; taken last of all locks.
#[derive(Default)]
pub struct Slots(RwLock<ByType>);

impl Slots {
    /// Makes slots with these values.
    pub fn new(values: Vec<(TypeId, Slot)>) -> Slots {
        Slots(RwLock::new(ByType::of(values)))
    }

    /// The value of this type, if there is one.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.read().shared()
    }

    /// Looks at the value of this type, if there is one, without counting another reference. `look`
    /// must not come back to these slots.
    pub fn look<T: 'static, R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.read().get().map(look)
    }

    /// Whether there is a value of this type.
    pub fn has<T: 'static>(&self) -> bool {
        self.look(|_: &T| ()).is_some()
    }

    /// Puts a value in the place of the present one of its type.
    pub fn put<T: Send + Sync + 'static>(&self, value: Arc<T>) {
        let before = self.0.write().put(value);
        // Its end may look at the slots.
        drop(before);
    }

    /// Returns the value of this type, made now if there is none. Callers at the same time get the
    /// same one.
    pub fn get_or_default<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        if let Some(value) = self.get() {
            return value;
        }
        let mut values = self.0.write();
        values.shared().unwrap_or_else(|| {
            let value = Arc::new(T::default());
            values.put(value.clone());
            value
        })
    }

    /// Removes the value of this type.
    pub fn clear<T: 'static>(&self) {
        let before = self.0.write().remove::<T>();
        drop(before);
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
