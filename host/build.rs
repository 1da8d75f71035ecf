//! Lists the hostile guests for the tests: a macro that names each, so that one without a case does not compile.
//!
//! The library has no need of it, and a copy of this package alone, without the guests, gets an empty list.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let lists = [
        ("text", names("../guest-tasks/hostile", "wat")?),
        ("program", names("../guest-tasks/hostile/src/bin", "rs")?),
        ("made", names("../tests/suite/hostile/made", "rs")?),
    ];
    let mut text = String::from(
        "/// Hands the names of all hostile guests to a macro: written as text, compiled programs, made by the tests.\n\
         macro_rules! for_each_hostile {\n    ($each:ident) => {\n        $each! {\n",
    );
    for (kind, names) in lists {
        let names: Vec<_> = names.into_iter().filter(|name| name != "mod").collect();
        text += &format!("            [{kind}] {}\n", names.join(" "));
    }
    text += "        }\n    };\n}\n";
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&out).join("hostile.rs"), text)
}

/// The names of the files in `dir` with this extension; none where it does not exist.
fn names(dir: &str, extension: &str) -> io::Result<BTreeSet<String>> {
    println!("cargo::rerun-if-changed={dir}");
    let listed = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        listed => listed?,
    };
    let mut names = BTreeSet::new();
    for entry in listed {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension)
            && let Some(name) = path.file_stem()
        {
            names.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
