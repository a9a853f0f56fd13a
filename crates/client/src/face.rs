//! The events of what listens beside a session for the interface, in order: sent at once if there is
//! room, otherwise as soon as there is.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Above this many waiting events, nothing new is read.
const MAX_UNTOLD: usize = 256;

/// The channel to the interface, and the events that found no room in it.
#[derive(Debug)]
pub struct Face<T> {
    channel: mpsc::Sender<T>,
    untold: VecDeque<T>,
}

impl<T> Face<T> {
    /// Makes one for this channel.
    pub fn new(channel: mpsc::Sender<T>) -> Face<T> {
        Face { channel, untold: VecDeque::new() }
    }

    /// Sends an event after all others. If there is room it is sent at once, so it comes before
    /// what others send later on the same channel.
    pub fn tell(&mut self, it: T) {
        if !self.untold.is_empty() {
            return self.untold.push_back(it);
        }
        match self.channel.try_send(it) {
            Err(TrySendError::Full(it)) => self.untold.push_back(it),
            // Nobody listens any more.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
        }
    }

    /// Returns whether anything may be read that could cause events.
    pub fn has_room(&self) -> bool {
        self.untold.len() < MAX_UNTOLD
    }

    /// Sends the next waiting event as soon as there is room; waits for ever if there is none.
    /// Returns whether the interface still listens.
    pub async fn tell_next(&mut self) -> bool {
        if self.untold.is_empty() {
            return std::future::pending().await;
        }
        let Ok(permit) = self.channel.reserve().await else { return false };
        if let Some(it) = self.untold.pop_front() {
            permit.send(it);
        }
        true
    }

    /// Sends all waiting events.
    pub async fn tell_rest(self) {
        for it in self.untold {
            if self.channel.send(it).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_is_told_in_order_however_little_room_there_is() {
        let (channel, mut told) = mpsc::channel(2);
        let mut face = Face::new(channel);
        for n in 0..MAX_UNTOLD {
            assert!(face.has_room());
            face.tell(n);
        }
        face.tell(MAX_UNTOLD);
        face.tell(MAX_UNTOLD + 1);
        assert!(!face.has_room());

        for n in 0..4 {
            assert_eq!(told.recv().await, Some(n));
            assert!(face.tell_next().await);
        }
        face.tell(MAX_UNTOLD + 2);
        tokio::spawn(face.tell_rest());
        for n in 4..MAX_UNTOLD + 3 {
            assert_eq!(told.recv().await, Some(n));
        }
        assert_eq!(told.recv().await, None);
    }

    #[tokio::test]
    async fn a_face_that_is_gone_is_noticed() {
        let (channel, told) = mpsc::channel(1);
        let mut face = Face::new(channel);
        face.tell(1);
        face.tell(2);

        drop(told);

        assert!(!face.tell_next().await);
    }
}
