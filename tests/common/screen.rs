//! A terminal's screen: interprets the few sequences that a line editor writes, on a grid of
//! characters.
//!
//! The grid has no lower edge: the upper rows are what a terminal has in its scrollback.

/// A terminal's screen, without colours.
pub struct Screen {
    rows: Vec<Row>,
    row: usize,
    column: usize,
    width: usize,
    wraps: bool,
    pending: Vec<u8>,
    /// How often something was drawn above the row being typed.
    went_up: usize,
}

#[derive(Clone, Default)]
struct Row {
    cells: Vec<char>,
    /// Whether the terminal itself wrapped into the next row.
    goes_on: bool,
}

impl Screen {
    pub fn new(width: usize) -> Screen {
        Screen {
            rows: vec![Row::default()],
            row: 0,
            column: 0,
            width,
            wraps: true,
            pending: Vec::new(),
            went_up: 0,
        }
    }

    /// Interprets a program's output.
    pub fn write(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let mut done = 0;
        while let Some(used) = self.take(done) {
            done += used;
        }
        self.pending.drain(..done);
    }

    /// Returns the rows that are not empty.
    pub fn lines(&self) -> Vec<String> {
        self.rows.iter().map(Row::text).filter(|row| !row.is_empty()).collect()
    }

    /// Returns the lines: rows that the terminal has joined or wrapped are one.
    pub fn whole_lines(&self) -> Vec<String> {
        let lines = self.rows.split_inclusive(|row| !row.goes_on);
        let whole = lines.map(|rows| rows.iter().flat_map(|row| &row.cells).collect::<String>());
        whole.collect()
    }

    /// Returns the last rows, empty or not.
    pub fn recent(&self, rows: usize) -> impl Iterator<Item = String> {
        let from = self.rows.len().saturating_sub(rows);
        self.rows[from..].iter().map(Row::text)
    }

    /// Returns how many rows there are, including those that have scrolled away.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Returns the rows from this one on.
    pub fn since(&self, row: usize) -> impl Iterator<Item = String> {
        self.rows.iter().skip(row).map(Row::text)
    }

    /// Returns the cursor's row, and its column.
    pub fn typed(&self) -> (String, usize) {
        (self.rows[self.row].text(), self.column)
    }

    /// Returns how often something was drawn above the row being typed, where arrived lines are.
    pub fn went_up(&self) -> usize {
        self.went_up
    }

    /// Changes the width as xterm does: rows stay as they are.
    pub fn resize(&mut self, width: usize) {
        self.width = width;
        self.column = self.column.min(width - 1);
    }

    /// Changes the width as most others do: joins wrapped rows and wraps them anew.
    pub fn reflow(&mut self, width: usize) {
        let (mut rows, mut at) = (Vec::new(), (0, 0));
        let (mut begin, mut cells) = (0, Vec::new());
        for (n, row) in self.rows.iter().enumerate() {
            if n == self.row {
                at = (rows.len(), cells.len() + self.column);
            }
            cells.extend(&row.cells);
            if row.goes_on && n + 1 < self.rows.len() {
                continue;
            }
            let has_cursor = (begin..=n).contains(&self.row);
            let length = if has_cursor { cells.len().max(at.1 + 1) } else { cells.len() };
            let pieces = length.div_ceil(width).max(1);
            for piece in 0..pieces {
                let from = (piece * width).min(cells.len());
                let to = (from + width).min(cells.len());
                let goes_on = piece + 1 < pieces;
                rows.push(Row { cells: cells[from..to].to_vec(), goes_on });
            }
            cells.clear();
            begin = n + 1;
        }
        (self.rows, self.width) = (rows, width);
        (self.row, self.column) = (at.0 + at.1 / width, at.1 % width);
        self.down(0);
    }

    /// Interprets one character or sequence, if it is complete; returns its length.
    fn take(&mut self, at: usize) -> Option<usize> {
        let pending = &self.pending[at..];
        let first = *pending.first()?;
        match first {
            b'\r' => self.column = 0,
            b'\n' => self.down(1),
            8 => self.column = self.column.saturating_sub(1),
            7 => {}
            0x1b => return self.sequence(at),
            _ => {
                let length = match first {
                    0..=0x7f => 1,
                    0xc0..=0xdf => 2,
                    0xe0..=0xef => 3,
                    _ => 4,
                };
                let bytes = pending.get(..length)?;
                let c = std::str::from_utf8(bytes).unwrap().chars().next().unwrap();
                self.put(c);
                return Some(length);
            }
        }
        Some(1)
    }

    /// Interprets `ESC [ numbers letter`; any other sequence is two bytes long.
    fn sequence(&mut self, at: usize) -> Option<usize> {
        let pending = &self.pending[at..];
        if *pending.get(1)? != b'[' {
            self.went_up += 1;
            return Some(2);
        }
        let end = 2 + pending[2..].iter().position(|byte| (0x40..0x7f).contains(byte))?;
        let text = String::from_utf8_lossy(&pending[2..end]).into_owned();
        let number = |n: usize| text.split(';').nth(n).and_then(|text| text.parse().ok());
        let count = number(0).unwrap_or(1usize).max(1);
        match (pending[end], text.as_str()) {
            (b'A' | b'E' | b'F' | b'H' | b'L' | b'M' | b'S' | b'T' | b'd' | b'f', _) => {
                self.row = self.row.saturating_sub(count);
                self.went_up += 1;
            }
            (b'B', _) => self.down(count),
            (b'C', _) => self.column += count,
            (b'D', _) => self.column = self.column.saturating_sub(count),
            (b'G', _) => self.column = count - 1,
            (b'K', "" | "0") => self.erase(),
            (b'J', "" | "0") => {
                self.erase();
                self.rows.truncate(self.row + 1);
            }
            (b'J' | b'K', _) => self.went_up += 1,
            (b'h' | b'l', "?7") => self.wraps = pending[end] == b'h',
            // Colours and other modes do not matter here.
            _ => {}
        }
        Some(end + 1)
    }

    /// Erases to the end of the row.
    fn erase(&mut self) {
        let row = &mut self.rows[self.row];
        row.cells.truncate(self.column);
        row.goes_on = false;
    }

    fn put(&mut self, c: char) {
        if self.column >= self.width {
            if self.wraps {
                self.rows[self.row].goes_on = true;
                self.column = 0;
                self.down(1);
            } else {
                self.column = self.width - 1;
            }
        }
        let row = &mut self.rows[self.row].cells;
        while row.len() <= self.column {
            row.push(' ');
        }
        row[self.column] = c;
        self.column += 1;
    }

    fn down(&mut self, rows: usize) {
        self.row += rows;
        while self.rows.len() <= self.row {
            self.rows.push(Row::default());
        }
    }
}

impl Row {
    fn text(&self) -> String {
        self.cells.iter().collect::<String>().trim_end().to_owned()
    }
}
