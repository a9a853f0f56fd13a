//! whoelse store.
