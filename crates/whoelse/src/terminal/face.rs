//! The two forms of output: words for people, or JSON objects for programs.

use std::time::SystemTime;

use whoelse_client::Domain;

use super::said::Said;
use super::screen::Screen;
use super::{json, render};

/// A screen, and the form of its output.
#[derive(Clone)]
pub struct Face {
    pub screen: Screen,
    /// Whether to write one object a line instead of words.
    pub objects: bool,
    /// The domain whose people are named without it.
    pub domain: Domain,
    /// Whether a person is in front of it: then lines have the time, and the prompt has a name.
    pub for_people: bool,
}

impl Face {
    /// Says something, without waiting for its reader.
    pub fn tell(&self, said: &Said<'_>) {
        let domain = self.domain.name();
        if self.objects {
            let object = json::object(said, &domain, SystemTime::now());
            object.into_iter().for_each(|line| self.screen.say(line));
        } else {
            let now = self.for_people.then(SystemTime::now);
            let lines = render::said(said, &domain, now);
            lines.into_iter().for_each(|line| self.screen.say(line));
            if let Some(prompt) = render::prompt(said, &domain).filter(|_| self.for_people) {
                self.screen.prompt(prompt);
            }
        }
    }
}
