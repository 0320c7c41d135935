//! Line counts of instrumented Rust code, as lcov.
//!
//! It does for cargo_coverage what `llvm-profdata merge -sparse` followed by `llvm-cov export -format=lcov`
//! does, without any LLVM: raw profiles are read by `llvm_profparser`; the coverage mapping of the objects is
//! read here, because rlibs and objects that were not linked yet must be read too (`llvm_profparser` reads the
//! first section of a name only, and no archives). Segments and line counts follow LLVM's rules, so both
//! ways give the same numbers.
//!
//! It never reads sources, never looks at the clock or the environment, and writes the two files it is told to.

mod lines;
mod mapping;
mod objects;
mod profile;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: gorules-coverage --baseline_out=FILE --out=FILE --profiles=PATH... --base=OBJECT... [--object=OBJECT...]

  --profiles=PATH      a raw profile, or a directory: every *.profraw in it, recursively (repeatable)
  --base=OBJECT        executable, shared object, rlib or .o whose mapping says which lines count (repeatable)
  --object=OBJECT      the same, but only its counts are of interest: test harnesses (repeatable)
  --baseline_out=FILE  lcov: every line that a base object maps, with count 0
  --out=FILE           lcov: every line that any object maps, with its count over all profiles";

/// What the command line asked for.
#[derive(Default)]
struct Options {
    profiles: Vec<PathBuf>,
    base: Vec<PathBuf>,
    objects: Vec<PathBuf>,
    baseline_out: PathBuf,
    out: PathBuf,
}

/// Parses `--name=value` arguments; the error is one line for the user.
fn parse_args(args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    for arg in args {
        let (name, value) = arg
            .split_once('=')
            .ok_or_else(|| format!("{arg}: expected --name=value"))?;
        let value = PathBuf::from(value);
        match name {
            "--profiles" => options.profiles.push(value),
            "--base" => options.base.push(value),
            "--object" => options.objects.push(value),
            "--baseline_out" => options.baseline_out = value,
            "--out" => options.out = value,
            _ => return Err(format!("{name}: unknown option")),
        }
    }
    if options.out.as_os_str().is_empty() || options.baseline_out.as_os_str().is_empty() {
        return Err("--out and --baseline_out are required".to_string());
    }
    if options.base.is_empty() {
        return Err("at least one --base is required".to_string());
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), String> {
    let mut counts = profile::Counts::default();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // `add` reports what the parser chokes on
    let added = options
        .profiles
        .iter()
        .try_for_each(|path| counts.add(path));
    std::panic::set_hook(hook);
    added?;
    counts.make_sparse();

    // The count of a line is the largest of: all objects together, the base objects together, each other object
    // alone. Together alone would not do: where one object names a function without having compiled it and another
    // ran it, LLVM may keep the first and drop the counts (`profile::KIND_FLAG`).
    let mut baseline = lines::Report::default();
    let mut together = lines::Report::default();
    let mut base = lines::Report::default();
    let none = profile::Counts::default();
    for path in &options.base {
        for records in objects::read(path)? {
            baseline.add(&records, &none);
            together.add(&records, &counts);
            base.add(&records, &counts);
        }
    }
    let mut merged = base.lines();
    for path in &options.objects {
        let mut alone = lines::Report::default();
        for records in objects::read(path)? {
            together.add(&records, &counts);
            alone.add(&records, &counts);
        }
        lines::merge_max(&mut merged, alone.lines());
    }
    lines::merge_max(&mut merged, together.lines());

    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
    };
    write(&options.baseline_out, lines::lcov(&baseline.lines()))?;
    write(&options.out, lines::lcov(&merged))
}

fn main() -> ExitCode {
    let options = match parse_args(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("gorules-coverage: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("gorules-coverage: {message}");
            ExitCode::FAILURE
        }
    }
}
