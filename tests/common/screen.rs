//! What a person sees: the few sequences that a line editor writes, obeyed on a grid of characters.

/// A terminal's screen, without colours.
pub struct Screen {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    width: usize,
    pending: Vec<u8>,
}

impl Screen {
    pub fn new(width: usize) -> Screen {
        Screen { rows: vec![Vec::new()], row: 0, column: 0, width, pending: Vec::new() }
    }

    /// Takes what a program wrote.
    pub fn write(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while let Some(used) = self.take() {
            self.pending.drain(..used);
        }
    }

    /// The rows with something on them.
    pub fn lines(&self) -> Vec<String> {
        let text = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_owned();
        self.rows.iter().map(text).filter(|row| !row.is_empty()).collect()
    }

    /// The row the cursor stands on, and its place there.
    pub fn typed(&self) -> (String, usize) {
        (self.rows[self.row].iter().collect::<String>().trim_end().to_owned(), self.column)
    }

    /// Obeys one character or sequence, if it is complete; returns its length.
    fn take(&mut self) -> Option<usize> {
        let first = *self.pending.first()?;
        match first {
            b'\r' => self.column = 0,
            b'\n' => self.down(1),
            8 => self.column = self.column.saturating_sub(1),
            7 => {}
            0x1b => return self.sequence(),
            _ => {
                let length = match first {
                    0..=0x7f => 1,
                    0xc0..=0xdf => 2,
                    0xe0..=0xef => 3,
                    _ => 4,
                };
                let bytes = self.pending.get(..length)?;
                let c = std::str::from_utf8(bytes).unwrap().chars().next().unwrap();
                self.put(c);
                return Some(length);
            }
        }
        Some(1)
    }

    /// `ESC [ numbers letter`; whatever else begins with ESC is two bytes long.
    fn sequence(&mut self) -> Option<usize> {
        if *self.pending.get(1)? != b'[' {
            return Some(2);
        }
        let end = 2 + self.pending[2..].iter().position(|byte| (0x40..0x7f).contains(byte))?;
        let text = String::from_utf8_lossy(&self.pending[2..end]).into_owned();
        let number = |n: usize| text.split(';').nth(n).and_then(|text| text.parse().ok());
        let count = number(0).unwrap_or(1usize).max(1);
        match self.pending[end] {
            b'A' => self.row = self.row.saturating_sub(count),
            b'B' => self.down(count),
            b'C' => self.column += count,
            b'D' => self.column = self.column.saturating_sub(count),
            b'G' => self.column = count - 1,
            b'K' => {
                let keep = match number(0).unwrap_or(0usize) {
                    0 => self.column,
                    _ => 0,
                };
                self.rows[self.row].truncate(keep);
            }
            b'J' => {
                self.rows[self.row].truncate(self.column);
                self.rows.truncate(self.row + 1);
            }
            // Colours and modes change nothing that is looked at here.
            _ => {}
        }
        Some(end + 1)
    }

    fn put(&mut self, c: char) {
        if self.column >= self.width {
            self.column = 0;
            self.down(1);
        }
        let row = &mut self.rows[self.row];
        while row.len() <= self.column {
            row.push(' ');
        }
        row[self.column] = c;
        self.column += 1;
    }

    fn down(&mut self, rows: usize) {
        self.row += rows;
        while self.rows.len() <= self.row {
            self.rows.push(Vec::new());
        }
    }
}
