//! The words of a line of a scene, read from the front.

/// The rest of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a>(pub &'a str);

impl<'a> Words<'a> {
    /// Takes these words if they come next.
    pub fn take(&mut self, words: &str) -> bool {
        let Some(rest) = self.0.strip_prefix(words) else { return false };
        let ends = rest.is_empty() || rest.starts_with([' ', ',', ':']);
        if ends {
            self.0 = rest.trim_start_matches(',').trim_start();
        }
        ends
    }

    /// Takes the next word.
    pub fn word(&mut self) -> Option<&'a str> {
        let end = self.0.find([' ', ',', ':']).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest.trim_start_matches(',').trim_start();
        (!word.is_empty()).then_some(word)
    }

    /// Takes a quoted text.
    pub fn quoted(&mut self) -> Option<&'a str> {
        let (text, rest) = self.0.strip_prefix('"')?.split_once('"')?;
        self.0 = rest.trim_start_matches(',').trim_start();
        Some(text)
    }

    /// Takes a number.
    pub fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        let mut tried = *self;
        let number = tried.word()?.parse().ok()?;
        *self = tried;
        Some(number)
    }

    /// Takes a colon.
    pub fn colon(&mut self) -> bool {
        match self.0.strip_prefix(':') {
            Some(rest) => {
                self.0 = rest.trim_start();
                true
            }
            None => false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
