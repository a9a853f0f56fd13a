//! The two ways to say a thing: in words for people, or as JSON objects for programs.

use std::time::SystemTime;

use whoelse_client::Domain;

use super::said::Said;
use super::screen::Screen;
use super::{json, render};

/// A screen, and how things are said on it.
#[derive(Clone)]
pub struct Face {
    pub screen: Screen,
    /// One object a line, instead of words.
    pub objects: bool,
    /// The domain whose people are called by their first names.
    pub domain: Domain,
    /// Somebody sits in front of it: what is said has the time, and the prompt says who that is.
    pub for_people: bool,
}

impl Face {
    /// Says something, without waiting for whoever reads it.
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
