//! Work that is asked for by many and done by one: whoever asks first does it, and looks again if
//! others have asked meanwhile.

use std::sync::atomic::{AtomicU32, Ordering};

/// How often the work was asked for since nobody did it.
#[derive(Debug, Default)]
pub(crate) struct Asked(AtomicU32);

impl Asked {
    /// Asks for the work. Returns whether the asker has to do it: nobody else does.
    pub fn ask(&self) -> bool {
        self.0.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// Returns how often it was asked for, before it is done.
    pub fn so_far(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Notes that it is done for those who had asked so far. Returns whether nobody has asked since.
    pub fn is_done_for(&self, asked: u32) -> bool {
        self.0.compare_exchange(asked, 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_does_the_work_again_until_nobody_has_asked_meanwhile() {
        let asked = Asked::default();
        assert!(asked.ask());
        let so_far = asked.so_far();
        assert!(!asked.ask() && !asked.ask());

        assert!(!asked.is_done_for(so_far));
        assert!(asked.is_done_for(asked.so_far()));
        assert!(asked.ask());
    }
}
