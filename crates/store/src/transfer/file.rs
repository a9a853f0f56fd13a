//! The backup file: the rows of all tables in a form that depends on no database, with a checksum
//! at its end.
//!
//! ```text
//! whoelse backup 1\n  version of the schema
//! 'V' version of whoelse that wrote it                    absent in the oldest
//! 'T' name  'R' values 'R' values …  'E' how many        for each table, in schema order
//! 'Z' SHA-256 of everything before it
//! ```
//! Numbers are 8 bytes, lengths 4, little-endian. A value is a letter (`-`, `n`, `t`, `b`) and its
//! content.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use super::tables::{Kind, Table};
use super::{TransferError, Value};
use crate::schema;

const MAGIC: &[u8] = b"whoelse backup 1\n";
/// No value is longer: the bound on stanzas is far below.
const LONGEST: usize = 64 << 20;

/// A backup being written.
pub(crate) struct Writer {
    path: PathBuf,
    out: BufWriter<File>,
    digest: Context,
}

impl Writer {
    /// Makes the file, readable by its owner alone, for this version of the schema, by this version
    /// of the program. Never overwrites a file.
    pub fn create(path: &Path, schema: i64, maker: Option<&str>) -> Result<Writer, TransferError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| TransferError::file(path, error))?;
        let mut writer = Writer {
            path: path.to_owned(),
            out: BufWriter::with_capacity(1 << 20, file),
            digest: Context::new(&SHA256),
        };
        writer.put(MAGIC)?;
        writer.put(&schema.to_le_bytes())?;
        if let Some(maker) = maker {
            writer.put(b"V")?;
            writer.bytes(maker.as_bytes())?;
        }
        Ok(writer)
    }

    pub fn table(&mut self, table: &Table) -> Result<(), TransferError> {
        self.put(b"T")?;
        self.bytes(table.name.as_bytes())
    }

    pub fn row(&mut self, row: &[Value]) -> Result<(), TransferError> {
        self.put(b"R")?;
        for value in row {
            match value {
                Value::Null => self.put(b"-")?,
                Value::Number(number) => {
                    self.put(b"n")?;
                    self.put(&number.to_le_bytes())?;
                }
                Value::Text(text) => {
                    self.put(b"t")?;
                    self.bytes(text.as_bytes())?;
                }
                Value::Blob(bytes) => {
                    self.put(b"b")?;
                    self.bytes(bytes)?;
                }
            }
        }
        Ok(())
    }

    pub fn table_ends(&mut self, rows: u64) -> Result<(), TransferError> {
        self.put(b"E")?;
        self.put(&rows.to_le_bytes())
    }

    /// Ends the file. When this returns, the file is on the disk.
    pub fn finish(mut self) -> Result<(), TransferError> {
        self.put(b"Z")?;
        let digest = self.digest.finish();
        let done = self.out.write_all(digest.as_ref());
        let done =
            done.and_then(|()| self.out.flush()).and_then(|()| self.out.get_ref().sync_all());
        done.map_err(|error| TransferError::file(&self.path, error))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= LONGEST);
        let length = length.ok_or_else(|| {
            TransferError::file(&self.path, io::Error::other("a value is too long for a backup"))
        })?;
        self.put(&length.to_le_bytes())?;
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.digest.update(bytes);
        self.out.write_all(bytes).map_err(|error| TransferError::file(&self.path, error))
    }
}

/// A backup being read. It has been read whole once before its first row is returned, and its
/// checksum was right.
pub(crate) struct Reader {
    path: PathBuf,
    input: BufReader<File>,
    schema: i64,
    /// Whether the table of the next rows has been named.
    begun: bool,
    rows: u64,
}

/// Returns whether a server can have written this number. Numbers are counts and microseconds: none
/// is beyond the year 11,000, except the moment that stands for "never".
fn is_possible(number: i64) -> bool {
    const LARGEST: u64 = 1 << 58;
    number.unsigned_abs() <= LARGEST || number == i64::MAX
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader, TransferError> {
        let mut file = File::open(path).map_err(|error| TransferError::file(path, error))?;
        check(path, &mut file)?;
        file.rewind().map_err(|error| TransferError::file(path, error))?;
        let input = BufReader::with_capacity(1 << 20, file);
        let mut reader = Reader { path: path.to_owned(), input, schema: 0, begun: false, rows: 0 };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(reader.damaged("it is no backup of whoelse"));
        }
        reader.schema = reader.number()?;
        let maker = reader.maker()?;
        match reader.schema {
            1..=schema::KNOWN => Ok(reader),
            ..1 => Err(reader.damaged("its schema version is not a version")),
            found => Err(TransferError::Newer { found, known: schema::KNOWN, maker }),
        }
    }

    /// Returns the version of its schema, which this program knows.
    pub fn schema(&self) -> i64 {
        self.schema
    }

    fn maker(&mut self) -> Result<Option<String>, TransferError> {
        let next = self.input.fill_buf().map_err(|error| TransferError::file(&self.path, error))?;
        if next.first() != Some(&b'V') {
            return Ok(None);
        }
        self.take(1)?;
        let maker = String::from_utf8(self.long()?);
        maker.map(Some).map_err(|_| self.damaged("a text is none"))
    }

    /// Returns the next rows of a table; none when there are no more. The tables come in the order
    /// of their schema.
    pub fn rows(&mut self, table: &Table) -> Result<Vec<Vec<Value>>, TransferError> {
        let mut rows = Vec::new();
        if !self.begun {
            if self.take(1)? != b"T" || self.long()? != table.name.as_bytes() {
                return Err(self.damaged("its tables are not those of its version"));
            }
            (self.begun, self.rows) = (true, 0);
        }
        while rows.len() < table.page {
            match self.take(1)?.as_slice() {
                b"R" => {
                    let row: Result<Vec<Value>, TransferError> =
                        table.columns.iter().map(|(_, kind)| self.value(*kind)).collect();
                    rows.push(row?);
                    self.rows += 1;
                }
                b"E" => {
                    let counted = self.number()?;
                    if u64::try_from(counted) != Ok(self.rows) {
                        return Err(self.damaged("rows are missing"));
                    }
                    self.begun = false;
                    break;
                }
                _ => return Err(self.damaged("a row does not end where it should")),
            }
        }
        Ok(rows)
    }

    /// Checks that all tables have been read.
    pub fn end(&mut self) -> Result<(), TransferError> {
        match self.take(1)?.as_slice() {
            b"Z" => Ok(()),
            _ => Err(self.damaged("its tables are not those of its version")),
        }
    }

    fn value(&mut self, kind: Kind) -> Result<Value, TransferError> {
        Ok(match (self.take(1)?.as_slice(), kind) {
            (b"-", _) => Value::Null,
            (b"n", Kind::Number) => match self.number()? {
                number if is_possible(number) => Value::Number(number),
                _ => return Err(self.damaged("a number is larger than any can be")),
            },
            (b"t", Kind::Text) => Value::Text(
                String::from_utf8(self.long()?).map_err(|_| self.damaged("a text is none"))?,
            ),
            (b"b", Kind::Blob) => Value::Blob(self.long()?),
            _ => return Err(self.damaged("a value is not of its kind")),
        })
    }

    fn number(&mut self) -> Result<i64, TransferError> {
        let bytes = self.take(8)?;
        bytes.try_into().map(i64::from_le_bytes).map_err(|_| self.damaged("it ends too early"))
    }

    fn long(&mut self) -> Result<Vec<u8>, TransferError> {
        let bytes = self.take(4)?;
        let length = bytes.try_into().map(u32::from_le_bytes);
        let length = length.map_err(|_| self.damaged("it ends too early"))? as usize;
        if length > LONGEST {
            return Err(self.damaged("a value is too long"));
        }
        self.take(length)
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, TransferError> {
        let mut bytes = vec![0; count];
        self.input
            .read_exact(&mut bytes)
            .map_err(|error| TransferError::file(&self.path, error))?;
        Ok(bytes)
    }

    fn damaged(&self, why: &'static str) -> TransferError {
        TransferError::Damaged { path: self.path.clone(), why }
    }
}

/// Reads the whole file and compares its checksum, so that no part of a damaged one is used.
fn check(path: &Path, file: &mut File) -> Result<(), TransferError> {
    let unreadable = |error| TransferError::file(path, error);
    let damaged = |why| TransferError::Damaged { path: path.to_owned(), why };
    let size = file.metadata().map_err(unreadable)?.len();
    let Some(mut left) = size.checked_sub(SHA256_OUTPUT_LEN as u64) else {
        return Err(damaged("it is no backup of whoelse"));
    };
    let mut begin = vec![0; MAGIC.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
    file.read_exact(&mut begin).map_err(unreadable)?;
    if begin != MAGIC {
        return Err(damaged("it is no backup of whoelse"));
    }
    let mut digest = Context::new(&SHA256);
    digest.update(&begin);
    left -= begin.len() as u64;
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut buffer[..wanted]).map_err(unreadable)?;
        if read == 0 {
            return Err(damaged("it ends too early"));
        }
        digest.update(&buffer[..read]);
        left -= read as u64;
    }
    let mut written = [0; SHA256_OUTPUT_LEN];
    file.read_exact(&mut written).map_err(unreadable)?;
    match digest.finish().as_ref() == written {
        true => Ok(()),
        false => Err(damaged("its checksum is wrong; it is cut off or changed")),
    }
}
