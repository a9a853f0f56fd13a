//! What a task that never waits has to tell another one, in order: sent at once if there is room,
//! otherwise as soon as there is. What listens beside a session tells the interface its events so, and
//! its carrier what to do with the session.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Above this many things that wait, nothing new is read.
const MAX_UNTOLD: usize = 256;

/// A channel, and what has found no room in it.
#[derive(Debug)]
pub struct Teller<T> {
    channel: mpsc::Sender<T>,
    untold: VecDeque<T>,
}

impl<T> Teller<T> {
    /// Makes one for this channel.
    pub fn new(channel: mpsc::Sender<T>) -> Teller<T> {
        Teller { channel, untold: VecDeque::new() }
    }

    /// Sends this after all others. If there is room it is sent at once, so it comes before what
    /// others send later on the same channel.
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

    /// Returns whether anything may be read of which more could be told.
    pub fn has_room(&self) -> bool {
        self.untold.len() < MAX_UNTOLD
    }

    /// Sends the next that waits as soon as there is room; waits for ever if there is none. Returns
    /// whether anybody still listens.
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

    /// Sends all that waits.
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
        let mut teller = Teller::new(channel);
        for n in 0..MAX_UNTOLD {
            assert!(teller.has_room());
            teller.tell(n);
        }
        teller.tell(MAX_UNTOLD);
        teller.tell(MAX_UNTOLD + 1);
        assert!(!teller.has_room());

        for n in 0..4 {
            assert_eq!(told.recv().await, Some(n));
            assert!(teller.tell_next().await);
        }
        teller.tell(MAX_UNTOLD + 2);
        tokio::spawn(teller.tell_rest());
        for n in 4..MAX_UNTOLD + 3 {
            assert_eq!(told.recv().await, Some(n));
        }
        assert_eq!(told.recv().await, None);
    }

    #[tokio::test]
    async fn a_listener_that_is_gone_is_noticed() {
        let (channel, told) = mpsc::channel(1);
        let mut teller = Teller::new(channel);
        teller.tell(1);
        teller.tell(2);

        drop(told);

        assert!(!teller.tell_next().await);
    }
}
