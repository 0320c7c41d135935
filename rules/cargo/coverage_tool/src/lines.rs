//! Regions to line counts, by the rules of LLVM's `CoverageMapping` and `LineCoverageStats`.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::rc::Rc;

use crate::mapping::{Counter, Kind, Record};
use crate::profile::{Counts, Lookup};

/// A region with its count.
#[derive(Clone)]
struct Counted {
    kind: Kind,
    start: (u32, u32),
    end: (u32, u32),
    count: u64,
}

/// A point of a file from which on a count holds.
struct Segment {
    at: (u32, u32),
    count: u64,
    has_count: bool,
    is_entry: bool,
    is_gap: bool,
}

impl Segment {
    fn starts_region(&self) -> bool {
        !self.is_gap && self.has_count && self.is_entry
    }
}

/// The regions of all functions, by file.
#[derive(Default)]
pub struct Report {
    files: BTreeMap<Rc<str>, Vec<Counted>>,
    /// Functions seen, by name and files: one that is linked into several objects counts once.
    seen: HashSet<(u64, Vec<Rc<str>>)>,
}

impl Report {
    /// Adds the functions of one object.
    pub fn add(&mut self, records: &[Record], counts: &Counts) {
        for record in records {
            self.add_function(record, counts);
        }
    }

    fn add_function(&mut self, record: &Record, counts: &Counts) {
        let counters = match counts.lookup(record.name, record.hash) {
            Lookup::Mismatch => return,
            Lookup::Unknown => None,
            Lookup::Found(counters) => Some(counters),
        };
        // A function that this object did not need, but that ran elsewhere: the other object has its real regions.
        let unused = record.regions.len() == 1 && record.regions[0].counter == Counter::Zero;
        if unused && counters.is_some_and(|c| c.first().is_some_and(|n| *n > 0)) {
            return;
        }
        let mut values = Vec::with_capacity(record.regions.len());
        for region in &record.regions {
            let value = match counters {
                None => Some(0),
                Some(counters) => record.evaluate(region.counter, counters),
            };
            match value {
                Some(value) => values.push(value as u64),
                None => return,
            }
        }
        if !self.seen.insert((record.name, record.files.clone())) {
            return;
        }
        for (region, count) in record.regions.iter().zip(values) {
            self.files
                .entry(Rc::clone(&region.file))
                .or_default()
                .push(Counted {
                    kind: region.kind,
                    start: region.start,
                    end: region.end,
                    count,
                });
        }
    }

    /// The counts of all mapped lines.
    pub fn lines(&self) -> Lines {
        let count = |regions: &Vec<Counted>| line_counts(&segments(&combine(regions)));
        self.files
            .iter()
            .map(|(file, regions)| (Rc::clone(file), count(regions)))
            .collect()
    }
}

/// Counts by file and line, both in order.
pub type Lines = BTreeMap<Rc<str>, BTreeMap<u32, u64>>;

/// Adds `from` to `into`, keeping the larger count of each line.
pub fn merge_max(into: &mut Lines, from: Lines) {
    for (file, lines) in from {
        let known = into.entry(file).or_default();
        for (line, count) in lines {
            let most = known.entry(line).or_default();
            *most = count.max(*most);
        }
    }
}

/// The counts as lcov.
pub fn lcov(files: &Lines) -> String {
    let mut text = String::new();
    for (file, lines) in files {
        let hit = lines.values().filter(|count| **count > 0).count();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "SF:{file}");
        for (line, count) in lines {
            let _ = writeln!(text, "DA:{line},{count}");
        }
        let _ = writeln!(text, "LF:{}\nLH:{hit}\nend_of_record", lines.len());
    }
    text
}

/// Sorts regions, outer before inner, and sums those over the same area (a generic's instances).
fn combine(regions: &[Counted]) -> Vec<Counted> {
    let mut sorted = regions.to_vec();
    sorted.sort_by_key(|r| (r.start, std::cmp::Reverse(r.end), r.kind));
    let mut combined: Vec<Counted> = Vec::with_capacity(sorted.len());
    for region in sorted {
        match combined.last_mut() {
            Some(last) if last.start == region.start && last.end == region.end => {
                if last.kind == region.kind {
                    last.count = last.count.saturating_add(region.count);
                }
            }
            _ => combined.push(region),
        }
    }
    combined
}

/// The segments under construction and the regions that are open at the current point, outermost first.
#[derive(Default)]
struct Builder<'a> {
    segments: Vec<Segment>,
    open: Vec<&'a Counted>,
}

impl<'a> Builder<'a> {
    fn start(&mut self, region: &Counted, at: (u32, u32), is_entry: bool, skipped: bool) {
        let has_count = !skipped && region.kind != Kind::Skipped;
        if let Some(last) = self.segments.last() {
            let same = last.has_count == has_count && last.count == region.count && !last.is_entry;
            if !is_entry && !skipped && same {
                return;
            }
        }
        self.segments.push(Segment {
            at,
            count: if has_count { region.count } else { 0 },
            has_count,
            is_entry,
            is_gap: has_count && region.kind == Kind::Gap,
        });
    }

    /// Closes the open regions from `first` on, all of which end before `next`, the start of the next region.
    fn complete(&mut self, next: Option<(u32, u32)>, first: usize) {
        let mut closed = self.open.split_off(first);
        closed.sort_by_key(|r| r.end);
        for i in 1..closed.len() {
            let at = closed[i - 1].end;
            if next == Some(at) {
                break;
            }
            if at == closed[i].end {
                continue;
            }
            // Of the regions that end at one point the last, the innermost, has the say.
            let end = closed[i].end;
            let region = closed[i..].iter().rev().find(|r| r.end == end).copied();
            self.start(region.unwrap_or(closed[i]), at, false, false);
        }
        let Some(last) = closed.last().copied() else {
            return;
        };
        if next == Some(last.end) {
            return;
        }
        match self.open.last().copied() {
            Some(outer) => self.start(outer, last.end, false, false),
            None => self.start(last, last.end, false, true),
        }
    }
}

fn segments(regions: &[Counted]) -> Vec<Segment> {
    let mut builder = Builder::default();
    for (i, region) in regions.iter().enumerate() {
        let at = region.start;
        let (mut still_open, ended): (Vec<&Counted>, Vec<&Counted>) =
            builder.open.iter().copied().partition(|r| r.end > at);
        let first = still_open.len();
        still_open.extend(&ended);
        builder.open = still_open;
        if !ended.is_empty() {
            builder.complete(Some(at), first);
        }
        let is_entry = region.kind != Kind::Gap;
        let next = regions.get(i + 1);
        if at == region.end {
            let skipped = next.is_none() || region.kind == Kind::Skipped;
            let outer = builder.open.last().copied();
            builder.start(outer.unwrap_or(region), at, is_entry, skipped);
            if let (true, Some(outer)) = (skipped, outer) {
                builder.start(outer, at, false, false);
            }
            continue;
        }
        if next.is_none_or(|n| n.start != at) {
            builder.start(region, at, is_entry, false);
        }
        builder.open.push(region);
    }
    if !builder.open.is_empty() {
        builder.complete(None, 0);
    }
    builder.segments
}

/// The counts of the lines that are mapped.
fn line_counts(segments: &[Segment]) -> BTreeMap<u32, u64> {
    let mut lines = BTreeMap::new();
    let mut wrapped: Option<&Segment> = None;
    let mut rest = segments;
    let Some(mut line) = segments.first().map(|s| s.at.0) else {
        return lines;
    };
    while !rest.is_empty() {
        let number = rest.iter().take_while(|s| s.at.0 == line).count();
        let (here, later) = rest.split_at(number);
        let starts = here.iter().filter(|s| s.starts_region()).count();
        let skipped = here.first().is_some_and(|s| !s.has_count && s.is_entry);
        let mapped = (!skipped && (starts > 0 || wrapped.is_some_and(|s| s.has_count)))
            || here.iter().any(|s| s.is_entry && s.has_count);
        if mapped {
            let around = wrapped.map_or(0, |s| s.count);
            let inside = here
                .iter()
                .filter(|s| s.starts_region())
                .map(|s| s.count)
                .max();
            lines.insert(line, inside.map_or(around, |n| n.max(around)));
        }
        wrapped = here.last().or(wrapped);
        rest = later;
        line += 1;
    }
    lines
}
