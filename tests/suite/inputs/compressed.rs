//! Compressed inputs: what they inflate to is what counts, and what is damaged or endless is refused.

use crate::support::{Text, file, folder, program, run, wat, word_count};
use bzip2::write::BzEncoder;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write as _;

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("it can be compressed");
    encoder.finish().expect("it can be compressed")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).expect("it can be compressed");
    encoder.finish().expect("it can be compressed")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

/// `xz` made this of "one two\nthree\n", three times.
const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3e0002900155d00379b88ce76e2f4e1944de52cb17827823fb4140000000000008b8bf500014e09550001312a4f7b603d1fb6f37d010000000004595a";

fn xz() -> Vec<u8> {
    let digits = XZ.as_bytes().chunks(2);
    let byte = |digits: &[u8]| {
        let digits = str::from_utf8(digits).expect("they are digits");
        u8::from_str_radix(digits, 16).expect("they are digits")
    };
    digits.map(byte).collect()
}

/// Nothing, for who reads what zstd made.
const SKIPPED: &[u8] = b"\x50\x2a\x4d\x18\x03\0\0\0abc";

#[test]
fn chunks_are_those_of_the_bytes_before_they_were_compressed() {
    let text = Text::of(18, 300_000).make();
    let bytes = text.as_bytes();
    let (one, two) = bytes.split_at(123_456);
    let forms = [
        gzip(bytes),
        [gzip(one), gzip(two)].concat(),
        zstd(bytes),
        [SKIPPED, &zstd(one), SKIPPED, &zstd(two), &zstd(b"")].concat(),
        bzip2(bytes),
        [bzip2(one), bzip2(two)].concat(),
    ];
    let dir = folder();
    let chunks = |input: &[u8], name: &str| {
        let path = file(&dir, name, input);
        run("faulty")
            .typed("--map shout --merge none")
            .arg(path)
            .output()
    };
    let plain = chunks(bytes, "plain");
    assert!(plain.lines().count() > 3);
    for (number, form) in forms.iter().enumerate() {
        assert!(chunks(form, "compressed") == plain, "form {number}");
        let of_stdin = run("wordcount").stdin(form.clone()).output();
        assert!(of_stdin == word_count(&[&text]), "form {number}");
    }
    // A command gets it whole, and a header is of what was compressed.
    assert_eq!(
        run("upper").stdin(xz()).output(),
        "ONE TWO\nTHREE\n".repeat(3)
    );
    assert_eq!(
        run("upper").typed("--header 5").stdin(xz()).output(),
        "THREE\n"
    );
    assert_eq!(run("wordcount").stdin(xz()).output(), "three\t3\ntwo\t3\n");
    assert_eq!(run("wordcount").stdin(gzip(b"")).output(), "");
    // What only begins like it is text.
    assert_eq!(run("upper").stdin("BZh9 is\n").output(), "BZH9 IS\n");
}

#[test]
fn bytes_are_left_as_they_are_on_request() {
    let bytes = gzip(b"some text\n");
    let ended = program()
        .arg("run")
        .arg(wat("cat"))
        .typed("--decompress never")
        .stdin(bytes.clone())
        .end()
        .expect_code(0);
    ended.expect_stdout(bytes);
}

#[test]
fn damaged_data_is_an_error_and_never_a_shorter_result() {
    let text = Text::of(19, 200_000).make();
    let dir = folder();
    for (name, form) in [
        ("gzip", gzip(text.as_bytes())),
        ("zstd", zstd(text.as_bytes())),
        ("bzip2", bzip2(text.as_bytes())),
        ("xz", xz()),
    ] {
        let cut_off = file(&dir, "cut-off", &form[..form.len() - form.len() / 3]);
        run("wordcount")
            .arg(cut_off)
            .fails(14)
            .expect_stderr_has(&["cut-off", "cannot read input"]);
        let mut flipped = form.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        let flipped = file(&dir, "flipped", flipped);
        run("wordcount")
            .arg(&flipped)
            .fails(14)
            .expect_stderr_has(&["flipped", name]);
        let behind = file(
            &dir,
            "behind",
            [form.as_slice(), b"and something else"].concat(),
        );
        run("wordcount")
            .arg(behind)
            .fails(14)
            .expect_stderr_has(&["behind", name]);
        // Under a tolerance, what had been read is a part of the result.
        run("wordcount")
            .arg(&flipped)
            .typed("--max-failures 5")
            .end()
            .expect_code(0)
            .expect_stderr_has(&["(bad-input)"]);
    }
}

#[test]
fn a_bomb_ends_at_its_limit_in_flat_memory() {
    // 1 GiB of line ends, some megabytes as gzip and less as zstd.
    let part = gzip(&vec![b'\n'; 16 << 20]);
    let bombs = [part.repeat(64), zstd(&vec![b'\n'; 64 << 20]).repeat(16)];
    let dir = folder();
    for bomb in bombs {
        assert!(bomb.len() < 16 << 20, "{} bytes", bomb.len());
        let bomb = file(&dir, "bomb", bomb);
        run("wordcount")
            .typed("--limit inflated=8MiB")
            .arg(&bomb)
            .fails(14)
            .expect_stderr_has(&["inflates to more than 8MiB", "--limit inflated="]);
    }
    // One line without end is too large a chunk.
    let line = file(&dir, "line", gzip(&vec![b'x'; 16 << 20]).repeat(64));
    run("wordcount")
        .arg(line)
        .fails(14)
        .expect_stderr_has(&["is larger than the input limit"]);
}
