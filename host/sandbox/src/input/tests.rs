//! Chunks of files, bytes and streams against the cutter's model, and what becomes of inputs that cannot be read.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use super::data::FileRef;
use super::*;
use crate::chunk::Chunking;
use crate::chunk::tests::{any_chunking, any_text, long_text, model};
use proptest::prelude::*;
use std::io::Write as _;
use std::ops::Range;
use tempfile::{NamedTempFile, tempdir};

/// Gives the bytes in reads of these sizes, over and over, with an interruption now and then.
struct Trickle {
    bytes: Bytes,
    sizes: Vec<usize>,
    reads: usize,
}

impl Read for Trickle {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads.is_multiple_of(7) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = self.sizes[self.reads % self.sizes.len()]
            .min(buf.len())
            .min(self.bytes.len());
        buf[..size].copy_from_slice(&self.bytes.split_to(size));
        Ok(size)
    }
}

/// An input in one of its forms, and the file that must live as long.
fn input(form: usize, bytes: &[u8], sizes: &[usize]) -> (Input, Option<NamedTempFile>) {
    match form {
        0 => {
            let mut file = NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            (Input::path(file.path()), Some(file))
        }
        1 => (Input::bytes("bytes", bytes.to_vec()), None),
        _ => {
            let trickle = Trickle {
                bytes: Bytes::copy_from_slice(bytes),
                sizes: sizes.to_vec(),
                reads: 0,
            };
            (Input::reader("reader", trickle), None)
        }
    }
}

fn cut(chunking: Chunking) -> Cut {
    Cut {
        chunking,
        max_chunk: u64::MAX,
        is_streamed: false,
        reading: Reading::default(),
        max_inflated: ByteSize::mib(64),
        goes_on: false,
    }
}

/// The chunks of one input: where each is, and its bytes by all the ways to get at them.
fn chunks_of(input: Input, cut: Cut) -> Result<Vec<(Range<usize>, Bytes)>, InputError> {
    Chunks::check(vec![input], cut)?
        .map(|chunk| {
            let chunk = chunk?;
            let bytes = chunk.bytes().unwrap();
            let mut filled = vec![0; usize::try_from(chunk.len().unwrap()).unwrap()];
            chunk.read_into(&mut filled).unwrap();
            let mut read = vec![];
            chunk.open().unwrap().read_to_end(&mut read).unwrap();
            assert!(bytes == filled && bytes == read);
            assert_eq!(chunk.position, chunk.range.start);
            Ok((chunk.range.start as usize..chunk.range.end as usize, bytes))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn files_bytes_and_streams_have_the_borders_of_the_model(
        chunking in any_chunking(64),
        text in any_text(600),
        sizes in prop::collection::vec(1_usize..100, 1..6),
    ) {
        let expected: Vec<_> =
            model(chunking, &text).into_iter().map(|r| (r.clone(), Bytes::copy_from_slice(&text[r]))).collect();
        for form in 0..3 {
            let (input, _file) = input(form, &text, &sizes);
            prop_assert_eq!(chunks_of(input, cut(chunking)).unwrap(), expected.clone(), "form {}", form);
        }
    }

    #[test]
    fn no_chunk_passes_the_cap(
        chunking in any_chunking(64),
        text in any_text(300),
        cap in 1_u64..100,
        sizes in prop::collection::vec(1_usize..100, 1..6),
    ) {
        let expected = model(chunking, &text);
        let too_large = expected.iter().find(|range| range.len() as u64 > cap);
        for form in 0..3 {
            let (input, _file) = input(form, &text, &sizes);
            let found = chunks_of(input, Cut { max_chunk: cap, ..cut(chunking) });
            match too_large {
                None => prop_assert_eq!(found.unwrap().len(), expected.len()),
                Some(range) => {
                    let Err(InputError::ChunkTooLarge { offset, limit, .. }) = found else {
                        panic!("form {form}: {found:?}")
                    };
                    prop_assert_eq!((offset, limit.bytes()), (range.start as u64, cap));
                }
            }
        }
    }
}

#[test]
fn input_that_does_not_end_is_too_large_soon() {
    let file = NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 40).unwrap();
    for chunking in ["auto", "lines:3", "file", "exact:1GiB", "1KiB"] {
        let cut = Cut {
            max_chunk: 100_000,
            ..cut(chunking.parse().unwrap())
        };
        let stream = Input::reader("endless", io::repeat(b'x'));
        for input in [Input::path(file.path()), stream] {
            let error = Chunks::check(vec![input], cut.clone())
                .unwrap()
                .next()
                .unwrap()
                .unwrap_err();
            assert!(
                matches!(error.error, InputError::ChunkTooLarge { offset: 0, .. }),
                "{chunking}: {error:?}"
            );
        }
    }
}

#[test]
fn large_inputs_have_the_borders_of_the_model() {
    let text = long_text(9 << 20);
    for chunking in [
        "auto",
        "1KiB",
        "lines:1",
        "lines:5000",
        "exact:1000000",
        "file",
        "300KiB",
    ] {
        let chunking = chunking.parse().unwrap();
        let expected = model(chunking, &text);
        for (form, sizes) in [
            (0, vec![]),
            (1, vec![]),
            (2, vec![65_536]),
            (2, vec![1 << 30]),
            (2, vec![1, 8000, 4095]),
        ] {
            let (input, _file) = input(form, &text, &sizes);
            let chunks = chunks_of(input, cut(chunking)).unwrap();
            assert!(
                chunks.iter().map(|chunk| &chunk.0).eq(&expected),
                "{chunking}, form {form}, reads {sizes:?}"
            );
            assert!(
                chunks
                    .iter()
                    .all(|(range, bytes)| text[range.clone()] == bytes[..])
            );
        }
    }
}

#[test]
fn lines_longer_than_every_window_are_found() {
    let mut text = vec![b'x'; 3 << 20];
    text[1_500_000] = b'\n';
    let (input, _file) = input(0, &text, &[]);
    let ranges: Vec<_> = chunks_of(input, cut(Chunking::Auto))
        .unwrap()
        .into_iter()
        .map(|chunk| chunk.0)
        .collect();
    assert_eq!(ranges, [0..1_500_001, 1_500_001..3 << 20]);
}

#[test]
fn indices_and_positions_run_over_all_inputs() {
    let inputs = vec![
        Input::bytes("a", "1\n2\n"),
        Input::bytes("b", ""),
        Input::reader("c", &b"3\n4"[..]),
    ];
    let chunks = Chunks::check(inputs, cut("lines:1".parse().unwrap())).unwrap();
    assert_eq!(chunks.total_bytes(), None);
    let seen: Vec<_> = chunks
        .map(Result::unwrap)
        .map(|chunk| {
            (
                chunk.index.0,
                chunk.position,
                chunk.source.number,
                chunk.describe(),
            )
        })
        .collect();
    let expected = [
        (0, 0, 0, "a, bytes 0..2"),
        (1, 2, 0, "a, bytes 2..4"),
        (2, 4, 1, "b, bytes 0..0"),
        (3, 4, 2, "c, bytes 0..2"),
        (4, 6, 2, "c, bytes 2..3"),
    ];
    assert_eq!(
        seen,
        expected.map(|(index, position, number, text)| (index, position, number, text.to_owned()))
    );
}

#[test]
fn a_chunk_of_a_slow_stream_is_there_before_what_follows_it() {
    struct OneLine(bool);
    impl Read for OneLine {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            assert!(
                !std::mem::replace(&mut self.0, true),
                "read on after the end of the line"
            );
            buf[..3].copy_from_slice(b"ab\n");
            Ok(3)
        }
    }
    let mut chunks = Chunks::check(
        vec![Input::reader("slow", OneLine(false))],
        cut("lines:1".parse().unwrap()),
    )
    .unwrap();
    assert_eq!(chunks.next().unwrap().unwrap().bytes().unwrap(), "ab\n");
}

#[test]
fn commands_get_streams_unread_and_files_without_a_cap() {
    let cut = Cut {
        max_chunk: 2,
        is_streamed: true,
        ..cut(Chunking::File)
    };
    let (file, _kept) = input(0, b"0123456789", &[]);
    let inputs = vec![
        file,
        Input::reader("stream", &b"abcdef"[..]),
        Input::bytes("end", "xyz"),
    ];
    let chunks: Vec<_> = Chunks::check(inputs, cut)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(chunks[0].len(), Some(10));
    assert_eq!(
        (chunks[1].len(), chunks[1].range.clone(), chunks[1].held()),
        (None, 0..u64::MAX, 0)
    );
    assert_eq!(chunks[1].describe(), "stream, bytes 0..");
    assert!(chunks[1].bytes().is_err());
    let mut text = String::new();
    chunks[1]
        .clone()
        .open()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "abcdef");
    assert_eq!(
        chunks[1].open().err().unwrap().to_string(),
        "the stream has already been read"
    );
    assert_eq!((chunks[2].len(), chunks[2].held()), (Some(3), 3));
}

#[test]
fn many_inputs_keep_few_files_open() {
    let directory = tempdir().unwrap();
    let paths: Vec<_> = (0..300)
        .map(|n| directory.path().join(n.to_string()))
        .collect();
    for path in &paths {
        std::fs::write(path, path.to_str().unwrap()).unwrap();
    }
    let inputs = paths.iter().map(Input::path).collect();
    let chunks = Chunks::check(inputs, cut(Chunking::Auto)).unwrap();
    assert_eq!(
        chunks.total_bytes(),
        Some(paths.iter().map(|path| path.as_os_str().len() as u64).sum())
    );
    let chunks: Vec<_> = chunks.map(Result::unwrap).collect();
    let open = chunks
        .iter()
        .filter(|chunk| matches!(chunk.data, ChunkData::File(FileRef::Open(_))))
        .count();
    assert_eq!(open, 64);
    for (chunk, path) in chunks.iter().zip(&paths) {
        assert_eq!(chunk.bytes().unwrap(), path.to_str().unwrap());
    }
}

/// A guest that may write where inputs are could put a link in the place of one.
#[test]
fn what_has_come_in_the_place_of_an_input_is_not_read() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let paths: Vec<_> = (0..80).map(|n| at(&n.to_string())).collect();
    for path in &paths {
        std::fs::write(path, "given").unwrap();
    }
    std::fs::write(at("secret"), "other").unwrap();
    let replace = |path: &std::path::Path| {
        std::fs::rename(path, at("moved")).unwrap();
        std::os::unix::fs::symlink(at("secret"), path).unwrap();
    };
    let give_back = |path: &std::path::Path| std::fs::rename(at("moved"), path).unwrap();
    let inputs = || paths.iter().map(Input::path).collect::<Vec<_>>();

    // Before it is begun.
    let mut chunks = Chunks::check(inputs(), cut(Chunking::Auto)).unwrap();
    chunks.next().unwrap().unwrap();
    replace(&paths[1]);
    let error = chunks.next().unwrap().unwrap_err();
    assert!(
        matches!(&error.error, InputError::Unreadable { path, source }
        if *path == paths[1] && source.to_string().contains("not the file"))
    );
    give_back(&paths[1]);

    // After it was cut: one is open, the other is opened by its name for each use.
    let chunks = Chunks::check(inputs(), cut(Chunking::Auto)).unwrap();
    let chunks: Vec<_> = chunks.map(Result::unwrap).collect();
    for (place, is_open) in [(0, true), (79, false)] {
        replace(&paths[place]);
        match chunks[place].bytes() {
            Ok(bytes) => assert!(is_open && bytes == "given"),
            Err(error) => assert!(!is_open && error.to_string().contains("not the file")),
        }
        give_back(&paths[place]);
        assert_eq!(chunks[place].bytes().unwrap(), "given");
    }
}

#[test]
fn inputs_that_cannot_be_read_are_named_before_anything_runs() {
    let directory = tempdir().unwrap();
    let missing = directory.path().join("missing");
    let check = |path: &std::path::Path| {
        Chunks::check(
            vec![Input::bytes("ok", ""), Input::path(path)],
            cut(Chunking::Auto),
        )
        .unwrap_err()
    };
    assert!(matches!(check(&missing), InputError::NotFound { path } if path == missing));
    assert!(
        matches!(check(directory.path()), InputError::Directory { path } if path == directory.path())
    );
    std::fs::write(&missing, "a file now").unwrap();
    assert!(matches!(
        check(&missing.join("below")),
        InputError::Unreadable { .. }
    ));
}

#[test]
fn a_file_that_vanishes_or_shrinks_after_the_check_is_an_error_and_the_end() {
    let (first, file) = input(0, &long_text(1 << 20), &[]);
    let (vanished, gone) = input(0, b"x", &[]);
    let mut chunks = Chunks::check(
        vec![first, vanished, Input::bytes("b", "")],
        cut(Chunking::File),
    )
    .unwrap();
    drop(gone);
    let chunk = chunks.next().unwrap().unwrap();
    file.unwrap().as_file().set_len(1000).unwrap();
    let error = chunk.bytes().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the file was truncated at byte 1000 while it was being read"
    );
    assert!(matches!(
        chunks.next(),
        Some(Err(LostInput {
            error: InputError::NotFound { .. },
            ..
        }))
    ));
    assert!(chunks.next().is_none());
}

#[cfg(unix)]
#[test]
fn special_files_are_streams() {
    let null = Chunks::check(vec![Input::path("/dev/null")], cut(Chunking::Auto)).unwrap();
    assert_eq!(null.total_bytes(), None);
    let chunks: Vec<_> = null.map(Result::unwrap).collect();
    assert_eq!((chunks.len(), chunks[0].len()), (1, Some(0)));
}

#[cfg(target_os = "linux")]
#[test]
fn files_of_the_kernel_are_read_although_they_have_no_length() {
    let chunks =
        Chunks::check(vec![Input::path("/proc/self/status")], cut(Chunking::Auto)).unwrap();
    assert!(
        chunks
            .map(Result::unwrap)
            .all(|chunk| chunk.len() > Some(100))
    );
}

#[test]
fn a_read_error_names_the_input_and_the_place() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 > 3 {
                return Err(io::Error::other("wire cut"));
            }
            buf[..10].fill(b'x');
            Ok(10)
        }
    }
    let mut chunks =
        Chunks::check(vec![Input::reader("wire", Broken(0))], cut(Chunking::Auto)).unwrap();
    let error = chunks.next().unwrap().unwrap_err();
    assert_eq!(
        error.error.to_string(),
        "cannot read input `wire` at byte 30"
    );
    assert!(chunks.next().is_none());
}
