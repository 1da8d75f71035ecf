//! Takes memory in ever larger pieces and goes on when it gets none. It prints how much it got at most: less than its limit.

fn main() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0_usize;
    let mut size = 256 << 10;
    while size > 64 << 10 {
        let mut piece = Vec::new();
        if piece.try_reserve_exact(size).is_ok() {
            piece.resize(size, 1);
            bytes += size;
            hoard.push(piece);
            size += size / 2;
        } else {
            size /= 2;
        }
    }
    println!("{}", bytes > 1 << 20 && bytes < 32 << 20 && hoard.len() > 1);
}
