//! Does with files what its arguments say: `read PATH`, `write PATH TEXT`, `append PATH TEXT`, `list PATH`, with `then`
//! between them; `variables` prints its environment. It exits with 1 where one fails.

use std::env;
use std::error::Error;
use std::fs;
use std::io::Write;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for call in arguments.split(|argument| *argument == "then") {
        match call {
            ["read", path] => print!("{}", fs::read_to_string(path)?),
            ["write", path, text] => fs::write(path, text)?,
            ["append", path, text] => {
                let mut file = fs::File::options().append(true).create(true).open(path)?;
                file.write_all(text.as_bytes())?;
            }
            ["list", path] => {
                let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
                let mut names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
                names.sort();
                for name in names {
                    println!("{}", name.to_string_lossy());
                }
            }
            ["variables"] => {
                for (name, value) in env::vars() {
                    println!("{name}={value}");
                }
            }
            _ => return Err(format!("{call:?} is not known").into()),
        }
    }
    Ok(())
}
