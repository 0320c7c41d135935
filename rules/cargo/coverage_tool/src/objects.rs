//! Objects to function records: executables, shared objects, relocatable objects, and archives of them.

use std::collections::HashMap;
use std::path::Path;

use object::read::archive::ArchiveFile;
use object::{Object, ObjectSection};

use crate::mapping::{self, Filenames, Record};

/// Reads the records of each object in the file: one list, or one for each member of an archive.
///
/// Members that are no objects (an rlib's metadata) and objects without coverage sections have no records.
pub fn read(path: &Path) -> Result<Vec<Vec<Record>>, String> {
    let at = |e: String| format!("{}: {e}", path.display());
    let bytes = std::fs::read(path).map_err(|e| at(e.to_string()))?;
    if !bytes.starts_with(b"!<arch>\n") {
        return Ok(vec![read_object(&bytes).map_err(at)?]);
    }
    let archive = ArchiveFile::parse(&*bytes).map_err(|e| at(e.to_string()))?;
    let mut all = Vec::new();
    for member in archive.members() {
        let member = member.map_err(|e| at(e.to_string()))?;
        let name = String::from_utf8_lossy(member.name()).into_owned();
        if name.ends_with(".rmeta") {
            continue;
        }
        let data = member
            .data(&*bytes)
            .map_err(|e| at(format!("{name}: {e}")))?;
        all.push(read_object(data).map_err(|e| at(format!("{name}: {e}")))?);
    }
    Ok(all)
}

fn read_object(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let file = object::File::parse(bytes).map_err(|e| e.to_string())?;
    if !file.is_little_endian() {
        return Err("big-endian objects are not supported".to_string());
    }
    // An object that is not linked yet has one section of that name for each function.
    let mut tables = Vec::new();
    let mut functions = Vec::new();
    for section in file.sections() {
        let name = section.name().unwrap_or_default();
        let wanted = match name {
            "__llvm_covmap" | ".lcovmap" | ".lcovmap$M" => &mut tables,
            "__llvm_covfun" | ".lcovfun" | ".lcovfun$M" => &mut functions,
            _ => continue,
        };
        wanted.push(section.data().map_err(|e| format!("section {name}: {e}"))?);
    }

    let mut filenames: HashMap<u64, Filenames> = HashMap::new();
    for section in tables {
        mapping::read_filenames(section, &mut filenames)?;
    }
    let mut records: Vec<Record> = Vec::new();
    let mut by_name: HashMap<u64, usize> = HashMap::new();
    for section in functions {
        for record in mapping::read_functions(section, &filenames)? {
            // One record for a function: the first, unless that is a placeholder and this one is not.
            match by_name.get(&record.name) {
                None => {
                    by_name.insert(record.name, records.len());
                    records.push(record);
                }
                Some(&index) if records[index].is_placeholder() && !record.is_placeholder() => {
                    records[index] = record;
                }
                Some(_) => {}
            }
        }
    }
    Ok(records)
}
