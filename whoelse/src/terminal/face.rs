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
}

impl Face {
    /// Says something, without waiting for whoever reads it.
    pub fn tell(&self, said: &Said<'_>) {
        let domain = self.domain.name();
        if self.objects {
            let object = json::object(said, &domain, SystemTime::now());
            object.iter().for_each(|line| self.screen.say(line));
        } else {
            render::said(said, &domain).iter().for_each(|line| self.screen.say(line));
        }
    }
}
