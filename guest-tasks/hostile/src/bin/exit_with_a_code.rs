//! Ends itself with code 42 while it still has output in its buffers. It fails as `exit-code`.

fn main() {
    print!("not a whole line");
    std::process::exit(42);
}
