//! Ends with exit code 3 after a line on stdout and one on stderr.

fn main() {
    println!("a line on stdout");
    eprintln!("a line on stderr");
    std::process::exit(3);
}
