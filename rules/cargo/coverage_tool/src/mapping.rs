//! The coverage mapping format of LLVM (`__llvm_covmap`, `__llvm_covfun`), versions 4 to 7 (12 to 22 of LLVM).
//!
//! <https://llvm.org/docs/CoverageMappingFormat.html>

use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

/// The file table that function records refer to, as absolute paths.
pub type Filenames = Rc<Vec<Rc<str>>>;

/// A count, as the compiler can state it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    Zero,
    /// A counter of the function's profile record.
    Id(usize),
    /// An entry of the record's expressions.
    Expression(usize),
}

/// A sum or difference of two counts.
#[derive(Clone, Copy)]
pub struct Expression {
    pub subtract: bool,
    pub left: Counter,
    pub right: Counter,
}

/// The order is LLVM's: of two regions over one area the first kind decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Code,
    Skipped,
    Gap,
}

/// A piece of source, from start (inclusive) to end (exclusive), 1-based (line, column).
pub struct Region {
    pub kind: Kind,
    pub counter: Counter,
    pub file: Rc<str>,
    pub start: (u32, u32),
    pub end: (u32, u32),
}

/// One function of one object.
pub struct Record {
    /// MD5 of the mangled name, first 8 bytes.
    pub name: u64,
    /// Hash of the function's shape; zero for a function that was not compiled.
    pub hash: u64,
    pub files: Vec<Rc<str>>,
    pub expressions: Vec<Expression>,
    pub regions: Vec<Region>,
}

impl Record {
    /// LLVM's dummy record: a function that was seen but not compiled in this unit, as one region without a counter.
    pub fn is_placeholder(&self) -> bool {
        self.hash == 0
            && self.files.len() == 1
            && self.expressions.is_empty()
            && self.regions.len() == 1
            && self.regions[0].counter == Counter::Zero
    }

    /// The value of a count; `None` when the profile has fewer counters than the mapping.
    pub fn evaluate(&self, counter: Counter, counts: &[u64]) -> Option<i64> {
        self.evaluate_at(counter, counts, 0)
    }

    fn evaluate_at(&self, counter: Counter, counts: &[u64], depth: usize) -> Option<i64> {
        match counter {
            Counter::Zero => Some(0),
            Counter::Id(id) => counts.get(id).map(|count| *count as i64),
            Counter::Expression(_) if depth > self.expressions.len() => None, // a cycle
            Counter::Expression(id) => {
                let expression = self.expressions.get(id)?;
                let left = self.evaluate_at(expression.left, counts, depth + 1)?;
                let right = self.evaluate_at(expression.right, counts, depth + 1)?;
                Some(if expression.subtract {
                    left.wrapping_sub(right)
                } else {
                    left.wrapping_add(right)
                })
            }
        }
    }
}

/// A reader of the format's integers over a slice; every method fails at the end of the data.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        if length > self.0.len() {
            return Err("coverage mapping ends early".to_string());
        }
        let (head, tail) = self.0.split_at(length);
        self.0 = tail;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32, String> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from(self.u32()?) | u64::from(self.u32()?) << 32)
    }

    fn leb(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("coverage mapping has a number of more than 64 bits".to_string())
    }

    fn size(&mut self) -> Result<usize, String> {
        usize::try_from(self.leb()?).map_err(|e| e.to_string())
    }

    /// A number that fits a source position.
    fn position(&mut self) -> Result<u32, String> {
        u32::try_from(self.leb()?).map_err(|e| e.to_string())
    }
}

/// Skips to the next multiple of eight in a section; the end of the section may come first.
fn align(cursor: &mut Cursor<'_>, section: &[u8]) {
    let padding = (section.len() - cursor.0.len()).wrapping_neg() % 8;
    cursor.0 = &cursor.0[padding.min(cursor.0.len())..];
}

/// Adds the file tables of one `__llvm_covmap` section, each under the hash that function records name it by.
pub fn read_filenames(section: &[u8], tables: &mut HashMap<u64, Filenames>) -> Result<(), String> {
    let mut cursor = Cursor(section);
    while !cursor.0.is_empty() {
        cursor.u32()?; // number of function records, always 0 since version 4
        let length = cursor.u32()? as usize;
        cursor.u32()?; // length of their mappings, 0
        let version = cursor.u32()? + 1;
        if !(4..=7).contains(&version) {
            return Err(format!(
                "coverage mapping version {version} is not known (4 to 7 are)"
            ));
        }
        let encoded = cursor.take(length)?;
        let names = decode_filenames(encoded, version)?;
        tables.insert(llvm_profparser::compute_hash(encoded), Rc::new(names));
        align(&mut cursor, section);
    }
    Ok(())
}

fn decode_filenames(encoded: &[u8], version: u32) -> Result<Vec<Rc<str>>, String> {
    let mut cursor = Cursor(encoded);
    let number = cursor.size()?;
    let full_length = cursor.size()?;
    let packed_length = cursor.size()?;
    let mut unpacked = Vec::new();
    if packed_length > 0 {
        let packed = cursor.take(packed_length)?;
        flate2::read::ZlibDecoder::new(packed)
            .take(full_length as u64)
            .read_to_end(&mut unpacked)
            .map_err(|e| format!("file names of the coverage mapping: {e}"))?;
        cursor = Cursor(&unpacked);
    }
    let mut names: Vec<Rc<str>> = Vec::new();
    for index in 0..number {
        let length = cursor.size()?;
        let name = String::from_utf8_lossy(cursor.take(length)?).into_owned();
        // Since version 6 the first entry is the directory of the compiler, which relative names start from.
        let relative = version >= 6 && index > 0 && !name.starts_with('/');
        names.push(match names.first() {
            Some(directory) if relative => {
                format!("{}/{name}", directory.trim_end_matches('/')).into()
            }
            _ => name.into(),
        });
    }
    Ok(names)
}

/// Reads the records of one `__llvm_covfun` section.
pub fn read_functions(
    section: &[u8],
    tables: &HashMap<u64, Filenames>,
) -> Result<Vec<Record>, String> {
    let mut cursor = Cursor(section);
    let mut records = Vec::new();
    while cursor.0.len() >= 28 {
        let name = cursor.u64()?;
        let length = cursor.u32()? as usize;
        let hash = cursor.u64()?;
        let table = cursor.u64()?;
        let data = cursor.take(length)?;
        align(&mut cursor, section);
        let filenames = tables
            .get(&table)
            .ok_or("a function's file names are missing from the coverage mapping")?;
        records.push(read_function(name, hash, data, filenames)?);
    }
    Ok(records)
}

fn read_function(
    name: u64,
    hash: u64,
    data: &[u8],
    filenames: &Filenames,
) -> Result<Record, String> {
    let mut cursor = Cursor(data);
    let mut files = Vec::new();
    for _ in 0..cursor.size()? {
        let index = cursor.size()?;
        files.push(Rc::clone(
            filenames.get(index).ok_or("file number out of range")?,
        ));
    }
    let mut expressions = Vec::new();
    let mut subtract: HashMap<usize, bool> = HashMap::new();
    let number = cursor.size()?;
    for _ in 0..number {
        let left = decode_counter(cursor.leb()?, &mut subtract);
        let right = decode_counter(cursor.leb()?, &mut subtract);
        expressions.push(Expression {
            subtract: false,
            left,
            right,
        });
    }
    let mut regions = Vec::new();
    for file in &files {
        let mut line = 0u32;
        for _ in 0..cursor.size()? {
            let encoded = cursor.leb()?;
            let mut kind = Some(Kind::Code);
            let mut counter = Counter::Zero;
            if encoded & 3 != 0 {
                counter = decode_counter(encoded, &mut subtract);
            } else if encoded & 4 != 0 {
                kind = None; // an expansion: clang's macros, rustc has none
            } else {
                // Branches and conditions do not count for lines; their fields are passed over.
                let fields = match encoded >> 3 {
                    0 => 0,
                    2 => {
                        kind = Some(Kind::Skipped);
                        0
                    }
                    4 => 2,
                    5 => 2,
                    6 => 5,
                    other => {
                        return Err(format!(
                            "region kind {other} of the coverage mapping is not known"
                        ))
                    }
                };
                for _ in 0..fields {
                    let value = cursor.leb()?;
                    if encoded >> 3 != 5 {
                        decode_counter(value, &mut subtract);
                    }
                    kind = None;
                }
            }
            line = line
                .checked_add(cursor.position()?)
                .ok_or("line number out of range")?;
            let mut start_column = cursor.position()?;
            let end_line = line
                .checked_add(cursor.position()?)
                .ok_or("line number out of range")?;
            let mut end_column = cursor.position()?;
            if end_column & 1 << 31 != 0 {
                end_column &= !(1 << 31);
                kind = kind.map(|_| Kind::Gap);
            }
            if start_column == 0 && end_column == 0 {
                (start_column, end_column) = (1, u32::MAX);
            }
            if let Some(kind) = kind {
                regions.push(Region {
                    kind,
                    counter,
                    file: Rc::clone(file),
                    start: (line, start_column),
                    end: (end_line, end_column),
                });
            }
        }
    }
    for (id, value) in subtract {
        expressions
            .get_mut(id)
            .ok_or("expression number out of range")?
            .subtract = value;
    }
    Ok(Record {
        name,
        hash,
        files,
        expressions,
        regions,
    })
}

/// Decodes a counter. Whether an expression adds or subtracts is told by its users, so it is noted in `subtract`.
fn decode_counter(value: u64, subtract: &mut HashMap<usize, bool>) -> Counter {
    let id = (value >> 2) as usize;
    match value & 3 {
        0 => Counter::Zero,
        1 => Counter::Id(id),
        tag => {
            subtract.insert(id, tag == 2);
            Counter::Expression(id)
        }
    }
}
