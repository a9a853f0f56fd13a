//! The type of a boxed future.

use std::pin::Pin;

/// A boxed future, for what is kept in tables and behind traits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
